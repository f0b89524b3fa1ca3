"""Tell which nodes are alive by their leases, and keep taints that say so.

A node whose lease was not renewed for the grace period becomes Unknown, its pods NotReady. Conditions become taints: NoSchedule
for all of them, NoExecute for not-ready and unreachable, by which pods are evicted; of each zone nodes get the latter one after
the other, as fast as the zone's state allows (`nodezones`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.controllers import nodezones
from navarch.controllers import pods as podrules
from navarch.controllers.config import ControllerConfig
from navarch.controllers.controller import BY_NODE, Cluster, Controller, Watch, node_name

LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
SILENT, UNREADY, ZONES = "silent", "unready", "zones"
"""Indices of nodes: those that are not ready; such ones that count, by zone; all that count, by zone."""
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
HEARTBEAT_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
PRESSURE_TAINTS = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
MANAGED_TAINTS = frozenset(
    {
        *((key, "NoSchedule") for key in (NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURE_TAINTS.values())),
        *((key, "NoExecute") for key in (NOT_READY, UNREACHABLE)),
    }
)
"""(key, effect)"""
MIRRORED_LABELS = {"kubernetes.io/os": "beta.kubernetes.io/os", "kubernetes.io/arch": "beta.kubernetes.io/arch"}
"""Labels that a node has under their older name too."""


def readiness(node: Object) -> str:
    """The Ready condition: "True", "False" or "Unknown"; "" if the kubelet has not told yet."""
    found = meta.condition(node, "Ready")
    return str(found.get("status")) if found is not None else ""


class SignsOfLife:
    """When each node was last heard of: on this side's clock, since a node's own may go wrong (Kubernetes: probeTimestamp).

    A sign is that the Lease was renewed or the status reported, whatever time it tells. Nothing counts from before this side
    began to listen.
    """

    def __init__(self) -> None:
        self.started = clock.now()
        self._heard: dict[str, datetime] = {}

    def lease_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or meta.namespace(new) != LEASE_NAMESPACE:
            return
        if old is None or meta.get_path(old, "spec", "renewTime") != meta.get_path(new, "spec", "renewTime"):
            self._heard[meta.name(new)] = clock.now()

    def node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._heard.pop(meta.name(old or {}), None)
        elif readiness(new) != "Unknown" and (old is None or _heartbeat(old) != _heartbeat(new)):
            self._heard[meta.name(new)] = clock.now()

    def last(self, name: str) -> datetime:
        """When it gave its last sign."""
        return self._heard.get(name, self.started)


def _heartbeat(node: Object) -> object:
    """When the node last told its status, by its own clock."""
    return (meta.condition(node, "Ready") or {}).get("lastHeartbeatTime")


def unknown_conditions(node: Object, now: datetime) -> list[Object]:
    """The conditions of a node that is silent; only those that change."""
    stamp = meta.format_time(now)
    changed = []
    for type_ in HEARTBEAT_CONDITIONS:
        present = meta.condition(node, type_)
        if present is None:
            reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
            changed.append({"type": type_, "lastHeartbeatTime": node["metadata"]["creationTimestamp"]})
        elif present.get("status") != "Unknown":
            reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
            changed.append(dict(present))
        else:
            continue
        changed[-1] |= {"status": "Unknown", "reason": reason, "message": message, "lastTransitionTime": stamp}
    return changed


def wanted_taints(node: Object, evict: bool) -> list[tuple[str, str]]:
    """(key, effect) of the taints that the node's conditions call for."""
    found: list[tuple[str, str]] = []
    ready = readiness(node)
    if ready in ("False", "Unknown"):  # Of one that has not told there is nothing to say, until it is given up.
        found.append((UNREACHABLE if ready == "Unknown" else NOT_READY, "NoSchedule"))
        if evict:
            found.append((UNREACHABLE if ready == "Unknown" else NOT_READY, "NoExecute"))
    for type_, key in PRESSURE_TAINTS.items():
        if meta.is_condition_true(node, type_):
            found.append((key, "NoSchedule"))
    if node.get("spec", {}).get("unschedulable"):
        found.append((UNSCHEDULABLE, "NoSchedule"))
    return found


def taints(node: Object, wanted: Sequence[tuple[str, str]], now: datetime) -> list[Object]:
    """All taints of the node: others' as they are, ours as `wanted`."""
    present: list[Object] = list(node.get("spec", {}).get("taints") or ())
    dropped = MANAGED_TAINTS.difference(wanted)
    kept = [taint for taint in present if (taint["key"], taint.get("effect")) not in dropped]
    have = {(taint["key"], taint.get("effect")) for taint in kept}
    stamp = meta.format_time(now)
    added = [{"key": key, "effect": effect, "timeAdded": stamp} for key, effect in wanted if (key, effect) not in have]
    return kept + added


