"""What a server makes when it starts: there from the beginning, valid, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.api.flowcontrol import builtin
from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object
from navarch.apiserver import bootstrap
from navarch.storage.sqlite import SQLiteBackend
from tests.apiserver.bench import Bench, bench

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
API_SERVICES = "apiservices.apiregistration.k8s.io"
FLOW_CONTROL = "/apis/flowcontrol.apiserver.k8s.io/v1"
EVERYTHING = [bootstrap.default_service_cidr("10.96.0.0/16"), *bootstrap.flow_control()]


@pytest.mark.parametrize(
    ("kind", "obj"), EVERYTHING, ids=[f"{kind.kind}-{obj['metadata']['name']}" for kind, obj in EVERYTHING]
)
def test_each_is_there_and_is_what_a_client_could_have_made(api: Bench, kind: Kind, obj: Object) -> None:
    found = api.get(kind.resource, obj["metadata"]["name"]).json
    assert found["spec"] == obj["spec"] and obj["metadata"].items() <= found["metadata"].items()
    assert found["metadata"]["uid"] and found["metadata"]["creationTimestamp"]
    assert found["metadata"].get("generation") == (1 if kind.has_generation else None)
    assert api.put(kind.resource, found).json == found


def test_only_what_is_missing_is_made(tmp_path: Path) -> None:
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        api.delete("flowschemas.flowcontrol.apiserver.k8s.io", "probes")
        changed = {"metadata": {"annotations": {builtin.AUTO_UPDATE: "false"}}, "spec": {"matchingPrecedence": 901}}
        assert api.patch("flowschemas.flowcontrol.apiserver.k8s.io", "kube-scheduler", changed).status == 200
        before = api.store.revision
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        path = f"{FLOW_CONTROL}/flowschemas"
        made = {item["metadata"]["name"]: item for item in api.call("GET", path).json["items"]}
        assert set(made) == set(builtin.SCHEMAS)
        assert made["kube-scheduler"]["spec"]["matchingPrecedence"] == 901
        new = [name for name, item in made.items() if int(item["metadata"]["resourceVersion"]) > before]
        assert new == ["probes"]


def test_every_version_served_has_an_api_service(api: Bench) -> None:
    versions = {group["name"]: group["versions"] for group in api.call("GET", "/apis").json["groups"]}
    served = {f"{version['version']}.{group}" for group, found in versions.items() for version in found}
    served.discard("v1.apiregistration.k8s.io")
    found = {item["metadata"]["name"]: item for item in api.list(API_SERVICES).json["items"]}
    assert set(found) == {"v1.", *served}
    core, apps = found["v1."], found["v1.apps"]
    assert core["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    assert apps["spec"] == {"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15}
    assert apps["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    (condition,) = apps["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Available", "True", "Local")


def test_api_services_are_as_they_should_be_after_a_start(tmp_path: Path) -> None:
    local = {"group": "gone.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100}
    labels = {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        for group, marks in (("gone", labels), ("kept", {})):
            name = f"v1.{group}.example.com"
            spec = {**local, "group": f"{group}.example.com"}
            api.made(API_SERVICES, {"metadata": {"name": name, "labels": marks}, "spec": spec})
        assert api.patch(API_SERVICES, "v1.apps", {"spec": {"versionPriority": 20}}).status == 200
        assert (
            api.patch(API_SERVICES, "v1.batch", {"metadata": {"labels": None}, "spec": {"versionPriority": 20}}).status == 200
        )
        assert api.delete(API_SERVICES, "v1.policy").status == 200
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        found = {item["metadata"]["name"]: item["spec"] for item in api.list(API_SERVICES).json["items"]}
        assert "v1.gone.example.com" not in found and "v1.kept.example.com" in found
        assert found["v1.apps"]["versionPriority"] == found["v1.policy"]["versionPriority"] == 15
        assert found["v1.batch"]["versionPriority"] == 20, "it is somebody's own now"
        before = api.store.revision
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        assert api.store.revision == before, "nothing is written when all is well"


def test_flow_schemas_are_listed_as_they_are_asked(api: Bench) -> None:
    table = api.call("GET", f"{FLOW_CONTROL}/flowschemas", headers={"accept": TABLE}).json
    heads = [column["name"] for column in table["columnDefinitions"]]
    assert heads == ["Name", "PriorityLevel", "MatchingPrecedence", "DistinguisherMethod", "Age", "MissingPL"]
    rows = [row["cells"] for row in table["rows"]]
    assert [row[0] for row in rows] == [
        "exempt",
        "probes",
        "system-leader-election",
        "endpoint-controller",
        "workload-leader-election",
        "system-node-high",
        "system-nodes",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-system-service-accounts",
        "service-accounts",
        "global-default",
        "catch-all",
    ]
    assert {row[5] for row in rows} == {"False"}
