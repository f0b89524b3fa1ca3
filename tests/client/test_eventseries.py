"""The recorder of events.k8s.io/v1 Events over a real API server, on virtual time: what they say, how they become series."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from navarch.api.core import event as core
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.client import eventsending, eventseries
from navarch.client.client import Client
from navarch.client.eventseries import EVENTS, FINISH_SECONDS, EventSeriesRecorder, shortened
from navarch.client.transport import JSON, Transport, WatchEvent
from navarch.component import clock
from navarch.simulation.loop import SimulatedClock, SimulatedLoop
from tests.apiserver.bench import Bench, bench


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path, loop=SimulatedLoop()) as found:
        found.timeout_seconds = 36_000.0
        yield found


class Line:
    """A transport that counts requests, and on which answers may get lost."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.methods: list[str] = []
        self.lost_answers = 0
        """Of how many requests to come: they are carried out all the same."""

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = JSON
    ) -> Object:
        self.methods.append(method)
        answer = await self._transport.request(method, path, query=query, body=body, content_type=content_type)
        if self.lost_answers:
            self.lost_answers -= 1
            raise ConnectionResetError
        return answer

    def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
        return self._transport.watch(path, query)

    async def close(self) -> None:
        """Nothing is held."""


class Recording:
    """A recorder, and what comes of it."""

    def __init__(self, api: Bench) -> None:
        self.line = Line(api.server.transport())
        self.client = Client(self.line)
        self.recorder = EventSeriesRecorder(self.client, "default-scheduler", "host-1", action="Scheduling")

    def fails(self, name: str = "x", message: str = "no room", **more: Any) -> None:
        self.recorder.event(pod(name), "Warning", "FailedScheduling", message, **more)

    async def events(self, resource: str = EVENTS) -> list[Object]:
        """In the order of their names."""
        await self.recorder.flush()
        found = await self.client.list(resource, "default")
        self.line.methods.remove("GET")
        return sorted(found["items"], key=meta.name)

    async def series(self) -> Object | None:
        (event,) = await self.events()
        series: Object | None = event.get("series")
        return series


def recorded(api: Bench, test: Callable[[Recording], Coroutine[Any, Any, None]]) -> None:
    async def timed() -> None:
        SimulatedClock(cast(SimulatedLoop, api.loop)).use()
        recording = Recording(api)
        try:
            await test(recording)
        finally:
            await recording.recorder.stop()

    api.run(timed())


def pod(name: str, namespace: str = "default") -> Object:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "7"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def reference(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "default",
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "7",
    }


def test_an_event_says_what_was_done_to_whom_and_because_of_whom(api: Bench) -> None:
    async def test(recording: Recording) -> None:
        await clock.sleep(0.25)
        now = clock.micro_timestamp()
        recording.recorder.event(
            pod("x"), "Normal", "Preempted", "by y", action="Preempting", related=pod("y"), field_path="spec"
        )
        (event,) = await recording.events()
        del event["metadata"]
        assert event == {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "eventTime": now,
            "reportingController": "default-scheduler",
            "reportingInstance": "default-scheduler-host-1",
            "action": "Preempting",
            "reason": "Preempted",
            "regarding": {**reference("x"), "fieldPath": "spec"},
            "related": reference("y"),
            "note": "by y",
            "type": "Normal",
            "deprecatedSource": {},
        }

    recorded(api, test)


def test_in_its_core_form_it_has_no_count_and_no_source_and_is_printed_by_its_own_times(api: Bench) -> None:
    async def test(recording: Recording) -> None:
        recording.fails()
        await recording.recorder.flush()
        await clock.sleep(60)
        recording.fails()
        (event,) = await recording.events("events")
        assert not {"count", "firstTimestamp", "lastTimestamp"} & set(event)
        assert event["source"] == {}
        await clock.sleep(5)
        row = dict(zip((column.name for column in core.KIND.columns), core.row(event, clock.now()), strict=True))
        assert (row["Last Seen"], row["First Seen"], row["Count"]) == ("5s", "65s", 2)
        assert row["Source"] == "default-scheduler, default-scheduler-host-1"

    recorded(api, test)


def test_of_what_happens_again_the_server_is_told_once_and_then_only_now_and_then(api: Bench) -> None:
    async def test(recording: Recording) -> None:
        recording.fails()
        assert await recording.series() is None
        for number in range(2, 20):
            await clock.sleep(300)
            recording.fails(message=f"no room, {number}")
            seen = clock.micro_timestamp()
            series = await recording.series()
            if number == 2:
                assert series == {"count": 2, "lastObservedTime": seen}
        # Written when the first half hour was over, and the second.
        assert recording.line.methods == ["POST", "PATCH", "PATCH", "PATCH"]
        (event,) = await recording.events()
        assert event["note"] == "no room"
        assert 2 < event["series"]["count"] < 19
        # And when it has come to its end.
        await clock.sleep(2 * FINISH_SECONDS)
        assert await recording.series() == {"count": 19, "lastObservedTime": seen}
        await clock.sleep(10 * FINISH_SECONDS)
        assert recording.line.methods == ["POST"] + ["PATCH"] * 4

    recorded(api, test)


