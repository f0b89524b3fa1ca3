"""EndpointSlice: some of the addresses behind a Service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from navarch.api import objectmeta, printing
from navarch.api.core import servicewarnings
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, duplicate, invalid_value, not_supported, required, too_many

ENDPOINTS_LIMIT = 1000
ADDRESSES_LIMIT = 100
PORTS_LIMIT = 20000
HINTS_LIMIT = 8
PROTOCOLS = ("SCTP", "TCP", "UDP")
ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
SHOWN_LIMIT = 3


def default(endpoint_slice: Object) -> Object:
    for port in endpoint_slice.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")
    endpoint_slice.setdefault("endpoints", [])
    return endpoint_slice


def prepare_create(endpoint_slice: Object) -> Object:
    """Nothing is said of topology that has no field of its own."""
    if not any("deprecatedTopology" in endpoint for endpoint in endpoint_slice["endpoints"] or ()):
        return endpoint_slice
    return {**endpoint_slice, "endpoints": [_without_topology(endpoint) for endpoint in endpoint_slice["endpoints"]]}


def prepare_update(new: Object, old: Object) -> Object:
    return prepare_create(new)


def _without_topology(endpoint: Object) -> Object:
    return {field: value for field, value in endpoint.items() if field != "deprecatedTopology"}


def validate(endpoint_slice: Object) -> Iterator[FieldError]:
    type_ = endpoint_slice.get("addressType", "")
    if not type_:
        yield required("addressType")
    elif type_ not in ADDRESS_TYPES:
        yield not_supported("addressType", type_, ADDRESS_TYPES)
    endpoints, ports = endpoint_slice["endpoints"] or (), endpoint_slice.get("ports") or ()
    if len(endpoints) > ENDPOINTS_LIMIT:
        yield too_many("endpoints", len(endpoints), ENDPOINTS_LIMIT)
    else:
        for index, endpoint in enumerate(endpoints):
            yield from _endpoint(endpoint, f"endpoints[{index}]", type_)
    if len(ports) > PORTS_LIMIT:
        yield too_many("ports", len(ports), PORTS_LIMIT)
    else:
        yield from _ports(ports)


def _endpoint(endpoint: Object, path: str, type_: str) -> Iterator[FieldError]:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > ADDRESSES_LIMIT:
        yield too_many(f"{path}.addresses", len(addresses), ADDRESSES_LIMIT)
    for index, address in enumerate(addresses):
        yield from _address(address, f"{path}.addresses[{index}]", type_)
    for field, check in (("nodeName", names.dns1123_subdomain), ("hostname", names.dns1123_label)):
        if endpoint.get(field) is not None:
            yield from (invalid_value(f"{path}.{field}", endpoint[field], text) for text in check(endpoint[field]))
    hints = endpoint.get("hints") or {}
    yield from _hints(hints.get("forZones") or (), f"{path}.hints.forZones", names.label_value)
    yield from _hints(hints.get("forNodes") or (), f"{path}.hints.forNodes", names.dns1123_subdomain)


def _address(address: str, path: str, type_: str) -> Iterator[FieldError]:
    if type_ == "FQDN":
        yield from _domain(address, path)
    elif type_ in ("IPv4", "IPv6"):
        problems = list(names.ip_address(address))
        if not problems:
            if (type_ == "IPv6") != (":" in address):
                problems.append(f"must be an {type_} address")
            problems += names.endpoint_ip(address)
        yield from (invalid_value(path, address, text) for text in problems)


def _domain(name: str, path: str) -> Iterator[FieldError]:
    """A name with at least two parts, with or without a dot at its end."""
    if not name:
        yield required(path)
        return
    name = name.removesuffix(".")
    problems = list(names.dns1123_subdomain(name))
    if problems:
        yield invalid_value(path, name, ",".join(problems))
    elif "." not in name:
        yield invalid_value(path, name, "should be a domain with at least two segments separated by dots")
    else:
        for label in name.split("."):
            problems = list(names.dns1123_label(label))
            if problems:
                yield invalid_value(path, label, ",".join(problems))
                return


def _hints(hints: Sequence[Object], path: str, check: Callable[[str], Iterable[str]]) -> Iterator[FieldError]:
    if len(hints) > HINTS_LIMIT:
        yield too_many(path, len(hints), HINTS_LIMIT)
        return
    seen: set[str] = set()
    for index, hint in enumerate(hints):
        name, where = hint.get("name", ""), f"{path}[{index}].name"
        if name in seen:
            yield duplicate(where, name)
        seen.add(name)
        yield from (invalid_value(where, name, text) for text in check(name))


def _ports(ports: Sequence[Object]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path, name, protocol = f"ports[{index}]", port["name"], port["protocol"]
        if name:
            yield from (invalid_value(f"{path}.name", name, text) for text in names.dns1123_label(name))
        if name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)
        if protocol not in PROTOCOLS:
            yield not_supported(f"{path}.protocol", protocol, PROTOCOLS)
        application = port.get("appProtocol")
        if application is not None:
            problems = names.qualified_name(application)
            yield from (invalid_value(f"{path}.appProtocol", application, text) for text in problems)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from objectmeta.immutable("addressType", new.get("addressType"), old.get("addressType"))


def row(endpoint_slice: Object, now: datetime) -> list[Any]:
    # A port without a number stands for all of them, and is shown by its name.
    ports = [str(port.get("port", port.get("name", "*"))) for port in endpoint_slice.get("ports") or ()]
    addresses = [address for endpoint in endpoint_slice.get("endpoints") or () for address in endpoint["addresses"]]
    return [
        endpoint_slice["metadata"]["name"],
        endpoint_slice.get("addressType", ""),
        _limited(ports),
        _limited(addresses),
        printing.age(endpoint_slice, now),
    ]


def _limited(items: list[str]) -> str:
    more = f" + {len(items) - SHOWN_LIMIT} more..." if len(items) > SHOWN_LIMIT else ""
    return (",".join(items[:SHOWN_LIMIT]) + more) or printing.UNSET


KIND = Kind(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    default=default,
    validate=validate,
    warnings=servicewarnings.of_slice,
    validate_update=validate_update,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    has_generation=True,
    spec_fields=("endpoints", "ports", "metadata.labels"),
    columns=(NAME, Column("AddressType"), Column("Ports"), Column("Endpoints"), AGE),
    row=row,
)
