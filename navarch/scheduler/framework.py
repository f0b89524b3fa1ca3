"""What a plugin is: the scheduling framework's extension points by their own names (KEP-624).

Points about nodes look at all nodes in one call: `filter` yields arrays of rejected nodes with the reason, `score` gives an
array. They are handed `Nodes`, which may be the whole cluster or a few rows of it, and must say the same of a row either way. A
plugin that would rather see one node at a time is a `PerNode`.

Everything up to `permit` is synchronous and happens between two events of the loop, on a snapshot that nothing else changes
meanwhile. `pre_bind`, `bind` and `post_bind` are awaited while other pods are decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, Flag, auto
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from navarch.apimachinery.errors import Object
from navarch.scheduler.events import EventHint
from navarch.scheduler.podinfo import PodInfo

if TYPE_CHECKING:
    from navarch.client.client import Client
    from navarch.client.eventseries import EventSeriesRecorder
    from navarch.client.informer import Informers
    from navarch.scheduler.devices import Devices
    from navarch.scheduler.extendedresources import ExtendedResources
    from navarch.scheduler.nodes import NodeInfo, Nodes
    from navarch.scheduler.runtime import Failure
    from navarch.scheduler.snapshot import Snapshot

MAX_NODE_SCORE = 100
MIN_NODE_SCORE = 0

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
T = TypeVar("T")


class Code(Enum):
    """How an extension point ended."""

    SUCCESS = "Success"
    ERROR = "Error"
    UNSCHEDULABLE = "Unschedulable"
    UNSCHEDULABLE_AND_UNRESOLVABLE = "UnschedulableAndUnresolvable"
    """Taking pods off nodes would not help either."""
    WAIT = "Wait"
    SKIP = "Skip"
    PENDING = "Pending"
    """The pod waits for something outside; it is not told a reason again and again."""


@dataclass(frozen=True, slots=True)
class Status:
    """What a plugin answers; None is success."""

    code: Code
    reasons: tuple[str, ...] = ()
    plugin: str = ""
    timeout_seconds: float = 0.0
    """With WAIT: how long, at most."""

    @property
    def message(self) -> str:
        return ", ".join(self.reasons)

    @property
    def is_rejected(self) -> bool:
        return self.code in (Code.UNSCHEDULABLE, Code.UNSCHEDULABLE_AND_UNRESOLVABLE, Code.PENDING)


SKIP = Status(Code.SKIP)
"""From PreFilter or PreScore: this plugin has nothing to say about the pod, don't ask it at Filter (Score). From Bind:
another's."""


def unschedulable(*reasons: str, is_resolvable: bool = True) -> Status:
    return Status(Code.UNSCHEDULABLE if is_resolvable else Code.UNSCHEDULABLE_AND_UNRESOLVABLE, reasons)


def wait(timeout_seconds: float) -> Status:
    """From Permit: the pod waits until every plugin that said so allows it, or one rejects it, or time is up."""
    return Status(Code.WAIT, timeout_seconds=timeout_seconds)


@dataclass(frozen=True, slots=True)
class PreFilterResult:
    """Only these nodes need be looked at."""

    node_names: frozenset[str]


@dataclass(slots=True)
class Rejection:
    """Nodes that a plugin rules out, for one reason. `nodes` is as long as the `Nodes` it was asked about."""

    nodes: Any
    """A BoolArray; of a `OneNode` a bool."""
    reason: str
    is_resolvable: bool = True
    """Whether taking other pods off such a node might help."""


PLACED = "placed"
"""Is noted of a pod that is merely looked at: whether it is on a node, which its spec does not name then."""


class CycleState:
    """What plugins note about a pod from one extension point to the next; each under keys of its own, by convention its name.

    What PreFilter and PreScore note may be kept for later pods of equal template (see `Plugin.reuse`), so it is about the
    template and the cluster, never about the single pod. `clone` gives each value that has a `clone` method one of its own.
    """

    __slots__ = ("_parent", "_values")

    def __init__(self, parent: CycleState | None = None) -> None:
        self._values: dict[str, Any] = {}
        self._parent = parent
        """Where what is not found here is looked up."""

    def write(self, key: str, value: Any) -> None:
        self._values[key] = value

    def read(self, key: str, type_: type[T]) -> T:
        """What was noted; a broken invariant (AssertionError) if there is none or it is something else."""
        value = self.get(key)
        assert isinstance(value, type_), f"nothing of that type was noted as {key}"
        return value

    def get(self, key: str) -> Any:
        value = self._values.get(key)
        return self._parent.get(key) if value is None and self._parent is not None else value

    def clone(self) -> CycleState:
        copy = CycleState()
        for key, value in self._all().items():
            copy._values[key] = value.clone() if hasattr(value, "clone") else value
        return copy

    def _all(self) -> dict[str, Any]:
        return self._values if self._parent is None else {**self._parent._all(), **self._values}


