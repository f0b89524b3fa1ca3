"""ResourceQuota admission: what is charged for what, what is refused in which words, and that nobody ever gets too much."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.storage.backend import StorageError
from tests.api.tables import changed
from tests.apiserver.bench import Bench
from tests.apiserver.samples import pod, sample

SERIAL = iter(range(1000))


@pytest.fixture
def namespace(api: Bench) -> Iterator[str]:
    yield api.namespace(f"quota-{next(SERIAL)}")


def limit(api: Bench, namespace: str, hard: Object, name: str = "quota", used: Object | None = None, **spec: Any) -> None:
    """A quota that has been counted already."""
    body = {**sample(resource("resourcequotas"), name, namespace), "spec": {"hard": hard, **spec}}
    api.made("resourcequotas", body)
    status = {"hard": hard, "used": {**dict.fromkeys(hard, "0"), **(used or {})}}
    done = api.patch("resourcequotas", name, {"status": status}, namespace=namespace, subresource="status")
    assert done.status == 200, done.body


def used(api: Bench, namespace: str, name: str = "quota") -> Object:
    found: Object = api.get("resourcequotas", name, namespace=namespace).json["status"]["used"]
    return found


def container(requests: Object | None = None, limits: Object | None = None, name: str = "main") -> Object:
    resources = {"requests": requests or {}, "limits": limits or {}}
    return {"name": name, "image": "registry.example/app:1", "resources": resources}


def asking(name: str, namespace: str, requests: Object | None = None, limits: Object | None = None, **spec: Any) -> Object:
    return pod(name, namespace, containers=[container(requests, limits)], **spec)


def test_what_is_made_is_charged_and_refused_beyond_the_limit(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"pods": "2", "count/pods": "5", "requests.cpu": "1", "limits.memory": "1Gi"})
    api.made("pods", asking("one", namespace, {"cpu": "300m"}, {"memory": "256Mi"}))
    assert used(api, namespace) == {"pods": "1", "count/pods": "1", "requests.cpu": "300m", "limits.memory": "256Mi"}
    refused = api.post("pods", asking("two", namespace, {"cpu": "800m"}, {"memory": "1Gi"}))
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert refused.message == (
        'pods "two" is forbidden: exceeded quota: quota, requested: limits.memory=1Gi,requests.cpu=800m, '
        "used: limits.memory=256Mi,requests.cpu=300m, limited: limits.memory=1Gi,requests.cpu=1"
    )
    assert refused.json["details"] == {"name": "two", "kind": "pods"}
    api.made("pods", asking("two", namespace, {"cpu": "700m"}, {"memory": "768Mi"}))
    assert used(api, namespace) == {"pods": "2", "count/pods": "2", "requests.cpu": "1", "limits.memory": "1Gi"}
    full = api.post("pods", asking("three", namespace, {"cpu": "0"}, {"memory": "0"}))
    assert full.message == 'pods "three" is forbidden: exceeded quota: quota, requested: pods=1, used: pods=2, limited: pods=2'


def test_of_limited_compute_every_container_must_say_what_it_needs(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"cpu": "1", "limits.memory": "1Gi", "requests.ephemeral-storage": "1Gi"})
    vague = pod("vague", namespace, containers=[container(name="b"), container({"cpu": "1m"}, name="a")])
    assert api.post("pods", vague).message == (
        'pods "vague" is forbidden: failed quota: quota: must specify cpu for: b; limits.memory for: a,b'
    )


def test_what_is_not_counted_yet_lets_nothing_in(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"pods": "2", "configmaps": "2"})
    unknown = {"status": {"used": {"pods": None, "configmaps": None}}}
    api.patch("resourcequotas", "quota", unknown, namespace=namespace, subresource="status")
    assert api.post("pods", pod("early", namespace)).message == (
        'pods "early" is forbidden: status unknown for quota: quota, resources: pods'
    )
    assert api.post("secrets", sample(resource("secrets"), "free", namespace)).status == 201
    # A quota that no controller has looked at limits nothing.
    api.made("resourcequotas", sample(resource("resourcequotas"), "new", namespace))


def service(name: str, namespace: str, **spec: Any) -> Object:
    return changed(sample(resource("services"), name, namespace), {"spec": spec} if spec else {})


def claim(name: str, namespace: str, size: str = "1Gi", **spec: Any) -> Object:
    return changed(
        sample(resource("persistentvolumeclaims"), name, namespace),
        {"spec": {"resources": {"requests": {"storage": size}}, **spec}},
    )


DEVICE_CLAIMS, DEVICES = "resourceclaims.resource.k8s.io", "deviceclass.resource.k8s.io/devices"
PORTS = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
SERVICES = ("count/services", "services", "services.nodeports", "services.loadbalancers")
GOLD = "gold.storageclass.storage.k8s.io"
CLAIMS = ("persistentvolumeclaims", "requests.storage", f"{GOLD}/persistentvolumeclaims", f"{GOLD}/requests.storage")
PODS = ("pods", "cpu", "requests.cpu", "limits.cpu", "requests.example.com/gpu", "hugepages-2Mi", "requests.hugepages-2Mi")


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("configmaps", {}, {"configmaps": "1", "count/configmaps": "1", "secrets": "0"}),
        ("deployments.apps", {}, {"count/deployments.apps": "1", "count/replicasets.apps": "0"}),
        ("services", {}, dict(zip(SERVICES, ("1", "1", "0", "0"), strict=True))),
        ("services", {"spec": {"type": "NodePort", "ports": PORTS}}, dict(zip(SERVICES, ("1", "1", "2", "0"), strict=True))),
        ("services", {"spec": {"type": "LoadBalancer"}}, dict(zip(SERVICES, ("1", "1", "1", "1"), strict=True))),
        (
            "services",
            {"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}},
            dict(zip(SERVICES, ("1", "1", "0", "1"), strict=True)),
        ),
        (
            "persistentvolumeclaims",
            {"spec": {"storageClassName": "gold"}},
            dict(zip(CLAIMS, ("1", "1Gi", "1", "1Gi"), strict=True)),
        ),
        ("persistentvolumeclaims", {}, dict(zip(CLAIMS, ("1", "1Gi", "0", "0"), strict=True))),
        (
            "persistentvolumeclaims",
            {"spec": {"resources": {"requests": {"storage": "1500m"}}}},
            dict(zip(CLAIMS, ("1", "2", "0", "0"), strict=True)),
        ),
        (
            "pods",
            {"spec": {"containers": [container({"cpu": "1"}, {"cpu": "2", "example.com/gpu": "3", "hugepages-2Mi": "4Mi"})]}},
            dict(zip(PODS, ("1", "1", "1", "2", "3", "4Mi", "4Mi"), strict=True)),
        ),
        (
            "pods",
            {
                "spec": {
                    "containers": [container({"cpu": "1"}, {"cpu": "1"}), container({"cpu": "1"}, {"cpu": "1"}, "b")],
                    "initContainers": [
                        {**container({"cpu": "500m"}, {"cpu": "1"}, "side"), "restartPolicy": "Always"},
                        container({"cpu": "3"}, {"cpu": "4"}, "first"),
                    ],
                }
            },
            dict(zip(PODS, ("1", "3500m", "3500m", "5", "0", "0", "0"), strict=True)),
        ),
        (
            DEVICE_CLAIMS,
            {"spec": {"devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": "gpu", "count": 3}}]}}},
            {f"count/{DEVICE_CLAIMS}": "1", f"gpu.{DEVICES}": "3", f"nic.{DEVICES}": "0"},
        ),
    ],
)
def test_what_each_object_uses(api: Bench, namespace: str, name: str, body: Object, expected: Object) -> None:
    limit(api, namespace, dict.fromkeys(expected, "100Gi"))
    api.made(name, changed(sample(resource(name), "one", namespace), body))
    assert used(api, namespace) == expected


def test_devices_of_a_class_are_refused_beyond_the_limit(api: Bench, namespace: str) -> None:
    limit(api, namespace, {f"gpu.{DEVICES}": "4"})

    def asking_for(name: str, **exactly: Any) -> Object:
        requests = [{"name": "a", "exactly": {"deviceClassName": "gpu", **exactly}}]
        return {**sample(resource(DEVICE_CLAIMS), name, namespace), "spec": {"devices": {"requests": requests}}}

    api.made(DEVICE_CLAIMS, asking_for("one", count=3))
    assert api.post(DEVICE_CLAIMS, asking_for("two", allocationMode="All")).message == (
        'resourceclaims.resource.k8s.io "two" is forbidden: exceeded quota: quota, '
        f"requested: gpu.{DEVICES}=32, used: gpu.{DEVICES}=3, limited: gpu.{DEVICES}=4"
    )
    api.made(DEVICE_CLAIMS, asking_for("three"))
    assert used(api, namespace) == {f"gpu.{DEVICES}": "4"}
    # What is written to it later asks for no more.
    body = {"metadata": {"labels": {"seen": "yes"}}}
    assert api.patch(DEVICE_CLAIMS, "one", body, namespace=namespace).status == 200


def test_claims_count_as_the_resource_that_their_class_gives(api: Bench, namespace: str) -> None:
    resources = ("requests.example.com/quota-gpu", "requests.deviceclass.resource.kubernetes.io/quota-gpu")
    gpu = sample(resource("deviceclasses.resource.k8s.io"), "quota-gpu")
    api.made("deviceclasses.resource.k8s.io", changed(gpu, {"spec": {"extendedResourceName": "example.com/quota-gpu"}}))
    limit(api, namespace, dict.fromkeys(resources, "3"))

    def asking_for(name: str, count: int, **metadata: Any) -> Object:
        requests = [{"name": "a", "exactly": {"deviceClassName": "quota-gpu", "count": count}}]
        return {**sample(resource(DEVICE_CLAIMS), name, namespace, **metadata), "spec": {"devices": {"requests": requests}}}

    amount = {"example.com/quota-gpu": "2"}
    owner = api.made("pods", asking("web", namespace, amount, amount))
    assert used(api, namespace) == dict(zip(resources, ("2", "0"), strict=True))
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": owner["metadata"]["uid"], "controller": True}
    annotations = {"resource.kubernetes.io/extended-resource-claim": "true"}
    api.made(DEVICE_CLAIMS, asking_for("its", 2, ownerReferences=[reference], annotations=annotations))
    assert used(api, namespace) == dict.fromkeys(resources, "2")
    assert api.post(DEVICE_CLAIMS, asking_for("more", 2)).message == (
        'resourceclaims.resource.k8s.io "more" is forbidden: exceeded quota: quota, '
        + ", ".join(
            f"{what}: " + ",".join(f"{name}={amount}" for name in sorted(resources))
            for what, amount in (("requested", 2), ("used", 2), ("limited", 3))
        )
    )


def test_what_grows_is_charged_for_what_it_grows_by(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"services.nodeports": "3", "requests.storage": "3Gi", "services": "1"})
    made = api.made("services", service("web", namespace))
    wider = api.put("services", changed(made, {"spec": {"type": "NodePort", "ports": PORTS}}))
    assert wider.status == 200, wider.body
    assert used(api, namespace)["services.nodeports"] == "2"
    more = [*wider.json["spec"]["ports"], {"name": "c", "port": 82}, {"name": "d", "port": 83}]
    refused = api.put("services", changed(wider.json, {"spec": {"ports": more}}))
    assert refused.message == (
        'services "web" is forbidden: exceeded quota: quota, requested: services.nodeports=2, '
        "used: services.nodeports=2, limited: services.nodeports=3"
    )
    narrow = api.put("services", changed(wider.json, {"spec": {"type": "ClusterIP"}}))
    assert narrow.status == 200
    # What shrinks is given back by the controller, which sees what there is.
    assert used(api, namespace)["services.nodeports"] == "2"

    allowed = {**sample(resource("storageclasses.storage.k8s.io"), "slow"), "allowVolumeExpansion": True}
    api.made("storageclasses.storage.k8s.io", allowed)
    api.made("persistentvolumeclaims", claim("data", namespace))
    bound = api.patch(
        "persistentvolumeclaims", "data", {"status": {"phase": "Bound"}}, namespace=namespace, subresource="status"
    ).json
    sized = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    assert api.put("persistentvolumeclaims", changed(bound, sized)).status == 200
    assert used(api, namespace)["requests.storage"] == "3Gi"
    api.delete("storageclasses.storage.k8s.io", "slow")


SCOPED: list[tuple[Object, Object, bool]] = [
    ({"scopes": ["BestEffort"]}, {}, True),
    ({"scopes": ["NotBestEffort"]}, {}, False),
    ({"scopes": ["NotBestEffort"]}, {"containers": [container({"cpu": "1"})]}, True),
    ({"scopes": ["BestEffort"]}, {"containers": [container({"cpu": "1"})]}, False),
    ({"scopes": ["Terminating"]}, {"activeDeadlineSeconds": 5}, True),
    ({"scopes": ["NotTerminating"]}, {"activeDeadlineSeconds": 5}, False),
    ({"scopes": ["Terminating", "BestEffort"]}, {}, False),
    ({"scopes": ["PriorityClass"]}, {"priorityClassName": "quota-high"}, True),
    ({"scopes": ["PriorityClass"]}, {}, False),
    *(
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", **expression}]}}, spec, expected)
        for expression, spec, expected in (
            ({"operator": "In", "values": ["quota-high"]}, {"priorityClassName": "quota-high"}, True),
            ({"operator": "In", "values": ["quota-low"]}, {"priorityClassName": "quota-high"}, False),
            ({"operator": "In", "values": ["quota-high"]}, {}, False),
            ({"operator": "NotIn", "values": ["quota-high"]}, {}, True),
            ({"operator": "NotIn", "values": ["quota-high"]}, {"priorityClassName": "quota-high"}, False),
            ({"operator": "DoesNotExist"}, {}, True),
            ({"operator": "Exists"}, {"priorityClassName": "quota-high"}, True),
        )
    ),
    ({"scopes": ["CrossNamespacePodAffinity"]}, {}, False),
    *(
        (
            {"scopes": ["CrossNamespacePodAffinity"]},
            {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a", **term}]}}},
            bool(term),
        )
        for kind, term in (
            ("podAffinity", {}),
            ("podAffinity", {"namespaces": ["other"]}),
            ("podAntiAffinity", {"namespaceSelector": {}}),
        )
    ),
]


@pytest.mark.parametrize(("scope", "spec", "counted"), SCOPED)
def test_scopes_choose_the_pods_that_count(api: Bench, namespace: str, scope: Object, spec: Object, counted: bool) -> None:
    if api.get("priorityclasses.scheduling.k8s.io", "quota-high").status == 404:
        api.made("priorityclasses.scheduling.k8s.io", sample(resource("priorityclasses.scheduling.k8s.io"), "quota-high"))
    limit(api, namespace, {"pods": "5"}, **scope)
    api.made("pods", pod("one", namespace, **spec))
    assert used(api, namespace)["pods"] == str(int(counted))


@pytest.mark.parametrize(
    ("scope", "name", "counted"),
    [
        ({"scopes": ["VolumeAttributesClass"]}, None, False),
        ({"scopes": ["VolumeAttributesClass"]}, "fast", True),
        *(
            ({"scopeSelector": {"matchExpressions": [{"scopeName": "VolumeAttributesClass", **expression}]}}, name, counted)
            for expression, name, counted in (
                ({"operator": "In", "values": ["fast"]}, "fast", True),
                ({"operator": "In", "values": ["fast"]}, "slow", False),
                ({"operator": "NotIn", "values": ["fast"]}, None, True),
                ({"operator": "DoesNotExist"}, None, True),
            )
        ),
    ],
)
def test_scopes_choose_the_claims_that_count(
    api: Bench, namespace: str, scope: Object, name: str | None, counted: bool
) -> None:
    limit(api, namespace, {"persistentvolumeclaims": "5"}, **scope)
    api.made("persistentvolumeclaims", claim("one", namespace, volumeAttributesClassName=name))
    assert used(api, namespace)["persistentvolumeclaims"] == str(int(counted))


def test_a_pod_that_gets_a_deadline_moves_between_scopes(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"pods": "1"}, "long", scopes=["NotTerminating"])
    limit(api, namespace, {"pods": "0"}, "short", scopes=["Terminating"])
    api.made("pods", pod("one", namespace))
    moved = {"spec": {"activeDeadlineSeconds": 60}}
    refused = api.patch("pods", "one", moved, namespace=namespace)
    assert refused.message == 'pods "one" is forbidden: exceeded quota: short, requested: pods=1, used: pods=0, limited: pods=0'


def test_nothing_is_charged_for_what_is_only_tried(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"pods": "1"})
    assert api.post("pods", pod("one", namespace), dryRun="All").status == 201
    assert used(api, namespace) == {"pods": "0"}
    limit(api, namespace, {"pods": "0"}, "none")
    assert api.post("pods", pod("one", namespace), dryRun="All").status == 403


def test_whoever_fails_to_store_gives_back(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"services": "5", "services.nodeports": "5"})
    limit(api, namespace, {"count/services": "5"}, "other")
    api.made("services", service("web", namespace, type="NodePort"))
    before = used(api, namespace), used(api, namespace, "other")
    assert before == ({"services": "1", "services.nodeports": "1"}, {"count/services": "1"})
    assert api.post("services", service("web", namespace, type="NodePort")).reason == "AlreadyExists"
    taken = api.get("services", "web", namespace=namespace).json["spec"]["clusterIP"]
    assert api.post("services", service("thief", namespace, type="NodePort", clusterIP=taken)).status == 422
    assert (used(api, namespace), used(api, namespace, "other")) == before


def test_a_store_that_fails_leaves_nothing_charged(api: Bench, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(api, namespace, {"configmaps": "5"})
    backend = api.store._backend
    append, key = backend.append, f"/registry/configmaps/{namespace}/one"

    def failing(rows: Any, reserved: int | None) -> None:
        if any(row.record.key == key for row in rows):
            raise StorageError("the disk is gone")
        append(rows, reserved)

    monkeypatch.setattr(backend, "append", failing)
    assert api.post("configmaps", sample(resource("configmaps"), "one", namespace)).status == 500
    assert used(api, namespace) == {"configmaps": "0"}


def test_of_many_who_want_the_last_pieces_as_many_get_one_as_there_are(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"pods": "7", "requests.cpu": "1"})
    limit(api, namespace, {"count/pods": "6"}, "tighter")
    client = Client(api.server.transport())

    async def make(number: int) -> str:
        # Some compete for a name besides: those who lose it must not keep what they were charged.
        body = asking(f"pod-{number % 20}", namespace, {"cpu": "100m"})
        try:
            await client.create("pods", body, namespace)
        except StatusError as error:
            return error.reason
        return "made"

    async def everybody() -> list[str]:
        return await asyncio.gather(*(make(number) for number in range(40)))

    outcome = Counter(api.run(everybody()))
    there = api.list("pods", namespace).json["items"]
    assert outcome["made"] == len(there) <= 6
    assert used(api, namespace) == {"pods": str(len(there)), "requests.cpu": f"{len(there) * 100}m"}
    assert used(api, namespace, "tighter") == {"count/pods": str(len(there))}
    for number in range(20, 20 + 6 - len(there)):
        api.made("pods", asking(f"pod-{number}", namespace, {"cpu": "100m"}))
    assert api.post("pods", asking("late", namespace, {"cpu": "100m"})).status == 403


def test_a_count_from_an_older_view_takes_back_no_charge(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"pods": "5", "requests.cpu": "1", "secrets": "5"})
    for name in ("one", "two"):
        api.made("pods", asking(name, namespace, {"cpu": "100m"}))
    stale = {"status": {"used": {"pods": "0", "requests.cpu": "0", "secrets": "0"}}}
    kept = api.patch("resourcequotas", "quota", stale, namespace=namespace, subresource="status").json
    assert kept["status"]["used"] == {"pods": "2", "requests.cpu": "200m", "secrets": "0"}
    api.delete("pods", "one", namespace=namespace)
    lower = api.patch("resourcequotas", "quota", stale, namespace=namespace, subresource="status").json
    assert lower["status"]["used"] == {"pods": "1", "requests.cpu": "100m", "secrets": "0"}


def test_events_reviews_and_what_has_no_namespace_are_free(api: Bench, namespace: str) -> None:
    limit(api, namespace, {"count/events": "0", "count/namespaces": "0", "count/bindings": "0"})
    event = sample(resource("events"), "one", namespace)
    event["involvedObject"]["namespace"] = namespace
    api.made("events", event)
    api.namespace(f"quota-{next(SERIAL)}")
