"""What apiregistration.k8s.io takes and refuses, in Kubernetes' words, and how its objects are printed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from navarch.api.apiregistration import priorities
from navarch.api.registry import kinds, resource
from navarch.apimachinery.errors import Object
from tests.api.rules import made, merged, on_create, on_update

NAME = "apiservices.apiregistration.k8s.io"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOCAL: Object = {"spec": {"service": None}}
STAMP = {"creationTimestamp": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    "change",
    [
        {},
        LOCAL,
        {"metadata": {"name": "v1."}, "spec": {"group": None}},
        {"spec": {"caBundle": "eA=="}},
        {"spec": {"insecureSkipTLSVerify": True, "groupPriorityMinimum": 20000, "versionPriority": 1000}},
    ],
)
def test_what_makes_sense_is_taken(change: Object) -> None:
    assert on_create(NAME, merged({"metadata": STAMP}, change)) == []
    assert on_update(NAME, {"metadata": {"labels": {"a": "b"}}}, merged({"metadata": STAMP}, change)) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"metadata": {"name": "other"}},
            'metadata.name: Invalid value: "other": must be `spec.version+"."+spec.group`: "v1.sample"',
        ),
        ({"metadata": {"name": "a/b"}}, "metadata.name: Invalid value: \"a/b\": may not contain '/'"),
        (
            {"metadata": {"name": "v2."}, "spec": {"group": "", "version": "v2"}},
            "spec.group: Required value: only v1 may have an empty group and it better be legacy kube",
        ),
        (
            {"spec": {"groupPriorityMinimum": 0}},
            "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
        ),
        (
            {"spec": {"groupPriorityMinimum": 20001}},
            "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
        ),
        ({"spec": {"versionPriority": 1001}}, "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000"),
        (
            {"spec": {"service": None, "caBundle": "YWJj"}},
            'spec.caBundle: Invalid value: "3 bytes": local APIServices may not have a caBundle',
        ),
        (
            {"spec": {"service": None, "insecureSkipTLSVerify": True}},
            "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
        ),
        ({"spec": {"service": {"name": ""}}}, "spec.service.name: Required value"),
        ({"spec": {"service": {"namespace": None}}}, "spec.service.namespace: Required value"),
        (
            {"spec": {"service": {"port": 65536}}},
            "spec.service.port: Invalid value: 65536: port is not valid: must be between 1 and 65535, inclusive",
        ),
        (
            {"spec": {"caBundle": "YWJj", "insecureSkipTLSVerify": True}},
            "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
        ),
    ],
)
def test_each_rule(change: Object, expected: str) -> None:
    change = merged({"metadata": STAMP}, change)
    assert on_create(NAME, change) == [expected]
    assert expected in on_update(NAME, change) or "metadata" in expected


def test_a_version_is_a_label_and_a_group_a_domain() -> None:
    found = on_create(NAME, {"metadata": {**STAMP, "name": "V1.a_b"}, "spec": {"version": "V1", "group": "a_b"}})
    assert [message.split(":")[0] for message in found] == ["spec.group", "spec.version"]


def test_a_local_one_is_available_at_once_whatever_the_client_says() -> None:
    condition = made(NAME, {"metadata": STAMP, **LOCAL, "status": {"conditions": []}})["status"]["conditions"]
    assert condition == [
        {
            "type": "Available",
            "status": "True",
            "lastTransitionTime": STAMP["creationTimestamp"],
            "reason": "Local",
            "message": "Local APIServices are always available",
        }
    ]
    assert made(NAME)["status"] == {}
    assert made(NAME)["spec"]["service"]["port"] == 443


def test_a_condition_is_true_false_or_unknown() -> None:
    change = {"status": {"conditions": [{"type": "Available", "status": "Maybe"}]}}
    expected = 'status.conditions[0].status: Unsupported value: "Maybe": supported values: "True", "False", "Unknown"'
    assert on_update(NAME, change, subresource="status") == [expected]


@pytest.mark.parametrize(
    ("change", "cells"),
    [
        ({}, ["default/server", "Unknown"]),
        (LOCAL, ["Local", "True"]),
        ({"status": {"conditions": [{"type": "Available", "status": "False"}]}}, ["default/server", "False"]),
        (
            {"status": {"conditions": [{"type": "Available", "status": "False", "reason": "Gone"}]}},
            ["default/server", "False (Gone)"],
        ),
    ],
)
def test_how_it_is_printed(change: Object, cells: list[str]) -> None:
    kind = resource(NAME)
    assert [column.name for column in kind.columns] == ["Name", "Service", "Available", "Age"]
    obj = merged(made(NAME, {"metadata": STAMP, "spec": change.get("spec", {})}), {"status": change.get("status", {})})
    assert kind.row is not None
    assert kind.row(obj, NOW) == ["v1.sample", *cells, "0s"]


def test_every_group_that_is_served_has_a_priority() -> None:
    assert {kind.group for kind in kinds()} <= set(priorities.GROUPS)
