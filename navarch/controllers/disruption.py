"""Tell for each PodDisruptionBudget how many of its pods may be disrupted now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from navarch.apimachinery import intstr, meta, selectors
from navarch.apimachinery.errors import Object
from navarch.apimachinery.selectors import Selector
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.controllers import pods as podrules
from navarch.controllers import scales
from navarch.controllers.controller import Cluster, Controller, Watch

RESOURCE = "poddisruptionbudgets.policy"
DISRUPTION_TIMEOUT_SECONDS = 120.0
"""How long an eviction may take to show in the pod."""


def selector_of(budget: Object) -> Selector:
    return selectors.from_label_selector((budget.get("spec") or {}).get("selector"))


def needs_scale(budget: Object) -> bool:
    """Whether it matters how many pods there should be, and not only how many there are."""
    spec = budget.get("spec") or {}
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


async def expected_scale(pods: Iterable[Object], cluster: Cluster) -> int:
    """How many pods the controllers of these pods want; pods without one do not count. Raises ValueError if one cannot say."""
    known: dict[str, scales.Scale] = {}
    for pod in pods:
        owner = meta.controller_of(pod)
        if owner is None or owner["uid"] in known:
            continue
        found = await scales.find(owner, meta.namespace(pod), cluster)
        if found is None:
            raise ValueError(f'found no controllers for pod "{meta.name(pod)}"')
        known[owner["uid"]] = found
    return sum(dict(known.values()).values())


def counts(budget: Object, pods: Sequence[Object], scale: int) -> tuple[int, int]:
    """(expected pods, desired healthy). `scale`: how many there should be, where that is needed."""
    spec = budget.get("spec") or {}
    if spec.get("maxUnavailable") is not None:
        return scale, max(scale - intstr.scaled(spec["maxUnavailable"], scale, True), 0)
    wanted = spec.get("minAvailable")
    if wanted is None:
        return 0, 0
    if isinstance(wanted, int):
        return len(pods), wanted
    return scale, intstr.scaled(wanted, scale, True)


def unmanaged(budget: Object, pods: Sequence[Object]) -> str:
    """What to say of pods that a budget cannot count, since nobody says how many of them there should be; "" if nothing."""
    if not needs_scale(budget) or all(meta.controller_of(pod) is not None for pod in pods):
        return ""
    selector = _as_go((budget.get("spec") or {}).get("selector") or {})
    return (
        f"Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. "
        "As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "
        'To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
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


def still_disrupted(
    budget: Object, pods: Mapping[str, Object], now: datetime
) -> tuple[dict[str, str], float | None, list[Object]]:
    """Pods whose eviction was granted but does not show yet, when the next of them times out, and those that have."""
    kept: dict[str, str] = {}
    waits: list[float] = []
    late: list[Object] = []
    for name, since in ((budget.get("status") or {}).get("disruptedPods") or {}).items():
        pod = pods.get(name)
        if pod is None or meta.being_deleted(pod):
            continue
        due = meta.parse_time(since) + timedelta(seconds=DISRUPTION_TIMEOUT_SECONDS)
        if due < now:
            late.append(pod)
            continue
        kept[name] = since
        waits.append((due - now).total_seconds() + 0.1)
    return kept, min(waits, default=None), late


def status(budget: Object, pods: Sequence[Object], scale: int, kept: Mapping[str, str], now: datetime) -> Object:
    """The budget's status; `kept` are the evictions that do not show yet, which count as done."""
    healthy = sum(podrules.is_ready(pod) and not meta.being_deleted(pod) and meta.name(pod) not in kept for pod in pods)
    expected, desired = counts(budget, pods, scale)
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    generation = budget["metadata"].get("generation", 0)
    reason = "SufficientPods" if allowed > 0 else "InsufficientPods"
    after: Object = {
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "observedGeneration": generation,
        "conditions": _conditions(budget, allowed > 0, reason, "", generation, now),
    }
    if kept:
        after["disruptedPods"] = dict(kept)
    return after


