"""CSINode: which CSI drivers a node has, and what they call it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core.nonnegative import nonnegative
from navarch.api.core.volumesource import validate_csi_driver_name
from navarch.api.internalform import invalid_struct
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.objectmeta import IMMUTABLE
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, duplicate, invalid_value, required

NODE_ID_LIMIT = 256


def validate(node: Object) -> Iterator[FieldError]:
    seen = set()
    for index, driver in enumerate((node.get("spec") or {}).get("drivers") or ()):
        path, name, node_id = f"spec.drivers[{index}]", driver.get("name", ""), driver.get("nodeID", "")
        yield from validate_csi_driver_name(name, f"{path}.name")
        if not node_id:
            yield required(f"{path}.nodeID")
        if len(node_id.encode()) > NODE_ID_LIMIT:
            yield invalid_value(f"{path}.nodeID", node_id, f"must be {NODE_ID_LIMIT} characters or less")
        count = (driver.get("allocatable") or {}).get("count")
        if count is not None and count < 0:
            yield nonnegative(f"{path}.allocatable.count", count)
        if name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)
        yield from _topology_keys(driver.get("topologyKeys") or (), path)


def _topology_keys(keys: list[str] | tuple[()], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for key in keys:
        if not key:
            yield required(path)
        if key in seen:
            yield duplicate(path, key)
        seen.add(key)
        yield from (invalid_value(path, key, text) for text in names.qualified_name(key))


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    """How many volumes a driver can still attach may change; what the driver is may not (KEP-4876)."""
    before = {driver.get("name"): driver for driver in (old.get("spec") or {}).get("drivers") or ()}
    for driver in (new.get("spec") or {}).get("drivers") or ():
        known = before.get(driver.get("name"))
        if known is not None and _identity(known) != _identity(driver):
            yield invalid_struct("spec.drivers", _identity(driver), "io.k8s.api.storage.v1.CSINodeDriver", IMMUTABLE)


def _identity(driver: Object) -> Object:
    return {field: value for field, value in driver.items() if field != "allocatable"}


def row(node: Object, now: datetime) -> list[Any]:
    drivers = (node.get("spec") or {}).get("drivers") or ()
    return [node["metadata"]["name"], len(drivers), printing.age(node, now)]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSINode",
    plural="csinodes",
    namespaced=False,
    validate=validate,
    validate_update=validate_update,
    allow_unconditional_update=False,
    returns_deleted=True,
    columns=(NAME, Column("Drivers", "integer"), AGE),
    row=row,
)
