"""The cluster as columns: one row a node, one array a property, kept up to date change by change.

Texts are coded as small integers: a label's column holds for each node the number of its value (0: the node has none), a
node's taints are the number of its whole set. So a question about texts is asked once for each distinct text and then looked
up for all nodes. Pods are counted per node by class (equal namespace, labels and affinity), since pods of one template are
alike to every rule about other pods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.apimachinery.selectors import Selector
from navarch.scheduler.podinfo import AffinityTerm, HostPort, PodInfo

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
CodeArray = NDArray[np.int32]

INITIAL_ROWS = 16
PODS = "pods"
ANY_ADDRESS = "0.0.0.0"

Taint = tuple[str, str, str]
"""(key, value, effect)"""
TaintSet = tuple[Taint, ...]


class LabelColumn:
    """One label of every node, as numbers of its distinct values; 0 where a node has none."""

    def __init__(self, capacity: int) -> None:
        self.codes: CodeArray = np.zeros(capacity, np.int32)
        self.values: list[str | None] = [None]
        self._code_of: dict[str, int] = {}

    def set(self, row: int, value: str | None) -> None:
        self.codes[row] = 0 if value is None else self.code(value)

    def find(self, value: str) -> int:
        """The number of a value, 0 if no node ever had it."""
        return self._code_of.get(value, 0)

    def code(self, value: str) -> int:
        """The number of a value, a new one if need be."""
        code = self._code_of.get(value)
        if code is None:
            code = self._code_of[value] = len(self.values)
            self.values.append(value)
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
    counts: CodeArray
    total: int = 0


@dataclass(slots=True, eq=False)
class Placed:
    """A pod that is on a node, or about to be."""

    info: PodInfo
    row: int
    class_key: Any


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
        self._allocatable: IntArray = np.zeros((INITIAL_ROWS, 4), np.int64)
        self._requested: IntArray = np.zeros((INITIAL_ROWS, 4), np.int64)
        self._non_zero: IntArray = np.zeros((INITIAL_ROWS, 2), np.int64)
        self._valid: BoolArray = np.zeros(INITIAL_ROWS, np.bool_)
        self._unschedulable: BoolArray = np.zeros(INITIAL_ROWS, np.bool_)
        self._taint_codes: CodeArray = np.zeros(INITIAL_ROWS, np.int32)
        self.taint_sets: list[TaintSet] = [()]
        self._taint_set_code: dict[TaintSet, int] = {(): 0}
        self._labels: dict[str, LabelColumn] = {}
        self._images: dict[str, dict[int, int]] = {}
        self._ports: dict[tuple[str, int], dict[int, dict[str, int]]] = {}
        self._classes: dict[Any, PodClass] = {}
        self._placed: dict[str, Placed] = {}
        self.pods: list[dict[str, Placed]] = []
        """Row -> its pods by uid."""
        self._homeless: dict[str, dict[str, PodInfo]] = {}
        self.namespace_labels: dict[str, Mapping[str, str]] = {}

    # Columns.

    @property
    def count(self) -> int:
        """How many nodes there are."""
        return len(self.rows)

    @property
    def valid(self) -> BoolArray:
        return self._valid[: self.size]

    @property
    def unschedulable(self) -> BoolArray:
        return self._unschedulable[: self.size]

    @property
    def allocatable(self) -> IntArray:
        return self._allocatable[: self.size]

    @property
    def requested(self) -> IntArray:
        return self._requested[: self.size]

    @property
    def non_zero_requested(self) -> IntArray:
        """(CPU, memory), with a floor for containers that ask for none."""
        return self._non_zero[: self.size]

    def label_codes(self, key: str) -> CodeArray:
        """The number of each node's value of that label; 0 where it has none."""
        return self._label_column(key).codes[: self.size]

    def label_table(self, key: str, test: Callable[[str | None], bool]) -> BoolArray:
        """Where `test`, asked once for every distinct value (None: no such label), is true."""
        column = self._label_column(key)
        table = np.fromiter((test(value) for value in column.values), np.bool_, len(column.values))
        return table[column.codes[: self.size]]

    def label_in(self, key: str, values: Iterable[str]) -> BoolArray:
        """Nodes whose label has one of these values; does not look at the other values there are."""
        column = self._label_column(key)
        codes = [code for code in map(column.find, values) if code]
        return np.isin(column.codes[: self.size], codes) if codes else np.zeros(self.size, np.bool_)

    def taint_table(self, test: Callable[[TaintSet], int]) -> IntArray:
        """What `test`, asked once for every distinct set of taints, says of each node."""
        table = np.fromiter((test(taints) for taints in self.taint_sets), np.int64, len(self.taint_sets))
        return table[self._taint_codes[: self.size]]

    def image_sizes(self, image: str) -> Mapping[int, int]:
        """Row -> bytes, of the nodes that have that image."""
        return self._images.get(image, {})

    def port_conflicts(self, ports: Iterable[HostPort]) -> BoolArray:
        """Where one of these host ports is taken."""
        taken = np.zeros(self.size, np.bool_)
        for address, protocol, port in ports:
            for row, users in self._ports.get((protocol, port), {}).items():
                if address == ANY_ADDRESS or address in users or ANY_ADDRESS in users:
                    taken[row] = True
        return taken

    def classes(self) -> Iterable[PodClass]:
        return self._classes.values()

    def pods_matching(self, namespace: str, selector: Selector) -> IntArray:
        """How many pods of `namespace` that are not being deleted match, on each node."""
        counts = np.zeros(self.size, np.int64)
        for found in self._classes.values():
            if found.namespace == namespace and not found.is_terminating and selector.matches(found.labels):
                counts += found.counts[: self.size]
        return counts

    def by_domain(self, key: str, amounts: NDArray[Any], where: BoolArray | None = None) -> tuple[CodeArray, FloatArray]:
        """`amounts` summed over each value of the label `key`: (the nodes' value numbers, the sums by number)."""
        codes = self.label_codes(key)
        counted = codes > 0 if where is None else (codes > 0) & where
        sums = np.bincount(codes[counted], weights=amounts[counted], minlength=len(self._label_column(key).values))
        return codes, sums.astype(np.float64, copy=False)

    # Nodes.

    def set_node(self, node: Object) -> None:
        """Add a node, or take in what changed about it."""
        name = meta.name(node)
        row = self.rows.get(name)
        is_new = row is None
        if row is None:
            row = self._new_row(name)
        self._set_images(row, self.nodes[row], node)
        self.nodes[row] = node
        spec, status = node.get("spec") or meta.EMPTY, node.get("status") or meta.EMPTY
        self._allocatable[row] = 0
        for resource, text in (status.get("allocatable") or meta.EMPTY).items():
            amount = quantity.milli(text) if resource == "cpu" else quantity.value(text)
            # A resource seen for the first time gets a new column, and with it a new array.
            number = self._resource(resource)
            self._allocatable[row, number] = amount
        self._unschedulable[row] = bool(spec.get("unschedulable"))
        self._taint_codes[row] = self._taint_code(node_taints(node))
        labels = meta.labels(node)
        for key, column in self._labels.items():
            column.set(row, labels.get(key))
        if is_new:
            for info in self._homeless.pop(name, {}).values():
                self.add_pod(info, name)

    def remove_node(self, name: str) -> None:
        """Forget a node. Its pods are kept in mind, should it come back."""
        row = self.rows.get(name)
        if row is None:
            return
        for placed in list(self.pods[row].values()):
            self.remove_pod(placed.info.uid)
            self._homeless.setdefault(name, {})[placed.info.uid] = placed.info
        del self.rows[name]
        self._set_images(row, self.nodes[row], None)
        self.nodes[row] = None
        self.names[row] = ""
        self._valid[row] = False
        self._allocatable[row] = 0
        self._taint_codes[row] = 0
        self._unschedulable[row] = False
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
        self._valid[row] = True
        return row

    def _grow(self) -> None:
        self._capacity *= 2
        for field in ("_allocatable", "_requested", "_non_zero", "_valid", "_unschedulable", "_taint_codes"):
            setattr(self, field, _longer(getattr(self, field), self._capacity))
        for column in self._labels.values():
            column.codes = _longer(column.codes, self._capacity)
        for found in self._classes.values():
            found.counts = _longer(found.counts, self._capacity)

    def _resource(self, name: str) -> int:
        column = self.resources.get(name)
        if column is None:
            column = self.resources[name] = len(self.resources)
            more = np.zeros((self._capacity, 1), np.int64)
            self._allocatable = np.hstack((self._allocatable, more))
            self._requested = np.hstack((self._requested, more))
        return column

    def _label_column(self, key: str) -> LabelColumn:
        column = self._labels.get(key)
        if column is None:
            column = self._labels[key] = LabelColumn(self._capacity)
            for row, node in enumerate(self.nodes):
                if node is not None:
                    column.set(row, meta.labels(node).get(key))
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
        self.remove_pod(info.uid)
        row = self.rows.get(node_name)
        if row is None:
            self._homeless.setdefault(node_name, {})[info.uid] = info
            return
        self._count(info, row, 1)
        class_key = _class_key(info)
        found = self._classes.get(class_key)
        if found is None:
            found = self._classes[class_key] = _pod_class(info, self._capacity)
        found.counts[row] += 1
        found.total += 1
        self._placed[info.uid] = self.pods[row][info.uid] = Placed(info, row, class_key)

    def remove_pod(self, uid: str) -> None:
        placed = self._placed.pop(uid, None)
        if placed is None:
            for name, pods in list(self._homeless.items()):
                pods.pop(uid, None)
                if not pods:
                    del self._homeless[name]
            return
        del self.pods[placed.row][uid]
        self._count(placed.info, placed.row, -1)
        found = self._classes[placed.class_key]
        found.counts[placed.row] -= 1
        found.total -= 1
        if not found.total:
            del self._classes[placed.class_key]

    @contextmanager
    def with_pods(self, infos: Iterable[tuple[PodInfo, str]]) -> Iterator[None]:
        """As if these pods were on these nodes."""
        added = []
        try:
            for info, name in infos:
                if info.uid not in self._placed and name in self.rows:
                    self.add_pod(info, name)
                    added.append(info.uid)
            yield
        finally:
            for uid in added:
                self.remove_pod(uid)

    def _count(self, info: PodInfo, row: int, sign: int) -> None:
        for resource, amount in info.requests.items():
            column = self._resource(resource)
            self._requested[row, column] += sign * amount
        self._requested[row, self.resources[PODS]] += sign
        cpu, memory = info.non_zero_requests
        self._non_zero[row, 0] += sign * cpu
        self._non_zero[row, 1] += sign * memory
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


def _class_key(info: PodInfo) -> Any:
    affinity = (
        (info.required_affinity, info.required_anti_affinity, info.preferred_affinity, info.preferred_anti_affinity)
        if info.spec.get("affinity")
        else None
    )
    return info.namespace, frozenset(info.labels.items()), info.is_terminating, affinity


def _pod_class(info: PodInfo, capacity: int) -> PodClass:
    return PodClass(
        info.namespace,
        info.labels,
        info.is_terminating,
        info.required_affinity,
        info.required_anti_affinity,
        info.preferred_affinity,
        info.preferred_anti_affinity,
        np.zeros(capacity, np.int32),
    )
