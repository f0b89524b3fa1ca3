"""Events of events.k8s.io."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.world import Space

EVENTS = "events.events.k8s.io"
STRATEGIC = "application/strategic-merge-patch+json"


def event(space: Space, name: str, label: str) -> Object:
    return {
        "metadata": {"name": name, "labels": {label: "true"}},
        "regarding": {"namespace": space.name},
        "eventTime": "2030-01-01T00:00:00.000005Z",
        "note": f"This is {name}",
        "action": "Do",
        "reason": "Test",
        "type": "Normal",
        "reportingController": "test-controller",
        "reportingInstance": "test-node",
    }


@behaviour("New Event resource lifecycle, testing a single event")
def test_an_event_is_made_listed_patched_updated_and_deleted(space: Space) -> None:
    label, everywhere = f"testevent-{space.name}", space.world.everywhere
    space.create(EVENTS, event(space, "event-test", label))
    assert [each["metadata"]["name"] for each in everywhere.list(EVENTS, f"{label}=true")] == ["event-test"]
    selected = space.list(EVENTS, fieldSelector="reportingController=test-controller")
    assert [each["metadata"]["name"] for each in selected] == ["event-test"]
    made = space.get(EVENTS, "event-test")
    series = {"count": 2, "lastObservedTime": "2030-01-01T00:05:06.000007Z"}
    # The published description speaks of the note, which may not change in this group; its test patches the series.
    space.patch(EVENTS, "event-test", {"series": series}, content_type=STRATEGIC)
    assert space.get(EVENTS, "event-test")["series"] == series
    later = {"count": 100, "lastObservedTime": "2030-01-01T00:06:06.000007Z"}
    space.change(EVENTS, "event-test", lambda found: found.update(series=later))
    updated = space.get(EVENTS, "event-test")
    assert updated["series"] == later and updated["eventTime"] == made["eventTime"]
    space.delete(EVENTS, "event-test")
    assert everywhere.list(EVENTS, f"{label}=true") == space.list(EVENTS) == []


@behaviour("New Event resource lifecycle, testing a list of events")
def test_a_collection_of_events_is_deleted(space: Space) -> None:
    names = [f"test-event-{number}" for number in range(3)]
    for name in names:
        space.create(EVENTS, event(space, name, "testevent-set"))
    assert [each["metadata"]["name"] for each in space.list(EVENTS, "testevent-set=true")] == names
    space.delete_all(EVENTS, "testevent-set=true")
    assert space.list(EVENTS, "testevent-set=true") == []
