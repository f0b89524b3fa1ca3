"""The plugins of one profile, by extension point, and what they say together."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from navarch.scheduler.framework import (
    POINTS,
    BoolArray,
    Code,
    CycleState,
    IntArray,
    Plugin,
    PostFilterResult,
    PreFilterResult,
    Rejection,
    Status,
)
from navarch.scheduler.isolation import TOLD_LIMIT, Guard, PluginError, described
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot

Preparation = Callable[[], Any]
_NO_ROWS: BoolArray = np.zeros(0, np.bool_)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Fit:
    """What filtering says about one pod."""

    feasible: BoolArray
    """By row."""
    nodes: int
    """How many there are."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Reason -> how many nodes."""
    plugins: set[str] = field(default_factory=set)
    """Those that rejected a node."""
    resolvable: BoolArray = field(default_factory=lambda: _NO_ROWS)
    """Rejected nodes where removing pods might help."""
    pre_filter_message: str = ""
    """Why no node was looked at."""

    @property
    def message(self) -> str:
        """Why no node can take the pod."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        if self.pre_filter_message:
            return f"0/{self.nodes} nodes are available: {self.pre_filter_message}."
        return unavailable(self.nodes, self.reasons)


def unavailable(nodes: int, reasons: Mapping[str, int]) -> str:
    """Kubernetes' sentence about nodes that cannot take a pod."""
    texts = sorted(f"{count} {reason}" for reason, count in reasons.items())
    return f"0/{nodes} nodes are available:" + (f" {', '.join(texts)}." if texts else "")