class Reuse(Enum):
    """How far what a plugin says of a pod may be kept for other pods of equal template, and until when."""

    NODE = "Node"
    """It depends on the template and the Node object alone."""
    NODE_AND_PODS = "NodeAndPods"
    """Also on the pods on that node."""
    CLUSTER = "Cluster"
    """Also on other nodes; `add_pod` and `remove_pod` keep the state right and tell when verdicts elsewhere may differ."""
    NEVER = "Never"
    """On anything else: it is asked anew for each pod."""


class Wider(Flag):
    """What a pod that came or left may change on other nodes too, as `add_pod` and `remove_pod` tell."""

    NOTHING = 0
    VERDICTS = auto()
    SCORES = auto()
    EVERYTHING = VERDICTS | SCORES


@dataclass(frozen=True, slots=True)
class PostFilterResult:
    """A node where the pod may fit soon ("": there is none; None: what was said before holds), and what to say."""

    nominated_node: str | None = None
    message: str = ""
    prepare: Callable[[], Any] | None = None
    """Makes room there: a function that gives a coroutine, which runs while other pods are decided. Until it has ended the
    pod is not tried again."""


@dataclass(slots=True)
class WaitingPod:
    """A pod that waits at Permit."""

    pod: PodInfo
    node: str
    pending: dict[str, float]
    """Plugin -> when its patience ends (monotonic)."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    rejected: Status | None = None

    def allow(self, plugin: str) -> None:
        self.pending.pop(plugin, None)
        self.changed.set()

    def reject(self, plugin: str, message: str) -> None:
        self.rejected = Status(Code.UNSCHEDULABLE, (message,), plugin)
        self.changed.set()


@dataclass(slots=True)
class Shared:
    """What plugins of all profiles keep in common."""

    extended_resources: ExtendedResources | None = None
    """See `extendedresources.shared`."""
    devices: Devices | None = None
    """See `devices.shared`."""


@dataclass(slots=True)
class Handle:
    """What a profile's plugins get of the scheduler. Nothing of it is to be called from another thread."""

    client: Client
    informers: Informers
    snapshot: Snapshot
    recorder: EventSeriesRecorder
    """Records Events in the profile's name."""
    random: Callable[[], Random]
    monotonic: Callable[[], float]
    waiting_pods: dict[str, WaitingPod] = field(default_factory=dict)
    """Pods that wait at Permit, by uid."""
    activate: Callable[[Iterable[str]], None] = lambda uids: None
    """Try these pods now (by uid), whatever they wait for."""
    start: Callable[[Coroutine[Any, Any, None], str], None] = lambda work, name: work.close()
    """Do something while pods are decided; the name is for logs."""
    register: Callable[[str], None] = lambda resource: None
    """Make changes of a resource's objects cluster events; done for what `events_to_register` names."""
    shared: Shared = field(default_factory=Shared)


