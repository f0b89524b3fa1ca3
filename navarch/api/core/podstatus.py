"""What kubelets and schedulers may say of a pod (k8s.io/kubernetes/pkg/apis/core/validation, pkg/registry/core/pod)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from navarch.api import internalform
from navarch.api.core import podannotations, podqos
from navarch.api.core.podsecurity import validate_id
from navarch.apimachinery import ipforms, meta, names
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_long,
)

NO_NEGATIVE = "must be a non-negative integer"
_WELL_KNOWN_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_NODE_ALLOCATABLE = "nodeAllocatableResourceClaimStatuses"
_MAPPING = ("containerName", "resourceName", "requestName")
_HEALTHS = frozenset({"Healthy", "Unhealthy", "Unknown"})
_HEALTH_MESSAGE_BYTES = 1024
_CLAIM = "claim:"
_NO_SUCH_CLAIM = (
    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' "
    "if request is empty"
)
_STATE_TIMES = {"running": ("startedAt",), "terminated": ("startedAt", "finishedAt")}
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
    _leave_out_alpha(status, before)
    if not status.get("observedGeneration") and before.get("observedGeneration"):
        status["observedGeneration"] = before["observedGeneration"]
    if status.get("conditions") and any(condition.get("observedGeneration") for condition in before.get("conditions") or ()):
        status["conditions"] = _observed(status["conditions"], before["conditions"])
    if status.get("conditions"):
        status["conditions"] = [with_times(condition) for condition in status["conditions"]]
    for field, _ in _LISTS:
        if status.get(field):
            status[field] = [_with_states(container) for container in status[field]]
    address, listed = status.get("podIP"), status.get("podIPs")
    if address and (not listed or listed[0].get("ip") != address):
        # Who knows of one address only means that one (pkg/apis/core/v1/conversion.go, PodStatus).
        status["podIPs"] = [{"ip": address}]
    elif listed and not address:
        status["podIP"] = listed[0].get("ip", "")
    return {**new, "spec": old["spec"], "status": status}


def _leave_out_alpha(status: Object, before: Object) -> None:
    """Fields of features that are off (DRANodeAllocatableResources, ImageVolumeWithDigest) are only kept."""
    if _NODE_ALLOCATABLE in status and not before.get(_NODE_ALLOCATABLE):
        del status[_NODE_ALLOCATABLE]
    for field, _ in _LISTS:
        if any(_has_volume_status(container) for container in status.get(field) or ()):
            if any(_has_volume_status(container) for kept, _ in _LISTS for container in before.get(kept) or ()):
                return
            status[field] = [_without_volume_status(container) for container in status[field]]


def _has_volume_status(container: Object) -> bool:
    return any("volumeStatus" in mount for mount in container.get("volumeMounts") or ())


def _without_volume_status(container: Object) -> Object:
    if not _has_volume_status(container):
        return container
    mounts = [{key: value for key, value in mount.items() if key != "volumeStatus"} for mount in container["volumeMounts"]]
    return {**container, "volumeMounts": mounts}


def _observed(conditions: Sequence[Object], before: Sequence[Object]) -> list[Object]:
    """Who does not say which generation a condition is of leaves it: the first of a type that of the first, and so on."""
    known: dict[str, list[int]] = {}
    for condition in before:
        known.setdefault(condition.get("type", ""), []).append(condition.get("observedGeneration", 0))
    observed = []
    for condition in conditions:
        generations = known.get(condition.get("type", ""))
        generation = generations.pop(0) if generations else 0
        if generation and not condition.get("observedGeneration"):
            condition = {**condition, "observedGeneration": generation}
        observed.append(condition)
    return observed


def with_times(condition: Object) -> Object:
    """A condition with all times that one has: those that nobody has told are null."""
    if "lastProbeTime" in condition and "lastTransitionTime" in condition:
        return condition
    return {"lastProbeTime": None, "lastTransitionTime": None, **condition}


def _with_states(container: Object) -> Object:
    """The status of a container with all times that its states have."""
    changed = {}
    for field in ("state", "lastState"):
        for name, times in _STATE_TIMES.items():
            state = (container.get(field) or meta.EMPTY).get(name)
            if state is not None and any(time not in state for time in times):
                changed[field] = {**container[field], name: {**dict.fromkeys(times), **state}}
    return {**container, **changed} if changed else container


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    status, before, spec = new.get("status") or {}, old.get("status") or {}, old["spec"]
    yield from podannotations.validate_update(meta.annotations(new), meta.annotations(old), "metadata.annotations")
    if new["metadata"].get("annotations"):
        yield from podannotations.validate(new["metadata"]["annotations"], spec, "metadata.annotations")
    yield from _conditions(status.get("conditions") or ())
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        for text in names.dns1123_subdomain(nominated):
            yield invalid_value("status.nominatedNodeName", nominated, text)
        if spec.get("nodeName"):
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
    for single, several in (("podIP", "podIPs"), ("hostIP", "hostIPs")):
        if status.get(single, "") != before.get(single, "") or status.get(several) != before.get(several):
            yield from _addresses(status, before, single, several)
    is_for_windows = (spec.get("os") or meta.EMPTY).get("name") == "windows"
    for statuses, _ in _LISTS:
        for index, container in enumerate(status.get(statuses) or ()):
            user, path = (container.get("user") or meta.EMPTY).get("linux"), f"status.{statuses}[{index}].user.linux"
            if user is not None and is_for_windows:
                yield forbidden_field(path, "cannot be set for a windows pod")
            elif user is not None:
                yield from _user(user, path)
    for statuses, containers in _LISTS:
        for index, container in enumerate(status.get(statuses) or ()):
            if container.get("allocatedResourcesStatus"):
                yield from _allocated(container, spec.get(containers) or (), f"status.{statuses}[{index}]", containers)


def _conditions(conditions: Sequence[Object]) -> Iterator[FieldError]:
    for index, condition in enumerate(conditions):
        where, type_ = f"status.conditions[{index}]", condition.get("type", "")
        if condition.get("observedGeneration", 0) < 0:
            yield invalid_value(f"{where}.observedGeneration", condition["observedGeneration"], NO_NEGATIVE)
        if type_ not in _WELL_KNOWN_CONDITIONS:
            for text in names.qualified_name(type_):
                yield invalid_value(f"{where}.Type", type_, text)


def _transitions(now: Sequence[Object], before: Sequence[Object], spec: Object, field: str, path: str) -> Iterator[FieldError]:
    """Containers that are done for good stay so. Upstream names the place in the list as it was."""
    ended = [(index, status) for index, status in enumerate(before) if _ended(status) is not None]
    if not ended or (field != "ephemeralContainers" and _may_restart_all(spec)):
        return
    for index, old in ended:
        status = meta.find(now, "name", old.get("name", ""))
        if status is None or _ended(status) is not None:
            continue
        container = meta.find(spec.get(field) or (), "name", old.get("name", ""))
        if field == "ephemeralContainers" or container is None or not _may_restart(container, _ended(old) or {}, spec):
            yield forbidden_field(f"{path}[{index}].state", "may not be transitioned to non-terminated state")


def _ended(status: Object) -> Object | None:
    ended: Object | None = (status.get("state") or meta.EMPTY).get("terminated")
    return ended


def _may_restart_all(spec: Object) -> bool:
    return any(_restarts_all(other) for field in ("containers", "initContainers") for other in spec.get(field) or ())


def _may_restart(container: Object, ended: Object, spec: Object) -> bool:
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
                yield invalid_value(f"{where}.resourceClaimName", claim["resourceClaimName"], text)


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


def _addresses(status: Object, before: Object, single: str, several: str) -> Iterator[FieldError]:
    path, address = f"status.{several}", status.get(single, "")
    listed = [item.get("ip", "") for item in status.get(several) or ()]
    if listed and listed[0] != address:
        yield invalid_value(f"{path}[0].ip", listed[0], f"must be equal to `{single}`")
    known = {item.get("ip", "") for item in before.get(several) or ()}
    for index, item in enumerate(listed):
        for text in names.ip_address(item) if item not in known else ():
            yield invalid_value(f"{path}[{index}]", item, text)
    if len(listed) > 1 and (len(listed) > 2 or {ipforms.family(item) for item in listed} != {4, 6}):
        shown = [{"IP": item} for item in listed]
        yield internalform.invalid_internal(path, shown, "may specify no more than one IP for each IP family")


def _allocated(status: Object, containers: Sequence[Object], where: str, field: str) -> Iterator[FieldError]:
    """How the devices are that a container has (KEP-4680)."""
    if field == "ephemeralContainers":
        yield forbidden_field(f"{where}.allocatedResourcesStatus", "must not be specified in container status")
        return
    container = meta.find(containers, "name", status.get("name", ""))
    for index, resource in enumerate(status["allocatedResourcesStatus"]):
        path, name = f"{where}.allocatedResourcesStatus[{index}]", resource.get("name", "")
        if container is not None:
            asked = container.get("resources") or meta.EMPTY
            if not name.startswith(_CLAIM):
                if name not in (asked.get("requests") or meta.EMPTY):
                    yield invalid_value(f"{path}.name", name, "must match one of the container's resource requests")
            elif name not in {_claimed(claim) for claim in asked.get("claims") or ()}:
                yield invalid_value(f"{path}.name", name, _NO_SUCH_CLAIM)
        seen: set[str] = set()
        for number, device in enumerate(resource.get("resources") or ()):
            yield from _health(device, f"{path}.resources[{number}]", seen)


def _claimed(claim: Object) -> str:
    """What a container's claim is called in its status."""
    request = claim.get("request")
    return f"{_CLAIM}{claim.get('name', '')}" + (f"/{request}" if request else "")


def _health(device: Object, path: str, seen: set[str]) -> Iterator[FieldError]:
    message, identity = device.get("message"), device.get("resourceID", "")
    if device.get("health", "") not in _HEALTHS:
        yield not_supported(f"{path}.health", device.get("health", ""), _HEALTHS)
    if message == "":
        yield required(f"{path}.message", "must be non-empty if specified")
    elif message is not None and len(message.encode()) > _HEALTH_MESSAGE_BYTES:
        yield too_long(f"{path}.message", _HEALTH_MESSAGE_BYTES)
    if identity in seen:
        yield duplicate(f"{path}.resourceID", identity)
    seen.add(identity)


def _user(user: Object, path: str) -> Iterator[FieldError]:
    for field in ("uid", "gid"):
        yield from validate_id(user.get(field), f"{path}.{field}")
    for index, group in enumerate(user.get("supplementalGroups") or ()):
        yield from validate_id(group, f"{path}.supplementalGroups[{index}]")
