"""The status of Jobs: whoever writes it, it makes sense and takes nothing back."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.rules import made

EARLY, NOW, LATER = (f"2026-01-01T00:00:0{second}Z" for second in range(3))
INDEXED = {"completionMode": "Indexed", "completions": 5, "parallelism": 1}
CONDITIONS = "status.conditions: Invalid value: "


def status(*conditions: str, **fields: Any) -> Object:
    """A status in which these conditions are true."""
    return {**fields, "conditions": [{"type": type_, "status": "True"} for type_ in conditions]}


def said(before: Object, now: Object, **spec: Any) -> list[str]:
    kind, job = resource("jobs.batch"), made("jobs.batch", {"spec": spec})
    return [problem.message for problem in kind.validate_status_update({**job, "status": now}, {**job, "status": before})]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, status(active=-1, ready=-1, terminating=-1), [
            f"status.{field}: Invalid value: -1: must be greater than or equal to 0"
            for field in ("active", "ready", "terminating")
        ]),
        ({}, {"uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["a"]}}, [
            'status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
            'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"',
        ]),
        ({}, status("Complete", "Failed", startTime=NOW, completionTime=NOW), [
            f"{CONDITIONS}cannot set Complete=True and Failed=true conditions",
            f"{CONDITIONS}cannot set Failed=True condition without the FailureTarget=true condition",
            f"{CONDITIONS}cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ]),
        ({}, status("Complete", "SuccessCriteriaMet", startTime=NOW, completionTime=NOW), []),
        ({}, status("Failed", "FailureTarget"), ["status.startTime: Required value: startTime is required for finished job"]),
        ({}, status("Complete", "SuccessCriteriaMet", startTime=NOW), [
            "status.completionTime: Required value: completionTime is required for Complete jobs",
        ]),
        ({}, status(completionTime=NOW), [
            f'status.completionTime: Invalid value: "{NOW}": cannot set completionTime when there is no Complete=True '
            "condition",
        ]),
        ({}, status("Complete", "SuccessCriteriaMet", startTime=NOW, completionTime=EARLY), [
            f'status.completionTime: Invalid value: "{EARLY}": completionTime cannot be set before startTime',
        ]),
        ({}, status("Failed", "FailureTarget", startTime=NOW, active=1, terminating=2, ready=1), [
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
            "status.terminating: Invalid value: 2: terminating>0 is invalid for finished job",
        ]),
        ({}, status("Failed", "FailureTarget", startTime=NOW, uncountedTerminatedPods={"failed": ["a"]}), [
            'status.uncountedTerminatedPods: Invalid value: {"Succeeded":null,"Failed":["a"]}: '
            "uncountedTerminatedPods needs to be empty for finished job",
        ]),
        ({}, status(active=1, ready=2), ["status.ready: Invalid value: 2: cannot set more ready pods than active"]),
        (status(active=1, ready=2), status(active=1, ready=2, failed=1), []),
        ({}, status("SuccessCriteriaMet", "FailureTarget"), [
            f"{CONDITIONS}cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ]),
        *((status(type_), status(), [f"{CONDITIONS}cannot disable the terminal {type_}=True condition"])
          for type_ in ("Failed", "FailureTarget")),
        (status("SuccessCriteriaMet"), status(), [f"{CONDITIONS}cannot disable the SuccessCriteriaMet=True condition"]),
        (status(failed=3, succeeded=3), status(failed=1), [
            "status.failed: Invalid value: 1: cannot decrease the failed counter",
            "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
        ]),
        (status(startTime=NOW), status(startTime=LATER), [
            f'status.startTime: Invalid value: "{LATER}": field is immutable for unsuspended job once set',
        ]),
        (status(startTime=NOW), status(), [
            "status.startTime: Invalid value: null: field is immutable for unsuspended job once set",
        ]),
        (status("Suspended", startTime=NOW), status(startTime=LATER), []),
        (status("Complete", "SuccessCriteriaMet", startTime=EARLY, completionTime=NOW),
         status("Complete", "SuccessCriteriaMet", startTime=EARLY, completionTime=LATER),
         [f'status.completionTime: Invalid value: "{LATER}": completionTime cannot be mutated']),
    ],
)  # fmt: skip
def test_what_a_status_may_not_become(before: Object, now: Object, expected: list[str]) -> None:
    assert said(before, now) == expected


@pytest.mark.parametrize(
    ("spec", "before", "now", "expected"),
    [
        ({}, {}, {"completedIndexes": "0"}, [
            'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion '
            "mode",
        ]),
        (INDEXED, {}, {"completedIndexes": "0,2-4"}, []),
        (INDEXED, {}, {"completedIndexes": "0-5"}, [
            'status.completedIndexes: Invalid value: "0-5": error parsing completedIndexes: too large index: "5"',
        ]),
        (INDEXED, {"completedIndexes": "0-5"}, {"completedIndexes": "0-5", "active": 1}, []),
        (INDEXED, {}, {"failedIndexes": ""}, [
            'status.failedIndexes: Invalid value: "": cannot set non-null failedIndexes when backoffLimitPerIndex is null',
        ]),
        ({**INDEXED, "backoffLimitPerIndex": 1}, {}, {"failedIndexes": "x,3", "completedIndexes": "2-4"}, [
            'status.failedIndexes: Invalid value: "x,3": error parsing failedIndexes: cannot convert string to integer for '
            'index: "x"',
            'status.failedIndexes: Invalid value: "x,3": failedIndexes and completedIndexes overlap at index: 3',
        ]),
        ({**INDEXED, "parallelism": 5}, {"succeeded": 3}, {"succeeded": 1}, []),
        ({"suspend": True}, {"startTime": NOW}, {}, []),
        ({"suspend": True, "completions": 0}, {}, status("Complete", "SuccessCriteriaMet", completionTime=NOW), []),
    ],
)  # fmt: skip
def test_what_depends_on_the_spec(spec: Object, before: Object, now: Object, expected: list[str]) -> None:
    assert said(before, now, **spec) == expected


def test_a_policy_of_success_announces_the_end() -> None:
    policy = {**INDEXED, "successPolicy": {"rules": [{"succeededCount": 1}]}}
    assert f"{CONDITIONS}cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True" in said(
        {}, status("Complete", startTime=NOW, completionTime=NOW), **policy
    )
