"""ControllerRevision: a past state of a DaemonSet or StatefulSet, kept for rollback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core.nonnegative import nonnegative
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required


def validate(revision: Object) -> Iterator[FieldError]:
    if revision.get("data") is None:
        yield required("data", "data is mandatory")
    if revision["revision"] < 0:
        yield nonnegative("revision", revision["revision"])


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new.get("data") != old.get("data"):
        yield invalid_value("data", new.get("data"), "field is immutable")


def row(revision: Object, now: datetime) -> list[Any]:
    owner = meta.controller_of(revision)
    if owner is None:
        shown = printing.NONE
    else:
        group = owner["apiVersion"].rpartition("/")[0]
        shown = f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return [revision["metadata"]["name"], shown, revision.get("revision", 0), printing.age(revision, now)]


KIND = Kind(
    group="apps",
    version="v1",
    kind="ControllerRevision",
    plural="controllerrevisions",
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Controller"), Column("Revision"), AGE),
    row=row,
)
