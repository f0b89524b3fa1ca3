"""How many devices that give an extended resource a node can reach, and how many of them are taken: for scores (KEP-5004)."""

from __future__ import annotations

import numpy as np

from navarch.apimachinery import meta
from navarch.scheduler.devicepools import Device, SelectorError, matches
from navarch.scheduler.devices import Devices, PerNode
from navarch.scheduler.framework import IntArray
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.snapshot import Snapshot


class Counts(PerNode):
    """Of the devices of one class."""

    def __init__(self, snapshot: Snapshot, devices: Devices) -> None:
        super().__init__(snapshot, devices)
        self.all: IntArray = np.zeros(snapshot.size, np.int64)
        self.taken: IntArray = np.zeros(snapshot.size, np.int64)


class DeviceCounts:
    """The counts of the classes that give extended resources."""

    def __init__(self, snapshot: Snapshot, devices: Devices) -> None:
        self._snapshot, self._devices = snapshot, devices
        self._kept: dict[str, Counts] = {}
        devices.tell(self._kept.clear)

    def of(self, class_name: str, nodes: Nodes) -> tuple[IntArray, IntArray]:
        """(how many devices of the class there are, how many of them somebody has, wholly or in part), node by node.

        0 of them where the class's expressions cannot be evaluated.
        """
        found = self._kept.get(class_name)
        if found is None or not found.catch_up():
            found = self._kept[class_name] = Counts(self._snapshot, self._devices)
        for row in nodes.rows[~nodes.take(found.known)].tolist():
            found.known[row] = True
            found.all[row], found.taken[row] = self._count(class_name, row)
        return nodes.take(found.all), nodes.take(found.taken)

    def _count(self, class_name: str, row: int) -> tuple[int, int]:
        node, device_class = self._snapshot.nodes[row], self._devices.classes.get(class_name)
        if node is None or device_class is None:
            return 0, 0
        expressions = [item["cel"]["expression"] for item in device_class["spec"].get("selectors") or () if item.get("cel")]
        usage, count, taken = self._devices.usage, 0, 0
        try:
            for _, reachable in self._devices.pools.of_node(self._snapshot.names[row], meta.labels(node)):
                chosen = [device for device in reachable if _is_chosen(device, expressions)]
                count += len(chosen)
                taken += sum(usage.is_taken(device.id) or usage.is_shared(device.id) for device in chosen)
        except SelectorError:
            return 0, 0
        return count, taken


def _is_chosen(device: Device, expressions: list[str]) -> bool:
    return all(matches(expression, device) for expression in expressions)