def test_what_has_not_happened_for_six_minutes_is_another_event_when_it_does(api: Bench) -> None:
    async def test(recording: Recording) -> None:
        recording.fails()
        await clock.sleep(2 * FINISH_SECONDS + 1)
        recording.fails()
        assert [event.get("series") for event in await recording.events()] == [None, None]

    recorded(api, test)


def test_what_is_not_said_of_the_same_or_for_another_reason_is_another_event(api: Bench) -> None:
    async def test(recording: Recording) -> None:
        recording.fails()
        recording.fails("y")
        recording.fails(action="Binding")
        recording.fails(related=pod("y"))
        recording.recorder.event(pod("x"), "Normal", "FailedScheduling", "no room")
        recording.recorder.event(pod("x"), "Warning", "Other", "no room")
        changed = pod("x")
        changed["metadata"]["resourceVersion"] = "8"
        recording.recorder.event(changed, "Warning", "FailedScheduling", "no room")
        assert [event.get("series") for event in await recording.events()] == [None] * 7

    recorded(api, test)


def test_what_happens_often_before_it_is_sent_is_one_request(api: Bench) -> None:
    async def test(recording: Recording) -> None:
        for _ in range(5):
            recording.fails()
        assert (await recording.series() or {})["count"] == 5
        assert recording.line.methods == ["POST"]

    recorded(api, test)


def test_a_series_whose_event_has_gone_is_made_again(api: Bench) -> None:
    async def test(recording: Recording) -> None:
        recording.fails()
        (event,) = await recording.events()
        await recording.client.delete(EVENTS, meta.name(event), "default")
        recording.fails()
        (again,) = await recording.events()
        assert (meta.name(again), again["series"]["count"]) == (meta.name(event), 2)

    recorded(api, test)


def test_a_series_goes_on_though_the_answer_to_its_first_event_was_lost(api: Bench) -> None:
    async def test(recording: Recording) -> None:
        recording.line.lost_answers = 1
        recording.fails()
        assert await recording.series() is None
        recording.fails()
        assert (await recording.series() or {})["count"] == 2

    recorded(api, test)


def test_an_event_that_the_server_refuses_keeps_no_other_from_being_sent(api: Bench) -> None:
    async def test(recording: Recording) -> None:
        recording.recorder.event(pod("x", "nowhere"), "Normal", "Scheduled", "", action="Binding")
        recording.fails()
        (event,) = await recording.events()
        assert event["reason"] == "FailedScheduling"
        with pytest.raises(errors.StatusError):
            await recording.client.get(EVENTS, meta.name(event), "nowhere")

    recorded(api, test)


def test_of_an_object_in_no_namespace_events_are_in_the_default_one(api: Bench) -> None:
    async def test(recording: Recording) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "u"}}
        recording.recorder.event(node, "Normal", "Noted", "", action="Noting")
        (event,) = await recording.events()
        assert event["regarding"] == {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}

    recorded(api, test)


def test_what_has_a_name_too_long_for_an_event_has_events_too(api: Bench) -> None:
    async def test(recording: Recording) -> None:
        recording.fails("x" * 250)
        (event,) = await recording.events()
        assert event["regarding"]["name"] == "x" * 250

    recorded(api, test)


def test_what_waits_to_be_sent_has_a_limit_and_what_is_dropped_is_not_the_first_of_a_series(
    api: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventsending, "QUEUE_LIMIT", 10)

    async def test(recording: Recording) -> None:
        for number in range(15):
            recording.fails(f"pod-{number}")
        assert len(await recording.events()) == 10
        recording.fails("pod-14")
        assert (await recording.events())[-1].get("series") is None

    recorded(api, test)


def test_of_too_many_to_remember_the_oldest_is_written_and_forgotten(api: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventseries, "SERIES_LIMIT", 3)

    async def test(recording: Recording) -> None:
        for _ in range(2):
            recording.fails()
            await recording.recorder.flush()
        recording.fails()
        for number in range(3):
            recording.fails(f"y-{number}")
        events = [event for event in await recording.events() if event["regarding"]["name"] == "x"]
        assert [event["series"]["count"] for event in events] == [3]
        recording.fails()
        assert len(await recording.events()) == 5

    recorded(api, test)


def test_who_has_nothing_to_say_any_more_does_nothing(api: Bench) -> None:
    async def test(recording: Recording) -> None:
        for number in range(3):
            recording.fails(f"y-{number}")
        await clock.sleep(2 * FINISH_SECONDS + 1)
        running = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("events-default-scheduler/")]
        assert running == ["events-default-scheduler/sender"]

    recorded(api, test)


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, "x" * 1020 + " ..."),
        ("ä" * 512, "ä" * 512),
        ("ä" * 513, "ä" * 510 + " ..."),
        ("x" + "ä" * 512, "x" + "ä" * 509 + " ..."),
    ],
)
def test_a_note_has_at_most_so_many_bytes_and_whole_characters(note: str, expected: str) -> None:
    assert shortened(note) == expected
