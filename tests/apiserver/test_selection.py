"""Whom a selection chooses by an encoding is whom it chooses by the object."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from navarch.api.core import configmap
from navarch.apimachinery.errors import Object
from navarch.apiserver import selection
from navarch.storage.changes import Record

# What could be taken for the end of something, or for labels.
confusing = ('x"},"labels":{"app":"web', "},", '{"labels":{"app":"web"}}')
texts = st.text('a\\"{}[],:', max_size=12) | st.sampled_from(("web", *confusing))
label_maps = st.dictionaries(st.sampled_from(("app", "tier", 'a"},{')), texts, max_size=3)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "labels": label_maps | st.none(),
    "annotations": st.dictionaries(st.sampled_from(("labels", "note")), texts, max_size=2),
    "finalizers": st.lists(texts, max_size=2),
    "ownerReferences": st.lists(st.fixed_dictionaries({"labels": label_maps, "name": texts}), max_size=2),
    "generation": st.integers(0, 2**40),
    "uid": texts,
}


@st.composite
def objects(draw: st.DrawFn) -> Object:
    found = {name: draw(values) for name, values in FIELDS.items() if draw(st.booleans())}
    metadata = {name: found[name] for name in draw(st.permutations(sorted(found)))}
    parts: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    parts["spec"] = {"labels": draw(label_maps), "template": {"metadata": {"labels": draw(label_maps)}}}
    return {name: parts[name] for name in draw(st.just(list(parts)) | st.permutations(sorted(parts)))}


@given(st.lists(objects(), max_size=5), st.sampled_from(("app", "!app", "app=web", "app!=web", "app in (web,a),tier")))
@example([{"metadata": {"annotations": {"a": "x}"}}, "labels": {"app": "web"}}], "app=web")
@example([{"metadata": {"name": "a"}, "spec": {"labels": {"app": "web"}}}], "app=web")
@example([{"metadata": {"name": "a", "labels": {"app": "web"}}}], "app=web")
def test_those_are_chosen_whose_labels_match(made: list[Object], query: str) -> None:
    chosen = selection.parse(configmap.KIND, query, "")
    records = [Record(f"/registry/configmaps/a/{number}", orjson.dumps(obj), 1, 1) for number, obj in enumerate(made)]
    wanted = [record for record in records if chosen.labels.matches(record.object()["metadata"].get("labels") or {})]
    assert chosen.choose(records) == wanted
    assert [record for record in records if chosen.selects(record)] == wanted
