"""Protobuf bodies: what Go sends is read, what we send is what Go would send."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.api import registry, schemas
from navarch.api.protobuf import decoder, encoder
from navarch.api.protobuf.messages import MAGIC, MEDIA_TYPE, messages
from navarch.apimachinery import meta
from navarch.apimachinery.decoding import decode
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import Schema
from navarch.apimachinery.unmarshal import DecodeError
from tests.api import maximal
from tests.apiserver.bench import Bench, bench
from tests.apiserver.fuzzing import Fuzzer
from tests.apiserver.samples import STORED, sample


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def message(obj: Object, schema: Schema, embedded: str = "") -> bytes:
    """`obj` as generated Go code would write it."""
    parts = []
    for number, entry in sorted(messages()[embedded or schema.name].items()):
        if entry.embedded:
            parts.append(field(number, message(obj, schema, entry.embedded)))
        elif entry.name in obj and entry.name in schema.properties:
            parts.append(encoded(number, obj[entry.name], schema.properties[entry.name]))
    return b"".join(parts)


def encoded(number: int, value: Any, schema: Schema) -> bytes:
    match schema.type:
        case "list":
            return b"".join(encoded(number, item, schema.element) for item in value)
        case "map":
            return b"".join(
                field(number, field(1, key.encode()) + inside_map(item, schema.element)) for key, item in value.items()
            )
        case "integer" | "boolean":
            return varint(number << 3) + varint(int(value))
        case "number":
            return varint(number << 3 | 1) + struct.pack("<d", value)
    return field(number, content(value, schema))


def inside_map(value: Any, schema: Schema) -> bytes:
    if schema.type == "list":
        return field(2, b"".join(encoded(1, item, schema.element) for item in value))
    return encoded(2, value, schema)


def content(value: Any, schema: Schema) -> bytes:
    match schema.type:
        case "struct":
            return message(value, schema)
        case "bytes":
            return base64.b64decode(value)
        case "quantity":
            return field(1, value.encode())
        case "intstr":
            if isinstance(value, str):
                return varint(1 << 3) + varint(1) + field(3, value.encode())
            return varint(1 << 3) + varint(0) + varint(2 << 3) + varint(value)
        case "time" | "microtime":
            moment = meta.parse_time(value)
            seconds = int((moment.replace(microsecond=0) - datetime.fromisoformat("1970-01-01T00:00:00+00:00")).total_seconds())
            return varint(1 << 3) + varint(seconds) + varint(2 << 3) + varint(moment.microsecond * 1000)
        case "any":
            return field(1, orjson.dumps(value))
    return str(value).encode()


def body(obj: Object, schema: Schema) -> bytes:
    type_meta = field(1, obj["apiVersion"].encode()) + field(2, obj["kind"].encode())
    return MAGIC + field(1, type_meta) + field(2, message(obj, schema))


def stripped(value: Any) -> Any:
    """What no protobuf message can tell apart from nothing, left out; what is free-form is whatever it is."""
    if isinstance(value, dict):
        below = {key: stripped(item) for key, item in value.items()}
        return {key: item for key, item in below.items() if item not in ("", 0, False, None, [], {}, "0") or item is True}
    return [stripped(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=250)
@given(kind=st.sampled_from(STORED), seed=st.integers(0, 2**32))
def test_what_go_would_send_is_read_back(kind: Any, seed: int) -> None:
    schema = schemas.of(kind)
    try:
        obj = decode(Fuzzer(Random(seed), 0.0).object(kind, "x"), schema).object
    except DecodeError:
        return
    obj = {**obj, "apiVersion": kind.api_version, "kind": kind.kind}
    found = decode(decoder.decode(body(obj, schema)), schema).object
    for claim in (obj.get("spec") or {}).get("volumeClaimTemplates") or ():
        # Only the outermost object says its kind in protobuf.
        claim.pop("kind", None), claim.pop("apiVersion", None)
    assert stripped(found) == stripped(obj)


@settings(max_examples=300)
@given(st.binary(max_size=80), st.sampled_from(STORED), st.integers(0, 40))
def test_broken_bodies_are_refused(junk: bytes, kind: Any, cut: int) -> None:
    whole = body(sample(kind), schemas.of(kind))
    for broken in (junk, MAGIC + junk, whole[:-cut] if cut else whole, whole[:cut] + junk + whole[cut:]):
        try:
            decoder.decode(broken)
        except ValueError as error:
            assert str(error)


def test_what_is_no_character_is_replaced() -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"key": "~~"}}
    read = decoder.decode(encoder.encode(obj).replace(b"~~", b"\xff~").replace(b"key", b"k\xc3y"))
    assert read["data"] == {"k\ufffdy": "\ufffd~"}


def test_a_deeply_nested_body_is_refused() -> None:
    nested = b""
    while len(nested) < 100_000:
        nested = field(1, nested)
    type_meta = field(1, b"v1") + field(2, b"Pod")
    with contextlib.suppress(ValueError):
        decoder.decode(MAGIC + field(1, type_meta) + field(2, nested))


def table_of(name: str) -> set[str]:
    """Names of a message's fields, those of what it embeds included."""
    fields = messages().get(name, {}).values()
    return {field.name for field in fields}.union(*(table_of(field.embedded) for field in fields if field.embedded))


