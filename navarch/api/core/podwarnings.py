"""What the author of a pod or pod template is warned of (pkg/api/pod/warnings.go)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from navarch.api.core import nodelabels, podlists
from navarch.api.core.podannotations import APPARMOR_PREFIX, deprecated_apparmor
from navarch.api.core.volumewarnings import fractional, volume_warnings
from navarch.apimachinery import ipforms, meta, names, remember
from navarch.apimachinery.errors import Object

Fields = Mapping[str, Any]
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER_PREFIX = "container.seccomp.security.alpha.kubernetes.io/"
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_TELLING = (SECCOMP_POD, SECCOMP_CONTAINER_PREFIX, APPARMOR_PREFIX)
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_APPARMOR = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_MATCHES_NOTHING = "a null labelSelector results in matching no pod"
_REQUIRED, _PREFERRED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"


def of_pod(pod: Object, old: Object | None) -> Iterator[str]:
    """Of a new pod: what changes one is seldom a person."""
    if old is None:
        problems = list(names.dns1123_label(pod["metadata"].get("name", "")))
        if problems:
            yield (
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
                f"a DNS label is recommended: [{' '.join(problems)}]"
            )
        yield from _warnings(pod, "")


def before_it_is_prepared(pod: Object) -> Iterator[str]:
    """What is said of annotations before they become fields."""
    annotations = meta.annotations(pod)
    for key in deprecated_apparmor(pod["spec"], annotations) if annotations else ():
        yield f"metadata.annotations[{key}]: {_APPARMOR}"


def of_status(pod: Object, old: Object | None) -> Iterator[str]:
    status = pod.get("status") or meta.EMPTY
    for several in ("podIPs", "hostIPs"):
        for index, item in enumerate(status.get(several) or ()):
            yield from ipforms.address_warnings(item.get("ip", ""), f"status.{several}[{index}].ip")


def of_workload(obj: Object, old: Object | None) -> Iterator[str]:
    """Of what makes pods and names them after itself."""
    if old is None:
        yield from of_name(obj)
    yield from of_spec(obj, old)


def of_name(obj: Object) -> Iterator[str]:
    problems = list(names.dns1123_label(obj["metadata"].get("name", "")))
    if problems:
        yield (
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
            f"a DNS label is recommended: [{' '.join(problems)}]"
        )


def of_spec(obj: Object, old: Object | None) -> Iterator[str]:
    """Of ``spec.template``, if anything of the spec changes."""
    if old is None or obj["spec"] != old["spec"]:
        yield from of_template(obj["spec"].get("template"), "spec.template")


def of_template(template: Object | None, path: str) -> Iterator[str]:
    if template:
        yield from _warnings(template, f"{path}.")


def _warnings(pod: Object, prefix: str) -> Sequence[str]:
    annotations = (pod.get("metadata") or meta.EMPTY).get("annotations") or meta.EMPTY
    telling = {key: "" for key in annotations if key in _ANNOTATIONS or key.startswith(_TELLING)}
    spec = pod.get("spec") or {}
    return remember.of(spec, (_found, tuple(telling), prefix), lambda: list(_found(spec, telling, prefix)))


def _found(spec: Fields, annotations: Fields, prefix: str) -> Iterator[str]:
    """`annotations`: those that may be warned of; what they say does not matter."""
    path = f"{prefix}spec"
    for key in nodelabels.keys(spec.get("nodeSelector") or ()):
        yield f"{path}.nodeSelector[{key}]: {nodelabels.DEPRECATED[key]}"
    affinity = spec.get("affinity") or meta.EMPTY
    if affinity:
        yield from _node_affinity(affinity.get("nodeAffinity") or meta.EMPTY, f"{path}.affinity.nodeAffinity")
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        where, key = f"{path}.topologySpreadConstraints[{index}]", constraint.get("topologyKey", "")
        if key in nodelabels.DEPRECATED:
            yield f"{where}.topologyKey: {key} is {nodelabels.DEPRECATED[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{where}.labelSelector: {_MATCHES_NOTHING}"
    for key, text in _ANNOTATIONS.items() if annotations else ():
        if key in annotations:
            yield f"{prefix}metadata.annotations[{key}]: {text}"
    if spec.get("volumes"):
        yield from volume_warnings(spec["volumes"], f"{path}.volumes")
    if spec.get("hostAliases"):
        yield from _repeated(spec["hostAliases"], "ip", f"{path}.hostAliases")
    if spec.get("imagePullSecrets"):
        yield from _repeated(spec["imagePullSecrets"], "name", f"{path}.imagePullSecrets")
        for index, secret in enumerate(spec["imagePullSecrets"]):
            if not secret.get("name"):
                yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'
    if spec.get("overhead"):
        yield from fractional(spec["overhead"], f"{path}.overhead")
    yield from _containers(spec, annotations, path, prefix)
    yield from _ports(spec, path)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        yield f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
    for field in ("podAffinity", "podAntiAffinity") if affinity else ():
        yield from _pod_affinity(affinity.get(field) or meta.EMPTY, f"{path}.affinity.{field}")
    for index, server in enumerate((spec.get("dnsConfig") or meta.EMPTY).get("nameservers") or ()):
        yield from ipforms.address_warnings(server, f"{path}.dnsConfig.nameservers[{index}]")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from ipforms.address_warnings(alias.get("ip", ""), f"{path}.hostAliases[{index}].ip")


def _node_affinity(affinity: Fields, path: str) -> Iterator[str]:
    required = affinity.get(_REQUIRED) or meta.EMPTY
    for index, term in enumerate(required.get("nodeSelectorTerms") or ()):
        where = f"{path}.{_REQUIRED}.nodeSelectorTerms[{index}].matchExpressions"
        yield from nodelabels.expression_warnings(term.get("matchExpressions") or (), where)
    for index, term in enumerate(affinity.get(_PREFERRED) or ()):
        expressions = (term.get("preference") or meta.EMPTY).get("matchExpressions") or ()
        where = f"{path}.{_PREFERRED}[{index}].preference.matchExpressions"
        yield from nodelabels.expression_warnings(expressions, where, with_values=True)


def _pod_affinity(affinity: Fields, path: str) -> Iterator[str]:
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        if term.get("labelSelector") is None:
            yield f"{path}.{_REQUIRED}[{index}].labelSelector: {_MATCHES_NOTHING}"
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        if (weighted.get("podAffinityTerm") or meta.EMPTY).get("labelSelector") is None:
            yield f"{path}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {_MATCHES_NOTHING}"


def _repeated(items: Iterable[Object], field: str, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        value = item.get(field, "")
        if value in seen:
            yield f'{path}[{index}].{field}: duplicate {field} "{value}"'
        seen.add(value)


def _containers(spec: Fields, annotations: Fields, path: str, prefix: str) -> Iterator[str]:
    security = spec.get("securityContext") or meta.EMPTY
    if SECCOMP_POD in annotations and not security.get("seccompProfile"):
        yield f"{prefix}metadata.annotations[{SECCOMP_POD}]: {_SECCOMP}"
    for where, container in podlists.visit(spec, path):
        if annotations:
            own = container.get("securityContext") or meta.EMPTY
            key = SECCOMP_CONTAINER_PREFIX + container["name"]
            if key in annotations and not own.get("seccompProfile"):
                yield f"{prefix}metadata.annotations[{key}]: {_SECCOMP}"
            key = APPARMOR_PREFIX + container["name"]
            # The annotation of a pod has become a field before anybody looks.
            if prefix and key in annotations and not (own.get("appArmorProfile") or security.get("appArmorProfile")):
                yield f"{prefix}metadata.annotations[{key}]: {_APPARMOR}"
        resources = container.get("resources")
        if resources:
            yield from _fractional(resources, f"{where}.resources")
        env = container.get("env") or ()
        if len(env) > 1:
            yield from _hidden(env, f"{where}.env")


def _fractional(resources: Object, path: str) -> Iterator[str]:
    for name in ("memory", "ephemeral-storage"):
        for side in ("limits", "requests"):
            amounts = resources.get(side)
            if amounts and name in amounts:
                yield from fractional(amounts, f"{path}.{side}", (name,))


def _hidden(env: Iterable[Object], path: str) -> Iterator[str]:
    """Variables that a later one of the same name hides without building on them."""
    seen: set[str] = set()
    for index, variable in enumerate(env):
        name, value = variable.get("name", ""), variable.get("value", "")
        reference = f"$({name})"
        if name in seen and (variable.get("valueFrom") is not None or value == reference or reference not in value):
            text = f'hides previous definition of "{name}", which may be dropped when using apply'
            yield f"{path}[{index}]: {text}"
        seen.add(name)


def _ports(spec: Fields, path: str) -> Iterator[str]:
    ports = [
        (f"{where}.ports[{index}]", port)
        for where, container in podlists.visit(spec, path)
        for index, port in enumerate(container.get("ports") or ())
    ]
    if not ports:
        return
    seen: dict[tuple[int, str], list[tuple[str, str, int]]] = {}
    for where, port in ports:
        ip, number = port.get("hostIP", ""), port.get("hostPort", 0)
        if ip and not number:
            shown = f"ContainerPort:{port['containerPort']} Protocol:{port.get('protocol', '')} HostIP:{ip}"
            yield f"{where}: hostIP set without hostPort: {{Name:{port.get('name', '')} HostPort:0 {shown}}}"
        others = seen.setdefault((port["containerPort"], port.get("protocol", "")), [])
        for other, other_ip, other_number in others:
            if (ip, number) == (other_ip, other_number):
                yield f"{where}: duplicate port definition with {other}"
            elif not number or not other_number:
                yield f"{where}: overlapping port definition with {other}"
            elif number == other_number and bool(ip) != bool(other_ip):
                yield f"{where}: dangerously ambiguous port definition with {other}"
        others.append((where, ip, number))
    names_seen: dict[str, str] = {}
    for where, port in ports:
        name = port.get("name", "")
        first = names_seen.setdefault(name, where) if name else where
        if first != where:
            told = f"services and probes that select ports by name will use {first}"
            yield f'{where}: duplicate port name "{name}" with {first}, {told}'
