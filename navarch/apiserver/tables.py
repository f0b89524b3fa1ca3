"""Objects as clients see them that know no kinds: as rows of a Table, or as nothing but their metadata (meta.k8s.io)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from navarch.api import schemas
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.apiserver.negotiation import META_GROUP, Representation
from navarch.apiserver.request import APIRequest
from navarch.component import clock

CREATED_AT = Column("Created At", "date")
_DEFAULT_COLUMNS = (NAME, CREATED_AT)


_INCLUDED = ("", "Metadata", "Object", "None")


def check_options(request: APIRequest) -> None:
    """Raises 400 where the request wants of a table what there is not."""
    include = request.option("includeObject")
    if include not in _INCLUDED:
        text = "must be 'Metadata', 'Object', 'None', or empty"
        problem = errors.invalid_value("includeObject", include, text).message
        raise errors.bad_request(f"Unable to convert to Table as requested: {problem}")


def partial(obj: Object, representation: Representation) -> Object:
    """The object's PartialObjectMetadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"{META_GROUP}/{representation.form_version}",
        "metadata": obj["metadata"],
    }


def table(
    request: APIRequest,
    kind: Kind,
    objects: Iterable[Object],
    representation: Representation,
    metadata: Mapping[str, Any],
    *,
    headed: bool = True,
) -> Object:
    """A meta.k8s.io Table of objects."""
    include = request.option("includeObject") or "Metadata"
    columns = kind.columns or _DEFAULT_COLUMNS
    row, now = kind.row, clock.now()
    rows = []
    for obj in objects if kind.row_order is None else sorted(objects, key=kind.row_order):
        cells = row(obj, now) if row is not None else [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp")]
        entry: Object = {"cells": cells}
        if conditions := kind.row_conditions(obj):
            entry["conditions"] = conditions
        if include == "Object":
            entry["object"] = obj
        elif include == "Metadata":
            entry["object"] = partial(obj, representation)
        rows.append(entry)
    result: Object = {"kind": "Table", "apiVersion": f"{META_GROUP}/{representation.form_version}", "metadata": dict(metadata)}
    result["columnDefinitions"] = [_column(column) for column in columns] if headed else []
    result["rows"] = rows
    return result


def _column(column: Column) -> Object:
    description = column.description or _metadata_descriptions().get(column.name, "")
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": description,
        "priority": column.priority,
    }


@cache
def _metadata_descriptions() -> Mapping[str, str]:
    """Of the columns that show an object's metadata, what the API says of its fields."""
    texts = schemas.descriptions()["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]
    return {NAME.name: texts["name"], AGE.name: texts["creationTimestamp"], CREATED_AT.name: texts["creationTimestamp"]}
