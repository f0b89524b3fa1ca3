"""`navarch server`: API server, store, controllers and scheduler in one process and event loop.

The API answers before anything else is loaded; controllers and scheduler come up behind it through the same pipeline.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from functools import partial
from typing import TYPE_CHECKING

from navarch.cli.cluster import CLUSTER_DOMAIN, POD_CIDR, SERVICE_CIDR, Cluster
from navarch.cli.progress import Reporter
from navarch.component import logs

if TYPE_CHECKING:
    from navarch.apiserver.server import APIServer

logger = logging.getLogger(__name__)

# One cluster's API, on every address: the nodes of a cluster on one machine come from several networks.
BIND_ADDRESS = "0.0.0.0"


def main(cluster: Cluster, reporter: Reporter, *, verbosity: int = 0) -> int:
    """Serve until SIGTERM or SIGINT."""
    import uvloop

    from navarch.storage.backend import StorageError

    logs.configure(verbosity)
    try:
        uvloop.run(_run(cluster, reporter))
    except (OSError, StorageError) as error:
        logger.error("cannot serve: %s", error)
        reporter.fail(str(error))
        return 1
    return 0


async def _run(cluster: Cluster, reporter: Reporter) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)

    from navarch.apiserver.server import APIServer, APIServerConfig
    from navarch.component.pki import PKI
    from navarch.storage.sqlite import SQLiteBackend
    from navarch.storage.store import LocalStore

    pki = PKI(cluster.pki_dir)
    config = APIServerConfig(
        service_account_key_file=pki.service_account_key,
        certificate_file=pki.certificate("apiserver"),
        key_file=pki.key("apiserver"),
        client_ca_file=pki.certificate("ca"),
        kubelet_client_certificate_file=pki.certificate("apiserver-kubelet-client"),
        kubelet_client_key_file=pki.key("apiserver-kubelet-client"),
        bind_address=BIND_ADDRESS,
        port=cluster.port,
        advertise_address=cluster.advertise_address,
        service_cidr=SERVICE_CIDR,
    )
    server = APIServer(config, LocalStore(SQLiteBackend(cluster.database)))
    await server.start()
    try:
        await server.listen()
        reporter.step("API", cluster.server_url)
        await _run_components(cluster, server, reporter, stopped)
    finally:
        await server.stop()


async def _run_components(cluster: Cluster, server: APIServer, reporter: Reporter, stopped: asyncio.Event) -> None:
    from navarch.client.client import Client
    from navarch.client.informer import Informers
    from navarch.component.tasks import Tasks
    from navarch.controllers.config import ControllerConfig
    from navarch.controllers.manager import ControllerManager
    from navarch.scheduler.scheduler import Scheduler

    transport = server.transport()
    informers = Informers(Client(transport, field_manager="navarch"))
    settings = ControllerConfig(
        root_ca_pem=(cluster.pki_dir / "ca.crt").read_text(),
        signing_certificate_file=cluster.pki_dir / "ca.crt",
        signing_key_file=cluster.pki_dir / "ca.key",
        cluster_cidr=POD_CIDR,
    )
    manager = ControllerManager(Client(transport, field_manager="kube-controller-manager"), informers, settings)
    scheduler = Scheduler(Client(transport, field_manager="kube-scheduler"), informers)
    tasks = Tasks("server")
    running = {
        "controller-manager": tasks.start(manager.run(), name="controllers"),
        "scheduler": tasks.start(scheduler.run(), name="scheduler"),
    }
    for name, task in running.items():
        server.components[name] = partial(_problem, task)
    if not cluster.on_host:
        from navarch.network.overlay import Overlay

        # The machine itself reaches pods and Services through its nodes.
        overlay = Overlay(informers, node_name="", service_cidr=SERVICE_CIDR)
        tasks.run_forever(overlay.run, name="routes")
    reporter.step("controllers", f"and scheduler; cluster domain {CLUSTER_DOMAIN}")
    reporter.close()
    try:
        await _settle()
        await stopped.wait()
    finally:
        # Whatever they write last must find the server still there.
        await scheduler.stop()
        await manager.stop()
        await tasks.stop()
        await informers.stop()


def _problem(task: asyncio.Task[None]) -> str:
    return "has stopped" if task.done() else ""


async def _settle() -> None:
    """What was made while starting stays: the garbage collector need not look at it ever again."""
    await asyncio.sleep(0)
    gc.collect()
    gc.freeze()
