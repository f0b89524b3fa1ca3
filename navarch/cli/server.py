"""`navarch server`: API server, store, controllers and scheduler in one process and event loop.

The API answers before anything else is loaded; controllers and scheduler come up behind it through the same pipeline.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from navarch.cli.cluster import CLUSTER_DOMAIN, POD_CIDR, SERVICE_CIDR, Cluster
from navarch.cli.progress import Reporter
from navarch.cli.storesettings import by_rules, transformers
from navarch.component import clock, garbage, logs

if TYPE_CHECKING:
    from navarch.apiserver.admission.podsecurity.configuration import PodSecurityConfiguration
    from navarch.apiserver.server import APIServer, APIServerConfig
    from navarch.client.informer import Informers
    from navarch.client.transport import Transport
    from navarch.controllers.config import ControllerConfig
    from navarch.storage.encryption.reloading import Reloader
    from navarch.storage.etcd.store import EtcdStore
    from navarch.storage.store import LocalStore

logger = logging.getLogger(__name__)

# One cluster's API, on every address: the nodes of a cluster on one machine come from several networks.
BIND_ADDRESS = "0.0.0.0"
# What keeps the API from being served is told after so long.
PATIENCE_SECONDS = 1.0


def main(cluster: Cluster, reporter: Reporter, *, verbosity: int = 0) -> int:
    """Serve until SIGTERM or SIGINT."""
    import uvloop

    from navarch.apiserver.admission.podsecurity.configuration import ConfigurationError
    from navarch.storage.backend import StorageError
    from navarch.storage.encryption.config import ConfigError

    logs.configure(verbosity)
    try:
        uvloop.run(_run(cluster, reporter, verbosity))
    except (OSError, StorageError, ConfigError, ConfigurationError) as error:
        logger.error("cannot serve: %s", error)
        reporter.fail(str(error))
        return 1
    return 0


def replica(cluster: Cluster, leader: Path, *, verbosity: int = 0) -> int:
    """Answer reads for the server whose sockets are in a directory, until that ends, or SIGTERM or SIGINT."""
    import uvloop

    from navarch.storage.backend import StorageError

    logs.configure(verbosity)
    try:
        uvloop.run(_follow(cluster, leader))
    except (OSError, StorageError) as error:
        logger.error("cannot follow: %s", error)
        return 1
    return 0


def _stopping() -> asyncio.Event:
    """Set by the signals that end a process."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped


def _config(cluster: Cluster, leader: Path | None = None) -> APIServerConfig:
    from navarch.apiserver.server import APIServerConfig
    from navarch.component.pki import PKI

    pki = PKI(cluster.pki_dir)
    return APIServerConfig(
        service_account_key_file=pki.service_account_key,
        certificate_file=pki.certificate("apiserver"),
        key_file=pki.key("apiserver"),
        client_ca_file=pki.certificate("ca"),
        kubelet_client_certificate_file=pki.certificate("apiserver-kubelet-client"),
        kubelet_client_key_file=pki.key("apiserver-kubelet-client"),
        front_proxy_ca_file=pki.certificate("front-proxy-ca"),
        proxy_client_certificate_file=pki.certificate("front-proxy-client"),
        proxy_client_key_file=pki.key("front-proxy-client"),
        bind_address=BIND_ADDRESS,
        port=cluster.port,
        advertise_address=cluster.advertise_address,
        service_cidr=SERVICE_CIDR,
        shares_port=cluster.read_replicas > 0 or leader is not None,
        leader=leader,
        pod_security=_pod_security(cluster if leader is None else None),
    )


def _pod_security(cluster: Cluster | None) -> PodSecurityConfiguration:
    """Of who admits what is written; read replicas do not. Raises ConfigurationError."""
    from navarch.apiserver.admission.podsecurity.configuration import PodSecurityConfiguration, load

    file = cluster.admission_config if cluster is not None else None
    return load(file) if file is not None else PodSecurityConfiguration()


