from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.network import links, overlay
from navarch.network.links import Links, Route
from navarch.network.overlay import Overlay, Peer, peers, wanted_routes
from tests.network.laboratory import NODES_PATH, FakeAPI, Laboratory, inside, node, run

N1 = node("n1", "10.89.200.11", "10.244.0.0/24")
N2 = node("n2", "10.89.200.12", "10.244.1.0/24")


def test_peers_are_the_other_nodes_that_have_an_address_and_a_cidr() -> None:
    unready = node("n3", "10.89.200.13", "10.244.2.0/24", ready=False)
    nothing: dict[str, Any] = {"metadata": {"name": "n4"}, "spec": {}, "status": {}}
    found = [Peer("n2", "10.89.200.12", "10.244.1.0/24"), Peer("n3", "10.89.200.13", "10.244.2.0/24")]
    assert peers([unready, N2, N1, nothing], "n1") == found


def test_routes_go_by_the_nodes_address_or_through_the_overlay() -> None:
    others = peers([N1, N2], "n1")
    assert wanted_routes(others) == {Route("10.244.1.0/24", "10.89.200.12")}
    assert wanted_routes(others, device=7) == {Route("10.244.1.0/24", "10.244.1.0", 7)}


def test_the_host_reaches_services_by_the_first_ready_node() -> None:
    found = wanted_routes(peers([N1, N2], ""), service_cidr="10.96.0.0/16", ready=["n2"])
    assert Route("10.96.0.0/16", "10.89.200.12") in found
    assert len(wanted_routes(peers([N1, N2], ""), service_cidr="10.96.0.0/16")) == 2


def test_the_interface_of_the_default_route() -> None:
    table = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n"
        "br0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n"
        "eth9\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\n"
    )
    assert links.default_device(table) == "eth9"
    assert links.default_device("Iface\n") == ""
    assert links.mtu("lo") == 65536


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def with_overlay(api: FakeAPI, work: Callable[[Links], Any], **options: Any) -> None:
    informers = Informers(Client(api))
    task = asyncio.create_task(Overlay(informers, **options).run())
    kernel = Links()
    try:
        await work(kernel)
    finally:
        kernel.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await informers.stop()
        overlay.remove()


@pytest.mark.root
def test_routes_follow_the_nodes_and_come_back(lab: Laboratory, api: FakeAPI) -> None:
    api.put(NODES_PATH, N1)
    api.put(NODES_PATH, node("n2", "10.89.200.12", "10.244.7.0/24"))

    async def work(kernel: Links) -> None:
        await until(lambda: kernel.routes() == {Route("10.244.7.0/24", "10.89.200.12")})
        api.put(NODES_PATH, node("n3", "10.89.200.50", "10.244.8.0/24"))
        await until(lambda: Route("10.244.8.0/24", "10.89.200.50") in kernel.routes())
        # A cable that is out takes the routes along; plugged in again they are there again.
        lab.ip("link set eth0 down", "n1")
        await until(lambda: not kernel.routes())
        lab.ip("link set eth0 up", "n1")
        await until(lambda: len(kernel.routes()) == 2)
        api.delete(NODES_PATH, "n3")
        await until(lambda: kernel.routes() == {Route("10.244.7.0/24", "10.89.200.12")})
        overlay.remove()
        await until(lambda: bool(kernel.routes()))

    try:
        with inside(lab.namespace("n1")):
            asyncio.run(with_overlay(api, work, node_name="n1", node_ip="10.89.200.11"))
            with_kernel = Links()
            assert not with_kernel.routes()
            with_kernel.close()
    finally:
        lab.ip("route replace default via 10.89.200.50", "n1")
        lab.ip("route replace 10.244.1.0/24 via 10.89.200.12", "n1")


@pytest.mark.root
def test_vxlan_carries_pods_packets_between_nodes(lab: Laboratory, api: FakeAPI) -> None:
    for each in (N1, N2):
        api.put(NODES_PATH, each)
    lab.serve("p3", 8080)
    lab.ip("route del 10.244.1.0/24", "n1")
    lab.ip("route del 10.244.0.0/24", "n2")

    async def other_node(kernel: Links) -> None:
        await until(lambda: any(route.device for route in kernel.routes()))
        with inside(lab.namespace("n1")):
            await with_overlay(api, this_node, node_name="n1", node_ip="10.89.200.11", mode="vxlan")

    async def this_node(kernel: Links) -> None:
        await until(lambda: any(route.device for route in kernel.routes()))
        assert await asyncio.to_thread(lab.ask, "p1", "10.244.1.2", 8080) == ("p3", "10.244.0.2")
        shown = run("ip", "-n", lab.namespace("n1"), "-d", "link", "show", "navarch-vxlan")
        assert "mtu 1450" in shown
        assert "0e:4e:0a:59:c8:0b" in shown

    try:
        with inside(lab.namespace("n2")):
            asyncio.run(with_overlay(api, other_node, node_name="n2", node_ip="10.89.200.12", mode="vxlan"))
    finally:
        lab.ip("route replace 10.244.1.0/24 via 10.89.200.12", "n1")
        lab.ip("route replace 10.244.0.0/24 via 10.89.200.11", "n2")
