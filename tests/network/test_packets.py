"""The rules in the kernel: real packets between namespaces that stand for nodes, pods and the world outside."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.network import proxy as proxy_module
from navarch.network import rules
from navarch.network.nftables import Nftables
from navarch.network.proxy import Proxy
from navarch.network.table import Table
from tests.network.laboratory import (
    CLUSTER_CIDR,
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

BOTH = [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
BOTH_TARGETS = [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "dns", "port": 5353, "protocol": "UDP"}]
NODE_PORT = [{"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080}]


def load(lab: Laboratory, svc: Object, *slices: Object, nodes: tuple[str, ...] = ("n1", "n2")) -> None:
    for name in nodes:
        table = Table(CLUSTER_CIDR)
        table.replace("svc", rules.plan(svc, slices, rules.Node(name, CLUSTER_CIDR)).fragment)
        table.replace("nodes", rules.Fragment(shared={(rules.NODE_IPS, ip) for ip in ("10.89.200.11", "10.89.200.12")}))
        lab.nft(name, table.everything())


def serve_everywhere(lab: Laboratory, port: int = 8080, *, udp: bool = False) -> None:
    for pod in lab.pods:
        lab.serve(pod, port, udp=udp)


def asked(lab: Laboratory, place: str, address: str, port: int, times: int = 24, **options: Any) -> Counter[str]:
    return Counter(lab.ask(place, address, port, **options)[0] for _ in range(times))


ALL = (endpoint("10.244.0.2"), endpoint("10.244.0.3"), endpoint("10.244.1.2", "n2"))


def test_a_cluster_ip_reaches_every_endpoint_from_pods_and_nodes(lab: Laboratory) -> None:
    serve_everywhere(lab)
    load(lab, service(), endpoint_slice(*ALL))
    for place in ("p1", "p3", "n1"):
        assert set(asked(lab, place, "10.96.0.20", 80, 40)) == {"p1", "p2", "p3"}


def test_udp_goes_the_same_way(lab: Laboratory) -> None:
    serve_everywhere(lab, 5353, udp=True)
    load(lab, service(ports=BOTH), endpoint_slice(*ALL, ports=BOTH_TARGETS))
    assert set(asked(lab, "p1", "10.96.0.20", 53, 40, udp=True)) == {"p1", "p2", "p3"}


def test_pods_are_seen_with_their_own_address_through_a_service_and_across_nodes(lab: Laboratory) -> None:
    serve_everywhere(lab)
    load(lab, service(), endpoint_slice(ALL[2]))
    assert lab.ask("p1", "10.96.0.20", 80) == ("p3", "10.244.0.2")
    assert lab.ask("p1", "10.244.1.2", 8080) == ("p3", "10.244.0.2")
    load(lab, service(), endpoint_slice(ALL[1]))
    assert lab.ask("p1", "10.96.0.20", 80) == ("p2", "10.244.0.2")


def test_a_pod_reaches_itself_through_its_service(lab: Laboratory) -> None:
    serve_everywhere(lab)
    load(lab, service(), endpoint_slice(ALL[0]))
    assert lab.ask("p1", "10.96.0.20", 80) == ("p1", "10.244.0.1")


def test_node_ports_answer_on_every_node_from_outside_and_on_localhost(lab: Laboratory) -> None:
    serve_everywhere(lab)
    load(lab, service(type="NodePort", ports=NODE_PORT), endpoint_slice(ALL[0], ALL[2]))
    for place, address in (
        ("outside", "10.89.200.11"),
        ("outside", "10.89.200.12"),
        ("n1", "127.0.0.1"),
        ("n1", "10.89.200.11"),
    ):
        assert set(asked(lab, place, address, 30080)) == {"p1", "p3"}, (place, address)
    assert lab.ask("p2", "10.244.0.1", 30080)[0] in ("p1", "p3")


def test_a_node_port_of_policy_local_keeps_the_client_address_and_drops_where_nobody_is(lab: Laboratory) -> None:
    serve_everywhere(lab)
    svc = service(type="NodePort", ports=NODE_PORT, externalTrafficPolicy="Local")
    load(lab, svc, endpoint_slice(ALL[0]))
    assert lab.ask("outside", "10.89.200.11", 30080) == ("p1", "10.89.200.50")
    with pytest.raises(TimeoutError):
        lab.ask("outside", "10.89.200.12", 30080)
    # From within the cluster every endpoint may answer.
    assert lab.ask("p3", "10.89.200.12", 30080)[0] == "p1"
    assert lab.ask("n2", "127.0.0.1", 30080)[0] == "p1"


def test_internal_policy_local_stays_on_the_node(lab: Laboratory) -> None:
    serve_everywhere(lab)
    load(lab, service(internalTrafficPolicy="Local"), endpoint_slice(ALL[0], ALL[2]))
    assert set(asked(lab, "p2", "10.96.0.20", 80)) == {"p1"}
    assert set(asked(lab, "p3", "10.96.0.20", 80)) == {"p3"}


def test_a_service_without_endpoints_refuses_and_one_without_local_ones_drops(lab: Laboratory) -> None:
    load(lab, service(type="NodePort", ports=NODE_PORT), endpoint_slice())
    for place, address, port in (("p1", "10.96.0.20", 80), ("n1", "10.96.0.20", 80), ("outside", "10.89.200.11", 30080)):
        with pytest.raises(ConnectionRefusedError):
            lab.ask(place, address, port)
    load(lab, service(internalTrafficPolicy="Local"), endpoint_slice(ALL[2]))
    with pytest.raises(TimeoutError):
        lab.ask("p1", "10.96.0.20", 80)


def test_a_port_the_service_does_not_have_is_refused(lab: Laboratory) -> None:
    load(lab, service(), endpoint_slice(*ALL))
    for place in ("p1", "n1"):
        with pytest.raises(ConnectionRefusedError):
            lab.ask(place, "10.96.0.20", 81)


def test_external_addresses_and_load_balancer_addresses_with_source_ranges(lab: Laboratory) -> None:
    serve_everywhere(lab)
    load(lab, service(externalIPs=["192.0.2.1"]), endpoint_slice(*ALL))
    assert lab.ask("outside", "192.0.2.1", 80)[0] in ("p1", "p2", "p3")
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    balancer = {"type": "LoadBalancer", "status": status}
    load(lab, service(loadBalancerSourceRanges=["10.89.200.0/24"], **balancer), endpoint_slice(*ALL))
    assert lab.ask("outside", "192.0.2.1", 80)[0] in ("p1", "p2", "p3")
    load(lab, service(loadBalancerSourceRanges=["10.89.200.0/28"], **balancer), endpoint_slice(*ALL))
    with pytest.raises(TimeoutError):
        lab.ask("outside", "192.0.2.1", 80)


def test_session_affinity_binds_a_client_until_its_endpoint_is_gone(lab: Laboratory) -> None:
    serve_everywhere(lab)
    svc = service(sessionAffinity="ClientIP", type="NodePort", ports=NODE_PORT)
    node_1 = rules.Node("n1", CLUSTER_CIDR)
    table = Table(CLUSTER_CIDR)
    plan = rules.plan(svc, [endpoint_slice(*ALL)], node_1)
    table.replace("svc", plan.fragment)
    lab.nft("n1", table.everything())
    bound = asked(lab, "p2", "10.96.0.20", 80)
    assert len(bound) == 1
    assert len(asked(lab, "outside", "10.89.200.11", 30080)) == 1
    gone = next(iter(bound))
    left = [e for e in ALL if e["addresses"][0] != lab.pods[gone][1]]
    plan = rules.plan(svc, [endpoint_slice(*left)], node_1, plan)
    table.replace("svc", plan.fragment)
    lab.nft("n1", table.changes())
    bound_anew = asked(lab, "p2", "10.96.0.20", 80)
    assert len(bound_anew) == 1
    assert bound_anew.keys() != bound.keys()
    # When the first comes back, clients stay where they are.
    table.replace("svc", rules.plan(svc, [endpoint_slice(*ALL)], node_1, plan).fragment)
    lab.nft("n1", table.changes())
    assert asked(lab, "p2", "10.96.0.20", 80).keys() == bound_anew.keys()


def test_pods_go_out_of_the_cluster_as_their_node_and_to_nodes_as_themselves(lab: Laboratory) -> None:
    lab.serve("outside", 9000)
    lab.serve("n2", 9000)
    load(lab, service(), endpoint_slice(*ALL))
    assert lab.ask("p1", "10.89.200.50", 9000) == ("outside", "10.89.200.11")
    assert lab.ask("p1", "10.89.200.12", 9000) == ("n2", "10.244.0.2")


def test_localhost_of_a_node_is_closed_to_its_neighbours(lab: Laboratory) -> None:
    lab.serve("n1", 9001, address="127.0.0.1")
    load(lab, service(), endpoint_slice(*ALL))
    lab.ip("route add 127.0.0.1/32 via 10.89.200.11 table 77", "outside")
    with inside(lab.namespace("outside")):
        for setting in ("ipv4/conf/all/route_localnet",):
            with open(f"/proc/sys/net/{setting}", "w") as file:  # noqa: PTH123 - the namespace of this thread
                file.write("1")
    lab.ip("addr del 127.0.0.1/8 dev lo", "outside")
    try:
        lab.ip("route add 127.0.0.1/32 via 10.89.200.11", "outside")
        with pytest.raises(TimeoutError):
            lab.ask("outside", "127.0.0.1", 9001)
    finally:
        lab.ip("route del 127.0.0.1/32 via 10.89.200.11", "outside")
        lab.ip("addr add 127.0.0.1/8 dev lo", "outside")


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


def test_the_proxy_follows_the_api_recovers_its_table_and_forgets_stale_udp(lab: Laboratory, api: FakeAPI) -> None:
    serve_everywhere(lab)
    serve_everywhere(lab, 5353, udp=True)
    for name in ("n1", "n2"):
        api.put(NODES_PATH, node(name, lab.nodes[name], f"10.244.{int(name[1]) - 1}.0/24"))
    api.put(SERVICES_PATH, service(ports=BOTH))
    api.put(SLICES_PATH, endpoint_slice(ALL[0], ports=BOTH_TARGETS))

    async def scenario() -> None:
        informers = Informers(Client(api))
        proxy = Proxy(informers, node_name="n1", node_ips=[lab.nodes["n1"]], cluster_cidr=CLUSTER_CIDR)
        task = asyncio.create_task(proxy.run())
        await asyncio.wait_for(proxy.synced.wait(), 5)
        assert lab.ask("p2", "10.96.0.20", 80)[0] == "p1"
        assert lab.ask("p2", "10.96.0.20", 53, udp=True, source_port=4444)[0] == "p1"
        before = proxy.applied
        api.put(SLICES_PATH, endpoint_slice(ALL[2], ports=BOTH_TARGETS))
        await until(lambda: proxy.applied > before)
        await asyncio.sleep(0.05)
        assert lab.ask("p2", "10.96.0.20", 80)[0] == "p3"
        # The same UDP flow, without a rest: it must not go on to the endpoint that is gone.
        assert lab.ask("p2", "10.96.0.20", 53, udp=True, source_port=4444)[0] == "p3"
        nftables = Nftables()
        await nftables.run("delete table ip navarch")
        api.put(SLICES_PATH, endpoint_slice(ALL[1], ports=BOTH_TARGETS))
        await until(lambda: "10.244.0.3" in nftables.run_now("list ruleset"))
        assert lab.ask("p2", "10.96.0.20", 80)[0] == "p2"
        api.delete(SERVICES_PATH, "web", "shop")
        await until(lambda: "10.96.0.20" not in nftables.run_now("list ruleset"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        proxy.close()
        await informers.stop()
        await proxy_module.remove()
        assert "navarch" not in nftables.run_now("list tables")
        nftables.close()

    with inside(lab.namespace("n1")):
        asyncio.run(scenario())
