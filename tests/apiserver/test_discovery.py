"""Discovery, health and version: what clients read before anything else."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import yaml

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.api.protobuf import decoder
from navarch.apiserver.discovery import Discovery
from navarch.apiserver.request import APIRequest, User
from navarch.apiserver.requestinfo import RequestInfo
from tests.apiserver.bench import Bench

KINDS = registry.kinds()
GROUPS = {kind.group for kind in KINDS if kind.group}
PROTOBUF = "application/vnd.kubernetes.protobuf"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


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
        assert (found["kind"], found["namespaced"], found["verbs"]) == (kind.kind, kind.namespaced, sorted(kind.verbs))
        assert found.get("shortNames", []) == list(kind.short_names)
        below = {
            entry["name"].partition("/")[2] for entry in listed["resources"] if entry["name"].startswith(f"{kind.plural}/")
        }
        assert below == set(kind.subresources)


def test_groups_come_in_order_of_priority(api: Bench) -> None:
    names = [group["name"] for group in api.call("GET", "/apis").json["groups"]]
    known = [
        "apiregistration.k8s.io",
        "apps",
        "events.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
    ]
    known += ["certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io"]
    known += ["admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io"]
    known += ["node.k8s.io", "discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io"]
    assert names == [name for name in known if name in names], "all of them are known, in this order"
    aggregated = api.call("GET", "/apis", headers={"accept": AGGREGATED}).json["items"]
    assert [group["metadata"]["name"] for group in aggregated] == names


def asked(kinds: list[Kind], path: str) -> Any:
    discovery = Discovery(kinds, lambda: "api.example:6443")
    response = discovery.answer(APIRequest(RequestInfo(path, "get"), "GET", {}, User("alice")))
    assert response is not None and isinstance(response.body, bytes)
    return orjson.loads(response.body)


def test_versions_come_in_the_order_in_which_kubernetes_prefers_them() -> None:
    versions = ["foo10", "v11alpha2", "v1", "v10beta3", "v2", "v12alpha1", "v3beta1", "foo1", "v10", "v11beta2"]
    kinds = [Kind(group="z.example", version=version, kind="Thing", plural="things") for version in versions]
    kinds += [Kind(group="a.example", version="v1", kind="Thing", plural="things")]
    kinds += [Kind(group="apps", version="v1", kind="Deployment", plural="deployments")]
    groups = asked(kinds, "/apis")["groups"]
    assert [group["name"] for group in groups] == ["apps", "a.example", "z.example"], "what nobody knows comes last, by name"
    ordered = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]
    assert [entry["version"] for entry in groups[-1]["versions"]] == ordered
    assert groups[-1]["preferredVersion"] == {"groupVersion": "z.example/v10", "version": "v10"}


def test_the_core_group_says_where_the_server_is_and_has_no_version_of_its_own() -> None:
    kinds = [Kind(group="", version="v1", kind="Pod", plural="pods")]
    assert asked(kinds, "/api/") == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "api.example:6443"}],
    }
    assert list(asked(kinds, "/api/v1")) == ["kind", "groupVersion", "resources"]


def test_hashes_tell_in_which_version_objects_are_stored(api: Bench) -> None:
    hashes = {entry["name"]: entry.get("storageVersionHash") for entry in api.call("GET", "/api/v1").json["resources"]}
    known = {"pods": "xPOwRZ+Yhw8=", "configmaps": "qFsyl6wFWjQ=", "namespaces": "Q3oi5N2YM8M=", "services": "0/CO1lhkEBI="}
    assert {name: hashes[name] for name in known} == known
    unstored = [name for name in hashes if name in ("bindings", "componentstatuses") or "/" in name]
    assert not any(hashes[name] for name in unstored)
    stored = Kind(group="", version="v1", kind="Event", plural="events")
    served = Kind(group="events.k8s.io", version="v1", kind="Event", plural="events", stored_as=stored)
    (event,) = asked([served], "/apis/events.k8s.io/v1")["resources"]
    assert event["storageVersionHash"] == "r2yiGXH7wu8="


def test_subresources_say_what_they_speak(api: Bench) -> None:
    listed = [entry for path in ("/api/v1", "/apis/apps/v1") for entry in api.call("GET", path).json["resources"]]
    found = {entry["name"]: entry for entry in listed}
    assert found["deployments/scale"] == {
        "name": "deployments/scale",
        "singularName": "",
        "namespaced": True,
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    }
    assert {"group", "version"}.isdisjoint(found["pods/binding"]) and found["pods/binding"]["kind"] == "Binding"
    assert (found["pods/eviction"]["group"], found["pods/eviction"]["version"]) == ("policy", "v1")
    assert found["pods/exec"]["verbs"] == ["create", "get"] and found["pods/log"]["verbs"] == ["get"]
    assert found["services/proxy"]["kind"] == "ServiceProxyOptions" and found["namespaces/finalize"]["verbs"] == ["update"]


def test_aggregated_discovery_says_the_same_in_one_answer(api: Bench) -> None:
    found: dict[tuple[str, str, str], Any] = {}
    for root in ("/api", "/apis"):
        reply = api.call("GET", root, headers={"accept": f"{AGGREGATED},application/json"})
        assert reply.headers["content-type"] == AGGREGATED
        assert (reply.json["kind"], reply.json["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
        assert (reply.headers["vary"], reply.headers["cache-control"]) == ("Accept", "public")
        for group in reply.json["items"]:
            for entry in group["versions"]:
                for resource in entry["resources"]:
                    found[(group["metadata"].get("name", ""), entry["version"], resource["resource"])] = resource
        again = api.call("GET", root, headers={"accept": AGGREGATED, "if-none-match": reply.headers["etag"]})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", reply.headers["etag"])
        assert api.call("GET", root, headers={"accept": AGGREGATED, "if-none-match": '"other"'}).status == 200
    assert found.keys() == {(kind.group, kind.version, kind.plural) for kind in KINDS}
    for kind in KINDS:
        resource = found[(kind.group, kind.version, kind.plural)]
        assert resource["responseKind"] == {"group": "", "version": "", "kind": kind.kind}, "as the list it stands in"
        assert resource["scope"] == ("Namespaced" if kind.namespaced else "Cluster")
        assert resource["singularResource"] == (kind.singular or kind.kind.lower())
        assert [entry["subresource"] for entry in resource.get("subresources", [])] == sorted(kind.subresources)
    (scale,) = [entry for entry in found["apps", "v1", "deployments"]["subresources"] if entry["subresource"] == "scale"]
    assert scale["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}


V2BETA1 = AGGREGATED.replace("v=v2;", "v=v2beta1;")


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/yaml", "application/yaml"),
        (AGGREGATED, AGGREGATED),
        ("application/json;as=APIGroupDiscoveryList; v=v2; g=apidiscovery.k8s.io", AGGREGATED),
        (f"{AGGREGATED};profile=nopeer", AGGREGATED),
        (AGGREGATED.replace("json", "yaml"), AGGREGATED.replace("json", "yaml")),
        (f"{AGGREGATED},{V2BETA1},application/json", AGGREGATED),
        (f"{V2BETA1},application/json", "application/json"),
        (f"application/json,{AGGREGATED}", "application/json"),
        (f"application/json;q=0.5,{AGGREGATED}", AGGREGATED),
        (f"{AGGREGATED};q=0.5,application/json", "application/json"),
        (f"*/*,{AGGREGATED}", AGGREGATED),
        ("text/html,application/json;q=0.9", "application/json"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "application/json"),
        ("application/json;q=none", "application/json"),
        (V2BETA1, None),
        ("application/json;as=Table;v=v1;g=meta.k8s.io", None),
        ("application/json;stream=other", None),
        ("text/html", None),
        (";;;", None),
        (AGGREGATED.replace("json", "vnd.kubernetes.protobuf"), None),
    ],
)
def test_the_form_is_negotiated(api: Bench, accept: str, content_type: str | None) -> None:
    reply = api.call("GET", "/apis", headers={"accept": accept})
    if content_type is None:
        assert (reply.status, reply.reason) == (406, "NotAcceptable")
        return
    assert (reply.status, reply.headers["content-type"]) == (200, content_type)
    document = yaml.safe_load(reply.body)
    assert document["kind"] == ("APIGroupDiscoveryList" if "as=" in content_type else "APIGroupList")


def test_single_documents_come_in_every_form_but_never_aggregated(api: Bench) -> None:
    for path in ("/api", "/apis", "/apis/apps", "/apis/apps/v1", "/api/v1"):
        plain = api.call("GET", path)
        encoded = api.call("GET", path, headers={"accept": PROTOBUF})
        assert encoded.headers["content-type"] == PROTOBUF
        assert decoder.decode(encoded.body) == {"apiVersion": "v1", **plain.json}
    for path in ("/apis/apps", "/apis/apps/v1", "/api/v1"):
        plain = api.call("GET", path)
        assert plain.json == api.call("GET", path, pretty="true").json
        assert api.call("GET", path, pretty="true").body.startswith(b"{\n  ")
        assert yaml.safe_load(api.call("GET", path, headers={"accept": "application/yaml"}).body) == plain.json
        assert api.call("GET", path, headers={"accept": AGGREGATED}).status == 406


def test_unknown_groups_and_versions_are_not_found(api: Bench) -> None:
    for path in ("/api/v2", "/apis/apps/v9", "/apis/apps/v9/deployments", "/api/v1/widgets", "/api/v2/pods"):
        reply = api.call("GET", path)
        assert (reply.status, reply.message) == (404, "the server could not find the requested resource"), path
    for path in ("/apis/none.example", "/apis/none.example/v1", "/apis/none.example/v1/things", "/none"):
        for method in ("GET", "POST"):
            reply = api.call(method, path)
            assert (reply.status, reply.body) == (404, b"404 page not found\n"), path
            assert reply.headers["content-type"] == "text/plain; charset=utf-8"


def test_health_tells_check_by_check(api: Bench) -> None:
    assert api.call("GET", "/livez").body == b"ok"
    verbose = api.call("GET", "/livez", verbose="").body
    assert b"[+]ping ok" in verbose and verbose.endswith(b"livez check passed\n")
    assert api.call("GET", "/livez/ping").body == b"ok"
    assert api.call("GET", "/livez/none").status == 404
    waiting = api.call("GET", "/readyz")
    assert waiting.status == 500 and b"[-]poststarthook/bootstrap-controller failed: reason withheld" in waiting.body
    assert api.call("GET", "/readyz", exclude="poststarthook/bootstrap-controller").status == 200


def test_the_store_is_a_check_of_its_own(api: Bench) -> None:
    assert b"[+]etcd ok\n" in api.call("GET", "/healthz", verbose="").body
    assert b"[+]etcd ok\n[+]etcd-readiness ok\n" in api.call("GET", "/readyz", verbose="").body
    for path in ("/healthz/etcd", "/readyz/etcd", "/readyz/etcd-readiness"):
        assert api.call("GET", path).body == b"ok"


def test_checks_that_there_are_not_cannot_be_excluded(api: Bench) -> None:
    lines = api.call("GET", "/livez", verbose="", exclude=["log", "zeal", "b"]).body.decode().splitlines()
    unmatched = 'warn: some health checks cannot be excluded: no matches for "b", "zeal"'
    assert lines == ["[+]ping ok", "[+]log excluded: ok", unmatched, "livez check passed"]


def test_what_checks_found_is_measured(api: Bench) -> None:
    for path in ("/livez", "/livez", "/readyz"):
        api.call("GET", path)
    text = api.call("GET", "/metrics/slis").body.decode()
    assert "# TYPE kubernetes_healthcheck gauge\n" in text and "# TYPE kubernetes_healthchecks_total counter\n" in text
    assert 'kubernetes_healthcheck{name="ping",type="livez"} 1\n' in text
    assert 'kubernetes_healthcheck{name="poststarthook/bootstrap-controller",type="readyz"} 0\n' in text
    assert 'kubernetes_healthchecks_total{name="ping",status="success",type="livez"} ' in text
    assert 'kubernetes_healthchecks_total{name="poststarthook/bootstrap-controller",status="error",type="readyz"} ' in text


def test_the_version_is_kubernetes_own(api: Bench) -> None:
    version = api.call("GET", "/version").json
    assert (version["major"], version["minor"]) == ("1", "36") and version["gitVersion"].startswith("v1.36.")
    assert (version["emulationMajor"], version["emulationMinor"]) == ("1", "36")
    assert (version["minCompatibilityMajor"], version["minCompatibilityMinor"]) == ("1", "35")
    assert api.call("GET", "/version").body.startswith(b'{\n  "major": "1",\n')
    assert api.call("GET", "/").body.startswith(b'{\n  "paths": [\n    "/')
    paths = api.call("GET", "/").json["paths"]
    assert paths == sorted(paths) and set(paths) >= {"/api/v1", "/apis/apps", "/apis/apps/v1", "/livez/ping", "/openapi/v3"}
    for path in paths:
        assert api.call("GET", path).status in (200, 500), path
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
