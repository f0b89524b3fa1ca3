"""IPAddress: one address of the service network, and whose it is. Its name is the address."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api.internalform import immutable_struct
from navarch.api.kind import NAME, Column, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required

FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family"
MANAGED_BY_LABEL = "ipaddress.kubernetes.io/managed-by"


def default(address: Object) -> Object:
    address.setdefault("spec", {})
    return address


def validate(address: Object) -> Iterator[FieldError]:
    parent, path = address["spec"].get("parentRef"), "spec.parentRef"
    if parent is None:
        yield required(path)
        return
    group = parent.get("group", "")
    if group:
        yield from (invalid_value(f"{path}.group", group, text) for text in names.dns1123_subdomain(group))
    for field in ("resource", "name", "namespace"):
        value = parent.get(field, "")
        if value:
            yield from (invalid_value(f"{path}.{field}", value, text) for text in names.path_segment(value))
        elif field != "namespace":
            yield required(f"{path}.{field}")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = new["spec"].get("parentRef"), old["spec"].get("parentRef")
    yield from immutable_struct("spec.parentRef", now, before, "io.k8s.api.networking.v1.ParentReference")


def row(address: Object, now: datetime) -> list[Any]:
    parent = address["spec"]["parentRef"]
    resource = f"{parent['resource']}.{parent['group']}" if parent.get("group") else parent["resource"]
    shown = [resource.lower(), *filter(None, (parent.get("namespace"), parent["name"]))]
    return [address["metadata"]["name"], "/".join(shown)]


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IPAddress",
    plural="ipaddresses",
    namespaced=False,
    short_names=("ip",),
    validate_name=names.canonical_ip_address,
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("ParentRef")),
    row=row,
)
