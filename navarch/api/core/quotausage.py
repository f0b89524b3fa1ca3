"""What an object uses of a ResourceQuota, and which quotas it counts against (k8s.io/kubernetes/pkg/quota/v1).

Every namespaced object counts as ``count/RESOURCE.GROUP``. Pods, services and claims, on storage or devices, are measured too.
Devices of a class that gives an extended resource count as that resource, whether a pod asks for it or claims them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from navarch.api.core import podqos, podresources, resourcenames, storageaccess
from navarch.api.core.persistentvolumeclaim import requested
from navarch.api.resource import deviceusage
from navarch.apimachinery import meta, quantity, selectors
from navarch.apimachinery.errors import Object

Amounts = dict[str, str]
PODS, SERVICES, CLAIMS, DEVICE_CLAIMS = "pods", "services", "persistentvolumeclaims", "resourceclaims.resource.k8s.io"
MEASURED = (PODS, SERVICES, CLAIMS, DEVICE_CLAIMS)
"""Resources of whose objects more than their number counts."""
UNCOUNTED = frozenset({"bindings", "componentstatuses", "events", "events.events.k8s.io"})
# Resources that had a name of their own before everything could be counted.
_ALIASES = frozenset({"configmaps", "resourcequotas", "replicationcontrollers", "secrets"})
_POD_NAMES = resourcenames.COMPUTE | {
    "count/pods",
    "pods",
    "ephemeral-storage",
    "requests.ephemeral-storage",
    "limits.ephemeral-storage",
}
_POD_PREFIXES = ("hugepages-", "requests.hugepages-")
DEVICE_CLASS_PREFIX = "deviceclass.resource.kubernetes.io/"
_SERVICE_NAMES = frozenset({"count/services", "services", "services.nodeports", "services.loadbalancers"})
_CLAIM_NAMES = ("persistentvolumeclaims", "requests.storage")
STORAGE_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
DEVICES_SUFFIX = ".deviceclass.resource.k8s.io/devices"
EXTENDED_CLAIM = "resource.kubernetes.io/extended-resource-claim"
"""Annotation of a claim that was made for the extended resources of a pod."""
ONE = "1"


@dataclass(frozen=True, slots=True)
class Lookups:
    """What else the usage of a claim on devices depends on."""

    extended_resource: Callable[[str], str] = lambda device_class: ""
    """The extended resource that a device class names; "" if it names none."""
    pod: Callable[[str, str], Object | None] = lambda namespace, name: None
    claims: Callable[[str], Iterable[Object]] = lambda namespace: ()
    """All claims on devices in a namespace."""


NOTHING = Lookups()


def resources_of(name: str) -> tuple[str, ...]:
    """Whose objects use what a quota calls `name`; none where that is nothing known."""
    if name.startswith("count/"):
        return (name.removeprefix("count/"),)
    measured = tuple(resource for resource in MEASURED if counts(resource, name))
    return measured or ((name,) if name in _ALIASES else ())


def counts(resource: str, name: str) -> bool:
    """Whether objects of a resource use what a quota calls `name`."""
    if name == f"count/{resource}":
        return True
    if resource == PODS:
        return name in _POD_NAMES or name.startswith(_POD_PREFIXES) or _is_extended_request(name)
    if resource == SERVICES:
        return name in _SERVICE_NAMES
    if resource == CLAIMS:
        return name in _CLAIM_NAMES or name.endswith(tuple(STORAGE_CLASS_SUFFIX + claim for claim in _CLAIM_NAMES))
    if resource == DEVICE_CLAIMS:
        return name.endswith(DEVICES_SUFFIX) or _is_extended_request(name)
    return resource in _ALIASES and name == resource


def _is_extended_request(name: str) -> bool:
    asked = name.removeprefix(resourcenames.REQUESTS_PREFIX)
    return asked != name and (not resourcenames.is_native(name) or asked.startswith(DEVICE_CLASS_PREFIX))


def usage(resource: str, obj: Object, now: datetime, lookups: Lookups = NOTHING) -> Amounts:
    """What an object uses, by what quotas call it."""
    found = {f"count/{resource}": ONE}
    if resource == PODS:
        if is_counted(obj, now):
            found |= _of_pod(podresources.requests(obj), podresources.limits(obj))
    elif resource == SERVICES:
        found |= _of_service(obj["spec"])
    elif resource == CLAIMS:
        found |= _of_claim(obj)
    elif resource == DEVICE_CLAIMS:
        found |= _of_device_claim(obj, now, lookups)
    elif resource in _ALIASES:
        found[resource] = ONE
    return found


# Pods


def expiry(pod: Object) -> datetime | None:
    """When a pod that is being deleted no longer counts, should it still be there: its node may have been lost."""
    if not meta.being_deleted(pod) or pod["metadata"].get("deletionGracePeriodSeconds") is None:
        return None
    grace = timedelta(seconds=pod["metadata"]["deletionGracePeriodSeconds"])
    return meta.parse_time(pod["metadata"]["deletionTimestamp"]) + grace


def is_counted(pod: Object, now: datetime) -> bool:
    """Whether a pod uses more than its entry: it does until it has ended."""
    if (pod.get("status") or meta.EMPTY).get("phase") in ("Failed", "Succeeded"):
        return False
    end = expiry(pod)
    return end is None or now <= end


def _of_pod(requests: Mapping[str, str], limits: Mapping[str, str]) -> Amounts:
    found = {"pods": ONE}
    for name in ("cpu", "memory", "ephemeral-storage"):
        if name in requests:
            found[name] = found[f"requests.{name}"] = requests[name]
        if name in limits:
            found[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if resourcenames.is_huge_page(name):
            found[name] = found[f"requests.{name}"] = amount
        elif resourcenames.is_extended(name) or name.startswith(DEVICE_CLASS_PREFIX):
            found[f"requests.{name}"] = amount
    return found


def is_terminating(pod: Object) -> bool:
    """Whether a pod has a deadline."""
    deadline = pod["spec"].get("activeDeadlineSeconds")
    return deadline is not None and deadline >= 0


def _crosses_namespaces(pod: Object) -> bool:
    affinity = pod["spec"].get("affinity") or meta.EMPTY
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or meta.EMPTY
        soft = terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        wanted = [term.get("podAffinityTerm") or meta.EMPTY for term in soft]
        for term in (*(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ()), *wanted):
            if term.get("namespaces") or term.get("namespaceSelector") is not None:
                return True
    return False


def missing(names: Iterable[str], pod: Object) -> str:
    """Which of the resources that a quota limits the containers of a pod leave open; "" is none of them."""
    # So it is only for the oldest resources: that what is limited must be asked for was a mistake.
    needed = resourcenames.COMPUTE.intersection(names)
    if not needed or podresources.has_pod_level(pod["spec"]):
        return ""
    found: dict[str, set[str]] = {}
    for field in ("containers", "initContainers"):
        for container in pod["spec"].get(field) or ():
            resources = container.get("resources") or meta.EMPTY
            given = _of_pod(resources.get("requests") or meta.EMPTY, resources.get("limits") or meta.EMPTY)
            for name in needed - given.keys():
                found.setdefault(name, set()).add(container["name"])
    if not found:
        return ""
    return "must specify " + "; ".join(f"{name} for: {','.join(sorted(who))}" for name, who in sorted(found.items()))


# Services and claims


def _of_service(spec: Object) -> Amounts:
    ports, type_ = spec.get("ports") or (), spec.get("type")
    node_ports = 0
    if type_ == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        node_ports = sum(bool(port.get("nodePort")) for port in ports)
    elif type_ in ("NodePort", "LoadBalancer"):
        node_ports = len(ports)
    balancers = "1" if type_ == "LoadBalancer" else "0"
    return {"services": ONE, "services.nodeports": str(node_ports), "services.loadbalancers": balancers}


def _of_claim(claim: Object) -> Amounts:
    found = {"persistentvolumeclaims": ONE}
    wanted = requested(claim["spec"])
    if wanted is not None:
        allocated = ((claim.get("status") or meta.EMPTY).get("allocatedResources") or meta.EMPTY).get("storage", "0")
        most = max(wanted, allocated, key=quantity.parse)
        # Parts of a byte count as a whole one.
        found["requests.storage"] = most if quantity.parse(most).denominator == 1 else str(quantity.value(most))
    storage_class = storageaccess.class_of(claim)
    if storage_class:
        found |= {f"{storage_class}{STORAGE_CLASS_SUFFIX}{name}": amount for name, amount in found.items()}
    return found


def _of_device_claim(claim: Object, now: datetime, lookups: Lookups) -> Amounts:
    by_class = deviceusage.by_class(claim["spec"])
    found = {f"{name}{DEVICES_SUFFIX}": str(devices) for name, devices in by_class.items()}
    extended: Counter[str] = Counter()
    for name, devices in by_class.items():
        for resource in (DEVICE_CLASS_PREFIX + name, lookups.extended_resource(name)):
            if resource:
                extended[resourcenames.REQUESTS_PREFIX + resource] += devices
    pod = _asking_pod(claim, lookups)
    asked = {} if pod is None else usage(PODS, pod, now)
    for name, devices in extended.items():
        rest = devices - quantity.value(asked.get(name, "0"))  # The rest has been charged to the pod.
        if rest > 0:
            found[name] = str(rest)
    return found


def _asking_pod(claim: Object, lookups: Lookups) -> Object | None:
    """The pod that asked for the devices as extended resources. Only one claim is what a pod asked for."""
    owner = meta.controller_of(claim)
    if owner is None or not _is_extended_claim(claim, owner["uid"]):
        return None
    namespace = meta.namespace(claim)
    pod = lookups.pod(namespace, owner["name"])
    if pod is None or meta.uid(pod) != owner["uid"]:
        return None
    told = (pod.get("status") or meta.EMPTY).get("extendedResourceClaimStatus")
    if told is not None:
        return pod if told.get("resourceClaimName") == meta.name(claim) else None
    others = (other for other in lookups.claims(namespace) if _is_extended_claim(other, owner["uid"]))
    return None if any(_age(other) < _age(claim) for other in others) else pod


def _is_extended_claim(claim: Object, pod_uid: str) -> bool:
    owner = meta.controller_of(claim)
    if owner is None or (owner.get("apiVersion"), owner.get("kind"), owner["uid"]) != ("v1", "Pod", pod_uid):
        return False
    return meta.annotations(claim).get(EXTENDED_CLAIM) == "true"


def _age(obj: Object) -> tuple[str, str]:
    return str(obj["metadata"].get("creationTimestamp") or ""), meta.name(obj)


def _attributes_classes(claim: Object) -> set[str]:
    status = claim.get("status") or meta.EMPTY
    target = (status.get("modifyVolumeStatus") or meta.EMPTY).get("targetVolumeAttributesClassName")
    named = (claim["spec"].get("volumeAttributesClassName"), status.get("currentVolumeAttributesClassName"), target)
    return {name for name in named if name}


# Scopes


def is_in_scope(quota: Object, resource: str, obj: Object) -> bool:
    """Whether an object is one of those that a quota is about."""
    return all(_matches(expression, resource, obj) for expression in _scopes(quota.get("spec") or meta.EMPTY))


def _scopes(spec: Mapping[str, object]) -> Iterator[Object]:
    for scope in spec.get("scopes") or ():  # type: ignore[attr-defined]
        yield {"scopeName": scope, "operator": "Exists"}
    selector: Mapping[str, Iterable[Object]] = spec.get("scopeSelector") or meta.EMPTY  # type: ignore[assignment]
    yield from selector.get("matchExpressions") or ()


def _matches(expression: Object, resource: str, obj: Object) -> bool:
    scope = expression.get("scopeName")
    if resource == CLAIMS and scope == "VolumeAttributesClass":
        return _chooses(expression, _attributes_classes(obj))
    if resource != PODS:
        return False
    match scope:
        case "Terminating":
            return is_terminating(obj)
        case "NotTerminating":
            return not is_terminating(obj)
        case "BestEffort":
            return podqos.class_of(obj["spec"]) == "BestEffort"
        case "NotBestEffort":
            return podqos.class_of(obj["spec"]) != "BestEffort"
        case "PriorityClass":
            name = obj["spec"].get("priorityClassName")
            return _chooses(expression, {name} if name else set())
        case "CrossNamespacePodAffinity":
            return _crosses_namespaces(obj)
    return False


def _chooses(expression: Object, names: set[str]) -> bool:
    """Whether one of an object's classes, or having none, is what an expression asks for."""
    operator, key = expression.get("operator", ""), expression.get("scopeName", "")
    if operator == "Exists":
        return bool(names)
    selector = selectors.from_label_selector({"matchExpressions": [{**expression, "key": key, "operator": operator}]})
    return any(selector.matches({key: name}) for name in names) if names else selector.matches({})
