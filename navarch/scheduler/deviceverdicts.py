"""Which nodes have the devices that are asked for together, kept by what is asked.

Whether a node has them depends on what claims ask and on what is taken of the node's pools, not on how things are called. So
whoever asks the same shares a verdict, and only nodes are looked at again of whose pools something was taken or given back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler.deviceallocation import Chosen, OutOfSteps, Search, score
from navarch.scheduler.devices import Devices, PerNode
from navarch.scheduler.framework import BoolArray, IntArray
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.snapshot import Snapshot

KEPT_LIMIT = 64
"""Of how many kinds of claims verdicts are kept."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Claims that are to be allocated together on one node."""

    claims: Sequence[Object]
    key: bytes
    """What they ask for."""


def asked(claims: Sequence[Object], classes: Callable[[str], Object | None]) -> Asked:
    return Asked(claims, orjson.dumps([_essence(claim["spec"], classes) for claim in claims], option=orjson.OPT_SORT_KEYS))


def _essence(spec: Object, classes: Callable[[str], Object | None]) -> list[Any] | Object:
    """What of a claim decides where it can be served. Requests and classes have other names, and settings for drivers, too."""
    devices = spec.get("devices") or meta.EMPTY
    if devices.get("constraints"):
        return spec  # They speak of requests by name.
    return [
        [_criteria(option, classes) for option in request.get("firstAvailable") or [request.get("exactly") or meta.EMPTY]]
        for request in devices.get("requests") or ()
    ]


def _criteria(request: Object, classes: Callable[[str], Object | None]) -> tuple[Any, Object]:
    name = request.get("deviceClassName") or ""
    device_class = classes(name)
    chosen = name if device_class is None else device_class["spec"].get("selectors") or []
    return chosen, {field: value for field, value in request.items() if field not in ("name", "deviceClassName")}


class Verdicts(PerNode):
    """What is known of nodes, by row, for claims that ask for the same."""

    def __init__(self, snapshot: Snapshot, devices: Devices) -> None:
        super().__init__(snapshot, devices)
        self.can: BoolArray = np.zeros(snapshot.size, np.bool_)
        self.gave_up: BoolArray = np.zeros(snapshot.size, np.bool_)
        self.scores: IntArray = np.zeros(snapshot.size, np.int64)


class DeviceVerdicts:
    """The verdicts of the kinds of claims that came last."""

    def __init__(self, snapshot: Snapshot, devices: Devices, steps_limit: int | None) -> None:
        """`steps_limit`: see `Search`."""
        self._snapshot = snapshot
        self._devices = devices
        self._steps_limit = steps_limit
        self._kept: OrderedDict[bytes, Verdicts] = OrderedDict()
        devices.tell(self._kept.clear)

    def of(self, wanted: Asked, nodes: Nodes, among: BoolArray) -> Verdicts:
        """Of `nodes`, those `among` them up to date. Raises AllocationError."""
        found = self._kept.get(wanted.key)
        if found is None or not found.catch_up():
            found = self._kept[wanted.key] = Verdicts(self._snapshot, self._devices)
            while len(self._kept) > KEPT_LIMIT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(wanted.key)
        for row in nodes.rows[~nodes.take(found.known) & among].tolist():
            self._judge(wanted, found, row)
        return found

    def _judge(self, wanted: Asked, verdicts: Verdicts, row: int) -> None:
        verdicts.known[row] = True
        verdicts.gave_up[row] = verdicts.can[row] = False
        try:
            chosen = self.find(wanted, row)
        except OutOfSteps:
            verdicts.gave_up[row] = True
            return
        if chosen is not None:
            verdicts.can[row] = True
            verdicts.scores[row] = score(chosen)

    def find(self, wanted: Asked, row: int) -> list[list[Chosen]] | None:
        """The devices on that node, claim by claim; None if it has not enough. Raises AllocationError, OutOfSteps."""
        node = self._snapshot.nodes[row]
        assert node is not None
        devices = self._devices
        reachable = list(devices.pools.of_node(self._snapshot.names[row], meta.labels(node)))
        return Search(wanted.claims, reachable, devices.usage, devices.classes.get, self._steps_limit).find()
