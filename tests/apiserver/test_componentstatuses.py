"""ComponentStatus and Binding: kinds that are never stored."""

from __future__ import annotations

from tests.apiserver.bench import Bench
from tests.apiserver.samples import pod

TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def test_components_are_asked_when_somebody_wants_to_know(api: Bench) -> None:
    api.server.components["scheduler"] = lambda: "has stopped"
    listed = api.list("componentstatuses")
    assert listed.json["kind"] == "ComponentStatusList"
    assert listed.headers["warning"] == '299 - "v1 ComponentStatus is deprecated in v1.19+"'
    assert {item["metadata"]["name"]: item["conditions"][0]["status"] for item in listed.json["items"]} == {
        "controller-manager": "False",
        "scheduler": "False",
        "etcd-0": "True",
    }
    etcd = api.get("componentstatuses", "etcd-0").json
    assert etcd["conditions"] == [{"type": "Healthy", "status": "True", "message": "ok"}]
    table = api.list("componentstatuses", headers=TABLE).json
    assert [row["cells"] for row in table["rows"]] == [
        ["controller-manager", "Unhealthy", "is not run by this server", ""],
        ["scheduler", "Unhealthy", "has stopped", ""],
        ["etcd-0", "Healthy", "ok", ""],
    ]
    one = api.list("componentstatuses", fieldSelector="metadata.name=scheduler").json["items"]
    assert [item["metadata"]["name"] for item in one] == ["scheduler"]


def test_components_can_only_be_read(api: Bench) -> None:
    assert api.get("componentstatuses", "none").status == 404
    assert api.delete("componentstatuses", "etcd-0").status == 405
    assert api.call("GET", "/api/v1/componentstatuses", watch="true").status == 405


def test_a_failing_store_shows(api: Bench) -> None:
    api.server.store.problem = "disk is full"
    try:
        condition = api.get("componentstatuses", "etcd-0").json["conditions"][0]
        assert (condition["status"], condition["message"]) == ("False", "disk is full")
        assert api.call("GET", "/readyz").status == 500
    finally:
        api.server.store.problem = ""


def binding(pod_name: str, **target: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod_name}, "target": target}


def test_a_binding_among_others_names_its_pod(api: Bench) -> None:
    path = "/api/v1/namespaces/default/bindings"
    api.made("pods", pod("bound"))
    done = api.call("POST", path, binding("bound", kind="Node", name="node-1"))
    assert (done.status, done.json["status"]) == (201, "Success")
    assert api.get("pods", "bound").json["spec"]["nodeName"] == "node-1"
    again = api.call("POST", path, binding("bound", name="node-2"))
    assert (again.status, again.reason) == (409, "Conflict")
    assert api.call("POST", path, binding("missing", name="node-1")).status == 404
    refused = api.call("POST", path, binding("bound", kind="Pod"))
    assert refused.causes == [("FieldValueNotSupported", "target.kind"), ("FieldValueRequired", "target.name")]
    assert api.call("GET", path).status == 405
