"""Disruption budgets, priority classes, leases and CronJobs: the rules that are each kind's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.rules import made, on_create, on_update
from tests.api.tables import changed
from tests.apiserver.bench import Bench, bench
from tests.apiserver.samples import sample

BUDGET, CLASS = "poddisruptionbudgets.policy", "priorityclasses.scheduling.k8s.io"
LEASE, CRON_JOB = "leases.coordination.k8s.io", "cronjobs.batch"
RESERVED = "Forbidden: priority class names with 'system-' prefix are reserved for system use only. error:"
CONDITION = {"type": "Tested", "status": "True", "reason": "Passed", "lastTransitionTime": "2026-01-01T00:00:00Z"}
AT = "status.conditions[0]"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("api")) as found:
        yield found


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (BUDGET, {"spec": {"minAvailable": "101%"}}, [
            'spec.minAvailable: Invalid value: "101%": must not be greater than 100%',
        ]),
        (CLASS, {"preemptionPolicy": "Odd"}, [
            'preemptionPolicy: Unsupported value: "Odd": supported values: "PreemptLowerPriority", "Never"',
        ]),
        (CLASS, {"metadata": {"name": "system-mine"}}, [
            f"metadata.name: {RESERVED} system-mine is not a known system priority class",
        ]),
        (CLASS, {"metadata": {"name": "system-node-critical"}}, [
            f"metadata.name: {RESERVED} value of system-node-critical PriorityClass must be 2000001000",
        ]),
        (CLASS, {"metadata": {"name": "system-node-critical"}, "value": 2000001000, "globalDefault": True}, [
            f"metadata.name: {RESERVED} globalDefault of system-node-critical PriorityClass must be false",
        ]),
        (CLASS, {"value": 1000000001}, ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]),
        (CRON_JOB, {"spec": {"timeZone": "Europe/Berlin"}}, []),
        (CRON_JOB, {"spec": {"timeZone": ""}}, [
            'spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string',
        ]),
        (CRON_JOB, {"spec": {"timeZone": "local"}}, [
            'spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone as defined in '
            "https://www.iana.org/time-zones",
            'spec.timeZone: Invalid value: "local": unknown time zone local',
        ]),
        (CRON_JOB, {"spec": {"timeZone": "Mars/Base"}}, [
            'spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base',
        ]),
    ],
)  # fmt: skip
def test_what_each_of_them_may_not_be(name: str, change: Object, expected: list[str]) -> None:
    assert on_create(name, change) == expected


def test_leases_are_not_coordinated() -> None:
    coordinated = {"spec": {"holderIdentity": "a", "preferredHolder": "b", "strategy": "OldestEmulationVersion"}}
    assert made(LEASE, coordinated)["spec"] == {**made(LEASE)["spec"], "holderIdentity": "a"}
    kind, older = resource(LEASE), {**made(LEASE), **coordinated}
    assert kind.prepare_update is not None
    assert kind.prepare_update(older, made(LEASE))["spec"] == {"holderIdentity": "a"}
    # What is there of a cluster that coordinated them stays, and keeps to the rules.
    assert kind.prepare_update(older, older) == older
    assert [problem.message for problem in kind.validate({**older, "spec": {"preferredHolder": "b"}})] == [
        "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"
    ]
    assert [problem.message for problem in kind.validate({**older, "spec": {"strategy": "Odd"}})] == [
        'spec.strategy.strategy: Unsupported value: "Odd": supported values: "OldestEmulationVersion"'
    ]


def test_a_budget_shows_what_it_is() -> None:
    assert on_create(BUDGET, {"spec": {"minAvailable": 1, "maxUnavailable": "50%"}}) == [
        'spec: Invalid value: {"MinAvailable":1,"Selector":{"matchLabels":{"app":"web"}},"MaxUnavailable":"50%",'
        '"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set'
    ]


def test_of_a_class_of_the_systems_an_update_looks_at_nothing_but_what_may_not_change() -> None:
    system = {"metadata": {"name": "system-node-critical"}, "value": 2000001000}
    assert on_update(CLASS, {"globalDefault": True}, system) == []
    assert on_update(CLASS, {"preemptionPolicy": "Odd"}) == ['preemptionPolicy: Invalid value: "Odd": field is immutable']


def test_the_value_and_policy_of_a_priority_class_stay() -> None:
    assert on_update(CLASS, {"value": 5, "preemptionPolicy": "Never"}) == [
        "value: Forbidden: may not be changed in an update.",
        'preemptionPolicy: Invalid value: "Never": field is immutable',
    ]


def test_there_is_one_default_priority_class(api: Bench) -> None:
    first = api.made(CLASS, {**sample(resource(CLASS), "first"), "globalDefault": True})
    assert first["metadata"]["generation"] == 1
    second = api.post(CLASS, {**sample(resource(CLASS), "second"), "globalDefault": True})
    assert (second.status, second.message) == (
        403,
        'priorityclasses.scheduling.k8s.io "second" is forbidden: '
        "PriorityClass first is already marked as default. Only one default can exist",
    )
    third = api.made(CLASS, sample(resource(CLASS), "third"))
    assert api.put(CLASS, {**third, "globalDefault": True}).status == 403
    kept = api.put(CLASS, {**first, "description": "changed"})
    assert (kept.status, kept.json["metadata"]["generation"]) == (200, 1)


@pytest.mark.parametrize("name", [BUDGET, LEASE])
def test_who_replaces_an_object_says_which_version(api: Bench, name: str) -> None:
    made = api.made(name, sample(resource(name), "versioned"))
    blind = api.put(name, changed(made, {"metadata": {"resourceVersion": None}}))
    assert (blind.status, blind.causes) == (422, [("FieldValueInvalid", "metadata.resourceVersion")])
    assert api.put(name, made).status == 200


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"conditions": [CONDITION, {**CONDITION, "type": "Other"}]}, []),
        ({"disruptionsAllowed": -1, "expectedPods": -1}, [
            "status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0",
            "status.expectedPods: Invalid value: -1: must be greater than or equal to 0",
        ]),
        ({"conditions": [CONDITION, CONDITION]}, ['status.conditions[1].type: Duplicate value: "Tested"']),
        ({"conditions": [{**CONDITION, "status": "Odd", "observedGeneration": -1}]}, [
            f'{AT}.status: Unsupported value: "Odd": supported values: "False", "True", "Unknown"',
            f"{AT}.observedGeneration: Invalid value: -1: must be greater than or equal to zero",
        ]),
        ({"conditions": [{"type": "Tested", "status": "True", "reason": ""}]}, [
            f"{AT}.lastTransitionTime: Required value: must be set",
            f"{AT}.reason: Required value: must be set",
        ]),
        ({"conditions": [{**CONDITION, "reason": "a b", "message": "x" * 32769}]}, [
            f"{AT}.reason: Invalid value: \"a b\": a condition reason must start with alphabetic character, optionally "
            "followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' "
            "(e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', "
            "regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')",
            f"{AT}.message: Too long: may not be more than 32768 bytes",
        ]),
    ],
)  # fmt: skip
def test_what_the_status_of_a_budget_may_not_say(status: Object, expected: list[str]) -> None:
    assert on_update(BUDGET, {"status": status}, subresource="status") == expected
