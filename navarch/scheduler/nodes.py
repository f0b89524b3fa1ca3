"""Nodes as plugins see them: columns of the snapshot, of all nodes or of a few.

Every array here is as long as `size`; a narrowed view has the entries of its rows, in their order. So the same expression
judges the whole cluster and the one node that changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler.podinfo import HostPort, PodInfo
from navarch.scheduler.snapshot import ANY_ADDRESS, PODS, BoolArray, IntArray, Snapshot, TaintSet


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """One node, for plugins that look at one at a time."""

    snapshot: Snapshot
    row: int

    @property
    def name(self) -> str:
        return self.snapshot.names[self.row]

    @property
    def node(self) -> Object:
        node = self.snapshot.nodes[self.row]
        assert node is not None
        return node

    @property
    def labels(self) -> Mapping[str, str]:
        return meta.labels(self.node)

    @property
    def pods(self) -> list[PodInfo]:
        """What is on it, or about to be."""
        return [placed.info for placed in self.snapshot.pods[self.row].values()]

    @property
    def allocatable(self) -> dict[str, int]:
        """By resource; CPU in thousandths."""
        return {name: int(self.snapshot.allocatable[self.row, column]) for name, column in self.snapshot.resources.items()}

    @property
    def requested(self) -> dict[str, int]:
        return {name: int(self.snapshot.requested[self.row, column]) for name, column in self.snapshot.resources.items()}


class Nodes:
    """The rows of a snapshot that a plugin is asked about; `rows` None: all."""

    def __init__(self, snapshot: Snapshot, rows: IntArray | None = None) -> None:
        self.snapshot = snapshot
        self._rows = rows
        self.size = snapshot.size if rows is None else len(rows)
        self._kept: dict[str, NDArray[Any]] = {}

    @property
    def is_all(self) -> bool:
        return self._rows is None

    @property
    def rows(self) -> IntArray:
        """The snapshot's rows, in the order of these nodes."""
        return np.arange(self.size) if self._rows is None else self._rows

    def narrowed(self, rows: IntArray) -> Nodes:
        """A few of the snapshot's rows."""
        return Nodes(self.snapshot, rows)

    def position(self, name: str) -> int | None:
        """Where among these a node is."""
        row = self.snapshot.rows.get(name)
        if row is None or self._rows is None:
            return row
        found = np.flatnonzero(self._rows == row)
        return int(found[0]) if len(found) else None

    def infos(self) -> Iterator[tuple[int, NodeInfo]]:
        """(position, node) of each."""
        for position, row in enumerate(self.rows.tolist()):
            if self.snapshot.valid[row]:
                yield position, NodeInfo(self.snapshot, row)

    def take(self, column: NDArray[Any]) -> Any:
        """Of an array by row, the entries of these nodes; of a `OneNode` the one entry."""
        return column[: self.size] if self._rows is None else column[self._rows]

    def none(self) -> BoolArray:
        """No node: False for each."""
        return np.zeros(self.size, np.bool_)

    def _keep(self, name: str) -> NDArray[Any]:
        found = self._kept.get(name)
        if found is None:
            found = self._kept[name] = self.take(getattr(self.snapshot, name))
        return found

    # Columns.

    @property
    def valid(self) -> BoolArray:
        """Rows may be free: those of nodes that have gone."""
        return self._keep("valid")

    @property
    def unschedulable(self) -> BoolArray:
        return self._keep("unschedulable")

    @property
    def allocatable(self) -> IntArray:
        """By node and resource (`resource_column`)."""
        return self._keep("allocatable")

    @property
    def requested(self) -> IntArray:
        return self._keep("requested")

    @property
    def non_zero_requested(self) -> IntArray:
        """(CPU, memory), with a floor for containers that ask for none."""
        return self._keep("non_zero")

    def allocatable_of(self, column: int) -> Any:
        """One resource of `allocatable`: an array; of a `OneNode` a plain number, which the same operators apply to."""
        return self.allocatable[:, column]

    def requested_of(self, column: int) -> Any:
        return self.requested[:, column]

    def non_zero_of(self, column: int) -> Any:
        return self.non_zero_requested[:, column]

    def resource_column(self, resource: str) -> int | None:
        """Where in `allocatable` and `requested`; None: nobody has or wants it."""
        return self.snapshot.resources.get(resource)

    def label_codes(self, key: str) -> IntArray:
        """The number of each node's value of that label; 0 where it has none."""
        codes: IntArray = self.take(self.snapshot.label_column(key).codes)
        return codes

    def label_table(self, key: str, test: Callable[[str | None], bool]) -> BoolArray:
        """Where `test`, asked once for every distinct value (None: no such label), is true."""
        column = self.snapshot.label_column(key)
        codes = self.take(column.codes)
        if self.size < len(column.values):
            return np.fromiter((test(column.values[code]) for code in codes.tolist()), np.bool_, self.size)
        table: BoolArray = np.fromiter((test(value) for value in column.values), np.bool_, len(column.values))
        found: BoolArray = table[codes]
        return found

    def label_in(self, key: str, values: Iterable[str]) -> BoolArray:
        """Nodes whose label has one of these values; does not look at the other values there are."""
        column = self.snapshot.label_column(key)
        found = self.none()
        codes = self.take(column.codes)
        for code in map(column.find, values):
            if code:
                found |= codes == code
        return found

    def taint_table(self, test: Callable[[TaintSet], int]) -> IntArray:
        """What `test`, asked once for every distinct set of taints, says of each node."""
        sets = self.snapshot.taint_sets
        if len(sets) == 1:
            return np.full(self.size, test(sets[0]), np.int64)  # There are no taints anywhere.
        codes = self.take(self.snapshot.taint_codes)
        if self.size < len(sets):
            return np.fromiter((test(sets[code]) for code in codes.tolist()), np.int64, self.size)
        found: IntArray = np.fromiter((test(taints) for taints in sets), np.int64, len(sets))[codes]
        return found

    def by_row(self, amounts: Mapping[int, int]) -> IntArray:
        """An array of what a few rows have."""
        found = np.zeros(self.snapshot.size, np.int64)
        found[np.fromiter(amounts, np.int64, len(amounts))] = np.fromiter(amounts.values(), np.int64, len(amounts))
        amounts_of_these: IntArray = self.take(found)
        return amounts_of_these

    def port_conflicts(self, ports: Iterable[HostPort]) -> BoolArray:
        """Where one of these host ports is taken."""
        taken = np.zeros(self.snapshot.size, np.bool_)
        for address, protocol, port in ports:
            for row, users in self.snapshot.port_users(protocol, port).items():
                if address == ANY_ADDRESS or address in users or ANY_ADDRESS in users:
                    taken[row] = True
        found: BoolArray = self.take(taken)
        return found


