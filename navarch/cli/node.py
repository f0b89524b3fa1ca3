"""`navarch node`: a node's containerd, kubelet, proxy and DNS; all but containerd in one process.

containerd is started (or adopted) before anything else is loaded, so that it comes up meanwhile, and is looked after from then
on: it is started again when it ends. It and its containers stay when this process ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from navarch.cli.cluster import (
    CLUSTER_DOMAIN,
    DNS_PORT,
    DNS_SERVICE_IP,
    KUBELET_PORT,
    POD_CIDR,
    SERVICE_CIDR,
    Cluster,
    Node,
)
from navarch.cli.progress import Reporter
from navarch.cli.runtime import containerd_config
from navarch.component import clock, garbage, logs
from navarch.component.pki import PKI
from navarch.component.processes import Process, reap
from navarch.component.tasks import Tasks
from navarch.cri.containerd import (
    START_POLL_SECONDS,
    Containerd,
    RuntimeFailure,
)

if TYPE_CHECKING:
    from navarch.client.client import Client
    from navarch.client.informer import Informers
    from navarch.cri.client import CRIClient
    from navarch.kubelet.config import KubeletConfig
    from navarch.kubelet.kubelet import Kubelet
    from navarch.kubelet.server import KubeletServer
    from navarch.network.node import NodeNetwork

logger = logging.getLogger(__name__)

# How long the first connection to the API server is waited for at a pace that costs something.
API_WAIT_SECONDS = 10.0
RUNTIME_RESTART_SECONDS = 1.0


def main(cluster: Cluster, node: Node, reporter: Reporter, *, verbosity: int = 0) -> int:
    """Run the node until SIGTERM or SIGINT."""
    logs.configure(verbosity)
    runtime = Containerd(containerd_config(cluster, node))
    try:
        process, adopted = runtime.start()
        import uvloop

        uvloop.run(_run(cluster, node, runtime, process, adopted, reporter))
    except (OSError, RuntimeFailure) as error:
        logger.error("the node cannot run: %s", error)
        reporter.fail(str(error))
        return 1
    return 0


async def _run(cluster: Cluster, node: Node, runtime: Containerd, process: Process, adopted: bool, reporter: Reporter) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    tasks = Tasks("node")
    try:
        prepared = tasks.start(_prepare(cluster, runtime, process, adopted, reporter), name="runtime")
        components = await _start_components(cluster, node, runtime, tasks)
        await prepared
        tasks.run_forever(lambda: _look_after(runtime), name="containerd")
        await components.wait_ready(reporter)
        reporter.close()
        garbage.settle()
        await stopped.wait()
        await components.stop()
    finally:
        await tasks.stop()


async def _prepare(cluster: Cluster, runtime: Containerd, process: Process, adopted: bool, reporter: Reporter) -> None:
    """Until containerd answers and has the images that the cluster brings along."""
    from navarch.cri.images.library import Library
    from navarch.cri.images.runtime import NodeImages

    await runtime.wait_ready(process)
    reporter.step("runtime", "containerd adopted" if adopted else "containerd started")
    imported = await NodeImages(runtime.config).ensure(Library(cluster.images_dir).archives())
    reporter.step("images", ", ".join(imported) if imported else "all present")


class Components:
    """What runs in a node's process."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        network: NodeNetwork,
        runtime: CRIClient,
        kubelet: Kubelet,
        server: KubeletServer,
    ) -> None:
        self._client = client
        self._informers = informers
        self._network = network
        self._runtime = runtime
        self._kubelet = kubelet
        self._server = server

    async def wait_ready(self, reporter: Reporter) -> None:
        """Until the node is Ready and has the rules of all Services, telling each."""
        await self._network.wait_ready()
        reporter.step("network", "Services and DNS")
        await self._kubelet.wait_ready()
        reporter.step("kubelet", "node is Ready")

    async def stop(self) -> None:
        """Stop all; containers and connections go on."""
        await self._server.stop()
        await self._kubelet.stop()
        await self._runtime.close()
        await self._network.stop()
        await self._informers.stop()
        await self._client.transport.close()


async def _start_components(cluster: Cluster, node: Node, runtime: Containerd, tasks: Tasks) -> Components:
    from navarch.client.client import Client
    from navarch.client.http import HTTPTransport
    from navarch.client.informer import Informers
    from navarch.component.tls import server_context
    from navarch.cri.client import CRIClient
    from navarch.kubelet.kubelet import Kubelet
    from navarch.kubelet.server import KubeletServer
    from navarch.network.node import NetworkConfig, NodeNetwork

    pki = PKI(cluster.pki_dir)
    tls = ssl.create_default_context(cafile=str(pki.certificate("ca")))
    tls.load_cert_chain(pki.certificate(f"nodes/{node.name}/client"), pki.key(f"nodes/{node.name}/client"))
    client = Client(HTTPTransport(cluster.node_server_url, tls=tls, user_agent="kubelet"), field_manager="kubelet")
    network_config = NetworkConfig(
        node_name=node.name,
        node_ip=node.address,
        data_directory=cluster.node_dir(node),
        cni_conf_directory=containerd_config(cluster, node).cni_conf_dir,
        cluster_cidr=POD_CIDR,
        service_cidr=SERVICE_CIDR,
        cluster_domain=CLUSTER_DOMAIN,
        dns_port=DNS_PORT,
    )
    await _wait_for_api(cluster.node_server_url)
    informers = Informers(client)
    network = NodeNetwork(network_config, client, informers)
    await network.start()
    cri = CRIClient(runtime.config.endpoint)
    kubelet = Kubelet(_kubelet_config(cluster, node), client, cri, cri, informers)
    serving = f"nodes/{node.name}/kubelet"
    serving_tls = server_context(pki.certificate(serving), pki.key(serving), pki.certificate("ca"))
    server = KubeletServer(kubelet, tls=serving_tls, port=KUBELET_PORT)
    await server.start()
    tasks.start(kubelet.run(), name="kubelet")
    return Components(client, informers, network, cri, kubelet, server)


def _kubelet_config(cluster: Cluster, node: Node) -> KubeletConfig:
    from navarch.kubelet.config import KubeletConfig

    return KubeletConfig(
        node_name=node.name,
        node_ip=node.address,
        root_directory=cluster.node_dir(node) / "kubelet",
        log_directory=cluster.node_dir(node) / "logs" / "pods",
        port=KUBELET_PORT,
        cluster_dns=(DNS_SERVICE_IP,),
        cluster_domain=CLUSTER_DOMAIN,
        cgroup_root=cluster.cgroup(node),
    )


async def _wait_for_api(url: str) -> None:
    """Until the API server listens, at a quick pace while both start; later on everybody retries at their own."""
    address = urlsplit(url)
    deadline = clock.monotonic() + API_WAIT_SECONDS
    while clock.monotonic() < deadline:
        try:
            _, writer = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            await clock.sleep(START_POLL_SECONDS)
            continue
        writer.close()
        return


async def _look_after(runtime: Containerd) -> None:
    """Start containerd again when it has ended."""
    process, _ = runtime.start()
    await runtime.wait_ready(process)
    await _ended(process)
    logger.error("containerd (process %d) has ended; its last words:\n%s", process.pid, runtime.last_words())
    await clock.sleep(RUNTIME_RESTART_SECONDS)


async def _ended(process: Process) -> None:
    """Until a process has ended, without asking again and again."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        if process.alive:
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        reap(process.pid)
