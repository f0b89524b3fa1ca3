"""Annotations of pods that mean something: validation (k8s.io/kubernetes/pkg/apis/core/validation).

Security profiles were annotations before they were fields; where both are given they must say the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api.core import podlists, podscheduling
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value

MIRROR = "kubernetes.io/config.mirror"
TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
SECCOMP_OF_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_PREFIX = "container.seccomp.security.alpha.kubernetes.io/"
APPARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
LOCALHOST_PREFIX = "localhost/"
_RUNTIME_DEFAULTS = ("runtime/default", "docker/default")
_INTEGER = re.compile(r"(0|-?[1-9][0-9]*)\Z", re.ASCII)


def is_mirror(metadata: Mapping[str, Any]) -> bool:
    """Whether a pod is what the API shows of one that a node was told about without it."""
    return MIRROR in (metadata.get("annotations") or meta.EMPTY)


def validate(annotations: Object, spec: Object, path: str) -> Iterator[FieldError]:
    """What is wrong with annotations of a pod or a template, at `path`, beside their form."""
    if MIRROR in annotations and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        yield invalid_value(f"{path}[{MIRROR}]", annotations[MIRROR], text)
    if annotations.get(TOLERATIONS):
        yield from _tolerations(annotations[TOLERATIONS], path)
    cost = annotations.get(DELETION_COST)
    if cost is not None and not (_INTEGER.match(cost) and -(2**31) <= int(cost) < 2**31):
        yield invalid_value(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer")
    for key in sorted(annotations):
        if key == SECCOMP_OF_POD or key.startswith(SECCOMP_PREFIX):
            if not _is_profile(annotations[key]):
                yield invalid_value(f"{path}[{key}]", annotations[key], "must be a valid seccomp profile")
        elif key.startswith(APPARMOR_PREFIX):
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


def _is_profile(value: str) -> bool:
    """Of seccomp."""
    if value.startswith(LOCALHOST_PREFIX):
        target = value.removeprefix(LOCALHOST_PREFIX)
        return not target.startswith("/") and ".." not in target.split("/")
    return value in (*_RUNTIME_DEFAULTS, "unconfined")


def _apparmor(key: str, value: str, spec: Object, path: str) -> Iterator[FieldError]:
    name = key.removeprefix(APPARMOR_PREFIX)
    if all(container.get("name") != name for _, container in podlists.visit(spec, "")):
        yield invalid_value(path, name, "container not found")
    if value not in ("", "runtime/default", "unconfined") and not value.startswith(LOCALHOST_PREFIX):
        yield invalid_value(path, value, f'invalid AppArmor profile name: "{value}"')


def profile(value: str) -> Object | None:
    """The field that says what the value of an annotation says."""
    if value in _RUNTIME_DEFAULTS:
        return {"type": "RuntimeDefault"}
    if value == "unconfined":
        return {"type": "Unconfined"}
    if value.startswith(LOCALHOST_PREFIX):
        return {"type": "Localhost", "localhostProfile": value.removeprefix(LOCALHOST_PREFIX)}
    return None


def validate_match(annotations: Object, spec: Object, path: str) -> Iterator[FieldError]:
    """That profiles in the annotations of what is made are those in the fields of its spec, at `path`."""
    context = spec.get("securityContext") or meta.EMPTY
    if SECCOMP_OF_POD in annotations:
        where = f"{path}.securityContext.seccompProfile"
        yield from _match("seccomp", annotations[SECCOMP_OF_POD], context.get("seccompProfile"), where)
    for where, container in podlists.visit(spec, path):
        own, name = container.get("securityContext") or meta.EMPTY, container.get("name", "")
        for kind, field, prefix in (
            ("seccomp", "seccompProfile", SECCOMP_PREFIX),
            ("apparmor", "appArmorProfile", APPARMOR_PREFIX),
        ):
            value = annotations.get(prefix + name)
            if value is not None:
                yield from _match(kind, value, own.get(field), f"{where}.securityContext.{field}")


def _match(kind: str, value: str, field: Object | None, path: str) -> Iterator[FieldError]:
    said = profile(value)
    if said is None or field is None:
        return
    if said["type"] != field.get("type"):
        yield forbidden_field(f"{path}.type", f"{kind} type in annotation and field must match")
    elif said.get("localhostProfile") != field.get("localhostProfile"):
        yield forbidden_field(f"{path}.localhostProfile", f"{kind} profile in annotation and field must match")


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
    said = {key.removeprefix(APPARMOR_PREFIX): profile(value) for key, value in annotations.items() if APPARMOR_PREFIX in key}
    if not any(said.values()):
        return spec
    changed = dict(spec)
    for field in podlists.LISTS:
        if spec.get(field):
            changed[field] = [_with_apparmor(container, said.get(container.get("name", ""))) for container in spec[field]]
    return changed


def _with_apparmor(container: Object, said: Object | None) -> Object:
    context = container.get("securityContext") or {}
    if said is None or context.get("appArmorProfile") is not None:
        return container
    return {**container, "securityContext": {**context, "appArmorProfile": said}}
