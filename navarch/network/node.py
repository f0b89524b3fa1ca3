"""The network of one node: proxy, DNS, CNI configuration and the ways to other nodes' pods, started and stopped together.

The process must already be in the node's network namespace. Nothing in the kernel changes when it stops: connections and pods
go on. `remove` takes everything away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.component.tasks import Tasks
from navarch.network import cni, hostports, links, overlay, proxy, sysctls
from navarch.network.dns.server import PORT as DNS_PORT
from navarch.network.dns.server import DNSServer
from navarch.network.dns.upstream import Address
from navarch.network.overlay import Mode, Overlay
from navarch.network.proxy import NODES, Proxy

logger = logging.getLogger(__name__)

SYSCTLS_RECORD = "sysctls.json"


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What a node's network is made of."""

    node_name: str
    node_ip: str
    """InternalIP: where the DNS server listens and other nodes send pods' packets."""
    data_directory: Path
    """The node's own, e.g. /var/lib/navarch/nodes/node-1; addresses in use are kept below it, in ``cni/ipam``."""
    cni_conf_directory: Path
    cluster_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    cluster_domain: str = "cluster.local"
    dns_port: int = DNS_PORT
    dns_upstreams: Sequence[Address] | None = None
    """None: the machine's resolvers."""
    overlay: Mode = "routes"
    bridge: str = cni.BRIDGE

    @property
    def sysctls_record(self) -> Path:
        return self.data_directory / SYSCTLS_RECORD


class NodeNetwork:
    """Call `run` as a task, or `start` and later `stop`."""

    def __init__(self, config: NetworkConfig, client: Client, informers: Informers | None = None) -> None:
        self.config = config
        self._own_informers = None if informers is not None else Informers(client)
        self._informers = informers or self._own_informers or Informers(client)
        self._tasks = Tasks("network")
        self.proxy: Proxy | None = None
        self.dns: DNSServer | None = None
        self.overlay: Overlay | None = None
        self._pod_cidr = ""

    async def start(self) -> None:
        """Start everything; returns at once. What needs the API waits for it by itself."""
        config, informers = self.config, self._informers
        sysctls.set_needed(config.sysctls_record)
        self.proxy = Proxy(informers, node_name=config.node_name, node_ips=[config.node_ip], cluster_cidr=config.cluster_cidr)
        self.dns = DNSServer(
            informers,
            host=config.node_ip,
            port=config.dns_port,
            domain=config.cluster_domain,
            networks=[config.cluster_cidr, config.service_cidr],
            upstreams=config.dns_upstreams,
        )
        self.overlay = Overlay(informers, node_name=config.node_name, node_ip=config.node_ip, mode=config.overlay)
        informers.get(NODES).add_handler(self._on_node)
        self._tasks.run_forever(self.proxy.run, name="proxy")
        self._tasks.run_forever(self.dns.run, name="dns")
        self._tasks.run_forever(self.overlay.run, name="overlay")
        self._tasks.start(self._open_localhost(), name="localhost")

    async def run(self) -> None:
        """Until cancelled."""
        await self.start()
        try:
            await asyncio.Event().wait()
        finally:
            await self.stop()

    async def stop(self) -> None:
        await self._tasks.stop()
        if self.proxy is not None:
            self.proxy.close()
        if self._own_informers is not None:
            await self._own_informers.stop()

    async def wait_ready(self) -> None:
        """Until the kernel has the rules of all Services."""
        assert self.proxy is not None, "not started"
        await self.proxy.synced.wait()

    async def _open_localhost(self) -> None:
        await self.wait_ready()
        sysctls.set_needed(self.config.sysctls_record, sysctls.LOCALHOST)

    def _on_node(self, _: Object | None, node: Object | None) -> None:
        if node is None or node["metadata"]["name"] != self.config.node_name:
            return
        cidr = overlay.pod_cidr(node)
        if cidr and cidr != self._pod_cidr:
            write_cni_configuration(self.config, cidr)
            self._pod_cidr = cidr


def write_cni_configuration(config: NetworkConfig, pod_cidr: str) -> bool:
    """Write the node's conflist; whether it changed. To be called early where the pod CIDR is known before the API answers."""
    under = links.default_device()
    mtu = links.mtu(under) if under else cni.DEFAULT_MTU
    if config.overlay == "vxlan":
        mtu -= links.VXLAN_OVERHEAD_BYTES
    ipam = config.data_directory / "cni" / "ipam"
    return cni.write(config.cni_conf_directory, pod_cidr, mtu=mtu, data_directory=ipam, bridge=config.bridge)


async def remove(*, sysctls_record: Path | None = None, bridge: str = cni.BRIDGE) -> None:
    """Delete from this network namespace what navarch put there: rules, routes, overlay device, bridge, kernel settings."""
    if sysctls_record is not None:
        # First: one of them is only safe while the table is there.
        sysctls.restore(sysctls_record)
    await proxy.remove()
    await asyncio.to_thread(hostports.remove)
    overlay.remove()
    kernel = links.Links()
    try:
        kernel.delete_link(bridge)
    finally:
        kernel.close()
