"""The cluster as columns: one row a node, one array a property, kept up to date change by change.

Texts are coded as small integers: a label's column holds for each node the number of its value (0: the node has none), a
node's taints are the number of its whole set. So a question about texts is asked once for each distinct text and then looked
up for all nodes. Pods are counted per node by class (equal namespace, labels and affinity), since pods of one template are
alike to every rule about other pods.

Every change is noted in a log, so that who has drawn conclusions can find out which rows to look at again: `layout` counts
changes that may matter to other rows too (nodes come and go, labels, taints, images), `log` has the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.scheduler.podinfo import AffinityTerm, PodInfo

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

INITIAL_ROWS = 16
LOG_LIMIT_ENTRIES = 8192
"""Whoever has not looked for so long starts anew."""
PODS = "pods"
NO_PRIORITY = 2**62
ANY_ADDRESS = "0.0.0.0"

Taint = tuple[str, str, str]
"""(key, value, effect)"""
TaintSet = tuple[Taint, ...]


class LabelColumn:
    """One label of every node, as numbers of its distinct values; 0 where a node has none."""

    def __init__(self, capacity: int) -> None:
        self.codes: IntArray = np.zeros(capacity, np.int64)
        self.values: list[str | None] = [None]
        self._code_of: dict[str, int] = {}
        self._uses: list[int] = [0]
        self._shared = 0

    @property
    def is_shared(self) -> bool:
        """Whether any two nodes have the same value."""
        return self._shared > 0

    def set(self, row: int, value: str | None) -> None:
        before, code = int(self.codes[row]), 0 if value is None else self.code(value)
        if code == before:
            return
        if before:
            self._uses[before] -= 1
            self._shared -= self._uses[before] == 1
        if code:
            self._uses[code] += 1
            self._shared += self._uses[code] == 2
        self.codes[row] = code

    def find(self, value: str) -> int:
        """The number of a value, 0 if no node ever had it."""
        return self._code_of.get(value, 0)

    def code(self, value: str) -> int:
        """The number of a value, a new one if need be."""
        code = self._code_of.get(value)
        if code is None:
            code = self._code_of[value] = len(self.values)
            self.values.append(value)
            self._uses.append(0)
        return code


@dataclass(slots=True, eq=False)
class PodClass:
    """Pods that every rule treats alike, and how many of them each node has."""

    namespace: str
    labels: Mapping[str, str]
    is_terminating: bool
    required_affinity: tuple[AffinityTerm, ...]
    required_anti_affinity: tuple[AffinityTerm, ...]
    preferred_affinity: tuple[tuple[int, AffinityTerm], ...]
    preferred_anti_affinity: tuple[tuple[int, AffinityTerm], ...]
    counts: dict[int, int] = field(default_factory=dict)
    """Row -> how many, where there are any."""

    @property
    def has_terms(self) -> bool:
        """Whether it has an opinion on other pods."""
        return bool(
            self.required_affinity or self.required_anti_affinity or self.preferred_affinity or self.preferred_anti_affinity
        )

    def add_to(self, amounts: IntArray, weight: int = 1) -> None:
        """Add its pods to `amounts` by row."""
        rows = np.fromiter(self.counts, np.int64, len(self.counts))
        amounts[rows] += weight * np.fromiter(self.counts.values(), np.int64, len(self.counts))


@dataclass(slots=True, eq=False)
class Placed:
    """A pod that is on a node, or about to be."""

    info: PodInfo
    row: int
    group: PodClass


class Change(NamedTuple):
    """What happened to a row: a pod came (`sign` 1) or left (-1), or something else of the row alone (0)."""

    row: int
    sign: int = 0
    info: PodInfo | None = None


class Snapshot:
    """All nodes and what is on them. Rows of removed nodes are reused; `valid` tells which rows count."""

    def __init__(self) -> None:
        self._capacity = INITIAL_ROWS
        self.size = 0
        """Rows in use or free for reuse; every array is that long."""
        self.rows: dict[str, int] = {}
        self.names: list[str] = []
        self.nodes: list[Object | None] = []
        self._free: list[int] = []
        self.resources: dict[str, int] = {"cpu": 0, "memory": 1, "ephemeral-storage": 2, PODS: 3}
        """Resource -> its column in `allocatable` and `requested`."""
        self.allocatable: IntArray = np.zeros((INITIAL_ROWS, 4), np.int64)
        self.requested: IntArray = np.zeros((INITIAL_ROWS, 4), np.int64)
        self.non_zero: IntArray = np.zeros((INITIAL_ROWS, 2), np.int64)
        self.valid: BoolArray = np.zeros(INITIAL_ROWS, np.bool_)
        self.unschedulable: BoolArray = np.zeros(INITIAL_ROWS, np.bool_)
        self.lowest_priority: IntArray = np.full(INITIAL_ROWS, NO_PRIORITY, np.int64)
        """Of the pods on a node; `NO_PRIORITY` where there are none."""
        self.taint_codes: IntArray = np.zeros(INITIAL_ROWS, np.int64)
        self.taint_sets: list[TaintSet] = [()]
        self._taint_set_code: dict[TaintSet, int] = {(): 0}
        self._labels: dict[str, LabelColumn] = {}
        self._images: dict[str, dict[int, int]] = {}
        self._ports: dict[tuple[str, int], dict[int, dict[str, int]]] = {}
        self._classes: dict[Any, PodClass] = {}
        self._by_namespace: dict[str, dict[Any, PodClass]] = {}
        self._opinionated: dict[Any, PodClass] = {}
        self._placed: dict[str, Placed] = {}
        self.pods: list[dict[str, Placed]] = []
        """Row -> its pods by uid."""
        self._homeless: dict[str, dict[str, PodInfo]] = {}
        self._homeless_at: dict[str, str] = {}
        self.namespace_labels: dict[str, Mapping[str, str]] = {}
        self.nominated: dict[int, dict[str, PodInfo]] = {}
        """Row -> pods, by uid, that wait for their victims to leave it."""
        self._nominated_at: dict[str, tuple[PodInfo, str]] = {}
        self.layout = 0
        self.log: list[Change] = []
        self._log_start = 0
        self._changed_at: dict[int, int] = {}
        self._is_supposing = False

    # What is there.

    @property
    def count(self) -> int:
        """How many nodes there are."""
        return len(self.rows)

    @property
    def position(self) -> int:
        """Where the log ends now."""
        return self._log_start + len(self.log)

    def changed_at(self, row: int) -> int:
        """Where the log stood after the last change of that row."""
        return self._changed_at.get(row, 0)

    def changes_since(self, position: int) -> list[Change] | None:
        """What has happened since; None if that is no longer known."""
        return self.log[position - self._log_start :] if position >= self._log_start else None

    def forget(self) -> None:
        """Nothing that anybody has concluded so far is to be relied on."""
        self.layout += 1

    def image_nodes(self, image: str) -> Mapping[int, int]:
        """Row -> bytes, of the nodes that have that image."""
        return self._images.get(image, {})

    def port_users(self, protocol: str, port: int) -> Mapping[int, Mapping[str, int]]:
        """Row -> addresses at which that host port is taken."""
        return self._ports.get((protocol, port), {})

    def label_column(self, key: str) -> LabelColumn:
        column = self._labels.get(key)
        if column is None:
            column = self._labels[key] = LabelColumn(self._capacity)
            for row, node in enumerate(self.nodes):
                if node is not None:
                    column.set(row, meta.labels(node).get(key))
        return column

    def classes(self) -> Iterable[PodClass]:
        return self._classes.values()

    def opinionated_classes(self) -> Iterable[PodClass]:
        """Those that have affinity or anti-affinity."""
        return self._opinionated.values()

    def classes_in(self, namespace: str) -> Iterable[PodClass]:
        return self._by_namespace.get(namespace, {}).values()

    def pods_matching(self, namespace: str, matches: Callable[[Mapping[str, str]], bool]) -> IntArray:
        """How many pods of `namespace` that are not being deleted have labels that match, by row."""
        counts = np.zeros(self.size, np.int64)
        for found in self.classes_in(namespace):
            if not found.is_terminating and matches(found.labels):
                found.add_to(counts)
        return counts

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Take in a namespace's labels; None: it is gone."""
        if labels is None:
            self.namespace_labels.pop(name, None)
        else:
            self.namespace_labels[name] = labels
        self.layout += 1

    def emptied(self) -> Snapshot:
        """The same nodes without any pod; it shares what it has of nodes, and is out of date when they change."""
        empty = copy(self)
        empty.requested, empty.non_zero = np.zeros_like(self.requested), np.zeros_like(self.non_zero)
        empty.pods = [{} for _ in self.pods]
        empty.nominated, empty._nominated_at = {}, {}
        empty._ports, empty._placed, empty._homeless, empty._homeless_at = {}, {}, {}, {}
        empty._classes, empty._by_namespace, empty._opinionated = {}, {}, {}
        empty.log, empty._changed_at = [], {}
        return empty

    # Nodes.

    def set_node(self, node: Object) -> None:
        """Add a node, or take in what changed about it."""
        name = meta.name(node)
        row = self.rows.get(name)
        is_new = row is None
        if row is None:
            row = self._new_row(name)
        before = self.nodes[row]
        self._set_images(row, before, node)
        self.nodes[row] = node
        spec, status = node.get("spec") or meta.EMPTY, node.get("status") or meta.EMPTY
        self.allocatable[row] = 0
        for resource, text in (status.get("allocatable") or meta.EMPTY).items():
            amount = quantity.milli(text) if resource == "cpu" else quantity.value(text)
            # A resource seen for the first time gets a new column, and with it a new array.
            number = self._resource(resource)
            self.allocatable[row, number] = amount
        self.unschedulable[row] = bool(spec.get("unschedulable"))
        self.taint_codes[row] = self._taint_code(node_taints(node))
        labels = meta.labels(node)
        for key, column in self._labels.items():
            column.set(row, labels.get(key))
        if before is None or _matters_elsewhere(before, node):
            self.layout += 1
        else:
            self._note(Change(row))
        if is_new:
            for info in self._homeless.pop(name, {}).values():
                del self._homeless_at[info.uid]
                self.add_pod(info, name)
            for uid, (info, node_name) in self._nominated_at.items():
                if node_name == name:
                    self.nominated.setdefault(row, {})[uid] = info

    def refresh_node(self, node: Object) -> None:
        """Take in a node of which nothing has changed that is kept in columns."""
        row = self.rows.get(meta.name(node))
        if row is not None:
            self.nodes[row] = node

    def remove_node(self, name: str) -> None:
        """Forget a node. Its pods are kept in mind, should it come back."""
        row = self.rows.get(name)
        if row is None:
            return
        for placed in list(self.pods[row].values()):
            self.remove_pod(placed.info.uid)
            self._set_homeless(placed.info, name)
        self.nominated.pop(row, None)
        self.layout += 1
        del self.rows[name]
        self._set_images(row, self.nodes[row], None)
        self.nodes[row] = None
        self.names[row] = ""
        self.valid[row] = False
        self.allocatable[row] = 0
        self.taint_codes[row] = 0
        self.unschedulable[row] = False
        for column in self._labels.values():
            column.set(row, None)
        self._free.append(row)

    def _new_row(self, name: str) -> int:
        if self._free:
            row = self._free.pop()
        else:
            row = self.size
            if row == self._capacity:
                self._grow()
            self.size += 1
            self.names.append("")
            self.nodes.append(None)
            self.pods.append({})
        self.rows[name] = row
        self.names[row] = name
        self.valid[row] = True
        return row

    def _grow(self) -> None:
        self._capacity *= 2
        self.lowest_priority = np.append(self.lowest_priority, np.full(self._capacity // 2, NO_PRIORITY, np.int64))
        for name in ("allocatable", "requested", "non_zero", "valid", "unschedulable", "taint_codes"):
            setattr(self, name, _longer(getattr(self, name), self._capacity))
        for column in self._labels.values():
            column.codes = _longer(column.codes, self._capacity)

    def _resource(self, name: str) -> int:
        column = self.resources.get(name)
        if column is None:
            column = self.resources[name] = len(self.resources)
            more = np.zeros((self._capacity, 1), np.int64)
            self.allocatable = np.hstack((self.allocatable, more))
            self.requested = np.hstack((self.requested, more))
        return column

    def _taint_code(self, taints: TaintSet) -> int:
        code = self._taint_set_code.get(taints)
        if code is None:
            code = self._taint_set_code[taints] = len(self.taint_sets)
            self.taint_sets.append(taints)
        return code

    def _set_images(self, row: int, old: Object | None, new: Object | None) -> None:
        before = ((old or meta.EMPTY).get("status") or meta.EMPTY).get("images") or ()
        after = ((new or meta.EMPTY).get("status") or meta.EMPTY).get("images") or ()
        if before == after:
            return
        for image in before:
            for name in image.get("names") or ():
                users = self._images.get(name, {})
                users.pop(row, None)
                if not users:
                    self._images.pop(name, None)
        for image in after:
            for name in image.get("names") or ():
                self._images.setdefault(name, {})[row] = image.get("sizeBytes", 0)

    # Pods.

    def placed(self, uid: str) -> Placed | None:
        return self._placed.get(uid)

    def add_pod(self, info: PodInfo, node_name: str) -> None:
        """Count a pod to a node, anew if it was counted already."""
        row = self.rows.get(node_name)
        before = self._placed.get(info.uid)
        if before is not None and before.row == row and before.info.counts_as(info):
            before.info = info
            return
        if before is not None or info.uid in self._homeless_at:
            self.remove_pod(info.uid)
        if row is None:
            self._set_homeless(info, node_name)
            return
        self._count(info, row, 1)
        group = self._class_of(info)
        group.counts[row] = group.counts.get(row, 0) + 1
        self._placed[info.uid] = self.pods[row][info.uid] = Placed(info, row, group)
        if info.priority < self.lowest_priority.item(row):
            self.lowest_priority[row] = info.priority
        self._note(Change(row, 1, info))

    def remove_pod(self, uid: str) -> None:
        placed = self._placed.pop(uid, None)
        if placed is None:
            name = self._homeless_at.pop(uid, None)
            if name is not None:
                del self._homeless[name][uid]
                if not self._homeless[name]:
                    del self._homeless[name]
            return
        del self.pods[placed.row][uid]
        self._count(placed.info, placed.row, -1)
        if placed.info.priority <= self.lowest_priority[placed.row]:
            others = (other.info.priority for other in self.pods[placed.row].values())
            self.lowest_priority[placed.row] = min(others, default=NO_PRIORITY)
        counts = placed.group.counts
        counts[placed.row] -= 1
        if not counts[placed.row]:
            del counts[placed.row]
            if not counts:
                self._drop_class(placed.info)
        self._note(Change(placed.row, -1, placed.info))

    def _set_homeless(self, info: PodInfo, node_name: str) -> None:
        """Its node is unknown (yet)."""
        self._homeless.setdefault(node_name, {})[info.uid] = info
        self._homeless_at[info.uid] = node_name

    def _class_of(self, info: PodInfo) -> PodClass:
        key = info.class_key
        found = self._classes.get(key)
        if found is None:
            found = self._classes[key] = _pod_class(info)
            self._by_namespace.setdefault(info.namespace, {})[key] = found
            if found.has_terms:
                self._opinionated[key] = found
        return found

    def _drop_class(self, info: PodInfo) -> None:
        key = info.class_key
        del self._classes[key]
        self._opinionated.pop(key, None)
        classes = self._by_namespace[info.namespace]
        del classes[key]
        if not classes:
            del self._by_namespace[info.namespace]

    def nominate(self, info: PodInfo, node_name: str) -> None:
        """Keep room on that node for a pod."""
        self.forget_nomination(info.uid)
        self._nominated_at[info.uid] = (info, node_name)
        row = self.rows.get(node_name)
        if row is not None:
            self.nominated.setdefault(row, {})[info.uid] = info
            self._note(Change(row))

    def nomination_of(self, uid: str) -> str:
        """The node that room is kept on for a pod; "" if none."""
        return self._nominated_at.get(uid, (None, ""))[1]

    def forget_nomination(self, uid: str) -> str:
        """Keep it no longer; the node's name, "" if there was none."""
        _, name = self._nominated_at.pop(uid, (None, ""))
        row = self.rows.get(name)
        if row is not None and uid in self.nominated.get(row, {}):
            del self.nominated[row][uid]
            if not self.nominated[row]:
                del self.nominated[row]
            self._note(Change(row))
        return name

    @contextmanager
    def without_nomination(self, uid: str) -> Iterator[None]:
        """As if no room were kept for that pod."""
        info, name = self._nominated_at.get(uid, (None, ""))
        self.forget_nomination(uid)
        try:
            yield
        finally:
            if info is not None:
                self.nominate(info, name)

    @contextmanager
    def supposing(self) -> Iterator[None]:
        """What is added and removed meanwhile is undone by the caller before this ends, and noted nowhere."""
        before, self._is_supposing = self._is_supposing, True
        try:
            yield
        finally:
            self._is_supposing = before

    @contextmanager
    def with_pods(self, infos: Iterable[tuple[PodInfo, str]]) -> Iterator[list[tuple[PodInfo, str]]]:
        """As if these pods were on these nodes; those that really were added."""
        added: list[tuple[PodInfo, str]] = []
        with self.supposing():
            try:
                for info, name in infos:
                    if info.uid not in self._placed and name in self.rows:
                        self.add_pod(info, name)
                        added.append((info, name))
                yield added
            finally:
                for info, _ in added:
                    self.remove_pod(info.uid)

    def _note(self, change: Change) -> None:
        if self._is_supposing:
            return
        self.log.append(change)
        self._changed_at[change.row] = self._log_start + len(self.log)
        if len(self.log) > 2 * LOG_LIMIT_ENTRIES:
            del self.log[:LOG_LIMIT_ENTRIES]
            self._log_start += LOG_LIMIT_ENTRIES

    def _count(self, info: PodInfo, row: int, sign: int) -> None:
        for resource, amount in info.requests.items():
            column = self._resource(resource)
            # NumPy's own numbers are slow one by one.
            self.requested[row, column] = self.requested.item(row, column) + sign * amount
        pods = self.resources[PODS]
        self.requested[row, pods] = self.requested.item(row, pods) + sign
        cpu, memory = info.non_zero_requests
        self.non_zero[row, 0] = self.non_zero.item(row, 0) + sign * cpu
        self.non_zero[row, 1] = self.non_zero.item(row, 1) + sign * memory
        for address, protocol, port in info.host_ports:
            by_row = self._ports.setdefault((protocol, port), {})
            users = by_row.setdefault(row, {})
            users[address] = users.get(address, 0) + sign
            if not users[address]:
                del users[address]
                if not users:
                    del by_row[row]


def node_taints(node: Object) -> TaintSet:
    taints = (node.get("spec") or meta.EMPTY).get("taints") or ()
    return tuple((taint["key"], taint.get("value") or "", taint["effect"]) for taint in taints)


def _longer(array: NDArray[Any], rows: int) -> NDArray[Any]:
    longer = np.zeros((rows, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def _pod_class(info: PodInfo) -> PodClass:
    return PodClass(
        info.namespace,
        info.labels,
        info.is_terminating,
        info.required_affinity,
        info.required_anti_affinity,
        info.preferred_affinity,
        info.preferred_anti_affinity,
    )


def _matters_elsewhere(old: Object, new: Object) -> bool:
    """Whether a change of a node may matter to how other nodes are judged, or to what is kept by node."""
    before, after = old.get("spec") or meta.EMPTY, new.get("spec") or meta.EMPTY
    was, now = old.get("status") or meta.EMPTY, new.get("status") or meta.EMPTY
    return (
        meta.labels(old) != meta.labels(new)
        or any(before.get(field) != after.get(field) for field in ("taints", "unschedulable"))
        or any(was.get(field) != now.get(field) for field in ("images", "declaredFeatures"))
    )
