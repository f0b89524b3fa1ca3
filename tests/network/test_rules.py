from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery.errors import Object
from navarch.network import rules
from navarch.network.rules import (
    CLUSTER_IPS,
    DROP,
    ENDPOINTS,
    EVERYWHERE_PLACES,
    HAIRPINS,
    NODE_PORT_ENDPOINTS,
    NODE_PORTS,
    PLACES,
    REFUSE,
    SERVICE_IPS,
    UNSERVED_IPS,
    UNSERVED_PORTS,
    Flow,
    Node,
    Plan,
    is_stale,
    number,
    place,
)
from tests.network.laboratory import CLUSTER_CIDR, endpoint, endpoint_slice, service

HERE = Node("n1", CLUSTER_CIDR)
WEB = "10.96.0.20 . tcp . 80"


def planned(svc: Object, *endpoints: Object, previous: Plan | None = None, node: Node = HERE) -> Plan:
    return rules.plan(svc, [endpoint_slice(*endpoints)], node, previous)


def targets(plan: Plan, name: str = ENDPOINTS, first: int = PLACES) -> list[str]:
    """Endpoints in the order of their places."""
    found = {}
    for (holder, key), value in plan.fragment.elements.items():
        place_number = int(key.rsplit(" . ", 1)[-1], 16) if holder == name else -1
        if first <= place_number < first + 0x10000:
            found[place_number] = value.split(" . ")[0]
    return [found[index] for index in sorted(found)]


def test_a_service_maps_its_address_to_a_chain_and_places_to_endpoints() -> None:
    plan = planned(service(), endpoint("10.244.0.2"), endpoint("10.244.1.2", "n2"))
    assert plan.fragment.elements == {
        (SERVICE_IPS, WEB): "goto cluster-ip-2",
        (ENDPOINTS, f"{WEB} . 0x6e000000"): "10.244.0.2 . 8080",
        (ENDPOINTS, f"{WEB} . 0x6e000001"): "10.244.1.2 . 8080",
    }
    assert plan.fragment.shared == {(CLUSTER_IPS, "10.96.0.20"), (HAIRPINS, "10.244.0.2 . 10.244.0.2")}
    assert list(plan.fragment.chains) == ["cluster-ip-2"]


@pytest.mark.parametrize(
    "svc",
    [
        service(ip="None"),
        service(ip=""),
        service(ip="fd00::1"),
        service(type="ExternalName"),
        service(labels={"service.kubernetes.io/service-proxy-name": "other"}),
    ],
)
def test_headless_external_ipv6_and_others_services_have_no_rules(svc: Object) -> None:
    assert planned(svc, endpoint("10.244.0.2")) == Plan()


def test_only_ready_endpoints_count() -> None:
    plan = planned(service(), endpoint("10.244.0.2"), endpoint("10.244.0.3", ready=False), endpoint("10.244.0.4", ready=None))
    assert targets(plan) == ["10.244.0.2", "10.244.0.4"]


def test_terminating_endpoints_serve_when_nobody_else_does() -> None:
    leaving = {"ready": False, "serving": True, "terminating": True}
    gone = endpoint("10.244.0.4", ready=False, serving=False, terminating=True)
    assert targets(planned(service(), endpoint("10.244.0.2", **leaving), gone)) == ["10.244.0.2"]
    assert targets(planned(service(), endpoint("10.244.0.2", **leaving), endpoint("10.244.0.3"))) == ["10.244.0.3"]


def test_no_endpoint_at_all_is_refused() -> None:
    plan = planned(service(type="NodePort", ports=[{"name": "http", "port": 80, "nodePort": 30080}]))
    assert plan.fragment.elements == {(UNSERVED_IPS, WEB): REFUSE, (UNSERVED_PORTS, "tcp . 30080"): REFUSE}


def test_internal_policy_local_counts_only_this_node_and_drops_without_any() -> None:
    svc = service(internalTrafficPolicy="Local")
    remote = endpoint("10.244.1.2", "n2")
    assert targets(planned(svc, endpoint("10.244.0.2"), remote)) == ["10.244.0.2"]
    assert planned(svc, remote).fragment.elements == {(UNSERVED_IPS, WEB): DROP}


def test_external_policy_local_keeps_two_lists() -> None:
    svc = service(type="NodePort", ports=[{"name": "http", "port": 80, "nodePort": 30080}], externalTrafficPolicy="Local")
    plan = planned(svc, endpoint("10.244.0.2"), endpoint("10.244.1.2", "n2"))
    assert targets(plan) == ["10.244.0.2", "10.244.1.2"]
    assert targets(plan, NODE_PORT_ENDPOINTS) == ["10.244.0.2"]
    assert targets(plan, NODE_PORT_ENDPOINTS, EVERYWHERE_PLACES) == ["10.244.0.2", "10.244.1.2"]
    assert plan.fragment.elements[NODE_PORTS, "tcp . 30080"] == "goto external-local-port-1-2"


def test_an_endpoint_in_two_slices_counts_once_and_the_ready_one_is_true() -> None:
    slices = [
        endpoint_slice(endpoint("10.244.0.2", ready=False), name="a"),
        endpoint_slice(endpoint("10.244.0.2"), name="b"),
    ]
    assert targets(rules.plan(service(), slices, HERE)) == ["10.244.0.2"]