class Plugin:
    """One rule about where pods go. Subclasses override the points they care about; the framework calls only those."""

    name: ClassVar[str] = ""
    args_defaults: ClassVar[Object] = {}
    """The fields of its args (kind `<name>Args`) and their defaults."""
    scalar: ClassVar[bool] = False
    """Whether Filter and Score also take a `OneNode`, and then answer with plain booleans and numbers in place of arrays."""
    amounts_only: ClassVar[bool] = False
    """Whether what is said of a node depends on nothing but the pod's template and the amounts of resources that the node has
    and that are requested there (`OneNode.amounts`)."""
    normalized_by_range: ClassVar[bool] = False
    """Whether a normalized score depends on nothing but the score itself and the lowest and highest of the feasible nodes."""
    score_by_feasible: ClassVar[bool] = False
    """Whether PreScore and Score depend on which nodes are feasible."""

    def __init__(self, args: Object, handle: Handle) -> None:
        """`args` as configured, with defaults. A ValueError says what is wrong with them, beginning with the field."""
        self.args = args
        self.handle = handle

    # The queue.

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        """Whether the pod may be tried at all now."""
        return None

    def sort_key(self, pod: PodInfo, since: float) -> tuple[Any, ...]:
        """QueueSort: pods with lower keys are tried first; `since` is when the pod came."""
        raise AssertionError("asked only of a plugin that sorts")

    def events_to_register(self) -> Sequence[EventHint]:
        """What may let pods fit that this plugin rejected. A plugin that does not say is asked again at every change."""
        raise AssertionError("asked only of a plugin that says")

    # The scheduling cycle: filtering.

    def reuse(self, pod: PodInfo) -> Reuse:
        """How far what is said of the pod may be kept; a matter of its template alone."""
        return Reuse.NEVER

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> PreFilterResult | Status | None:
        """Look at the pod once, before nodes; `nodes` is the whole cluster."""
        return None

    def follows(self, pod: PodInfo, other: PodInfo) -> bool:
        """Whether it matters to such a pod that one like `other` comes or leaves: if not, `add_pod` and `remove_pod` need not
        be called. A matter of both templates, as long as nobody's labels change and `Snapshot.forget` is not called."""
        return True

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node_name: str) -> Wider:
        """AddPod of PreFilterExtensions: `added` now counts to a node. What may differ on other nodes."""
        return Wider.NOTHING

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node_name: str) -> Wider:
        """RemovePod of PreFilterExtensions, likewise."""
        return Wider.NOTHING

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        """Which nodes cannot take the pod. Where reasons overlap, a node has several."""
        return ()

    def post_filter(self, state: CycleState, pod: PodInfo, failure: Failure) -> PostFilterResult | Status | None:
        """No node can take the pod: make it possible. None: not this plugin's business."""
        return None

    # The scheduling cycle: scoring.

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        """Before `score`; `nodes` are the feasible ones."""
        return None

    def score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Any:
        """How good each node is (an IntArray); after `normalize_score`, from 0 to 100."""
        raise AssertionError("asked only of a plugin that scores")

    def normalize_score(self, state: CycleState, pod: PodInfo, scores: IntArray, nodes: Nodes) -> IntArray:
        """The scores of the feasible `nodes`, brought to 0 to 100."""
        return scores

    # The scheduling cycle: the node has been chosen.

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        """Undo `reserve`; called in reverse order, also where `reserve` was not or did not succeed."""

    def permit(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """Let the pod go on, make it `wait`, or reject it."""
        return None

    # The binding cycle.

    def pre_bind_pre_flight(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """Whether `pre_bind` has something to do: SKIP if not, and it is not called then. Others are told of the rest."""
        return None

    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        return None

    async def bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        """Write the binding; SKIP leaves it to the next plugin."""
        return SKIP

    async def post_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        """The pod is bound."""


POINTS = {
    "preEnqueue": ("pre_enqueue",),
    "queueSort": ("sort_key",),
    "preFilter": ("pre_filter",),
    "filter": ("filter",),
    "postFilter": ("post_filter",),
    "preScore": ("pre_score",),
    "score": ("score",),
    "reserve": ("reserve", "unreserve"),
    "permit": ("permit",),
    "preBind": ("pre_bind", "pre_bind_pre_flight"),
    "bind": ("bind",),
    "postBind": ("post_bind",),
}
"""Extension points as configuration names them, and the methods behind."""


def implements(plugin: Plugin | type[Plugin], point: str) -> bool:
    """Whether a plugin has an extension point (as configuration names it)."""
    kind = plugin if isinstance(plugin, type) else type(plugin)
    if issubclass(kind, PerNode):
        if point == "filter":
            return kind.filter_node is not PerNode.filter_node or kind.filter is not PerNode.filter
        if point == "score":
            return kind.score_node is not PerNode.score_node or kind.score is not PerNode.score
    return any(getattr(kind, method) is not getattr(Plugin, method) for method in POINTS[point])


class PerNode(Plugin):
    """A plugin that judges one node at a time."""

    def filter_node(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return None

    def score_node(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return 0

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        found: dict[tuple[str, bool], Rejection] = {}
        for position, node in nodes.infos():
            status = self.filter_node(state, pod, node)
            if status is None or status.code is Code.SUCCESS:
                continue
            if not status.is_rejected:
                raise RuntimeError(status.message)
            for reason in status.reasons or ("",):
                key = (reason, status.code is Code.UNSCHEDULABLE)
                if key not in found:
                    found[key] = Rejection(np.zeros(nodes.size, np.bool_), *key)
                found[key].nodes[position] = True
        return found.values()

    def score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> IntArray:
        scores = np.zeros(nodes.size, np.int64)
        for position, node in nodes.infos():
            scores[position] = self.score_node(state, pod, node)
        return scores


def normalized(scores: IntArray, *, reverse: bool = False) -> IntArray:
    """DefaultNormalizeScore: stretched so that the best has 100; with `reverse` the lowest is the best."""
    highest = int(scores.max(initial=0))
    if highest == 0:
        return np.full(len(scores), MAX_NODE_SCORE if reverse else 0, np.int64)
    stretched = scores * MAX_NODE_SCORE // highest
    return MAX_NODE_SCORE - stretched if reverse else stretched
