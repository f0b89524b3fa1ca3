"""Event: something that happened to an object, in its core/v1 form."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import NAME, Column, Getter, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required

TEXT_LIMIT = 128
MESSAGE_LIMIT = 1024


def validate(event: Object) -> Iterator[FieldError]:
    yield from validate_reported(event, "reportingComponent")


def default(event: Object) -> Object:
    # No pointer in Go: it is always there.
    event.setdefault("source", {})
    return event


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate(new)


def validate_reported(event: Object, reporter: str) -> Iterator[FieldError]:
    """An event of either group; `reporter` is what the field is called there that says who reported it."""
    involved = event["involvedObject"].get("namespace", "")
    namespace = event["metadata"].get("namespace", "")
    if event.get("eventTime"):
        matches = bool(involved) or namespace in ("default", "kube-system")
    else:
        matches = namespace == involved or (not involved and namespace == "default")
    if not matches:
        yield invalid_value("involvedObject.namespace", involved, "does not match event.namespace")
    if not event.get("eventTime"):
        # As events were before the newer fields.
        return
    controller = event.get("reportingComponent", "")
    if not controller:
        yield required(reporter)
    yield from (invalid_value(reporter, controller, text) for text in names.qualified_name(controller))
    for field in ("reportingInstance", "action", "reason"):
        text = event.get(field, "")
        if not text:
            yield required(field)
        elif _is_longer(text, TEXT_LIMIT):
            yield invalid_value(field, "", f"can have at most {TEXT_LIMIT} characters")
    if _is_longer(event.get("message", ""), MESSAGE_LIMIT):
        yield invalid_value("message", "", f"can have at most {MESSAGE_LIMIT} characters")


def _is_longer(text: str, limit_bytes: int) -> bool:
    # Nearly all are so short that it does not matter how many bytes a character takes.
    return len(text) * 4 > limit_bytes and len(text.encode()) > limit_bytes


def row(event: Object, now: datetime) -> list[Any]:
    involved, source = event.get("involvedObject") or {}, event.get("source") or {}
    kind, name = str(involved.get("kind", "")).lower(), involved.get("name", "")
    component = source.get("component") or event.get("reportingComponent", "")
    host = source.get("host") or event.get("reportingInstance", "")
    first = event.get("firstTimestamp") or event.get("eventTime")
    last, count = event.get("lastTimestamp") or first, event.get("count") or 1
    series = event.get("series")
    if series is not None:
        last, count = series.get("lastObservedTime"), series.get("count", 0)
    return [
        printing.since(last, now),
        event.get("type", ""),
        event.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        involved.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        str(event.get("message", "")).strip(),
        printing.since(first, now),
        count,
        event["metadata"]["name"],
    ]


def _involved(field: str) -> Getter:
    return lambda obj: (obj.get("involvedObject") or {}).get(field, "")


def _source(obj: Object) -> str:
    return str((obj.get("source") or {}).get("component") or obj.get("reportingComponent", ""))


KIND = Kind(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    short_names=("ev",),
    default=default,
    validate_create=validate,
    validate_update=validate_update,
    allow_create_on_update=True,
    selectable_fields={
        **{
            f"involvedObject.{field}": _involved(field)
            for field in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        },
        "reason": lambda obj: obj.get("reason", ""),
        "reportingComponent": lambda obj: obj.get("reportingComponent", ""),
        "source": _source,
        "type": lambda obj: obj.get("type", ""),
    },
    columns=(
        Column("Last Seen"),
        Column("Type"),
        Column("Reason"),
        Column("Object"),
        Column("Subobject", priority=1),
        Column("Source", priority=1),
        Column("Message"),
        Column("First Seen", priority=1),
        Column("Count", priority=1),
        Column(NAME.name, format="name", priority=1),
    ),
    row=row,
)
