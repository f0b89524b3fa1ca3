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
