"""Make room for a pod by taking pods of lower priority off one node (DefaultPreemption).

Of all nodes where that helps, the one is taken whose victims matter least: fewest broken disruption budgets, lowest highest
priority, lowest sum of priorities, fewest pods, latest start of the most important one.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from random import Random

import numpy as np

from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object
from navarch.scheduler.cycle import judge_row, reasons_against
from navarch.scheduler.framework import BoolArray, Plugin, Reuse
from navarch.scheduler.nodes import Nodes, OneNode
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.runtime import Filtered, Fit, Framework, unavailable
from navarch.scheduler.snapshot import Snapshot

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


Cost = tuple[int, int, int, int, float]
Reasons = tuple[str, ...]
"""Why the pod does not fit a node."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, and the pods that would have to leave it; the most important first."""

    node: str
    victims: tuple[PodInfo, ...]
    violations: int
    """How many of them a disruption budget protects."""
    cost: Cost = (0, 0, 0, 0, 0.0)
    """How much they matter; the least is chosen."""


@dataclass(frozen=True)
class Search:
    """What a search for victims is made with."""

    framework: Framework
    filtered: Filtered
    pod: PodInfo
    snapshot: Snapshot
    budgets: Sequence[Object]

    def fits(self, row: int) -> bool:
        return judge_row(self.framework, self.filtered, self.pod, self.snapshot, row)

    def reasons_against(self, row: int) -> Reasons:
        return reasons_against(self.framework, self.filtered, self.pod, self.snapshot, row)

    @cached_property
    def moving(self) -> list[Plugin]:
        """Filter plugins to whom it matters which pods are on a node."""
        return [plugin for plugin in self.filtered.active if plugin.reuse(self.pod) is not Reuse.NODE]

    @cached_property
    def asked(self) -> list[tuple[Plugin, bool]]:
        """Whom to ask of a node that one of `moving` rejected, in order, and whether it is one of those.

        Also those to whom pods do not matter, as far as they may not have been asked about the node, or may have rejected it as
        if that could be helped; in-tree plugins never do.
        """
        found: list[tuple[Plugin, bool]] = []
        for plugin in self.filtered.active:
            is_moving = plugin in self.moving
            if is_moving or found or plugin.name in self.framework.guards:
                found.append((plugin, is_moving))
        return found

    @cached_property
    def amounts_only(self) -> bool:
        """Whether of those pods nothing matters but what they ask for."""
        return all(plugin.amounts_only for plugin in self.moving)

    @property
    def keeps(self) -> bool:
        """Whether what is found of a node holds until something changes there."""
        return all(plugin.reuse(self.pod) in (Reuse.NODE, Reuse.NODE_AND_PODS) for plugin in self.filtered.active)


@dataclass(slots=True)
class Kept:
    """Nodes that have been looked at for pods of one template, and what was found of them."""

    layout: int
    position: int
    budgets: int
    found: dict[int, Candidate] = field(default_factory=dict)
    """By row; the rows that are `known` and not here are of no use."""
    against: dict[int, Reasons] = field(default_factory=dict)
    """By row: why the pod would not fit even without all pods that matter less. Not of rows where there are none."""
    told: Counter[Reasons] = field(default_factory=Counter)
    """How many rows have which."""
    known: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    _order: list[tuple[Cost, int, int, Candidate]] = field(default_factory=list)
    """A heap of them, by cost and then as they were found; also of some that are found no more."""
    _noted: int = 0

    def update(self, snapshot: Snapshot, budgets: int) -> bool:
        """Forget what may have changed; False: everything."""
        changes = snapshot.changes_since(self.position)
        if snapshot.layout != self.layout or budgets != self.budgets or changes is None:
            return False
        for change in changes:
            self.found.pop(change.row, None)
            if change.row in self.against:
                self.told[self.against.pop(change.row)] -= 1
            if change.row < len(self.known):
                self.known[change.row] = False
        self.position = snapshot.position
        return True

    def note(self, row: int, candidate: Candidate | Reasons) -> None:
        self.known[row] = True
        if isinstance(candidate, Candidate):
            self.found[row] = candidate
            self._noted += 1
            heapq.heappush(self._order, (candidate.cost, self._noted, row, candidate))
        elif candidate != (NO_VICTIMS,):
            self.against[row] = candidate
            self.told[candidate] += 1

    def is_enough(self, limit: int) -> bool:
        """Whether there are as many candidates as are looked for; and one at least that breaks no disruption budget."""
        cheapest = self.cheapest() if len(self.found) >= limit else None
        return cheapest is not None and not cheapest.violations

    def cheapest(self) -> Candidate | None:
        while self._order:
            _, _, row, candidate = self._order[0]
            if self.found.get(row) is candidate:
                return candidate
            heapq.heappop(self._order)
        return None


