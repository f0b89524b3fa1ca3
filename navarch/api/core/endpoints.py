"""Endpoints: the addresses behind a Service, as they were published before EndpointSlice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required

SHOWN_LIMIT = 3
PROTOCOLS = ("SCTP", "TCP", "UDP")


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


def validate_create(endpoints: Object) -> Iterator[FieldError]:
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        yield from _subset(subset, f"subsets[{index}]")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    # What was accepted once may stay.
    if new.get("subsets") != old.get("subsets"):
        yield from validate_create(new)


def _subset(subset: Object, path: str) -> Iterator[FieldError]:
    if not subset.get("addresses") and not subset.get("notReadyAddresses"):
        yield required(path, "must specify `addresses` or `notReadyAddresses`")
    for field in ("addresses", "notReadyAddresses"):
        for index, address in enumerate(subset.get(field) or ()):
            yield from _address(address, f"{path}.{field}[{index}]")
    ports = subset.get("ports") or ()
    for index, port in enumerate(ports):
        yield from _port(port, f"{path}.ports[{index}]", is_alone=len(ports) == 1)


def _address(address: Object, path: str) -> Iterator[FieldError]:
    ip, problems = address.get("ip", ""), []
    problems += [invalid_value(f"{path}.ip", ip, text) for text in names.ip_address(ip)]
    for field, check in (("hostname", names.dns1123_label), ("nodeName", names.dns1123_subdomain)):
        if address.get(field):
            problems += [invalid_value(f"{path}.{field}", address[field], text) for text in check(address[field])]
    if not problems:
        problems += [invalid_value(f"{path}.ip", ip, text) for text in names.endpoint_ip(ip)]
    yield from problems


def _port(port: Object, path: str, *, is_alone: bool) -> Iterator[FieldError]:
    name, number, protocol = port.get("name", ""), port.get("port", 0), port.get("protocol", "")
    if name:
        yield from (invalid_value(f"{path}.name", name, text) for text in names.dns1123_label(name))
    elif not is_alone:
        yield required(f"{path}.name")
    yield from (invalid_value(f"{path}.port", number, text) for text in names.port_number(number))
    if not protocol:
        yield required(f"{path}.protocol")
    elif protocol not in PROTOCOLS:
        yield not_supported(f"{path}.protocol", protocol, PROTOCOLS)


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
    validate_create=validate_create,
    validate_update=validate_update,
    allow_create_on_update=True,
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    columns=(NAME, Column("Endpoints"), AGE),
    row=row,
)
