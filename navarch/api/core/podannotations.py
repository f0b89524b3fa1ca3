"""Annotations of pods that mean something: validation (k8s.io/kubernetes/pkg/apis/core/validation).

Security profiles were annotations before they were fields; where both are given they must say the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from navarch.api.core import podlists, podscheduling, podsecurity
from navarch.api.core.volumesource import descending_path
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value

MIRROR = "kubernetes.io/config.mirror"
TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
SECCOMP_OF_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_PREFIX = "container.seccomp.security.alpha.kubernetes.io/"
APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
LOCALHOST_PREFIX = "localhost/"
UNCONFINED = "unconfined"
_APPARMOR_DEFAULTS = ("runtime/default",)
_SECCOMP_DEFAULTS = ("runtime/default", "docker/default")
_INTEGER = re.compile(r"(0|[1-9][0-9]*|-[0-9]+)\Z", re.ASCII)


def is_mirror(metadata: Mapping[str, Any]) -> bool:
    """Whether a pod is what the API shows of one that a node was told about without it."""
    return MIRROR in (metadata.get("annotations") or meta.EMPTY)


def validate(annotations: Mapping[str, str], spec: Object, path: str) -> Iterator[FieldError]:
    """What is wrong with annotations of a pod or a template, at `path`, beside their form."""
    if MIRROR in annotations and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        yield invalid_value(f"{path}[{MIRROR}]", annotations[MIRROR], text)
    if annotations.get(TOLERATIONS):
        yield from _tolerations(annotations[TOLERATIONS], path)
    cost = annotations.get(DELETION_COST)
    if cost is not None and not (_INTEGER.match(cost) and -(2**31) <= int(cost) < 2**31):
        yield invalid_value(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer")
    if SECCOMP_OF_POD in annotations:
        yield from _seccomp(annotations[SECCOMP_OF_POD], f"{path}.{SECCOMP_OF_POD}")
    for key in sorted(key for key in annotations if key.startswith(SECCOMP_PREFIX)):
        yield from _seccomp(annotations[key], f"{path}.{key}")
    for key in sorted(key for key in annotations if key.startswith(APPARMOR_PREFIX)):
        yield from _apparmor(key, annotations[key], spec, f"{path}[{key}]")


def _tolerations(text: str, path: str) -> Iterator[FieldError]:
    try:
        tolerations = json.loads(text)
    except ValueError as problem:
        yield invalid_value(path, TOLERATIONS, str(problem))
        return
    if not isinstance(tolerations, list) or not all(isinstance(toleration, dict) for toleration in tolerations):
        yield invalid_value(path, TOLERATIONS, "must be a list of tolerations")
        return
    yield from podscheduling.validate_tolerations(tolerations, f"{path}.{TOLERATIONS}")


def _seccomp(value: str, path: str) -> Iterator[FieldError]:
    if value.startswith(LOCALHOST_PREFIX):
        yield from descending_path(value.removeprefix(LOCALHOST_PREFIX), path)
    elif value not in (*_SECCOMP_DEFAULTS, UNCONFINED):
        yield invalid_value(path, value, "must be a valid seccomp profile")


def _apparmor(key: str, value: str, spec: Object, path: str) -> Iterator[FieldError]:
    name = key.removeprefix(APPARMOR_PREFIX)
    if all(container.get("name") != name for _, container in podlists.visit(spec, "")):
        yield invalid_value(path, name, "container not found")
    if value not in ("", *_APPARMOR_DEFAULTS, UNCONFINED) and not value.startswith(LOCALHOST_PREFIX):
        yield invalid_value(path, value, f'invalid AppArmor profile name: "{value}"')


def validate_seccomp_match(annotations: Mapping[str, str], spec: Object, path: str) -> Iterator[FieldError]:
    """That profiles of seccomp in the annotations of what is made are those in the fields of its spec, at `path`."""
    context = spec.get("securityContext") or meta.EMPTY
    if SECCOMP_OF_POD in annotations:
        where = f"{path}.securityContext.seccompProfile"
        yield from _match("seccomp", annotations[SECCOMP_OF_POD], context.get("seccompProfile"), _SECCOMP_DEFAULTS, where)
    for where, container in podlists.visit(spec, path):
        value = annotations.get(SECCOMP_PREFIX + container.get("name", ""))
        if value is not None:
            own = (container.get("securityContext") or meta.EMPTY).get("seccompProfile")
            yield from _match("seccomp", value, own, _SECCOMP_DEFAULTS, f"{where}.securityContext.seccompProfile")


def validate_apparmor_match(annotations: Mapping[str, str], spec: Object, path: str) -> Iterator[FieldError]:
    """The same for AppArmor, where what the pod says holds for containers that say nothing."""
    if _is_for_windows(spec):
        return
    of_pod = (spec.get("securityContext") or meta.EMPTY).get("appArmorProfile")
    for where, container in podlists.visit(spec, path):
        value = annotations.get(APPARMOR_PREFIX + container.get("name", ""))
        if value is not None:
            own = (container.get("securityContext") or meta.EMPTY).get("appArmorProfile") or of_pod
            yield from _match("apparmor", value, own, _APPARMOR_DEFAULTS, f"{where}.securityContext.appArmorProfile")


def _match(kind: str, value: str, field: Object | None, defaults: Sequence[str], path: str) -> Iterator[FieldError]:
    """That an annotation's value says what a field at `path` says, if there is one."""
    field = field or {}
    match field.get("type"):
        case "Unconfined":
            matches = value == UNCONFINED
        case "RuntimeDefault":
            matches = value in defaults
        case "Localhost":
            matches = value.startswith(LOCALHOST_PREFIX)
        case _:
            return
    if not matches:
        yield forbidden_field(f"{path}.type", f"{kind} type in annotation and field must match")
    elif field["type"] == "Localhost" and value.removeprefix(LOCALHOST_PREFIX) != field.get("localhostProfile"):
        yield forbidden_field(f"{path}.localhostProfile", f"{kind} profile in annotation and field must match")


