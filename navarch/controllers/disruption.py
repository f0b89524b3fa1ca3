"""Tell for each PodDisruptionBudget how many of its pods may be disrupted now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from navarch.apimachinery import intstr, meta, selectors
from navarch.apimachinery.errors import Object
from navarch.apimachinery.selectors import Selector
from navarch.client.informer import Informers
from navarch.controllers import pods as podrules
from navarch.controllers.controller import Cluster, Controller, Watch

RESOURCE = "poddisruptionbudgets.policy"
DISRUPTION_TIMEOUT_SECONDS = 120.0
"""How long an eviction may take to show in the pod."""
SCALED_KINDS = {
    "ReplicaSet": "replicasets.apps",
    "Deployment": "deployments.apps",
    "StatefulSet": "statefulsets.apps",
    "ReplicationController": "replicationcontrollers",
}

Lookup = Callable[[str, str, str], Object | None]
"""(kind, namespace, name) -> the object."""


def selector_of(budget: Object) -> Selector:
    return selectors.from_label_selector((budget.get("spec") or {}).get("selector"))


def expected_scale(pods: Iterable[Object], lookup: Lookup) -> int:
    """How many pods the controllers of these pods want; pods without one do not count. Raises ValueError if one cannot say."""
    scales: dict[str, int] = {}
    for pod in pods:
        owner = meta.controller_of(pod)
        if owner is None:
            continue
        controller = lookup(owner["kind"], meta.namespace(pod), owner["name"])
        if controller is not None and owner["kind"] == "ReplicaSet":
            above = meta.controller_of(controller)
            if above is not None:
                controller = lookup(above["kind"], meta.namespace(pod), above["name"]) or controller
        if controller is None:
            raise ValueError(f'found no controllers for pod "{meta.name(pod)}"')
        scales[meta.uid(controller)] = int(controller["spec"].get("replicas", 1))
    return sum(scales.values())


def counts(budget: Object, pods: Sequence[Object], lookup: Lookup) -> tuple[int, int]:
    """(expected pods, desired healthy). Raises ValueError where the pods' controllers cannot say how many there should be."""
    spec = budget.get("spec") or {}
    if spec.get("maxUnavailable") is not None:
        expected = expected_scale(pods, lookup)
        return expected, max(expected - intstr.scaled(spec["maxUnavailable"], expected, True), 0)
    wanted = spec.get("minAvailable")
    if wanted is None:
        return len(pods), 0
    if isinstance(wanted, int):
        return len(pods), wanted
    expected = expected_scale(pods, lookup)
    return expected, intstr.scaled(wanted, expected, True)


def unmanaged(budget: Object, pods: Sequence[Object]) -> str:
    """What to say of pods that a budget cannot count, since nobody says how many of them there should be; "" if nothing."""
    spec = budget.get("spec") or {}
    if spec.get("maxUnavailable") is None and not isinstance(spec.get("minAvailable"), str):
        return ""
    if all(meta.controller_of(pod) is not None for pod in pods):
        return ""
    selector = _as_go(spec.get("selector") or {})
    return (
        f"Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. "
        "As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "
        'To account for these pods please set ".spec.minAvailable" field to an integer value.'
    )


def _as_go(selector: Object) -> str:
    """A LabelSelector as Go prints it."""
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    expressions = ""
    for item in selector.get("matchExpressions") or ():
        values = " ".join(item.get("values") or ())
        expressions += f"LabelSelectorRequirement{{Key:{item['key']},Operator:{item['operator']},Values:[{values}],}},"
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )


def still_disrupted(budget: Object, pods: Mapping[str, Object], now: datetime) -> tuple[dict[str, str], float | None]:
    """Pods whose eviction was granted but does not show yet, and when the next of them times out."""
    kept: dict[str, str] = {}
    waits = []
    for name, since in ((budget.get("status") or {}).get("disruptedPods") or {}).items():
        pod = pods.get(name)
        due = meta.parse_time(since) + timedelta(seconds=DISRUPTION_TIMEOUT_SECONDS)
        if pod is None or meta.being_deleted(pod) or due <= now:
            continue
        kept[name] = since
        waits.append((due - now).total_seconds())
    return kept, min(waits, default=None)


