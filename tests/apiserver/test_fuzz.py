"""Whatever is sent, the answer is the API's: never a failure inside, always a Status, and nothing stored by what is refused."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from navarch.api.apiextensions import customresourcedefinition
from navarch.api.kind import Kind
from navarch.apimachinery.cel import ast as ast  # It raises Python's limit of recursion, which must not happen within a test.
from tests.apiserver.bench import APPLY, JSON_PATCH, MERGE, STRATEGIC, Bench, Reply
from tests.apiserver.fuzzing import Fuzzer
from tests.apiserver.samples import STORED, name_of, sample

REASONS = {
    400: {"BadRequest"},
    403: {"Forbidden"},
    404: {"NotFound"},
    405: {"MethodNotAllowed"},
    406: {"NotAcceptable"},
    409: {"Conflict", "AlreadyExists"},
    410: {"Expired"},
    413: {"RequestEntityTooLarge"},
    415: {"UnsupportedMediaType"},
    422: {"Invalid"},
    504: {"Timeout"},
}
KINDS = pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource)
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
SEEDS = st.integers(0, 2**32 - 1)
WILDNESS = st.sampled_from([0.0, 0.02, 0.15])


def check(reply: Reply, sent: Any) -> Reply:
    """A success, or a Status with the reason that belongs to its code."""
    if reply.status >= 300:
        assert reply.status in REASONS, (sent, reply.body)
        status = reply.json
        assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", reply.status)
        assert status["reason"] in REASONS[reply.status], (sent, reply.body)
        assert status["message"], sent
        for cause in (status.get("details") or {}).get("causes") or ():
            assert isinstance(cause["message"], str)
    return reply


def clear(api: Bench, kind: Kind, name: str) -> None:
    if kind.resource == "namespaces":
        api.delete(kind.resource, name)
        api.patch(kind.resource, name, {"metadata": {"finalizers": None}})
        api.put(kind.resource, {"metadata": {"name": name}}, "finalize")
        return
    api.patch(kind.resource, name, {"metadata": {"finalizers": None}})
    api.delete(kind.resource, name, {"gracePeriodSeconds": 0})
    api.patch(kind.resource, name, {"metadata": {"finalizers": None}})


@KINDS
@settings(max_examples=120)
@given(seed=SEEDS, wildness=WILDNESS)
def test_bodies_of_any_form_are_answered(api: Bench, kind: Kind, seed: int, wildness: float) -> None:
    fuzzer = Fuzzer(Random(seed), wildness)
    body = fuzzer.object(kind, name_of(kind, "fuzzed"))
    before = api.store.revision
    reply = check(api.call("POST", path_of(kind), body), body)
    if reply.status >= 300:
        assert api.store.revision == before, "a refused request stores nothing"
        return
    made = reply.json
    name = made["metadata"]["name"]
    try:
        assert api.get(kind.resource, name).json == made
        assert check(api.get(kind.resource, name, headers=TABLE), made).status == 200
        again = check(api.put(kind.resource, made), made)
        assert again.status == 200, (made, again.body)
        assert again.json == made, "what was stored is already as it would be stored"
        changed = fuzzer.object(kind, name)
        check(api.call("PUT", path_of(kind, name), changed), changed)
        if "status" in kind.subresources:
            check(api.call("PUT", path_of(kind, name) + "/status", changed), changed)
            assert check(api.get(kind.resource, name, headers=TABLE), changed).status == 200
    finally:
        clear(api, kind, name)


def path_of(kind: Kind, name: str = "") -> str:
    scope = "/namespaces/default" if kind.namespaced else ""
    return f"{kind.api_path}{scope}/{kind.plural}" + (f"/{name}" if name else "")


@KINDS
@settings(max_examples=45)
@given(seed=SEEDS, wildness=WILDNESS)
def test_patches_of_any_form_are_answered(api: Bench, kind: Kind, seed: int, wildness: float) -> None:
    fuzzer = Fuzzer(Random(seed), wildness)
    name = name_of(kind, "patched")
    made = api.made(kind.resource, sample(kind, name))
    try:
        for _ in range(3):
            for type_, change in (
                (JSON_PATCH, fuzzer.json_patch(made)),
                (MERGE, fuzzer.merge(kind)),
                (STRATEGIC, fuzzer.merge(kind)),
                (APPLY, fuzzer.object(kind, name)),
            ):
                before = api.store.revision
                options = {"fieldManager": "fuzzer", "force": "true"} if type_ == APPLY else {}
                for below in ("", "/status") if "status" in kind.subresources else ("",):
                    path = path_of(kind, name) + below
                    reply = check(api.call("PATCH", path, change, content_type=type_, **options), (type_, change))
                    # Beside definitions the server itself writes, whenever it comes to it.
                    alone = kind is not customresourcedefinition.KIND
                    assert reply.status < 300 or not alone or api.store.revision <= before + 1
            assert api.get(kind.resource, name, headers=TABLE).status in (200, 404)
    finally:
        clear(api, kind, name)


TEXT = st.one_of(
    st.sampled_from(["", "0", "1", "-1", "true", "false", "All", "x", "a=b", "a in (b)", "metadata.name=x", "9" * 20]),
    st.text(max_size=20),
)
OPTIONS = st.sampled_from(
    [
        "limit",
        "continue",
        "resourceVersion",
        "resourceVersionMatch",
        "labelSelector",
        "fieldSelector",
        "dryRun",
        "fieldValidation",
        "propagationPolicy",
        "gracePeriodSeconds",
        "includeObject",
        "pretty",
        "fieldManager",
        "force",
        "timeoutSeconds",
    ]
)


@settings(max_examples=400)
@given(
    query=st.dictionaries(OPTIONS, TEXT, max_size=4),
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]),
    path=st.sampled_from(["", "/", "/x", "/x/status", "/x/y", "/x/scale"]),
    accept=st.one_of(st.sampled_from(["", "*/*", "application/json;as=Table;v=v1;g=meta.k8s.io"]), st.text(max_size=30)),
)
def test_queries_of_any_form_are_answered(api: Bench, query: dict[str, str], method: str, path: str, accept: str) -> None:
    body = sample(STORED[0], "queried") if method in ("POST", "PUT") else {} if method == "PATCH" else None
    reply = api.call(
        method,
        f"/api/v1/namespaces/default/configmaps{path}",
        body,
        content_type=MERGE if method == "PATCH" else "application/json",
        headers={"accept": accept},
        **query,
    )
    check(reply, (method, path, query, accept))


@settings(max_examples=300)
@given(st.text(alphabet=st.sampled_from("/abcv1.%20ns-_~?#&=\x00é"), max_size=60))
@example("/api/v1/namespaces/%2e%2e/pods")
@example("/api/v1/namespaces/default/pods/%00")
@example("//api//v1")
@example("/api/v1/namespaces//pods")
@example("/apis/apps/v1/watch")
def test_paths_of_any_form_are_answered(api: Bench, path: str) -> None:
    for prefix in ("", "/api/v1/", "/apis/apps/v1/namespaces/", "/openapi/v3/", "/livez/"):
        for method in ("GET", "POST", "DELETE"):
            reply = api.call(method, prefix + path)
            assert reply.status < 300 or reply.status in (400, 403, 404, 405, 422), (method, prefix + path, reply.body)


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
@example(b"")
@example(b"[" * 100_000)
@example(b'{"a":' * 2000 + b"1" + b"}" * 2000)
@example(b'{"a":' * 1000 + b"1" + b"}" * 1000)
@example(b"[" * 1010 + b"]" * 1010)
@example(b"[" * 1000 + b"{}" + b"]" * 1000)
@example(b'{"metadata":{"name":"\\ud800"}}')
@example(b"\xff\xfe")
@example(b'{"metadata":{"name":"a"}}{}')
@example(b"NaN")
@example(b"a: &a [*a]")
@example(b"- " * 100_000)
@example("\n".join(" " * i + "a:" for i in range(2000)).encode())
@example(
    b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%b]\n" % (i + 1, i + 1, b",".join([b"*%c" % i] * 9)) for i in range(97, 107))
)
@example(b"a: 0b_\nb: 1__0\nc: 0o9\nd: .\ne: 0x\nf: 1e999999\n? [a]\n: b")
@example(b"a: !!python/object:os.system {}")
@example(b"k8s\x00\x0a\x10" + b"\xff" * 30)
@example(b"apiVersion: v1\nspec: {count: 11161103754368468910080}")
def test_bytes_of_any_form_are_answered(api: Bench, body: bytes) -> None:
    for type_ in ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "", "text/html", "x;;;="):
        reply = check(api.call("POST", "/api/v1/namespaces/default/configmaps", body, content_type=type_), body)
        assert reply.status >= 400 or reply.json["kind"] == "ConfigMap"
    for type_ in (JSON_PATCH, MERGE, STRATEGIC, APPLY):
        check(api.call("PATCH", "/api/v1/namespaces/default", body, content_type=type_), body)
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        check(api.call("PATCH", path, body, content_type=type_, fieldManager="fuzzer"), body)
    check(api.call("DELETE", "/api/v1/namespaces/default/configmaps/none", body), body)
