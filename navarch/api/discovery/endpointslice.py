"""EndpointSlice: some of the addresses behind a Service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required, too_many

ENDPOINTS_LIMIT = 1000
ADDRESSES_LIMIT = 100
PORTS_LIMIT = 100
ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
SHOWN_LIMIT = 3


def default(endpoint_slice: Object) -> Object:
    for port in endpoint_slice.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")
    endpoint_slice.setdefault("endpoints", [])
    return endpoint_slice


def validate(endpoint_slice: Object) -> Iterator[FieldError]:
    type_ = endpoint_slice.get("addressType", "")
    if not type_:
        yield required("addressType")
    elif type_ not in ADDRESS_TYPES:
        yield not_supported("addressType", type_, ADDRESS_TYPES)
    endpoints, ports = endpoint_slice["endpoints"] or (), endpoint_slice.get("ports") or ()
    if len(endpoints) > ENDPOINTS_LIMIT:
        yield too_many("endpoints", len(endpoints), ENDPOINTS_LIMIT)
    if len(ports) > PORTS_LIMIT:
        yield too_many("ports", len(ports), PORTS_LIMIT)
    for index, endpoint in enumerate(endpoints):
        addresses = endpoint.get("addresses") or ()
        path = f"endpoints[{index}].addresses"
        if not addresses:
            yield required(path, "must contain at least 1 address")
        elif len(addresses) > ADDRESSES_LIMIT:
            yield too_many(path, len(addresses), ADDRESSES_LIMIT)
        if type_ in ("IPv4", "IPv6"):
            for position, address in enumerate(addresses):
                where = f"{path}[{position}]"
                yield from (invalid_value(where, address, text) for text in names.ip_address(address))


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new.get("addressType") != old.get("addressType"):
        yield invalid_value("addressType", new.get("addressType"), "field is immutable")


def row(endpoint_slice: Object, now: datetime) -> list[Any]:
    ports = [str(port["port"]) if port.get("port") else "*" for port in endpoint_slice.get("ports") or ()]
    addresses = [address for endpoint in endpoint_slice.get("endpoints") or () for address in endpoint["addresses"]]
    return [
        endpoint_slice["metadata"]["name"],
        endpoint_slice.get("addressType", ""),
        _limited(ports) if ports else printing.UNSET,
        _limited(addresses) if addresses else printing.UNSET,
        printing.age(endpoint_slice, now),
    ]


def _limited(items: list[str]) -> str:
    more = f" + {len(items) - SHOWN_LIMIT} more..." if len(items) > SHOWN_LIMIT else ""
    return ",".join(items[:SHOWN_LIMIT]) + more


KIND = Kind(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    default=default,
    validate=validate,
    validate_update=validate_update,
    has_generation=True,
    spec_fields=("endpoints", "ports"),
    columns=(NAME, Column("AddressType"), Column("Ports"), Column("Endpoints"), AGE),
    row=row,
)