class Framework:
    """One profile's plugins. `points`: extension point -> plugins in their order; `weights`: of those that score."""

    def __init__(
        self,
        scheduler_name: str,
        points: Mapping[str, Sequence[Plugin]],
        weights: Mapping[str, int],
        guards: Mapping[str, Guard] | None = None,
    ) -> None:
        self.scheduler_name = scheduler_name
        self.points = {point: tuple(points.get(point, ())) for point in POINTS}
        self.weights = weights
        self.guards = guards or {}
        self._told: set[str] = set()
        self.plugins: dict[str, Plugin] = {plugin.name: plugin for found in self.points.values() for plugin in found}
        self.followers = tuple(plugin for plugin in self.points["preFilter"] if _follows(plugin))
        """Plugins that keep count of pods that come and go."""

    def call(self, plugin: Plugin, point: str, function: Callable[..., Any], *args: Any) -> Any:
        """`function(*args)`, a method of `plugin`; what it raises becomes a PluginError."""
        guard = self.guards.get(plugin.name)
        try:
            return function(*args) if guard is None else guard.call(function, *args)
        except PluginError:
            raise
        except Exception as error:
            failure = PluginError(plugin.name, point, described(error))
            if guard is not None and len(self._told) < TOLD_LIMIT and str(failure) not in self._told:
                # Whoever wrote it wants to know where; the pod's event says only what.
                self._told.add(str(failure))
                logger.warning("%s", failure, exc_info=error)
            raise failure from error

    def stop(self) -> None:
        for guard in self.guards.values():
            guard.stop()

    # The queue.

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        """The first rejection, if there is one."""
        for plugin in self.points["preEnqueue"]:
            status: Status | None = self.call(plugin, "PreEnqueue", plugin.pre_enqueue, pod)
            if status is not None and status.code is not Code.SUCCESS:
                return Status(status.code, status.reasons, plugin.name)
        return None

    # Filtering.

    def filter_nodes(self, plugin: Plugin, state: CycleState, pod: PodInfo, nodes: Nodes) -> list[Rejection]:
        if plugin.name not in self.guards:
            try:
                return list(plugin.filter(state, pod, nodes))
            except Exception as error:
                raise PluginError(plugin.name, "Filter", described(error)) from error

        def judge() -> list[Rejection]:
            return list(plugin.filter(state, pod, nodes))

        found: list[Rejection] = self.call(plugin, "Filter", judge)
        for rejection in found:
            if rejection.nodes.shape != (nodes.size,) or rejection.nodes.dtype != np.bool_:
                raise PluginError(plugin.name, "Filter", f"{nodes.size} booleans were expected")
        return found

    def pre_filter(self, plugin: Plugin, state: CycleState, pod: PodInfo, nodes: Nodes) -> PreFilterResult | Status | None:
        found: PreFilterResult | Status | None = self.call(plugin, "PreFilter", plugin.pre_filter, state, pod, nodes)
        if isinstance(found, Status) and found.code is Code.ERROR:
            raise PluginError(plugin.name, "PreFilter", found.message)
        return found

    def post_filter(self, filtered: Filtered, pod: PodInfo, fit: Fit) -> PostFilterResult:
        """The first plugin that finds a node wins; else all they have to say. What one prepares the next do not hinder."""
        messages: list[str] = []
        preparations: list[Preparation] = []
        # With no plugin that could tell, what was said before does not hold.
        nominated: str | None = None if self.points["postFilter"] else ""
        failure = Failure(self, filtered, fit)
        for plugin in self.points["postFilter"]:
            found: PostFilterResult | Status | None = self.call(
                plugin, "PostFilter", plugin.post_filter, filtered.state, pod, failure
            )
            if isinstance(found, PostFilterResult):
                if found.prepare is not None:
                    preparations.append(found.prepare)
                if found.nominated_node:
                    return PostFilterResult(found.nominated_node, found.message, _together(preparations))
                messages.append(found.message)
                nominated = nominated if found.nominated_node is None else found.nominated_node
            elif found is not None:
                if found.code in (Code.ERROR, Code.UNSCHEDULABLE_AND_UNRESOLVABLE):
                    # Nobody else is asked, and the pod is told only this.
                    return PostFilterResult(message=found.message, prepare=_together(preparations))
                messages.append(found.message)
        return PostFilterResult(nominated, ", ".join(message for message in messages if message), _together(preparations))

    # Scoring.

    def score_nodes(self, plugin: Plugin, state: CycleState, pod: PodInfo, nodes: Nodes) -> IntArray:
        if plugin.name not in self.guards:
            try:
                return plugin.score(state, pod, nodes)  # type: ignore[no-any-return]
            except Exception as error:
                raise PluginError(plugin.name, "Score", described(error)) from error
        scores: IntArray = self.call(plugin, "Score", plugin.score, state, pod, nodes)
        if scores.shape != (nodes.size,) or scores.dtype != np.int64:
            raise PluginError(plugin.name, "Score", f"{nodes.size} integers were expected")
        return scores

    @staticmethod
    def normalizes(plugin: Plugin) -> bool:
        return type(plugin).normalize_score is not Plugin.normalize_score

    def normalize(self, plugin: Plugin, state: CycleState, pod: PodInfo, scores: IntArray, nodes: Nodes) -> IntArray:
        if not self.normalizes(plugin):
            return scores
        found: IntArray = self.call(plugin, "NormalizeScore", plugin.normalize_score, state, pod, scores, nodes)
        return found

    def pre_score(self, plugin: Plugin, state: CycleState, pod: PodInfo, nodes: Nodes) -> bool:
        """Whether the plugin is to score."""
        status: Status | None = self.call(plugin, "PreScore", plugin.pre_score, state, pod, nodes)
        if status is not None and status.code is Code.ERROR:
            raise PluginError(plugin.name, "PreScore", status.message)
        return status is None or status.code is not Code.SKIP

    # After the choice.

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """The first rejection; all must then be unreserved. Raises PluginError."""
        for plugin in self.points["reserve"]:
            status: Status | None = self.call(plugin, "Reserve", plugin.reserve, state, pod, node_name)
            if status is not None and status.code is not Code.SUCCESS:
                return _rejection(status, plugin, "Reserve")
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> list[PluginError]:
        """All of them, last first, whatever they raise."""
        problems = []
        for plugin in reversed(self.points["reserve"]):
            try:
                self.call(plugin, "Unreserve", plugin.unreserve, state, pod, node_name)
            except PluginError as error:
                problems.append(error)
        return problems

    def permit(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | dict[str, float] | None:
        """A rejection; or which plugins make it wait, and for how many seconds at most; None: go on."""
        waits: dict[str, float] = {}
        for plugin in self.points["permit"]:
            status: Status | None = self.call(plugin, "Permit", plugin.permit, state, pod, node_name)
            if status is None or status.code is Code.SUCCESS:
                continue
            if status.code is not Code.WAIT:
                return _rejection(status, plugin, "Permit")
            waits[plugin.name] = status.timeout_seconds
        return waits or None


@dataclass(slots=True)
class Filtered:
    """What filtering has established of a few rows or of all: who said what."""

    state: CycleState
    active: list[Plugin]
    """Filter plugins that have not skipped the pod."""
    skipped: set[str] = field(default_factory=set)
    wanted: IntArray | None = None
    """Rows that PreFilter leaves; None: all."""
    narrowing: list[str] = field(default_factory=list)
    """Plugins that narrowed."""
    rejected: Status | None = None
    """PreFilter said no to the pod as such."""

    @property
    def is_hopeless(self) -> bool:
        """Whether PreFilter did so for good, and not all plugins were asked."""
        return self.rejected is not None and self.rejected.code is Code.UNSCHEDULABLE_AND_UNRESOLVABLE


@dataclass(frozen=True, slots=True)
class Failure:
    """What PostFilter plugins are told of a pod that no node can take."""

    framework: Framework
    filtered: Filtered
    fit: Fit


def pre_filter(
    framework: Framework, pod: PodInfo, snapshot: Snapshot, state: CycleState, plugins: Iterable[Plugin] | None = None
) -> Filtered:
    """Ask PreFilter plugins, all if not told which, about the pod."""
    everything = Nodes(snapshot)
    names: frozenset[str] | None = None
    found = Filtered(state, [])
    for plugin in framework.points["preFilter"] if plugins is None else plugins:
        answer = framework.pre_filter(plugin, state, pod, everything)
        if isinstance(answer, PreFilterResult):
            names = answer.node_names if names is None else names & answer.node_names
            found.narrowing.append(plugin.name)
            if not names:
                several = len(found.narrowing) > 1
                who = f"plugin(s) {listed(found.narrowing)} simultaneously" if several else f"plugin {plugin.name}"
                reason = f"node(s) didn't satisfy {who}"
                found.rejected = Status(Code.UNSCHEDULABLE_AND_UNRESOLVABLE, (reason,), plugin.name)
                return found
        elif answer is not None and answer.code is Code.SKIP:
            found.skipped.add(plugin.name)
        elif answer is not None and answer.is_rejected:
            found.rejected = Status(answer.code, answer.reasons, plugin.name)
            if answer.code is Code.UNSCHEDULABLE_AND_UNRESOLVABLE:
                return found
            # The others note what they will be asked about if somebody is taken off a node.
    found.active = [plugin for plugin in framework.points["filter"] if plugin.name not in found.skipped]
    if names is not None:
        found.wanted = np.array(sorted(snapshot.rows[name] for name in names if name in snapshot.rows), np.int64)
    return found


def _rejection(status: Status, plugin: Plugin, point: str) -> Status:
    """The plugin's status as a rejection by it. Raises PluginError if it is none."""
    if not status.is_rejected:
        raise PluginError(plugin.name, point, status.message)
    return Status(status.code, status.reasons, plugin.name)


def _together(preparations: Sequence[Preparation]) -> Preparation | None:
    if len(preparations) < 2:
        return preparations[0] if preparations else None

    async def prepare() -> None:
        await asyncio.gather(*(one() for one in preparations))

    return prepare


def _follows(plugin: Plugin) -> bool:
    kind = type(plugin)
    return kind.add_pod is not Plugin.add_pod or kind.remove_pod is not Plugin.remove_pod


def keeps_room(pods: Mapping[str, PodInfo], pod: PodInfo) -> bool:
    """Whether a node is to be looked at as if these, which wait for its victims to go, were there already."""
    return any(other.priority >= pod.priority and other.uid != pod.uid for other in pods.values())


def listed(names: Iterable[str]) -> str:
    return f"[{' '.join(sorted(names))}]"
