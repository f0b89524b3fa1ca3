"""What is said of bodies and patches that are no object of the kind."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery import yamlcodec
from navarch.apiserver.body import AT_ONCE_LIMIT_BYTES
from navarch.component.httpserver import Request, Response
from tests.apiserver.bench import ADMIN, APPLY, JSON_PATCH, MERGE, STRATEGIC, Bench
from tests.apiserver.samples import sample

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
JSON = "application/json"
STRUCT = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
UNRECOGNIZED = "the object provided is unrecognized (must be of type ConfigMap): "
NO_KIND = "couldn't get version/kind; json parse error: "
NOT_INTO = "json: cannot unmarshal"
NAMELESS = {"spec": {"containers": [{"image": "b"}]}}
ODD = [{"op": "add", "path": "/extra", "value": 1, "by": "me"}]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"apiVersion: v1\nkind: ConfigMap\n", "invalid character 'a' looking for beginning of value"),
        (b"", "unexpected end of JSON input"),
        (b"[]", f"json: cannot unmarshal array into Go value of type {STRUCT}"),
        (b'"x"', f"json: cannot unmarshal string into Go value of type {STRUCT}"),
        (b'{"kind":', "unexpected end of JSON input"),
        (b'{"kind": "ConfigMap",}', "invalid character '}' looking for beginning of object key string"),
        (b'{"data":' + b"[" * 2000 + b"]" * 2000 + b"}", "exceeded max depth"),
    ],
)
def test_what_does_not_say_what_it_is_is_shown(api: Bench, body: bytes, text: str) -> None:
    reply = api.call("POST", CONFIG_MAPS, body, content_type=JSON)
    shown = body[:30].decode() if body.startswith(b"{") else body[:30].hex()
    more = " ..." if len(body) > 30 else ""
    assert (reply.status, reply.reason) == (400, "BadRequest")
    assert reply.message == f"{UNRECOGNIZED}{NO_KIND}{text} ({shown or '<empty>'}{more})"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a: b: c", "yaml: mapping values are not allowed in this context"),
        (b"a: 1\nb: c: d", "yaml: line 2: mapping values are not allowed in this context"),
        (b"a: 1\nb: [1,", "yaml: line 2: did not find expected node content"),
        (b"- a\nb: 1", "yaml: line 1: did not find expected '-' indicator"),
        (b"a: \x01", "yaml: control characters are not allowed"),
    ],
)
def test_yaml_that_is_none_is_shown_too(api: Bench, text: bytes, said: str) -> None:
    reply = api.call("POST", CONFIG_MAPS, text, content_type="application/yaml")
    assert (reply.status, reply.message) == (400, f"{UNRECOGNIZED}{said} ({text.hex()})")


def test_of_several_documents_the_first_counts(api: Bench) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: leading}\n---\nkind: Pod\n"
    made = api.call("POST", CONFIG_MAPS, text, content_type="application/yaml")
    assert (made.status, made.json["metadata"]["name"]) == (201, "leading")


@pytest.mark.parametrize(
    ("sent", "kept"), [(b"a\xffb", "a\ufffdb"), (rb"\ud800x\ud83d\ude00\\ud800", "\ufffdx\U0001f600\\ud800")]
)
def test_what_is_no_character_is_replaced(api: Bench, sent: bytes, kept: str) -> None:
    name = f"odd-{len(sent)}"
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%b"},"data":{"a":"%b"}}' % (name.encode(), sent)
    made = api.call("POST", CONFIG_MAPS, body)
    assert (made.status, made.json["data"]) == (201, {"a": kept})


@pytest.mark.parametrize(
    ("content_type", "code", "text"),
    [
        (JSON_PATCH, 200, ""),
        (STRATEGIC, 200, ""),
        (MERGE, 400, "Invalid JSON Patch"),
        (APPLY, 400, "invalid object type: /, Kind="),
    ],
)
def test_a_patch_that_is_null(api: Bench, content_type: str, code: int, text: str) -> None:
    api.call("POST", CONFIG_MAPS, sample(resource("configmaps"), "null"))
    reply = api.call("PATCH", f"{CONFIG_MAPS}/null", b"null", content_type=content_type, fieldManager="test")
    assert (reply.status, reply.message) == (code, text)


@pytest.mark.parametrize(("method", "content_type"), [("POST", "application/yaml"), ("PATCH", "application/apply-patch+yaml")])
def test_others_are_served_while_long_yaml_is_read(
    api: Bench, monkeypatch: pytest.MonkeyPatch, method: str, content_type: str
) -> None:
    served, load = Event(), yamlcodec.load

    def slow(text: bytes | str, **options: Any) -> Any:
        assert served.wait(api.timeout_seconds), "nobody else was served"
        return load(text, **options)

    monkeypatch.setattr(yamlcodec, "load", slow)
    name = f"long-{method.lower()}"
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  a: {'x' * AT_ONCE_LIMIT_BYTES}\n"
    long = Request(
        method,
        CONFIG_MAPS + (f"/{name}" if method == "PATCH" else ""),
        "fieldManager=test",
        {"content-type": content_type},
        text.encode(),
        ADMIN,
    )

    async def ask() -> Response:
        writing = asyncio.ensure_future(api.server.pipeline.handle(long))
        reading = await api.server.pipeline.handle(Request("GET", "/api/v1/namespaces/default", "", {}, b"", ADMIN))
        assert reading.status == 200 and not writing.done()
        served.set()
        return await writing

    assert api.run(ask()).status == 201
    assert len(api.get("configmaps", name).json["data"]["a"]) == AT_ONCE_LIMIT_BYTES


def test_long_yaml_that_is_none_is_refused_as_short_is(api: Bench) -> None:
    more = b" " * AT_ONCE_LIMIT_BYTES
    path = f"{CONFIG_MAPS}/none"
    for content_type, method, at in (("application/yaml", "POST", CONFIG_MAPS), (APPLY, "PATCH", path)):
        for text in (b"a: b: c", b"{a: b: c"):
            short, long = (
                api.call(method, at, body, content_type=content_type, fieldManager="test") for body in (text, text + more)
            )
            assert (long.status, long.message[:60]) == (short.status, short.message[:60]) and short.status == 400
    twice = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: none}\ndata: {a: b, a: c}\n" + more
    refused = api.call("PATCH", path, twice, content_type=APPLY, fieldManager="test", fieldValidation="Strict")
    assert refused.status == 400 and 'line 4: key "a" already set in map' in refused.message


@pytest.mark.parametrize("types", [{}, {"kind": "ConfigMap"}, {"apiVersion": "v1"}])
def test_what_a_body_does_not_say_of_its_type_is_taken_from_the_path(api: Bench, types: dict[str, Any]) -> None:
    obj = {**types, "metadata": {"name": f"typed-{len(str(types))}"}}
    made = api.call("POST", CONFIG_MAPS, obj)
    assert (made.status, made.json["apiVersion"], made.json["kind"]) == (201, "v1", "ConfigMap")


@pytest.mark.parametrize(
    ("changes", "shown", "text"),
    [
        ({"metadata": {"labels": "x"}}, "map[metadata:map[labels:x]]", "cannot restore map from string"),
        ({"spec": {"containers": {"a": 1}}}, "map[spec:map[containers:map[a:1]]]", "cannot restore slice from map"),
        ({"spec": {"securityContext": [True]}}, "map[spec:map[securityContext:[true]]]", "cannot restore struct from: slice"),
        ({"spec": {"hostname": 1}}, "map[spec:map[hostname:1]]", "cannot convert int64 to string"),
        ({"spec": {"hostname": False}}, "map[spec:map[hostname:false]]", "unrecognized type: string"),
        ({"spec": {"priority": "x"}}, "map[spec:map[priority:x]]", "unrecognized type: int32"),
        ({"spec": {"priority": 1.5}}, "map[spec:map[priority:1.5]]", "cannot convert float64 to int32"),
    ],
)
def test_what_a_strategic_merge_patch_makes_of_an_object_is_converted_not_decoded(
    api: Bench, changes: dict[str, Any], shown: str, text: str
) -> None:
    api.post("pods", sample(resource("pods"), "converted"))
    reply = api.patch("pods", "converted", changes, content_type=STRATEGIC)
    assert (reply.status, reply.reason) == (422, "Invalid")
    assert reply.message == f' "" is invalid: patch: Invalid value: "{shown}": {text}'
    cause = {"reason": "FieldValueInvalid", "message": f'Invalid value: "{shown}": {text}', "field": "patch"}
    assert reply.json["details"] == {"causes": [cause]}


def test_what_a_merge_patch_makes_of_an_object_is_shown_where_it_is_none(api: Bench) -> None:
    api.made("configmaps", sample(resource("configmaps"), "decoded"))
    reply = api.patch("configmaps", "decoded", {"metadata": {"labels": "x"}}, content_type=MERGE)
    text = "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string"
    assert (reply.status, reply.reason) == (422, "Invalid")
    assert reply.message.startswith(' "" is invalid: patch: Invalid value: "{') and reply.message.endswith(f": {text}")


@pytest.mark.parametrize(
    ("content_type", "changes", "text"),
    [
        (STRATEGIC, {"extra": 1}, 'Invalid value: "map[extra:1]": strict decoding error: unknown field "extra"'),
        (MERGE, {"extra": 1}, ': strict decoding error: unknown field "extra"'),
        (JSON_PATCH, ODD, ': strict decoding error: json patch unknown field "[0].by", unknown field "extra"'),
    ],
)
def test_a_patch_that_is_not_strict_is_invalid(api: Bench, content_type: str, changes: Any, text: str) -> None:
    api.post("configmaps", sample(resource("configmaps"), "strictly"))
    reply = api.patch("configmaps", "strictly", changes, content_type=content_type, fieldValidation="Strict")
    assert (reply.status, reply.reason) == (422, "Invalid") and reply.message.endswith(text)
    warned = api.patch("configmaps", "strictly", changes, content_type=content_type)
    assert warned.status == 200 and "unknown field" in warned.headers["warning"]


@pytest.mark.parametrize(
    ("content_type", "changes", "code", "text"),
    [
        (MERGE, [], 400, f"error decoding patch: {NOT_INTO} array into Go value of type map[string]interface {{}}"),
        (STRATEGIC, "x", 400, f"{NOT_INTO} string into Go value of type map[string]interface {{}}"),
        (
            JSON_PATCH,
            {},
            400,
            f"error decoding patch: {NOT_INTO} object into Go value of type []handlers.jsonPatchOp",
        ),
        (STRATEGIC, {"$patch": "x", "a": 1}, 400, "unknown patch type: x in map: map[$patch:x a:1]"),
        (
            STRATEGIC,
            {"spec": {"containers": [{"image": "b"}]}},
            400,
            "map: map[image:b] does not contain declared merge key: name",
        ),
        (STRATEGIC, {"spec": {"$retainKeys": "x"}}, 400, "invalid patch format of retainKeys"),
        (
            STRATEGIC,
            {"spec": {"$retainKeys": ["hostname"], "subdomain": "a"}},
            422,
            "the server rejected our request due to an error in our request",
        ),
    ],
)
def test_patches_that_cannot_be_applied(api: Bench, content_type: str, changes: Any, code: int, text: str) -> None:
    api.post("pods", sample(resource("pods"), "unapplied"))
    reply = api.patch("pods", "unapplied", changes, content_type=content_type)
    assert (reply.status, reply.message) == (code, text)
    assert reply.reason == {400: "BadRequest", 422: "Invalid"}[code]


POD = "/api/v1/namespaces/default/pods/spoken-of"
SAYS = "invalid character 'x' looking for beginning of value"


@pytest.mark.parametrize(("subresource", "kind"), [("eviction", "Eviction"), ("binding", "Binding")])
def test_what_subresources_speak_is_read_as_objects_are(api: Bench, subresource: str, kind: str) -> None:
    api.post("pods", sample(resource("pods"), "spoken-of"))
    path = f"{POD}/{subresource}"
    text = f"the object provided is unrecognized (must be of type {kind}): {NO_KIND}{SAYS} (78)"
    assert api.call("POST", path, b"x", content_type=JSON).message == text
    strict = api.call("POST", path, {"extra": 1}, fieldValidation="Strict", dryRun="All")
    assert (strict.status, strict.reason) == (400, "BadRequest")
    assert strict.message.endswith(f'cannot be handled as a {kind}: strict decoding error: unknown field "extra"')


def test_patches_of_scales_are_refused_as_those_of_objects(api: Bench) -> None:
    api.made("deployments.apps", sample(resource("deployments.apps"), "scaled"))
    changes = {"spec": {"replicas": "x"}}
    reply = api.patch("deployments.apps", "scaled", changes, subresource="scale", content_type=STRATEGIC)
    text = ' "" is invalid: patch: Invalid value: "map[spec:map[replicas:x]]": unrecognized type: int32'
    assert (reply.status, reply.message) == (422, text)
    reply = api.patch("deployments.apps", "scaled", [], subresource="scale", content_type=MERGE)
    text = f"error decoding patch: {NOT_INTO} array into Go value of type map[string]interface {{}}"
    assert (reply.status, reply.message) == (400, text)
    for value in (None, [], "x", 1):
        gone = [{"op": "replace", "path": "", "value": value}]
        for part in ("", "scale"):
            reply = api.patch("deployments.apps", "scaled", gone, subresource=part, content_type=JSON_PATCH)
            assert (reply.status, reply.message) == (400, "a patched object must be an object")
    odd = {"metadata": {"resourceVersion": "0"}, "spec": {"replicas": 2, "extra": 1}}
    assert api.patch("deployments.apps", "scaled", odd, subresource="scale", fieldValidation="Strict").status == 422
    told = api.patch("deployments.apps", "scaled", odd, subresource="scale")
    assert told.status == 200 and 'unknown field \\"spec.extra\\"' in told.headers["warning"]


def test_options_of_a_deletion_that_are_none_are_refused_in_the_decoders_words(api: Bench) -> None:
    assert api.call("DELETE", POD, b"x", content_type=JSON).message == f"{NO_KIND}{SAYS}"
    reply = api.call("DELETE", POD, {"gracePeriodSeconds": "x"})
    text = f"{NOT_INTO} string into Go struct field DeleteOptions.gracePeriodSeconds of type int64"
    assert (reply.status, reply.message) == (400, text)
