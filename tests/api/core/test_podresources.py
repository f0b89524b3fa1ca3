"""What containers and pods may ask for, and what class of service follows."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from tests.api.core.podchanges import NEGATIVE, SUBDOMAIN, C, main, spec
from tests.api.rules import made, on_create

RESOURCES: list[tuple[Object, list[str]]] = [
    (
        main(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
        [f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ),
    (
        main(resources={"limits": {"cpu": "-1"}}),
        [
            f'{C}.resources.limits[cpu]: Invalid value: "-1": {NEGATIVE}',
            f'{C}.resources.requests[cpu]: Invalid value: "-1": {NEGATIVE}',
        ],
    ),
    (
        main(resources={"requests": {"x": "1"}}),
        [
            f'{C}.resources.requests[x]: Invalid value: "x": must be a standard resource type or fully qualified',
            f'{C}.resources.requests[x]: Invalid value: "x": must be a standard resource for containers',
        ],
    ),
    (
        main(resources={"requests": {"example.com/gpu": "1"}}),
        [f"{C}.resources.limits: Required value: Limit must be set for non overcommitable resources"],
    ),
    (
        main(resources={"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "2"}}),
        [f'{C}.resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2'],
    ),
    (
        main(resources={"limits": {"example.com/gpu": "1500m"}}),
        [
            f'{C}.resources.limits[example.com/gpu]: Invalid value: "1500m": must be an integer',
            f'{C}.resources.requests[example.com/gpu]: Invalid value: "1500m": must be an integer',
        ],
    ),
    (
        main(resources={"limits": {"hugepages-2Mi": "2Mi"}}),
        [f"{C}.resources: Forbidden: HugePages require cpu or memory"],
    ),
    (
        main(resources={"limits": {"hugepages-2Mi": "1Mi", "cpu": "1"}}),
        [
            f'{C}.resources.limits[hugepages-2Mi]: Invalid value: "1Mi": 1Mi is not positive integer multiple of hugepages-2Mi',
            f'{C}.resources.requests[hugepages-2Mi]: Invalid value: "1Mi": 1Mi is not positive integer multiple of '
            "hugepages-2Mi",
        ],
    ),
    (
        main(resources={"claims": [{"name": "x"}]}),
        [
            f'{C}.resources.claims[0]: Not found: "x": must be one of the names in pod.spec.resourceClaims which is empty',
        ],
    ),
    (
        spec(resourceClaims=[{"name": "a"}]),
        [
            'spec.resourceClaims[0]: Invalid value: {"Name":"a","ResourceClaimName":null,"ResourceClaimTemplateName":null}: '
            "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
        ],
    ),
    (
        spec(resourceClaims=[{"name": "a", "resourceClaimName": "b"}, {"name": "a", "resourceClaimName": "B"}]),
        [
            'spec.resourceClaims[1].name: Duplicate value: "a"',
            f'spec.resourceClaims[1].resourceClaimName: Invalid value: "B": {SUBDOMAIN}',
        ],
    ),
    (
        spec(resources={"requests": {"ephemeral-storage": "1"}}),
        [
            'spec.resources.requests[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", '
            '"hugepages-", "memory"'
        ],
    ),
    (
        {"spec": {"resources": {"requests": {"cpu": "1"}}, **main(resources={"requests": {"cpu": "2"}})["spec"]}},
        [
            'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests '
            "of 2"
        ],
    ),
    (spec(overhead={"x": "1"}), [
        'spec.overhead.limits[x]: Invalid value: "x": must be a standard resource type or fully qualified',
        'spec.overhead.limits[x]: Invalid value: "x": must be a standard resource for containers',
    ]),
    (
        {
            "metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}},
            **spec(nodeName="n", resourceClaims=[{"name": "A"}, {"name": "A"}]),
        },
        [": Forbidden: static pods do not support resource claims"] * 2,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), RESOURCES)
def test_each_rule_of_resources_says_what_upstream_says(change: Object, expected: list[str]) -> None:
    assert on_create("pods", change) == expected


@pytest.mark.parametrize(
    ("requests", "limits", "whole", "expected"),
    [
        ({}, {}, None, "BestEffort"),
        ({"cpu": "0"}, {}, None, "BestEffort"),
        ({"cpu": "1"}, {}, None, "Burstable"),
        ({}, {"cpu": "1", "memory": "1"}, None, "Guaranteed"),
        ({"cpu": "1"}, {"cpu": "2", "memory": "1"}, None, "Burstable"),
        ({"cpu": "1"}, {}, {"limits": {"cpu": "1", "memory": "1"}}, "Guaranteed"),
    ],
)
def test_the_class_of_service_follows_from_the_resources(
    requests: Object, limits: Object, whole: Object | None, expected: str
) -> None:
    change = main(resources={"requests": requests, "limits": limits})
    if whole is not None:
        change["spec"]["resources"] = whole
    assert made("pods", change)["status"]["qosClass"] == expected