def test_ports_of_a_slice_are_found_by_name_and_protocol() -> None:
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    behind = [{"name": "dns", "port": 10053, "protocol": "UDP"}, {"name": "dns-tcp", "port": 10054, "protocol": "TCP"}]
    plan = rules.plan(service(ports=ports), [endpoint_slice(endpoint("10.244.0.2"), ports=behind)], HERE)
    assert plan.fragment.elements[ENDPOINTS, "10.96.0.20 . udp . 53 . 0x6e000000"] == "10.244.0.2 . 10053"
    assert plan.fragment.elements[ENDPOINTS, "10.96.0.20 . tcp . 53 . 0x6e000000"] == "10.244.0.2 . 10054"


def test_hints_keep_connections_near_unless_an_endpoint_has_none() -> None:
    def hinted(ip: str, zone: str) -> Object:
        return endpoint(ip, hints={"forZones": [{"name": zone}]})

    node = Node("n1", CLUSTER_CIDR, zone="z1")
    near, far = hinted("10.244.0.2", "z1"), hinted("10.244.1.2", "z2")
    assert targets(planned(service(), near, far, node=node)) == ["10.244.0.2"]
    assert targets(planned(service(), near, far)) == ["10.244.0.2", "10.244.1.2"]
    assert targets(planned(service(), near, endpoint("10.244.1.2"), node=node)) == ["10.244.0.2", "10.244.1.2"]
    own = endpoint("10.244.0.2", hints={"forNodes": [{"name": "n1"}]})
    other = endpoint("10.244.0.3", hints={"forNodes": [{"name": "n2"}]})
    assert targets(planned(service(), own, other)) == ["10.244.0.2"]


def test_session_affinity_binds_clients_to_numbers_that_endpoints_keep() -> None:
    svc = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})
    first = planned(svc, endpoint("10.244.0.2"), endpoint("10.244.0.3"), endpoint("10.244.0.4"))
    assert list(first.fragment.chains) == ["cluster-ip-3-60"]
    second = planned(svc, endpoint("10.244.0.3"), endpoint("10.244.0.4"), endpoint("10.244.0.5"), previous=first)
    (numbers,) = second.numbers.values()
    assert numbers == {"10.244.0.3 . 8080": 1, "10.244.0.4 . 8080": 2, "10.244.0.5 . 8080": 0}


def test_one_endpoint_more_or_less_changes_few_elements() -> None:
    many = [endpoint(f"10.244.0.{n}") for n in range(2, 202)]
    before = planned(service(), *many)
    for left in (many[:50] + many[51:], [endpoint("10.244.0.1"), *many]):
        after = planned(service(), *left, previous=before)
        changed = set(before.fragment.elements.items()) ^ set(after.fragment.elements.items())
        assert len(changed) <= 5


@given(st.lists(st.sampled_from("abcdefgh"), unique=True), st.lists(st.sampled_from("abcdefgh"), unique=True))
def test_places_hold_exactly_the_wanted_and_keep_who_can_stay(previous: list[str], wanted: list[str]) -> None:
    found = place(previous, wanted)
    assert sorted(found) == sorted(wanted)
    for index, target in enumerate(previous[: len(found)]):
        if target in wanted:
            assert found[index] == target


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3)), st.sets(st.sampled_from("abcdef")))
def test_numbers_are_kept_and_the_lowest_free_are_given(previous: dict[str, int], wanted: set[str]) -> None:
    previous = {target: value for value, target in {value: target for target, value in previous.items()}.items()}
    found = number(previous, wanted)
    assert found.keys() == wanted
    assert len(set(found.values())) == len(found)
    assert all(found[target] == previous[target] for target in wanted & previous.keys())


UDP = [{"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}]
UDP_BEHIND = [{"name": "dns", "port": 5353, "protocol": "UDP"}]


def udp(*ips: str, **spec: Any) -> Plan:
    svc = service(ports=UDP, type="NodePort", **spec)
    return rules.plan(svc, [endpoint_slice(*map(endpoint, ips), ports=UDP_BEHIND)], HERE)


def test_udp_connections_to_an_endpoint_that_is_gone_are_stale() -> None:
    changed = rules.changed_datagrams(udp("10.244.0.2", "10.244.0.3"), udp("10.244.0.3"))
    nodes = frozenset({"10.89.0.11"})
    assert is_stale(Flow("10.96.0.20", 53, "10.244.0.2", 5353), changed, nodes)
    assert not is_stale(Flow("10.96.0.20", 53, "10.244.0.3", 5353), changed, nodes)
    assert is_stale(Flow("10.89.0.11", 30053, "10.244.0.2", 5353), changed, nodes)
    assert not is_stale(Flow("192.0.2.1", 30053, "10.244.0.2", 5353), changed, nodes)
    assert not is_stale(Flow("10.96.0.21", 53, "10.244.0.2", 5353), changed, nodes)


def test_udp_connections_from_before_there_was_an_endpoint_are_stale() -> None:
    changed = rules.changed_datagrams(udp(), udp("10.244.0.2"))
    assert is_stale(Flow("10.96.0.20", 53, "10.96.0.20", 53), changed, frozenset())
    assert rules.changed_datagrams(udp("10.244.0.2"), udp("10.244.0.2", "10.244.0.3")) == {}
    assert is_stale(Flow("10.96.0.20", 53, "10.244.0.2", 5353), rules.changed_datagrams(udp("10.244.0.2"), Plan()), frozenset())