@dataclass(frozen=True, slots=True)
class Outcome:
    candidate: Candidate | None
    message: str
    """What to say where there is none."""
    is_eligible: bool = True
    """Whether anything was looked at."""


def ineligible(pod: PodInfo, snapshot: Snapshot, fit: Fit) -> str:
    """Why the pod may not preempt now; "" if it may."""
    if not pod.may_preempt:
        return "not eligible due to preemptionPolicy=Never."
    row = snapshot.rows.get(pod.nominated_node_name)
    if row is None or not (row < len(fit.resolvable) and fit.resolvable[row]):
        return ""  # There is no waiting for room where room alone does not help any more.
    if any(p.info.priority < pod.priority and _is_leaving_for_others(p.info) for p in snapshot.pods[row].values()):
        return "not eligible due to a terminating pod on the nominated node."
    return ""


def _is_leaving_for_others(pod: PodInfo) -> bool:
    """Whether a pod is being deleted because a scheduler has preempted it; who leaves for other reasons is not waited for."""
    condition = meta.condition(pod.pod, "DisruptionTarget") if pod.is_terminating else None
    return condition is not None and condition.get("status") == "True" and condition.get("reason") == "PreemptionByScheduler"


def may_help(pod: PodInfo, snapshot: Snapshot) -> bool:
    """Whether there are pods anywhere that this one might take the place of."""
    lowest = snapshot.lowest_priority[: snapshot.size]
    return not snapshot.nomination_of(pod.uid) and pod.may_preempt and bool((lowest < pod.priority).any())


