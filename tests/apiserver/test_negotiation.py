"""Which form an answer gets: the rules by themselves, then every form of every kind through the server."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import yaml

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.api.protobuf import decoder
from navarch.api.protobuf.messages import MAGIC
from navarch.apimachinery.decoding import decode
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.negotiation import JSON, PROTOBUF, YAML, Representation, negotiate, wants_pretty
from tests.api.test_protobuf import stripped
from tests.apiserver.bench import Bench
from tests.apiserver.samples import STORED, name_of, sample

TABLE = "as=Table;v=v1;g=meta.k8s.io"
KINDS = pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Representation(JSON)),
        ("*/*", Representation(JSON)),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Representation(JSON)),
        ("application/yaml", Representation(YAML)),
        (f"{PROTOBUF},application/json", Representation(PROTOBUF)),
        (f"{PROTOBUF};q=0.5,application/json", Representation(JSON)),
        ("application/json;q=0.1,application/yaml;q=0.9", Representation(YAML)),
        (f"application/json;{TABLE},application/json", Representation(JSON, "Table")),
        (f"{PROTOBUF};{TABLE},application/json", Representation(JSON)),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Representation(JSON)),
        (
            f"{PROTOBUF};as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io,application/json",
            Representation(PROTOBUF, "PartialObjectMetadata", "v1beta1"),
        ),
        ("application/json;stream=watch", Representation(JSON)),
    ],
)
def test_the_first_clause_that_fits_wins(accept: str, expected: Representation) -> None:
    assert negotiate(accept) == expected


def test_kinds_without_protobuf_are_sent_as_json_where_that_is_accepted_too() -> None:
    assert negotiate(f"{PROTOBUF},{JSON}", has_protobuf=False) == Representation(JSON)
    with pytest.raises(StatusError) as refused:
        negotiate(PROTOBUF, has_protobuf=False)
    assert refused.value.code == 406


def test_watches_do_not_come_as_yaml() -> None:
    with pytest.raises(StatusError) as refused:
        negotiate(YAML, streamed=True)
    assert refused.value.message == (
        "only the following media types are accepted: application/json;stream=watch, "
        "application/vnd.kubernetes.protobuf;stream=watch"
    )


def test_who_may_not_ask_is_not_told_of_forms(api: Bench) -> None:
    accept = {"accept": "text/html"}
    path = "/api/v1/namespaces/default/pods"
    refused = api.call("GET", path, user=None, headers=accept)
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert refused.headers["content-type"] == JSON and refused.body.startswith(b'{\n  "kind": "Status"')
    assert api.call("GET", path, headers={**accept, "authorization": "Bearer nonsense"}, user=None).status == 401
    assert api.call("GET", f"{path}/x", headers=accept).status == 406
    assert api.call("GET", "/api/v1/nothing", headers=accept).status == 404


def test_refusals_come_in_the_form_that_is_asked_for(api: Bench) -> None:
    refused = api.call("GET", "/api/v1/pods", user=None, headers={"accept": YAML})
    assert refused.headers["content-type"] == YAML and yaml.safe_load(refused.body)["code"] == 403


@pytest.mark.parametrize("path", ["/apis", "/api/v1/namespaces/default/pods/x/log", "/api/v1/namespaces/default/pods/x/proxy/"])
def test_errors_of_what_is_no_object_are_negotiated_too(api: Bench, path: str) -> None:
    seen = api.call("GET", path, user=None, headers={"user-agent": "curl/8.0", "accept": "*/*"})
    assert seen.status == 403 and seen.body.startswith(b'{\n  "kind": "Status"')
    for accept, start in ((YAML, b"apiVersion: v1\n"), (PROTOBUF, MAGIC), ("text/html", b'{\n  "kind"'), (JSON, b'{"kind"')):
        refused = api.call("GET", path, user=None, headers={"accept": accept})
        assert refused.status == 403 and refused.body.startswith(start), accept


@pytest.mark.parametrize(
    ("pretty", "agent", "expected"),
    [
        ("", "kubectl/v1.36", False),
        ("", "curl/8.0", True),
        ("0", "curl/8.0", False),
        ("true", "x", True),
        ("maybe", "x", False),
    ],
)
def test_json_is_indented_for_eyes(pretty: str, agent: str, expected: bool) -> None:
    assert wants_pretty({"pretty": [pretty]} if pretty else {}, agent) is expected


def parts(data: bytes) -> list[tuple[int, bytes]]:
    """(number, content) of a message's fields that have a length."""
    return [(number, data[start:end]) for number, wire, start, end in decoder._fields(data, 0, len(data)) if wire == 2]