async def _run(cluster: Cluster, reporter: Reporter, verbosity: int) -> None:
    stopped = _stopping()

    from navarch.apiserver.server import APIServer

    reloader, store = _reloader(cluster), _store(cluster)
    server = APIServer(_config(cluster), store)
    try:
        if await _listen(server, reporter, stopped):
            reporter.step("API", cluster.server_url)
            async with _replicas(cluster, server, verbosity), _reloading(reloader, store):
                await _run_components(cluster, server, reporter, stopped)
    finally:
        await server.stop()


@asynccontextmanager
async def _replicas(cluster: Cluster, server: APIServer, verbosity: int) -> AsyncIterator[None]:
    """With read replicas beside the server."""
    if not cluster.read_replicas:
        yield
        return
    from navarch.cli.replicas import Supervisor

    replicas = await server.serve_replicas(cluster.replicas_dir)
    supervisor = Supervisor(cluster, cluster.replicas_dir, verbosity, replicas.silent)
    supervisor.start()
    try:
        yield
    finally:
        await supervisor.stop()


def _reloader(cluster: Cluster) -> Reloader | None:
    """To be made before the store: what the file says later is not missed then. Raises ConfigError."""
    file = cluster.store.encryption_file
    if file is None or not cluster.store.encryption_reload:
        return None
    from navarch.storage.encryption.reloading import Reloader

    return Reloader(cluster.data_dir / file, by_rules)


@asynccontextmanager
async def _reloading(reloader: Reloader | None, store: EtcdStore | LocalStore) -> AsyncIterator[None]:
    """While the encryption file is looked after, if it is to be."""
    from navarch.component.tasks import Tasks

    tasks = Tasks("encryption")
    if reloader is not None:
        tasks.run_forever(partial(reloader.run, store), name="reload")
    try:
        yield
    finally:
        await tasks.stop()


async def _follow(cluster: Cluster, leader: Path) -> None:
    stopped = _stopping()

    from navarch.apiserver.replication import FEED
    from navarch.apiserver.server import APIServer
    from navarch.storage.replica.store import ReplicaStore

    store = ReplicaStore(leader / FEED)
    server = APIServer(_config(cluster, leader), store)
    await server.listen()
    garbage.settle()
    stopping, lost = asyncio.ensure_future(stopped.wait()), asyncio.ensure_future(store.lost())
    await asyncio.wait((stopping, lost), return_when=asyncio.FIRST_COMPLETED)
    if not lost.done():
        lost.cancel()
        await server.stop()
    # Else at once, with all its connections: what is here gets older.
    stopping.cancel()


def _store(cluster: Cluster) -> EtcdStore | LocalStore:
    """Where the cluster's objects are. Raises ConfigError, StorageError."""
    found = transformers(cluster.store, cluster.data_dir)
    if cluster.datastore is not None:
        from navarch.storage.etcd.client import EtcdClient
        from navarch.storage.etcd.store import EtcdStore

        return EtcdStore(EtcdClient(cluster.datastore), found)
    from navarch.storage.sqlite import SQLiteBackend
    from navarch.storage.store import LocalStore

    backend = SQLiteBackend(cluster.database, cluster.store.retention, found)
    return LocalStore(backend, may_be_lazy=not cluster.store.durable_leases)