class NodeLifecycle:
    """Remembers which nodes there are, and which it gave up last."""

    def __init__(self, config: ControllerConfig, signs: SignsOfLife) -> None:
        self._grace = timedelta(seconds=config.node_monitor_grace_seconds)
        self._startup_grace = timedelta(seconds=config.node_startup_grace_seconds)
        self._signs = signs
        self._last_given_up: dict[str, tuple[str, datetime]] = {}
        """By zone: the node, and when."""
        self._known: dict[str, str] = {}
        """By name: their uids."""

    async def gone(self, name: str, cluster: Cluster) -> None:
        self._tell(name, self._known.pop(name, ""), "RemovingNode", f"Removing Node {name} from Controller", cluster)

    @staticmethod
    def _tell(name: str, uid: str, reason: str, text: str, cluster: Cluster) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": uid}}
        cluster.event(node, "Normal", reason, f"Node {name} event: {text}")

    async def reconcile(self, node: Object, cluster: Cluster) -> float | None:
        name = meta.name(node)
        if name not in self._known:
            self._known[name] = meta.uid(node)
            self._tell(name, meta.uid(node), "RegisteredNode", f"Registered Node {name} in Controller", cluster)
        if meta.being_deleted(node):
            return None
        now = clock.now()
        # Who has never told its status is given more time to begin.
        silent_at = self._signs.last(meta.name(node)) + (self._grace if readiness(node) else self._startup_grace)
        if now > silent_at:
            node = await self._mark_unknown(node, now, cluster)
        elif readiness(node) == "Unknown":
            silent_at = now + self._grace  # It is back; its kubelet will say so itself.
        if readiness(node) == "Unknown":
            await self._mark_pods(node, now, cluster)
        wait = await self._taint(node, now, cluster)
        # Afterwards: taints are written to a node that nobody has changed.
        if mirrored := mirrored_labels(node):
            await cluster.patch("nodes", node, {"metadata": {"labels": mirrored}})
        return podrules.earliest(wait, (silent_at - now).total_seconds() + 0.1 if now <= silent_at else None)

    async def _mark_unknown(self, node: Object, now: datetime, cluster: Cluster) -> Object:
        changed = unknown_conditions(node, now)
        if not changed:
            return node
        was_ready = readiness(node) == "True"
        patch = {"status": {"conditions": changed}}
        node = await cluster.patch("nodes", node, patch, patch_type="strategic", subresource="status")
        if was_ready:
            text = f"Node {meta.name(node)} status is now: NodeNotReady"
            cluster.event(node, "Normal", "NodeNotReady", text)
        return node

    async def _mark_pods(self, node: Object, now: datetime, cluster: Cluster) -> None:
        """Pods of a silent node are not ready either: they leave their Services. A kubelet that is alive says so itself."""
        for pod in cluster.informer("pods").by_index(BY_NODE, meta.name(node)):
            if not podrules.is_ready(pod) or podrules.is_finished(pod):
                continue
            condition = {"type": "Ready", "status": "False", "lastTransitionTime": meta.format_time(now)}
            if generation := pod["metadata"].get("generation"):
                condition["observedGeneration"] = generation
            patch = {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [condition]}}
            try:
                await cluster.patch("pods", pod, patch, patch_type="strategic", subresource="status")
            except StatusError as error:
                if not (error.is_not_found or error.is_conflict or error.is_invalid):
                    raise
                continue
            cluster.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    async def _taint(self, node: Object, now: datetime, cluster: Cluster) -> float | None:
        evict, wait = False, None
        if readiness(node) in ("False", "Unknown"):
            # Only of a node that is not well does it matter how all others are.
            evict, wait = self._may_evict(node, now, cluster)
        after = taints(node, wanted_taints(node, evict), now)
        if after != (node.get("spec", {}).get("taints") or []):
            # The revision makes sure that nobody else's taint is lost.
            metadata = {"resourceVersion": node["metadata"]["resourceVersion"]}
            await cluster.patch("nodes", node, {"metadata": metadata, "spec": {"taints": after or None}})
        return wait

    def _may_evict(self, node: Object, now: datetime, cluster: Cluster) -> tuple[bool, float | None]:
        """(whether the node's pods are to go, how long it has to wait for its turn)."""
        zone = nodezones.zone_of(node)
        if _are_all_silent(*_numbers(node, nodezones.ALL, cluster)):
            return False, None
        if any((key, "NoExecute") in _keys(node) for key in (NOT_READY, UNREACHABLE)):
            return True, None
        pause_seconds = nodezones.seconds_between(*_numbers(node, zone, cluster))
        if pause_seconds is None:
            return False, None
        last = self._last_given_up.get(zone)
        if last is not None and last[0] != meta.name(node):
            wait = pause_seconds - (now - last[1]).total_seconds()
            if wait > 0:
                return False, wait
        self._last_given_up[zone] = (meta.name(node), now)
        return True, None


