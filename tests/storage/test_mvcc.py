"""The index in memory: what of its changes is kept decoded, and for how long; what a step of compaction drops."""

from __future__ import annotations

import orjson

from navarch.storage.changes import Change, Write
from navarch.storage.mvcc import CREATIONS_PER_VERSION, MVCC, RECENT_CHANGES

PREFIX = "/registry/pods/"


def write(index: MVCC, count: int) -> list[Change]:
    """So many new objects, published in one commit."""

    def data(name: str) -> Write:
        obj = {"metadata": {"name": name}}
        return Write(PREFIX, f"{PREFIX}default/{name}", lambda revision: orjson.dumps(obj), None, obj)

    changes = index.stage([data(f"pod-{index.next_revision + number}") for number in range(count)])
    index.publish(changes, 0.0)
    return changes


def test_who_watches_has_all_of_a_commit_as_it_was_written() -> None:
    index, seen = MVCC(), []
    index.watch(PREFIX, PREFIX, index.revision, lambda changes: seen.extend((change, change.object) for change in changes))
    write(index, 3 * RECENT_CHANGES)
    assert len(seen) == 3 * RECENT_CHANGES
    # The object that was written, and not one that was decoded for the watcher.
    recent, early = seen[-1], seen[0]
    assert recent[0].object is recent[1]
    assert early[0].object == early[1] and early[0].object is not early[1]


def test_those_who_watch_the_same_are_told_one_and_the_same() -> None:
    index = MVCC()
    told: dict[str, list[list[Change]]] = {}
    for name, under in (
        ("all", PREFIX),
        ("here", f"{PREFIX}default/"),
        ("here too", f"{PREFIX}default/"),
        ("there", f"{PREFIX}x/"),
    ):
        index.watch(PREFIX, under, index.revision, told.setdefault(name, []).append)
    changes = write(index, 2)
    assert told["all"] == told["here"] == [changes] and told["there"] == []
    assert told["here too"][0] is told["here"][0]


def test_going_through_the_history_keeps_nothing_of_it_decoded() -> None:
    index = MVCC()
    old = write(index, 1)[0]
    write(index, RECENT_CHANGES)
    assert old.object is not old.object
    assert old.line is not old.line
    assert old.form("other", lambda change: bytes(change.line)) is not old.form("other", lambda change: bytes(change.line))


def test_a_step_of_compaction_drops_so_many_versions_or_more_creations_which_leave_none() -> None:
    index, limit = MVCC(), 10
    created = write(index, 2 * limit * CREATIONS_PER_VERSION)
    for change in created:
        again = Write(PREFIX, change.record.key, lambda revision: b"{}", change.record)
        index.publish(index.stage([again]), 0.0)
    steps = []
    while (dropped := index.compact(0.0, limit, everything=True)) is not None:
        steps.append((len(dropped), index.compacted))
    assert steps[:2] == [(0, limit * CREATIONS_PER_VERSION), (0, len(created))]
    assert [count for count, _ in steps[2:]] == [limit] * (len(created) // limit)
    assert steps[-1][1] == index.revision
