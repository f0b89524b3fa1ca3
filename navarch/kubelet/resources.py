"""Requests and limits: a pod's QoS class, and what the kernel is told of them (CPU shares and quota, memory, OOM score).

Pure. Rules: kubernetes.io/docs "Pod Quality of Service Classes", "Node-pressure Eviction" (OOM scores), and the kubelet's
conversion of milli-CPU to cgroup values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from navarch.apimachinery import quantity
from navarch.apimachinery.errors import Object

if TYPE_CHECKING:
    from navarch.cri import runtime_pb2 as pb

QoS = Literal["Guaranteed", "Burstable", "BestEffort"]

MIN_SHARES = 2
MAX_SHARES = 262144
SHARES_PER_CPU = 1024
QUOTA_PERIOD_MICROSECONDS = 100_000
MIN_QUOTA_MICROSECONDS = 1000

GUARANTEED_OOM_SCORE = -997
BEST_EFFORT_OOM_SCORE = 1000
NODE_CRITICAL_PRIORITY = 2_000_001_000

_COMPUTE = ("cpu", "memory")


@dataclass(frozen=True, slots=True)
class PodLimits:
    """What a pod's own cgroup is set to; 0 leaves a value alone."""

    cpu_shares: int = MIN_SHARES
    cpu_quota_microseconds: int = 0
    memory_bytes: int = 0


def all_containers(pod: Object) -> Iterator[Object]:
    """Init containers, containers and ephemeral containers of the spec."""
    spec = pod["spec"]
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()
    yield from spec.get("ephemeralContainers") or ()


def is_sidecar(container: Object) -> bool:
    """An init container that runs along with the others (KEP-753)."""
    return container.get("restartPolicy") == "Always"


def _amount(container: Object, side: str, name: str) -> str | None:
    text = ((container.get("resources") or {}).get(side) or {}).get(name)
    return None if text is None else str(text)


def requested(container: Object, name: str) -> str | None:
    """The request; where only a limit is given, that."""
    return _amount(container, "requests", name) or _amount(container, "limits", name)


def qos_class(pod: Object) -> QoS:
    """As the spec says; every init container counts, ephemeral ones don't."""
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    if spec.get("resources"):
        containers = [{"resources": spec["resources"]}]
    anything, guaranteed = False, True
    for container in containers:
        for name in _COMPUTE:
            limit, request = _amount(container, "limits", name), requested(container, name)
            limited = limit is not None and quantity.parse(limit) > 0
            anything = anything or limited or (request is not None and quantity.parse(request) > 0)
            if not limited or request is None or quantity.parse(request) != quantity.parse(str(limit)):
                guaranteed = False
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def shares_of(milli_cpu: int) -> int:
    return max(MIN_SHARES, min(milli_cpu * SHARES_PER_CPU // 1000, MAX_SHARES))


def quota_of(milli_cpu: int) -> int:
    """CFS quota in microseconds per period; 0 means none."""
    return 0 if milli_cpu == 0 else max(milli_cpu * QUOTA_PERIOD_MICROSECONDS // 1000, MIN_QUOTA_MICROSECONDS)


def oom_score(pod: Object, container: Object, memory_capacity_bytes: int) -> int:
    """How readily the kernel kills this container when memory runs out."""
    if (pod["spec"].get("priority") or 0) >= NODE_CRITICAL_PRIORITY:
        return GUARANTEED_OOM_SCORE
    qos = qos_class(pod)
    if qos == "Guaranteed":
        return GUARANTEED_OOM_SCORE
    if qos == "BestEffort":
        return BEST_EFFORT_OOM_SCORE
    score = _burstable_score(container, memory_capacity_bytes)
    if is_sidecar(container):
        # A sidecar must not be killed before the containers it serves.
        score = min([score, *(_burstable_score(one, memory_capacity_bytes) for one in pod["spec"]["containers"])])
    return score


def _burstable_score(container: Object, memory_capacity_bytes: int) -> int:
    request = quantity.value(requested(container, "memory") or "0")
    score = 1000 - 1000 * request // max(memory_capacity_bytes, 1)
    # Above the guaranteed ones, below best effort.
    if score < 1000 + GUARANTEED_OOM_SCORE:
        return 1000 + GUARANTEED_OOM_SCORE
    return score - 1 if score == BEST_EFFORT_OOM_SCORE else score


def container_resources(pod: Object, container: Object, memory_capacity_bytes: int) -> pb.LinuxContainerResources:
    """What the runtime is told for one container."""
    cpu = quantity.milli(requested(container, "cpu") or "0")
    limit = quantity.milli(_limit(pod, container, "cpu"))
    # Not above: simulated nodes, which ask no runtime, need not load its messages.
    from navarch.cri import runtime_pb2 as pb

    resources = pb.LinuxContainerResources(
        cpu_shares=shares_of(cpu),
        memory_limit_in_bytes=quantity.value(_limit(pod, container, "memory")),
        oom_score_adj=oom_score(pod, container, memory_capacity_bytes),
    )
    if limit:
        resources.cpu_period = QUOTA_PERIOD_MICROSECONDS
        resources.cpu_quota = quota_of(limit)
    return resources


def _limit(pod: Object, container: Object, name: str) -> str:
    """A container's own limit, else that of the pod as a whole."""
    return _amount(container, "limits", name) or _amount(pod["spec"], "limits", name) or "0"


def pod_limits(pod: Object) -> PodLimits:
    """What the pod's cgroup is set to: sums, where every container has the limit in question."""
    spec = pod["spec"]
    return PodLimits(
        cpu_shares=shares_of(_pod_sum(spec, "requests", "cpu", 1000)),
        cpu_quota_microseconds=quota_of(_pod_sum(spec, "limits", "cpu", 1000)) if _all_limited(spec, "cpu") else 0,
        memory_bytes=_pod_sum(spec, "limits", "memory", 1) if _all_limited(spec, "memory") else 0,
    )


def pod_request(pod: Object, name: str) -> int:
    """What the pod asks for: milli-CPU or bytes."""
    return _pod_sum(pod["spec"], "requests", name, 1000 if name == "cpu" else 1)


def _all_limited(spec: Object, name: str) -> bool:
    if ((spec.get("resources") or {}).get("limits") or {}).get(name) is not None:
        return True
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return all(quantity.parse(_amount(container, "limits", name) or "0") > 0 for container in containers)


def _pod_sum(spec: Object, side: str, name: str, scale: int) -> int:
    """A pod's need: all that run together, or the greediest moment of its initialisation; overhead on top."""

    def need(container: Object) -> int:
        text = requested(container, name) if side == "requests" else _amount(container, side, name)
        return quantity.milli(text or "0") if scale == 1000 else quantity.value(text or "0")

    if ((spec.get("resources") or {}).get(side) or {}).get(name) is not None:
        total = need(spec)
    else:
        total = sum(need(container) for container in spec.get("containers") or ())
        beside, peak = 0, 0
        for container in spec.get("initContainers") or ():
            if is_sidecar(container):
                beside += need(container)
                peak = max(peak, beside)
            else:
                peak = max(peak, beside + need(container))
        total = max(total + beside, peak)
    overhead: Mapping[str, str] = spec.get("overhead") or {}
    extra = overhead.get(name)
    if extra is not None and (total or side == "requests"):
        total += quantity.milli(extra) if scale == 1000 else quantity.value(extra)
    return total
