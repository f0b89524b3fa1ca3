"""Pretended nodes: each registers, renews its Lease, and runs the pods that are bound to it (pod.py); and can fail.

A node that has crashed has lost whatever ran on it; one that is frozen does nothing, and later goes on as if nothing had been;
one that is cut off goes on with what it has, and hears and says nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
from collections.abc import Coroutine, Mapping
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any, Literal

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.client.events import EventRecorder
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.component.clock import Clock
from navarch.component.tasks import Tasks
from navarch.kubelet.node_status import KUBELET_VERSION
from navarch.kubelet.runtime_pod import field_path
from navarch.simulation.network import Line
from navarch.simulation.pod import RUNTIME, SimulatedPod

State = Literal["running", "crashed", "frozen"]
LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
HEARTBEAT_SECONDS = 10.0
REPORT_SECONDS = 300.0
RETRY_SECONDS = 1.0
REGISTER_LIMIT_SECONDS = 600.0
KUBELET_PORT = 10250
MICRO_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
CAPACITY = {"cpu": "32", "memory": "256Gi", "pods": "110", "ephemeral-storage": "1Ti"}
# Addresses of nodes, and of pods on nodes to which no controller gives a network (RFC 6598, and RFC 2544's benchmarks).
NODE_NETWORK = ipaddress.IPv4Network("100.64.0.0/10")
POD_NETWORK = ipaddress.IPv4Network("198.18.0.0/15")


class NodeClock:
    """A node's own clock, which may go wrong; how time passes and what is left to chance are the simulation's."""

    def __init__(self, base: Clock) -> None:
        self._base = base
        self.random = base.random
        self.skew_seconds = 0.0

    def time(self) -> float:
        return self._base.time() + self.skew_seconds

    def monotonic(self) -> float:
        return self._base.monotonic()


class SimulatedNode:
    """One node."""

    def __init__(
        self,
        name: str,
        number: int,
        line: Line,
        *,
        administrator: Client | None = None,
        capacity: Mapping[str, str] = CAPACITY,
        labels: Mapping[str, str] | None = None,
        taints: list[Object] | None = None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        tells_status: bool = True,
    ) -> None:
        """`number` tells it from all others of its cluster. `administrator`: heartbeats are not written but known
        (heartbeats.py), and this one writes the last of them down. `tells_status`: whether it says that it is ready; otherwise
        stages do.
        """
        self.name = name
        self.capacity = dict(capacity)
        self.labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux",
            "beta.kubernetes.io/arch": "amd64",
            **(labels or {}),
        }
        self.taints = list(taints or ())
        self.state: State = "running"
        self.port = KUBELET_PORT
        self.address = str(NODE_NETWORK[number + 1])
        self.pods: dict[str, SimulatedPod] = {}
        """By uid."""
        self._number = number
        self._line = line
        self.clock = NodeClock(clock.current())
        self._context = copy_context()
        self._context.run(clock.use, self.clock)
        self.client = Client(line, field_manager="kubelet")
        self._administrator = administrator
        self._beating_since: float | None = None
        """Where heartbeats are not written: since when, on the clock that never goes back, the node has sent them."""
        self._last_beat: float | None = None
        """On that clock, the last one before the node fell silent."""
        self._recorder = EventRecorder(self.client, "kubelet", name)
        self._heartbeat_seconds = heartbeat_seconds
        self._tells_status = tells_status
        self._tasks = Tasks(f"node-{name}")
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._heartbeats: tuple[asyncio.Task[Any], ...] = ()
        self._awake = asyncio.Event()
        self._awake.set()
        self._node: Object | None = None
        self._ips: dict[str, int] = {}
        self._missed: dict[str, Object | None] = {}
        """What has become of pods while the node was cut off, frozen or down."""

    # What is done to it

    async def start(self) -> None:
        """Register, and live. Tries again while the API server is away or not well, for a while, as a kubelet does.

        Raises StatusError where such a node is refused, OSError where nobody answers for too long.
        """
        deadline = clock.monotonic() + REGISTER_LIMIT_SECONDS
        while True:
            try:
                is_told = await self._context.run(asyncio.create_task, self._register())
                break
            except (StatusError, OSError) as error:
                passes = isinstance(error, OSError) or error.code >= 500 or error.code in (409, 429)
                if not passes or clock.monotonic() >= deadline:
                    raise
            await clock.sleep(RETRY_SECONDS)
        if is_told and self._administrator is not None:
            # All has been told, and from here on it goes without saying.
            self._beating_since = clock.monotonic()
        else:
            self._live()

    async def stop(self) -> None:
        """The simulation is over."""
        await self._tasks.stop()
        await self._recorder.stop()

    def crash(self) -> None:
        """Lose power: everything that ran is gone, and nothing is heard of the node any more."""
        if self.state == "crashed":
            return
        self._fall_silent()
        self.state = "crashed"
        for task in (*self._running.values(), *self._heartbeats):
            task.cancel()
        self._running.clear()
        for pod in self.pods.values():
            pod.lose_everything()
        self._awake.set()

    def boot(self) -> None:
        """Come up again after a crash; what is still bound to the node is started anew."""
        if self.state == "crashed":
            self.state = "running"
            self._live()
            self._catch_up()
            for uid, pod in self.pods.items():
                if uid not in self._running:
                    self._run(pod)

    def freeze(self) -> None:
        """Do nothing from now on, and notice nothing."""
        if self.state == "running":
            self._fall_silent()
            self.state = "frozen"
            self._awake.clear()

    def thaw(self) -> None:
        if self.state == "frozen":
            self.state = "running"
            self._awake.set()
            self._beat_again()
            self._catch_up()

    def cut(self) -> None:
        """Cut its way to the API server."""
        if not self.is_cut:
            self._fall_silent()
            self._line.cut()

    def heal(self) -> None:
        self._line.heal()
        if self.state == "running":
            self._beat_again()
            self._catch_up()

    @property
    def is_cut(self) -> bool:
        return self._line.is_cut

    # What it does

    def _start(self, name: str, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin something of the node's own, on the node's own clock."""
        return self._context.run(lambda: self._tasks.start(coroutine, name=name))

    def _live(self) -> None:
        self._heartbeats = (self._start("lease", self._renew()), self._start("status", self._report()))

    # Heartbeats that are known without being written

    @property
    def last_beat(self) -> float | None:
        """When it last sent a heartbeat that was not written, on the clock that never goes back; None: it never did."""
        if self._beating_since is None:
            return self._last_beat
        beats = math.floor((self.clock.monotonic() - self._beating_since) / self._heartbeat_seconds)
        return self._beating_since + beats * self._heartbeat_seconds

    @property
    def is_beating(self) -> bool:
        """Whether it sends heartbeats that are not written."""
        return self._beating_since is not None

    def _fall_silent(self) -> None:
        """The last heartbeat is written down, since none follows it."""
        self._last_beat, is_beating = self.last_beat, self.is_beating
        self._beating_since = None
        if is_beating:
            self._start("last-heartbeat", self._write_down())

    async def _write_down(self) -> None:
        while True:
            try:
                # A reader may have been shown this one: it must be a change all the same, which wakes who waits for silence.
                return await self.write_beat(later_seconds=1e-6)
            except (StatusError, OSError):
                await clock.sleep(RETRY_SECONDS)

    async def write_beat(self, later_seconds: float = 0.0) -> None:
        """Have the API show the last heartbeat, with the time of the node's own clock. Raises StatusError, ConnectionError."""
        last = self.last_beat
        assert self._administrator is not None and last is not None
        sent = datetime.fromtimestamp(self.clock.time() - self.clock.monotonic() + last + later_seconds, UTC)
        patch = {"spec": {"renewTime": sent.strftime(MICRO_TIME)}}
        await self._administrator.patch(LEASES, self.name, patch, LEASE_NAMESPACE)

    def _beat_again(self) -> None:
        if self._administrator is not None:
            for task in self._heartbeats:
                task.cancel()
            self._live()

    async def _register(self) -> bool:
        """Tell of the node; whether everything that is to be told of it is."""
        node: Object = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": self.labels},
            "spec": {"taints": self.taints} if self.taints else {},
            "status": self._status() if self._tells_status else self._machine(),
        }
        try:
            self._node = await self.client.create("nodes", node)
        except StatusError as error:
            if not error.is_already_exists:
                raise
            if not self._tells_status:
                self._node = await self.client.get("nodes", self.name)
            else:
                self._node = await self.client.patch("nodes", self.name, {"status": self._status()}, subresource="status")
        self.event(self._node, "Normal", "Starting", "Starting kubelet.")
        return await self._renew_once(is_new=True)

    def _machine(self) -> Object:
        """The status of a node of which nothing is known yet but what it is."""
        addresses = [{"type": "InternalIP", "address": self.address}, {"type": "Hostname", "address": self.name}]
        return {"addresses": addresses, "capacity": self.capacity, "allocatable": self.capacity}

    def _status(self) -> Object:
        stamp = clock.timestamp()
        good = {
            "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
        }
        before = {found["type"]: found for found in ((self._node or {}).get("status") or {}).get("conditions") or ()}
        conditions = []
        for type_, (status, reason, message) in good.items():
            old = before.get(type_)
            since = old["lastTransitionTime"] if old is not None and old["status"] == status else stamp
            heard = {"lastHeartbeatTime": stamp, "lastTransitionTime": since}
            conditions.append({"type": type_, "status": status, **heard, "reason": reason, "message": message})
        version = f"{RUNTIME}://1"
        info = {
            **dict.fromkeys(("machineID", "systemUUID", "bootID", "kernelVersion"), ""),
            "osImage": "simulated",
            "operatingSystem": "linux",
            "architecture": "amd64",
            "containerRuntimeVersion": version,
            "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "",
        }
        return {
            **self._machine(),
            "conditions": conditions,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
            "nodeInfo": info,
        }

    async def awake(self) -> None:
        """Wait while the node is frozen."""
        await self._awake.wait()

    async def _renew(self) -> None:
        while True:
            if self._administrator is None:
                await clock.sleep(clock.jitter(self._heartbeat_seconds, 0.04))
            await self.awake()
            try:
                await self._renew_once()
            except (StatusError, OSError):
                await clock.sleep(RETRY_SECONDS)
                continue
            if self._administrator is not None:
                # From here on it goes without saying.
                self._beating_since = clock.monotonic()
                return

    async def _renew_once(self, *, is_new: bool = False) -> bool:
        """Renew the Lease, or make it where there is none yet (as is to be expected of one `is_new`); whether it is done."""
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": clock.micro_timestamp()}
        if is_new and await self._make_lease(spec):
            return True
        try:
            await self.client.patch(LEASES, self.name, {"spec": spec}, LEASE_NAMESPACE)
        except StatusError as error:
            if not error.is_not_found:
                raise
            return not is_new and await self._make_lease(spec)
        return True

    async def _make_lease(self, spec: Object) -> bool:
        metadata: Object = {"name": self.name, "namespace": LEASE_NAMESPACE}
        if self._node is not None:
            metadata["ownerReferences"] = [meta.owner_reference(self._node, controller=False, block_owner_deletion=False)]
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            await self.client.create(LEASES, lease)
        except StatusError as refused:
            # Without its namespace there is no lease yet: the next turn comes.
            if not (refused.is_not_found or refused.is_already_exists):
                raise
            return False
        return True

    async def _report(self) -> None:
        """Tell the status: at once after a boot, then seldom, and whenever somebody has written that the node is not ready."""
        while self._tells_status:
            await self.awake()
            try:
                patch = {"status": self._status()}
                self._node = await self.client.patch("nodes", self.name, patch, patch_type="strategic", subresource="status")
                if self._administrator is not None:
                    return
                await clock.sleep(clock.jitter(REPORT_SECONDS, 0.04))
            except (StatusError, OSError):
                await clock.sleep(RETRY_SECONDS)

    def observe(self, node: Object) -> None:
        """The API's node has changed."""
        if self.state == "running" and not self.is_cut:
            told = self._node
            self._node = node
            was_ready = told is None or meta.is_condition_true(told, "Ready")
            if self._tells_status and was_ready and not meta.is_condition_true(node, "Ready"):
                self._start("status-again", self._tell_again())

    async def _tell_again(self) -> None:
        try:
            patch = {"status": self._status()}
            self._node = await self.client.patch("nodes", self.name, patch, patch_type="strategic", subresource="status")
        except (StatusError, OSError):
            # The next report says so.
            pass

    # Its pods

    def pod_changed(self, uid: str, pod: Object | None) -> None:
        """A pod bound to the node is new, changed, or (None) gone from the API."""
        if self.state != "running" or self.is_cut:
            self._missed[uid] = pod
            return
        known = self.pods.get(uid)
        if pod is None:
            if known is not None:
                self._forget(uid)
        elif known is not None:
            known.update(pod)
        else:
            self.pods[uid] = SimulatedPod(self, pod)
            self._run(self.pods[uid])

    def _run(self, pod: SimulatedPod) -> None:
        task = self._start(f"pod-{meta.key(pod.pod)}", pod.run())
        self._running[pod.uid] = task
        task.add_done_callback(lambda done: self._ended(pod.uid, done))

    def _ended(self, uid: str, task: asyncio.Task[Any]) -> None:
        if self._running.get(uid) is task:
            self._forget(uid)

    def _forget(self, uid: str) -> None:
        self.pods.pop(uid, None)
        self._ips.pop(uid, None)
        task = self._running.pop(uid, None)
        if task is not None:
            task.cancel()

    def _catch_up(self) -> None:
        missed, self._missed = self._missed, {}
        for uid, pod in missed.items():
            self.pod_changed(uid, pod)

    def pod_ip(self, uid: str) -> str:
        """An address of the node's network that no other pod of it has."""
        if uid not in self._ips:
            taken = set(self._ips.values())
            self._ips[uid] = next(number for number in range(2, len(taken) + 3) if number not in taken)
        network = ipaddress.ip_network(((self._node or {}).get("spec") or {}).get("podCIDR") or POD_NETWORK)
        base = 0 if network != POD_NETWORK else self._number * 256
        return str(network[(base + self._ips[uid]) % network.num_addresses])

    def event(self, obj: Object, type_: str, reason: str, message: str, *, container: str = "") -> None:
        """Note that something happened to an object, or to a pod's container of that name."""
        path = field_path(obj, container) if container else ""
        self._recorder.event(obj, type_, reason, message, field_path=path)


