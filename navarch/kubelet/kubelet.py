"""The kubelet: what the API wants of this node's pods becomes containers, and what becomes of them is told to the API.

The shell around the parts: one worker for each pod (pod_worker.py), woken by the pod's own changes, the runtime's (pleg.py)
and its probes; the node's own objects (node.py); and once in a while what was left behind by pods long gone is cleared away.
Stopping the kubelet stops no container; starting it again takes up whatever runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.client.events import EventRecorder
from navarch.client.informer import Informer, Informers
from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.cri.client import CRIError, ImageService, RuntimeService
from navarch.kubelet import admission, dns, log_rotation, node_status
from navarch.kubelet.backoff import Backoff
from navarch.kubelet.cgroups import Cgroups
from navarch.kubelet.config import KubeletConfig
from navarch.kubelet.container_config import log_directory_name
from navarch.kubelet.context import NodeContext
from navarch.kubelet.images import ImageManager
from navarch.kubelet.node import NodeReporter
from navarch.kubelet.objects import ObjectCache, TokenCache
from navarch.kubelet.pleg import Pleg
from navarch.kubelet.pod_worker import PodWorker
from navarch.kubelet.runtime_pod import Container
from navarch.kubelet.status_writer import StatusWriter
from navarch.kubelet.volumes.manager import remove_pod_directory

logger = logging.getLogger(__name__)

HOUSEKEEPING_SECONDS = 60.0


class Kubelet:
    """One node's agent. `run` until cancelled, then `stop`."""

    def __init__(
        self,
        config: KubeletConfig,
        client: Client,
        runtime: RuntimeService,
        images: ImageService,
        informers: Informers | None = None,
    ) -> None:
        """`informers` are those the node's process shares (services, nodes); the kubelet makes its own if there are none."""
        self.config = config
        self._client = client
        self._runtime = runtime
        self._own_informers = informers is None
        self._informers = informers or Informers(client)
        self._tasks = Tasks("kubelet")
        self._recorder = EventRecorder(client, "kubelet", config.node_name)
        self._pleg = Pleg(
            runtime,
            self._runtime_changed,
            relist_seconds=config.relist_seconds,
            relist_with_events_seconds=config.relist_with_events_seconds,
        )
        self.node = NodeReporter(config, client, runtime, images, self._pleg, self._recorder, self._wake_all)
        self._pods = Informer(client, "pods", field_selector=f"spec.nodeName={config.node_name}")
        self._services = self._informers.get("services")
        self._nodes = self._informers.get("nodes")
        self._workers: dict[str, PodWorker] = {}
        self._cgroups = Cgroups(config.cgroup_root, None if config.manage_cgroups else "")
        self._status_writer = StatusWriter(client)
        self._context = NodeContext(
            config=config,
            client=client,
            runtime=runtime,
            images=ImageManager(images, parallel_pulls=config.parallel_image_pulls),
            recorder=self._recorder,
            objects=ObjectCache(client),
            tokens=TokenCache(client),
            cgroups=self._cgroups,
            pleg=self._pleg,
            status_writer=self._status_writer,
            services=self._services,
            backoff=Backoff(),
            ended=self._worker_ended,
            network_problem=lambda: self.node.network_problem,
            admit=self._admit,
            room=self._room,
            starts=asyncio.Semaphore(config.parallel_starts or 1 + self.node.machine.cpus),
            resolver=dns.parse_resolv_conf(_read(config.host_resolv_conf)),
            host_ips=(config.node_ip,),
            allocatable=self.node.allocatable,
            memory_capacity_bytes=self.node.memory_capacity_bytes,
        )
        self._rebalance = False

    # Its life.

    async def run(self) -> None:
        """Until cancelled. Containers go on when it ends."""
        self.config.pods_directory.mkdir(parents=True, exist_ok=True)
        self.config.log_directory.mkdir(parents=True, exist_ok=True)
        self._cgroups.setup()
        self._tasks.run_forever(self._pleg.run, name="pleg")
        self._tasks.run_forever(self.node.run, name="node")
        self._tasks.run_forever(self.node.renew_lease, name="lease")
        self._pods.add_handler(self._pod_changed)
        self._tasks.run_forever(self._pods.run, name="pods")
        self._nodes.add_handler(self._node_changed)
        await self._pods.wait_synced()
        await self._pleg.wait_listed()
        self._tasks.run_forever(self._housekeeping, name="housekeeping")
        await asyncio.Event().wait()

    async def wait_ready(self) -> None:
        """Until the API knows this node as Ready."""
        await self.node.ready.wait()

    async def stop(self) -> None:
        """End all tasks; no container is touched."""
        await self._tasks.stop()
        await self._status_writer.stop()
        await self._recorder.stop()
        if self._own_informers:
            await self._informers.stop()

    # What happens.

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            worker = self._workers.get(meta.uid(old))
            if worker is not None:
                worker.removed()
            return
        uid = meta.uid(new)
        worker = self._workers.get(uid)
        if worker is None:
            if old is not None and not meta.being_deleted(new):
                # It was taken care of already: nothing is left to do for it.
                return
            self._start_worker(PodWorker(self._context, new))
        else:
            worker.update(new)

    def _start_worker(self, worker: PodWorker) -> None:
        self._workers[worker.uid] = worker
        self._tasks.start(worker.run(), name=f"pod {worker.uid}")
        self._balance_soon()

    def _worker_ended(self, uid: str) -> None:
        self._workers.pop(uid, None)
        self._status_writer.forget(uid)
        self._balance_soon()

    def _runtime_changed(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()

    def _wake_all(self) -> None:
        self._context.runtime_name = self.node.runtime_name
        self._context.recursive_read_only = node_status.recursive_read_only(self.node.runtime_handlers)
        for worker in self._workers.values():
            worker.wake()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        node = new or old
        if node is not None and meta.name(node) == self.config.node_name:
            self.node.observe(new)

    def _others(self, pod: Object) -> list[Object]:
        """The active pods, but for this one."""
        return [
            worker.allocated_pod
            for worker in self._workers.values()
            if worker.uid != meta.uid(pod) and worker.active and worker.admitted
        ]

    def _room(self, pod: Object) -> admission.Refusal | None:
        return admission.fits(pod, self._others(pod), self.node.allocatable)

    async def _admit(self, pod: Object) -> admission.Refusal | None:
        """Raises StatusError and OSError where the node cannot be asked for."""
        refusal = admission.check(pod, self.node.node, self._others(pod), self.node.allocatable)
        if refusal is not None and refusal.reason == admission.NODE_AFFINITY:
            # The scheduler may have seen labels that have not come here yet.
            self.node.observe(await self._client.get("nodes", self.config.node_name))
            refusal = admission.check(pod, self.node.node, self._others(pod), self.node.allocatable)
        return refusal

    def _balance_soon(self) -> None:
        """Weigh the burstable level anew, once for all the pods that come and go together."""
        if not self._rebalance:
            self._rebalance = True
            asyncio.get_running_loop().call_later(1.0, self._balance)

    def _balance(self) -> None:
        self._rebalance = False
        self._cgroups.balance([worker.allocated_pod for worker in self._workers.values() if worker.active])

    # What is left behind.

    async def _housekeeping(self) -> None:
        while True:
            try:
                await self._clear_away()
            except CRIError as error:
                logger.debug("cannot see what pods left: %s", error.rpc_text)
            await log_rotation.rotate(self._runtime, self._running_logs(), self.config)
            self._context.backoff.forget_expired(clock.time_seconds())
            await clock.sleep(HOUSEKEEPING_SECONDS)

    def _running_logs(self) -> list[tuple[str, Path]]:
        """(container id, log) of what runs."""
        running = [container for worker in self._workers.values() for container in worker.runtime.running_containers]
        return [(container.id, Path(container.log_path)) for container in running if container.log_path]

    async def _clear_away(self) -> None:
        """End what runs for pods that are gone, and remove what they left. Raises CRIError."""
        await self._pleg.relist()
        for uid, known in self._pleg.pods.items():
            if uid in self._workers or self._knows(uid):
                continue
            logger.info("pod %s/%s (%s) is unknown to the API and is ended", known.namespace, known.name, uid)
            metadata = {"name": known.name, "namespace": known.namespace, "uid": uid}
            pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}}
            self._start_worker(PodWorker(self._context, pod, orphan=True))
        found = await asyncio.to_thread(self._left)
        # Asked after the directories were listed: a pod that came meanwhile is among these.
        used = self._workers.keys() | {meta.uid(pod) for pod in self._pods.list()} | self._pleg.pods.keys()
        left = {uid: paths for uid, paths in found.items() if uid not in used}
        if left:
            await asyncio.to_thread(self._remove_leftovers, left)

    def _knows(self, uid: str) -> bool:
        return any(meta.uid(pod) == uid for pod in self._pods.list())

    def _left(self) -> dict[str, list[Path]]:
        """Directories and log directories by the uid of their pod; uids with a cgroup have none."""
        found: dict[str, list[Path]] = {uid: [] for uid in self._cgroups.pod_uids()}
        for directory in self.config.pods_directory.iterdir():
            found.setdefault(directory.name, []).append(directory)
        for directory in self.config.log_directory.iterdir():
            found.setdefault(directory.name.rpartition("_")[2], []).append(directory)
        return found

    def _remove_leftovers(self, left: Mapping[str, Sequence[Path]]) -> None:
        for uid, directories in left.items():
            self._cgroups.remove(uid)
            for directory in directories:
                try:
                    remove_pod_directory(directory)
                except OSError as error:
                    logger.warning("cannot remove %s: %s", directory, error)

    # What its server asks (lookup.PodLookup).

    def pods(self) -> list[Object]:
        return [self._status_writer.latest(pod) for pod in self._pods.list()]

    def pod(self, namespace: str, name: str, uid: str = "") -> Object | None:
        found = self._pods.get(f"{namespace}/{name}")
        if found is None or (uid and meta.uid(found) != uid):
            return None
        return self._status_writer.latest(found)

    def container(self, pod: Object, name: str, *, previous: bool = False) -> Container | None:
        worker = self._workers.get(meta.uid(pod))
        if worker is None:
            return None
        return worker.runtime.previous(name) if previous else worker.runtime.latest(name)

    def log_path(self, pod: Object, container: Container) -> Path:
        if container.log_path:
            return Path(container.log_path)
        return self.config.log_directory / log_directory_name(pod) / container.name / f"{container.attempt}.log"

    async def wait_container_ended(self, pod: Object, container_id: str) -> None:
        worker = self._workers.get(meta.uid(pod))
        if worker is not None:
            await worker.wait_container_ended(container_id)

    async def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        return await self._runtime.exec(container_id, command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)

    async def attach(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        return await self._runtime.attach(container_id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)

    async def port_forward(self, pod: Object, ports: Sequence[int]) -> str:
        worker = self._workers.get(meta.uid(pod))
        sandbox = worker.runtime.sandbox if worker is not None else None
        if sandbox is None or not sandbox.ready:
            raise CRIError("NOT_FOUND", f"pod {meta.key(pod)} has no sandbox that runs")
        return await self._runtime.port_forward(sandbox.id, ports)

    def runtime_healthy(self) -> str:
        return self.node.problem()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
