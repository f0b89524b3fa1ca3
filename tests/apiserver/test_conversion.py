"""Webhooks that convert custom resources between their versions: spec.host of v1 is spec.name and spec.port of v2."""

from __future__ import annotations

import base64
import copy
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from navarch.apimachinery.errors import Object
from navarch.apiserver.subresources import proxy
from navarch.component import httpserver
from navarch.component.httpserver import Request, Response
from navarch.component.pki import PKI, Leaf
from tests.apiserver.bench import APPLY, MERGE, Bench, Reply
from tests.apiserver.hooks import MUTATING, HookServer, add, configuration, patched

STRING = {"type": "string"}
HOSTS = "/apis/example.com/{version}/namespaces/default/hosts"
ONE: Object = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"host": {**STRING, "minLength": 3}}}}}
TWO_SPEC: Object = {"type": "object", "required": ["name"], "properties": {"name": STRING, "port": STRING}}
TWO: Object = {"type": "object", "properties": {"spec": TWO_SPEC}}


def convert(obj: Object, target: str) -> Object:
    made = {**copy.deepcopy(obj), "apiVersion": target}
    if target.endswith("v2"):
        name, _, port = made["spec"]["host"].partition(":")
        made["spec"] = {"name": name, "port": port}
    else:
        made["spec"] = {"host": f"{made['spec']['name']}:{made['spec']['port']}"}
    made["metadata"].setdefault("annotations", {})["from"] = obj["apiVersion"]
    return made


class Webhook:
    """One that does what `change` makes of its answers."""

    def __init__(self, api: Bench, directory: Path) -> None:
        pki = PKI(directory)
        pki.ensure([Leaf("hook", "hook", names=("127.0.0.1", "hook.default.svc"))])
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(pki.certificate("hook"), pki.key("hook"))
        self._server = api.run(httpserver.serve(self._serve, "127.0.0.1", tls=tls))
        self._api = api
        self.asked: list[tuple[str, list[str]]] = []
        """(version, names)"""
        self.change: Callable[[Object], Any] = lambda answer: answer
        self.port = self._server.port
        self.config: Object = {
            "url": f"https://127.0.0.1:{self.port}/convert",
            "caBundle": base64.b64encode(pki.certificate("ca").read_bytes()).decode(),
        }

    async def _serve(self, request: Request) -> Response:
        asked = orjson.loads(request.body)
        assert (request.method, request.path, request.query) == ("POST", "/convert", "timeout=30s")
        wanted, target = asked["request"], asked["request"]["desiredAPIVersion"]
        self.asked.append((target, [obj["metadata"].get("name", "") for obj in wanted["objects"]]))
        response = {
            "uid": wanted["uid"],
            "result": {"status": "Success"},
            "convertedObjects": [convert(obj, target) for obj in wanted["objects"]],
        }
        answer = self.change({"apiVersion": asked["apiVersion"], "kind": "ConversionReview", "response": response})
        return answer if isinstance(answer, Response) else Response(200, body=orjson.dumps(answer))

    def close(self) -> None:
        self._api.run(self._server.close())


@pytest.fixture(scope="module")
def hook(api: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    found = Webhook(api, tmp_path_factory.mktemp("hook"))
    yield found
    found.close()


@pytest.fixture
def hosts(api: Bench, hook: Webhook) -> Iterator[Hosts]:
    hook.change = lambda answer: answer
    found = Hosts(api, hook)
    yield found
    found.close()


class Hosts:
    """Of two versions; v1 is stored at first."""

    def __init__(self, api: Bench, hook: Webhook) -> None:
        self.api, self.hook = api, hook
        conversion = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": hook.config}}
        one = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": ONE}}
        fields = [{"jsonPath": ".spec.name"}]
        two = {**one, "name": "v2", "storage": False, "schema": {"openAPIV3Schema": TWO}, "selectableFields": fields}
        self.definition: Object = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "hosts.example.com"},
            "spec": {
                "group": "example.com",
                "names": {"plural": "hosts", "kind": "Host"},
                "scope": "Namespaced",
                "conversion": conversion,
                "versions": [one, two],
            },
        }
        reply = api.post("customresourcedefinitions.apiextensions.k8s.io", self.definition)
        assert reply.status == 201 and "warning" not in reply.headers

    def close(self) -> None:
        self.api.delete("customresourcedefinitions.apiextensions.k8s.io", "hosts.example.com")
        self.api.until(lambda: self.api.call("GET", self.path("v1")).status == 404)

    def redefine(self, patch: Any) -> None:
        reply = self.api.patch("customresourcedefinitions.apiextensions.k8s.io", "hosts.example.com", patch)
        assert reply.status == 200, reply.message

    def store_in_two(self) -> None:
        versions = copy.deepcopy(self.definition["spec"]["versions"])
        versions[0]["storage"], versions[1]["storage"] = False, True
        self.redefine({"spec": {"versions": versions}})

    def path(self, version: str, name: str = "") -> str:
        return HOSTS.format(version=version) + (f"/{name}" if name else "")

    def body(self, version: str, called: str, /, **spec: str) -> Object:
        return {"apiVersion": f"example.com/{version}", "kind": "Host", "metadata": {"name": called}, "spec": spec}

    def create(self, version: str, called: str, /, **spec: str) -> Reply:
        return self.api.call("POST", self.path(version), self.body(version, called, **spec))

    def get(self, version: str, name: str) -> Reply:
        return self.api.call("GET", self.path(version, name))


