"""Sees every change that is stored, as it is published: keeps the record and the log, and tells the checkers.

It watches the store itself and not through the API, so that it is disturbed by nothing, and costs one decoded object a change,
which other watchers share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from navarch.api import registry
from navarch.api.apiextensions import customresourcedefinition
from navarch.api.kind import Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.server import APIServer
from navarch.component import clock
from navarch.simulation.record import (
    EVENTS_LIMIT,
    NODE_STATES_LIMIT,
    PODS_LIMIT,
    EventRecord,
    Log,
    NodeState,
    PodRecord,
    Record,
    Span,
)
from navarch.storage.changes import Change
from navarch.storage.store import Store


@dataclass(frozen=True, slots=True)
class Seen:
    """A change of an object."""

    at: float
    """Seconds since the start."""
    type: str
    """ADDED, MODIFIED, DELETED"""
    revision: int
    resource: str
    """``pods``, ``deployments.apps``"""
    object: Object
    """As it is then; of a deletion as it was last. Shared: must not be mutated."""

    @property
    def key(self) -> str:
        return meta.key(self.object)

    @property
    def name(self) -> str:
        """``Pod default/web-1``, for people."""
        return f"{self.object['kind']} {self.key}"


Listener = Callable[[Seen], None]
DEFINITIONS = customresourcedefinition.KIND.resource


class Observer:
    """Follows the stores of one cluster: of each API server it has, one after the other."""

    def __init__(self, record: Record, log: Log) -> None:
        """Time begins now."""
        self.record = record
        self.log = log
        self.store: Store = None  # type: ignore[assignment]
        """The one that is followed; there once a server was."""
        self.custom: dict[str, Kind] = {}
        """Kinds that have been defined, as they are stored, by resource (``widgets.example.com``)."""
        self._followed: set[str] = set()
        """Prefixes of the store."""
        self._started_seconds = clock.monotonic()
        self._all: list[Listener] = []
        self._some: dict[str, list[Listener]] = {}

    @property
    def seconds(self) -> float:
        """Since the start."""
        return clock.monotonic() - self._started_seconds

    def listen(self, listener: Listener, resources: Sequence[str] = ()) -> None:
        """Call it with every change, or with those of some resources."""
        if not resources:
            self._all.append(listener)
        for resource in resources:
            self._some.setdefault(resource, []).append(listener)

    def follow(self, server: APIServer) -> None:
        """From now on this server's store, whose history goes on where the last one's ended."""
        self.store = server.store
        self._followed = set()
        for kind in (*registry.kinds(), *self.custom.values()):
            self._follow(kind, server.store.revision)

    def _follow(self, kind: Kind, since: int) -> None:
        if kind.key_prefix not in self._followed:
            self._followed.add(kind.key_prefix)
            self.store.watch(kind.key_prefix, kind.key_prefix, since, self._deliver(kind))

    def _define(self, definition: Object, revision: int) -> None:
        """What is defined is seen from now on, too."""
        from navarch.api.apiextensions import customresource

        kind = customresource.stored_kind(definition)
        self.custom[kind.resource] = kind
        self._follow(kind, revision)

    def _deliver(self, kind: Kind) -> Callable[[list[Change]], None]:
        resource = kind.resource
        listeners = self._some.setdefault(resource, [])

        def deliver(changes: list[Change]) -> None:
            for change in changes:
                self._take(change, resource, listeners)

        return deliver

    def _take(self, change: Change, resource: str, listeners: Sequence[Listener]) -> None:
        at = self.seconds
        seen = Seen(at, change.type, change.revision, resource, change.object)
        self.record.changes += 1
        self.record.revision = change.revision
        detail = ""
        if resource == "pods":
            detail = self._pod(seen)
        elif resource == "nodes":
            detail = self._node(seen)
        elif resource == "events":
            self._event(seen)
        elif resource == DEFINITIONS and seen.type != "DELETED":
            self._define(seen.object, seen.revision)
        self.log.line(f"{at:.6f} {seen.revision} {seen.type} {resource} {seen.key}{detail}")
        for listener in listeners:
            listener(seen)
        for listener in self._all:
            listener(seen)

    def _pod(self, seen: Seen) -> str:
        pods, pod = self.record.pods, seen.object
        uid = meta.uid(pod)
        found = pods.get(uid)
        if found is None:
            if not self.record.keep("pods", len(pods), PODS_LIMIT):
                return ""
            owner = meta.controller_of(pod)
            name = f"{owner['kind']}/{owner['name']}" if owner is not None else ""
            found = pods[uid] = PodRecord(meta.namespace(pod), meta.name(pod), name, seen.at)
        if seen.type == "DELETED":
            found.deleted = seen.at
        phase, node = phase_of(pod), pod["spec"].get("nodeName", "")
        if not found.spans or (found.spans[-1].phase, found.spans[-1].node) != (phase, node):
            found.spans.append(Span(seen.at, phase, node))
        return f" {phase} {node}"

    def _node(self, seen: Seen) -> str:
        name = meta.name(seen.object)
        states = self.record.nodes.get(name)
        if states is None:
            if not self.record.keep("nodes", len(self.record.nodes), NODE_STATES_LIMIT):
                return ""
            states = self.record.nodes[name] = []
        state = "gone" if seen.type == "DELETED" else node_state(seen.object)
        if not states or states[-1][1] != state:
            states.append((seen.at, state))
        return f" {state}"

    def _event(self, seen: Seen) -> None:
        if seen.type == "DELETED" or not self.record.keep("events", len(self.record.events), EVENTS_LIMIT):
            return
        event = seen.object
        about = event.get("involvedObject") or event.get("regarding") or {}
        name = f"{about.get('kind', '')}/{about.get('name', '')}"
        message = event.get("message") or event.get("note") or ""
        self.record.events.append(EventRecord(seen.at, event.get("type", ""), event.get("reason", ""), name, message))


def phase_of(pod: Object) -> str:
    """A pod's state in a word."""
    phase = str((pod.get("status") or {}).get("phase") or "Pending")
    if meta.being_deleted(pod):
        return "Terminating"
    return "Ready" if phase == "Running" and meta.is_condition_true(pod, "Ready") else phase


def node_state(node: Object) -> NodeState:
    """Whether a node is ready, by its condition."""
    ready = meta.condition(node, "Ready")
    if ready is None or ready["status"] == "Unknown":
        return "unknown"
    return "ready" if ready["status"] == "True" else "not ready"
