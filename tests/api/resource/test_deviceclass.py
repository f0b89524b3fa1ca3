"""What DeviceClasses take and refuse, in Kubernetes' words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.resource.words import SUBDOMAIN
from tests.api.rules import made, on_create, on_update

CLASSES = "deviceclasses.resource.k8s.io"


def spec(**fields: Any) -> Object:
    return {"spec": fields}


def selectors(*expressions: str) -> list[Object]:
    return [{"cel": {"expression": expression}} for expression in expressions]


def opaque(driver: str = "dra.example.com", parameters: Any = None) -> Object:
    return {"opaque": {"driver": driver, "parameters": {"a": 1} if parameters is None else parameters}}


@pytest.mark.parametrize(
    "change",
    [
        {},
        spec(selectors=None),
        spec(selectors=selectors(*["true"] * 32), config=[opaque()] * 32),
        spec(selectors=selectors("true" + " " * 10236)),
        spec(
            selectors=selectors(
                "device.driver == 'a' && device.attributes['a'].model == 'x' && has(device.attributes['a'].n)",
                "device.capacity['a'].memory.isGreaterThan(quantity('10Gi'))",
                "device.attributes['a'].version.isGreaterThan(semver('1.0.0'))",
                "device.attributes['a'].healthy",
                "cel.bind(a, device.attributes['a'], a.healthy && a.index < 3)",
                "device.attributes['a'].name.matches('^x.*$')",
            )
        ),
        spec(config=[opaque("DRA.Example.com", {"text": "x" * 10000})]),
        spec(extendedResourceName="example.com/gpu"),
    ],
)
def test_what_makes_sense_is_taken(change: Object) -> None:
    assert on_create(CLASSES, change) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (spec(selectors=selectors(*["true"] * 33)), ["spec.selectors: Too many: 33: must have at most 32 items"]),
        (spec(selectors=[{}]), ["spec.selectors[0].cel: Required value"]),
        (
            spec(selectors=selectors("true", "x" * 10241)),
            ["spec.selectors[1].cel.expression: Too long: may not be more than 10240 bytes"],
        ),
        (
            spec(selectors=selectors("device.driver", "device.model == 'a'", "dyn(true)")),
            [
                'spec.selectors[0].cel.expression: Invalid value: "device.driver": must evaluate to bool or the unknown type, '
                "not string",
                "spec.selectors[1].cel.expression: Invalid value: \"device.model == 'a'\": compilation failed: ERROR: "
                "<input>:1:7: undefined field 'model'\n | device.model == 'a'\n | ......^",
                'spec.selectors[2].cel.expression: Invalid value: "dyn(true)": must evaluate to bool or the unknown type, '
                "not dyn",
            ],
        ),
        (
            spec(
                selectors=selectors(
                    "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, "
                    "device.attributes.all(d, a == b))))"
                )
            ),
            ["spec.selectors[0].cel.expression: Forbidden: too complex, exceeds cost limit"],
        ),
        (spec(config=[opaque()] * 33), ["spec.config: Too many: 33: must have at most 32 items"]),
        (spec(config=[{}]), ["spec.config[0].opaque: Required value"]),
        (
            spec(config=[opaque("a_b")]),
            [f'spec.config[0].opaque.driver: Invalid value: "a_b": {SUBDOMAIN}'],
        ),
        (
            spec(config=[opaque("a" * 64)]),
            ["spec.config[0].opaque.driver: Too long: may not be more than 63 bytes"],
        ),
        (
            spec(config=[{"opaque": {"driver": "dra.example.com"}}]),
            ["spec.config[0].opaque.parameters: Required value"],
        ),
        (
            spec(config=[opaque(parameters="text")]),
            ['spec.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object'],
        ),
        (
            spec(config=[opaque(parameters={"text": "x" * 10240})]),
            ["spec.config[0].opaque.parameters: Too long: may not be more than 10240 bytes"],
        ),
        (
            spec(extendedResourceName="cpu"),
            ['spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name'],
        ),
        ({"metadata": {"name": "A"}}, [f'metadata.name: Invalid value: "A": {SUBDOMAIN}']),
        (
            spec(selectors=[{}], config=[{}], extendedResourceName="requests.example.com/a"),
            [
                "spec.selectors[0].cel: Required value",
                "spec.config[0].opaque: Required value",
                'spec.extendedResourceName: Invalid value: "requests.example.com/a": must be a valid extended resource name',
            ],
        ),
    ],
)
def test_what_makes_no_sense_is_refused(change: Object, expected: list[str]) -> None:
    assert on_create(CLASSES, change) == expected


def test_everything_of_a_class_may_change() -> None:
    change = spec(selectors=selectors("false"), config=[opaque()], extendedResourceName="example.com/gpu")
    assert on_update(CLASSES, change) == []
    assert on_update(CLASSES, spec(selectors=[{}])) == ["spec.selectors[0].cel: Required value"]


def test_a_class_is_printed_with_its_age() -> None:
    kind, device_class = resource(CLASSES), made(CLASSES, {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}})
    assert [column.name for column in kind.columns] == ["Name", "Age"]
    assert kind.row is not None
    assert kind.row(device_class, datetime(2026, 1, 1, 0, 5, tzinfo=UTC)) == ["sample", "5m"]
