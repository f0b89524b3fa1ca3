"""APIService: who answers for one version of a group: this server itself, or another one behind a Service."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.apiregistration import priorities
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.objectmeta import RESET_FOR_STATUS
from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required

GROUP = "apiregistration.k8s.io"
AVAILABLE = "Available"
STATUSES = ("True", "False", "Unknown")
GROUP_PRIORITY_LIMIT, VERSION_PRIORITY_LIMIT = 20000, 1000
PORT = 443
MANAGED_LABEL, MANAGED_ON_START, MANAGED = "kube-aggregator.kubernetes.io/automanaged", "onstart", "true"


def name_of(group: str, version: str) -> str:
    return f"{version}.{group}"


def local(group: str, version: str) -> Object:
    """The APIService of a version that the server itself serves, as the server makes it."""
    return {
        "metadata": {"name": name_of(group, version), "labels": {MANAGED_LABEL: MANAGED_ON_START}},
        "spec": {
            "groupPriorityMinimum": priorities.GROUPS[group],
            "versionPriority": priorities.of_version(group, version),
            "version": version,
            **({"group": group} if group else {}),
        },
    }


def of_definitions(group: str, version: str) -> Object:
    """The APIService of a version in which there are custom resources: after all others."""
    spec = {"group": group, "groupPriorityMinimum": 1000, "version": version, "versionPriority": 100}
    return {"metadata": {"name": name_of(group, version), "labels": {MANAGED_LABEL: MANAGED}}, "spec": spec}


def default(service: Object) -> Object:
    spec = service.setdefault("spec", {})
    for field in ("groupPriorityMinimum", "versionPriority"):
        spec.setdefault(field, 0)
    if spec.get("service") is not None and spec["service"].get("port") is None:
        spec["service"]["port"] = PORT
    return service


def prepare_create(service: Object) -> Object:
    """Nobody need look whether a local one is available."""
    if service["spec"].get("service") is not None:
        return {**service, "status": {}}
    condition = {
        "type": AVAILABLE,
        "status": "True",
        "lastTransitionTime": service["metadata"]["creationTimestamp"],
        "reason": "Local",
        "message": "Local APIServices are always available",
    }
    return {**service, "status": {"conditions": [condition]}}


def validate(service: Object) -> Iterator[FieldError]:
    spec = service["spec"]
    group, version = spec.get("group") or "", spec.get("version") or ""
    yield from _names(service["metadata"], name_of(group, version))
    if not group and version != "v1":
        yield required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    if group:
        yield from (invalid_value("spec.group", group, text) for text in names.dns1123_subdomain(group))
    yield from (invalid_value("spec.version", version, text) for text in names.dns1035_label(version))
    for field, limit in (("groupPriorityMinimum", GROUP_PRIORITY_LIMIT), ("versionPriority", VERSION_PRIORITY_LIMIT)):
        if not 1 <= spec[field] <= limit:
            yield invalid_value(f"spec.{field}", spec[field], f"must be positive and less than {limit}")
    yield from _backend(spec)


def _names(metadata: Object, wanted: str) -> Iterator[FieldError]:
    for field in ("generateName", "name"):
        name = metadata.get(field)
        if name and name != wanted and not list(names.path_segment(name)):
            text = f'must be `spec.version+"."+spec.group`: {json.dumps(wanted, ensure_ascii=False)}'
            yield invalid_value(f"metadata.{field}", name, text)


def _backend(spec: Object) -> Iterator[FieldError]:
    service, bundle, insecure = spec.get("service"), spec.get("caBundle"), bool(spec.get("insecureSkipTLSVerify"))
    if service is None:
        if bundle:
            size = f"{_decoded_length(bundle)} bytes"
            yield invalid_value("spec.caBundle", size, "local APIServices may not have a caBundle")
        if insecure:
            text = "local APIServices may not have insecureSkipTLSVerify"
            yield invalid_value("spec.insecureSkipTLSVerify", True, text)
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            yield required(f"spec.service.{field}")
    problems = ", ".join(names.port_number(service["port"]))
    if problems:
        yield invalid_value("spec.service.port", service["port"], f"port is not valid: {problems}")
    if insecure and bundle:
        yield invalid_value("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")


def _decoded_length(bundle: str) -> int:
    try:
        return len(base64.b64decode(bundle))
    except binascii.Error:
        return 0


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    for index, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        if condition["status"] not in STATUSES:
            yield not_supported(f"status.conditions[{index}].status", condition["status"], STATUSES)


def row(service: Object, now: datetime) -> list[Any]:
    backend, condition = service["spec"].get("service"), meta.condition(service, AVAILABLE)
    shown = "Local" if backend is None else f"{backend.get('namespace', '')}/{backend.get('name', '')}"
    available = condition["status"] if condition is not None else "Unknown"
    if condition is not None and available != "True" and condition.get("reason"):
        available = f"{available} ({condition['reason']})"
    return [service["metadata"]["name"], shown, available, printing.age(service, now)]


KIND = Kind(
    group=GROUP,
    version="v1",
    kind="APIService",
    plural="apiservices",
    namespaced=False,
    categories=("api-extensions",),
    subresources=("status",),
    default=default,
    validate_name=names.path_segment,
    validate=validate,
    validate_status_update=validate_status_update,
    prepare_create=prepare_create,
    status_keeps_metadata=RESET_FOR_STATUS,
    allow_unconditional_update=False,
    columns=(NAME, Column("Service"), Column("Available"), AGE),
    row=row,
)
