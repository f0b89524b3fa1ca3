"""Event: something that happened to an object, in its core/v1 form."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import NAME, Column, Getter, Kind
from navarch.apimachinery.errors import FieldError, Object, invalid_value


def validate(event: Object) -> Iterator[FieldError]:
    involved = event["involvedObject"].get("namespace", "")
    namespace = event["metadata"].get("namespace", "")
    if involved != namespace and not (involved == "" and namespace in ("default", "kube-system")):
        yield invalid_value("involvedObject.namespace", involved, "does not match event.namespace")


def last_seen(event: Object) -> str | None:
    """When the event, or the last of its series, was seen."""
    series = event.get("series") or {}
    found: str | None = (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event.get("firstTimestamp")
        or event["metadata"].get("creationTimestamp")
    )
    return found


def row(event: Object, now: datetime) -> list[Any]:
    involved, source = event.get("involvedObject") or {}, event.get("source") or {}
    kind, name = str(involved.get("kind", "")).lower(), involved.get("name", "")
    component = source.get("component") or event.get("reportingComponent", "")
    host = source.get("host") or ""
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = last_seen(event)
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    return [
        printing.since(last, now),
        event.get("type", ""),
        event.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        involved.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        str(event.get("message", "")).strip(),
        printing.since(first, now) if first else printing.since(last, now),
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
    validate=validate,
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