def failed_status(budget: Object, problem: str, now: datetime) -> Object:
    """The status where nobody knows how many pods there should be: nothing may be disrupted, all else stays."""
    before: Object = {"currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0, **(budget.get("status") or {})}
    observed = before.get("observedGeneration", 0)
    conditions = _conditions(budget, False, "SyncFailed", problem, observed, now)
    return {**before, "disruptionsAllowed": 0, "conditions": conditions}


def _conditions(budget: Object, allowed: bool, reason: str, message: str, observed: int, now: datetime) -> list[Object]:
    condition: Object = {
        "type": "DisruptionAllowed",
        "status": "True" if allowed else "False",
        "lastTransitionTime": meta.format_time(now),
        "reason": reason,
        "message": message,
    }
    if observed:
        condition["observedGeneration"] = observed
    return meta.with_condition((budget.get("status") or {}).get("conditions") or (), condition)


async def reconcile(budget: Object, cluster: Cluster) -> float | None:
    if meta.being_deleted(budget):
        return None
    selector = selector_of(budget)
    pods = [pod for pod in cluster.informer("pods").list(meta.namespace(budget)) if selector.matches(meta.labels(pod))]
    if not pods:
        cluster.event(budget, "Normal", "NoPods", "No matching pods found")
    try:
        scale = await expected_scale(pods, cluster) if needs_scale(budget) else 0
    except ValueError as error:
        text = f"Failed to calculate the number of expected pods: {error}"
        cluster.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
        await _tell(budget, failed_status(budget, str(error), cluster.now()), cluster)
        return None
    uncounted = unmanaged(budget, pods)
    if uncounted:
        cluster.event(budget, "Warning", "UnmanagedPods", uncounted)
    now = cluster.now()
    kept, after_seconds, late = still_disrupted(budget, {meta.name(pod): pod for pod in pods}, now)
    for pod in late:
        # The namespace twice, as Kubernetes has it.
        namespace = meta.namespace(budget)
        text = f"Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't"
        cluster.event(pod, "Warning", "NotDeleted", text)
    await _tell(budget, status(budget, pods, scale, kept, now), cluster)
    return after_seconds


async def _tell(budget: Object, after: Object, cluster: Cluster) -> None:
    if after != budget.get("status"):
        await cluster.update_status(RESOURCE, {**budget, "status": after})


def stale_in_seconds(pod: Object, now: datetime) -> float | None:
    """When what is said of a pod's end is stale, since it did not come; None if nothing is said, or the kubelet does."""
    if meta.being_deleted(pod) or podrules.is_finished(pod):
        return None
    target = meta.condition(pod, "DisruptionTarget")
    if target is None or target.get("status") != "True" or target.get("reason") == "TerminationByKubelet":
        return None
    if not target.get("lastTransitionTime"):
        return 0.0
    passed = (now - meta.parse_time(target["lastTransitionTime"])).total_seconds()
    return max(DISRUPTION_TIMEOUT_SECONDS - passed, 0.0)


async def reconcile_pod(pod: Object, cluster: Cluster) -> float | None:
    """Take back that a pod was to go, if it still does not."""
    left = stale_in_seconds(pod, cluster.now())
    if left is None or left > 0:
        return left
    condition: Object = {
        "type": "DisruptionTarget",
        "status": "False",
        "lastTransitionTime": meta.format_time(cluster.now()),
    }
    if generation := pod["metadata"].get("generation"):
        condition["observedGeneration"] = generation
    conditions = meta.with_condition(pod["status"]["conditions"], condition)
    await cluster.update_status("pods", meta.set_path(pod, conditions, "status", "conditions"))
    return None


def _may_be_stale(old: Object | None, new: Object | None) -> bool:
    return new is not None and stale_in_seconds(new, clock.now()) is not None


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
    watches=(Watch("pods", _of_pod), *(Watch(resource, _of_scaled) for resource in scales.SCALED_KINDS.values())),
)
STALE_CONDITIONS = Controller("controllermanager", "pods", reconcile_pod, relevant=_may_be_stale)
