"""Event in its events.k8s.io/v1 form: the objects are those of core/v1, whoever makes new ones must say more of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from types import MappingProxyType
from typing import Any

from navarch.api import objectmeta
from navarch.api.core import event as core
from navarch.api.internalform import CORE, immutable_struct
from navarch.api.kind import Kind
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required

TYPES = ("Normal", "Warning")
LEAST_SERIES = 2
UNSET = "needs to be unset"

RENAMED = MappingProxyType(
    {
        "regarding": "involvedObject",
        "note": "message",
        "reportingController": "reportingComponent",
        "deprecatedSource": "source",
        "deprecatedFirstTimestamp": "firstTimestamp",
        "deprecatedLastTimestamp": "lastTimestamp",
        "deprecatedCount": "count",
    }
)
_TO_STORED = tuple(RENAMED.items())
_FROM_STORED = tuple((stored, served) for served, stored in RENAMED.items())


def to_stored(event: Object) -> Object:
    found = _renamed(event, _TO_STORED, core.KIND)
    # Never absent in the other form.
    found.setdefault("involvedObject", {})
    if not found.get("source"):
        found.pop("source", None)
    return found


def from_stored(event: Object) -> Object:
    return _renamed(event, _FROM_STORED, KIND)


def _renamed(event: Object, names: tuple[tuple[str, str], ...], kind: Kind) -> Object:
    found = {**event, "apiVersion": kind.api_version}
    for name, other in names:
        if name in found:
            found[other] = found.pop(name)
    return found


def _series(event: Object) -> Iterator[FieldError]:
    series = event.get("series")
    if series is not None:
        if series.get("count", 0) < LEAST_SERIES:
            yield invalid_value("series.count", "", f"should be at least {LEAST_SERIES}")
        if not series.get("lastObservedTime"):
            yield required("series.lastObservedTime")


def validate_create(event: Object) -> Iterator[FieldError]:
    yield from core.validate_reported(event, "reportingController")
    yield from _series(event)
    if not event.get("eventTime"):
        yield required("eventTime")
    if event.get("type", "") not in TYPES:
        yield invalid_value("type", "", f"has invalid value: {event.get('type', '')}")
    for field in ("firstTimestamp", "lastTimestamp", "count"):
        if event.get(field):
            yield invalid_value(field, "", UNSET)
    if any((event.get("source") or {}).values()):
        yield invalid_value("source", "", UNSET)


# Field -> what stands for it where it is not set.
_FIXED: dict[str, Any] = {
    "involvedObject": {},
    "reason": "",
    "message": "",
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "count": 0,
    "reportingComponent": "",
    "reportingInstance": "",
    "type": "",
    "eventTime": None,
    "action": "",
    "related": None,
}

_STRUCTS = {
    "involvedObject": f"{CORE}ObjectReference",
    "related": f"{CORE}ObjectReference",
    "source": f"{CORE}EventSource",
}


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from core.validate_reported(new, "reportingController")
    if new.get("series") != old.get("series"):
        yield from _series(new)
    for field, nothing in _FIXED.items():
        name = "reportingController" if field == "reportingComponent" else field
        now, before = new.get(field, nothing), old.get(field, nothing)
        if field in _STRUCTS:
            yield from immutable_struct(name, now, before, _STRUCTS[field])
        else:
            yield from objectmeta.immutable(name, now, before)


def row(event: Object, now: datetime) -> list[Any]:
    return core.row(to_stored(event), now)


KIND = Kind(
    group="events.k8s.io",
    version="v1",
    kind="Event",
    plural="events",
    short_names=core.KIND.short_names,
    stored_as=core.KIND,
    to_stored=to_stored,
    from_stored=from_stored,
    validate_create=validate_create,
    validate_update=validate_update,
    selectable_fields={
        **{
            field.replace("involvedObject.", "regarding."): getter
            for field, getter in core.KIND.selectable_fields.items()
            if field not in ("source", "reportingComponent")
        },
        "reportingController": core.KIND.selectable_fields["reportingComponent"],
    },
    columns=core.KIND.columns,
    row=row,
)
