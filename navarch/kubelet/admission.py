"""Whether a node takes a pod that was given to it: what the scheduler cannot know or was not asked. Pure.

Of several reasons against a pod the first one counts; the texts are the Kubernetes scheduler's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from navarch.api.core import nodeselector
from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.kubelet import resources

REJECTED = "Pod was rejected: "
OS_LABEL = "kubernetes.io/os"
OS = "linux"
NODE_AFFINITY = "NodeAffinity"
ANY_ADDRESS = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The pod fails with this reason; what its status says of it begins with `REJECTED`."""

    reason: str
    message: str


def forbidden(sysctls: Sequence[str]) -> Refusal | None:
    """`sysctls` are those of the pod that the node does not allow."""
    if sysctls:
        return Refusal("SysctlForbidden", f'forbidden sysctl: "{sysctls[0]}" not allowlisted')
    return None


def check(pod: Object, node: Object, others: Iterable[Object], allocatable: Mapping[str, str]) -> Refusal | None:
    """Whether `node` takes the pod beside `others`, the active pods it has already."""
    active = list(others)
    return _unable(pod, node) or fits(pod, active, allocatable) or _unfit(pod, node, active)


def _unable(pod: Object, node: Object) -> Refusal | None:
    """What a node like this one cannot do at all."""
    spec = pod["spec"]
    if meta.labels(pod).get(OS_LABEL, OS) != OS:
        text = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Refusal("PodOSSelectorNodeLabelDoesNotMatch", text)
    if (spec.get("os") or {}).get("name", OS) != OS:
        return Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    features = (node.get("status") or meta.EMPTY).get("features") or meta.EMPTY
    policy = (spec.get("securityContext") or {}).get("supplementalGroupsPolicy")
    if policy == "Strict" and not features.get("supplementalGroupsPolicy"):
        text = "SupplementalGroupsPolicy=Strict is not supported in this node"
        return Refusal("SupplementalGroupsPolicyNotSupported", text)
    return None


def fits(pod: Object, others: Iterable[Object], allocatable: Mapping[str, str]) -> Refusal | None:
    """Whether the node has room beside `others`."""
    active = list(others)
    capacity = int(allocatable.get("pods", "110"))
    if len(active) + 1 > capacity:
        return _lacking("pods", 1, len(active), capacity)
    for name in _resources(pod):
        if name not in allocatable and not name.startswith("hugepages-"):
            # Not this node's to give.
            continue
        wanted = resources.pod_request(pod, name)
        if not wanted:
            continue
        used = sum(resources.pod_request(other, name) for other in active)
        text = allocatable.get(name, "0")
        total = quantity.milli(text) if name == "cpu" else quantity.value(text)
        if used + wanted > total:
            return _lacking(name, wanted, used, total)
    return None


def _resources(pod: Object) -> list[str]:
    """What the pod asks for by name, in the order in which it is looked at."""
    first = ["cpu", "memory", "ephemeral-storage"]
    asking = [pod["spec"], *resources.all_containers(pod)]
    named = {name for one in asking for name in (one.get("resources") or meta.EMPTY).get("requests") or ()}
    return [*first, *sorted(named - set(first))]


def _lacking(resource: str, wanted: int, used: int, capacity: int) -> Refusal:
    lacking = f"{resource}, requested: {wanted}, used: {used}, capacity: {capacity}"
    return Refusal(f"OutOf{resource}", f"Node didn't have enough resource: {lacking}")


def _unfit(pod: Object, node: Object, others: Sequence[Object]) -> Refusal | None:
    """What is against this pod on this node."""
    spec = pod["spec"]
    if not nodeselector.allows(spec, node):
        return _failed(NODE_AFFINITY, "node(s) didn't match Pod's node affinity/selector")
    if spec.get("nodeName") and spec["nodeName"] != meta.name(node):
        return _failed("NodeName", "node(s) didn't match the requested node name")
    wanted = list(_host_ports(pod))
    if wanted and any(_conflict(one, port) for other in others for port in _host_ports(other) for one in wanted):
        return _failed("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    tolerations = spec.get("tolerations") or ()
    for taint in (node.get("spec") or meta.EMPTY).get("taints") or ():
        if taint.get("effect") == "NoExecute" and not any(nodeselector.tolerates(one, taint) for one in tolerations):
            return _failed("TaintToleration", "node(s) had taints that the pod didn't tolerate")
    return None


def _failed(predicate: str, text: str) -> Refusal:
    return Refusal(predicate, f"Predicate {predicate} failed: {text}")


def _host_ports(pod: Object) -> Iterator[tuple[str, str, int]]:
    """(address, protocol, port) of those that the pod takes on the node."""
    spec = pod["spec"]
    sidecars = [container for container in spec.get("initContainers") or () if resources.is_sidecar(container)]
    for container in (*sidecars, *(spec.get("containers") or ())):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or ANY_ADDRESS, port.get("protocol") or "TCP", port["hostPort"]


def _conflict(one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    return one[1:] == other[1:] and (one[0] == other[0] or ANY_ADDRESS in (one[0], other[0]))
