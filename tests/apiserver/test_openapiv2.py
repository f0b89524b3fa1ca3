"""The OpenAPI v2 document as protobuf: read back field by field, it says what the JSON form says."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from navarch.apiserver import openapiv2
from tests.apiserver.bench import Bench

Message = dict[int, list[Any]]
ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def read(data: bytes) -> Message:
    """The fields of a message: numbers, or the bytes of strings and messages."""
    position, found = 0, {}  # type: int, Message

    def varint() -> int:
        nonlocal position
        result = shift = 0
        while True:
            byte = data[position]
            position += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    while position < len(data):
        key = varint()
        value: Any = varint()
        if key & 7 == 2:
            value, position = data[position : position + value], position + value
        found.setdefault(key >> 3, []).append(value)
    return found


def pairs(data: bytes) -> dict[str, bytes]:
    return {entry[1][0].decode(): entry[2][0] for entry in map(read, read(data).get(1, ()))}


def schema(data: bytes) -> dict[str, Any]:
    """An openapi.v2.Schema in its JSON form."""
    message = read(data)
    found: dict[str, Any] = {}
    for number, name in ((1, "$ref"), (2, "format"), (4, "description")):
        if number in message:
            found[name] = message[number][0].decode()
    if 19 in message:
        found["required"] = [name.decode() for name in message[19]]
    if 21 in message:
        found["additionalProperties"] = schema(read(message[21][0])[1][0])
    if 22 in message:
        found["type"] = read(message[22][0])[1][0].decode()
    if 23 in message:
        found["items"] = schema(read(message[23][0])[1][0])
    if 25 in message:
        found["properties"] = {name: schema(below) for name, below in pairs(message[25][0]).items()}
    for extension in map(read, message.get(31, ())):
        found[extension[1][0].decode()] = orjson.loads(read(extension[2][0])[2][0])
    return found


@pytest.fixture(scope="module")
def documents(api: Bench) -> tuple[dict[str, Any], Message]:
    reply = api.call("GET", "/openapi/v2", headers={"accept": ASKED})
    assert reply.status == 200 and reply.headers["content-type"] == openapiv2.MEDIA_TYPE
    return api.call("GET", "/openapi/v2", headers={"accept": "application/json"}).json, read(reply.body)


def test_definitions_are_the_same_in_both_forms(documents: tuple[dict[str, Any], Message]) -> None:
    plain, message = documents
    found = {name: schema(data) for name, data in pairs(message[9][0]).items()}
    assert found == plain["definitions"]


def test_paths_have_the_same_operations_and_parameters(documents: tuple[dict[str, Any], Message]) -> None:
    plain, message = documents
    assert message[1] == [b"2.0"]
    items = {entry[1][0].decode(): read(entry[2][0]) for entry in map(read, read(message[8][0])[2])}
    assert items.keys() == plain["paths"].keys()
    numbers = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}
    for path, item in plain["paths"].items():
        for method, number in numbers.items():
            assert (method in item) == (number in items[path]), path
            if method not in item:
                continue
            operation = read(items[path][number][0])
            assert operation[5] == [item[method]["operationId"].encode()]
            extensions = {e[1][0].decode(): orjson.loads(read(e[2][0])[2][0]) for e in map(read, operation[13])}
            assert extensions == {key: value for key, value in item[method].items() if key.startswith("x-")}
            names = []
            for parameter in operation.get(8, ()):
                content = read(read(parameter)[1][0])
                if 1 in content:
                    names.append(read(content[1][0])[2][0].decode())
                else:
                    names.append(read(read(content[2][0])[3][0])[4][0].decode())
            assert names == [parameter["name"] for parameter in item[method]["parameters"]]
