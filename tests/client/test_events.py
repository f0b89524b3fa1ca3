"""The recorder of Events: in the background, in order, counted where they repeat themselves, and within limits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.client import events, eventsending
from navarch.client.client import Client
from navarch.client.events import EventRecorder
from navarch.client.eventseries import EventSeriesRecorder
from navarch.component import clock
from tests.fakeapi import Bench


def pod(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "a", "uid": f"uid-{name}"}}


def recorded(test: Any) -> list[Object]:
    """The Events there are in the end, in the order of their names."""

    async def main() -> list[Object]:
        bench = Bench()
        recorder = EventRecorder(bench.client, "default-scheduler")
        try:
            test(recorder)
            await recorder.flush()
            answer = await bench.client.list("events", "a")
        finally:
            await recorder.stop()
            await bench.informers.stop()
        return sorted(answer["items"], key=lambda event: str(event["metadata"]["name"]))

    return asyncio.run(main())


def test_an_event_says_what_happened_to_whom() -> None:
    (event,) = recorded(lambda recorder: recorder.event(pod("x"), "Normal", "Scheduled", "to node", field_path="spec"))
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "x",
        "namespace": "a",
        "uid": "uid-x",
        "fieldPath": "spec",
    }
    assert (event["type"], event["reason"], event["message"], event["count"]) == ("Normal", "Scheduled", "to node", 1)
    assert event["firstTimestamp"] == event["lastTimestamp"]
    assert event["source"] == {"component": "default-scheduler"}


def test_what_is_said_again_is_counted() -> None:
    def test(recorder: EventRecorder) -> None:
        for _ in range(3):
            recorder.event(pod("x"), "Warning", "FailedScheduling", "no room")

    (event,) = recorded(test)
    assert event["count"] == 3


def test_a_burst_longer_than_a_thousand_is_sent_in_its_order() -> None:
    def test(recorder: EventRecorder) -> None:
        for number in range(1500):
            recorder.event(pod("x" if number % 100 == 0 else f"pod-{number}"), "Normal", "Scheduled", str(number))

    found = recorded(test)
    assert len(found) == 1500
    of_x = [int(event["message"]) for event in found if event["involvedObject"]["name"] == "x"]
    assert of_x == list(range(0, 1500, 100))


def test_what_waits_to_be_sent_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventsending, "QUEUE_LIMIT", 10)

    def test(recorder: EventRecorder) -> None:
        for number in range(15):
            recorder.event(pod(f"pod-{number}"), "Normal", "Scheduled", "")

    assert len(recorded(test)) == 10


def test_who_floods_one_object_is_held_to_a_budget() -> None:
    def test(recorder: EventRecorder) -> None:
        for number in range(events.BURST_PER_OBJECT + 10):
            recorder.event(pod("x"), "Normal", "Scheduled", str(number))
        recorder.event(pod("y"), "Normal", "Scheduled", "")

    assert len(recorded(test)) == events.BURST_PER_OBJECT + 1


@pytest.mark.parametrize("resource", ["events", "events.events.k8s.io"])
def test_what_others_say_of_the_same_object_in_the_same_moment_is_said_too(
    monkeypatch: pytest.MonkeyPatch, resource: str
) -> None:
    monkeypatch.setattr(clock, "time_seconds", lambda: 1_900_000_000.0)

    def made(client: Client, component: str) -> EventRecorder | EventSeriesRecorder:
        if resource == "events":
            return EventRecorder(client, component)
        return EventSeriesRecorder(client, component, action="Looking")

    async def main() -> list[Object]:
        bench = Bench()
        recorders = [made(bench.client, component) for component in ("one", "two", "three")]
        try:
            for recorder in recorders:
                recorder.event(pod("x"), "Normal", "Seen", "it is there")
                await recorder.flush()
            answer = await bench.client.list(resource, "a")
        finally:
            for recorder in recorders:
                await recorder.stop()
            await bench.informers.stop()
        return sorted(answer["items"], key=lambda event: str(event["metadata"]["name"]))

    found = asyncio.run(main())
    field = "reportingComponent" if resource == "events" else "reportingController"
    assert [event[field] for event in found] == ["one", "two", "three"]
