"""What node.k8s.io takes and refuses, in Kubernetes' words."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from tests.api.rules import made, on_create, on_update

CLASSES = "runtimeclasses.node.k8s.io"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)

EVERYTHING, AT_ONCE = {"operator": "Exists", "effect": "NoExecute"}, {"tolerationSeconds": 0}


def test_a_class_with_everything_is_taken() -> None:
    scheduling = {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]}
    assert on_create(CLASSES, {"overhead": {"podFixed": {"cpu": "250m", "memory": "64Mi"}}, "scheduling": scheduling}) == []
    assert on_update(CLASSES, {"scheduling": scheduling, "overhead": {"podFixed": {"cpu": "1"}}}) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"handler": None}, f'handler: Invalid value: "": {LABEL}'),
        ({"handler": "a.b"}, 'handler: Invalid value: "a.b": must not contain dots'),
        (
            {"overhead": {"podFixed": {"cpu": "-1"}}},
            'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        ),
        (
            {"scheduling": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}},
            "scheduling.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
        ),
        (
            {"scheduling": {"tolerations": [EVERYTHING, {"key": "a", "operator": "Exists"}, {**EVERYTHING, **AT_ONCE}]}},
            'scheduling.tolerations[2]: Duplicate value: {"Key":"","Operator":"Exists","Value":"","Effect":"NoExecute",'
            '"TolerationSeconds":0}',
        ),
    ],
)
def test_classes_that_make_no_sense_are_refused(change: Object, expected: str) -> None:
    assert on_create(CLASSES, change) == [expected]


def test_what_a_pod_costs_is_counted_in_thousandths() -> None:
    assert made(CLASSES, {"overhead": {"podFixed": {"cpu": "100u"}}})["overhead"] == {"podFixed": {"cpu": "1m"}}


def test_labels_of_nodes_are_checked() -> None:
    (problem,) = on_create(CLASSES, {"scheduling": {"nodeSelector": {"a b": "c"}}})
    assert problem.startswith('scheduling.nodeSelector: Invalid value: "a b": name part must consist of')


def test_the_handler_stays() -> None:
    assert on_update(CLASSES, {"handler": "other"}) == ['handler: Invalid value: "other": field is immutable']
