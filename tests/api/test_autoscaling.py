"""HorizontalPodAutoscalers: rules, defaults, columns, and that the v1 form loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.api import registry
from navarch.api.autoscaling import horizontalpodautoscaler as v2
from navarch.api.autoscaling import horizontalpodautoscalerv1 as v1
from navarch.apimachinery.errors import Object
from tests.api.rules import on_create, on_update
from tests.api.tables import cells, said
from tests.apiserver.bench import Bench, bench
from tests.apiserver.samples import sample

NAME = "horizontalpodautoscalers.autoscaling"
V1_PATH = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
PREFIX = "autoscaling.alpha.kubernetes.io/"
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
POLICY = {"type": "Pods", "value": 1, "periodSeconds": 10}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("api")) as found:
        yield found


def with_metrics(*metrics: Object, **spec: Any) -> Object:
    return {"spec": {"metrics": list(metrics), **spec}}


def resource(name: str = "cpu", **target: Any) -> Object:
    return {"type": "Resource", "resource": {"name": name, "target": target}}


def pods(**target: Any) -> Object:
    return {"type": "Pods", "pods": {"metric": {"name": "queries"}, "target": target}}


def described(target: Object, **reference: Any) -> Object:
    reference = {"kind": "Service", "name": "web", "apiVersion": "v1", **reference}
    return {"type": "Object", "object": {"describedObject": reference, "metric": {"name": "hits"}, "target": target}}


def external(**target: Any) -> Object:
    return {
        "type": "External",
        "external": {"metric": {"name": "jobs", "selector": {"matchLabels": {"q": "a"}}}, "target": target},
    }


def in_container(**fields: Any) -> Object:
    target = {"type": "Utilization", "averageUtilization": 50}
    return {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "main", "target": target, **fields}}


UTILIZATION = {"type": "Utilization", "averageUtilization": 50}
AVERAGE = {"type": "AverageValue", "averageValue": "10"}
SUPPORTED = 'supported values: "ContainerResource", "External", "Object", "Pods", "Resource"'
AT = "spec.metrics[0]"

INVALID: list[tuple[Object, list[str]]] = [
    ({"spec": {"minReplicas": 0}}, [
        "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
        "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
    ]),
    ({"spec": {"maxReplicas": 0}}, [
        "spec.maxReplicas: Required value: must be set and greater than 0",
        "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
    ]),
    ({"spec": {"maxReplicas": -1, "minReplicas": None}}, [
        "spec.maxReplicas: Invalid value: -1: must be greater than 0",
        "spec.maxReplicas: Invalid value: -1: must be greater than or equal to `minReplicas`",
    ]),
    ({"spec": {"minReplicas": 6}}, ["spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"]),
    ({"spec": {"scaleTargetRef": {"kind": "", "name": ""}}}, [
        "spec.scaleTargetRef.kind: Required value",
        "spec.scaleTargetRef.name: Required value",
    ]),
    ({"spec": {"scaleTargetRef": {"kind": "a/b", "name": ".."}}}, [
        "spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/'",
        "spec.scaleTargetRef.name: Invalid value: \"..\": may not be '..'",
    ]),
    ({"spec": {"scaleTargetRef": {"apiVersion": "v1"}}}, [
        'spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group',
    ]),
    ({"spec": {"scaleTargetRef": {"apiVersion": "a/b/c"}}}, [
        'spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
    ]),
    (with_metrics({"type": ""}), [
        f"{AT}.type: Required value: must specify a metric source type",
        f'{AT}.type: Unsupported value: "": {SUPPORTED}',
        f'{AT}.type: Unsupported value: "": {SUPPORTED}',
    ]),
    (with_metrics({"type": "Wind"}), [f'{AT}.type: Unsupported value: "Wind": {SUPPORTED}'] * 2),
    (with_metrics({"type": "Pods"}), [f"{AT}.pods: Required value: must populate information for the given metric source"]),
    (with_metrics({**resource(**UTILIZATION), "pods": {"metric": {"name": ""}}, "external": {}}), [
        f"{AT}.external.metric.name: Required value: must specify a metric name",
        f"{AT}.external.target.type: Required value: must specify a metric target type",
        f'{AT}.external.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
        f"{AT}.external.target.averageValue: Required value: must set either a target value for metric or a per-pod target",
        f"{AT}.external: Forbidden: must populate the given metric source only",
        f"{AT}.pods: Forbidden: must populate the given metric source only",
    ]),
    (with_metrics(resource("", type="Utilization")), [
        f"{AT}.resource.name: Required value: must specify a resource name",
        f"{AT}.resource.target.averageUtilization: Required value: "
        "must set either a target raw value or a target utilization",
    ]),
    (with_metrics(resource(type="Wind", averageUtilization=0, averageValue="-1", value="0")), [
        f'{AT}.resource.target.type: Invalid value: "Wind": must be either Utilization, Value, or AverageValue',
        f'{AT}.resource.target.value: Invalid value: "0": must be positive',
        f'{AT}.resource.target.averageValue: Invalid value: "-1": must be positive',
        f"{AT}.resource.target.averageUtilization: Invalid value: 0: must be greater than 0",
        f"{AT}.resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
    ]),
    (with_metrics(pods(type="AverageValue")), [
        f"{AT}.pods.target.averageValue: Required value: must specify a positive target averageValue",
    ]),
    (with_metrics(described({"type": "Value"}, apiVersion="a/b/c", name="")), [
        f"{AT}.object.describedObject.name: Required value",
        f'{AT}.object.describedObject.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
        f"{AT}.object.target.averageValue: Required value: must set either a target value or averageValue",
    ]),
    (with_metrics(external(type="Value", value="1", averageValue="1")), [
        f"{AT}.external.target.value: Forbidden: may not set both a target value for metric and a per-pod target",
    ]),
    (with_metrics(in_container(name="pods", container="A")), [
        f'{AT}.containerResource.name: Invalid value: "pods": must be a standard resource for containers',
        f'{AT}.containerResource.container: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case '
        "alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or "
        "'123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    ]),
    (with_metrics(in_container(name="", container="")), [
        f"{AT}.containerResource.container: Required value: must specify a container",
        f"{AT}.containerResource.name: Required value: must specify a resource name",
    ]),
    ({"spec": {"behavior": {"scaleUp": {"stabilizationWindowSeconds": -1, "selectPolicy": "Any", "tolerance": "-0.1"}}}}, [
        "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero",
        'spec.behavior.scaleUp.selectPolicy: Unsupported value: "Any": supported values: "Disabled", "Max", "Min"',
        'spec.behavior.scaleUp.tolerance: Invalid value: "-100m": must be greater or equal to zero',
    ]),
    ({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 3601, "policies": [
        {"type": "Any", "value": 0, "periodSeconds": 0}, {"type": "Pods", "value": 1, "periodSeconds": 1801}
    ]}}}}, [
        "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
        'spec.behavior.scaleDown.policies[0].type: Unsupported value: "Any": supported values: "Percent", "Pods"',
        "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
        "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 0: must be greater than zero",
        "spec.behavior.scaleDown.policies[1].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), INVALID)
def test_what_an_autoscaler_may_not_be(change: Object, expected: list[str]) -> None:
    assert on_create(NAME, change) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"scaleTargetRef": {"kind": "ReplicationController", "apiVersion": "v1"}}},
        with_metrics(resource(**UTILIZATION), pods(**AVERAGE), described(AVERAGE), external(type="Value", value="3")),
        with_metrics(in_container()),
        {"spec": {"behavior": {"scaleUp": {"policies": [POLICY], "selectPolicy": "Disabled", "tolerance": "0.05"}}}},
    ],
)
def test_what_an_autoscaler_may_be(change: Object) -> None:
    assert not on_create(NAME, change)


def test_what_was_accepted_once_stays_so() -> None:
    zero = with_metrics(external(type="Value", value="3"), minReplicas=0)
    assert not on_update(NAME, {"spec": {"maxReplicas": 7}}, zero)
    core = {"spec": {"scaleTargetRef": {"apiVersion": "v1"}}}
    assert not on_update(NAME, {"spec": {"scaleTargetRef": {"name": "other"}}}, core)
    assert on_update(NAME, {"spec": {"scaleTargetRef": {"kind": "Other"}}}, core) == [
        'spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group'
    ]
    assert not on_update(NAME, {"spec": {"maxReplicas": 7}}, with_metrics(described(AVERAGE, apiVersion="a/b/c")))


def test_status_counts_nothing_below_zero() -> None:
    status = {"status": {"currentReplicas": -1, "desiredReplicas": -2}}
    assert on_update(NAME, status, subresource="status") == [
        "status.currentReplicas: Invalid value: -1: must be greater than or equal to 0",
        "status.desiredReplicas: Invalid value: -2: must be greater than or equal to 0",
    ]


def test_defaults(api: Bench) -> None:
    made = api.made(NAME, sample(v2.KIND, "plain"))["spec"]
    assert made == {
        "scaleTargetRef": DEPLOYMENT,
        "minReplicas": 1,
        "maxReplicas": 5,
        "metrics": [resource(type="Utilization", averageUtilization=80)],
    }
    own = {"scaleUp": {"stabilizationWindowSeconds": 5}, "scaleDown": {"policies": [POLICY]}}
    body = sample(v2.KIND, "behaving")
    body["spec"] |= {"behavior": own, "metrics": [pods(**AVERAGE)]}
    made = api.made(NAME, body)["spec"]
    assert made["metrics"] == [pods(**AVERAGE)]
    assert made["behavior"] == {
        "scaleUp": {
            "stabilizationWindowSeconds": 5,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ],
        },
        "scaleDown": {"selectPolicy": "Max", "policies": [POLICY]},
    }


def test_columns(api: Bench) -> None:
    body = sample(v2.KIND, "shown")
    body["spec"]["metrics"] = [resource(**UTILIZATION), described(AVERAGE), pods(**AVERAGE)]
    api.made(NAME, body)
    found = cells(api, NAME, "shown")
    expected = {"Name": "shown", "Reference": "Deployment/web", "MinPods": "1", "MaxPods": 5, "Replicas": 0}
    assert {name: found[name] for name in expected} == expected
    assert list(found) == ["Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"]
    assert found["Targets"] == "cpu: <unknown>/50%, <unknown>/10 (avg) + 1 more..."
    status = {"status": {"currentReplicas": 3, "desiredReplicas": 3, "currentMetrics": [
        {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40, "averageValue": "100m"}}}
    ]}}  # fmt: skip
    assert api.patch(NAME, "shown", status, subresource="status").status == 200
    found = cells(api, NAME, "shown")
    assert (found["Targets"], found["Replicas"]) == ("cpu: 40%/50%, <unknown>/10 (avg) + 1 more...", 3)
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = api.call("GET", f"{V1_PATH}/shown", headers=accept).json
    # As v1 sees it the CPU metric is the last.
    assert table["rows"][0]["cells"][2] == "<unknown>/10 (avg), <unknown>/10 + 1 more..."
    assert [column["name"] for column in table["columnDefinitions"]] == list(found)


@pytest.mark.parametrize(
    ("metric", "current", "expected"),
    [
        (resource(averageValue="1Gi", type="AverageValue"), {"averageValue": "2Gi"}, "cpu: 2Gi/1Gi"),
        (resource(type="Utilization"), {}, "cpu: <unknown>/<auto>"),
        (in_container(), {"averageUtilization": 7}, "cpu: 7%/50%"),
        (pods(**AVERAGE), {"averageValue": "3"}, "3/10"),
        (described({"type": "Value", "value": "9"}), {"value": "8"}, "8/9"),
        (external(**AVERAGE), {"averageValue": "4"}, "4/10 (avg)"),
        (external(type="Value", value="5"), {}, "<unknown>/5"),
        ({"type": "Wind"}, {}, "<unknown type>"),
    ],
)
def test_targets_as_they_are_shown(metric: Object, current: Object, expected: str) -> None:
    source = next((field for field in metric if field != "type"), "")
    assert v2.targets([metric], [{"type": metric["type"], source: {"current": current}}]) == expected


# autoscaling/v1


def test_v1_shows_cpu_and_keeps_the_rest_in_annotations(api: Bench) -> None:
    body = sample(v2.KIND, "both")
    body["metadata"]["annotations"] = {"a": "b"}
    body["spec"]["metrics"] = [resource(**UTILIZATION), pods(**AVERAGE), resource("memory", **UTILIZATION)]
    body["spec"]["behavior"] = {"scaleDown": {"stabilizationWindowSeconds": 9}}
    stored = api.made(NAME, body)
    status = {"currentReplicas": 1, "desiredReplicas": 2, "currentMetrics": [
        {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40, "averageValue": "100m"}}}
    ], "conditions": [
        {"type": "AbleToScale", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "R", "message": "<m>"}
    ]}  # fmt: skip
    stored = api.patch(NAME, "both", {"status": status}, subresource="status").json
    shown = api.call("GET", f"{V1_PATH}/both").json
    assert shown["apiVersion"] == "autoscaling/v1"
    assert shown["spec"] == {
        "scaleTargetRef": DEPLOYMENT,
        "minReplicas": 1,
        "maxReplicas": 5,
        "targetCPUUtilizationPercentage": 50,
    }
    assert shown["status"] == {"currentReplicas": 1, "desiredReplicas": 2, "currentCPUUtilizationPercentage": 40}
    annotations = dict(shown["metadata"]["annotations"])
    assert annotations.pop("a") == "b"
    assert annotations.pop(f"{PREFIX}metrics") == (
        '[{"type":"Pods","pods":{"metricName":"queries","targetAverageValue":"10"}},'
        '{"type":"Resource","resource":{"name":"memory","targetAverageUtilization":50}}]'
    )
    assert annotations.pop(f"{PREFIX}current-metrics") == (
        '[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":40,"currentAverageValue":"100m"}}]'
    )
    assert "\\u003cm\\u003e" in annotations[f"{PREFIX}conditions"]
    assert json.loads(annotations.pop(f"{PREFIX}conditions")) == status["conditions"]
    assert json.loads(annotations.pop(f"{PREFIX}behavior"))["ScaleDown"] == {
        "StabilizationWindowSeconds": 9,
        "SelectPolicy": "Max",
        "Policies": [{"Type": "Percent", "Value": 100, "PeriodSeconds": 15}],
        "Tolerance": None,
    }
    assert not annotations
    # Who writes back what he has read changes only what he changed.
    shown["spec"]["maxReplicas"] = 8
    assert api.call("PUT", f"{V1_PATH}/both", shown).status == 200
    after = api.get(NAME, "both").json
    assert after["spec"]["maxReplicas"] == 8
    assert after["metadata"]["annotations"] == {"a": "b"}
    assert after["status"] == stored["status"] and after["spec"]["behavior"] == stored["spec"]["behavior"]
    # The CPU metric comes last.
    first, *rest = stored["spec"]["metrics"]
    assert after["spec"]["metrics"] == [*rest, first]


def test_v1_is_created_patched_listed_watched_and_deleted(api: Bench) -> None:
    watching = api.watch(V1_PATH, fieldSelector="metadata.name=old-style")
    body = {"metadata": {"name": "old-style"}, "spec": {"scaleTargetRef": DEPLOYMENT, "maxReplicas": 3}}
    made = api.call("POST", V1_PATH, body).json
    assert made["spec"] == {
        "scaleTargetRef": DEPLOYMENT,
        "maxReplicas": 3,
        "minReplicas": 1,
        "targetCPUUtilizationPercentage": 80,
    }
    event = watching.next()
    watching.close()
    assert (event["type"], event["object"]["apiVersion"], event["object"]["spec"]) == ("ADDED", "autoscaling/v1", made["spec"])
    patch = {"spec": {"targetCPUUtilizationPercentage": 60}}
    content_type = "application/merge-patch+json"
    patched = api.call("PATCH", f"{V1_PATH}/old-style", patch, content_type=content_type).json
    assert patched["spec"]["targetCPUUtilizationPercentage"] == 60
    assert api.get(NAME, "old-style").json["spec"]["metrics"] == [resource(type="Utilization", averageUtilization=60)]
    refused = api.call("PATCH", f"{V1_PATH}/old-style", {"spec": {"maxReplicas": 0}}, content_type=content_type)
    assert "spec.maxReplicas: Required value: must be set and greater than 0" in said(refused)
    listed = api.call("GET", V1_PATH).json
    assert {item["metadata"]["name"] for item in listed["items"]} >= {"old-style"}
    assert "metrics" not in next(item for item in listed["items"] if item["metadata"]["name"] == "old-style")["spec"]
    assert api.call("DELETE", f"{V1_PATH}/old-style").status == 200
    assert api.get(NAME, "old-style").status == 404


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics", "nonsense"),
        ("metrics", '{"type":"Pods"}'),
        ("metrics", '["Pods"]'),
        ("metrics", '[{"type":"Pods","pods":7}]'),
        ("metrics", '[{"type":"Pods","pods":{"targetAverageValue":"lots"}}]'),
        ("metrics", '[{"type":"Object","object":{"averageValue":"1","targetValue":[]}}]'),
        ("current-metrics", '[{"type":7}]'),
        ("behavior", "[]"),
        ("behavior", '{"ScaleUp":{"Policies":[7]}}'),
        ("conditions", '{"type":"x"}'),
    ],
)
def test_annotations_that_make_no_sense_say_nothing(name: str, text: str) -> None:
    served = {"metadata": {"annotations": {f"{PREFIX}{name}": text}}, "spec": {"maxReplicas": 1}}
    stored = v1.to_stored(served)
    assert stored["spec"] == {"maxReplicas": 1, "metrics": [v2.cpu_utilization(80)]}
    assert "status" not in stored and "annotations" not in stored["metadata"]


def test_behavior_is_read_in_any_case() -> None:
    text = json.dumps({"scaleup": {"POLICIES": [{"type": "Pods", "Value": 1, "periodseconds": 10}]}, "ScaleDown": None})
    served = {"metadata": {"annotations": {f"{PREFIX}behavior": text}}, "spec": {"maxReplicas": 1}}
    assert v1.to_stored(served)["spec"]["behavior"] == {"scaleUp": {"policies": [POLICY]}}


AMOUNTS = st.sampled_from(["1", "250m", "3Gi"])
NUMBERS = st.integers(1, 100)
UTILIZATIONS = st.builds(lambda n: {"type": "Utilization", "averageUtilization": n}, NUMBERS)
AVERAGES = st.builds(lambda amount: {"type": "AverageValue", "averageValue": amount}, AMOUNTS)
VALUES = st.builds(lambda amount: {"type": "Value", "value": amount}, AMOUNTS)
METRICS = st.one_of(
    st.builds(lambda name, target: resource(name, **target), st.sampled_from(["cpu", "memory"]), UTILIZATIONS | AVERAGES),
    st.builds(lambda target: in_container(target=target), UTILIZATIONS | AVERAGES),
    st.builds(lambda target: pods(**target), AVERAGES),
    st.builds(described, AVERAGES | VALUES),
    st.builds(lambda target: external(**target), AVERAGES | VALUES),
)
CURRENT = {"resource": "averageUtilization", "containerResource": "averageUtilization", "object": "value", "external": "value"}


def measured(metric: Object, amount: str, number: int) -> Object:
    """A status for a metric."""
    source = next(field for field in metric if field != "type")
    kept = {field: value for field, value in metric[source].items() if field != "target"}
    current: Object = {"averageValue": amount}
    if CURRENT.get(source) == "averageUtilization":
        current["averageUtilization"] = number
    elif "value" in metric[source]["target"]:
        current = {"value": amount}
    return {"type": metric["type"], source: {**kept, "current": current}}


RULES = st.fixed_dictionaries(
    {"policies": st.lists(st.builds(lambda n: {**POLICY, "value": n}, NUMBERS), min_size=1, max_size=2)},
    optional={
        "stabilizationWindowSeconds": st.integers(0, 3600),
        "selectPolicy": st.sampled_from(["Max", "Min"]),
        "tolerance": AMOUNTS,
    },
)


@given(
    st.lists(METRICS, min_size=1, max_size=4),
    st.none() | st.fixed_dictionaries({}, optional={"scaleUp": RULES, "scaleDown": RULES}).filter(bool),
    AMOUNTS,
    NUMBERS,
)
def test_nothing_is_lost_on_the_way_to_v1_and_back(
    metrics: list[Object], behavior: Object | None, amount: str, number: int
) -> None:
    is_cpu = [m["type"] == "Resource" and m["resource"]["name"] == "cpu" and "averageUtilization" in str(m) for m in metrics]
    # Of several targets of CPU utilization, which contradict each other, v1 knows the first.
    metrics = [m for m, cpu in zip(metrics, is_cpu, strict=True) if not cpu] + [
        m for m, cpu in zip(metrics, is_cpu, strict=True) if cpu
    ][:1]
    conditions = [{"type": "AbleToScale", "status": "True"}]
    spec = {"scaleTargetRef": DEPLOYMENT, "minReplicas": 2, "maxReplicas": 5, "metrics": metrics}
    stored = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "any", "annotations": {"a": "b"}},
        "spec": spec if behavior is None else {**spec, "behavior": behavior},
        "status": {
            "currentReplicas": 1,
            "desiredReplicas": 2,
            "currentMetrics": [measured(metric, amount, number) for metric in metrics],
            "conditions": conditions,
        },
    }
    assert v1.to_stored(v1.from_stored(stored)) == stored


def test_discovery_prefers_v2(api: Bench) -> None:
    group = api.call("GET", "/apis/autoscaling").json
    assert [version["version"] for version in group["versions"]] == ["v2", "v1"]
    assert group["preferredVersion"]["version"] == "v2"
    assert registry.resource(NAME) is v2.KIND
    assert v1.KIND.key_prefix == v2.KIND.key_prefix == "/registry/horizontalpodautoscalers/"