async def _listen(server: APIServer, reporter: Reporter, stopped: asyncio.Event) -> bool:
    """Serve the API, as soon as its store lets it; tells what it waits for. False: it has been stopped before."""
    listening, stopping = asyncio.ensure_future(server.listen()), asyncio.ensure_future(stopped.wait())
    told = ""
    try:
        while not listening.done():
            await asyncio.wait((listening, stopping), timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return False
            problem = server.store.problem
            if not listening.done() and problem and problem != told:
                told = problem
                reporter.step("etcd", f"{problem}; trying again")
        listening.result()
        return True
    finally:
        for task in (listening, stopping):
            task.cancel()
        await asyncio.gather(listening, stopping, return_exceptions=True)


def controller_config(cluster: Cluster) -> ControllerConfig:
    """What the cluster's controllers are told; they sign with the authority that the API server knows its clients by."""
    from navarch.component.pki import PKI
    from navarch.controllers.config import ControllerConfig

    pki = PKI(cluster.pki_dir)
    return ControllerConfig(
        root_ca_pem=pki.certificate("ca").read_text(),
        service_account_key_file=pki.service_account_key,
        signing_certificate_file=pki.certificate("ca"),
        signing_key_file=pki.key("ca"),
        cluster_cidr=POD_CIDR,
    )


async def _run_components(cluster: Cluster, server: APIServer, reporter: Reporter, stopped: asyncio.Event) -> None:
    from navarch.client.client import Client
    from navarch.client.informer import Informers
    from navarch.component.tasks import Tasks
    from navarch.controllers.manager import ControllerManager
    from navarch.scheduler.reloading import ReloadingScheduler
    from navarch.scheduler.scheduler import Scheduler

    transport = server.transport()
    shared = Informers(Client(transport, field_manager="navarch"))
    settings = controller_config(cluster)

    async def control(transport: Transport, informers: Informers) -> None:
        manager = ControllerManager(Client(transport, field_manager="kube-controller-manager"), informers, settings)
        try:
            await manager.run()
        finally:
            await manager.stop()

    async def schedule(transport: Transport, informers: Informers) -> None:
        client = Client(transport, field_manager="kube-scheduler")
        host = socket.gethostname()
        scheduler: Scheduler | ReloadingScheduler = Scheduler(client, informers, host=host)
        if cluster.scheduler_config is not None or cluster.scheduler_plugins:
            scheduler = ReloadingScheduler(client, cluster.scheduler_config, cluster.scheduler_plugins, host=host)
        server.pipeline.explain.explainer = scheduler.explain
        try:
            await scheduler.run()
        finally:
            server.pipeline.explain.explainer = None
            await scheduler.stop()

    tasks = Tasks("server")
    running = {}
    for name, lease, work in (
        ("controller-manager", "kube-controller-manager", control),
        ("scheduler", "kube-scheduler", schedule),
    ):
        run = _elected(transport, lease, work) if cluster.elects_leader else work(transport, shared)
        running[name] = tasks.start(run, name=name)
    for name, task in running.items():
        server.components[name] = partial(_problem, task)
    if not cluster.on_host:
        from navarch.network.overlay import Overlay

        # The machine itself reaches pods and Services through its nodes.
        overlay = Overlay(shared, node_name="", service_cidr=SERVICE_CIDR)
        tasks.run_forever(overlay.run, name="routes")
    reporter.step("controllers", f"and scheduler; cluster domain {CLUSTER_DOMAIN}")
    reporter.close()
    try:
        await _settle()
        await stopped.wait()
    finally:
        # Whatever they write last must find the server still there.
        await tasks.stop()
        await shared.stop()


async def _elected(transport: Transport, lease: str, work: Callable[[Transport, Informers], Awaitable[None]]) -> None:
    """Do the work whenever, of all servers, it is this one's turn; each time with a view of its own of the cluster."""
    from navarch.client.client import Client
    from navarch.client.events import EventRecorder
    from navarch.client.informer import Informers
    from navarch.client.leaderelection import LeaderElectionConfig, LeaderElector

    async def lead() -> None:
        guarded = elector.guard(transport)
        informers = Informers(Client(guarded, field_manager=lease))
        try:
            await work(guarded, informers)
        finally:
            await informers.stop()

    client = Client(transport, field_manager=lease)
    recorder = EventRecorder(client, lease)
    config = LeaderElectionConfig(name=lease, identity=f"{socket.gethostname()}_{clock.uid()}")
    elector = LeaderElector(client, config, recorder)
    try:
        await elector.run(lead)
    finally:
        await recorder.stop()


def _problem(task: asyncio.Task[None]) -> str:
    return "has stopped" if task.done() else ""


async def _settle() -> None:
    await asyncio.sleep(0)
    garbage.settle()
