"""Protobuf messages are made once, and no more of them are kept than there is room for."""

from __future__ import annotations

import orjson
import pytest

from navarch.api.protobuf import encoder
from navarch.api.registry import resource
from navarch.apiserver.encodings import Encodings
from navarch.storage.changes import Record

CONFIG_MAPS = resource("configmaps")


def record(name: str, size: int = 0) -> Record:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "x" * size}}
    return Record(f"/registry/configmaps/default/{name}", orjson.dumps(obj), 1, 1)


def test_a_message_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encodings, one = Encodings(), record("one")
    made = encodings.message(CONFIG_MAPS, one)
    assert made == encoder.message(one.object(), "io.k8s.api.core.v1.ConfigMap")
    monkeypatch.delattr(Record, "object")
    assert encodings.message(CONFIG_MAPS, one) is made


def test_what_was_not_asked_for_longest_makes_room() -> None:
    first, second, third = (record(name, 1000) for name in ("first", "second", "third"))
    encodings = Encodings(limit_bytes=2500)
    for wanted in (first, second, first, third):
        encodings.message(CONFIG_MAPS, wanted)
    assert [encodings.has(CONFIG_MAPS, found) for found in (first, second, third)] == [True, False, True]


def test_what_is_too_large_is_not_kept() -> None:
    large = record("large", 10_000)
    encodings = Encodings(limit_bytes=5000)
    assert b"x" * 10_000 in encodings.message(CONFIG_MAPS, large)
    assert not encodings.has(CONFIG_MAPS, large)
