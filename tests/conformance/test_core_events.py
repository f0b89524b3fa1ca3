"""Events of the core group."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.world import Space

STRATEGIC = "application/strategic-merge-patch+json"
VARYING = ("resourceVersion", "managedFields")


def event(space: Space, name: str, label: str) -> Object:
    return {
        "metadata": {"name": name, "labels": {label: "true"}},
        "message": f"This is {name}",
        "reason": "Test",
        "type": "Normal",
        "count": 1,
        "involvedObject": {"namespace": space.name},
        "firstTimestamp": "2030-01-01T00:00:00Z",
        "lastTimestamp": "2030-01-01T00:00:00Z",
        "eventTime": None,
        "source": {"component": "test"},
    }


def without_varying(obj: Object) -> Object:
    return {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key not in VARYING}}


@behaviour("Event, manage lifecycle of an Event")
def test_an_event_is_made_listed_patched_updated_and_deleted(space: Space) -> None:
    label = f"testevent-constant-{space.name}"
    made = space.create("events", event(space, "event-test", label))
    everywhere = space.world.everywhere
    assert [each["metadata"]["name"] for each in everywhere.list("events", f"{label}=true")] == ["event-test"]
    space.patch("events", "event-test", {"message": "This is a test event - patched"}, content_type=STRATEGIC)
    patched = space.get("events", "event-test")
    assert without_varying(patched) == without_varying({**made, "message": "This is a test event - patched"})
    series = {"count": 100, "lastObservedTime": "2030-01-01T00:05:06.000007Z"}
    space.change("events", "event-test", lambda found: found.update(series=series))
    updated = space.get("events", "event-test")
    assert without_varying(updated) == without_varying({**patched, "series": series})
    space.delete("events", "event-test")
    assert everywhere.list("events", f"{label}=true") == []


@behaviour("Event, delete a collection")
def test_a_collection_of_events_is_deleted(space: Space) -> None:
    names = [f"test-event-{number}" for number in range(3)]
    for name in names:
        space.create("events", event(space, name, "testevent-set"))
    space.create("events", event(space, "another", "other-set"))
    assert [each["metadata"]["name"] for each in space.list("events", "testevent-set=true")] == names
    space.delete_all("events", "testevent-set=true")
    assert [each["metadata"]["name"] for each in space.list("events")] == ["another"]