def test_an_object_is_read_and_written_in_every_version(hosts: Hosts) -> None:
    api = hosts.api
    made = hosts.create("v2", "a", name="one", port="80")
    assert made.status == 201, made.message
    assert (made.json["apiVersion"], made.json["spec"]) == ("example.com/v2", {"name": "one", "port": "80"})
    assert hosts.get("v1", "a").json["spec"] == {"host": "one:80"}
    # Everything else of the metadata is as it was.
    found = hosts.get("v2", "a").json
    assert (
        found["metadata"]["annotations"] == {"from": "example.com/v1"}
        and found["metadata"]["uid"] == made.json["metadata"]["uid"]
    )
    patched = api.call("PATCH", hosts.path("v2", "a"), {"spec": {"port": "81"}}, content_type=MERGE)
    assert patched.json["spec"] == {"name": "one", "port": "81"} and patched.json["metadata"]["generation"] == 2
    replaced = api.call("PUT", hosts.path("v2", "a"), {**patched.json, "spec": {"name": "two", "port": "81"}})
    assert replaced.status == 200 and hosts.get("v1", "a").json["spec"] == {"host": "two:81"}
    body = orjson.dumps(hosts.body("v2", "a", name="three", port="82"))
    applied = api.call("PATCH", hosts.path("v2", "a"), body, content_type=APPLY, fieldManager="me", force="true")
    assert applied.json["spec"] == {"name": "three", "port": "82"}
    made = api.call("POST", hosts.path("v2"), {**hosts.body("v2", "", name="x", port="1"), "metadata": {"generateName": "g-"}})
    assert made.status == 201 and made.json["metadata"]["name"].startswith("g-")
    assert api.call("DELETE", hosts.path("v2", "a")).json["status"] == "Success"
    assert hosts.get("v2", "a").status == 404


def test_rules_are_those_of_the_version_that_is_asked_for(hosts: Hosts) -> None:
    assert hosts.create("v2", "a", port="80").causes == [("FieldValueRequired", "spec.name")]
    assert hosts.create("v1", "a", host="x").causes == [("FieldValueInvalid", "spec.host")]


def test_a_list_of_objects_stored_in_several_versions(hosts: Hosts) -> None:
    hosts.create("v1", "a", host="one:80")
    hosts.create("v1", "b", host="two:80")
    hosts.store_in_two()
    hosts.create("v2", "c", name="three", port="80")
    hosts.hook.asked.clear()
    found = hosts.api.call("GET", hosts.path("v2")).json["items"]
    assert [(obj["apiVersion"], obj["spec"]["name"]) for obj in found] == [
        ("example.com/v2", n) for n in ("one", "two", "three")
    ]
    assert hosts.hook.asked == [("example.com/v2", ["a", "b"])], "all at once, and only those that are not so yet"
    hosts.api.call("GET", hosts.path("v2"))
    assert len(hosts.hook.asked) == 1, "what is known is not asked for again"
    found = hosts.api.call("GET", hosts.path("v1")).json["items"]
    assert [obj["spec"]["host"] for obj in found] == ["one:80", "two:80", "three:80"]
    table = hosts.api.call("GET", hosts.path("v1"), headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json
    assert [row["cells"][0] for row in table["rows"]] == ["a", "b", "c"]


def test_selected_and_watched(hosts: Hosts) -> None:
    api = hosts.api
    hosts.create("v1", "a", host="one:80")
    hosts.create("v1", "b", host="two:80")
    names = [obj["metadata"]["name"] for obj in api.call("GET", hosts.path("v2"), fieldSelector="spec.name=two").json["items"]]
    assert names == ["b"]
    everything, chosen = api.watch(hosts.path("v2")), api.watch(hosts.path("v2"), fieldSelector="spec.name=two")
    assert everything.take(2) == [("ADDED", "a"), ("ADDED", "b")] and chosen.take(1) == [("ADDED", "b")]
    for name, host in (("a", "two:81"), ("b", "one:1")):
        api.call("PATCH", hosts.path("v1", name), {"spec": {"host": host}}, content_type=MERGE)
    event = everything.next()
    assert (event["type"], event["object"]["spec"]) == ("MODIFIED", {"name": "two", "port": "81"})
    assert chosen.take(2) == [("ADDED", "a"), ("DELETED", "b")]
    everything.close()
    chosen.close()
    api.call("DELETE", hosts.path("v2"))
    assert api.call("GET", hosts.path("v1")).json["items"] == []


def with_response(**fields: Any) -> Callable[[Object], Object]:
    return lambda answer: {**answer, "response": {**answer["response"], **fields}}


def with_first(**fields: Any) -> Callable[[Object], Object]:
    def change(answer: Object) -> Object:
        first, *others = answer["response"]["convertedObjects"]
        return with_response(convertedObjects=[{**first, **fields}, *others])(answer)

    return change


def with_metadata(**fields: Any) -> Callable[[Object], Object]:
    def change(answer: Object) -> Object:
        metadata = answer["response"]["convertedObjects"][0]["metadata"]
        return with_first(metadata={**metadata, **fields})(answer)

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (with_response(result={"status": "Failure", "message": "not today"}), "failed: not today"),
        (with_response(result={"status": "Failed"}), "failed: response.result.status was 'Failed', not 'Success'"),
        (with_response(convertedObjects=[]), "returned 0 objects, expected 1"),
        (
            with_first(apiVersion="example.com/v3"),
            "returned invalid object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v3)",
        ),
        (with_first(kind="Guest"), "returned invalid object at index 0: invalid kind (expected Host, received Guest)"),
        (
            with_first(metadata={"name": "b", "namespace": "default"}),
            "returned invalid object: must have the same name: a != b",
        ),
        (
            with_metadata(labels=["a"]),
            "returned invalid metadata: invalid metadata.labels of type []interface {} in converted object",
        ),
        (
            with_metadata(annotations={"a": 1}),
            "returned invalid metadata: metadata.annotations[a] must be a string, but is int64 in converted object",
        ),
        (lambda answer: {**answer, "response": None}, "failed: no response provided"),
        (lambda answer: Response(404, body=b"?"), "failed: the server could not find the requested resource"),
        (
            lambda answer: Response(500, body=b"oops"),
            'failed: an error on the server ("oops") has prevented the request from succeeding',
        ),
    ],
)
def test_a_webhook_that_does_not_do_its_work(hosts: Hosts, change: Callable[[Object], Any], text: str) -> None:
    hosts.create("v1", "a", host="one:80")
    hosts.hook.change = change
    reply = hosts.get("v2", "a")
    assert (reply.status, reply.message) == (500, f"conversion webhook for example.com/v1, Kind=Host {text}")
    assert "reason" not in reply.json
    assert hosts.get("v1", "a").status == 200
    event = hosts.api.watch(hosts.path("v2")).next()
    assert (event["type"], event["object"]["message"]) == ("ERROR", reply.message)
    # Once it does, all is well.
    hosts.hook.change = lambda answer: answer
    assert hosts.get("v2", "a").json["spec"]["name"] == "one"


