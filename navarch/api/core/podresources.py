"""What a whole pod asks for and may use, as quantities by resource (k8s.io/component-helpers/resource).

Containers and sidecars run together; before them, one after the other, what initialises them. What a pod says of itself as a
whole stands above its containers' sum (KEP-2837). A container whose resources are being changed counts with the larger
of what it has and what it is to have (KEP-1287).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object

Amounts = Mapping[str, str]
POD_LEVEL = frozenset({"cpu", "memory"})
HUGE_PAGES_PREFIX = "hugepages-"


def is_pod_level(name: str) -> bool:
    """Whether a pod can ask for a resource as a whole."""
    return name in POD_LEVEL or name.startswith(HUGE_PAGES_PREFIX)


def has_pod_level(spec: Object) -> bool:
    """Whether a pod does."""
    resources = spec.get("resources") or meta.EMPTY
    return any(is_pod_level(name) for side in ("requests", "limits") for name in resources.get(side) or ())


def requests(pod: Object, *, use_status: bool = True) -> dict[str, str]:
    """What a pod asks for."""
    found = _total(pod, "requests", _larger_requests(pod) if use_status else _specified("requests"))
    for name, amount in (pod["spec"].get("overhead") or meta.EMPTY).items():
        found[name] = quantity.total((found.get(name, "0"), amount))
    return found


def limits(pod: Object, *, use_status: bool = True) -> dict[str, str]:
    """What a pod may use."""
    found = _total(pod, "limits", _larger_limits(pod) if use_status else _specified("limits"))
    for name, amount in (pod["spec"].get("overhead") or meta.EMPTY).items():
        if quantity.parse(found.get(name, "0")):
            found[name] = quantity.total((found[name], amount))
    return found


def resized_spec(pod: Object) -> Object:
    """A pod's spec whose containers ask for the larger of what they have and what they are to have."""
    spec: Object = pod["spec"]
    known = _statuses(pod)
    if not any(status.get("allocatedResources") or status.get("resources") for status in known.values()):
        return spec
    of_container, changed = _larger_requests(pod), {}
    for field in ("containers", "initContainers"):
        containers = spec.get(field) or ()
        if any(of_container(container) != _specified("requests")(container) for container in containers):
            changed[field] = [_asking(container, of_container(container)) for container in containers]
    return {**spec, **changed} if changed else spec


def _asking(container: Object, requests: Amounts) -> Object:
    return {**container, "resources": {**(container.get("resources") or meta.EMPTY), "requests": dict(requests)}}


def of_containers(spec: Object, side: str) -> dict[str, str]:
    """The `side` (requests or limits) of a pod's containers together, as its spec says."""
    return _of_containers(spec, _specified(side))


def _total(pod: Object, side: str, of_container: Callable[[Object], Amounts]) -> dict[str, str]:
    spec = pod["spec"]
    found = _of_containers(spec, of_container)
    for name, amount in ((spec.get("resources") or meta.EMPTY).get(side) or meta.EMPTY).items():
        if is_pod_level(name):
            found[name] = amount
    return found


def _of_containers(spec: Object, of_container: Callable[[Object], Amounts]) -> dict[str, str]:
    found: dict[str, str] = {}
    for container in spec.get("containers") or ():
        _add(found, of_container(container))
    sidecars: dict[str, str] = {}
    peak: dict[str, str] = {}
    for container in spec.get("initContainers") or ():
        asked = of_container(container)
        if container.get("restartPolicy") == "Always":
            _add(found, asked)
            _add(sidecars, asked)
            asked = sidecars
        elif sidecars:
            asked = dict(asked)
            _add(asked, sidecars)
        _raise(peak, asked)
    _raise(found, peak)
    return found


def _add(found: dict[str, str], more: Amounts) -> None:
    for name, amount in more.items():
        found[name] = quantity.total((found[name], amount)) if name in found else amount


def _raise(found: dict[str, str], other: Amounts) -> None:
    for name, amount in other.items():
        if name not in found or quantity.parse(amount) > quantity.parse(found[name]):
            found[name] = amount


def _specified(side: str) -> Callable[[Object], Amounts]:
    return lambda container: (container.get("resources") or meta.EMPTY).get(side) or meta.EMPTY


def _statuses(pod: Object) -> dict[str, Object]:
    status = pod.get("status") or meta.EMPTY
    known = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return {container["name"]: container for container in known}


def _is_infeasible(pod: Object) -> bool:
    pending = meta.condition(pod, "PodResizePending")
    return pending is not None and pending.get("reason") == "Infeasible"


def _larger_requests(pod: Object) -> Callable[[Object], Amounts]:
    known, infeasible, specified = _statuses(pod), _is_infeasible(pod), _specified("requests")

    def of_container(container: Object) -> Amounts:
        status = known.get(container["name"], meta.EMPTY)
        actual = (status.get("resources") or meta.EMPTY).get("requests")
        if actual is None and not status.get("allocatedResources"):
            return specified(container)
        found = {} if infeasible else dict(specified(container))
        _raise(found, actual or meta.EMPTY)
        _raise(found, status.get("allocatedResources") or meta.EMPTY)
        return found

    return of_container


def _larger_limits(pod: Object) -> Callable[[Object], Amounts]:
    known, infeasible, specified = _statuses(pod), _is_infeasible(pod), _specified("limits")

    def of_container(container: Object) -> Amounts:
        actual = (known.get(container["name"], meta.EMPTY).get("resources") or meta.EMPTY).get("limits")
        if actual is None:
            return specified(container)
        found = {} if infeasible else dict(specified(container))
        _raise(found, actual)
        return found

    return of_container
