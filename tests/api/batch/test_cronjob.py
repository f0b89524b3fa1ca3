"""CronJobs: schedules, and the Jobs that are to be made."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from tests.api.rules import made, on_create, on_update

CRON_JOB = "cronjobs.batch"
JOB = "spec.jobTemplate.spec"
ZONED = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("@every 5m", []),
        ("*/1 0-23/2,5 ? * Mon", []),
        ("", ["Required value"]),
        ("* * * *", ['Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]']),
        ("@never", ['Invalid value: "@never": unrecognized descriptor: @never']),
        ("@every x", ['Invalid value: "@every x": failed to parse duration @every x: time: invalid duration "x"']),
        ("60 * * * *", ['Invalid value: "60 * * * *": end of range (60) above maximum (59): 60']),
        ("* * 0 * *", ['Invalid value: "* * 0 * *": beginning of range (0) below minimum (1): 0']),
        ("* * * * 7", ['Invalid value: "* * * * 7": end of range (7) above maximum (6): 7']),
        ("5-1 * * * *", ['Invalid value: "5-1 * * * *": beginning of range (5) beyond end of range (1): 5-1']),
        ("*/0 * * * *", ['Invalid value: "*/0 * * * *": step of range should be a positive number: */0']),
        ("1-2-3 * * * *", ['Invalid value: "1-2-3 * * * *": too many hyphens: 1-2-3']),
        ("x * * * *", [
            'Invalid value: "x * * * *": failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax',
        ]),
        ("TZ=UTC 0 0 * * *", [f'Invalid value: "TZ=UTC 0 0 * * *": {ZONED}']),
        ("TZ=Mars 0 0 * * *", [
            'Invalid value: "TZ=Mars 0 0 * * *": provided bad location Mars: unknown time zone Mars',
            f'Invalid value: "TZ=Mars 0 0 * * *": {ZONED}',
        ]),
    ],
)  # fmt: skip
def test_schedules(schedule: str, expected: list[str]) -> None:
    assert on_create(CRON_JOB, {"spec": {"schedule": schedule}}) == [f"spec.schedule: {text}" for text in expected]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"spec": {"jobTemplate": {"spec": {"completionMode": "Indexed"}}}}, [
            f"{JOB}.completions: Required value: when completion mode is Indexed",
        ]),
        ({"spec": {"jobTemplate": {"spec": {"selector": {"matchLabels": {"a": "b"}}, "manualSelector": True}}}}, [
            f'{JOB}.selector: Invalid value: {{"matchLabels":{{"a":"b"}}}}: `selector` will be auto-generated',
            f'{JOB}.manualSelector: Unsupported value: true: supported values: "nil", "false"',
        ]),
        ({"spec": {"concurrencyPolicy": "Odd"}}, [
            'spec.concurrencyPolicy: Unsupported value: "Odd": supported values: "Allow", "Forbid", "Replace"',
        ]),
        ({"metadata": {"name": "a" * 53}}, [
            f'metadata.name: Invalid value: "{"a" * 53}": must be no more than 52 characters',
        ]),
    ],
)  # fmt: skip
def test_what_a_cron_job_may_not_be(change: Object, expected: list[str]) -> None:
    assert on_create(CRON_JOB, change) == expected


def test_the_jobs_to_be_made_have_no_defaults_of_their_own() -> None:
    assert not {"completions", "parallelism", "manualSelector"} & made(CRON_JOB)["spec"]["jobTemplate"]["spec"].keys()


def test_what_was_possible_once_may_stay() -> None:
    zoned = {"spec": {"schedule": "TZ=UTC 0 0 * * *"}}
    assert on_update(CRON_JOB, {"spec": {"suspend": True}}, zoned) == []
    assert on_update(CRON_JOB, {"spec": {"timeZone": "UTC"}}, zoned) == [
        'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use both timeZone field and TZ or CRON_TZ in schedule'
    ]
    assert on_update(CRON_JOB, {"spec": {"suspend": True}}, {"spec": {"timeZone": "Mars/Base"}}) == []
