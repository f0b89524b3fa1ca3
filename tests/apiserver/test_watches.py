"""Watches: what they begin with, what they show, how they end."""

from __future__ import annotations

import base64
import json

import pytest

from navarch.api.registry import resource
from navarch.apiserver.negotiation import PROTOBUF
from navarch.storage import mvcc
from tests.apiserver.bench import Bench, Watching
from tests.apiserver.samples import pod, sample

CONFIG_MAPS = resource("configmaps")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PATH = "/api/v1/namespaces/{}/configmaps"


def make(api: Bench, namespace: str, name: str, **metadata: object) -> dict[str, object]:
    return api.made("configmaps", sample(CONFIG_MAPS, name, namespace, **metadata))


@pytest.fixture
def space(any_api: Bench, request: pytest.FixtureRequest) -> str:
    """A namespace for one test."""
    return any_api.namespace(f"w{abs(hash(request.node.nodeid)) % 10**9}")


def revision(api: Bench, namespace: str) -> str:
    return str(api.list("configmaps", namespace).json["metadata"]["resourceVersion"])


def test_a_watch_from_a_revision_shows_everything_after_it(any_api: Bench, space: str) -> None:
    make(any_api, space, "before")
    since = revision(any_api, space)
    make(any_api, space, "a")
    any_api.patch("configmaps", "a", {"data": {"x": "y"}}, space)
    watch = any_api.watch(PATH.format(space), resourceVersion=since)
    assert watch.take(2) == [("ADDED", "a"), ("MODIFIED", "a")]
    any_api.delete("configmaps", "a", namespace=space)
    make(any_api, "default", f"other-{space}")
    make(any_api, space, "b")
    assert watch.take(2) == [("DELETED", "a"), ("ADDED", "b")]
    watch.close()


def test_a_deletion_carries_its_own_revision(any_api: Bench, space: str) -> None:
    made = make(any_api, space, "a")
    watch = any_api.watch(PATH.format(space), resourceVersion=made["metadata"]["resourceVersion"])
    any_api.delete("configmaps", "a", namespace=space)
    event = watch.next()
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    assert event["object"]["data"] == made["data"]
    watch.close()


@pytest.mark.parametrize("version", [{}, {"resourceVersion": "0"}])
def test_a_watch_without_a_revision_begins_with_what_is_there(any_api: Bench, space: str, version: dict[str, str]) -> None:
    make(any_api, space, "a")
    make(any_api, space, "b")
    watch = any_api.watch(PATH.format(space), **version)
    assert watch.take(2) == [("ADDED", "a"), ("ADDED", "b")]
    make(any_api, space, "c")
    assert watch.take(1) == [("ADDED", "c")]
    watch.close()


def test_initial_events_end_with_a_marked_bookmark(any_api: Bench, space: str) -> None:
    make(any_api, space, "a")
    watch = any_api.watch(
        PATH.format(space), sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true"
    )
    assert watch.take(1) == [("ADDED", "a")]
    end = watch.next()
    assert end["type"] == "BOOKMARK"
    annotations = end["object"]["metadata"]["annotations"]
    assert annotations["k8s.io/initial-events-end"] == "true"
    assert blueprint(annotations) == b'{"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":null}\n'
    assert (end["object"]["kind"], end["object"]["apiVersion"]) == ("ConfigMap", "v1")
    assert int(end["object"]["metadata"]["resourceVersion"]) == any_api.store.revision
    watch.close()


def blueprint(annotations: dict[str, str]) -> bytes:
    """The list without its objects that a bookmark tells of."""
    return base64.b64decode(annotations["kubernetes.io/initial-events-list-blueprint"])


def test_the_end_of_initial_events_tells_of_their_list_in_the_form_that_is_watched(any_api: Bench, space: str) -> None:
    asked = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    partial = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    watch = any_api.watch(PATH.format(space), headers={"accept": partial}, **asked)
    found = blueprint(watch.next()["object"]["metadata"]["annotations"])
    assert found == b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{},"items":null}\n'
    watch.close()
    encoded = any_api.request("GET", PATH.format(space), watch="1", headers={"accept": PROTOBUF}, **asked).body
    frame = any_api.run(anext(encoded))
    place = frame.index(b"kubernetes.io/initial-events-list-blueprint")
    told = base64.b64encode(any_api.list("configmaps", space, headers={"accept": PROTOBUF}).body[:4])
    assert told[:5] in frame[place:], "the list is protobuf, too"
    any_api.run(encoded.aclose())


