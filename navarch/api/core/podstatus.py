"""What kubelets and schedulers may say of a pod (k8s.io/kubernetes/pkg/apis/core/validation, pkg/registry/core/pod)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from navarch.api.core import podannotations, podqos
from navarch.api.core.podsecurity import validate_id
from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
)

NO_NEGATIVE = "must be a non-negative integer"
_WELL_KNOWN_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
# What older clients do not know, and would take away without having been asked to.
_KEPT = ("resourceClaimStatuses", "extendedResourceClaimStatus", "nodeAllocatableResourceClaimStatuses")
_MAPPING = ("containerName", "resourceName", "requestName")
# The list of the status, that of the spec.
_LISTS = (
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
)


def prepare_update(new: Object, old: Object) -> Object:
    """Status updates may not move the pod; its QoS class is fixed when it is made."""
    before = old.get("status") or {}
    status = dict(new.get("status") or {})
    if not status.get("qosClass"):
        status["qosClass"] = before.get("qosClass") or podqos.class_of(old["spec"])
    for field in _KEPT:
        if status.get(field) is None and before.get(field) is not None:
            status[field] = before[field]
    if not status.get("observedGeneration") and before.get("observedGeneration"):
        status["observedGeneration"] = before["observedGeneration"]
    known = {c.get("type"): c.get("observedGeneration") for c in before.get("conditions") or ()}
    if any(known.values()) and status.get("conditions"):
        status["conditions"] = [_observed(condition, known.get(condition.get("type"))) for condition in status["conditions"]]
    address, listed = status.get("podIP"), status.get("podIPs")
    if address and (not listed or listed[0].get("ip") != address):
        # Who knows of one address only means that one (pkg/apis/core/v1/conversion.go, PodStatus).
        status["podIPs"] = [{"ip": address}]
    elif listed and not address:
        status["podIP"] = listed[0].get("ip", "")
    return {**new, "spec": old["spec"], "status": status}


def _observed(condition: Object, generation: int | None) -> Object:
    if condition.get("observedGeneration") or not generation:
        return condition
    return {**condition, "observedGeneration": generation}


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    status, before, spec = new.get("status") or {}, old.get("status") or {}, old["spec"]
    yield from podannotations.validate_update(meta.annotations(new), meta.annotations(old), "metadata.annotations")
    if new["metadata"].get("annotations"):
        yield from podannotations.validate(new["metadata"]["annotations"], spec, "metadata.annotations")
    yield from _conditions(status.get("conditions") or ())
    nominated = status.get("nominatedNodeName")
    if nominated:
        for text in names.dns1123_subdomain(nominated):
            yield invalid_value("status.nominatedNodeName", nominated, text)
        if spec.get("nodeName") and nominated != before.get("nominatedNodeName"):
            text = "may not be set on pods that are already bound to a node"
            yield forbidden_field("status.nominatedNodeName", text)
    if status.get("observedGeneration", 0) < 0:
        yield invalid_value("status.observedGeneration", status["observedGeneration"], NO_NEGATIVE)
    qos, old_qos = status.get("qosClass", ""), before.get("qosClass", "")
    if old_qos and qos != old_qos:
        yield invalid_value("status.qosClass", qos, "field is immutable")
    for statuses, containers in _LISTS:
        yield from _transitions(status.get(statuses) or (), before.get(statuses) or (), spec, containers, f"status.{statuses}")
    if status.get("resourceClaimStatuses"):
        yield from _claims(status["resourceClaimStatuses"], spec, "status.resourceClaimStatuses")
    if status.get("extendedResourceClaimStatus") is not None:
        yield from _extended_claim(status["extendedResourceClaimStatus"], spec, "status.extendedResourceClaimStatus")
    for single, several, field in (("podIP", "podIPs", "ip"), ("hostIP", "hostIPs", "ip")):
        if status.get(single, "") != before.get(single, "") or status.get(several) != before.get(several):
            yield from _addresses(status, single, several, field)
    for statuses, _ in _LISTS:
        for index, container in enumerate(status.get(statuses) or ()):
            user = (container.get("user") or meta.EMPTY).get("linux")
            if user is not None:
                yield from _user(user, f"status.{statuses}[{index}].user.linux")


def _conditions(conditions: Sequence[Object]) -> Iterator[FieldError]:
    for index, condition in enumerate(conditions):
        where, type_ = f"status.conditions[{index}]", condition.get("type", "")
        if condition.get("observedGeneration", 0) < 0:
            yield invalid_value(f"{where}.observedGeneration", condition["observedGeneration"], NO_NEGATIVE)
        if type_ not in _WELL_KNOWN_CONDITIONS:
            for text in names.qualified_name(type_):
                yield invalid_value(f"{where}.Type", type_, text)


def _transitions(now: Sequence[Object], before: Sequence[Object], spec: Object, field: str, path: str) -> Iterator[FieldError]:
    """Containers that are done for good stay so."""
    ended = {status["name"]: status for status in before if (status.get("state") or meta.EMPTY).get("terminated")}
    if not ended:
        return
    containers = {container["name"]: container for container in spec.get(field) or ()}
    for index, status in enumerate(now):
        old = ended.get(status.get("name", ""))
        if old is None or (status.get("state") or meta.EMPTY).get("terminated") is not None:
            continue
        container = containers.get(old["name"])
        if container is not None and not _may_restart(container, old["state"]["terminated"], spec, field):
            yield forbidden_field(f"{path}[{index}].state", "may not be transitioned to non-terminated state")


def _may_restart(container: Object, ended: Object, spec: Object, field: str) -> bool:
    if field == "ephemeralContainers":
        return False
    if any(_restarts_all(other) for other in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))):
        return True
    code = ended.get("exitCode", 0)
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        if (code in (codes.get("values") or ())) == (codes.get("operator") == "In"):
            return bool(rule.get("action") == "Restart")
    policy = container.get("restartPolicy") or spec.get("restartPolicy")
    return bool(policy == "Always" or (policy == "OnFailure" and code != 0))


def _restarts_all(container: Object) -> bool:
    return any(rule.get("action") == "RestartAllContainers" for rule in container.get("restartPolicyRules") or ())


def _claims(claims: Sequence[Object], spec: Object, path: str) -> Iterator[FieldError]:
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        where, name = f"{path}[{index}]", claim.get("name", "")
        if name not in known:
            yield invalid_value(f"{where}.name", name, "must match the name of an entry in `spec.resourceClaims`")
        if name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        if claim.get("resourceClaimName") is not None:
            for text in names.dns1123_subdomain(claim["resourceClaimName"]):
                yield invalid_value(f"{where}.name", claim["resourceClaimName"], text)


def _extended_claim(claim: Object, spec: Object, path: str) -> Iterator[FieldError]:
    """Which claim has the devices for the pod's extended resources, and what of it is for whom."""
    containers = {found["name"]: found for field in ("initContainers", "containers") for found in spec.get(field) or ()}
    mappings = claim.get("requestMappings") or ()
    if not mappings:
        yield required(f"{path}.requestMappings", "at least one request mapping is required")
    seen: set[tuple[str, ...]] = set()
    for index, mapping in enumerate(mappings):
        where = f"{path}.requestMappings[{index}]"
        name, resource, request = values = tuple(mapping.get(field, "") for field in _MAPPING)
        container = containers.get(name)
        if container is None:
            text = "must match the name of an entry in spec.initContainers.name or spec.containers.name"
            yield invalid_value(f"{where}.containerName", name, text)
        elif resource not in ((container.get("resources") or meta.EMPTY).get("requests") or meta.EMPTY):
            text = "must match the extended resource name of an entry in "
            text += "spec.initContainers.resources.requests or spec.containers.resources.requests"
            yield invalid_value(f"{where}.resourceName", resource, text)
        for text in names.dns1123_label(request):
            yield invalid_value(f"{path}.requestName", request, text)
        if values in seen:
            for field, value in zip(_MAPPING, values, strict=True):
                yield duplicate(f"{where}.{field}", value)
        seen.add(values)
    if not claim.get("resourceClaimName"):
        yield required(f"{path}.resourceClaimName")
    else:
        for text in names.dns1123_subdomain(claim["resourceClaimName"]):
            yield invalid_value(f"{path}.resourceClaimName", claim["resourceClaimName"], text)


def _addresses(status: Object, single: str, several: str, field: str) -> Iterator[FieldError]:
    path, address = f"status.{several}", status.get(single, "")
    listed = [item.get(field, "") for item in status.get(several) or ()]
    if not address and not listed:
        return
    if bool(address) != bool(listed):
        if listed:
            yield invalid_value(f"{path}[0].{field}", listed[0], f"must be equal to `{single}`")
        return
    if listed[0] != address:
        yield invalid_value(f"{path}[0].{field}", listed[0], f"must be equal to `{single}`")
    families: set[bool] = set()
    for index, item in enumerate(listed):
        problems = list(names.ip_address(item))
        for text in problems:
            yield invalid_value(f"{path}[{index}]", item, text)
        if not problems:
            family = ":" in item
            if family in families:
                yield invalid_value(path, status[several], "may specify no more than one IP for each IP family")
            families.add(family)


def _user(user: Object, path: str) -> Iterator[FieldError]:
    for field in ("uid", "gid"):
        yield from validate_id(user.get(field), f"{path}.{field}")
    for index, group in enumerate(user.get("supplementalGroups") or ()):
        yield from validate_id(group, f"{path}.supplementalGroups[{index}]")
