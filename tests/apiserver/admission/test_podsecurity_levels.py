"""What labels of namespaces ask for."""

from __future__ import annotations

import pytest

from navarch.apiserver.admission.podsecurity.levels import (
    BASELINE,
    DEFAULTS,
    LATEST,
    NOTHING,
    PREFIX,
    RESTRICTED,
    LevelVersion,
    Policy,
    asked,
    counted,
    parse_version,
)

BASE, STRICT = LevelVersion(BASELINE, LATEST), LevelVersion(RESTRICTED, LATEST)


def labels(**modes: str) -> dict[str, str]:
    return {"other": "label", **{PREFIX + mode.replace("_", "-"): value for mode, value in modes.items()}}


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("latest", LATEST),
        ("v1.0", 0),
        ("v1.1", 1),
        ("v1.20", 20),
        ("v1.10000", 10_000),
        *((text, None) for text in ("foo", "", "v2.0", "v1", "1.1", "v1.01", "v1.", "v1.-1", "v1.1\n", "v1.²")),
        ("v1.9223372036854775807", LATEST - 1),
        ("v1.9223372036854775808", None),
    ],
)
def test_versions(text: str, version: int | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, DEFAULTS),
        ({"enforce": "baseline"}, Policy(BASE, NOTHING, BASE)),
        ({"warn": "restricted"}, Policy(NOTHING, NOTHING, STRICT)),
        ({"audit": "baseline"}, Policy(NOTHING, BASE, NOTHING)),
        ({"enforce": "baseline", "warn": "restricted"}, Policy(BASE, NOTHING, STRICT)),
        ({"enforce": "restricted", "warn": "baseline"}, Policy(STRICT, NOTHING, BASE)),
        (
            {"enforce": "baseline", "enforce_version": "v1.22"},
            Policy(LevelVersion(BASELINE, 22), NOTHING, LevelVersion(BASELINE, 22)),
        ),
        (
            {"enforce": "baseline", "enforce_version": "v1.22", "warn_version": "latest"},
            Policy(LevelVersion(BASELINE, 22), NOTHING, BASE),
        ),
        ({"enforce": "baseline", "warn_version": "v1.23"}, Policy(BASE, NOTHING, LevelVersion(BASELINE, 23))),
        (
            {
                "enforce": "baseline",
                "enforce_version": "v1.20",
                "warn": "restricted",
                "warn_version": "v1.21",
                "audit": "restricted",
                "audit_version": "v1.22",
            },
            Policy(LevelVersion(BASELINE, 20), LevelVersion(RESTRICTED, 22), LevelVersion(RESTRICTED, 21)),
        ),
        ({"enforce": "baseline", "warn": "privileged"}, Policy(BASE, NOTHING, NOTHING)),
    ],
)
def test_whoever_enforces_is_warned_too(given: dict[str, str], expected: Policy) -> None:
    assert asked(labels(**given)) == (expected, [])


@pytest.mark.parametrize(
    ("given", "expected", "problems"),
    [
        ({"enforce": "foo"}, Policy(STRICT, NOTHING, NOTHING), ["enforce"]),
        ({"enforce": "baseline", "warn": "foo"}, Policy(BASE, NOTHING, NOTHING), ["warn"]),
        ({"audit": "foo"}, DEFAULTS, ["audit"]),
        ({"enforce": "baseline", "enforce_version": "1.20"}, Policy(BASE, NOTHING, BASE), ["enforce-version"]),
        (
            {"warn_version": "x", "audit_version": "y", "enforce": "z", "warn": ""},
            Policy(STRICT, NOTHING, NOTHING),
            ["enforce", "audit-version", "warn", "warn-version"],
        ),
    ],
)
def test_what_cannot_be_read_forbids_the_most_but_says_nothing(
    given: dict[str, str], expected: Policy, problems: list[str]
) -> None:
    policy, found = asked(labels(**given))
    assert policy == expected
    assert [problem.field for problem in found] == [f"metadata.labels[{PREFIX}{mode}]" for mode in problems]


def test_problems_are_told_as_kubernetes_tells_them() -> None:
    _, problems = asked(labels(enforce="foo", enforce_version="bar"))
    assert [problem.message for problem in problems] == [
        f'metadata.labels[{PREFIX}enforce]: Invalid value: "foo": must be one of privileged, baseline, restricted',
        f'metadata.labels[{PREFIX}enforce-version]: Invalid value: "bar": must be "latest" or "v1.x"',
    ]


def test_what_no_label_says_is_the_default() -> None:
    defaults = Policy(BASE, STRICT, NOTHING)
    assert asked({"a": "b"}, defaults) == (defaults, [])
    assert asked(labels(audit="baseline"), defaults) == (Policy(BASE, BASE, NOTHING), [])
    assert asked(labels(enforce="privileged"), defaults) == (Policy(NOTHING, STRICT, NOTHING), [])


def test_versions_that_are_to_come_are_counted_as_one() -> None:
    assert [counted(LevelVersion(BASELINE, version), 36) for version in (1, 36, 37, LATEST)] == [
        "v1.1",
        "v1.36",
        "future",
        "latest",
    ]
    assert counted(LevelVersion("privileged", 3), 36) == "latest"