def frames(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(type, body of the object) of a watch's protobuf frames."""
    while data:
        (size,) = struct.unpack_from(">I", data)
        event = dict(parts(data[4 : 4 + size]))
        yield event[1].decode(), dict(parts(event[2]))[1]
        data = data[4 + size :]


def as_read(kind: Kind, body: bytes) -> Any:
    """What a protobuf client reads, without what it cannot tell from nothing."""
    found = decoder.decode(body)
    assert (found["apiVersion"], found["kind"]) == (kind.api_version, kind.kind)
    return stripped(decode(found, schemas.of(kind)).object)


@pytest.fixture(scope="module")
def made(api: Bench) -> dict[str, Object]:
    """One object of every kind that has a protobuf form."""
    found = {}
    for kind in STORED:
        obj = sample(kind, name_of(kind, f"negotiated-{len(found)}"))
        reply = api.post(kind.resource, obj)
        assert reply.status == 201, reply.body
        found[kind.resource] = reply.json
    return found


@KINDS
def test_objects_lists_and_events_are_the_same_in_protobuf(api: Bench, made: dict[str, Object], kind: Kind) -> None:
    obj = made[kind.resource]
    name = obj["metadata"]["name"]
    accept = {"accept": f"{PROTOBUF},application/json"}
    reply = api.get(kind.resource, name, headers=accept)
    current = api.get(kind.resource, name).json
    assert as_read(kind, reply.body) == stripped(decode(current, schemas.of(kind)).object)
    listed = api.list(kind.resource, fieldSelector=f"metadata.name={name}", headers=accept)
    envelope = dict(parts(listed.body[len(MAGIC) :]))
    items = [content for number, content in parts(envelope[2]) if number == 2]
    assert kind.list_kind.encode() in envelope[1] and len(items) == 1 and items[0] in reply.body
    watch = api.request(
        "GET",
        f"{kind.api_path}/{kind.plural}",
        fieldSelector=f"metadata.name={name}",
        watch="1",
        timeoutSeconds="1",
        headers=accept,
    )
    assert dict(watch.headers)["Content-Type"] == f"{PROTOBUF};stream=watch"
    first = api.run(anext(watch.body))
    api.run(watch.body.aclose())
    ((type_, body),) = frames(first)
    assert (type_, body) == ("ADDED", reply.body)


@KINDS
def test_objects_are_the_same_in_yaml_and_indented(api: Bench, made: dict[str, Object], kind: Kind) -> None:
    name = made[kind.resource]["metadata"]["name"]
    current = api.get(kind.resource, name).json
    assert yaml.safe_load(api.get(kind.resource, name, headers={"accept": YAML}).body) == current
    pretty = api.get(kind.resource, name, pretty="true").body
    assert orjson.loads(pretty) == current and pretty.startswith(b'{\n  "apiVersion"') and pretty.endswith(b"\n}")


def test_errors_come_in_the_form_that_was_wanted(api: Bench) -> None:
    reply = api.get("configmaps", "none", headers={"accept": PROTOBUF})
    status = decoder.decode(reply.body)
    assert (reply.status, reply.headers["content-type"], status["reason"]) == (404, PROTOBUF, "NotFound")
    assert status["details"] == {"name": "none", "kind": "configmaps"}
    assert yaml.safe_load(api.get("configmaps", "none", headers={"accept": YAML}).body)["code"] == 404
    # A list of things that are no objects of the kind: still a Status.
    table = api.get("configmaps", "none", headers={"accept": f"application/json;{TABLE}"})
    assert table.json["kind"] == "Status"


def test_metadata_alone_comes_in_protobuf(api: Bench, made: dict[str, Object]) -> None:
    form = f"{PROTOBUF};as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    name = made["pods"]["metadata"]["name"]
    reply = api.list("pods", fieldSelector=f"metadata.name={name}", headers={"accept": form})
    assert b"PartialObjectMetadataList" in reply.body and name.encode() in reply.body and b"registry.example" not in reply.body


def test_what_subresources_say_comes_in_protobuf(api: Bench, made: dict[str, Object]) -> None:
    name = made["deployments.apps"]["metadata"]["name"]
    reply = api.get("deployments.apps", name, subresource="scale", headers={"accept": PROTOBUF})
    scale = decoder.decode(reply.body)
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 1})
    gone = api.delete("configmaps", made["configmaps"]["metadata"]["name"], headers={"accept": PROTOBUF})
    assert decoder.decode(gone.body)["status"] == "Success"


def test_long_protobuf_lists_are_compressed_where_asked(api: Bench) -> None:
    api.namespace("compressed")
    for number in range(3):
        obj = {"metadata": {"name": f"long-{number}", "namespace": "compressed"}, "data": {"a": "x" * 100_000}}
        api.made("configmaps", obj)
    accept = {"accept": PROTOBUF}
    plain = api.list("configmaps", "compressed", headers=accept)
    for _ in range(2):
        reply = api.list("configmaps", "compressed", headers={**accept, "accept-encoding": "gzip"})
        assert (reply.headers["content-encoding"], reply.headers["vary"]) == ("gzip", "Accept-Encoding")
        assert gzip.decompress(reply.body) == plain.body
    assert len(parts(dict(parts(plain.body[len(MAGIC) :]))[2])) == 4


def test_every_answer_says_under_which_identifier_it_is_audited(api: Bench) -> None:
    first, second = api.get("namespaces", "default"), api.get("namespaces", "none")
    assert first.headers["audit-id"] != second.headers["audit-id"] and len(first.headers["audit-id"]) == 36
    assert api.get("namespaces", "default", headers={"audit-id": "mine"}).headers["audit-id"] == "mine"


def test_no_cache_on_the_way_keeps_answers_for_others(api: Bench) -> None:
    for path in ("/api/v1/namespaces/default", "/api/v1/namespaces/none", "/api/v1/pods", "/healthz", "/none"):
        assert api.call("GET", path).headers["cache-control"] == "no-cache, private"
