"""Watches."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.world import Space

LABEL = "watch-this-configmap"


def make(space: Space, name: str, label: str) -> Object:
    return space.create("configmaps", {"metadata": {"name": name, "labels": {LABEL: label}}})


def mutate(space: Space, name: str, number: int) -> Object:
    return space.patch("configmaps", name, {"data": {"mutation": str(number)}})


def mutation(obj: Object) -> str | None:
    found: str | None = (obj.get("data") or {}).get("mutation")
    return found


@behaviour("watch-configmaps-with-multiple-watchers")
def test_each_watcher_sees_all_that_matches_its_selector_and_nothing_else(space: Space) -> None:
    selectors = {"a": f"{LABEL}=a", "b": f"{LABEL}=b", "ab": f"{LABEL} in (a,b)"}
    since = space.get("namespaces", space.name)["metadata"]["resourceVersion"]
    make(space, "first", "a")
    mutate(space, "first", 1)
    mutate(space, "first", 2)
    space.delete("configmaps", "first")
    make(space, "second", "b")
    space.delete("configmaps", "second")
    seen = {name: space.events("configmaps", labels, since) for name, labels in selectors.items()}
    told = {name: [(type_, mutation(obj)) for type_, obj in events] for name, events in seen.items()}
    first = [("ADDED", None), ("MODIFIED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]
    second = [("ADDED", None), ("DELETED", None)]
    assert told == {"a": first, "b": second, "ab": first + second}


@behaviour("watch-configmaps-from-resource-version")
def test_a_watch_begins_after_the_revision_it_names(space: Space) -> None:
    make(space, "watched", "from-revision")
    since = mutate(space, "watched", 1)["metadata"]["resourceVersion"]
    mutate(space, "watched", 2)
    space.delete("configmaps", "watched")
    with space.watching("configmaps", f"{LABEL}=from-revision", since) as watch:
        told = [(type_, mutation(obj)) for type_, obj in (watch.next(), watch.next())]
    assert told == [("MODIFIED", "2"), ("DELETED", "2")]


@behaviour("watch-configmaps-closed-and-restarted")
def test_a_watch_goes_on_where_an_earlier_one_ended(space: Space) -> None:
    labels = f"{LABEL}=closed-and-restarted"
    with space.watching("configmaps", labels) as watch:
        make(space, "watched", "closed-and-restarted")
        mutate(space, "watched", 1)
        assert watch.next()[0] == "ADDED"
        type_, last = watch.next()
        assert (type_, mutation(last)) == ("MODIFIED", "1")
    mutate(space, "watched", 2)
    with space.watching("configmaps", labels, last["metadata"]["resourceVersion"]) as watch:
        space.delete("configmaps", "watched")
        told = [(type_, mutation(obj)) for type_, obj in (watch.next(), watch.next())]
    assert told == [("MODIFIED", "2"), ("DELETED", "2")]


@behaviour("watch-configmaps-label-changed")
def test_an_object_that_ceases_to_match_is_deleted_for_the_watch(space: Space) -> None:
    since = make(space, "watched", "matches")["metadata"]["resourceVersion"]
    mutate(space, "watched", 1)
    space.patch("configmaps", "watched", {"metadata": {"labels": {LABEL: "other"}}})
    mutate(space, "watched", 2)
    space.patch("configmaps", "watched", {"metadata": {"labels": {LABEL: "matches"}}})
    mutate(space, "watched", 3)
    space.delete("configmaps", "watched")
    told = [(type_, mutation(obj)) for type_, obj in space.events("configmaps", f"{LABEL}=matches", since)]
    assert told == [("MODIFIED", "1"), ("DELETED", "1"), ("ADDED", "2"), ("MODIFIED", "3"), ("DELETED", "3")]


@behaviour("watch-consistency")
def test_watches_tell_events_in_one_order(space: Space) -> None:
    since = space.get("namespaces", space.name)["metadata"]["resourceVersion"]
    for number in range(30):
        name = f"cm-{number % 5}"
        if number % 3 == 0 and space.find("configmaps", name):
            space.delete("configmaps", name)
        elif space.find("configmaps", name):
            mutate(space, name, number)
        else:
            make(space, name, "consistent")
    revisions = [obj["metadata"]["resourceVersion"] for _, obj in space.events("configmaps", since=since)]
    assert len(revisions) == len(set(revisions)) > 20
    for position, revision in enumerate(revisions[:-1]):
        with space.watching("configmaps", since=revision) as watch:
            told = [watch.next()[1]["metadata"]["resourceVersion"] for _ in revisions[position + 1 :]]
        assert told == revisions[position + 1 :]
