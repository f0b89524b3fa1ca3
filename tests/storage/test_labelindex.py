"""The index by label: whatever is written, it finds what a search through every object finds."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.api.core import configmap
from navarch.apimachinery.errors import Object
from navarch.apiserver import selection
from navarch.storage import collection, labelindex
from navarch.storage.changes import Record, Write
from navarch.storage.labelindex import LabelIndex
from navarch.storage.mvcc import MVCC

PREFIX = "/registry/configmaps/"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "LABELLED_MIN", 3)
    monkeypatch.setattr(labelindex, "STEP", 2)


names = st.sampled_from(("app", "example.com/app", "tier"))
values = st.sampled_from(("web", "a", ""))
label_maps = st.none() | st.dictionaries(names, values, max_size=3)
strange = st.dictionaries(names | st.just('a"},{'), values | st.sampled_from(('x","app":"web', "a}b", "\\", "ü")), max_size=3)


@st.composite
def objects(draw: st.DrawFn) -> Object:
    """With labels, or none, or some that are no labels, in any order of its parts."""
    metadata: dict[str, Any] = {"name": "n"}
    if (labels := draw(label_maps | strange)) is not None:
        metadata["labels"] = labels
    if draw(st.booleans()):
        applied = orjson.dumps({"labels": draw(label_maps)}).decode()
        metadata["annotations"] = {"labels": '"labels":{"app":"web"}', "last": applied}
    if draw(st.booleans()):
        metadata["managedFields"] = [{"fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}}}]
    metadata = {name: metadata[name] for name in draw(st.permutations(sorted(metadata)))}
    parts: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    if draw(st.booleans()):
        parts["spec"] = {"template": {"metadata": {"labels": draw(label_maps)}}, "labels": draw(label_maps)}
    return {name: parts[name] for name in draw(st.permutations(sorted(parts)) | st.just(list(parts)))}


steps = st.lists(st.tuples(st.integers(0, 9), st.none() | objects(), st.booleans()), min_size=1, max_size=40)
queries = st.sampled_from(("app=web", "tier=a", "app=a,tier=web", "example.com/app=web", "app=web,tier!=a", "tier=none"))


@given(steps, queries)
def test_what_is_found_is_what_a_search_finds(steps: list[tuple[int, Object | None, bool]], query: str) -> None:
    index, chosen = MVCC(), selection.parse(configmap.KIND, query, "")
    assert chosen.encoded_labels
    past: dict[int, list[Record]] = {}
    for number, obj, asks in steps:
        key = f"{PREFIX}{'one' if number % 2 else 'two'}/{number}"
        base = index.latest(PREFIX, key)
        if obj is None and base is None:
            continue
        data = orjson.dumps(obj) if obj is not None else b""
        write = Write(PREFIX, key, lambda _, data=data: data, base, deletes=obj is None)  # type: ignore[misc]
        index.publish(index.stage([write]), 0.0)
        past[index.revision] = chosen.choose(index.collection(PREFIX).range(PREFIX))
        if not asks:
            continue
        for under in (PREFIX, PREFIX + "one/"):
            for after in ("", f"{PREFIX}one/5"):
                whole = index.snapshot(PREFIX, under, index.revision, after)
                found = index.snapshot(PREFIX, under, index.revision, after, chosen.encoded_labels)
                assert chosen.choose(found) == chosen.choose(whole)
        for revision, records in past.items():
            assert chosen.choose(index.snapshot(PREFIX, PREFIX, revision, "", chosen.encoded_labels)) == records


def test_it_is_made_in_steps_and_then_only_what_has_the_label_is_looked_at() -> None:
    index, chosen = MVCC(), selection.parse(configmap.KIND, "app=a1", "")

    def write(number: int, app: str) -> None:
        data = orjson.dumps({"metadata": {"name": f"{number}", "labels": {"app": app}}})
        key = f"{PREFIX}default/{number}"
        index.publish(index.stage([Write(PREFIX, key, lambda _: data, index.latest(PREFIX, key))]), 0.0)

    def found() -> list[str]:
        records = index.snapshot(PREFIX, PREFIX, index.revision, "", chosen.encoded_labels)
        return [record.key.rpartition("/")[2] for record in records]

    for number in range(6):
        write(number, f"a{number}")
    assert len(found()) == 6
    # Before its turn has come.
    write(0, "a1")
    assert len(found()) == 6
    assert found() == ["0", "1"]
    write(1, "a2")
    write(4, "a1")
    assert found() == ["0", "4"]


def test_what_is_replaced_as_a_whole_is_found_by_its_new_labels() -> None:
    index, chosen = MVCC(), selection.parse(configmap.KIND, "app=a", "")

    def record(number: int, revision: int, app: str) -> Record:
        data = orjson.dumps({"metadata": {"name": f"{number}", "labels": {"app": app}}})
        return Record(f"{PREFIX}default/{number}", data, revision, revision)

    index.replace([record(number, number + 1, "a" if number < 2 else "b") for number in range(4)], 4, 0.0)
    for _ in range(2):
        found = index.snapshot(PREFIX, PREFIX, 4, "", chosen.encoded_labels)
    assert [r.revision for r in found] == [1, 2]
    index.replace([record(number, number + 5, "b" if number < 2 else "a") for number in range(4)], 8, 0.0)
    assert [r.revision for r in index.snapshot(PREFIX, PREFIX, 8, "", chosen.encoded_labels)] == [7, 8]


@pytest.mark.parametrize(
    "before",
    [{"x": "a}b"}, {"x": "{"}, {"x": 'a",'}, {'q"': "\\"}, {"x": "a,b"}, {"x": 1}, {"x": None}, {"x": {"y": "z"}}, {}],
)
@pytest.mark.parametrize("first", ["metadata", "spec"])
def test_what_is_no_label_hides_none(before: dict[str, Any], first: str) -> None:
    obj = {"metadata": {"labels": {**before, "app": "web"}}, "spec": {"template": {"labels": {"app": "a"}}}}
    record = Record(PREFIX + "a/b", orjson.dumps({first: obj[first], **obj}), 1, 1)
    index = LabelIndex([])
    index.changed(record.key, None, record)
    assert index.having([b'"app":"web"']) == {record.key}
    index.changed(record.key, record, None)
    assert index.having([b'"app":"web"']) == set()
