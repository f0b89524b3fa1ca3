"""How many volumes each driver has on each node, and how many it may have.

Counted are the volumes of pods on the node, each once, and what attachments say is still there (VolumeAttachment) though its
pod has gone. Kept as arrays by row; a row is counted anew when its pods, their claims, or its attachments have changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from navarch.api.core.storageaccess import class_of
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.informer import Informers
from navarch.scheduler import volumes as facts
from navarch.scheduler.claimusers import Changed, ClaimUsers
from navarch.scheduler.framework import BoolArray, IntArray
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot
from navarch.scheduler.volumes import Disk

DIRECT_ROWS = 4
"""So few rows are counted on the spot, as they are or are supposed to be."""
UNLIMITED = np.iinfo(np.int64).max
# What no real handle begins with: of a volume that is yet to be made, all there is to tell is whose it will be.
_PENDING = "\0"


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """What a CSINode says."""

    counts: dict[str, int]
    """By driver."""
    migrated: frozenset[str]


NO_LIMITS = NodeLimits({}, frozenset())


def node_limits(csi_node: Object) -> NodeLimits:
    counts = {}
    for driver in (csi_node.get("spec") or meta.EMPTY).get("drivers") or ():
        count = (driver.get("allocatable") or meta.EMPTY).get("count")
        if count is not None:
            counts[driver["name"]] = int(count)
    plugins = meta.annotations(csi_node).get(facts.MIGRATED_PLUGINS) or ""
    return NodeLimits(counts, frozenset(filter(None, plugins.split(","))))


class AttachedVolumes:
    """Volumes on nodes, by driver."""

    def __init__(self, snapshot: Snapshot, informers: Informers) -> None:
        self._snapshot = snapshot
        self._users = ClaimUsers(snapshot)
        self._claims = informers.get(facts.CLAIMS)
        self._volumes = informers.get(facts.VOLUMES)
        self._classes = informers.get(facts.CLASSES)
        self._limits: dict[str, NodeLimits] = {}
        self._attachments: dict[str, dict[str, Object]] = {}
        """Node -> its attachments by name."""
        self._disks: dict[int, frozenset[Disk]] = {}
        """Row -> what is attached; empty ones are left out."""
        self._rows_of: dict[Disk, set[int]] = {}
        self._counts: dict[str, IntArray] = {}
        self._limit_columns: dict[str, IntArray] = {}
        self._migrated_columns: dict[str, BoolArray] = {}
        self._columns_layout = -1
        self._least_room: dict[str, int] = {}
        """By driver: on no node has it room for fewer."""
        self._stale_claims: set[str] = set()
        self._stale_nodes: set[str] = set()
        informers.get(facts.CSI_NODES).add_handler(self._csi_node_changed)
        informers.get(facts.ATTACHMENTS).add_handler(self._attachment_changed)
        self._claims.add_handler(self._claim_changed)
        self._volumes.add_handler(self._volume_changed)

    # What happens in the cluster.

    def _csi_node_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new if new is not None else old
        assert obj is not None
        name = meta.name(obj)
        before = self._limits.pop(name, NO_LIMITS)
        if new is not None:
            self._limits[name] = node_limits(new)
        if before.migrated != self._limits.get(name, NO_LIMITS).migrated:
            self._stale_nodes.add(name)
        self._columns_layout = -1

    def _attachment_changed(self, old: Object | None, new: Object | None) -> None:
        for obj, is_there in ((old, False), (new, True)):
            if obj is not None:
                node = (obj.get("spec") or meta.EMPTY).get("nodeName") or ""
                here = self._attachments.setdefault(node, {})
                if is_there:
                    here[meta.name(obj)] = obj
                else:
                    here.pop(meta.name(obj), None)
                if not here:
                    del self._attachments[node]
                self._stale_nodes.add(node)

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new if new is not None else old
        assert obj is not None
        if old is None or new is None or facts.volume_name(old) != facts.volume_name(new) or class_of(old) != class_of(new):
            self._stale_claims.add(meta.key(obj))

    def _volume_changed(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            reference = ((obj or meta.EMPTY).get("spec") or meta.EMPTY).get("claimRef")
            if reference is not None and (old is None or new is None or old["spec"] != new["spec"]):
                self._stale_claims.add(f"{reference.get('namespace')}/{reference.get('name')}")

    # What a pod has.

    def disks_of(self, pod: PodInfo, *, is_new: bool = False) -> Iterator[Disk]:
        """Raises LookupError if it is new and has a claim that is not there."""
        for reference in facts.claim_references(pod):
            claim = self._claims.get(f"{pod.namespace}/{reference.name}")
            if claim is None:
                if is_new:
                    missing = facts.missing_claim(reference.name)
                    raise LookupError(f"looking up PVC {pod.namespace}/{reference.name}: {missing}")
                continue
            disk = self._disk_of(claim)
            if disk is not None and disk.driver and disk.handle:
                yield disk
        yield from facts.inline_disks(pod)

    def _disk_of(self, claim: Object) -> Disk | None:
        volume = self._volumes.get(facts.volume_name(claim))
        if volume is not None:
            return facts.disk(volume["spec"])
        storage_class = self._classes.get(class_of(claim))
        if storage_class is None:
            return None
        provisioner = storage_class.get("provisioner") or ""
        handle = _PENDING + meta.key(claim)
        driver = facts.DRIVER_OF_PLUGIN.get(provisioner)
        return Disk(provisioner, handle) if driver is None else Disk(driver, handle, provisioner)

    # Rows.

    def crowded(self, wanted: Iterable[Disk], nodes: Nodes) -> BoolArray | None:
        """Nodes where these, as far as they are not there yet, would be more than a driver may attach; None: there are none."""
        by_driver: dict[str, set[Disk]] = {}
        for item in wanted:
            by_driver.setdefault(item.driver, set()).add(item)
        if not nodes.is_all and nodes.size <= DIRECT_ROWS:
            return np.fromiter((self._is_crowded(by_driver, row) for row in nodes.rows.tolist()), np.bool_, nodes.size)
        self._check_columns()
        self._catch_up()
        found: BoolArray | None = None
        for driver, items in by_driver.items():
            if self._has_room_everywhere(driver, len(items)):
                continue
            limits = nodes.take(self._limit_column(driver))
            more = np.zeros(self._snapshot.size, np.int64)
            for item in items:
                more += self._migrated_column(item.plugin) if item.plugin else 1
                rows = [row for row in self._rows_of.get(item, ()) if row < len(more)]
                more[rows] -= self._migrated_column(item.plugin)[rows] if item.plugin else 1
            counts = self._counts.get(driver)
            total = nodes.take(more if counts is None else more + counts[: self._snapshot.size])
            crowded = (nodes.take(more) > 0) & (total > limits)
            found = crowded if found is None else found | crowded
        return found

    def _has_room_everywhere(self, driver: str, number: int) -> bool:
        least = self._least_room.get(driver)
        if least is None or least < number:
            counts = self._counts.get(driver)
            limits = self._limit_column(driver)
            room = limits if counts is None else limits - counts[: len(limits)]
            least = self._least_room[driver] = int(room.min(initial=UNLIMITED))
        return least >= number

    def _is_crowded(self, wanted: dict[str, set[Disk]], row: int) -> bool:
        limits = self._limits.get(self._snapshot.names[row], NO_LIMITS)
        present = self._count(row, [placed.info for placed in self._snapshot.pods[row].values()])
        for driver, items in wanted.items():
            more = {item for item in items if not item.plugin or item.plugin in limits.migrated} - present
            limit = limits.counts.get(driver)
            if more and limit is not None and len(more) + sum(item.driver == driver for item in present) > limit:
                return True
        return False

    def _count(self, row: int, pods: Iterable[PodInfo]) -> frozenset[Disk]:
        """What is attached to a node, given its pods."""
        name = self._snapshot.names[row]
        found = self._counted(row, pods)
        for attachment in self._attachments.get(name, {}).values():
            spec = attachment.get("spec") or meta.EMPTY
            volume = self._volumes.get((spec.get("source") or meta.EMPTY).get("persistentVolumeName") or "")
            item = None if volume is None else facts.disk(volume["spec"])
            if item is not None and item.handle and item.driver == spec.get("attacher"):
                found.add(item)
        return frozenset(found)

    def _counted(self, row: int, pods: Iterable[PodInfo]) -> set[Disk]:
        """The disks of some pods, as far as they are a driver's on that node."""
        migrated = self._limits.get(self._snapshot.names[row], NO_LIMITS).migrated
        return {item for pod in pods for item in self.disks_of(pod) if not item.plugin or item.plugin in migrated}

    def _catch_up(self) -> None:
        changed = self._users.catch_up()
        snapshot = self._snapshot
        if changed is None:
            self._disks.clear()
            self._rows_of.clear()
            self._counts.clear()
            self._least_room.clear()
            changed = Changed(rows=set(self._users.rows()))
            changed.rows |= {snapshot.rows[name] for name in self._attachments if name in snapshot.rows}
        touched = changed.rows
        touched |= {snapshot.rows[name] for name in self._stale_nodes if name in snapshot.rows}
        for claim in self._stale_claims:
            touched |= self._users.rows_of(claim)
        self._stale_nodes.clear()
        self._stale_claims.clear()
        for row in touched:
            pods = snapshot.pods[row]
            self._set_row(row, self._count(row, [pods[uid].info for uid in self._users.users_on(row) if uid in pods]))
        for row, pod in changed.came:
            if row not in touched:
                self._set_row(row, self._disks.get(row, frozenset()).union(self._counted(row, [pod])))

    def _set_row(self, row: int, disks: frozenset[Disk]) -> None:
        before = self._disks.pop(row, frozenset())
        for item in before - disks:
            rows = self._rows_of[item]
            rows.discard(row)
            if not rows:
                del self._rows_of[item]
            self._counts[item.driver][row] -= 1
        for item in disks - before:
            self._rows_of.setdefault(item, set()).add(row)
            counts = self._counts.get(item.driver)
            if counts is None or len(counts) <= row:
                longer = np.zeros(max(2 * row, self._snapshot.size), np.int64)
                if counts is not None:
                    longer[: len(counts)] = counts
                counts = self._counts[item.driver] = longer
            counts[row] += 1
            least = self._least_room.get(item.driver)
            if least is not None:
                self._least_room[item.driver] = min(least, self._limit_column(item.driver).item(row) - counts.item(row))
        if disks:
            self._disks[row] = disks

    # Columns of what nodes allow.

    def _limit_column(self, driver: str) -> IntArray:
        self._check_columns()
        column = self._limit_columns.get(driver)
        if column is None:
            column = self._limit_columns[driver] = np.full(self._snapshot.size, UNLIMITED)
            for name, limits in self._limits.items():
                row = self._snapshot.rows.get(name)
                if row is not None and driver in limits.counts:
                    column[row] = limits.counts[driver]
        return column

    def _migrated_column(self, plugin: str) -> BoolArray:
        self._check_columns()
        column = self._migrated_columns.get(plugin)
        if column is None:
            column = self._migrated_columns[plugin] = np.zeros(self._snapshot.size, np.bool_)
            for name, limits in self._limits.items():
                row = self._snapshot.rows.get(name)
                if row is not None and plugin in limits.migrated:
                    column[row] = True
        return column

    def _check_columns(self) -> None:
        if self._columns_layout != self._snapshot.layout:
            self._columns_layout = self._snapshot.layout
            self._least_room.clear()
            self._limit_columns.clear()
            self._migrated_columns.clear()
