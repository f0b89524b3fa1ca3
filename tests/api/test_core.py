"""Limits, quotas and templates of the core group: defaults, what is refused in which words, what kubectl prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.tables import cells, changed, refused_create, refused_update, remove
from tests.apiserver.bench import Bench, bench
from tests.apiserver.samples import TEMPLATE, sample

LIMITS, QUOTAS, TEMPLATES = "limitranges", "resourcequotas", "podtemplates"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("api")) as found:
        yield found


def limit(**fields: Any) -> Object:
    return {"spec": {"limits": [{"type": "Container", **fields}]}}


def quota(**fields: Any) -> Object:
    """A quota of these resources."""
    return {"spec": fields}


def selected(**expression: Any) -> Object:
    return quota(hard={"pods": "1"}, scopeSelector={"matchExpressions": [expression]})


@pytest.mark.parametrize(
    ("given", "limits", "requests"),
    [
        ({"max": {"cpu": "2"}}, {"cpu": "2"}, {"cpu": "2"}),
        ({"max": {"cpu": "2"}, "default": {"cpu": "1"}}, {"cpu": "1"}, {"cpu": "1"}),
        ({"min": {"cpu": "100m"}}, None, {"cpu": "100m"}),
        ({"min": {"cpu": "100m"}, "max": {"cpu": "2"}, "defaultRequest": {"cpu": "1"}}, {"cpu": "2"}, {"cpu": "1"}),
        ({"default": {"memory": "1Gi"}, "max": {"cpu": "2"}}, *[{"cpu": "2", "memory": "1Gi"}] * 2),
        ({}, None, None),
    ],
)
def test_limits_of_containers_follow_from_one_another(
    api: Bench, given: Object, limits: Object | None, requests: Object | None
) -> None:
    made = api.made(LIMITS, changed(sample(resource(LIMITS), "filled"), limit(**given)))
    remove(api, LIMITS, "filled")
    (found,) = made["spec"]["limits"]
    assert (found.get("default"), found.get("defaultRequest")) == (limits, requests)


def test_a_limit_range_without_a_name_is_called_by_its_uid(api: Bench) -> None:
    made = api.made(LIMITS, {"metadata": {"namespace": "default"}, "spec": {"limits": []}})
    assert made["metadata"]["name"] == made["metadata"]["uid"]
    assert api.get(LIMITS, made["metadata"]["name"]).json == made


STANDARD = "must be a standard resource type or fully qualified"
L = "spec.limits[0]"
REFUSED_LIMITS: list[tuple[Object, list[str]]] = [
    (limit(type="Nothing"), [f'{L}.type: Invalid value: "Nothing": must be a standard limit type or fully qualified']),
    ({"spec": {"limits": [{"type": "Pod"}] * 2}}, ['spec.limits[1].type: Duplicate value: "Pod"']),
    (limit(type="Pod", default={"cpu": "1"}), [f"{L}.default: Forbidden: may not be specified when `type` is 'Pod'"]),
    (limit(type="PersistentVolumeClaim"),
     [f"{L}.limits: Required value: either minimum or maximum storage value is required, but neither was provided"]),
    (limit(min={"disk": "1"}), [
        f'{L}.min[disk]: Invalid value: "disk": {STANDARD}',
        f'{L}.min[disk]: Invalid value: "disk": must be a standard resource for containers',
        f'{L}.defaultRequest[disk]: Invalid value: "disk": {STANDARD}',
        f'{L}.defaultRequest[disk]: Invalid value: "disk": must be a standard resource for containers',
    ]),
    (limit(type="example.com/x", min={"disk": "1"}), [f'{L}.min[disk]: Invalid value: "disk": {STANDARD}']),
    (limit(type="Pod", min={"cpu": "2"}, max={"cpu": "1"}),
     [f'{L}.min[cpu]: Invalid value: "2": min value 2 is greater than max value 1']),
    (limit(defaultRequest={"cpu": "100m"}, default={"cpu": "50m"}),
     [f'{L}.defaultRequest[cpu]: Invalid value: "100m": default request value 100m is greater than default limit value 50m']),
    (limit(min={"cpu": "200m"}, defaultRequest={"cpu": "100m"}),
     [f'{L}.defaultRequest[cpu]: Invalid value: "100m": min value 200m is greater than default request value 100m']),
    (limit(max={"cpu": "1"}, default={"cpu": "2"}, defaultRequest={"cpu": "1"}),
     [f'{L}.default[cpu]: Invalid value: "1": default value 2 is greater than max value 1']),
    (limit(min={"cpu": "1"}, default={"cpu": "500m"}, defaultRequest={"cpu": "500m"}), [
        f'{L}.defaultRequest[cpu]: Invalid value: "500m": min value 1 is greater than default request value 500m',
        f'{L}.default[cpu]: Invalid value: "1": min value 1 is greater than default value 500m',
    ]),
    (limit(maxLimitRequestRatio={"cpu": "800m"}),
     [f'{L}.maxLimitRequestRatio[cpu]: Invalid value: "800m": ratio 800m is less than 1']),
    (limit(min={"cpu": "1"}, max={"cpu": "2"}, maxLimitRequestRatio={"cpu": "10"}),
     [f'{L}.maxLimitRequestRatio[cpu]: Invalid value: "10": ratio 10 is greater than max/min = 2.000000']),
    (limit(default={"example.com/gpu": "2"}, defaultRequest={"example.com/gpu": "1"}),
     [f'{L}.defaultRequest[example.com/gpu]: Invalid value: "1": '
      "default value 2 must equal to defaultRequest value 1 in example.com/gpu"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), REFUSED_LIMITS)
def test_limits_that_make_no_sense_are_refused(api: Bench, changes: Object, expected: list[str]) -> None:
    assert refused_create(api, LIMITS, changes) == expected


S, M = "spec.scopes", "spec.scopeSelector.matchExpressions"
REFUSED_QUOTAS: list[tuple[Object, list[str]]] = [
    (quota(hard={"disk": "1"}), [
        f'spec.hard[disk]: Invalid value: "disk": {STANDARD}',
        'spec.hard[disk]: Invalid value: "disk": must be a standard resource for quota',
    ]),
    (quota(hard={"storage": "1"}), ['spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota']),
    (quota(hard={"cpu": "-1"}), ['spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0']),
    (quota(hard={"pods": "500m"}), ['spec.hard[pods]: Invalid value: "500m": must be an integer']),
    (quota(scopes=["Sometimes"]), [f'{S}: Invalid value: ["Sometimes"]: unsupported scope']),
    (quota(hard={"services": "1"}, scopes=["BestEffort"]),
     [f'{S}: Invalid value: ["BestEffort"]: unsupported scope applied to resource']),
    (quota(hard={"requests.cpu": "1"}, scopes=["BestEffort"]),
     [f'{S}: Invalid value: ["BestEffort"]: unsupported scope applied to resource']),
    (quota(hard={"pods": "1"}, scopes=["VolumeAttributesClass"]),
     [f'{S}: Invalid value: ["VolumeAttributesClass"]: unsupported scope applied to resource']),
    (quota(hard={"pods": "1"}, scopes=["BestEffort", "NotBestEffort"]),
     [f'{S}: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes']),
    (quota(hard={"pods": "1"}, scopes=["Terminating", "NotTerminating"]),
     [f'{S}: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes']),
    (selected(scopeName="Sometimes", operator="Exists"), [f'{M}.scopeName: Invalid value: "Sometimes": unsupported scope']),
    (selected(scopeName="PriorityClass", operator="In"),
     [f"{M}.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"]),
    (selected(scopeName="PriorityClass", operator="Exists", values=["a"]),
     [f"{M}.values: Invalid value: [\"a\"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"]),
    (selected(scopeName="PriorityClass", operator="Is"), [f'{M}.operator: Invalid value: "Is": not a valid selector operator']),
    (selected(scopeName="Terminating", operator="DoesNotExist"),
     [f"{M}.operator: Invalid value: \"DoesNotExist\": must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, "
      "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
      "ResourceQuotaScopeCrossNamespacePodAffinity"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), REFUSED_QUOTAS)
def test_quotas_that_make_no_sense_are_refused(api: Bench, changes: Object, expected: list[str]) -> None:
    assert refused_create(api, QUOTAS, changes) == expected


@pytest.mark.parametrize(
    "hard",
    [
        {"count/widgets.example.com": "1", "requests.example.com/gpu": "1", "hugepages-2Mi": "1Gi", "requests.storage": "1Gi"},
        {"gold.storageclass.storage.k8s.io/requests.storage": "1Gi", "services.loadbalancers": "1", "limits.cpu": "500m"},
    ],
)
def test_anything_that_is_counted_can_be_limited(api: Bench, hard: Object) -> None:
    made = api.made(QUOTAS, {**sample(resource(QUOTAS), "counted"), **quota(hard=hard)})
    remove(api, QUOTAS, "counted")
    assert made["spec"]["hard"] == hard


def test_scopes_of_a_quota_stay(api: Bench) -> None:
    first = quota(hard={"pods": "1"}, scopes=["BestEffort"])
    expected = ['spec.scopes: Invalid value: ["NotBestEffort"]: field is immutable']
    assert refused_update(api, QUOTAS, {"spec": {"scopes": ["NotBestEffort"]}}, first=first) == expected


def test_only_what_can_be_limited_is_reported_as_used(api: Bench) -> None:
    api.made(QUOTAS, sample(resource(QUOTAS), "reported"))
    refused = api.patch(QUOTAS, "reported", {"status": {"used": {"disk": "1"}}}, subresource="status")
    assert set(refused.causes) == {("FieldValueInvalid", "status.used[disk]")}


def test_a_templates_pod_is_filled_in_and_checked_and_its_changes_are_counted(api: Bench) -> None:
    made = api.made(TEMPLATES, sample(resource(TEMPLATES), "counted"))
    assert made["metadata"]["generation"] == 1
    assert made["template"]["spec"]["restartPolicy"] == "Always"
    labelled = api.put(TEMPLATES, changed(made, {"metadata": {"labels": {"a": "b"}}})).json
    assert labelled["metadata"]["generation"] == 1
    moved = api.put(TEMPLATES, changed(labelled, {"template": {"spec": {"restartPolicy": "Never"}}})).json
    assert moved["metadata"]["generation"] == 2
    expected = ["template.spec.containers: Required value"]
    assert refused_create(api, TEMPLATES, {"template": {"spec": {"containers": []}}}) == expected


def test_what_kubectl_prints(api: Bench) -> None:
    hard = {"pods": "10", "requests.cpu": "1", "limits.cpu": "2", "limits.memory": "1Gi"}
    api.made(QUOTAS, changed(sample(resource(QUOTAS), "printed"), quota(hard=hard)))
    api.patch(QUOTAS, "printed", {"status": {"hard": hard, "used": {"pods": "3", "limits.cpu": "500m"}}}, subresource="status")
    found = cells(api, QUOTAS, "printed")
    assert list(found) == ["Name", "Request", "Limit", "Age"]
    assert found["Request"] == "pods: 3/10, requests.cpu: 0/1"
    assert found["Limit"] == "limits.cpu: 500m/2, limits.memory: 0/1Gi"
    api.made(LIMITS, sample(resource(LIMITS), "printed"))
    assert list(cells(api, LIMITS, "printed")) == ["Name", "Created At"]
    api.made(TEMPLATES, sample(resource(TEMPLATES), "printed"))
    image = TEMPLATE["spec"]["containers"][0]["image"]
    expected = {"Name": "printed", "Containers": "main", "Images": image, "Pod Labels": "app=web"}
    assert cells(api, TEMPLATES, "printed") == expected


def test_replicas_that_nothing_is_said_of_are_none(api: Bench) -> None:
    """A status without availableReplicas has 0 of them, which is more than a negative number."""
    api.made("replicationcontrollers", sample(resource("replicationcontrollers"), "counted"))
    reply = api.patch("replicationcontrollers", "counted/status", {"status": {"readyReplicas": -1}})
    remove(api, "replicationcontrollers", "counted")
    assert reply.status == 422
    assert "status.availableReplicas: Invalid value: 0: cannot be greater than readyReplicas" in reply.message
