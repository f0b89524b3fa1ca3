"""Webhooks of a simulated cluster: what they answer, and what becomes of requests where they do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from navarch.apimachinery.errors import StatusError
from navarch.simulation import runner, scenario
from navarch.testing import Cluster

PREFIX = "simulation.navarch.local/"
POLICY = "https://policy.example/review"


def configuration(kind: str = "Validating", *, url: str = POLICY, service: str = "", **said: Any) -> dict[str, Any]:
    annotations = {f"{PREFIX}{key.replace('_', '-')}": value for key, value in said.pop("annotations", {}).items()}
    client = {"service": {"name": service, "namespace": "default", "path": "/review"}} if service else {"url": url}
    hook = {
        "name": "maps.policy.example",
        "clientConfig": client,
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        **said,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": "policy", "annotations": annotations},
        "webhooks": [hook],
    }


CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=1) as found:
        yield found


def seconds_of(cluster: Cluster, do: Callable[[], object]) -> float:
    began = cluster.now
    do()
    return (cluster.now - began).total_seconds()


def test_a_webhook_answers_what_its_configuration_says(cluster: Cluster) -> None:
    cluster.apply(configuration())
    cluster.create(CONFIG_MAP)
    cluster.delete("configmap/a")
    cluster.apply(configuration(annotations={"deny": "not on a Friday", "answer_seconds": "2"}))

    def refused() -> None:
        with pytest.raises(StatusError, match=r'admission webhook "maps.policy.example" denied the request: not on a Friday'):
            cluster.create(CONFIG_MAP)

    assert seconds_of(cluster, refused) == pytest.approx(2.0)
    # What is said of another webhook is not said of this one.
    cluster.apply(configuration(annotations={"deny.other.policy.example": "no"}))
    cluster.create(CONFIG_MAP)
    cluster.apply(configuration(annotations={"dney": "no"}))
    with pytest.raises(StatusError, match="dney: unknown; there are answer-seconds, deny, patch"):
        cluster.create({**CONFIG_MAP, "metadata": {"name": "b"}})


def test_one_that_may_change_objects_patches_them(cluster: Cluster) -> None:
    patch = json.dumps([{"op": "add", "path": "/data", "value": {"by": "policy"}}])
    cluster.apply(configuration("Mutating", annotations={"patch": patch}))
    assert cluster.create(CONFIG_MAP)["data"] == {"by": "policy"}


def test_a_webhook_that_hangs_costs_its_time_and_its_failure_policy_decides(cluster: Cluster) -> None:
    cluster.apply(configuration(timeoutSeconds=7, failurePolicy="Fail"))

    def failed() -> None:
        with pytest.raises(StatusError) as caught:
            cluster.create(CONFIG_MAP)
        assert caught.value.code == 500
        assert caught.value.message == (
            'Internal error occurred: failed calling webhook "maps.policy.example": failed to call webhook: '
            f'Post "{POLICY}?timeout=7s": context deadline exceeded'
        )

    fault = cluster.do("fail-webhooks", webhook="*.policy.example")
    assert fault is not None
    with fault:
        assert seconds_of(cluster, failed) == pytest.approx(7.0)
        cluster.apply(configuration(timeoutSeconds=7, failurePolicy="Ignore"))
        assert seconds_of(cluster, lambda: cluster.create(CONFIG_MAP)) == pytest.approx(7.0)
    assert seconds_of(cluster, lambda: cluster.create({**CONFIG_MAP, "metadata": {"name": "b"}})) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("said", "seconds", "message"),
    [
        ({"how": "delay", "by": "3s"}, 3.0, ""),
        ({"how": "delay", "by": "11s"}, 10.0, "context deadline exceeded"),
        ({"how": "refuse"}, 0.0, "connect: connection refused"),
        ({"how": "error"}, 0.0, "an error on the server"),
        ({"how": "refuse", "webhook": "other.example"}, 0.0, ""),
        ({"how": "refuse", "share": 0.0}, 0.0, ""),
    ],
)
def test_the_ways_to_fail(cluster: Cluster, said: dict[str, Any], seconds: float, message: str) -> None:
    cluster.apply(configuration())

    def create() -> None:
        if not message:
            cluster.create(CONFIG_MAP)
            return
        with pytest.raises(StatusError, match=message):
            cluster.create(CONFIG_MAP)

    cluster.do("fail-webhooks", **said)
    assert seconds_of(cluster, create) == pytest.approx(seconds)


def test_one_behind_a_service_is_as_well_as_its_pod(cluster: Cluster) -> None:
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "policy"},
            "spec": {"selector": {"app": "policy"}, "ports": [{"port": 443, "targetPort": 8443}]},
        }
    )
    cluster.apply(configuration(service="policy"))
    with pytest.raises(StatusError, match='no endpoints available for service "policy"'):
        cluster.create(CONFIG_MAP)
    pod = {"containers": [{"name": "main", "image": "registry.example/policy:1"}]}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"app": "policy"}}, "spec": pod})
    cluster.wait("pod/p", "Ready")
    cluster.wait("endpoints/policy", lambda found: found.get("subsets"))
    cluster.create(CONFIG_MAP)
    cluster.nodes["node-1"].cut()
    with pytest.raises(StatusError, match=r"https://policy.default.svc:443/review\?timeout=10s.: context deadline exceeded"):
        cluster.create({**CONFIG_MAP, "metadata": {"name": "b"}})
    cluster.nodes["node-1"].heal()
    cluster.create({**CONFIG_MAP, "metadata": {"name": "b"}})


def test_versions_of_custom_resources_are_converted(cluster: Cluster) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [{"name": name, "served": True, "storage": name == "v1", "schema": schema} for name in ("v1", "v2")]
    webhook = {"clientConfig": {"url": "https://convert.example/"}, "conversionReviewVersions": ["v1"]}
    cluster.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com",
                "scope": "Namespaced",
                "names": {"plural": "widgets", "kind": "Widget"},
                "versions": versions,
                "conversion": {"strategy": "Webhook", "webhook": webhook},
            },
        }
    )
    cluster.wait("crd/widgets.example.com", "Established")
    cluster.create({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "size": 3})
    made = cluster.create({"apiVersion": "example.com/v2", "kind": "Widget", "metadata": {"name": "b"}, "size": 4})
    assert (made["apiVersion"], made["size"]) == ("example.com/v2", 4)


SCENARIO = """
for: 5m
objects:
- {configuration}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {{name: web}}
  spec:
    replicas: 3
    selector: {{matchLabels: {{app: web}}}}
    template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: main, image: "registry.example/web:1"}}]}}}}
timeline:
- {{at: 1m, do: fail-webhooks, for: 1m}}
- {{at: 61s, do: scale, object: deployment/web, replicas: 5}}
chaos: {{per-hour: 60, until: 4m, faults: [fail-webhooks]}}
expect:
- {{pods: app=web, ready: 3, at: 50s}}
- {{pods: app=web, count: 3, at: 61s, until: 119s}}
- {{pods: app=web, ready: 5}}
"""


def test_a_scenario_fails_them_for_a_while() -> None:
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    text = SCENARIO.format(configuration=json.dumps(configuration(rules=rules, timeoutSeconds=5)))
    found = scenario.parse(text.replace("chaos:", "#chaos:"))
    record = runner.run(found, runner.Options())
    assert record.failures == []
    drawn = scenario.parse(text).draw(3)
    again = scenario.parse(scenario.write(found, drawn))
    assert [step.action for step in again.draw(0)] == [step.action for step in drawn]