def test_a_webhook_that_is_not_reached(hosts: Hosts) -> None:
    hosts.create("v1", "a", host="one:80")
    gone = "https://127.0.0.1:1/convert"
    hosts.redefine({"spec": {"conversion": {"webhook": {"clientConfig": {"url": gone}}}}})
    shown = f'conversion webhook for example.com/v1, Kind=Host failed: Post "{gone}?timeout=30s": '
    assert hosts.get("v2", "a").message == f"{shown}dial tcp 127.0.0.1:1: connect: connection refused"
    hosts.redefine({"spec": {"conversion": {"webhook": {"clientConfig": {"url": hosts.hook.config["url"], "caBundle": None}}}}})
    assert "tls: failed to verify certificate: x509: " in hosts.get("v2", "a").message


def test_a_webhook_behind_a_service(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.create("v1", "a", host="one:80")
    service = {"name": "hook", "namespace": "default", "path": "/convert"}
    hosts.redefine({"spec": {"conversion": {"webhook": {"clientConfig": {"url": None, "service": service}}}}})
    missing = 'Post "https://hook.default.svc:443/convert?timeout=30s": services "hook" not found'
    assert hosts.get("v2", "a").message == f"conversion webhook for example.com/v1, Kind=Host failed: {missing}"

    def endpoint(store: Any, *wanted: str) -> tuple[str, int]:
        assert wanted == ("default", "hook", "443")
        return "127.0.0.1", hosts.hook.port

    # Endpoints cannot be where this test is; that the certificate is the Service's is looked at all the same.
    monkeypatch.setattr(proxy, "endpoint", endpoint)
    assert hosts.get("v2", "a").json["spec"] == {"name": "one", "port": "80"}


def test_admission_sees_the_version_that_it_knows_converted_by_the_webhook(hosts: Hosts, api: Bench, tmp_path: Path) -> None:
    server = HookServer(api.run, tmp_path)
    server.answers["/"] = patched(add("/spec/name", "changed.example.com"))
    rule = {"apiGroups": ["example.com"], "apiVersions": ["v2"], "resources": ["hosts"]}
    try:
        api.made(MUTATING, configuration("hosts", server.hook("hosts", "/", rule)))
        body = {
            "apiVersion": "example.com/v1",
            "kind": "Host",
            "metadata": {"name": "told"},
            "spec": {"host": "example.com:80"},
        }
        made = api.call("POST", hosts.path("v1"), body).json
        assert made["spec"] == {"host": "changed.example.com:80"}
        # Whatever has to be begun anew for a conversion: the last time counts.
        asked = server.about("/")[-1]
        assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v2", "v1")
        assert asked["object"]["spec"] == {"name": "example.com", "port": "80"}
    finally:
        api.delete(MUTATING, "hosts")
        server.close()
