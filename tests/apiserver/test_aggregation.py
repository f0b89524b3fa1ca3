"""Group versions that another API server answers for: found available, asked with who asks, described with the rest."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.aggregation import trust
from navarch.apiserver.aggregation.proxying import identity
from navarch.apiserver.openapi import merging, protobuf
from navarch.apiserver.request import User
from tests.apiserver.bench import Bench, bench
from tests.apiserver.extension import APISERVICES as KIND
from tests.apiserver.extension import DEFINITION, GROUP, META, NAME, ROOT, VERSION, Extension
from tests.apiserver.https import HTTPSServer
from tests.apiserver.test_proxy import own_address

APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
FLUNDERS = f"{ROOT}/namespaces/default/flunders"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


class Served:
    """A server and another one that it hands requests on to."""

    def __init__(self, directory: Path) -> None:
        self.server = HTTPSServer(directory)
        self.extension = Extension(self.server.run, self.server.pki, own_address())
        service, slice_ = self.extension.backend()
        self.ask("POST", "/api/v1/namespaces/default/services", service)
        self.ask("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice_)

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        status, answer = self.server.ask(method, path, body, **options)
        assert status < 300, (method, path, status, answer)
        return answer

    def register(self, *, certified: bool = True) -> None:
        self.ask("POST", APISERVICES, self.extension.service(certified=certified))
        self.until(lambda: self.condition().get("status") == "True")

    def condition(self) -> Object:
        found = self.server.ask("GET", f"{APISERVICES}/{NAME}")[1]
        return dict(meta.condition(found, "Available") or {}) if found.get("kind") == "APIService" else {}

    def have_looked_at(self) -> None:
        """Change something: otherwise half a minute may pass before anybody looks."""
        priority = self.ask("GET", f"{APISERVICES}/{NAME}")["spec"]["versionPriority"] + 1
        patch = [{"op": "replace", "path": "/spec/versionPriority", "value": priority}]
        self.ask("PATCH", f"{APISERVICES}/{NAME}", patch, Content_Type="application/json-patch+json")

    def until(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 20
        while not (value := condition()):
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(0.005)
        return value

    def freshness(self) -> list[str]:
        document = self.ask("GET", "/apis", Accept=AGGREGATED)
        groups = [item for item in document["items"] if item["metadata"]["name"] == GROUP]
        return [version["freshness"] for item in groups for version in item["versions"] if version.get("resources")]

    def close(self) -> None:
        self.server.close()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = Served(tmp_path_factory.mktemp("aggregation"))
    yield found
    found.extension.close()
    found.close()


@pytest.fixture
def served(both: Served) -> Iterator[Served]:
    both.extension.objects.clear()
    both.extension.is_broken, both.extension.is_aggregated = False, True
    both.register()
    both.extension.asked.clear()
    yield both
    both.ask("DELETE", f"{APISERVICES}/{NAME}")


def test_requests_are_handed_on_with_who_asks(served: Served) -> None:
    made = served.ask("POST", FLUNDERS, {"metadata": {"name": "one"}}, leaf="alice", X_Remote_User="root")
    assert made["kind"] == "Flunder"
    assert served.ask("GET", f"{FLUNDERS}/one")["metadata"]["name"] == "one"
    assert [item["metadata"]["name"] for item in served.ask("GET", FLUNDERS)["items"]] == ["one"]
    posted = next(request for request in served.extension.asked if request.method == "POST")
    assert posted.headers["x-remote-user"] == "alice"
    assert posted.headers["x-remote-group"] == "people, system:authenticated"
    assert "authorization" not in posted.headers and posted.headers["x-forwarded-for"] == "127.0.0.1"
    assert served.server.ask("GET", f"{FLUNDERS}/missing")[0] == 404
    served.ask("DELETE", f"{FLUNDERS}/one")
    assert served.ask("GET", FLUNDERS)["items"] == []


def test_whoever_may_not_ask_is_not_handed_on(served: Served) -> None:
    assert served.server.ask("GET", FLUNDERS, leaf="")[0] == 403
    assert not [request for request in served.extension.asked if request.path == FLUNDERS]


def test_impersonated_users_are_who_asks(served: Served) -> None:
    served.ask("GET", FLUNDERS, Impersonate_User="bob", Impersonate_Group="builders")
    (asked,) = [request for request in served.extension.asked if request.path == FLUNDERS]
    assert asked.headers["x-remote-user"] == "bob" and "builders" in asked.headers["x-remote-group"]


def test_watches_are_streamed(served: Served) -> None:
    connection = served.server.connection()
    try:
        served.ask("POST", FLUNDERS, {"metadata": {"name": "first"}})
        connection.request("GET", f"{FLUNDERS}?watch=true")
        answer = connection.getresponse()
        assert orjson.loads(answer.readline())["object"]["metadata"]["name"] == "first"
        served.ask("POST", FLUNDERS, {"metadata": {"name": "second"}})
        assert orjson.loads(answer.readline())["object"]["metadata"]["name"] == "second"
    finally:
        connection.close()


def test_upgraded_connections_are_joined(served: Served) -> None:
    tls = served.server.tls()
    with (
        socket.create_connection(("127.0.0.1", served.server.server.port)) as plain,
        tls.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        head = [
            f"GET {FLUNDERS}/one/stream HTTP/1.1",
            "Host: 127.0.0.1",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ]
        connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101")
        connection.sendall(b"\x81\x02hi")
        assert connection.recv(4096) == b"\x81\x02hi"
    (asked,) = [request for request in served.extension.asked if request.path.endswith("/stream")]
    assert asked.headers["x-remote-user"] == "kubernetes-admin"


# Whether it is available


@pytest.mark.parametrize("broken", ["service", "slice", "answer"])
def test_what_is_not_available_says_why(served: Served, broken: str) -> None:
    served.until(lambda: served.freshness() == ["Current"])
    service, slice_ = served.extension.backend()
    paths = {
        "service": "/api/v1/namespaces/default/services",
        "slice": "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
    }
    if broken == "answer":
        served.extension.is_broken = True
        served.have_looked_at()
    else:
        served.ask("DELETE", f"{paths[broken]}/{service['metadata']['name']}")
    served.until(lambda: served.condition()["status"] == "False")
    url = f"https://{served.extension.address}:{served.extension.port}{ROOT}"
    told = {
        "service": ("ServiceNotFound", 'service/sample-api in "default" is not present'),
        "slice": ("EndpointsNotFound", 'cannot find endpointslices for service/sample-api in "default"'),
        "answer": ("FailedDiscoveryCheck", f"failing or missing response from {url}: bad status from {url}: 500"),
    }[broken]
    assert (served.condition()["reason"], served.condition()["message"]) == told
    status, answer = served.server.ask("GET", FLUNDERS)
    assert (status, answer) == (503, "service unavailable\n")
    served.until(lambda: served.freshness() == ["Stale"])
    served.extension.is_broken = False
    if broken == "answer":
        served.have_looked_at()
    else:
        served.ask("POST", paths[broken], service if broken == "service" else slice_)
    served.until(lambda: served.condition()["status"] == "True")
    assert (served.condition()["reason"], served.condition()["message"]) == ("Passed", "all checks passed")
    assert served.ask("GET", FLUNDERS)["items"] == []


def test_wrong_ports_and_slices_without_addresses_are_told(tmp_path: Path) -> None:
    with bench(tmp_path) as api:
        api.listen()
        backend = {"name": "elsewhere", "namespace": "default", "port": 443}
        spec = {"group": GROUP, "version": VERSION, "groupPriorityMinimum": 1, "versionPriority": 1, "service": backend}
        api.made(KIND, {"metadata": {"name": NAME}, "spec": spec})

        def told(reason: str) -> str:
            def found() -> Object | None:
                condition = meta.condition(api.get(KIND, NAME).json, "Available")
                return condition if condition is not None and condition["reason"] == reason else None

            return str(api.until(found)["message"])

        assert told("ServiceNotFound") == 'service/elsewhere in "default" is not present'
        metadata = {"name": "elsewhere", "namespace": "default"}
        service = api.made("services", {"metadata": metadata, "spec": {"ports": [{"port": 80, "name": "web"}]}})
        assert told("ServicePortError") == 'service/elsewhere in "default" is not listening on port 443'
        service["spec"]["ports"] = [{"port": 443, "name": "web"}]
        assert api.put("services", service).status == 200
        assert told("EndpointsNotFound") == 'cannot find endpointslices for service/elsewhere in "default"'
        slice_ = {
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "elsewhere"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["192.0.2.7"], "conditions": {"ready": False}}],
            "ports": [{"name": "web", "port": 8443}],
        }
        api.made("endpointslices.discovery.k8s.io", slice_)
        text = 'endpointslices for service/elsewhere in "default" have no addresses with port name "web"'
        assert told("MissingEndpoints") == text
        assert (
            'aggregator_unavailable_apiservice{name="v1alpha1.wardle.example.com"} 1'
            in api.call("GET", "/metrics").body.decode()
        )
        # Whoever serves it here again is always there.
        local = api.get(KIND, NAME).json
        del local["spec"]["service"]
        assert api.put(KIND, local).status == 200
        assert told("Local") == "Local APIServices are always available"


def test_a_certificate_that_nobody_vouches_for_is_not_taken(both: Served) -> None:
    both.register(certified=False)
    assert both.ask("GET", FLUNDERS)["items"] == []
    both.ask("DELETE", f"{APISERVICES}/{NAME}")
    untrusted = both.extension.service()
    bundle = base64.b64encode(both.server.pki.certificate("front-proxy-ca").read_bytes()).decode()
    untrusted["spec"]["caBundle"] = bundle
    both.ask("POST", APISERVICES, untrusted)
    # Availability is found out without looking at the certificate.
    both.until(lambda: both.condition().get("status") == "True")
    status, answer = both.server.ask("GET", FLUNDERS)
    assert status == 503 and "error trying to reach service: tls: failed to verify certificate: x509: " in answer
    both.ask("DELETE", f"{APISERVICES}/{NAME}")


# What is said of it


def test_it_is_discovered_with_the_rest(served: Served) -> None:
    groups = [group["name"] for group in served.ask("GET", "/apis")["groups"]]
    assert groups.index("apps") < groups.index(GROUP)
    assert served.ask("GET", f"/apis/{GROUP}")["preferredVersion"] == {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
    assert served.ask("GET", ROOT)["resources"][0]["name"] == "flunders"
    assert served.until(lambda: served.freshness() == ["Current"])
    document = served.ask("GET", "/apis", Accept=AGGREGATED)
    (found,) = [item for item in document["items"] if item["metadata"]["name"] == GROUP]
    assert found["versions"][0]["resources"][0]["resource"] == "flunders"


def test_servers_that_do_not_aggregate_are_asked_version_by_version(both: Served) -> None:
    both.extension.is_aggregated = False
    try:
        both.register()
        assert both.until(lambda: both.freshness() == ["Current"])
        document = both.ask("GET", "/apis", Accept=AGGREGATED)
        (found,) = [item for item in document["items"] if item["metadata"]["name"] == GROUP]
        resource = found["versions"][0]["resources"][0]
        assert (resource["resource"], resource["scope"], resource["responseKind"]["kind"]) == (
            "flunders",
            "Namespaced",
            "Flunder",
        )
    finally:
        both.extension.is_aggregated = True
        both.ask("DELETE", f"{APISERVICES}/{NAME}")


def test_its_schemas_are_with_the_rest(served: Served) -> None:
    root = ROOT.lstrip("/")
    index = served.until(lambda: served.ask("GET", "/openapi/v3")["paths"].get(root))
    assert served.ask("GET", index["serverRelativeURL"])["components"]["schemas"][DEFINITION]["type"] == "object"
    whole = served.ask("GET", "/openapi/v2")
    operation = whole["paths"][f"{ROOT}/namespaces/{{namespace}}/flunders"]["get"]
    assert operation["responses"]["200"]["schema"] == {"$ref": f"#/definitions/{DEFINITION}"}
    assert "/version/" in whole["paths"] and "unknown" not in operation and "unused" not in whole["definitions"]
    # What is called the same and is something else gets another name.
    reference = whole["definitions"][DEFINITION]["properties"]["metadata"]["$ref"]
    assert reference == f"#/definitions/{META}_v2"
    assert whole["definitions"][f"{META}_v2"] == {"type": "object", "description": "Another."}
    connection = served.server.connection()
    try:
        connection.request("GET", "/openapi/v2", headers={"Accept": PROTOBUF})
        answer = connection.getresponse()
        assert answer.status == 200 and DEFINITION.encode() in answer.read()
    finally:
        connection.close()


def test_what_is_gone_is_forgotten(both: Served) -> None:
    both.register()
    both.until(lambda: both.freshness() == ["Current"])
    both.ask("DELETE", f"{APISERVICES}/{NAME}")
    assert both.server.ask("GET", FLUNDERS)[0] == 404
    assert GROUP not in [group["name"] for group in both.ask("GET", "/apis")["groups"]]
    assert ROOT.lstrip("/") not in both.ask("GET", "/openapi/v3")["paths"]


def test_strange_documents_are_merged_as_far_as_they_are_understood() -> None:
    strange = {
        "paths": {
            "/apis/a/v1/x": {"get": {"parameters": [{"in": "formData", "name": "a"}, {"in": "query", "name": "b"}, 7]}},
            "/apis/a/v1/y": {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/A"}}}}},
            "/apis/a/v10/z": {},
        },
        "definitions": {"A": {"additionalProperties": True, "type": "object", "items": [1], "nonsense": 1, "x-y": {"a": 1}}},
    }
    document = merging.merged({"paths": {}, "definitions": {}, "parameters": {}}, orjson.dumps(strange), "/apis/a/v1/")
    assert document["paths"].keys() == {"/apis/a/v1/x", "/apis/a/v1/y"}
    assert document["paths"]["/apis/a/v1/x"]["get"]["parameters"] == [{"in": "query", "name": "b"}]
    assert document["definitions"] == {"A": {"type": "object", "items": [], "x-y": {"a": 1}}}
    protobuf.encode(document)


# Trust, and what the server keeps


def test_other_servers_find_out_whom_to_trust(both: Served) -> None:
    def found() -> Any:
        return both.server.ask("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")[1]

    data = both.until(lambda: found().get("data"))
    assert data["client-ca-file"] == both.server.pki.certificate("ca").read_text()
    assert data["requestheader-client-ca-file"] == both.server.pki.certificate("front-proxy-ca").read_text()
    assert data["requestheader-allowed-names"] == '["front-proxy-client"]'
    assert data["requestheader-username-headers"] == '["X-Remote-User"]'


def test_what_others_have_put_there_is_kept() -> None:
    one, other = (f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n" for name in ("one", "other"))
    combined = trust.combined({"client-ca-file": other, "mine": "x"}, trust.wanted(one, ""))
    assert combined == {"client-ca-file": other + one, "mine": "x"}
    assert trust.combined(combined, trust.wanted(one, "")) == combined


def test_identities_cannot_smuggle_headers() -> None:
    user = User("a\nX-Remote-Group: system:masters", ("b\r\nc",), "1", {"Some/Key %": ("x", "ü")})
    assert identity(user) == {
        "X-Remote-User": "a X-Remote-Group: system:masters",
        "X-Remote-Uid": "1",
        "X-Remote-Group": "b  c",
        "X-Remote-Extra-Some%2FKey%20%25": "x\nÃ¼",
    }


def test_what_the_server_keeps_comes_back(api: Bench) -> None:
    api.listen()
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "keepers", "kind": "Keeper"}
    spec = {"group": "kept.example.com", "names": names, "scope": "Cluster", "versions": [version]}
    api.made("customresourcedefinitions.apiextensions.k8s.io", {"metadata": {"name": "keepers.kept.example.com"}, "spec": spec})
    name = "v1.kept.example.com"
    api.until(lambda: api.get(KIND, name).status == 200)
    uid = api.get(KIND, name).json["metadata"]["uid"]
    api.patch(KIND, name, {"spec": {"versionPriority": 7}})
    api.until(lambda: api.get(KIND, name).json["spec"]["versionPriority"] == 100)
    api.delete(KIND, name)
    api.until(lambda: api.get(KIND, name).status == 200 and api.get(KIND, name).json["metadata"]["uid"] != uid)
    condition = meta.condition(api.get(KIND, name).json, "Available")
    assert condition is not None and condition["reason"] == "Local"