def status(budget: Object, pods: Sequence[Object], lookup: Lookup, now: datetime) -> tuple[Object, float | None, str]:
    """(the budget's status, when to look again, what is wrong)."""
    before: Object = budget.get("status") or {}
    kept, after_seconds = still_disrupted(budget, {meta.name(pod): pod for pod in pods}, now)
    problem = ""
    healthy = sum(podrules.is_ready(pod) and not meta.being_deleted(pod) and meta.name(pod) not in kept for pod in pods)
    try:
        expected, desired = counts(budget, pods, lookup)
        allowed = max(healthy - desired, 0) if expected > 0 else 0
    except ValueError as error:
        problem = str(error)
        expected, desired, allowed = before.get("expectedPods", 0), before.get("desiredHealthy", 0), 0
        healthy = before.get("currentHealthy", 0)
    generation = budget["metadata"].get("generation", 0)
    condition: Object = {
        "type": "DisruptionAllowed",
        "status": "True" if allowed > 0 else "False",
        "observedGeneration": generation,
        "lastTransitionTime": meta.format_time(now),
        "reason": "SyncFailed" if problem else "SufficientPods" if allowed > 0 else "InsufficientPods",
        "message": problem,
    }
    after: Object = {
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "observedGeneration": generation,
        "conditions": meta.with_condition(before.get("conditions") or (), condition),
    }
    if kept:
        after["disruptedPods"] = kept
    return after, after_seconds, problem


async def reconcile(budget: Object, cluster: Cluster) -> float | None:
    if meta.being_deleted(budget):
        return None
    selector = selector_of(budget)
    pods = [
        pod
        for pod in cluster.informer("pods").list(meta.namespace(budget))
        if selector.matches(meta.labels(pod)) and not podrules.is_finished(pod)
    ]
    if not pods:
        cluster.event(budget, "Normal", "NoPods", "No matching pods found")

    def lookup(kind: str, namespace: str, name: str) -> Object | None:
        resource = SCALED_KINDS.get(kind, "")
        return cluster.informer(resource).get(f"{namespace}/{name}") if resource in cluster.resources else None

    after, after_seconds, problem = status(budget, pods, lookup, cluster.now())
    if problem:
        cluster.event(
            budget, "Warning", "CalculateExpectedPodCountFailed", f"Failed to calculate the number of expected pods: {problem}"
        )
    uncounted = unmanaged(budget, pods)
    if uncounted:
        cluster.event(budget, "Warning", "UnmanagedPods", uncounted)
    if after != budget.get("status"):
        await cluster.update_status(RESOURCE, {**budget, "status": after})
    return after_seconds


def _of_pod(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    if old is not None and new is not None and _facts(old) == _facts(new):
        return
    label_sets = [meta.labels(pod) for pod in (old, new) if pod is not None]
    pod = new if new is not None else old
    assert pod is not None
    for budget in informers.get(RESOURCE).list(meta.namespace(pod)):
        if any(selector_of(budget).matches(labels) for labels in label_sets):
            yield meta.key(budget)


def _facts(pod: Object) -> tuple[object, ...]:
    finished = podrules.is_finished(pod)
    return meta.labels(pod), podrules.is_ready(pod), finished, meta.being_deleted(pod), meta.controller_of(pod)


def _of_scaled(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    """A change of size changes percentages of it."""
    if old is None or new is None or old["spec"].get("replicas") == new["spec"].get("replicas"):
        return
    for budget in informers.get(RESOURCE).list(meta.namespace(new)):
        yield meta.key(budget)


CONTROLLER = Controller(
    "controllermanager",
    RESOURCE,
    reconcile,
    watches=(Watch("pods", _of_pod), *(Watch(resource, _of_scaled) for resource in SCALED_KINDS.values())),
)
