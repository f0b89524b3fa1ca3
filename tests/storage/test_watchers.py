"""Whoever watches a part of a collection is told what a look at every change would have told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.api.core import pod
from navarch.apimachinery.errors import Object
from navarch.apiserver import selection
from navarch.apiserver.watch import Watch
from navarch.storage.changes import Change, Write
from navarch.storage.indexed import IndexedStore
from navarch.storage.mvcc import MVCC, CompactedError
from navarch.storage.watchers import Term

PREFIX = pod.KIND.key_prefix
NODE = b'"nodeName":"'
Told = list[tuple[str, str, int]]
nodes = st.sampled_from(("", "node-1", "node-1", "node-2", "node-11"))


@st.composite
def pods(draw: st.DrawFn) -> Object:
    """With a node or none, and with other things of that name."""
    metadata: dict[str, Any] = {"name": "n"}
    if draw(st.booleans()):
        metadata["labels"] = {"nodeName": draw(nodes)}
    if draw(st.booleans()):
        metadata["annotations"] = {"nodeName": draw(st.sampled_from(('"node-1"', "a\\")))}
        metadata["annotations"]["last"] = orjson.dumps({"spec": {"nodeName": draw(nodes)}}).decode()
    spec = {"nodeName": node} if (node := draw(nodes)) else {}
    return {"kind": "Pod", "metadata": metadata, "spec": spec}


NODE_1, NODE_2, NAME = "spec.nodeName=node-1", "spec.nodeName=node-2", "metadata.name=3"
writes = st.tuples(st.just("write"), st.integers(1, 4), pods())
deletions = st.tuples(st.just("write"), st.integers(1, 4), st.none())
queries = st.sampled_from((NODE_1, NODE_1, NODE_2, NAME, "spec.nodeName!=node-1", ""))
watches = st.tuples(st.just("watch"), st.sampled_from(("", "", "one/", "two/")), queries, st.integers(0, 6))
others = st.tuples(st.sampled_from(("unwatch", "compact")), st.integers(1, 3))
# Mostly writes.
step = st.integers(0, 9).flatmap(lambda chance: [deletions, watches, watches, others, *[writes] * 6][chance])
steps = st.lists(step, min_size=30, max_size=60)


class Watching:
    """A watch as a client has it, and what it should have been told."""

    def __init__(self, store: Any, under: str, query: str, since: int) -> None:
        self.under, self.query = PREFIX + under, query
        self.chosen = selection.parse(pod.KIND, "", query)
        self.watch = Watch(store, pod.KIND, self.under, self.chosen, bookmarks=False, timeout_seconds=None)
        self.expected: Told = []
        self.watch.begin(since, initial_events=False)

    def expect(self, change: Change, key: str) -> None:
        name = key.rpartition("/")[2]
        if not key.startswith(self.under):
            return

        def selects(data: bytes) -> bool:
            obj = orjson.loads(data)
            node = str(obj["spec"].get("nodeName", ""))
            wanted = {NODE_1: node == "node-1", NODE_2: node == "node-2", NAME: name == "3", "": True}
            return wanted.get(self.query, node != "node-1")

        now = not change.deleted and selects(change.record.data)
        before = change.previous is not None and selects(change.previous.data)
        if now or before:
            self.expected.append(("DELETED" if not now else "MODIFIED" if before else "ADDED", key, change.revision))

    @property
    def told(self) -> Told:
        events = [event for batch, _ in self.watch._pending for event in batch]
        return [(event.type, event.record.key, event.record.revision) for event in events if event.record is not None]


@given(steps)
def test_every_watch_is_told_what_a_look_at_every_change_tells(steps: list[Any]) -> None:
    store, log, watching = IndexedStore(), list[Change](), list[Watching]()
    for step in steps:
        match step:
            case "write", number, obj:
                key = f"{PREFIX}{'one' if number % 2 else 'two'}/{number}"
                base = store.latest(PREFIX, key)
                if obj is None and base is None:
                    continue
                obj = obj if obj is not None else base.object() if base is not None else {}
                obj["metadata"]["name"] = str(number)
                data, deletes = orjson.dumps(obj), step[2] is None
                (change,) = store.index.stage([Write(PREFIX, key, lambda _, data=data: data, base, deletes=deletes)])  # type: ignore[misc]
                store.index.publish([change], 0.0)
                log.append(change)
                for each in watching:
                    each.expect(change, key)
            case "watch", under, query, back:
                since = max(store.revision - back, 0)
                if since >= store.compacted:
                    watching.append(Watching(store, under, query, since))
                    for change in log:
                        if change.revision > since:
                            watching[-1].expect(change, change.record.key)
            case "unwatch", number:
                if watching:
                    watching.pop(number % len(watching)).watch.close()
            case "compact", limit:
                store.index.compact(0.0, limit, everything=True)
        for each in watching:
            assert each.told == each.expected
    assert len(store.collection(PREFIX).watchers) == len(watching)


def write_pod(index: MVCC, name: str, node: str) -> None:
    key = f"{PREFIX}default/{name}"
    data = orjson.dumps({"metadata": {"name": name}, "spec": {"nodeName": node}})
    index.publish(index.stage([Write(PREFIX, key, lambda _: data, index.latest(PREFIX, key))]), 0.0)


@pytest.mark.parametrize("live", [True, False])
def test_a_change_is_looked_at_only_by_those_whom_it_concerns(live: bool) -> None:
    index, looked = MVCC(), dict[str, list[int]]()

    def watch(name: str, under: str, term: Term | None) -> None:
        seen = looked.setdefault(name, [])
        index.watch(PREFIX, under, 0, lambda changes: seen.extend(change.revision for change in changes), term=term)

    def all_watch() -> None:
        for number in range(1, 4):
            watch(f"node-{number}", PREFIX, Term(NODE, b"node-%d" % number))
        watch("default/b", PREFIX + "default/b", None)
        watch("other namespace", PREFIX + "other/", None)
        watch("everything", PREFIX, None)

    if live:
        all_watch()
    write_pod(index, "a", "node-1")
    write_pod(index, "b", "node-2")
    write_pod(index, "a", "node-3")
    write_pod(index, "bb", "")
    if not live:
        all_watch()
    # The second change of the one pod concerns the node that it leaves and the one that it comes to.
    assert looked == {
        "node-1": [1, 3],
        "node-2": [2],
        "node-3": [3],
        "default/b": [2],
        "other namespace": [],
        "everything": [1, 2, 3, 4],
    }


def test_what_leaves_the_window_leaves_the_index() -> None:
    index, term = MVCC(), Term(NODE, b"node-1")
    first = index.watch(PREFIX, PREFIX, 0, lambda changes: None, term=term)
    index.unwatch(PREFIX, first)
    for number in range(5):
        write_pod(index, f"pod-{number}", "node-1")
    index.compact(0.0, 100, 4, everything=True)
    with pytest.raises(CompactedError):
        index.watch(PREFIX, PREFIX, 2, lambda changes: None, term=term)
    seen: list[Change] = []
    index.watch(PREFIX, PREFIX, 3, seen.extend, term=term)
    assert [change.revision for change in seen] == [4, 5]
    index.compact(0.0, 100, everything=True)
    again: list[Change] = []
    index.watch(PREFIX, PREFIX, 5, again.extend, term=term)
    assert again == []
    (kept,) = index.collection(PREFIX).watchers._indices.values()
    assert kept.changes == {}


@pytest.mark.parametrize(
    ("query", "term", "name"),
    [
        ("spec.nodeName=node-1", Term(NODE, b"node-1"), ""),
        ("spec.nodeName=node-1,metadata.name=x", Term(NODE, b"node-1"), "x"),
        ("spec.nodeName!=node-1", None, ""),
        # Pods that have no node have no such field.
        ("spec.nodeName=", None, ""),
        ("spec.schedulerName=a", None, ""),
    ],
)
def test_by_what_a_selection_is_found(query: str, term: Term | None, name: str) -> None:
    chosen = selection.parse(pod.KIND, "", query)
    assert (chosen.term, chosen.name) == (term, name)