NOT_THIS = np.bool_(False)


class OneNode(Nodes):
    """A single row, with numbers in place of arrays: for a few of them, that is far faster.

    Only for plugins that are `scalar`, which use nothing but operators and `take`.
    """

    def __init__(self, snapshot: Snapshot, row: int) -> None:
        self.snapshot = snapshot
        self.row = row
        self.size = 1
        self._kept = {}
        self._rows = None
        self._allocatable: list[int] = snapshot.allocatable[row].tolist()
        self._requested: list[int] = snapshot.requested[row].tolist()
        self._non_zero: list[int] = snapshot.non_zero[row].tolist()
        self._amounts: tuple[int, ...] | None = None

    @property
    def is_all(self) -> bool:
        return False

    @property
    def rows(self) -> IntArray:
        return np.array([self.row], np.int64)

    def take(self, column: NDArray[Any]) -> Any:
        return column[self.row]

    def none(self) -> Any:
        return NOT_THIS

    @property
    def amounts(self) -> tuple[int, ...]:
        """All that a plugin which is `amounts_only` can see of the node. Rows of one layout are equal to it if these are."""
        if self._amounts is None:
            self._amounts = (*self._allocatable, *self._requested, *self._non_zero)
        return self._amounts

    def suppose(self, info: PodInfo, sign: int) -> None:
        """As if a pod were there too (1) or were not (-1); holds for amounts only."""
        self._amounts = None
        columns = self.snapshot.resources
        for resource, amount in info.requests.items():
            if resource in columns:
                self._requested[columns[resource]] += sign * amount
        self._requested[columns[PODS]] += sign
        self._non_zero[0] += sign * info.non_zero_requests[0]
        self._non_zero[1] += sign * info.non_zero_requests[1]

    def holds(self, requests: Mapping[str, int]) -> bool:
        """Whether there is room for one more pod, which asks for that much. False may also be for want of a closer look."""
        columns, allocatable, requested = self.snapshot.resources, self._allocatable, self._requested
        number = columns[PODS]
        if requested[number] >= allocatable[number]:
            return False
        for resource, amount in requests.items():
            column = columns.get(resource)
            if column is None or amount > allocatable[column] - requested[column]:
                return False
        return True

    def allocatable_of(self, column: int) -> int:
        return self._allocatable[column]

    def requested_of(self, column: int) -> int:
        return self._requested[column]

    def non_zero_of(self, column: int) -> int:
        return self._non_zero[column]

    def position(self, name: str) -> int | None:
        return 0 if self.snapshot.rows.get(name) == self.row else None
