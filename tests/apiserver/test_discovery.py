"""Discovery, OpenAPI, health and version: what clients read before anything else."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from navarch.api import registry
from navarch.api.kind import Kind
from tests.apiserver.bench import Bench

KINDS = registry.kinds()
GROUPS = {kind.group for kind in KINDS if kind.group}
VERSIONS = sorted({kind.api_path for kind in KINDS})


def test_every_kind_is_discovered_where_it_is_served(api: Bench) -> None:
    assert api.call("GET", "/api").json["versions"] == ["v1"]
    groups = api.call("GET", "/apis").json
    assert {group["name"] for group in groups["groups"]} == GROUPS
    for group in groups["groups"]:
        assert group["preferredVersion"] in group["versions"]
        one = api.call("GET", f"/apis/{group['name']}").json
        assert one == {"kind": "APIGroup", "apiVersion": "v1", **group}
    for kind in KINDS:
        listed = api.call("GET", kind.api_path).json
        (found,) = [entry for entry in listed["resources"] if entry["name"] == kind.plural]
        assert (found["kind"], found["namespaced"], found["verbs"]) == (kind.kind, kind.namespaced, list(kind.verbs))
        assert found.get("shortNames", []) == list(kind.short_names)
        below = {
            entry["name"].partition("/")[2] for entry in listed["resources"] if entry["name"].startswith(f"{kind.plural}/")
        }
        assert below == set(kind.subresources)


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
def test_aggregated_discovery_says_the_same_in_one_answer(api: Bench, version: str) -> None:
    marker = f"g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    found: dict[tuple[str, str, str], Any] = {}
    for root in ("/api", "/apis"):
        reply = api.call("GET", root, headers={"accept": f"application/json;{marker},application/json"})
        assert reply.headers["content-type"] == f"application/json;{marker}"
        assert (reply.json["kind"], reply.json["apiVersion"]) == ("APIGroupDiscoveryList", f"apidiscovery.k8s.io/{version}")
        for group in reply.json["items"]:
            for entry in group["versions"]:
                for resource in entry["resources"]:
                    found[(group["metadata"].get("name", ""), entry["version"], resource["resource"])] = resource
        again = api.call("GET", root, headers={"accept": f"application/json;{marker}", "if-none-match": reply.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
    assert found.keys() == {(kind.group, kind.version, kind.plural) for kind in KINDS}
    for kind in KINDS:
        resource = found[(kind.group, kind.version, kind.plural)]
        assert resource["responseKind"] == {"group": kind.group, "version": kind.version, "kind": kind.kind}
        assert resource["scope"] == ("Namespaced" if kind.namespaced else "Cluster")


def test_unknown_groups_are_not_found(api: Bench) -> None:
    for path in ("/apis/none.example", "/apis/none.example/v1", "/api/v2", "/apis/apps/v9"):
        assert api.call("GET", path).status == 404
        assert api.call("POST", path, {}).status in (404, 405)


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(references(item) for item in value))
    return set()


def test_openapi_v3_has_a_document_for_every_group_version(api: Bench) -> None:
    paths = api.call("GET", "/openapi/v3").json["paths"]
    assert {f"/{root}" for root in paths} >= set(VERSIONS)
    for root in (path.lstrip("/") for path in VERSIONS):
        url, _, asked = paths[root]["serverRelativeURL"].partition("?hash=")
        reply = api.call("GET", url, hash=asked)
        assert "immutable" in reply.headers["cache-control"]
        document = reply.json
        schemas = document["components"]["schemas"]
        assert references(document) <= {f"#/components/schemas/{name}" for name in schemas}
        assert document["openapi"] == "3.0.0"
        for kind in KINDS:
            if kind.api_path.lstrip("/") == root:
                group_version_kind = {"group": kind.group, "version": kind.version, "kind": kind.kind}
                assert any(
                    group_version_kind in schema.get("x-kubernetes-group-version-kind", ()) for schema in schemas.values()
                )
    assert api.call("GET", "/openapi/v3/apis/none.example/v1").status == 404


def test_openapi_v2_is_whole_and_says_that_fields_are_validated(api: Bench) -> None:
    document = api.call("GET", "/openapi/v2").json
    assert document["swagger"] == "2.0"
    assert references(document) <= {f"#/definitions/{name}" for name in document["definitions"]}
    path = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    assert {"fieldValidation", "dryRun"} <= {parameter["name"] for parameter in path["patch"]["parameters"]}
    pod = document["definitions"]["io.k8s.api.core.v1.PodSpec"]
    assert "containers" in pod["properties"] and pod["description"]
    assert pod["properties"]["containers"]["x-kubernetes-patch-merge-key"] == "name"


def test_health_tells_check_by_check(api: Bench) -> None:
    assert api.call("GET", "/livez").body == b"ok"
    verbose = api.call("GET", "/livez", verbose="").body
    assert b"[+]ping ok" in verbose and verbose.endswith(b"livez check passed\n")
    assert api.call("GET", "/livez/ping").body == b"ok"
    assert api.call("GET", "/livez/none").status == 404
    waiting = api.call("GET", "/readyz")
    assert waiting.status == 500 and b"[-]poststarthook/bootstrap-controller failed: reason withheld" in waiting.body
    assert api.call("GET", "/readyz", exclude="poststarthook/bootstrap-controller").status == 200


def test_the_version_is_kubernetes_own(api: Bench) -> None:
    version = api.call("GET", "/version").json
    assert (version["major"], version["minor"]) == ("1", "36") and version["gitVersion"].startswith("v1.36.")
    assert "/apis" in api.call("GET", "/").json["paths"]
    assert api.call("GET", "/metrics").status == 200


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.verbs == ("create",)], ids=lambda kind: kind.resource)
def test_reviews_answer_bodies_of_any_form(api: Bench, kind: Kind) -> None:
    path = f"{kind.api_path}/namespaces/default/{kind.plural}" if kind.namespaced else f"{kind.api_path}/{kind.plural}"
    for body in (
        None,
        [],
        "x",
        {},
        {"spec": None},
        {"spec": {}},
        {"spec": []},
        {"spec": {"token": 1}},
        {"spec": {"extra": []}},
    ):
        reply = api.call("POST", path, body)
        assert reply.status in (201, 400, 422), (body, reply.body)
    assert api.call("GET", path).status == 405


def test_access_reviews_tell_what_is_allowed(api: Bench) -> None:
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    attributes = {"verb": "get", "resource": "pods", "namespace": "default"}
    for user, allowed in (("alice", True), ("system:anonymous", False)):
        reply = api.call("POST", path, {"spec": {"user": user, "resourceAttributes": attributes}})
        assert reply.json["status"]["allowed"] is allowed
    neither = api.call("POST", path, {"spec": {"user": "alice"}})
    assert neither.status == 422
    assert orjson.loads(neither.body)["details"]["kind"] == "SubjectAccessReview"