@pytest.mark.parametrize(
    "query",
    [
        {"sendInitialEvents": "true"},
        {"sendInitialEvents": "true", "resourceVersionMatch": "Exact", "resourceVersion": "1"},
        {"resourceVersionMatch": "NotOlderThan", "resourceVersion": "1"},
        {"resourceVersion": "x"},
        {"timeoutSeconds": "x"},
        {"labelSelector": "a=b=c"},
        {"fieldSelector": "no.such=1"},
    ],
)
def test_watch_options_that_make_no_sense_are_refused(any_api: Bench, query: dict[str, str]) -> None:
    reply = any_api.call("GET", PATH.format("default"), watch="true", **query)
    assert reply.status in (400, 422), reply.body


def test_objects_that_enter_or_leave_a_selection_are_added_and_deleted(any_api: Bench, space: str) -> None:
    since = revision(any_api, space)
    watch = any_api.watch(PATH.format(space), resourceVersion=since, labelSelector="on=yes")
    make(any_api, space, "a", labels={"on": "no"})
    make(any_api, space, "b", labels={"on": "yes"})
    any_api.patch("configmaps", "a", {"metadata": {"labels": {"on": "yes"}}}, space)
    any_api.patch("configmaps", "a", {"data": {"x": "y"}}, space)
    any_api.patch("configmaps", "a", {"metadata": {"labels": {"on": None}}}, space)
    any_api.delete("configmaps", "a", namespace=space)
    any_api.delete("configmaps", "b", namespace=space)
    assert watch.take(5) == [("ADDED", "b"), ("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("DELETED", "b")]
    watch.close()


def test_pods_of_a_node_are_watched_by_field(any_api: Bench, space: str) -> None:
    path = f"/api/v1/namespaces/{space}/pods"
    watch = any_api.watch(path, fieldSelector="spec.nodeName=node-1", resourceVersion=revision(any_api, space))
    any_api.made("pods", pod("a", space))
    any_api.call("POST", f"{path}/a/binding", {"metadata": {"name": "a"}, "target": {"name": "node-1"}})
    assert watch.take(1) == [("ADDED", "a")]
    watch.close()


def test_one_object_is_watched_by_name(any_api: Bench, space: str) -> None:
    make(any_api, space, "one")
    make(any_api, space, "two")
    named = {"fieldSelector": "metadata.name=one"}
    for path, query in ((PATH.format(space), named), (f"/api/v1/watch/namespaces/{space}/configmaps/one", {})):
        watch = any_api.watch(path, **query)
        assert watch.take(1) == [("ADDED", "one")]
        any_api.patch("configmaps", "two", {"data": {"x": path}}, space)
        any_api.patch("configmaps", "one", {"data": {"x": path}}, space)
        assert watch.take(1) == [("MODIFIED", "one")]
        watch.close()


def test_an_object_itself_is_not_watched_where_it_is_read(any_api: Bench, space: str) -> None:
    made = make(any_api, space, "one")
    assert any_api.get("configmaps", "one", space, watch="true").json == made


def test_a_watch_ends_at_its_timeout(any_api: Bench, space: str) -> None:
    make(any_api, space, "a")
    watch = any_api.watch(PATH.format(space), timeoutSeconds="1")
    assert [event["type"] for event in watch.rest()] == ["ADDED"]


def test_a_watch_from_a_forgotten_revision_is_expired(any_api: Bench, space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    since = revision(any_api, space)
    make(any_api, space, "a")
    token = any_api.list("configmaps", limit=1).json["metadata"]["continue"]
    make(any_api, space, "b")
    monkeypatch.setattr(mvcc, "HISTORY_AGE_SECONDS", 0.0)
    any_api.run(any_api.store.compact())
    any_api.forget()
    for accept in ("application/json", TABLE):
        events = any_api.watch(PATH.format(space), resourceVersion=since, headers={"accept": accept}).rest()
        (expired,) = events
        status = expired["object"]
        assert (expired["type"], status["kind"], status["code"], status["reason"]) == ("ERROR", "Status", 410, "Expired")
        assert status["message"].startswith(f"too old resource version: {since} (")
    exact = any_api.list("configmaps", space, resourceVersion=since, resourceVersionMatch="Exact")
    if any_api.store.knows_authors:
        # What watches are not told any more, a history still knows.
        assert exact.json["items"] == []
    else:
        assert (exact.status, exact.reason) == (410, "Expired")
    page = any_api.list("configmaps", limit=1, **{"continue": token})
    assert page.status == 410
    resumed = any_api.list("configmaps", **{"continue": page.json["metadata"]["continue"]})
    assert resumed.status == 200 and "b" in [item["metadata"]["name"] for item in resumed.json["items"]]


def test_a_watch_may_begin_after_a_revision_that_is_still_to_come(any_api: Bench, space: str) -> None:
    ahead = any_api.store.revision + 2
    watch = any_api.watch(PATH.format(space), resourceVersion=str(ahead))
    for name in ("a", "b", "c"):
        make(any_api, space, name)
    assert watch.take(1) == [("ADDED", "c")]
    watch.close()
    initial = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": "999999999"}
    refused = any_api.call("GET", PATH.format(space), watch="true", **initial)
    assert (refused.status, refused.causes) == (504, [("ResourceVersionTooLarge", None)])


def test_a_bookmark_comes_shortly_before_the_end(any_api: Bench, space: str) -> None:
    watch = any_api.watch(PATH.format(space), timeoutSeconds="3", allowWatchBookmarks="true")
    (bookmark,) = watch.rest()
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"] == {"resourceVersion": str(any_api.store.revision)}


def test_a_table_watch_heads_only_its_first_event(any_api: Bench, space: str) -> None:
    make(any_api, space, "a")
    watch = any_api.watch(PATH.format(space), headers={"accept": TABLE})
    first = watch.next()["object"]
    make(any_api, space, "b")
    second = watch.next()["object"]
    assert first["columnDefinitions"] and not second["columnDefinitions"]
    assert [table["rows"][0]["cells"][0] for table in (first, second)] == ["a", "b"]
    watch.close()


def test_metadata_watches_show_only_metadata(any_api: Bench, space: str) -> None:
    make(any_api, space, "a")
    watch = any_api.watch(
        PATH.format(space), headers={"accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
    )
    found = watch.next()["object"]
    assert found.keys() == {"kind", "apiVersion", "metadata"} and found["kind"] == "PartialObjectMetadata"
    watch.close()


@pytest.mark.parametrize(("limit", "value"), [("QUEUE_LIMIT_EVENTS", 3), ("QUEUE_LIMIT_BYTES", 1000)])
def test_a_reader_that_is_too_slow_is_dropped(api: Bench, monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    from navarch.apiserver import watch as watches

    monkeypatch.setattr(watches, limit, value)
    slow = api.watch(PATH.format("default"), resourceVersion=revision(api, "default"))
    for index in range(6):
        make(api, "default", f"slow-{index}-{value}")
    assert slow.rest() == []


@pytest.mark.parametrize("query", [{"resourceVersion": "old"}, {}])
def test_what_is_encoded_for_a_client_at_a_time_is_small(
    any_api: Bench, space: str, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    from navarch.apiserver import watch as watches

    monkeypatch.setattr(watches, "BATCH_LIMIT_BYTES", 5000)
    since = revision(any_api, space)
    for index in range(9):
        any_api.made("configmaps", sample(CONFIG_MAPS, f"large-{index}", space) | {"data": {"a": "x" * (1000 + 1000 * index)}})
    watch = any_api.watch(PATH.format(space), **dict.fromkeys(query, since))
    chunks = [any_api.run(anext(watch._chunks)) for _ in range(7)]  # type: ignore[arg-type]
    told = [[json.loads(line)["object"]["metadata"]["name"] for line in chunk.splitlines()] for chunk in chunks]
    assert told == [["large-0", "large-1"], *([f"large-{index}"] for index in range(2, 8))]
    watch.close()


@pytest.mark.parametrize("query", [{"resourceVersion": "old"}, {}])
def test_nobody_is_too_slow_for_what_a_watch_begins_with(
    api: Bench, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    from navarch.apiserver import watch as watches

    monkeypatch.setattr(watches, "QUEUE_LIMIT_EVENTS", 3)
    since = revision(api, "default")
    made = [make(api, "default", f"many-{index}{len(query)}") for index in range(6)]
    watch = api.watch(PATH.format("default"), **dict.fromkeys(query, since))
    made.append(make(api, "default", f"more-{len(query)}"))
    found: list[str] = []
    while len(found) < len(made):
        name = watch.next()["object"]["metadata"]["name"]
        found += [name] if any(name == obj["metadata"]["name"] for obj in made) else []
    assert found == [obj["metadata"]["name"] for obj in made]
    watch.close()


def test_closed_watches_leave_nothing_behind(api: Bench) -> None:
    watchers = api.store.collection(CONFIG_MAPS.key_prefix).watchers
    before = len(watchers)
    many: list[Watching] = [api.watch(PATH.format("default")) for _ in range(5)]
    assert len(watchers) == before + 5
    make(api, "default", "for-the-watchers")
    for watch in many:
        watch.next()
        watch.close()
    assert len(watchers) == before


def test_every_watcher_sees_the_same_order(any_api: Bench, space: str) -> None:
    import asyncio

    since = revision(any_api, space)
    watches = [any_api.watch(PATH.format(space), resourceVersion=since) for _ in range(3)]

    async def write() -> None:
        client = any_api.client
        await asyncio.gather(*(client.create("configmaps", sample(CONFIG_MAPS, f"o{i}", space)) for i in range(30)))

    any_api.run(write())
    seen = [watch.take(30) for watch in watches]
    assert seen[0] == seen[1] == seen[2] and len(set(seen[0])) == 30
    for watch in watches:
        watch.close()
