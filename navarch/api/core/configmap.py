"""ConfigMap: configuration as keys and values."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, too_long

SIZE_LIMIT_BYTES = 1024 * 1024
IMMUTABLE = "field is immutable when `immutable` is set"


def validate(config_map: Object) -> Iterator[FieldError]:
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    size = 0
    for field, values in (("data", data), ("binaryData", binary)):
        for key, value in sorted(values.items()):
            yield from (invalid_value(f"{field}[{key}]", key, text) for text in names.config_key(key))
            if field == "data" and key in binary:
                yield invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
            size += len(value.encode()) if field == "data" else len(value) * 3 // 4
    if size > SIZE_LIMIT_BYTES:
        yield too_long("", SIZE_LIMIT_BYTES)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden_field("immutable", IMMUTABLE)
    for field in ("data", "binaryData"):
        if (new.get(field) or {}) != (old.get(field) or {}):
            yield forbidden_field(field, IMMUTABLE)


def row(config_map: Object, now: datetime) -> list[Any]:
    count = len(config_map.get("data") or ()) + len(config_map.get("binaryData") or ())
    return [config_map["metadata"]["name"], count, printing.age(config_map, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    short_names=("cm",),
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Data", "string"), AGE),
    row=row,
)
