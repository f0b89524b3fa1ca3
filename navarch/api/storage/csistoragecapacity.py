"""CSIStorageCapacity: how much storage of a class there is for some of the nodes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import labelselector, printing
from navarch.api.core import nodelabels
from navarch.api.internalform import immutable_struct
from navarch.api.kind import NAME, Column, Kind
from navarch.api.objectmeta import immutable
from navarch.apimachinery import names, quantity
from navarch.apimachinery.errors import FieldError, Object, invalid_value


def validate(capacity: Object) -> Iterator[FieldError]:
    if capacity.get("nodeTopology") is not None:
        yield from labelselector.validate(capacity["nodeTopology"], "nodeTopology")
    name = capacity.get("storageClassName", "")
    yield from (invalid_value("storageClassName", name, text) for text in names.dns1123_subdomain(name))
    amount = capacity.get("capacity")
    if amount is not None and quantity.parse(amount) < 0:
        yield invalid_value("capacity", amount, "must be greater than or equal to 0")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from immutable_struct("nodeTopology", new.get("nodeTopology"), old.get("nodeTopology"), labelselector.DEFINITION)
    yield from immutable("storageClassName", new.get("storageClassName", ""), old.get("storageClassName", ""))


def row(capacity: Object, now: datetime) -> list[Any]:
    amount = capacity.get("capacity")
    return [
        capacity["metadata"]["name"],
        capacity.get("storageClassName", ""),
        printing.UNSET if amount is None else amount,
    ]


def warnings(capacity: Object, old: Object | None) -> Iterator[str]:
    yield from nodelabels.selector_warnings(capacity.get("nodeTopology"), "nodeTopology")


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIStorageCapacity",
    plural="csistoragecapacities",
    validate=validate,
    warnings=warnings,
    validate_update=validate_update,
    allow_unconditional_update=False,
    columns=(NAME, Column("StorageClassName"), Column("Capacity")),
    row=row,
)
