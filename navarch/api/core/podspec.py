"""The spec of a pod, alone or in a template: defaults and validation (k8s.io/kubernetes/pkg/apis/core).

What it consists of has its own modules: containers, volumes, security, scheduling, network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from navarch.api import internalform, labelselector
from navarch.api.core import (
    containerresources,
    podannotations,
    podcontainers,
    podlists,
    podnetwork,
    podscheduling,
    podsecurity,
    resourcenames,
    volume,
)
from navarch.api.objectmeta import validate_annotations, validate_labels
from navarch.apimachinery import meta, names, remember, selectors
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)

RESTART_POLICIES = ("Always", "OnFailure", "Never")
PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
DEADLINE_LIMIT_SECONDS = 2**31 - 1
_CLAIM = f"{internalform.CORE}PodResourceClaim"

# Defaults


def default(spec: Object) -> Object:
    """Fill in what a pod spec leaves open, alone or in a template. Changes `spec`."""
    for field, value in (
        ("dnsPolicy", "ClusterFirst"),
        ("restartPolicy", "Always"),
        ("schedulerName", "default-scheduler"),
    ):
        if not spec.get(field):
            spec[field] = value
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    # An alpha interface that is not offered (KEP-4671).
    spec.pop("schedulingGroup", None)
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for field in podlists.LISTS:
        for container in spec.get(field) or ():
            podcontainers.default(container)
    for item in spec.get("volumes") or ():
        volume.default(item)
    containerresources.round_amounts(spec.get("overhead"))
    if spec.get("resources") is not None:
        containerresources.default(spec["resources"])
    return spec


with_defaults = remember.shared(default)
"""The same of a spec that is not to be changed. Returns one that many share."""


# Validation


def validate(
    spec: Object, path: str, *, metadata: Mapping[str, Any] = meta.EMPTY, is_pod: bool = False
) -> Iterable[FieldError]:
    """What is wrong with a pod spec, defaults applied. `metadata`: that of the pod; templates have none that matters."""
    if spec.get("resourceClaims") or any(volume.get("ephemeral") for volume in spec.get("volumes") or ()):
        # Whether these are as they should be depends on the pod, too.
        return _problems(spec, path, metadata, is_pod)
    alike = volume.with_any_claims(spec)
    return () if (_is_valid_pod if is_pod else _is_valid_template)(alike) else _problems(spec, path, metadata, is_pod)


@remember.by_value
def _is_valid_pod(spec: Object) -> bool:
    return not any(True for _ in _problems(spec, "", meta.EMPTY, is_pod=True))


@remember.by_value
def _is_valid_template(spec: Object) -> bool:
    return not any(True for _ in _problems(spec, "", meta.EMPTY, is_pod=False))


def _problems(spec: Object, path: str, metadata: Mapping[str, Any], is_pod: bool) -> Iterator[FieldError]:
    volumes: dict[str, Object] = {}
    if spec.get("volumes"):
        pod_name = metadata.get("name", "") if is_pod else ""
        yield from volume.validate(spec["volumes"], f"{path}.volumes", pod_name, is_pod=is_pod, usable=volumes)
    claims: dict[str, None] = {}
    if spec.get("resourceClaims"):
        yield from _claims(spec["resourceClaims"], metadata, claims, f"{path}.resourceClaims")
    around = podcontainers.Surroundings(
        volumes=volumes,
        claims=claims,
        restart_policy=spec["restartPolicy"],
        grace_seconds=spec.get("terminationGracePeriodSeconds"),
        host_users=spec.get("hostUsers") is not False,
    )
    yield from podcontainers.validate(spec, path, around)
    if spec.get("resources") is not None:
        yield from containerresources.validate_pod_level(spec, f"{path}.resources", claims)
    if spec.get("hostNetwork"):
        yield from podcontainers.validate_host_network(spec.get("containers") or (), is_pod, f"{path}.containers")
    if spec["restartPolicy"] not in RESTART_POLICIES:
        yield not_supported(f"{path}.restartPolicy", spec["restartPolicy"], RESTART_POLICIES)
    yield from podnetwork.validate_dns_policy(spec["dnsPolicy"], f"{path}.dnsPolicy")
    if spec.get("nodeSelector"):
        yield from validate_labels(spec["nodeSelector"], f"{path}.nodeSelector")
    yield from podsecurity.validate_pod_context(spec.get("securityContext") or meta.EMPTY, spec, f"{path}.securityContext")
    yield from _scheduling(spec, path)
    yield from podsecurity.validate_windows_host_processes(spec, path)
    if spec.get("hostUsers") is False:
        yield from podsecurity.validate_host_users(spec, path)
    yield from podnetwork.validate_host_name_override(spec, f"{path}.hostnameOverride")
    yield from _names(spec, path)
    if spec.get("os") is not None:
        yield from podsecurity.validate_os(spec, path)
    yield from podcontainers.validate_file_variables(spec, path)


def _scheduling(spec: Object, path: str) -> Iterator[FieldError]:
    if spec.get("affinity"):
        yield from podscheduling.validate_affinity(spec["affinity"], f"{path}.affinity")
    yield from podnetwork.validate_dns_config(spec.get("dnsConfig"), spec["dnsPolicy"], f"{path}.dnsConfig")
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        type_ = gate.get("conditionType", "")
        for text in names.qualified_name(type_):
            yield invalid_value(f"{path}.readinessGates[{index}].conditionType", type_, text)
    if spec.get("schedulingGates"):
        yield from podscheduling.validate_gates(spec["schedulingGates"], f"{path}.schedulingGates")
    if spec.get("topologySpreadConstraints"):
        where = f"{path}.topologySpreadConstraints"
        yield from podscheduling.validate_topology(spec["topologySpreadConstraints"], where)


def _names(spec: Object, path: str) -> Iterator[FieldError]:
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            for text in names.dns1123_subdomain(spec[field]):
                yield invalid_value(f"{path}.{field}", spec[field], text)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= DEADLINE_LIMIT_SECONDS:
        text = f"must be between 1 and {DEADLINE_LIMIT_SECONDS}, inclusive"
        yield invalid_value(f"{path}.activeDeadlineSeconds", deadline, text)
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            for text in names.dns1123_label(spec[field]):
                yield invalid_value(f"{path}.{field}", spec[field], text)
    if spec.get("tolerations"):
        yield from podscheduling.validate_tolerations(spec["tolerations"], f"{path}.tolerations")
    if spec.get("hostAliases"):
        yield from podnetwork.validate_host_aliases(spec["hostAliases"], f"{path}.hostAliases")
    for field in ("priorityClassName", "runtimeClassName"):
        if spec.get(field) or (field == "runtimeClassName" and spec.get(field) is not None):
            for text in names.dns1123_subdomain(spec[field]):
                yield invalid_value(f"{path}.{field}", spec[field], text)
    policy = spec.get("preemptionPolicy")
    if policy == "":
        yield required(f"{path}.preemptionPolicy")
    elif policy is not None and policy not in PREEMPTION_POLICIES:
        yield not_supported(f"{path}.preemptionPolicy", policy, PREEMPTION_POLICIES)
    if spec.get("overhead"):
        yield from validate_overhead(spec["overhead"], f"{path}.overhead")


def validate_overhead(amounts: Object, path: str) -> Iterator[FieldError]:
    """What a pod takes beside its containers."""
    check = resourcenames.validate_container_name
    yield from containerresources.validate({"limits": amounts}, path, (), check)


def _claims(wanted: list[Object], metadata: Mapping[str, Any], known: dict[str, None], path: str) -> Iterator[FieldError]:
    """Devices of a pod, claimed by name (KEP-4381). Those that have a name become `known`."""
    is_mirror = podannotations.is_mirror(metadata)
    for index, claim in enumerate(wanted):
        where, name = f"{path}[{index}]", claim.get("name", "")
        if is_mirror:
            known |= {name: None} if name else {}
            yield forbidden_field("", "static pods do not support resource claims")
            continue
        if not name:
            yield required(f"{where}.name")
        elif name in known:
            yield duplicate(f"{where}.name", name)
        else:
            for text in names.dns1123_label(name):
                yield invalid_value(f"{where}.name", name, text)
            known[name] = None
        sources = [field for field in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(field) is not None]
        if len(sources) > 1:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            yield internalform.invalid_struct(where, claim, _CLAIM, text)
        elif not sources:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            yield internalform.invalid_struct(where, claim, _CLAIM, text)
        for field in sources:
            for text in names.dns1123_subdomain(claim[field]):
                yield invalid_value(f"{where}.{field}", claim[field], text)


# Templates


def validate_pod_template(template: Object, path: str) -> Iterator[FieldError]:
    """Labels, annotations and spec of any template of pods."""
    metadata, spec = template.get("metadata") or meta.EMPTY, template["spec"]
    annotations = metadata.get("annotations")
    if metadata.get("labels"):
        yield from validate_labels(metadata["labels"], f"{path}.labels")
    if annotations:
        yield from validate_annotations(annotations, f"{path}.annotations")
        yield from podannotations.validate(annotations, spec, f"{path}.annotations")
    yield from validate(spec, f"{path}.spec")
    if annotations:
        yield from podannotations.validate_seccomp_match(annotations, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        yield forbidden_field(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def validate_template(
    template: Object, selector: Mapping[str, Any] | None, path: str, *, of: str = "ReplicaSet"
) -> Iterator[FieldError]:
    """The template of a workload whose pods must restart always and match its selector."""
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector is not None:
        try:
            chosen = selectors.from_label_selector(dict(selector))
        except ValueError:
            chosen = None
        if chosen is not None and not chosen.is_everything and not chosen.matches(labels):
            yield invalid_value(f"{path}.metadata.labels", labels or None, "`selector` does not match template `labels`")
    yield from validate_pod_template(template, path)
    spec = template["spec"]
    if spec["restartPolicy"] != "Always":
        yield not_supported(f"{path}.spec.restartPolicy", spec["restartPolicy"], ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        yield forbidden_field(f"{path}.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {of} is not Supported")


def validate_selector(selector: Mapping[str, Any] | None, path: str) -> Iterator[FieldError]:
    """A workload's selector: there, well-formed, not empty."""
    if selector is None:
        yield required(path)
        return
    yield from labelselector.validate(selector, path)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid_value(path, dict(selector), "empty selector is invalid for deployment")
