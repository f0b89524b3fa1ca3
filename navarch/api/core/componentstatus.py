"""ComponentStatus: whether the parts of the control plane are well, as of old. It is never stored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from navarch.api.kind import NAME, Column, Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object


def row(component: Object, now: datetime) -> list[Any]:
    healthy = meta.find(component.get("conditions") or (), "type", "Healthy")
    if healthy is None:
        return [component["metadata"]["name"], "Unknown", "", ""]
    state = "Healthy" if healthy.get("status") == "True" else "Unhealthy"
    return [component["metadata"]["name"], state, healthy.get("message", ""), healthy.get("error", "")]


KIND = Kind(
    group="",
    version="v1",
    kind="ComponentStatus",
    plural="componentstatuses",
    namespaced=False,
    short_names=("cs",),
    verbs=("get", "list"),
    deprecation="v1 ComponentStatus is deprecated in v1.19+",
    columns=(NAME, Column("Status"), Column("Message"), Column("Error")),
    row=row,
)
