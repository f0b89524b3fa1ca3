"""ServiceCIDR: a part of the service network that ClusterIPs are taken from."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.objectmeta import IMMUTABLE, RESET_FOR_STATUS
from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_NAME = "kubernetes"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
READY = "Ready"
READY_MESSAGE = "Kubernetes Service CIDR is ready"
CIDRS_LIMIT = 2


def networks(service_cidr: Object) -> list[Network]:
    """The networks of a valid ServiceCIDR."""
    return [ipaddress.ip_network(cidr) for cidr in service_cidr["spec"].get("cidrs") or ()]


def gives_addresses(service_cidr: Object) -> bool:
    """Whether new addresses may be taken from it. One that nobody has judged yet counts as ready."""
    ready = meta.condition(service_cidr, READY)
    return not meta.being_deleted(service_cidr) and (ready is None or ready.get("status") == "True")


def default(service_cidr: Object) -> Object:
    service_cidr.setdefault("spec", {})
    return service_cidr


def prepare_create(service_cidr: Object) -> Object:
    return {**service_cidr, "status": {}}


def validate_create(service_cidr: Object) -> Iterator[FieldError]:
    yield from _spec(service_cidr["spec"].get("cidrs") or [])


def _spec(cidrs: list[str]) -> Iterator[FieldError]:
    if not cidrs:
        yield required("spec.cidrs", "at least one CIDR required")
        return
    if len(cidrs) > CIDRS_LIMIT:
        yield invalid_value("spec.cidrs", {"CIDRs": cidrs}, "may only hold up to 2 values")
        return
    for index, cidr in enumerate(cidrs):
        yield from (invalid_value(f"spec.cidrs[{index}]", cidr, text) for text in names.canonical_cidr(cidr))
    families = [network.version for network in map(names.lenient_network, cidrs) if network is not None]
    if len(set(families)) < len(families):
        text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        yield invalid_value("spec.cidrs", cidrs, text)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    """A second family may be added; nothing else may change."""
    now, before = new["spec"].get("cidrs") or [], old["spec"].get("cidrs") or []
    if len(now) != len(before) and (len(before), len(now)) != (1, 2):
        yield invalid_value("spec.cidrs", now or None, IMMUTABLE)
        return
    for index, (cidr, was) in enumerate(zip(now, before, strict=False)):
        if cidr != was:
            yield invalid_value(f"spec.cidrs[{index}]", cidr, IMMUTABLE)
    if len(now) > len(before):
        yield from _spec(now)


def row(service_cidr: Object, now: datetime) -> list[Any]:
    cidrs = ",".join(service_cidr["spec"].get("cidrs") or ())
    return [service_cidr["metadata"]["name"], cidrs, printing.age(service_cidr, now)]


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="ServiceCIDR",
    plural="servicecidrs",
    namespaced=False,
    subresources=("status",),
    default=default,
    prepare_create=prepare_create,
    status_keeps_metadata=RESET_FOR_STATUS,
    validate_create=validate_create,
    validate_update=validate_update,
    columns=(NAME, Column("CIDRs"), AGE),
    row=row,
)