def _is_for_windows(spec: Object) -> bool:
    return bool((spec.get("os") or meta.EMPTY).get("name") == "windows")


def validate_update(new: Mapping[str, str], old: Mapping[str, str], path: str) -> Iterator[FieldError]:
    """What of `new` annotations, at `path`, may not differ from `old` ones."""
    for key in sorted({*new, *old}):
        if key != MIRROR and not key.startswith(APPARMOR_PREFIX):
            continue
        shown = "mirror pod annotation" if key == MIRROR else "AppArmor annotations"
        if key in old and new.get(key) != old[key]:
            yield forbidden_field(f"{path}[{key}]", f"may not remove or update {shown}")
        elif key not in old:
            yield forbidden_field(f"{path}[{key}]", f"may not add {shown}")


def with_apparmor_fields(spec: Object, annotations: Mapping[str, str]) -> Object:
    """A pod's spec whose containers say in a field what annotations say of them. Returns a copy, if need be."""
    said = {container: found for container, found in _apparmor_fields(spec, annotations) if found is not None}
    if not said:
        return spec
    changed = dict(spec)
    for field in podlists.LISTS:
        if spec.get(field):
            changed[field] = [_with_apparmor(container, said.get(container.get("name", ""))) for container in spec[field]]
    return changed


def deprecated_apparmor(spec: Object, annotations: Mapping[str, str]) -> list[str]:
    """Annotations of a new pod, as sent, of which no field says the same, or which say nothing that a field could say."""
    return [f"{APPARMOR_PREFIX}{container}" for container, _ in _apparmor_fields(spec, annotations)]


def _apparmor_fields(spec: Object, annotations: Mapping[str, str]) -> Iterator[tuple[str, Object | None]]:
    """(container, the field that says what its annotation says, or None if there is none) where the field is missing."""
    if not any(key.startswith(APPARMOR_PREFIX) for key in annotations) or _is_for_windows(spec):
        return
    of_pod = (spec.get("securityContext") or meta.EMPTY).get("appArmorProfile")
    for _, container in podlists.visit(spec, ""):
        name = container.get("name", "")
        value = annotations.get(APPARMOR_PREFIX + name)
        if value is None or (container.get("securityContext") or meta.EMPTY).get("appArmorProfile") is not None:
            continue
        found = _apparmor_field(value)
        if found is None or found != of_pod:
            yield name, found


def _apparmor_field(value: str) -> Object | None:
    if value in _APPARMOR_DEFAULTS:
        return {"type": "RuntimeDefault"}
    if value == UNCONFINED:
        return {"type": "Unconfined"}
    if not value.startswith(LOCALHOST_PREFIX):
        return None
    found = {"type": "Localhost", "localhostProfile": value.removeprefix(LOCALHOST_PREFIX)}
    return None if any(podsecurity.validate_apparmor(found, "")) else found


def _with_apparmor(container: Object, said: Object | None) -> Object:
    context = container.get("securityContext") or {}
    if said is None or context.get("appArmorProfile") is not None:
        return container
    return {**container, "securityContext": {**context, "appArmorProfile": said}}