def find(
    search: Search, fit: Fit, random: Random, *, min_candidates: int, min_percentage: int, kept: Kept | None = None
) -> Outcome:
    """Where and whom to preempt, given the `fit` that found no node. No more candidates are looked for than configured, as long
    as one of them breaks no disruption budget.

    `kept`, which must be up to date, spares looking at nodes again; what is found out is added to it.
    """
    pod, snapshot = search.pod, search.snapshot
    reason = ineligible(pod, snapshot, fit)
    if reason:
        return Outcome(None, f"preemption: {reason}", is_eligible=False)
    size = snapshot.size
    helpful = fit.resolvable & snapshot.valid[:size]
    count = int(np.count_nonzero(helpful))
    limit = min(max(min_candidates, count * min_percentage // 100), count)
    if kept is None or not search.keeps:
        kept = Kept(snapshot.layout, snapshot.position, 0)
    if len(kept.known) != size:
        kept.known = np.append(kept.known, np.zeros(size - len(kept.known), np.bool_))
    # What is kept of a node holds as long as nothing changes there; so where it was helpful, it is.
    if not kept.is_enough(limit):
        tried = np.flatnonzero(helpful & ~kept.known & (snapshot.lowest_priority[:size] < pod.priority))
        start = random.randrange(len(tried)) if len(tried) else 0
        for at in range(len(tried)):
            row = int(tried[(start + at) % len(tried)])
            kept.note(row, _victims(search, row))
            if kept.is_enough(limit):
                break
    candidate = kept.cheapest()
    if candidate is not None:
        return Outcome(candidate, "")
    reasons = Counter({NO_VICTIMS: count - kept.told.total(), NOT_HELPFUL: snapshot.count - count})
    for against, nodes in kept.told.items():
        for reason in against:
            reasons[reason] += nodes
    return Outcome(None, f"preemption: {unavailable(snapshot.count, +reasons)}")


def _cost(victims: Sequence[PodInfo], violations: int) -> Cost:
    priorities = [victim.priority for victim in victims]
    highest = max(priorities, default=0)
    starts = [_started(victim) for victim in victims if victim.priority == highest]
    return violations, highest, sum(priority + 2**31 for priority in priorities), len(priorities), -min(starts, default=0)


def _started(pod: PodInfo) -> float:
    text = (pod.pod.get("status") or meta.EMPTY).get("startTime")
    return _seconds(text) if text else float("inf")


@lru_cache(4096)
def _seconds(text: str) -> float:
    return meta.parse_time(text).timestamp()


def _importance(pod: PodInfo) -> tuple[int, float]:
    """Sorts the more important first."""
    return -pod.priority, _started(pod)


def _victims(search: Search, row: int) -> Candidate | Reasons:
    """The fewest pods that must leave that node so that the pod fits; or why it would not even if all did that may."""
    pod, snapshot = search.pod, search.snapshot
    lower = sorted((p.info for p in snapshot.pods[row].values() if p.info.priority < pod.priority), key=_importance)
    if not lower:
        return (NO_VICTIMS,)
    trial = _AmountsTrial(search, row) if search.amounts_only else _Trial(search, row)
    with trial:
        for victim in lower:
            trial.move(victim, away=True)
        against = trial.reasons_against()
        if against:
            return against
        protected, free = _split_by_budgets(lower, search.budgets)
        victims, violations = [], 0
        # Put back as many as still leave room, first those that a budget protects, the most important first.
        for group, is_protected in ((protected, True), (free, False)):
            for victim in group:
                trial.move(victim, away=False)
                if not trial.fits():
                    trial.move(victim, away=True)
                    victims.append(victim)
                    violations += is_protected
    if not victims:
        return (f'expected at least one victim pod on node "{snapshot.names[row]}"',)
    victims.sort(key=_importance)
    return Candidate(snapshot.names[row], tuple(victims), violations, _cost(victims, violations))


class _AmountsTrial:
    """Supposes that pods leave a node, where nothing matters but amounts."""

    def __init__(self, search: Search, row: int) -> None:
        self._search = search
        self._one = OneNode(search.snapshot, row)
        for info in search.snapshot.nominated.get(row, {}).values():
            if info.priority >= search.pod.priority and info.uid != search.pod.uid:
                self._one.suppose(info, 1)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        pass

    def move(self, victim: PodInfo, *, away: bool) -> None:
        self._one.suppose(victim, -1 if away else 1)

    def reasons_against(self) -> Reasons:
        search = self._search
        for plugin, is_moving in search.asked:
            nodes = self._one if is_moving else Nodes(search.snapshot, self._one.rows)
            found = search.framework.filter_nodes(plugin, search.filtered.state, search.pod, nodes)
            reasons = tuple(rejection.reason for rejection in found if np.any(rejection.nodes))
            if reasons:
                return reasons
        return ()

    def fits(self) -> bool:
        search = self._search
        return not any(
            rejection.nodes
            for plugin in search.moving
            for rejection in search.framework.filter_nodes(plugin, search.filtered.state, search.pod, self._one)
        )


class _Trial:
    """Supposes that pods leave a node, whatever the plugins look at: the snapshot itself is changed, and restored."""

    def __init__(self, search: Search, row: int) -> None:
        self._row = row
        self._name = search.snapshot.names[row]
        self._before = [placed.info for placed in search.snapshot.pods[row].values()]
        self._search = replace(search, filtered=replace(search.filtered, state=search.filtered.state.clone()))
        self._supposing = search.snapshot.supposing()

    def __enter__(self) -> None:
        self._supposing.__enter__()

    def __exit__(self, *exc: object) -> None:
        snapshot = self._search.snapshot
        for info in self._before:
            if snapshot.placed(info.uid) is None:
                snapshot.add_pod(info, self._name)
        self._supposing.__exit__(None, None, None)

    def move(self, victim: PodInfo, *, away: bool) -> None:
        search = self._search
        if away:
            search.snapshot.remove_pod(victim.uid)
        else:
            search.snapshot.add_pod(victim, self._name)
        for plugin in search.framework.followers:
            point, change = ("RemovePod", plugin.remove_pod) if away else ("AddPod", plugin.add_pod)
            search.framework.call(plugin, point, change, search.filtered.state, search.pod, victim, self._name)

    def reasons_against(self) -> Reasons:
        return self._search.reasons_against(self._row)

    def fits(self) -> bool:
        return self._search.fits(self._row)


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