def _keys(node: Object) -> set[tuple[str, str]]:
    return {(taint["key"], taint.get("effect", "")) for taint in node.get("spec", {}).get("taints") or ()}


def _are_all_silent(nodes: int, unhealthy: int) -> bool:
    return nodezones.state(nodes, unhealthy) is nodezones.ZoneState.FULL_DISRUPTION


def _numbers(node: Object, zone: str, cluster: Cluster) -> tuple[int, int]:
    """How many nodes of a zone count, and how many of them are not ready; `node`, which is not, as it is now."""
    nodes, name = cluster.informer("nodes"), meta.name(node)
    # The cache may not know yet how this one is.
    others = [len(nodes.by_index(index, zone)) for index in (ZONES, UNREADY)]
    own = nodes.get(name)
    if own is not None and zone in nodezones.by_zone(own):
        others[0] -= 1
        others[1] -= readiness(own) != "True"
    itself = zone in nodezones.by_zone(node)
    return others[0] + itself, others[1] + itself


def mirrored_labels(node: Object) -> dict[str, str]:
    """The labels that are to be set so that a node has them under their older names."""
    labels = meta.labels(node)
    return {
        older: labels[newer]
        for newer, older in MIRRORED_LABELS.items()
        if newer in labels and labels.get(older) != labels[newer]
    }


def _relevant(old: Object | None, new: Object | None) -> bool:
    return old is None or new is None or _facts(old) != _facts(new)


def _facts(node: Object) -> tuple[object, ...]:
    spec: Mapping[str, object] = node.get("spec") or meta.EMPTY
    states = [(c.get("type"), c.get("status")) for c in (node.get("status") or meta.EMPTY).get("conditions") or ()]
    return states, spec.get("taints"), spec.get("unschedulable"), meta.being_deleted(node), mirrored_labels(node)


def _node_of_lease(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    """A renewal matters only where the node was given up: else the check at the end of the grace period will see it."""
    lease = new if new is not None else old
    assert lease is not None
    if meta.namespace(lease) != LEASE_NAMESPACE:
        return
    node = informers.get("nodes").get(meta.name(lease))
    if node is not None and (old is None or readiness(node) == "Unknown"):
        yield meta.name(node)


def _silent_others(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    """Whether a node is given up depends on how many others are fine: one more or one less makes the silent ones look again."""
    if (readiness(old) if old is not None else None) == (readiness(new) if new is not None else None):
        return
    own = meta.name(new if new is not None else old or {})
    for node in informers.get("nodes").by_index(SILENT, ""):
        if meta.name(node) != own:
            yield meta.name(node)


def _if_unready(node: Object) -> Iterable[str]:
    """Index of nodes that are not ready, which are few among many."""
    return ("",) if readiness(node) != "True" else ()


def _unready_by_zone(node: Object) -> Iterable[str]:
    return nodezones.by_zone(node) if readiness(node) != "True" else ()


def controller(config: ControllerConfig, signs: SignsOfLife | None = None) -> Controller:
    """The controller, with the grace period of `config`; `signs`: who knows when nodes were last heard of."""
    signs = signs or SignsOfLife()
    lifecycle = NodeLifecycle(config, signs)
    by_node: dict[str, Callable[[Object], Iterable[str]]] = {BY_NODE: node_name}

    def lease_changed(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
        signs.lease_changed(old, new)
        return _node_of_lease(old, new, informers)

    def node_changed(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
        signs.node_changed(old, new)
        return _silent_others(old, new, informers)

    return Controller(
        "node-controller",
        "nodes",
        lifecycle.reconcile,
        gone=lifecycle.gone,
        relevant=_relevant,
        indexers={SILENT: _if_unready, UNREADY: _unready_by_zone, ZONES: nodezones.by_zone},
        watches=(
            Watch(LEASES, lease_changed),
            Watch("nodes", node_changed),
            # Pods are only read here: the index must be there, their changes wake nobody.
            Watch("pods", lambda old, new, informers: (), by_node),
        ),
    )
