"""Values taken apart by their schema: against a slow reference, and case by case on Kubernetes' own kinds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from navarch.api import registry, schemas
from navarch.apimachinery.apply import fields, structure
from navarch.apimachinery.apply.structure import StructureError
from navarch.apimachinery.errors import Object
from tests.apimachinery.applying import CONTAINER, SCHEMA, STRUCTURE, VALUES, Path, flat, paths_of

DEPLOYMENT = structure.of(schemas.of(registry.resource("deployments.apps")))
POD = structure.of(schemas.of(registry.resource("pods")))
SERVICE = structure.of(schemas.of(registry.resource("services")))


def same_sets(value: Any) -> Any:
    """With lists that have no order put into one."""
    return {path: item if item is not CONTAINER else "..." for path, item in flat(value).items()}


@given(VALUES, VALUES)
def test_compare_finds_what_differs(old: Object, new: Object) -> None:
    before, after = flat(old), flat(new)
    changed, removed = STRUCTURE.compare(old, new)
    differs = {path for path in before.keys() & after.keys() if before[path] is not CONTAINER or after[path] is not CONTAINER}
    expected = {path for path in differs if before[path] != after[path]} | (after.keys() - before.keys())
    assert paths_of(changed or {}) == expected
    # What turns from an object into something else where no schema says what it is, takes what was inside along.
    assert paths_of(removed or {}) == before.keys() - after.keys()
    assert list(changed or {}) == list(fields.ordered(changed or {}))


@given(VALUES)
def test_who_applies_a_value_sets_its_leaves_and_items(value: Object) -> None:
    found = paths_of(STRUCTURE.fields(value) or {})
    everything = flat(value)
    assert found <= everything.keys()
    left_out = everything.keys() - found
    # Named fields with something below are not set themselves: nobody else is kept from adding to them.
    assert all(everything[path] is CONTAINER and path[-1].startswith("f:") for path in left_out)
    assert {path for path, item in everything.items() if item is not CONTAINER} <= found
    assert paths_of(STRUCTURE.added(value)) == everything.keys() - {()}


@given(VALUES, VALUES)
def test_merging_gives_what_is_applied_and_keeps_the_rest(live: Object, config: Object) -> None:
    merged = flat(STRUCTURE.merge(live, config))
    before, applied = flat(live), flat(config)
    for path, item in applied.items():
        assert path in merged and (item is CONTAINER or merged[path] == item)
    for path, item in before.items():
        # A scalar or an atomic value that is applied replaces whatever is inside.
        replaced = any(applied.get(path[:length], CONTAINER) is not CONTAINER for length in range(1, len(path) + 1))
        assert replaced or path in applied or merged[path] == item
    assert merged.keys() <= before.keys() | applied.keys()
    assert same_sets(STRUCTURE.merge(STRUCTURE.merge(live, config), config)) == same_sets(STRUCTURE.merge(live, config))


@given(VALUES, VALUES)
def test_removing_takes_away_what_is_named_and_all_below(value: Object, other: Object) -> None:
    taken = STRUCTURE.fields(other) or {}
    left = flat(without_nulls(STRUCTURE.remove(value, taken) or {})) if value else {}
    gone = paths_of(taken)
    for path, item in flat(value).items():
        below = any(path[:length] in gone for length in range(1, len(path) + 1))
        if below:
            assert path not in left
        elif item is not CONTAINER:
            assert left.get(path) == item


def without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return {key: without_nulls(item) for key, item in value.items() if item is not None} if isinstance(value, dict) else value


@given(VALUES)
def test_values_of_the_schema_may_be_applied(value: Object) -> None:
    structure.refuse(STRUCTURE, value)


# Case by case


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        ("abc", "abc", "abc"),
        ("abc", "x", "abcx"),
        ("abc", "cba", "cba"),
        ("abc", "ca", "bca"),
        ("abc", "b", "abc"),
        ("abc", "bx", "abcx"),
        ("abc", "xb", "axbc"),
        ("abc", "cxa", "bcxa"),
        ("abcd", "db", "acdb"),
        ("", "ba", "ba"),
        ("aa", "a", "a"),
        ("aab", "b", "aab"),
        ("aba", "xa", "xab"),
    ],
)
@pytest.mark.parametrize("field", ["set", "list"])
def test_items_stand_in_the_order_that_is_applied_and_the_others_keep_their_places(
    field: str, live: str, config: str, merged: str
) -> None:
    def items(names: str) -> list[Any]:
        return list(names) if field == "set" else [{"name": name} for name in names]

    assert STRUCTURE.merge({field: items(live)}, {field: items(config)}) == {field: items(merged)}


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        ({"number": 1}, {"number": None}, {"number": None}),
        ({"map": {"a": "1"}}, {"map": None}, {"map": {"a": "1"}}),
        ({"map": {"a": "1"}}, {"map": {}}, {"map": {"a": "1"}}),
        ({"map": {"a": "1"}}, {"map": {"a": None}}, {"map": {"a": None}}),
        ({"map": {}}, {"map": None}, {"map": None}),
        ({}, {"map": None}, {"map": None}),
        ({"list": [{"name": "a"}]}, {"list": None}, {"list": [{"name": "a"}]}),
        ({"list": [{"name": "a"}]}, {"list": []}, {"list": [{"name": "a"}]}),
        ({"atomicList": ["a"]}, {"atomicList": []}, {"atomicList": []}),
        ({"atomicMap": {"a": "1"}}, {"atomicMap": {"b": "1"}}, {"atomicMap": {"b": "1"}}),
        ({"any": {"a": {"b": "1"}}}, {"any": {"a": {"c": "1"}}}, {"any": {"a": {"b": "1", "c": "1"}}}),
        ({"any": {"a": ["1"]}}, {"any": {"a": ["2"]}}, {"any": {"a": ["2"]}}),
        ({"any": {"a": ["1"]}}, {"any": "x"}, {"any": "x"}),
        ({"any": "x"}, {"any": {"a": "1"}}, {"any": {"a": "1"}}),
        ({"ports": [{"port": 1, "name": "a"}]}, {"ports": [{"port": 1, "protocol": "TCP"}]},
         {"ports": [{"port": 1, "name": "a", "protocol": "TCP"}]}),
        ({"ports": [{"port": 1}]}, {"ports": [{"port": 1, "protocol": "UDP"}]},
         {"ports": [{"port": 1}, {"port": 1, "protocol": "UDP"}]}),
    ],
)  # fmt: skip
def test_merging_case_by_case(live: Object, config: Object, merged: Object) -> None:
    assert STRUCTURE.merge(live, config) == merged


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"number": None}, {"f:number": {}}),
        ({"map": None}, {"f:map": {}}),
        ({"map": {}}, {"f:map": {}}),
        ({"map": {"a": "1"}}, {"f:map": {"f:a": {}}}),
        ({"list": []}, None),
        ({"atomicList": []}, {"f:atomicList": {}}),
        ({"list": [{"name": "a"}, {"name": "a"}]}, {"f:list": {'k:{"name":"a"}': {}}}),
        ({"list": [{"name": "a"}]}, {"f:list": {'k:{"name":"a"}': {".": {}, "f:name": {}}}}),
        ({"ports": [{"port": 1}]}, {"f:ports": {'k:{"port":1,"protocol":"TCP"}': {".": {}, "f:port": {}}}}),
        ({"structs": {"a": {"name": "b"}, "c": {}}}, {"f:structs": {"f:a": {".": {}, "f:name": {}}, "f:c": {}}}),
        ({"any": {"a": {"b": [1]}}}, {"f:any": {"f:a": {".": {}, "f:b": {}}}}),
        ({"struct": {"struct": {"number": 1}}}, {"f:struct": {"f:struct": {"f:number": {}}}}),
    ],
)
def test_the_fields_that_are_set_case_by_case(value: Object, expected: Any) -> None:
    assert STRUCTURE.fields(value) == expected


@pytest.mark.parametrize(
    ("old", "new", "changed", "removed"),
    [
        ({"map": {}}, {"map": {"a": "1"}}, {"f:map": {"f:a": {}}}, None),
        ({}, {"map": {"a": "1"}}, {"f:map": {".": {}, "f:a": {}}}, None),
        ({"map": {"a": "1"}}, {"map": {}}, None, {"f:map": {"f:a": {}}}),
        ({"map": {"a": "1"}}, {}, None, {"f:map": {".": {}, "f:a": {}}}),
        ({"map": {}}, {"map": None}, {"f:map": {}}, None),
        ({"number": 1}, {"number": None}, {"f:number": {}}, None),
        ({"set": ["a", "b"]}, {"set": ["b", "a"]}, None, None),
        ({"atomicList": ["a", "b"]}, {"atomicList": ["b", "a"]}, {"f:atomicList": {}}, None),
        ({"list": [{"name": "a"}] * 2}, {"list": [{"name": "a"}]},
         {"f:list": {'k:{"name":"a"}': {".": {}, "f:name": {}}}}, {"f:list": {'k:{"name":"a"}': {}}}),
        ({"list": [{"name": "a"}]}, {"list": [{"name": "a"}] * 2},
         {"f:list": {'k:{"name":"a"}': {}}}, {"f:list": {'k:{"name":"a"}': {".": {}, "f:name": {}}}}),
        ({"list": [{"name": "a"}] * 2}, {"list": [{"name": "a"}, {"name": "a", "port": 1}]},
         {"f:list": {'k:{"name":"a"}': {}}}, None),
        ({"any": {"a": {"b": "1"}}}, {"any": {"a": "1"}}, {"f:any": {"f:a": {}}}, {"f:any": {"f:a": {"f:b": {}}}}),
        ({"any": {"a": "1"}}, {"any": {"a": {"b": "1"}}}, {"f:any": {"f:a": {".": {}, "f:b": {}}}}, None),
        ({"any": {"a": None}}, {"any": {"a": {"b": "1"}}}, {"f:any": {"f:a": {"f:b": {}}}}, None),
        ({"any": None}, {"any": {}}, {"f:any": {}}, None),
    ],
)  # fmt: skip
def test_comparing_case_by_case(old: Object, new: Object, changed: Any, removed: Any) -> None:
    assert STRUCTURE.compare(old, new) == (changed, removed)


@pytest.mark.parametrize(
    ("taken_apart", "value", "problem"),
    [
        (DEPLOYMENT, {"spec": {"foo": 1}}, ".spec.foo: field not declared in schema"),
        (DEPLOYMENT, {"spec": {"replicas": "3"}}, ".spec.replicas: expected numeric (int or float), got string"),
        (DEPLOYMENT, {"spec": {"replicas": [1]}}, ".spec.replicas: expected numeric (int or float), got []interface {}"),
        (DEPLOYMENT, {"spec": {"paused": "yes"}}, ".spec.paused: expected boolean, got &{yes}"),
        (DEPLOYMENT, {"spec": "x"}, ".spec: expected map, got &{x}"),
        (DEPLOYMENT, {"metadata": {"name": 3}}, ".metadata.name: expected string, got &value.valueUnstructured{Value:3}"),
        (DEPLOYMENT, {"metadata": {"name": {"a": [None, "x", True, 1.5]}}},
         '.metadata.name: expected string, got &value.valueUnstructured{Value:map[string]interface {}{"a":[]interface {}'
         '{interface {}(nil), "x", true, 1.5}}}'),
        (DEPLOYMENT, {"metadata": {"labels": {"a": 1}}},
         ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}"),
        (DEPLOYMENT, {"spec": {"strategy": {"rollingUpdate": {"maxSurge": {"a": 1, "b": None}}}}},
         ".spec.strategy.rollingUpdate.maxSurge: expected any scalar, got &{map[a:1 b:<nil>]}"),
        (POD, {"spec": {"containers": [{"name": "a"}, {"name": "a"}]}},
         '.spec.containers: duplicate entries for key [name="a"]'),
        (POD, {"spec": {"containers": [{"name": "a", "foo": 1}]}},
         '.spec.containers[name="a"].foo: field not declared in schema'),
        (POD, {"spec": {"containers": [None]}},
         ".spec.containers: element 0: associative list with keys may not have a null element"),
        (POD, {"spec": {"containers": ["x"]}},
         ".spec.containers: element 0: associative list with keys may not have non-map elements"),
        (POD, {"spec": {"containers": {"a": 1}}}, ".spec.containers: expected list, got &{map[a:1]}"),
        (POD, {"spec": {"tolerations": [{"foo": 1}]}}, ".spec.tolerations[0].foo: field not declared in schema"),
        (POD, {"metadata": {"finalizers": [["x"]]}},
         ".metadata.finalizers: element 0: not supported: associative list with lists as elements"),
        (POD, {"metadata": {"finalizers": [{}]}},
         ".metadata.finalizers: element 0: associative list without keys has an element that's a map type"),
        (POD, {"metadata": {"finalizers": [None]}},
         ".metadata.finalizers: element 0: associative list without keys has an element that's an explicit null"),
        (POD, {"spec": {"nodeName": 1, "hostname": 2}},
         "errors:\n  .spec.nodeName: expected string, got &value.valueUnstructured{Value:1}\n"
         "  .spec.hostname: expected string, got &value.valueUnstructured{Value:2}"),
        (STRUCTURE, {"list": [{"port": 1}]},
         ".list: element 0: associative list with keys has an element that omits all key fields [\"name\"] "
         "(and doesn't have default values for any key fields)"),
    ],
)  # fmt: skip
def test_what_may_not_be_applied_is_told_in_the_words_of_kubernetes(taken_apart: Any, value: Object, problem: str) -> None:
    with pytest.raises(StructureError) as refused:
        structure.refuse(taken_apart, value)
    assert str(refused.value) == problem


@pytest.mark.parametrize(
    ("taken_apart", "value"),
    [
        (POD, {"spec": None, "metadata": {"labels": None, "finalizers": None}}),
        (POD, {"spec": {"containers": [{"image": "x"}]}}),
        (POD, {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}]}}),
        (SERVICE, {"spec": {"ports": [{"port": 80, "targetPort": "http"}, {"port": 80, "protocol": "UDP", "targetPort": 80}]}}),
    ],
)
def test_what_may_be_applied(taken_apart: Any, value: Object) -> None:
    structure.refuse(taken_apart, value)


def test_keys_that_have_a_default_need_not_be_there() -> None:
    assert SERVICE.fields({"spec": {"ports": [{"port": 80}]}}) == {
        "f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}}
    }
    assert POD.fields({"spec": {"containers": [{"image": "x"}]}}) == {
        "f:spec": {"f:containers": {'k:{"name":""}': {".": {}, "f:image": {}}}}
    }
    found = structure.of(schemas.definitions().get("io.k8s.api.resource.v1.ResourceClaimStatus"))
    devices = {"devices": [{"driver": "d", "pool": "p", "device": "x"}]}
    step = 'k:{"device":"x","driver":"d","pool":"p"}'
    assert found.fields(devices) == {"f:devices": {step: {".": {}, "f:device": {}, "f:driver": {}, "f:pool": {}}}}


def test_structs_that_always_exist_are_nobodys() -> None:
    made = {"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}, "selector": {"matchLabels": {"a": "b"}}}}
    containers = {'k:{"name":"a"}': {".": {}, "f:name": {}}}
    assert DEPLOYMENT.compare({}, made) == (
        {"f:spec": {"f:selector": {}, "f:template": {"f:spec": {"f:containers": containers}}}},
        None,
    )
    assert DEPLOYMENT.compare(made, {**made, "status": {}}) == (None, None)
    assert DEPLOYMENT.compare({**made, "status": {"replicas": 1}}, made) == (None, {"f:status": {"f:replicas": {}}})


def test_named_fields_join_the_set_but_keys_of_maps_do_not() -> None:
    sparse = fields.of(
        ("f:struct", "f:map", "f:a"),
        ("f:list", 'k:{"name":"a"}', "f:tags", 'v:"x"'),
        ("f:structs", "f:a", "f:name"),
        ("f:any", "f:a", "f:b"),
    )
    expected: set[Path] = paths_of(sparse) | {("f:struct",), ("f:struct", "f:map"), ("f:list",), ("f:structs",), ("f:any",)}
    expected.add(("f:list", 'k:{"name":"a"}', "f:tags"))
    assert paths_of(STRUCTURE.named(sparse)) == expected
    assert SCHEMA.list_type == "atomic"


def test_what_go_writes_anyway_is_no_change() -> None:
    def conditions(**more: Any) -> Object:
        return {"status": {"conditions": [{"type": "a", "reason": "b", **more}]}}

    assert POD.compare(conditions(), conditions(status="")) == (None, None)
    assert POD.compare(conditions(status=""), conditions()) == (None, None)
    comes = {"f:status": {"f:conditions": {'k:{"type":"a"}': {"f:status": {}}}}}
    assert POD.compare(conditions(), conditions(status="True")) == (comes, None)
    assert POD.compare(conditions(status="True"), conditions()) == (comes, None)
