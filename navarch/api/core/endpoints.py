"""Endpoints: the addresses behind a Service, as they were published before EndpointSlice."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery.errors import Object

SHOWN_LIMIT = 3


def shown(endpoints: Object) -> str:
    """The first few address:port pairs."""
    pairs: list[str] = []
    for subset in endpoints.get("subsets") or ():
        ports = [f":{port['port']}" for port in subset.get("ports") or ()] or [""]
        pairs += [f"{address['ip']}{port}" for port in ports for address in subset.get("addresses") or ()]
    if not pairs:
        return printing.NONE
    more = f" + {len(pairs) - SHOWN_LIMIT} more..." if len(pairs) > SHOWN_LIMIT else ""
    return ",".join(pairs[:SHOWN_LIMIT]) + more


def default(endpoints: Object) -> Object:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            port.setdefault("protocol", "TCP")
    return endpoints


def row(endpoints: Object, now: datetime) -> list[Any]:
    return [endpoints["metadata"]["name"], shown(endpoints), printing.age(endpoints, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="Endpoints",
    plural="endpoints",
    singular="endpoints",
    short_names=("ep",),
    storage_prefix="services/endpoints",
    default=default,
    allow_create_on_update=True,
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    columns=(NAME, Column("Endpoints"), AGE),
    row=row,
)
