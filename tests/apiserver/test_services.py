"""ClusterIPs and node ports: handed out once, kept on updates, given back."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from navarch.storage.sqlite import SQLiteBackend
from tests.apiserver.bench import Bench, bench
from tests.apiserver.samples import sample

CIDR = ipaddress.ip_network("10.96.0.0/16")


def service(name: str, **spec: Any) -> Object:
    made = sample(resource("services"), name)
    return {**made, "spec": {**made["spec"], **spec}}


@pytest.fixture
def fresh(api: Bench) -> Iterator[Bench]:
    """The server; every Service goes afterwards."""
    yield api
    api.call("DELETE", "/api/v1/namespaces/default/services")


def test_defaults_make_a_cluster_ip_service(fresh: Bench) -> None:
    made = fresh.made("services", service("plain"))
    spec = made["spec"]
    assert ipaddress.ip_address(spec["clusterIP"]) in CIDR
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert {key: spec[key] for key in ("type", "sessionAffinity", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")} == {
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert made["status"] == {"loadBalancer": {}}


def test_every_service_has_an_address_of_its_own(fresh: Bench) -> None:
    async def make() -> list[Object]:
        return await asyncio.gather(*(fresh.client.create("services", service(f"s{i}")) for i in range(100)))

    made = fresh.run(make())
    assert len({item["spec"]["clusterIP"] for item in made}) == 100


def test_an_address_asked_for_is_given_once(fresh: Bench) -> None:
    assert fresh.made("services", service("mine", clusterIP="10.96.0.10"))["spec"]["clusterIPs"] == ["10.96.0.10"]
    taken = fresh.post("services", service("yours", clusterIP="10.96.0.10"))
    assert (taken.status, taken.reason) == (422, "Invalid")
    assert "provided IP is already allocated" in taken.message
    fresh.delete("services", "mine")
    assert fresh.post("services", service("yours", clusterIP="10.96.0.10")).status == 201


@pytest.mark.parametrize(
    "spec",
    [
        {"clusterIP": "192.0.2.1"},
        {"clusterIP": "x"},
        {"clusterIP": "fd00::1"},
        {"clusterIP": "None", "type": "NodePort"},
        {"clusterIPs": ["10.96.0.77"], "clusterIP": "10.96.0.78"},
        {"clusterIPs": ["nonsense"]},
        {"clusterIPs": ["10.96.0.77", "10.96.0.79"]},
        {"type": "Nonsense"},
        {"type": "ExternalName"},
        {"type": "ExternalName", "externalName": "-"},
        {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
        {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30080}]},
        {"ports": []},
        {"ports": [{"port": 0}]},
        {"ports": [{"port": 80}, {"port": 81}]},
        {"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]},
        {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]},
        {"ports": [{"port": 80, "protocol": "X"}]},
        {"ports": [{"port": 80, "targetPort": "UPPER"}]},
        {"ports": [{"port": 80, "targetPort": 99999}]},
        {"ports": [{}]},
        {"ports": [None]},
        {"sessionAffinity": "Maybe"},
        {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}},
        {"ipFamilies": ["IPv6"]},
        {"ipFamilies": ["IPX"]},
        {"ipFamilyPolicy": "RequireDualStack"},
        {"ipFamilyPolicy": "Some"},
        {"selector": {"a b": "c"}},
        {"externalIPs": ["x"]},
        {"internalTrafficPolicy": "Nowhere"},
        {"externalTrafficPolicy": "Local"},
    ],
)
def test_services_that_make_no_sense_are_refused(fresh: Bench, spec: Object) -> None:
    refused = fresh.post("services", service("refused", **spec))
    assert (refused.status, refused.reason) == (422, "Invalid"), refused.body
    assert refused.causes and fresh.get("services", "refused").status == 404


def test_headless_and_external_services_have_no_address(fresh: Bench) -> None:
    assert fresh.made("services", service("headless", clusterIP="None"))["spec"]["clusterIPs"] == ["None"]
    external = fresh.made("services", service("external", type="ExternalName", externalName="example.com"))
    assert "clusterIP" not in external["spec"] and "internalTrafficPolicy" not in external["spec"]


def test_a_service_that_is_put_is_made(fresh: Bench) -> None:
    made = fresh.put("services", service("put", type="NodePort"))
    assert made.status == 201 and made.json["spec"]["clusterIP"] and made.json["spec"]["ports"][0]["nodePort"]


def test_a_headless_service_stays_headless(fresh: Bench) -> None:
    fresh.made("services", service("headless", clusterIP="None"))
    kept = fresh.put("services", service("headless", selector={"a": "b"}))
    assert (kept.status, kept.json["spec"]["clusterIPs"]) == (200, ["None"])
    other = fresh.patch("services", "headless", {"spec": {"type": "ExternalName", "externalName": "a.example"}})
    assert other.status == 200 and "clusterIPs" not in other.json["spec"]


def test_a_node_port_is_one_services_for_all_protocols(fresh: Bench) -> None:
    asked = service("a", type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    assert fresh.made("services", asked)["spec"]["ports"][0]["nodePort"] == 30080
    taken = fresh.post("services", {**asked, "metadata": {"name": "b", "namespace": "default"}})
    assert taken.status == 422 and "provided port is already allocated" in taken.message
    assert taken.causes == [("FieldValueInvalid", "spec.ports[0].nodePort")]
    udp = service("c", type="NodePort", ports=[{"port": 80, "nodePort": 30080, "protocol": "UDP"}])
    assert fresh.post("services", udp).message == taken.message.replace('"b"', '"c"')
    free = fresh.made("services", service("d", type="NodePort"))["spec"]["ports"][0]["nodePort"]
    assert 30000 <= free <= 32767 and free != 30080


def test_updates_keep_what_was_handed_out(fresh: Bench) -> None:
    made = fresh.made("services", service("kept", type="NodePort"))
    spec = made["spec"]
    bare = service("kept", type="NodePort", ports=[{"port": 80, "targetPort": 8080}])
    updated = fresh.put("services", bare).json["spec"]
    assert updated["clusterIP"] == spec["clusterIP"]
    assert updated["ports"][0]["nodePort"] == spec["ports"][0]["nodePort"] and updated["ports"][0]["targetPort"] == 8080
    moved = fresh.patch("services", "kept", {"spec": {"clusterIP": "10.96.200.200", "clusterIPs": ["10.96.200.200"]}})
    assert moved.status == 422 and "may not change once set" in moved.message


def test_a_service_may_change_its_type_and_gives_back_what_it_no_longer_has(fresh: Bench) -> None:
    made = fresh.made("services", service("turning", type="NodePort"))
    number, address = made["spec"]["ports"][0]["nodePort"], made["spec"]["clusterIP"]
    plain = fresh.patch("services", "turning", {"spec": {"type": "ClusterIP"}})
    assert plain.status == 200 and "nodePort" not in plain.json["spec"]["ports"][0]
    assert plain.json["spec"]["clusterIP"] == address
    again = service("takes", type="NodePort", ports=[{"port": 80, "nodePort": number}])
    assert fresh.post("services", again).status == 201
    external = {"type": "ExternalName", "externalName": "example.com", "clusterIP": "", "clusterIPs": None, "ports": None}
    gone = fresh.patch("services", "turning", {"spec": external})
    assert gone.status == 200 and not gone.json["spec"].get("clusterIP")
    assert fresh.post("services", service("reuses", clusterIP=address)).status == 201


def test_refused_and_dry_services_hold_nothing(fresh: Bench) -> None:
    dry = service("dry", clusterIP="10.96.3.3", type="NodePort", ports=[{"port": 80, "nodePort": 30333}])
    assert fresh.post("services", dry, dryRun="All").status == 201
    assert fresh.post("services", dry).status == 201
    again = service("again", clusterIP="10.96.4.4", ports=[{"port": 80, "nodePort": 30333}], type="NodePort")
    assert fresh.post("services", again).status == 422
    again["spec"]["ports"][0]["nodePort"] = 30334
    assert fresh.post("services", again).status == 201


def test_two_ports_of_one_service_get_two_numbers(fresh: Bench) -> None:
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}, {"name": "c", "port": 80, "protocol": "UDP"}]
    made = fresh.made("services", service("many", type="NodePort", ports=ports))["spec"]["ports"]
    assert made[0]["nodePort"] != made[1]["nodePort"]
    assert made[2]["nodePort"] == made[0]["nodePort"]
    asked = [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP", "nodePort": 30053}]
    made = fresh.made("services", service("dns", type="NodePort", ports=asked))["spec"]["ports"]
    assert [port["nodePort"] for port in made] == [30053, 30053]


def test_ports_keep_their_node_ports_by_name(fresh: Bench) -> None:
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
    made = fresh.made("services", service("named", type="NodePort", ports=ports))["spec"]["ports"]
    numbers = [port["nodePort"] for port in made]
    renumbered = [{"name": "b", "port": 91}, {"name": "a", "port": 90, "protocol": "UDP"}]
    kept = fresh.put("services", service("named", type="NodePort", ports=renumbered)).json["spec"]["ports"]
    assert [port["nodePort"] for port in kept] == [numbers[1], numbers[0]]
    swapped = [{"name": "a", "port": 80, "nodePort": numbers[1]}, {"name": "b", "port": 81}]
    fresh_one = fresh.put("services", service("named", type="NodePort", ports=swapped)).json["spec"]["ports"]
    assert fresh_one[0]["nodePort"] == numbers[1] and fresh_one[1]["nodePort"] not in (0, numbers[1])


def test_a_balancer_without_node_ports_has_those_that_it_asks_for(fresh: Bench) -> None:
    ports = [{"name": "a", "port": 80, "nodePort": 30555}, {"name": "b", "port": 81}]
    balancer = service("bare", type="LoadBalancer", allocateLoadBalancerNodePorts=False, ports=ports)
    made = fresh.made("services", balancer)["spec"]["ports"]
    assert made[0]["nodePort"] == 30555 and "nodePort" not in made[1]
    taken = fresh.post("services", service("other", type="NodePort", ports=[{"port": 80, "nodePort": 30555}]))
    assert (taken.status, taken.causes) == (422, [("FieldValueInvalid", "spec.ports[0].nodePort")])


def balancer(name: str, **spec: Any) -> Object:
    return service(name, type="LoadBalancer", externalTrafficPolicy="Local", **spec)


def health(made: Any) -> int:
    return int(made["spec"].get("healthCheckNodePort", 0))


def test_local_balancers_have_a_port_for_health_checks(fresh: Bench) -> None:
    made = fresh.made("services", balancer("local"))
    number = health(made)
    assert number in range(30000, 32768) and number != made["spec"]["ports"][0]["nodePort"]
    kept = fresh.put("services", balancer("local", selector={"app": "other"}))
    assert (kept.status, health(kept.json)) == (200, number)
    moved = fresh.patch("services", "local", {"spec": {"healthCheckNodePort": 30001}})
    assert moved.message.endswith("spec.healthCheckNodePort: Forbidden: field is immutable")
    wanted = service("x", type="NodePort", ports=[{"port": 80, "nodePort": number}])
    assert "provided port is already allocated" in fresh.post("services", wanted).message
    assert health(fresh.made("services", service("cluster", type="LoadBalancer"))) == 0


def test_a_health_port_asked_for_is_given_once(fresh: Bench) -> None:
    assert health(fresh.made("services", balancer("asks", healthCheckNodePort=31999))) == 31999
    for number, why in (
        (31999, "provided port is already allocated"),
        (8080, "provided port is not in the valid range. The range of valid ports is 30000-32767"),
    ):
        refused = fresh.post("services", balancer("asks-too", healthCheckNodePort=number))
        told = f"Internal error occurred: failed to allocate requested HealthCheck NodePort {number}: {why}"
        assert (refused.status, refused.reason, refused.message) == (500, "InternalError", told)
    own = balancer("same", healthCheckNodePort=30777, ports=[{"port": 80, "nodePort": 30777}])
    assert fresh.post("services", own).status == 500


def test_a_health_port_comes_and_goes_with_the_policy(fresh: Bench) -> None:
    assert health(fresh.made("services", service("turns", type="LoadBalancer"))) == 0
    local = fresh.patch("services", "turns", {"spec": {"externalTrafficPolicy": "Local"}})
    number = health(local.json)
    assert local.status == 200 and number
    assert health(fresh.patch("services", "turns", {"spec": {"externalTrafficPolicy": "Cluster"}}).json) == 0
    again = service("takes-it", type="NodePort", ports=[{"port": 80, "nodePort": number}])
    assert fresh.post("services", again).status == 201
    fresh.made("services", balancer("goes", healthCheckNodePort=31888))
    fresh.delete("services", "goes")
    assert health(fresh.made("services", balancer("comes", healthCheckNodePort=31888))) == 31888
    plain = fresh.patch("services", "comes", {"spec": {"type": "ClusterIP"}})
    assert plain.status == 200 and health(plain.json) == 0, plain.body


def test_dynamic_node_ports_leave_the_first_ones_alone(fresh: Bench) -> None:
    ports = [{"name": f"p{number}", "port": number} for number in range(1, 101)]
    made = fresh.made("services", service("hundred", type="NodePort", ports=ports))["spec"]["ports"]
    assert min(port["nodePort"] for port in made) >= 30086 and len({port["nodePort"] for port in made}) == 100


def test_what_is_in_use_is_known_after_a_restart(tmp_path: Path) -> None:
    for attempt in range(2):
        with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
            if attempt == 0:
                api.made("services", service("old", clusterIP="10.96.7.7"))
                api.made("services", balancer("checked", healthCheckNodePort=31777))
            else:
                assert api.post("services", balancer("late", healthCheckNodePort=31777)).status == 500
                assert api.post("services", service("new", clusterIP="10.96.7.7")).status == 422
