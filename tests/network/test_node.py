"""The network of a node as a whole, in a namespace that stands for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.network import node as network
from navarch.network.nftables import has_table
from navarch.network.node import NetworkConfig, NodeNetwork
from tests.network.laboratory import (
    NODES_PATH,
    SERVICES_PATH,
    SLICES_PATH,
    FakeAPI,
    Laboratory,
    endpoint,
    endpoint_slice,
    inside,
    node,
    service,
)

pytestmark = pytest.mark.root

DNS = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
DNS_BEHIND = [{"name": "dns", "port": 10053, "protocol": "UDP"}, {"name": "dns-tcp", "port": 10053, "protocol": "TCP"}]
QUESTION = b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\x03web\x04shop\x03svc\x07cluster\x05local\0\0\x01\0\x01"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_node_gets_all_of_its_network_and_gives_it_back(lab: Laboratory, api: FakeAPI, tmp_path: Path) -> None:
    api.put(NODES_PATH, node("n1", lab.nodes["n1"], "10.244.0.0/24"))
    api.put(SERVICES_PATH, service())
    api.put(SERVICES_PATH, service("kube-dns", "10.96.0.10", "kube-system", ports=DNS, internalTrafficPolicy="Local"))
    own = endpoint(lab.nodes["n1"], "n1")
    api.put(SLICES_PATH, endpoint_slice(own, service="kube-dns", namespace="kube-system", ports=DNS_BEHIND))
    config = NetworkConfig(
        node_name="n1",
        node_ip=lab.nodes["n1"],
        data_directory=tmp_path / "node",
        cni_conf_directory=tmp_path / "cni",
        dns_upstreams=[],
        bridge="nobridge",
    )
    conflist = tmp_path / "cni" / "10-navarch.conflist"
    localhost = Path("/proc/sys/net/ipv4/conf/all/route_localnet")

    async def scenario() -> None:
        client = Client(api)
        informers = Informers(client)
        whole = NodeNetwork(config, client, informers)
        await whole.start()
        await asyncio.wait_for(whole.wait_ready(), 5)
        await until(conflist.exists)
        await until(lambda: localhost.read_text().strip() == "1")
        # A pod asks the cluster's DNS at its Service address.
        answer = await asyncio.to_thread(lab.exchange, "p1", "10.96.0.10", 53, QUESTION)
        assert answer.endswith(bytes((10, 96, 0, 20)))
        await whole.stop()
        await informers.stop()
        # Connections go on without the process.
        assert has_table("navarch")
        await network.remove(sysctls_record=config.sysctls_record, bridge=config.bridge)
        assert not has_table("navarch")

    with inside(lab.namespace("n1")):
        localhost.write_text("0")
        asyncio.run(scenario())
        assert localhost.read_text().strip() == "0"
        localhost.write_text("1")
    plugins = json.loads(conflist.read_text())["plugins"]
    assert plugins[0]["ipam"]["ranges"] == [[{"subnet": "10.244.0.0/24"}]]
    assert plugins[0]["mtu"] == 1500
