"""Make room for a pod by taking pods of lower priority off one node (DefaultPreemption).

Of all nodes where that helps, the one is taken whose victims matter least: fewest broken disruption budgets, lowest highest
priority, lowest sum of priorities, fewest pods, latest start of the most important one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object
from navarch.scheduler.cycle import judge_row
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.runtime import Filtered, Fit, Framework, unavailable
from navarch.scheduler.snapshot import Snapshot

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, and the pods that would have to leave it; the most important first."""

    node: str
    victims: tuple[PodInfo, ...]
    violations: int
    """How many of them a disruption budget protects."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a search for victims is made with."""

    framework: Framework
    filtered: Filtered
    pod: PodInfo
    snapshot: Snapshot
    budgets: Sequence[Object]

    def fits(self, row: int) -> bool:
        return judge_row(self.framework, self.filtered, self.pod, self.snapshot, row)


@dataclass(frozen=True, slots=True)
class Outcome:
    candidate: Candidate | None
    message: str
    """What to say where there is none."""


def ineligible(pod: PodInfo, snapshot: Snapshot) -> str:
    """Why the pod may not preempt now; "" if it may."""
    if not pod.may_preempt:
        return "not eligible due to preemptionPolicy=Never."
    row = snapshot.rows.get(pod.nominated_node_name)
    if row is not None and any(p.info.is_terminating and p.info.priority < pod.priority for p in snapshot.pods[row].values()):
        return "not eligible due to a terminating pod on the nominated node."
    return ""


def find(search: Search, fit: Fit, random: Random, *, min_candidates: int, min_percentage: int) -> Outcome:
    """Where and whom to preempt, given the `fit` that found no node. No more candidates are looked for than configured."""
    pod, snapshot = search.pod, search.snapshot
    reason = ineligible(pod, snapshot)
    if reason:
        return Outcome(None, f"preemption: {reason}")
    rows = np.flatnonzero(fit.resolvable & snapshot.valid[: snapshot.size])
    tried = [int(row) for row in rows if any(p.info.priority < pod.priority for p in snapshot.pods[int(row)].values())]
    limit = min(max(min_candidates, len(rows) * min_percentage // 100), len(rows))
    start = random.randrange(len(tried)) if tried else 0
    candidates: list[Candidate] = []
    for row in tried[start:] + tried[:start]:
        found = _victims(search, row)
        if found is not None:
            candidates.append(found)
            if len(candidates) >= limit:
                break
    if candidates:
        return Outcome(min(candidates, key=_cost), "")
    reasons = Counter({NO_VICTIMS: len(rows), NOT_HELPFUL: snapshot.count - len(rows)})
    return Outcome(None, f"preemption: {unavailable(snapshot.count, +reasons)}")


def _cost(candidate: Candidate) -> tuple[int, int, int, int, float]:
    priorities = [victim.priority for victim in candidate.victims]
    highest = max(priorities, default=0)
    starts = [_started(victim) for victim in candidate.victims if victim.priority == highest]
    return (
        candidate.violations,
        highest,
        sum(priority + 2**31 for priority in priorities),
        len(priorities),
        -min(starts, default=0),
    )


def _started(pod: PodInfo) -> float:
    text = (pod.pod.get("status") or meta.EMPTY).get("startTime")
    return meta.parse_time(text).timestamp() if text else float("inf")


def _importance(pod: PodInfo) -> tuple[int, float]:
    """Sorts the more important first."""
    return -pod.priority, _started(pod)


def _victims(search: Search, row: int) -> Candidate | None:
    """The fewest pods that must leave that node so that the pod fits; None if it would not even then."""
    pod, snapshot = search.pod, search.snapshot
    lower = sorted((p.info for p in snapshot.pods[row].values() if p.info.priority < pod.priority), key=_importance)
    name = snapshot.names[row]
    state = search.filtered.state.clone()
    trial = replace(search, filtered=replace(search.filtered, state=state))
    with snapshot.supposing():
        for victim in lower:
            _move(trial, victim, name, away=True)
        try:
            if not trial.fits(row):
                return None
            protected, free = _split_by_budgets(lower, search.budgets)
            victims, violations = [], 0
            # Put back as many as still leave room, first those that a budget protects, the most important first.
            for group, is_protected in ((protected, True), (free, False)):
                for victim in group:
                    _move(trial, victim, name, away=False)
                    if not trial.fits(row):
                        _move(trial, victim, name, away=True)
                        victims.append(victim)
                        violations += is_protected
            return Candidate(name, tuple(sorted(victims, key=_importance)), violations)
        finally:
            for victim in lower:
                if snapshot.placed(victim.uid) is None:
                    snapshot.add_pod(victim, name)


def _move(trial: Search, victim: PodInfo, name: str, *, away: bool) -> None:
    """Suppose that a pod left the node, or was back there."""
    if away:
        trial.snapshot.remove_pod(victim.uid)
    else:
        trial.snapshot.add_pod(victim, name)
    for plugin in trial.framework.followers:
        change = plugin.remove_pod if away else plugin.add_pod
        trial.framework.call(plugin, "PreFilter", change, trial.filtered.state, trial.pod, victim, name)


def _split_by_budgets(pods: Sequence[PodInfo], budgets: Sequence[Object]) -> tuple[list[PodInfo], list[PodInfo]]:
    """Pods whose removal would break a disruption budget, and the others."""
    left: dict[str, int] = {meta.key(budget): _allowed(budget) for budget in budgets}
    protected: list[PodInfo] = []
    free: list[PodInfo] = []
    for pod in pods:
        broken = False
        for budget in budgets:
            if meta.namespace(budget) != pod.namespace or not pod.labels:
                continue
            selector = selectors.from_label_selector(budget["spec"].get("selector"))
            if selector.is_everything or not selector.matches(pod.labels) or pod.name in _disrupted(budget):
                continue
            left[meta.key(budget)] -= 1
            broken |= left[meta.key(budget)] < 0
        (protected if broken else free).append(pod)
    return protected, free


def _allowed(budget: Object) -> int:
    return int((budget.get("status") or meta.EMPTY).get("disruptionsAllowed") or 0)


def _disrupted(budget: Object) -> Mapping[str, str]:
    """Pods whose removal the budget has counted already."""
    return (budget.get("status") or meta.EMPTY).get("disruptedPods") or meta.EMPTY
