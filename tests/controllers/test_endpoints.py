"""Endpoints and EndpointSlices: who stands behind a Service, in which state, under which ports."""

from __future__ import annotations

import asyncio
from typing import Any

from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.controllers import clusterdns, endpoints, endpointslice, triggertimes
from tests.controllers.world import node, on_bench


def service(name: str = "web", **spec: Any) -> Object:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}], **spec}
    metadata = {"name": name, "namespace": "default", "uid": "service", "labels": {"team": "a"}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def pod(number: int, *, ready: bool = True, phase: str = "Running", deleted: bool = False, **spec: Any) -> Object:
    metadata: Object = {"name": f"p{number}", "namespace": "default", "uid": f"u{number}", "labels": {"app": "web"}}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    ip = f"10.244.0.{number}"
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}, {"ip": f"fd00::{number}"}], "conditions": conditions}
    return {"metadata": metadata, "spec": {"nodeName": "n", **spec}, "status": status}


def only_slice(owner: Object, *pods: Object) -> Object:
    todo = endpointslice.plan(owner, pods, {"n": "z"}, [])
    assert (todo.update, todo.delete, len(todo.create)) == ([], [], 1)
    return todo.create[0]


def test_a_ready_pod_is_an_endpoint_with_its_node_zone_and_target() -> None:
    made = only_slice(service(), pod(1))
    assert made["endpoints"] == [
        {
            "addresses": ["10.244.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "p1", "uid": "u1"},
            "nodeName": "n",
            "zone": "z",
        }
    ]
    assert made["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    assert made["metadata"]["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }


def test_conditions_tell_ready_serving_and_terminating_apart() -> None:
    made = only_slice(service(), pod(1, ready=False), pod(2, deleted=True), pod(3, ready=False, deleted=True))
    states = [tuple(item["conditions"].values()) for item in made["endpoints"]]
    assert states == [(False, False, False), (False, True, True), (False, False, True)]


def test_publish_not_ready_addresses_makes_all_ready() -> None:
    made = only_slice(service(publishNotReadyAddresses=True), pod(1, ready=False))
    assert made["endpoints"][0]["conditions"] == {"ready": True, "serving": False, "terminating": False}


def test_finished_pods_pods_without_address_and_other_pods_are_left_out() -> None:
    other = meta.set_path(pod(3), {"app": "other"}, "metadata", "labels")
    homeless = {**pod(2), "status": {"phase": "Pending"}}
    assert only_slice(service(), pod(1, phase="Succeeded"), homeless, other)["endpoints"] == []


def test_pods_of_headless_services_have_host_names() -> None:
    made = only_slice(service(clusterIP="None"), pod(1, hostname="db-0", subdomain="web"), pod(2, hostname="x", subdomain="y"))
    assert made["endpoints"][0]["hostname"] == "db-0"
    assert "hostname" not in made["endpoints"][1]
    assert made["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


def test_named_ports_are_looked_up_in_each_pod() -> None:
    def with_port(number: int, port: int) -> Object:
        return pod(number, containers=[{"ports": [{"name": "http", "containerPort": port}]}])

    owner = service(ports=[{"name": "web", "port": 80, "targetPort": "http"}])
    todo = endpointslice.plan(owner, [with_port(1, 8080), with_port(2, 8080), with_port(3, 9090)], {}, [])
    assert sorted((item["ports"][0]["port"], len(item["endpoints"])) for item in todo.create) == [(8080, 2), (9090, 1)]


def test_dual_stack_services_have_slices_of_both_families() -> None:
    todo = endpointslice.plan(service(ipFamilies=["IPv4", "IPv6"]), [pod(1)], {}, [])
    assert {item["addressType"]: item["endpoints"][0]["addresses"] for item in todo.create} == {
        "IPv4": ["10.244.0.1"],
        "IPv6": ["fd00::1"],
    }


def _named(slices: list[Object]) -> list[Object]:
    return [meta.set_path(item, f"slice-{number}", "metadata", "name") for number, item in enumerate(slices)]


def test_a_slice_holds_a_hundred_and_one_change_writes_one_slice() -> None:
    pods = [pod(number) for number in range(1, 251)]
    present = _named(endpointslice.plan(service(), pods, {}, []).create)
    assert [len(item["endpoints"]) for item in present] == [100, 100, 50]
    assert endpointslice.plan(service(), pods, {}, present) == endpointslice.Plan()
    pods[0] = pod(1, ready=False)
    todo = endpointslice.plan(service(), pods, {}, present)
    assert (len(todo.update), todo.create, todo.delete) == (1, [], [])
    todo = endpointslice.plan(service(), [*pods, pod(251)], {}, present)
    assert (len(todo.update), todo.create) == (2, [])
    assert sum(len(item["endpoints"]) for item in todo.update) == 151
    full = _named(endpointslice.plan(service(), [pod(number) for number in range(1, 151)], {}, []).create)
    more = [pod(number) for number in range(1, 211)]
    todo = endpointslice.plan(service(), more, {}, full)
    assert [len(item["endpoints"]) for item in todo.create + todo.update] == [60]  # All in one place, if that is a new one.


def test_without_pods_one_empty_slice_stays() -> None:
    present = _named(endpointslice.plan(service(), [pod(1)], {}, []).create)
    todo = endpointslice.plan(service(), [], {}, present)
    assert (todo.create, todo.delete) == ([], [])
    (empty,) = todo.update
    assert (empty["metadata"]["name"], empty["endpoints"], empty["ports"]) == ("slice-0", [], [])
    assert endpointslice.plan(service(), [], {}, _named([empty])) == endpointslice.Plan()


def test_slices_keep_their_names_when_ports_change() -> None:
    present = _named(endpointslice.plan(service(), [pod(1)], {}, []).create)
    moved = service(ports=[{"port": 80, "targetPort": 9090}])
    todo = endpointslice.plan(moved, [pod(1)], {}, present)
    assert (todo.create, todo.delete, len(todo.update)) == ([], [], 1)
    assert (todo.update[0]["metadata"]["name"], todo.update[0]["ports"][0]["port"]) == ("slice-0", 9090)


def test_what_is_written_says_when_that_happened_for_which_it_is() -> None:
    def changed(number: int, second: int) -> Object:
        found = pod(number)
        found["status"]["conditions"][0]["lastTransitionTime"] = f"2026-01-01T00:00:{second:02}Z"
        return found

    memory: dict[str, Any] = {}
    owner = meta.set_path(service(), "2026-01-01T00:00:01Z", "metadata", "creationTimestamp")
    assert triggertimes.compute(owner, [changed(1, 5)], memory) == "2026-01-01T00:00:01Z"
    assert triggertimes.compute(owner, [changed(1, 5), changed(2, 9), changed(3, 8)], memory) == "2026-01-01T00:00:08Z"
    assert triggertimes.compute(owner, [changed(1, 5)], memory) == ""
    noted = triggertimes.annotated(owner, "2026-01-01T00:00:08Z")
    assert meta.annotations(noted) == {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:08Z"}
    assert triggertimes.annotated(noted, "") == owner


def test_endpoints_and_slices_carry_the_time() -> None:
    async def main() -> None:
        async with on_bench(endpointslice.CONTROLLER, endpoints.CONTROLLER) as found:
            made = found.api.put(service())
            await found.until(lambda: found.api.all(endpointslice.SLICES) and found.api.all("endpoints"))
            for item in (*found.api.all(endpointslice.SLICES), *found.api.all("endpoints")):
                assert meta.annotations(item)[triggertimes.ANNOTATION] == made["metadata"]["creationTimestamp"]

    asyncio.run(main())


def test_endpoints_objects_list_ready_and_other_addresses() -> None:
    made = endpoints.desired(service(), [pod(1), pod(2, ready=False), pod(3, deleted=True)], None)
    (subset,) = made["subsets"]
    assert [item["ip"] for item in subset["addresses"]] == ["10.244.0.1"]
    assert [item["ip"] for item in subset["notReadyAddresses"]] == ["10.244.0.2"]
    assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert made["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"] == "endpoint-controller"


def test_it_is_told_of_endpoints_that_they_could_not_be_made() -> None:
    async def main() -> None:
        async with on_bench(endpoints.CONTROLLER) as found:

            def refuse(method: str, path: str, body: Any) -> Exception | None:
                is_creation = method == "POST" and path.endswith("/endpoints")
                return errors.forbidden("", "endpoints", "web", "no") if is_creation else None

            found.api.refuse = refuse
            found.api.put(service())
            (event, *_) = await found.until(lambda: found.api.all("events"))
            about = event["involvedObject"]
            assert (about["kind"], about["name"], about["namespace"]) == ("Endpoints", "web", "default")
            text = 'Failed to create endpoint for service default/web: endpoints "web" is forbidden: no'
            assert (event["reason"], event["message"]) == ("FailedToCreateEndpoint", text)

    asyncio.run(main())


def test_preferences_become_hints() -> None:
    made = only_slice(service(trafficDistribution="PreferSameNode"), pod(1))
    assert made["endpoints"][0]["hints"] == {"forZones": [{"name": "z"}], "forNodes": [{"name": "n"}]}


def test_cluster_dns_has_an_endpoint_on_every_ready_node() -> None:
    nodes = [node("a", address="10.0.0.1"), node("b", ready="False", address="10.0.0.2"), node("c", address="10.0.0.3")]
    (made,) = clusterdns.plan(service(), nodes, 10053)
    assert [(item["nodeName"], item["addresses"]) for item in made["endpoints"]] == [("a", ["10.0.0.1"]), ("c", ["10.0.0.3"])]
    assert [port["port"] for port in made["ports"]] == [10053, 10053]


def test_pods_of_nodes_that_nobody_knows_are_no_endpoints_until_there_is_the_node() -> None:
    async def main() -> None:
        async with on_bench(endpointslice.CONTROLLER) as found:
            found.api.put(node("n"))
            found.api.put(service())
            for number, where in ((1, "n"), (2, "late")):
                found.api.put({"apiVersion": "v1", "kind": "Pod", **pod(number, nodeName=where)})

            def addresses() -> list[str]:
                slices = found.api.all(endpointslice.SLICES)
                return sorted(address for item in slices for each in item["endpoints"] for address in each["addresses"])

            text = "Error updating Endpoint Slices for Service default/web: "
            text += "skipping Pod p2 for Service default/web: Node late Not Found"
            await found.until(lambda: any(event["message"] == text for event in found.api.all("events")))
            assert addresses() == ["10.244.0.1"]
            found.api.put(node("late"))
            await found.until(lambda: addresses() == ["10.244.0.1", "10.244.0.2"])

    asyncio.run(main())
    published = service(publishNotReadyAddresses=True)
    assert endpointslice.on_missing_nodes(published, [pod(1)], []) == {}
    assert endpointslice.on_missing_nodes(service(), [pod(1, phase="Failed"), pod(2)], ["n"]) == {}
