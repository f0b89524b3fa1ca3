"""Endpoints: the addresses behind a Service, as they were published before EndpointSlice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core import endpointaddress, servicewarnings
from navarch.api.core.servicerules import PROTOCOLS
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required

SHOWN_LIMIT = 3


def shown(endpoints: Object) -> str:
    """The first few address:port pairs."""
    if not endpoints.get("subsets"):
        return printing.NONE
    pairs: list[str] = []
    for subset in endpoints.get("subsets") or ():
        addresses = [address["ip"] for address in subset.get("addresses") or ()]
        ports = [port["port"] for port in subset.get("ports") or ()]
        if ports:
            pairs += [f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" for port in ports for ip in addresses]
        else:
            pairs += addresses
    more = f" + {len(pairs) - SHOWN_LIMIT} more..." if len(pairs) > SHOWN_LIMIT else ""
    return ",".join(pairs[:SHOWN_LIMIT]) + more


def default(endpoints: Object) -> Object:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            port.setdefault("protocol", "TCP")
    return endpoints


def validate(endpoints: Object) -> Iterator[FieldError]:
    for index, subset in enumerate(endpoints.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield required(path, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for position, address in enumerate(subset.get(field) or ()):
                yield from _address(address, f"{path}.{field}[{position}]")
        ports = subset.get("ports") or ()
        for position, port in enumerate(ports):
            yield from _port(port, len(ports) > 1, f"{path}.ports[{position}]")


def _address(address: Object, path: str) -> Iterator[FieldError]:
    ip, host, node = address.get("ip", ""), address.get("hostname"), address.get("nodeName")
    problems = list(names.ip_address(ip))
    for text in problems:
        yield invalid_value(f"{path}.ip", ip, text)
    if host:
        for text in names.dns1123_label(host):
            yield invalid_value(f"{path}.hostname", host, text)
    if node is not None:
        for text in names.dns1123_subdomain(node):
            yield invalid_value(f"{path}.nodeName", node, text)
    if not problems:
        yield from endpointaddress.validate(ip, f"{path}.ip")


def _port(port: Object, needs_name: bool, path: str) -> Iterator[FieldError]:
    name = port.get("name", "")
    if not name:
        if needs_name:
            yield required(f"{path}.name")
    else:
        for text in names.dns1123_label(name):
            yield invalid_value(f"{path}.name", name, text)
    for text in names.port_number(port.get("port", 0)):
        yield invalid_value(f"{path}.port", port.get("port", 0), text)
    if port["protocol"] not in PROTOCOLS:
        yield not_supported(f"{path}.protocol", port["protocol"], PROTOCOLS)
    if port.get("appProtocol") is not None:
        for text in names.qualified_name(port["appProtocol"]):
            yield invalid_value(f"{path}.appProtocol", port["appProtocol"], text)


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
    validate=validate,
    warnings=servicewarnings.of_endpoints,
    allow_create_on_update=True,
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    columns=(NAME, Column("Endpoints"), AGE),
    row=row,
)
