"""What ResourceClaimTemplates take and refuse, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.resource.words import LABEL_VALUE, NAME_PART
from tests.api.rules import made, on_create, on_update

TEMPLATES = "resourceclaimtemplates.resource.k8s.io"


def metadata(**fields: Any) -> Object:
    return {"spec": {"metadata": fields}}


def test_claims_are_completed_in_the_template_already() -> None:
    (request,) = made(TEMPLATES)["spec"]["spec"]["devices"]["requests"]
    assert request["exactly"]["count"] == 1
    assert on_create(TEMPLATES, metadata(labels={"a": "b"}, annotations={"c": "d"})) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (metadata(labels={"a": "b c"}), [f'spec.metadata.labels: Invalid value: "b c": {LABEL_VALUE}']),
        (metadata(annotations={"a b": ""}), [f'spec.metadata.annotations: Invalid value: "a b": {NAME_PART}']),
        (
            metadata(name="a", uid="b", finalizers=["c/d"], generateName="e"),
            [
                "spec.metadata.name: Forbidden: cannot be set",
                "spec.metadata.generateName: Forbidden: cannot be set",
                "spec.metadata.uID: Forbidden: cannot be set",
                "spec.metadata.finalizers: Forbidden: cannot be set",
            ],
        ),
        (
            {"spec": {"spec": {"devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": ""}}]}}}},
            ["spec.spec.devices.requests[0].exactly.deviceClassName: Required value"],
        ),
        (
            {"spec": {"spec": {"devices": {"config": [{}]}}}},
            ["spec.spec.devices.config[0].opaque: Required value"],
        ),
    ],
)
def test_what_makes_no_sense_is_refused(change: Object, expected: list[str]) -> None:
    assert on_create(TEMPLATES, change) == expected


def test_nothing_of_the_spec_may_change() -> None:
    assert on_update(TEMPLATES, {"metadata": {"labels": {"a": "b"}}}) == []
    assert on_update(TEMPLATES, {"spec": {"metadata": {"labels": {"a": "b"}}, "spec": {"devices": {"requests": None}}}}) == [
        'spec: Invalid value: {"labels":{"a":"b"},"Spec":{"Devices":{"Requests":null,"Constraints":null,"Config":null}}}: '
        "field is immutable"
    ]


def test_a_template_is_printed_with_its_age() -> None:
    assert [column.name for column in resource(TEMPLATES).columns] == ["Name", "Age"]
