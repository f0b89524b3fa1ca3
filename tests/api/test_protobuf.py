"""Protobuf bodies: an encoder written from the same table of fields, and back."""

from __future__ import annotations

import base64
import contextlib
import struct
from datetime import datetime
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.api import protobuf, protobuf_encode, registry, schemas
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import DecodeError, Schema, decode
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
    for number, entry in sorted(protobuf.messages()[embedded or schema.name].items()):
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
    return protobuf.MAGIC + field(1, type_meta) + field(2, message(obj, schema))


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
    found = decode(protobuf.decode(body(obj, schema)), schema).object
    for claim in (obj.get("spec") or {}).get("volumeClaimTemplates") or ():
        # Only the outermost object says its kind in protobuf.
        claim.pop("kind", None), claim.pop("apiVersion", None)
    assert stripped(found) == stripped(obj)


@settings(max_examples=250)
@given(kind=st.sampled_from([kind for kind in STORED if protobuf_encode.is_encodable(kind)]), seed=st.integers(0, 2**32))
def test_what_is_encoded_is_read_back(kind: Any, seed: int) -> None:
    schema = schemas.of(kind)
    try:
        obj = decode(Fuzzer(Random(seed), 0.0).object(kind, "x"), schema).object
    except DecodeError:
        return
    obj = {**obj, "apiVersion": kind.api_version, "kind": kind.kind}
    encoded = protobuf_encode.encode(obj, schemas.definition_name(kind))
    # As the writer above has it, but for zeros that stand for nothing and the order of fields.
    assert stripped(protobuf.decode(encoded)) == stripped(protobuf.decode(body(obj, schema)))


def everything(schema: Schema) -> Any:
    """A value with every field of its schema set."""
    match schema.type:
        case "struct":
            return {key: everything(child) for key, child in schema.properties.items()}
        case "list":
            return [everything(schema.element)]
        case "map":
            return {"key": everything(schema.element)}
        case "integer" | "number" | "intstr":
            return 7
        case "boolean":
            return True
        case "quantity":
            return "3Gi"
        case "time":
            return "2026-01-02T03:04:05Z"
        case "microtime":
            return "2026-01-02T03:04:05.678901Z"
        case "bytes":
            return "eHl6"
        case "any":
            return {"free": ["form"]}
    return "word"


@pytest.mark.parametrize(
    "kind", [kind for kind in registry.kinds() if protobuf_encode.is_encodable(kind)], ids=lambda k: k.resource
)
def test_every_field_of_every_kind_goes_there_and_back(kind: Any) -> None:
    obj = {**everything(schemas.of(kind)), "apiVersion": kind.api_version, "kind": kind.kind}
    for claim in (obj.get("spec") or {}).get("volumeClaimTemplates") or ():
        claim.pop("kind"), claim.pop("apiVersion")
    assert protobuf.decode(protobuf_encode.encode(obj, schemas.definition_name(kind))) == obj


@settings(max_examples=300)
@given(st.binary(max_size=80), st.sampled_from(STORED), st.integers(0, 40))
def test_broken_bodies_are_refused(junk: bytes, kind: Any, cut: int) -> None:
    whole = body(sample(kind), schemas.of(kind))
    for broken in (junk, protobuf.MAGIC + junk, whole[:-cut] if cut else whole, whole[:cut] + junk + whole[cut:]):
        try:
            protobuf.decode(broken)
        except ValueError as error:
            assert str(error)


def test_a_deeply_nested_body_is_refused() -> None:
    nested = b""
    while len(nested) < 100_000:
        nested = field(1, nested)
    type_meta = field(1, b"v1") + field(2, b"Pod")
    with contextlib.suppress(ValueError):
        protobuf.decode(protobuf.MAGIC + field(1, type_meta) + field(2, nested))


def table_of(name: str) -> set[str]:
    return {entry.name for entry in protobuf.messages()[name].values()}


def test_every_served_kind_has_its_fields_in_the_table() -> None:
    for kind in registry.kinds():
        schema = schemas.of(kind)
        if kind.group == "apiextensions.k8s.io":
            continue
        known = protobuf.messages().get(schema.name, {})
        names = {entry.name for entry in known.values()}
        names |= {name for entry in known.values() if entry.embedded for name in table_of(entry.embedded)}
        assert set(schema.properties) - {"apiVersion", "kind"} <= names, kind.resource


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
    made = api.call("POST", path, body(sent, schemas.of(kind)), content_type=protobuf.MEDIA_TYPE)
    assert made.status == 201, made.body
    expected = api.call("POST", f"{path}", {**sent, "metadata": {"name": "json"}}, content_type="application/json").json
    for field_name in ("spec", "data", "subsets", "endpoints"):
        if field_name in expected and kind.resource not in ("services", "jobs.batch", "pods"):
            assert made.json[field_name] == expected[field_name]
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    schema = schemas.definitions().get("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")
    gone = api.call("DELETE", f"{path}/proto", body(options, schema), content_type=protobuf.MEDIA_TYPE)
    assert gone.status == 200, gone.body