def reachable(schema: Schema, seen: set[str]) -> Iterator[Schema]:
    """The structs of a schema, itself included."""
    if schema.type in ("list", "map"):
        yield from reachable(schema.element, seen)
    elif schema.type == "struct" and schema.name not in seen:
        seen.add(schema.name)
        yield schema
        for child in schema.properties.values():
            yield from reachable(child, seen)


def test_every_field_of_what_has_a_protobuf_form_has_its_number() -> None:
    seen: set[str] = set()
    for name, *_ in maximal.definitions():
        for struct_ in reachable(schemas.definitions().get(name), seen):
            assert set(struct_.properties) - {"apiVersion", "kind"} <= table_of(struct_.name), struct_.name


def test_every_built_in_kind_has_a_protobuf_form() -> None:
    for kind in registry.kinds():
        assert encoder.is_encodable(kind), kind.resource
        assert "list" not in kind.verbs or f"{schemas.definition_name(kind)}List" in messages(), kind.resource


def test_bytes_are_those_that_go_writes() -> None:
    lines = Path(__file__).with_name("protobuf_vectors.txt").read_text().splitlines()
    expected = [line.split(" ") for line in lines]
    made = [
        obj
        for name, *kind in maximal.definitions()
        if "kube-aggregator" not in name
        for obj in (maximal.minimal(*kind), maximal.maximal(name, *kind))
    ]
    assert len(made) == len(expected) > 300
    for obj, (api_version, kind_name, wanted) in zip(made, expected, strict=True):
        assert (obj["apiVersion"], obj["kind"]) == (api_version, kind_name)
        found = encoder.encode(obj)
        shown = f"sha256:{hashlib.sha256(found).hexdigest()}" if wanted.startswith("sha256:") else found.hex()
        assert shown == wanted, (api_version, kind_name, len(obj))


@pytest.mark.parametrize("name", [name for name, *_ in maximal.definitions()])
def test_every_field_survives_the_way_there_and_back(name: str) -> None:
    schema = schemas.definitions().get(name)
    ((_, *kind),) = (entry for entry in maximal.definitions() if entry[0] == name)
    sent = decode(maximal.maximal(name, *kind), schema).object
    assert decode(decoder.decode(encoder.encode(sent)), schema).object == sent
    if "List" not in kind[1]:
        # Every field was set, so none can have been forgotten by both.
        assert sent.keys() == schema.properties.keys()


def test_a_watch_event_is_framed_by_its_length() -> None:
    obj = encoder.encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"b": "c"}})
    frame = encoder.encode_event("ADDED", obj)
    assert struct.unpack(">I", frame[:4])[0] == len(frame) - 4
    assert frame[4:] == field(1, b"ADDED") + field(2, field(1, obj))


def test_zero_times_in_maps_are_written_as_go_writes_them() -> None:
    status = {"disruptedPods": {"a": None}}
    name = "io.k8s.api.policy.v1.PodDisruptionBudgetStatus"
    assert field(2, field(1, b"a") + field(2, b"")) in encoder.message(status, name)


def test_what_has_no_protobuf_form_says_so() -> None:
    with pytest.raises(KeyError):
        encoder.encode({"apiVersion": "example.com/v1", "kind": "Custom", "metadata": {}})


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with bench(tmp_path_factory.mktemp("api")) as found:
        yield found


@pytest.mark.parametrize("kind", [kind for kind in STORED if kind.namespaced], ids=lambda kind: kind.resource)
def test_the_server_takes_objects_and_options_in_protobuf(api: Bench, kind: Any) -> None:
    sent = sample(kind, "proto")
    path = f"{kind.api_path}/namespaces/default/{kind.plural}"
    if kind.resource == "secrets":
        sent = {key: value for key, value in sent.items() if key != "stringData"} | {"data": {"a": "eA=="}}
    made = api.call("POST", path, body(sent, schemas.of(kind)), content_type=MEDIA_TYPE)
    assert made.status == 201, made.body
    expected = api.call("POST", f"{path}", {**sent, "metadata": {"name": "json"}}, content_type="application/json").json
    for field_name in ("spec", "data", "subsets", "endpoints"):
        if field_name in expected and kind.resource not in ("services", "jobs.batch", "pods"):
            assert made.json[field_name] == expected[field_name]
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    schema = schemas.definitions().get("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")
    gone = api.call("DELETE", f"{path}/proto", body(options, schema), content_type=MEDIA_TYPE)
    assert gone.status == 200, gone.body
