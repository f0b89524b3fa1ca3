"""The node's own objects in the API: the Node, its status, its Lease.

Few writes: the Lease every ten seconds, the status when it says something new or every five minutes. While the node is not
ready yet it looks at itself often, so that it is ready as soon as it can be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.client.events import EventRecorder
from navarch.component import clock
from navarch.cri.client import CRIError, ImageService, RuntimeService
from navarch.kubelet import machine, node_status
from navarch.kubelet.config import KubeletConfig
from navarch.kubelet.pleg import Pleg

logger = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
LEASES = "leases.coordination.k8s.io"
STARTING_POLL_SECONDS = 0.1
STARTING_POLL_MAX_SECONDS = 1.0
REGISTER_RETRY_SECONDS = 0.2
REGISTER_RETRY_MAX_SECONDS = 7.0
IMAGES_SECONDS = 60.0
REPORT_TIMEOUT_SECONDS = 10.0
"""A report that isn't answered by then is sent anew, over another connection: well before the node is given up."""


class NodeReporter:
    """Registers the node and keeps its status and Lease current."""

    def __init__(
        self,
        config: KubeletConfig,
        client: Client,
        runtime: RuntimeService,
        images: ImageService,
        pleg: Pleg,
        recorder: EventRecorder,
        recovered: Callable[[], None],
    ) -> None:
        """`recovered` is called when the runtime, or its network, has become ready."""
        self._config = config
        self._client = client
        self._runtime = runtime
        self._image_service = images
        self._pleg = pleg
        self._recorder = recorder
        self._recovered = recovered
        config.root_directory.mkdir(parents=True, exist_ok=True)
        self.machine = machine.read(config.root_directory)
        self.capacity = node_status.capacity(config, self.machine)
        self.allocatable: Mapping[str, str] = node_status.allocatable(config, self.capacity)
        self.runtime_name = "containerd"
        self._runtime_version = ""
        self._runtime_problem = "container runtime status check may not have completed yet"
        self.network_problem = "container runtime status check may not have completed yet"
        self.runtime_handlers: list[Object] = []
        self._runtime_features: Object | None = None
        self._images: list[Object] = []
        self._images_read: float | None = None
        self._node: Object | None = None
        self._reported = 0.0
        self._pod_cidr = ""
        self._unschedulable: bool | None = None
        self._look = asyncio.Event()
        self.registered = asyncio.Event()
        self.ready = asyncio.Event()
        """Set once the API has been told that the node is Ready."""

    @property
    def memory_capacity_bytes(self) -> int:
        return quantity.value(self.capacity["memory"])

    @property
    def node(self) -> Object:
        """The Node, as the API has it; before that, as it will be made."""
        return self._node or self._as_made()

    def problem(self) -> str:
        """ "" or why the node is not ready, as its condition says it."""
        problems = [text for text in (self._runtime_problem, self.network_problem, self._pleg.unhealthy()) if text]
        if len(problems) > 1:
            return "[" + ", ".join(problems) + "]"
        return problems[0] if problems else ""

    def look_now(self) -> None:
        """Something may have changed: look before the next time is due."""
        self._look.set()

    def observe(self, node: Object | None) -> None:
        """The API's Node has changed."""
        if node is None:
            self._node = None
        elif self._node is None or meta.resource_version(node) >= meta.resource_version(self._node):
            self._node = node
        self.look_now()

    # The status.

    async def run(self) -> None:
        """Register, then look and report until cancelled."""
        await asyncio.gather(self._check_runtime(), self._register())
        delay = STARTING_POLL_SECONDS
        while True:
            self._look.clear()
            await self._check_runtime()
            try:
                if self._node is None:
                    await self._register()
                await self._tell_pod_cidr()
                async with asyncio.timeout(REPORT_TIMEOUT_SECONDS):
                    await self._report()
            except StatusError as error:
                logger.warning("cannot write the status of node %s: %s", self._config.node_name, error.message)
            except OSError as error:
                logger.debug("cannot reach the API server: %s", error)
            if self.problem():
                wait, delay = delay, min(delay * 1.3, STARTING_POLL_MAX_SECONDS)
            else:
                wait, delay = self._config.status_check_seconds, STARTING_POLL_SECONDS
            try:
                async with asyncio.timeout(wait):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _check_runtime(self) -> None:
        before = self.problem()
        try:
            if not self._runtime_version:
                version = await self._runtime.version()
                self.runtime_name = version.runtime_name
                self._runtime_version = f"{version.runtime_name}://{version.runtime_version.removeprefix('v')}"
            status = await self._runtime.status()
            self._runtime_problem, self.network_problem = node_status.runtime_problem(status)
            self.runtime_handlers = node_status.runtime_handlers(status)
            self._runtime_features = node_status.runtime_features(status)
            if self._images_read is None or clock.monotonic() - self._images_read > IMAGES_SECONDS:
                self._images = node_status.images(await self._image_service.list_images())
                self._images_read = clock.monotonic()
        except CRIError as error:
            self._runtime_problem, self.network_problem = "container runtime is down", ""
            logger.debug("the runtime does not answer: %s", error.rpc_text)
        after = self.problem()
        if before and not after:
            self._recovered()
        elif after and after != before:
            logger.info("node %s is not ready: %s", self._config.node_name, after)

    async def _register(self) -> None:
        """Make the Node, or see that it is there; tried until it works."""
        delay = REGISTER_RETRY_SECONDS
        config = self._config
        while True:
            wanted: Object = {**self._as_made(), "status": self._status(())}
            try:
                self._node, made = await self._create_or_update(wanted)
                logger.info("node %s is registered", config.node_name)
                if not self.registered.is_set():
                    self._recorder.event(self._node, "Normal", "Starting", "Starting kubelet.")
                self.registered.set()
                if made:
                    self._tell((), wanted["status"]["conditions"])
                return
            except StatusError as error:
                logger.warning("cannot register node %s: %s", config.node_name, error.message)
            except OSError as error:
                logger.debug("cannot register node %s: %s", config.node_name, error)
            await clock.sleep(clock.jitter(delay, 0.1))
            delay = min(delay * 2, REGISTER_RETRY_MAX_SECONDS)

    def _as_made(self) -> Object:
        config = self._config
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": config.node_name,
                "labels": node_status.labels(config, self.machine),
                "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            },
            "spec": {"taints": list(config.node_taints)} if config.node_taints else {},
        }

    async def _create_or_update(self, wanted: Object) -> tuple[Object, bool]:
        """The Node, and whether it was made."""
        try:
            return await self._client.create("nodes", wanted), True
        except StatusError as error:
            if error.code != 409:
                raise
        present = await self._client.get("nodes", self._config.node_name)
        labels = {key: value for key, value in wanted["metadata"]["labels"].items() if meta.labels(present).get(key) != value}
        if labels:
            present = await self._client.patch("nodes", self._config.node_name, {"metadata": {"labels": labels}})
        return present, False

    def _tell(self, old: Sequence[Object], new: Sequence[Object]) -> None:
        """Tell of conditions that have changed."""
        for reason in node_status.news(old, new):
            self._event("Normal", reason, f"Node {self._config.node_name} status is now: {reason}")

    def _event(self, type_: str, reason: str, message: str) -> None:
        if self._node is not None:
            self._recorder.event(self._node, type_, reason, message)

    def _tell_of_machine(self, before: Object, node: Object) -> None:
        """Tell that the machine was started anew, and that pods may (not) be put on it any more."""
        name, booted = self._config.node_name, self.machine.boot_id
        if (before.get("nodeInfo") or {}).get("bootID", booted) not in ("", booted):
            self._event("Warning", "Rebooted", f"Node {name} has been rebooted, boot id: {booted}")
        unschedulable = bool((node.get("spec") or {}).get("unschedulable"))
        if self._unschedulable is not None and self._unschedulable != unschedulable:
            reason = "NodeNotSchedulable" if unschedulable else "NodeSchedulable"
            self._event("Normal", reason, f"Node {name} status is now: {reason}")
        self._unschedulable = unschedulable

    def _status(self, old: tuple[Object, ...] | list[Object]) -> Object:
        memory = machine.meminfo()
        health = node_status.Health(
            problem=self.problem(),
            memory_available_bytes=memory.get("MemAvailable", 0),
            memory_reserve_bytes=quantity.value(self._config.eviction_hard_memory),
            disk_available_bytes=machine.disk_available_bytes(self._config.root_directory),
            disk_bytes=self.machine.disk_bytes,
        )
        made: Object = {
            "addresses": node_status.addresses(self._config),
            "capacity": dict(self.capacity),
            "allocatable": dict(self.allocatable),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._config.port}},
            "nodeInfo": node_status.node_info(self.machine, self._runtime_version),
            "images": self._images,
            "conditions": node_status.conditions(health, old, clock.now()),
        }
        if self.runtime_handlers:
            made["runtimeHandlers"] = self.runtime_handlers
        if self._runtime_features is not None:
            made["features"] = self._runtime_features
        return made

    async def _report(self) -> None:
        node = self._node
        if node is None:
            return
        present = node.get("status") or {}
        fresh = self._status(present.get("conditions") or [])
        if not self.problem() and meta.is_condition_true(node, "Ready"):
            self.ready.set()
        self._tell_of_machine(present, node)
        due = clock.monotonic() - self._reported >= self._config.status_report_seconds
        if not due and not node_status.differs(present, fresh):
            return
        patch = {"status": fresh}
        answer = await self._client.patch("nodes", self._config.node_name, patch, patch_type="strategic", subresource="status")
        self._node, self._reported = answer, clock.monotonic()
        if meta.is_condition_true(answer, "Ready"):
            self.ready.set()
        self._tell(present.get("conditions") or (), fresh["conditions"])

    async def _tell_pod_cidr(self) -> None:
        cidr = str(((self._node or {}).get("spec") or {}).get("podCIDR") or "")
        if not cidr or cidr == self._pod_cidr:
            return
        try:
            await self._runtime.update_pod_cidr(cidr)
            self._pod_cidr = cidr
        except CRIError as error:
            logger.debug("cannot tell the runtime the pod CIDR: %s", error.rpc_text)

    # The Lease.

    async def renew_lease(self) -> None:
        """Renew until cancelled."""
        await self.registered.wait()
        while True:
            started = clock.monotonic()
            try:
                async with asyncio.timeout(min(REPORT_TIMEOUT_SECONDS, self._config.lease_duration_seconds / 4)):
                    await self._renew()
                delay = self._config.lease_renew_seconds
            except StatusError as error:
                logger.debug("cannot renew the lease: %s", error.message)
                delay = 1.0
            except OSError as error:
                logger.debug("cannot renew the lease: %s", error)
                delay = 1.0
            await clock.sleep(max(0.1, clock.jitter(delay, 0.04) - (clock.monotonic() - started)))

    async def _renew(self) -> None:
        name = self._config.node_name
        stamp = clock.micro_timestamp()
        try:
            await self._client.patch(LEASES, name, {"spec": {"renewTime": stamp, "holderIdentity": name}}, LEASE_NAMESPACE)
            return
        except StatusError as error:
            if not error.is_not_found:
                raise
        node = self._node
        if node is None:
            return
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}
        lease: Object = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": self._config.lease_duration_seconds,
                "renewTime": stamp,
            },
        }
        await self._client.create(LEASES, lease, LEASE_NAMESPACE)
