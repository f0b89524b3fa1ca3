"""Events of both groups: one object in two forms, and what new ones must say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from navarch.api.core import event as core
from navarch.api.events import event as events
from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.rules import on_create
from tests.api.tables import cells, changed, refused_create, refused_update
from tests.apiserver.bench import Bench, bench
from tests.apiserver.samples import sample

CORE, EVENTS = "events", "events.events.k8s.io"
STAMP = "2026-01-01T00:00:00.000000Z"
REPORTED = {"eventTime": STAMP, "reportingComponent": "example.com/x", "reportingInstance": "x-1", "action": "Doing"}
IMMUTABLE = "field is immutable"
QUALIFIED = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("api")) as found:
        yield found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"involvedObject": {"namespace": ""}}, []),
        (
            {"involvedObject": {"namespace": "other"}},
            ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
        ),
        (
            {"involvedObject": {"namespace": ""}, "metadata": {"namespace": "kube-system"}},
            ['involvedObject.namespace: Invalid value: "": does not match event.namespace'],
        ),
        ({**REPORTED, "involvedObject": {"namespace": ""}, "metadata": {"namespace": "kube-system"}}, []),
        (
            {**REPORTED, "involvedObject": {"namespace": ""}, "metadata": {"namespace": "elsewhere"}},
            ['involvedObject.namespace: Invalid value: "": does not match event.namespace'],
        ),
        (REPORTED, []),
        # Older events say what they like.
        ({"reason": "x" * 200, "message": "x" * 2000, "reportingComponent": "a b"}, []),
        (
            {"eventTime": STAMP, "reason": None},
            [
                "reportingComponent: Required value",
                'reportingComponent: Invalid value: "": name part must be non-empty',
                f'reportingComponent: Invalid value: "": name part {QUALIFIED}',
                "reportingInstance: Required value",
                "action: Required value",
                "reason: Required value",
            ],
        ),
        (
            {**REPORTED, "reportingInstance": "x" * 129, "action": "x" * 129, "reason": "x" * 129, "message": "x" * 1025},
            [
                'reportingInstance: Invalid value: "": can have at most 128 characters',
                'action: Invalid value: "": can have at most 128 characters',
                'reason: Invalid value: "": can have at most 128 characters',
                'message: Invalid value: "": can have at most 1024 characters',
            ],
        ),
    ],
)
def test_what_an_event_of_the_core_group_must_say(change: Object, expected: list[str]) -> None:
    assert on_create(CORE, change) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"series": {"count": 1, "lastObservedTime": STAMP}}, ['series.count: Invalid value: "": should be at least 2']),
        ({"type": "Odd"}, ['type: Invalid value: "": has invalid value: Odd']),
        ({"type": None}, ['type: Invalid value: "": has invalid value: ']),
        ({"eventTime": None}, ["eventTime: Required value"]),
        (
            {
                "deprecatedSource": {"component": "x"},
                "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z",
                "deprecatedLastTimestamp": "2026-01-01T00:00:00Z",
                "deprecatedCount": 1,
            },
            [
                'firstTimestamp: Invalid value: "": needs to be unset',
                'lastTimestamp: Invalid value: "": needs to be unset',
                'count: Invalid value: "": needs to be unset',
                'source: Invalid value: "": needs to be unset',
            ],
        ),
        (
            {"reportingController": "a b", "note": "x" * 1025},
            [
                f'reportingController: Invalid value: "a b": name part {QUALIFIED}',
                'message: Invalid value: "": can have at most 1024 characters',
            ],
        ),
    ],
)
def test_what_a_new_event_must_say(api: Bench, change: Object, expected: list[str]) -> None:
    assert refused_create(api, EVENTS, change) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"note": "other"}, [f'message: Invalid value: "other": {IMMUTABLE}']),
        ({"reason": "Other"}, [f'reason: Invalid value: "Other": {IMMUTABLE}']),
        ({"action": "Other"}, [f'action: Invalid value: "Other": {IMMUTABLE}']),
        ({"type": "Warning"}, [f'type: Invalid value: "Warning": {IMMUTABLE}']),
        ({"reportingController": "b"}, [f'reportingController: Invalid value: "b": {IMMUTABLE}']),
        ({"reportingInstance": "b"}, [f'reportingInstance: Invalid value: "b": {IMMUTABLE}']),
        ({"deprecatedCount": 3}, [f"count: Invalid value: 3: {IMMUTABLE}"]),
        (
            {"related": {"kind": "Pod"}},
            [
                'related: Invalid value: {"Kind":"Pod","Namespace":"","Name":"","UID":"","APIVersion":"","ResourceVersion":"",'
                f'"FieldPath":""}}: {IMMUTABLE}'
            ],
        ),
        ({"series": {"count": 1, "lastObservedTime": STAMP}}, ['series.count: Invalid value: "": should be at least 2']),
    ],
)
def test_of_an_event_only_its_series_changes(api: Bench, change: Object, expected: list[str]) -> None:
    assert refused_update(api, EVENTS, change) == expected


def test_a_series_grows(api: Bench) -> None:
    made = api.made(EVENTS, sample(events.KIND, "repeated"))
    grown = api.put(
        EVENTS, changed(made, {"series": {"count": 2, "lastObservedTime": STAMP}, "metadata": {"labels": {"a": "b"}}})
    )
    assert (grown.status, grown.json["series"]["count"]) == (200, 2)
    # Through the core group anything may change.
    other = api.patch(CORE, "repeated", {"message": "other"})
    assert (other.status, other.json["message"]) == (200, "other")


CORE_FORM: Object = {
    "involvedObject": {"kind": "Pod", "name": "x", "namespace": "default"},
    "message": "It was tested",
    "reportingComponent": "example.com/x",
    "source": {"component": "x", "host": "h"},
    "firstTimestamp": "2026-01-01T00:00:00Z",
    "lastTimestamp": "2026-01-01T00:00:01Z",
    "count": 2,
}


def test_an_event_is_one_object_in_two_forms(api: Bench) -> None:
    api.made(CORE, changed(sample(core.KIND, "both"), CORE_FORM))
    shown = api.get(EVENTS, "both").json
    assert (shown["apiVersion"], shown["kind"]) == ("events.k8s.io/v1", "Event")
    assert {events.RENAMED[field]: shown[field] for field in events.RENAMED} == CORE_FORM
    assert not CORE_FORM.keys() & shown.keys()
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    found = {item["metadata"]["name"]: item for item in api.call("GET", path).json["items"]}
    assert {**found["both"], "apiVersion": "events.k8s.io/v1", "kind": "Event"} == shown
    assert api.delete(EVENTS, "both").status == 200
    assert api.get(CORE, "both").status == 404


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("reason=Tested", True),
        ("reason=Other", False),
        ("regarding.kind=Pod,regarding.name=x", True),
        ("regarding.kind=Node", False),
        ("reportingController=example.com/tester", True),
        ("type=Normal", True),
        ("metadata.name=selected", True),
    ],
)
def test_events_are_selected_by_their_own_fields(api: Bench, selector: str, expected: bool) -> None:
    if api.get(EVENTS, "selected").status == 404:
        api.made(EVENTS, sample(events.KIND, "selected"))
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    names = [item["metadata"]["name"] for item in api.call("GET", path, fieldSelector=selector).json["items"]]
    assert ("selected" in names) is expected
    refused = api.call("GET", path, fieldSelector="involvedObject.name=x")
    assert refused.status == 400 and "field label not supported: involvedObject.name" in refused.message


def test_who_reported_stands_in_for_the_source(api: Bench) -> None:
    api.made(EVENTS, sample(events.KIND, "printed"))
    for name in (CORE, EVENTS):
        found = cells(api, name, "printed")
        expected: dict[str, Any] = {"Source": "example.com/tester, tester-1", "Object": "pod/x", "Type": "Normal", "Count": 1}
        assert {column: found[column] for column in expected} == expected
    assert resource(EVENTS) is events.KIND and events.KIND.key_prefix == "/registry/events/"
