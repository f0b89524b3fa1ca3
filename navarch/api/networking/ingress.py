"""Ingress: which HTTP requests from outside go to which Service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
HOSTS_SHOWN = 3
NOT_AN_ADDRESS = "must be a DNS name, not an IP address"
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")


def default(ingress: Object) -> Object:
    ingress.setdefault("spec", {})
    return ingress


def prepare_create(ingress: Object) -> Object:
    return {**ingress, "status": {"loadBalancer": {}}}


def validate(ingress: Object) -> Iterator[FieldError]:
    spec = ingress["spec"]
    rules, backend = spec.get("rules") or (), spec.get("defaultBackend")
    if not rules and backend is None:
        yield invalid_value("spec", None, "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        yield from _backend(backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        path = f"spec.rules[{index}]"
        host = rule.get("host", "")
        if host:
            if names.is_like_address(host):
                yield invalid_value(f"{path}.host", host, NOT_AN_ADDRESS)
            yield from _host(host, f"{path}.host")
        if rule.get("http") is not None:
            yield from _http(rule["http"], f"{path}.http")
    for index, tls in enumerate(spec.get("tls") or ()):
        for position, host in enumerate(tls.get("hosts") or ()):
            yield from _host(host, f"spec.tls[{index}].hosts[{position}]")
        name = tls.get("secretName", "")
        if name:
            yield from (invalid_value(f"spec.tls[{index}].secretName", name, text) for text in names.dns1123_subdomain(name))
    name = spec.get("ingressClassName")
    if name is not None:
        yield from (invalid_value("spec.ingressClassName", name, text) for text in names.dns1123_subdomain(name))


def warnings(ingress: Object, old: Object | None) -> Iterator[str]:
    if old is None and CLASS_ANNOTATION in meta.annotations(ingress) and "ingressClassName" not in ingress["spec"]:
        yield f"annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"


def validate_create(ingress: Object) -> Iterator[FieldError]:
    """The annotation was how a class was named before there was a field; afterwards they may differ."""
    annotated, name = meta.annotations(ingress).get(CLASS_ANNOTATION), ingress["spec"].get("ingressClassName")
    if annotated is not None and name is not None and annotated != name:
        text = "must match `ingressClassName` when both are specified"
        yield invalid_value(f"annotations.{CLASS_ANNOTATION}", annotated, text)


def _host(host: str, path: str) -> Iterator[FieldError]:
    check = names.wildcard_subdomain if "*" in host else names.dns1123_subdomain
    yield from (invalid_value(path, host, text) for text in check(host))


def _http(http: Object, path: str) -> Iterator[FieldError]:
    if not http.get("paths"):
        yield required(f"{path}.paths")
    for index, item in enumerate(http.get("paths") or ()):
        yield from _path(item, f"{path}.paths[{index}]")


def _path(item: Object, path: str) -> Iterator[FieldError]:
    type_, value = item.get("pathType"), item.get("path", "")
    if type_ is None:
        yield required(f"{path}.pathType", "pathType must be specified")
        return
    if type_ not in PATH_TYPES:
        yield not_supported(f"{path}.pathType", type_, PATH_TYPES)
    elif not value.startswith("/") and (value or type_ != "ImplementationSpecific"):
        yield invalid_value(f"{path}.path", value, "must be an absolute path")
    if type_ in ("Exact", "Prefix"):
        for sequence in _BAD_SEQUENCES:
            if sequence in value:
                yield invalid_value(f"{path}.path", value, f"must not contain '{sequence}'")
        for suffix in _BAD_SUFFIXES:
            if value.endswith(suffix):
                yield invalid_value(f"{path}.path", value, f"cannot end with '{suffix}'")
    yield from _backend(item["backend"], f"{path}.backend")


def _backend(backend: Object, path: str) -> Iterator[FieldError]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        yield invalid_value(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from validate_reference(resource, f"{path}.resource")
    elif service is not None:
        yield from _service(service, path)
    else:
        yield invalid_value(path, "", "resource or service backend is required")


def _service(service: Object, path: str) -> Iterator[FieldError]:
    name, port = service.get("name", ""), service.get("port") or {}
    if not name:
        yield required(f"{path}.service.name")
    else:
        yield from (invalid_value(f"{path}.service.name", name, text) for text in names.dns1123_label(name))
    port_name, number = port.get("name", ""), port.get("number", 0)
    if port_name and number:
        yield invalid_value(path, "", "cannot set both port name & port number")
    elif port_name:
        yield from (invalid_value(f"{path}.service.port.name", port_name, text) for text in names.port_name(port_name))
    elif number:
        yield from (invalid_value(f"{path}.service.port.number", number, text) for text in names.port_number(number))
    else:
        yield required(path, "port name or number is required")


def validate_reference(reference: Object, path: str) -> Iterator[FieldError]:
    """A kind and a name, perhaps with a group."""
    group = reference.get("apiGroup")
    if group is not None:
        yield from (invalid_value(f"{path}.apiGroup", group, text) for text in names.dns1123_subdomain(group))
    for field in ("kind", "name"):
        value = reference.get(field, "")
        if not value:
            yield required(f"{path}.{field}")
        else:
            yield from (invalid_value(f"{path}.{field}", value, text) for text in names.path_segment(value))


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    balancer = (new.get("status") or {}).get("loadBalancer") or {}
    for index, item in enumerate(balancer.get("ingress") or ()):
        path = f"status.loadBalancer.ingress[{index}]"
        address, host = item.get("ip", ""), item.get("hostname", "")
        if address:
            yield from (invalid_value(f"{path}.ip", address, text) for text in names.ip_address(address))
        if host:
            yield from (invalid_value(f"{path}.hostname", host, text) for text in names.dns1123_subdomain(host))
            if names.is_like_address(host):
                yield invalid_value(f"{path}.hostname", host, NOT_AN_ADDRESS)


def _hosts(rules: list[Object]) -> str:
    hosts: list[str] = []
    more = False
    for rule in rules:
        more |= len(hosts) == HOSTS_SHOWN
        if rule.get("host") and not more:
            hosts.append(rule["host"])
    if not hosts:
        return "*"
    return ",".join(hosts) + (f" + {len(rules) - HOSTS_SHOWN} more..." if more else "")


def row(ingress: Object, now: datetime) -> list[Any]:
    spec = ingress["spec"]
    balancer = (ingress.get("status") or {}).get("loadBalancer") or {}
    addresses = {item.get("ip") or item.get("hostname") for item in balancer.get("ingress") or ()}
    return [
        ingress["metadata"]["name"],
        spec.get("ingressClassName", printing.NONE),
        _hosts(spec.get("rules") or []),
        ",".join(sorted(filter(None, addresses))),
        "80, 443" if spec.get("tls") else "80",
        printing.age(ingress, now),
    ]


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="Ingress",
    plural="ingresses",
    short_names=("ing",),
    subresources=("status",),
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    validate_create=validate_create,
    validate_status_update=validate_status_update,
    has_generation=True,
    warnings=warnings,
    columns=(NAME, Column("Class"), Column("Hosts"), Column("Address"), Column("Ports"), AGE),
    row=row,
)