class SimulatedNodes:
    """All nodes of a cluster; tells each of its pods."""

    def __init__(self, informers: Informers, *, run_pods: bool = True) -> None:
        """`run_pods`: whether nodes run what is bound to them; otherwise stages say what becomes of it."""
        self._informers = informers
        self._runs_pods = run_pods
        self._nodes: dict[str, SimulatedNode] = {}
        if run_pods:
            informers.get("pods").add_handler(self._pod_changed)
        informers.get("nodes").add_handler(self._node_changed)

    def add(self, node: SimulatedNode) -> None:
        self._nodes[node.name] = node
        known = self._informers.get("nodes").get(node.name)
        if known is not None:
            # It has been given a network before anybody told it of changes.
            node.observe(known)
        if not self._runs_pods:
            return
        for pod in self._informers.get("pods").list():
            self._pod_changed(None, pod)

    def remove(self, name: str) -> None:
        self._nodes.pop(name, None)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        name, uid = pod["spec"].get("nodeName", ""), meta.uid(pod)
        if old is not None and new is not None and meta.uid(old) != uid:
            self._pod_changed(old, None)
        node = self._nodes.get(name)
        if node is not None:
            node.pod_changed(uid, new)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        node = self._nodes.get(meta.name(new)) if new is not None else None
        if node is not None and new is not None:
            node.observe(new)
