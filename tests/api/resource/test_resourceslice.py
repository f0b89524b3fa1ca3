"""What ResourceSlices take and refuse, in Kubernetes' words; what of them is dropped, warned of and printed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.resource.words import IDENTIFIER, LABEL, LABEL_VALUE, NAME_PART, SUBDOMAIN
from tests.api.rules import made, on_create, on_update

SLICES = "resourceslices.resource.k8s.io"
DEVICE = "spec.devices[0]"
ONE_OF = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
ONE_OF_DEVICE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the "
    "ResourceSlice spec"
)
SELECTOR = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}


def spec(**fields: Any) -> Object:
    return {"spec": fields}


def device(**fields: Any) -> Object:
    return spec(devices=[{"name": "gpu-0", **fields}])


def attribute(**fields: Any) -> Object:
    return device(attributes={"model": fields})


def chosen(**fields: Any) -> Object:
    """A device that says itself on which nodes it is."""
    return spec(nodeName=None, perDeviceNodeSelection=True, devices=[{"name": "gpu-0", **fields}])


def counters(**counts: str) -> Object:
    return {name: {"value": value} for name, value in counts.items()}


@pytest.mark.parametrize(
    "change",
    [
        {},
        spec(nodeName=None, allNodes=True),
        spec(nodeName=None, nodeSelector=SELECTOR),
        spec(driver="DRA.Example.com", pool={"name": "a.example.com/b"}),
        spec(devices=[{"name": f"gpu-{number}"} for number in range(128)]),
        spec(devices=None, sharedCounters=[{"name": "set", "counters": counters(memory="1Gi")}]),
        device(attributes={"a": {"int": 0}, "b": {"bool": False}, "example.com/c": {"string": ""}, "d": {"version": "1.2.3"}}),
        device(capacity={"memory": {"value": "80Gi"}}),
        device(taints=[{"key": "a", "value": "b", "effect": "NoSchedule"}]),
        device(consumesCounters=[{"counterSet": "set", "counters": counters(memory="1Gi")}]),
        device(bindingConditions=["a"], bindingFailureConditions=["b"], bindsToNode=True),
        chosen(nodeName="node"),
        chosen(allNodes=True),
        chosen(nodeSelector=SELECTOR),
    ],
)
def test_what_makes_sense_is_taken(change: Object) -> None:
    assert on_create(SLICES, change) == []


REFUSED: list[tuple[Object, list[str]]] = [
    (spec(driver="a_b"), [f'spec.driver: Invalid value: "a_b": {SUBDOMAIN}']),
    (spec(pool={"name": ""}), ["spec.pool.name: Required value"]),
    (spec(pool={"name": "a" * 254}), [
        "spec.pool.name: Too long: may not be more than 253 bytes",
        f'spec.pool.name: Invalid value: "{"a" * 254}": must be no more than 253 characters',
    ]),
    (spec(pool={"resourceSliceCount": 0, "generation": -1}), [
        "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
        "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
    ]),
    (spec(nodeName=None), [f"spec: Required value: {ONE_OF}"]),
    (spec(nodeName=""), [
        'spec.nodeName: Invalid value: "": must be either unset or set to a non-empty string',
        f"spec: Required value: {ONE_OF}",
    ]),
    (spec(nodeName="A"), [f'spec.nodeName: Invalid value: "A": {SUBDOMAIN}']),
    (spec(allNodes=False, perDeviceNodeSelection=False), [
        "spec.allNodes: Invalid value: false: must be either unset or set to true",
        "spec.perDeviceNodeSelection: Invalid value: false: must be either unset or set to true",
    ]),
    (spec(nodeSelector=SELECTOR, allNodes=True),
     [f'spec: Invalid value: "{{`nodeName`, `nodeSelector`, `allNodes`}}": {ONE_OF}, but multiple fields are set']),
    (spec(nodeName=None, nodeSelector={"nodeSelectorTerms": SELECTOR["nodeSelectorTerms"] * 2}),
     ['spec.nodeSelector.nodeSelectorTerms: Invalid value: [{"MatchExpressions":[{"Key":"zone","Operator":"In",'
      '"Values":["a"]}],"MatchFields":null},{"MatchExpressions":[{"Key":"zone","Operator":"In","Values":["a"]}],'
      '"MatchFields":null}]: must have exactly one node selector term']),
    (spec(sharedCounters=[{"name": "a", "counters": counters(a="1")}]),
     ['spec: Invalid value: "": only one of `sharedCounters` or `devices` is allowed']),
    (spec(devices=[{"name": f"gpu-{number}"} for number in range(129)]),
     ["spec.devices: Too many: 129: must have at most 128 items"]),
    (spec(devices=[{"name": f"gpu-{number}", "taints": [{}]} for number in range(65)]),
     ["spec.devices: Too many: 65: must have at most 64 items"]),
    (spec(devices=[{"name": "a"}, {"name": "a"}]), ['spec.devices[1]: Duplicate value: "a"']),
    (device(name="A"), [f'{DEVICE}.name: Invalid value: "A": {LABEL}']),
    (device(attributes={f"a{number}": {"int": 1} for number in range(33)}),
     [f"{DEVICE}: Invalid value: 33: the total number of attributes and capacities must not exceed 32"]),
    (device(attributes={"a-b": {"int": 1}}), [f'{DEVICE}.attributes: Invalid value: "a-b": {IDENTIFIER}']),
    (device(attributes={"a_b/c": {"int": 1}}), [f'{DEVICE}.attributes: Invalid value: "a_b": {SUBDOMAIN}']),
    (attribute(), [f'{DEVICE}.attributes[model]: Invalid value: "": exactly one value must be specified']),
    (attribute(int=1, string="a"),
     [f'{DEVICE}.attributes[model]: Invalid value: {{"IntValue":1,"BoolValue":null,"StringValue":"a","VersionValue":null,'
      '"IntValues":null,"BoolValues":null,"StringValues":null,"VersionValues":null}: exactly one value must be specified']),
    (attribute(string="a" * 65), [f"{DEVICE}.attributes[model].string: Too long: may not be more than 64 bytes"]),
    (attribute(version="1.2"),
     [f'{DEVICE}.attributes[model].version: Invalid value: "1.2": '
      "must be a string compatible with semver.org spec 2.0.0"]),
    (attribute(version="1.2.3-" + "a" * 60), [f"{DEVICE}.attributes[model].version: Too long: may not be more than 64 bytes"]),
    (device(taints=[{}]), [
        f'{DEVICE}.taints[0].key: Invalid value: "": name part must be non-empty',
        f'{DEVICE}.taints[0].key: Invalid value: "": {NAME_PART}',
        f"{DEVICE}.taints[0].effect: Required value",
    ]),
    (device(taints=[{"key": "a", "value": "b c", "effect": "x"}]), [
        f'{DEVICE}.taints[0].value: Invalid value: "b c": {LABEL_VALUE}',
        f'{DEVICE}.taints[0].effect: Unsupported value: "x": supported values: "NoExecute", "NoSchedule", "None"',
    ]),
    (device(taints=[{"key": "a", "effect": "None"}] * 17), [f"{DEVICE}.taints: Too many: 17: must have at most 16 items"]),
    (device(consumesCounters=[{}]), [
        f"{DEVICE}.consumesCounters[0].counterSet: Required value",
        f"{DEVICE}.consumesCounters[0].counters: Required value",
    ]),
    (device(consumesCounters=[{"counterSet": "a", "counters": counters(A="1")}] * 2), [
        f'{DEVICE}.consumesCounters[0].counters: Invalid value: "A": {LABEL}',
        f'{DEVICE}.consumesCounters[1].counters: Invalid value: "A": {LABEL}',
        f'{DEVICE}.consumesCounters[1]: Duplicate value: "a"',
    ]),
    (device(consumesCounters=[{}] * 3), [f"{DEVICE}.consumesCounters: Too many: 3: must have at most 2 items"]),
    (spec(devices=None, sharedCounters=[{"name": "A"}, {"name": "", "counters": counters(a="1")}]), [
        f'spec.sharedCounters[0].name: Invalid value: "A": {LABEL}',
        "spec.sharedCounters[0].counters: Required value",
        "spec.sharedCounters[1].name: Required value",
    ]),
    (spec(devices=None, sharedCounters=[{"name": "a", "counters": counters(**{f"c{n}": "1" for n in range(33)})}]),
     ["spec.sharedCounters[0].counters: Too many: 33: must have at most 32 items"]),
    (spec(devices=None, sharedCounters=[{}] * 9), ["spec.sharedCounters: Too many: 9: must have at most 8 items"]),
    (device(nodeName="node"),
     [f'{DEVICE}: Invalid value: "null": `nodeName`, `nodeSelector` and `allNodes` can only be set if '
      "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"]),
    (chosen(), [f"{DEVICE}: Required value: {ONE_OF_DEVICE}"]),
    (chosen(nodeName="", allNodes=False), [
        f'{DEVICE}.nodeName: Invalid value: "": must not be empty',
        f"{DEVICE}.allNodes: Invalid value: false: must be either unset or set to true",
        f"{DEVICE}: Required value: {ONE_OF_DEVICE}",
    ]),
    (chosen(nodeName="node", allNodes=True),
     [f'{DEVICE}: Invalid value: "{{`nodeName`, `allNodes`}}": {ONE_OF_DEVICE}']),
    (device(bindingConditions=["a"]),
     [f"{DEVICE}.bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use "
      "bindingConditions"]),
    (device(capacity={"memory": {"value": "1Gi", "requestPolicy": {}}}),
     [f"{DEVICE}.capacity[memory].requestPolicy: Forbidden: allowMultipleAllocations must be true"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), REFUSED)
def test_what_makes_no_sense_is_refused(change: Object, expected: list[str]) -> None:
    assert on_create(SLICES, change) == expected


def test_an_empty_driver_is_told_to_be_missing() -> None:
    assert on_create(SLICES, spec(driver=""))[0] == "spec.driver: Required value"


def test_a_slice_stays_its_drivers_pools_and_nodes() -> None:
    assert on_update(SLICES, spec(pool={"generation": 2}, devices=[{"name": "gpu-1"}])) == []
    assert on_update(SLICES, spec(driver="b.example.com", pool={"name": "b"}, nodeName="b", devices=[{"name": "A"}])) == [
        'spec.pool.name: Invalid value: "b": field is immutable',
        'spec.driver: Invalid value: "b.example.com": field is immutable',
        'spec.nodeName: Invalid value: "b": field is immutable',
        f'{DEVICE}.name: Invalid value: "A": {LABEL}',
    ]
    assert on_update(SLICES, spec(nodeName=None, allNodes=True)) == ['spec.nodeName: Invalid value: "null": field is immutable']


def test_what_belongs_to_disabled_features_is_dropped() -> None:
    found = device(
        attributes={"model": {"string": "a", "strings": ["a"]}, "sizes": {"ints": [1]}},
        nodeAllocatableResourceMappings={"cpu": {"capacityKey": "cores"}},
    )
    dropped = {"name": "gpu-0", "attributes": {"model": {"string": "a"}, "sizes": {}}}
    assert made(SLICES, found)["spec"]["devices"] == [dropped]
    kind = resource(SLICES)
    assert kind.prepare_update is not None
    old = made(SLICES)
    new = {**old, "spec": {**old["spec"], **found["spec"]}}
    assert kind.prepare_update(new, old)["spec"]["devices"] == [dropped]


def test_a_driver_in_capitals_is_warned_of() -> None:
    kind = resource(SLICES)
    assert list(kind.warnings(made(SLICES), None)) == []
    assert list(kind.warnings(made(SLICES, spec(driver="DRA.example.com")), made(SLICES))) == [
        'spec.driver: driver names should be lowercase; "DRA.example.com" contains uppercase characters'
    ]


def test_a_slice_is_selected_and_printed_by_node_and_driver() -> None:
    kind, everywhere = resource(SLICES), made(SLICES, spec(nodeName=None, allNodes=True))
    there = made(SLICES, {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}})
    assert {field: get(there) for field, get in kind.selectable_fields.items()} == {
        "spec.driver": "dra.example.com",
        "spec.nodeName": "node",
    }
    assert kind.selectable_fields["spec.nodeName"](everywhere) == ""
    assert [column.name for column in kind.columns] == ["Name", "Node", "Driver", "Pool", "Age"]
    assert kind.row is not None
    assert kind.row(there, datetime(2026, 1, 1, 0, 5, tzinfo=UTC)) == ["sample", "node", "dra.example.com", "pool", "5m"]
    assert kind.row(everywhere, datetime(2026, 1, 1, tzinfo=UTC))[1] == ""
