"""Who manages what after updates and applies: by laws, over histories of writes, and case by case."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.apimachinery.apply import fields, lastapplied, managers, structure
from navarch.apimachinery.apply.fields import Fields
from navarch.apimachinery.apply.managers import ApplyConflictError, Claim, Claims, Manager, ManagersError, OneVersion
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import Definitions
from tests.apimachinery.applying import (
    CONTAINER,
    ITEM,
    STRUCT,
    VALUES,
    VERSIONS,
    Path,
    flat,
    paths_of,
    writer,
)

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z"


def update(claims: Claims, old: Object, new: Object, name: str, time: str = NOW, **more: Any) -> Claims:
    return managers.update(claims, old, new, writer(name, time, **more), VERSIONS)


def apply(
    claims: Claims, live: Object, config: Object, name: str, time: str = NOW, *, force: bool = False, **more: Any
) -> tuple[Object, Claims]:
    return managers.apply(claims, live, config, writer(name, time, **more), VERSIONS, force=force)


def clean(value: Any) -> Any:
    """Without the nulls that removing leaves, as decoding does it."""
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items() if item is not None and item != []}
    return value


def owned(claims: Claims, name: str, operation: str = managers.APPLY) -> set[Path]:
    found = [claim.fields for manager, claim in claims.items() if (manager.name, manager.operation) == (name, operation)]
    return paths_of(found[0]) if found else set()


def shown(claims: Claims) -> dict[tuple[str, str], Fields]:
    return {(manager.name, manager.operation): claim.fields for manager, claim in claims.items()}


# Laws

_FEWER = settings(max_examples=50)


@_FEWER
@given(VALUES, VALUES)
def test_applying_twice_is_applying_once(first: Object, config: Object) -> None:
    live, claims = apply({}, {}, first, "one")
    live, claims = apply(claims, live, config, "two", force=True)
    again, then = apply(claims, live, config, "two", LATER, force=True)
    assert again == live and then == claims


@_FEWER
@given(VALUES, VALUES, VALUES)
def test_the_object_is_what_all_apply(first: Object, one: Object, two: Object) -> None:
    """Whoever else is there, an applied configuration stands in the object, and with force in spite of them."""
    live, claims = apply({}, {}, first, "someone")
    live, claims = apply(claims, live, one, "one", force=True)
    live, claims = apply(claims, clean(live), two, "two", force=True)
    found = flat(live)
    assert all(path in found and (item is CONTAINER or found[path] == item) for path, item in flat(two).items())
    mine = paths_of(claims[Manager("two", managers.APPLY, "")].fields) if two else set()
    assert {path for path, item in flat(two).items() if item is not CONTAINER} <= mine
    for path in owned(claims, "one"):
        # What others keep has the value they gave it.
        item = flat(one)[path]
        assert item is CONTAINER or found[path] == item


@_FEWER
@given(VALUES, VALUES)
def test_there_is_a_conflict_exactly_where_another_value_is_managed_by_others(one: Object, two: Object) -> None:
    live, claims = apply({}, {}, one, "one")
    before, after = flat(one), flat(two)
    theirs = owned(claims, "one")

    def clashes(path: Path) -> bool:
        there, comes = before[path], after.get(path, CONTAINER)
        return path in after and (there is not CONTAINER or comes is not CONTAINER) and there != comes

    expected = {path for path in theirs if clashes(path)}
    try:
        _, then = apply(claims, live, two, "two")
    except ApplyConflictError as error:
        assert paths_of(error.conflicts[Manager("one", managers.APPLY, "")]) == expected != set()
        _, then = apply(claims, live, two, "two", force=True)
    else:
        assert not expected
    assert owned(then, "one").isdisjoint(expected), "force takes what is disputed away"


@_FEWER
@given(VALUES, VALUES)
def test_what_is_no_longer_applied_goes_unless_others_manage_it(wide: Object, other: Object) -> None:
    live, claims = apply({}, {}, other, "other")
    live, claims = apply(claims, live, wide, "me", force=True)
    theirs = owned(claims, "other")
    left, then = apply(claims, live, {}, "me")
    remains = flat(clean(left))
    assert {path for path, item in remains.items() if item is not CONTAINER} <= theirs
    assert not owned(then, "me")
    everything = flat(live)
    assert all(remains.get(path) == everything[path] for path in theirs if everything[path] is not CONTAINER)


WRITES = st.lists(
    st.tuples(st.sampled_from(["update", "apply"]), st.sampled_from(["one", "two", "three"]), VALUES), min_size=1, max_size=4
)


@given(VALUES, WRITES)
def test_over_a_history_every_field_is_managed_by_who_wrote_it_last(made: Object, writes: list[Any]) -> None:
    claims = update({}, {}, made, "maker")
    live = made
    last: dict[Path, str] = {path: "maker" for path, item in flat(made).items() if item is not CONTAINER}
    for operation, name, value in writes:
        before = flat(live)
        if operation == "update":
            claims = update(claims, live, value, name)
            live, written = value, flat(value)
        else:
            live, claims = apply(claims, live, value, name, force=True)
            live, written = clean(live), flat(value)
        after = flat(live)
        for path, item in after.items():
            if item is CONTAINER:
                continue
            if path not in before or before[path] != item or (operation == "apply" and path in written):
                last[path] = name
        managed = {path for claim in claims.values() for path in paths_of(claim.fields)}
        leaves = {path for path, item in after.items() if item is not CONTAINER}
        assert leaves <= managed, "nothing that is there is nobody's"
        for path in leaves:
            owners = {manager.name for manager, claim in claims.items() if fields.contains(claim.fields, path)}
            assert last[path] in owners
        for manager, claim in claims.items():
            assert claim.fields
            gone = paths_of(claim.fields) - after.keys()
            # A list or map that somebody applied empty, or whose items others have removed, may be missing for good.
            assert all(manager.operation == managers.APPLY and not path[-1].startswith("f:n") for path in gone)


@_FEWER
@given(VALUES, VALUES)
def test_managers_are_read_back_as_they_were_written(one: Object, two: Object) -> None:
    claims = update({}, {}, one, "updater")
    _, claims = apply(claims, one, two, "applier", LATER, force=True, subresource="status")
    entries = managers.encode(claims)
    sent = json.loads(json.dumps(entries))
    assert managers.decode(entries) == claims == managers.decode_foreign(sent)
    assert [list(entry) for entry in entries] == [
        [key for key in ("manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1", "subresource") if key in entry]
        for entry in entries
    ]


# Case by case


def test_who_changes_a_field_takes_it_and_what_is_removed_is_nobodys() -> None:
    one = {"number": 1, "text": "a", "map": {"a": "1", "b": "1"}}
    claims = update({}, {}, one, "maker")
    assert shown(claims) == {
        ("maker", "Update"): fields.of(
            *((f"f:{key}",) for key in ("number", "text", "map")), ("f:map", "f:a"), ("f:map", "f:b")
        )
    }
    two = {"number": 2, "map": {"a": "1", "c": "1"}}
    claims = update(claims, one, two, "changer", LATER)
    assert shown(claims) == {
        ("maker", "Update"): {"f:map": {".": {}, "f:a": {}}},
        ("changer", "Update"): {"f:map": {"f:c": {}}, "f:number": {}},
    }
    assert [claim.time for claim in claims.values()] == [NOW, LATER]
    claims = update(claims, two, {}, "remover")
    assert claims == {}


def test_a_write_that_changes_nothing_of_its_own_keeps_its_time() -> None:
    made = {"number": 1, "text": "a"}
    claims = update({}, {}, made, "maker")
    assert update(claims, made, made, "maker", LATER) == claims
    assert update(claims, made, {"number": 1}, "maker", LATER) == {
        Manager("maker", "Update", "v1"): Claim({"f:number": {}}, "v1", NOW)
    }


def test_equal_values_are_managed_together() -> None:
    live, claims = apply({}, {}, {"number": 1, "text": "a"}, "one")
    live, claims = apply(claims, live, {"number": 1}, "two", LATER)
    assert owned(claims, "one") == {("f:number",), ("f:text",)} and owned(claims, "two") == {("f:number",)}
    assert claims[Manager("two", "Apply", "")].time == "", "the object has not changed"
    live, claims = apply(claims, live, {"text": "a"}, "one")
    assert live == {"number": 1, "text": "a"} and owned(claims, "one") == {("f:text",)}
    live, claims = apply(claims, live, {}, "two")
    assert clean(live) == {"text": "a"} and not owned(claims, "two")


def test_conflicts_are_told_in_order_and_forced_away() -> None:
    live, claims = apply({}, {}, {"number": 1, "list": [{"name": "a", "port": 1}]}, "one")
    other = {**live, "text": "b"}
    claims = update(claims, live, other, "a-tool", subresource="status")
    with pytest.raises(ApplyConflictError) as refused:
        apply(claims, other, {"number": 2, "text": "c", "list": [{"name": "a", "port": 2}]}, "two")
    told = [
        (str(manager), [fields.path_text(path) for path in fields.paths(disputed)])
        for manager, disputed in refused.value.conflicts.items()
    ]
    assert told == [
        ('"a-tool" with subresource "status" using v1', [".text"]),
        ('"one"', [".number", '.list[name="a"].port']),
    ]
    forced, claims = apply(claims, other, {"number": 2}, "two", force=True)
    assert forced["number"] == 2 and ("f:number",) not in owned(claims, "one") and owned(claims, "two") == {("f:number",)}


def test_items_of_lists_go_when_nobody_applies_them_any_more() -> None:
    items = [{"name": "a", "port": 1}, {"name": "b", "port": 1}]
    live, claims = apply({}, {}, {"list": items, "set": ["x", "y"], "map": {"a": "1", "b": "1"}}, "one")
    live, claims = apply(claims, live, {"list": [{"name": "b", "tags": ["t"]}]}, "two")
    left, claims = apply(claims, live, {"list": [{"name": "a"}], "set": ["y"], "map": {"b": "1"}}, "one")
    assert clean(left) == {"list": [{"name": "a"}, {"name": "b", "tags": ["t"]}], "set": ["y"], "map": {"b": "1"}}


def test_what_an_update_put_there_stays_when_an_applier_lets_go() -> None:
    live, claims = apply({}, {}, {"struct": {"number": 1}}, "one")
    changed = {"struct": {"number": 1, "text": "a"}}
    claims = update(claims, live, changed, "updater")
    left, claims = apply(claims, changed, {}, "one")
    assert clean(left) == {"struct": {"text": "a"}}
    unmanaged = {"struct": {"text": "a", "map": {"a": "1"}}}
    left, claims = apply(claims, unmanaged, {"struct": {"number": 1}}, "one")
    left, claims = apply(claims, clean(left), {}, "one")
    assert clean(left) == {"struct": {"text": "a", "map": {"a": "1"}}}, "what nobody manages is not touched"


def test_null_asks_for_the_default_and_manages_the_field() -> None:
    claims = update({}, {}, {"number": 1}, "maker")
    with pytest.raises(ApplyConflictError):
        apply(claims, {"number": 1}, {"number": None}, "one")
    new, claims = apply(claims, {"number": 1}, {"number": None}, "one", force=True)
    assert new == {"number": None} and shown(claims) == {("one", "Apply"): {"f:number": {}}}


def test_an_object_that_nobody_managed_was_there_before_the_first_apply() -> None:
    live = {"number": 1, "text": "a"}
    with pytest.raises(ApplyConflictError) as refused:
        apply({}, live, {"number": 2}, "one")
    assert [str(manager) for manager in refused.value.conflicts] == ['"before-first-apply" using v1']
    _, claims = apply({}, live, {"number": 2}, "one", force=True)
    assert shown(claims) == {("before-first-apply", "Update"): {"f:text": {}}, ("one", "Apply"): {"f:number": {}}}


def test_fields_that_a_write_cannot_change_are_not_managed_by_it() -> None:
    resets = fields.of(("f:struct",))
    value = {"number": 1, "struct": {"number": 1}}
    assert shown(update({}, {}, value, "maker", resets=resets)) == {("maker", "Update"): {"f:number": {}}}
    _, claims = apply({}, {}, value, "maker", resets=resets)
    assert shown(claims) == {("maker", "Apply"): {"f:number": {}}}


def test_the_oldest_updates_are_merged_when_there_are_too_many() -> None:
    claims: Claims = {}
    live: Object = {"map": {}}
    for index in range(13):
        new = {"map": {**live["map"], f"key{index:02}": "1"}}
        claims = update(claims, live, new, f"manager{index:02}", f"2026-01-01T00:00:{index:02}Z")
        live = new
    names = [entry["manager"] for entry in managers.encode(claims)]
    assert names == ["ancient-changes", *(f"manager{index:02}" for index in range(4, 13))]
    ancient = claims[Manager("ancient-changes", "Update", "v1")]
    assert paths_of(ancient.fields) == {("f:map", f"f:key{index:02}") for index in range(4)}
    assert ancient.time == "2026-01-01T00:00:03Z"


def test_appliers_are_not_capped_and_stand_first() -> None:
    claims: Claims = {}
    live: Object = {}
    for index in range(12):
        live, claims = apply(claims, live, {"map": {f"key{index:02}": "1"}}, f"manager{index:02}")
    claims = update(claims, live, {**live, "number": 1}, "a-tool", "2025-01-01T00:00:00Z")
    assert [entry["manager"] for entry in managers.encode(claims)] == [*(f"manager{index:02}" for index in range(12)), "a-tool"]


def test_managers_of_a_version_that_is_no_more_are_dropped() -> None:
    old = {Manager("old", "Update", "v0"): Claim({"f:number": {}}, "v0", NOW)}
    assert shown(update(old, {"number": 1}, {"number": 1, "text": "a"}, "maker")) == {("maker", "Update"): {"f:text": {}}}
    old = {Manager("old", "Apply", ""): Claim({"f:number": {}}, "v0", NOW)}
    new, claims = apply(old, {"number": 1}, {"text": "a"}, "old")
    assert new == {"number": 1, "text": "a"} and shown(claims) == {("old", "Apply"): {"f:text": {}}}


def test_metadata_that_the_server_keeps_is_nobodys() -> None:
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "selfLink", "managedFields")
    unmanaged = {f"f:{field}": {} for field in kept}
    assert fields.difference({"f:metadata": unmanaged, "f:kind": {}, "f:apiVersion": {}}, managers.UNMANAGED) == {}
    labels = {"f:metadata": {".": {}, "f:labels": {}, "f:name": {}}}
    assert fields.difference(labels, managers.UNMANAGED) == {"f:metadata": {"f:labels": {}}}


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({}, "operation must be `Apply` or `Update`"),
        ({"operation": "Patch"}, "operation must be `Apply` or `Update`"),
        ({"operation": "Update"}, "apiVersion must not be empty"),
        ({"operation": "Update", "apiVersion": "v1"}, "missing fieldsType in managed fields entry 0"),
        ({"operation": "Update", "apiVersion": "v1", "fieldsType": "V9"}, 'invalid fieldsType "V9" in managed fields entry 0'),
        ({"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"x": {}}},
         "error decoding set: key must be 2 characters long:"),
    ],
)  # fmt: skip
def test_managers_that_make_no_sense_are_refused(entry: Object, problem: str) -> None:
    with pytest.raises(ManagersError) as refused:
        managers.decode_foreign([entry])
    assert str(refused.value) == problem


# Two versions


class Renamed:
    """What v1 calls `number` is `text` in v2, and the other way round."""

    def structure(self, api_version: str) -> Any:
        return VERSIONS.structure("v1") if api_version in ("v1", "v2") else None

    def convert(self, obj: Object, source: str, target: str) -> Object:
        if source == target:
            return obj
        names = {"number": "text", "text": "number"}
        return {names.get(key, key): value for key, value in obj.items()}


def test_every_manager_is_asked_in_its_own_version() -> None:
    versions = Renamed()
    one = managers.Writer("one", "v1", NOW)
    two = managers.Writer("two", "v2", NOW)
    live, claims = managers.apply({}, {}, {"number": 1}, one, versions)
    in_two = versions.convert(live, "v1", "v2")
    assert in_two == {"text": 1}
    with pytest.raises(ApplyConflictError):
        managers.apply(claims, in_two, {"text": 2}, two, versions)
    live_two, claims = managers.apply(claims, in_two, {"text": 1, "number": "b"}, two, versions)
    assert shown(claims) == {("one", "Apply"): {"f:number": {}}, ("two", "Apply"): {"f:number": {}, "f:text": {}}}
    changed = managers.update(claims, live_two, {"text": 3, "number": "b"}, managers.Writer("x", "v2", NOW), versions)
    assert shown(changed) == {("two", "Apply"): {"f:number": {}}, ("x", "Update"): {"f:text": {}}}
    # The same applier in another version gives up what it no longer sends, and others' fields stay.
    left, claims = managers.apply(claims, live_two, {"map": {"a": "1"}}, managers.Writer("one", "v2", NOW), versions)
    assert clean(left) == {"text": 1, "number": "b", "map": {"a": "1"}}
    assert claims[Manager("one", "Apply", "")] == Claim({"f:map": {"f:a": {}}}, "v2", NOW)
    left, claims = managers.apply(claims, clean(left), {"number": "b"}, two, versions)
    assert clean(left) == {"number": "b", "map": {"a": "1"}}


# From client-side apply


def client_side_applied(config: Object) -> Object:
    text = json.dumps({"apiVersion": "v1", **config})
    return {**config, "metadata": {"annotations": {lastapplied.LAST_APPLIED: text, "kept": "yes"}}}


PROPERTIES: Object = STRUCT["properties"]  # type: ignore[assignment]
OBJECT = {
    "type": "object",
    "properties": {
        **PROPERTIES,
        "apiVersion": {"type": "string"},
        "metadata": {"type": "object", "properties": {"annotations": PROPERTIES["map"]}},
    },
}
OBJECTS = OneVersion("v1", structure.of(Definitions({"Item": ITEM, "Struct": STRUCT, "Object": OBJECT}).get("Object")))


def kubectl(live: Object, claims: Claims, config: Object, name: str = "kubectl") -> tuple[Object, Claims]:
    return lastapplied.apply(claims, live, {"apiVersion": "v1", **config}, managers.Writer(name, "v1", NOW), OBJECTS)


def test_kubectl_takes_over_what_it_applied_before() -> None:
    live = client_side_applied({"number": 1, "text": "a"})
    claims = managers.update({}, {}, live, managers.Writer("kubectl-client-side-apply", "v1", NOW), OBJECTS)
    with pytest.raises(ApplyConflictError):
        kubectl(live, claims, {"number": 2}, "someone-else")
    new, claims = kubectl(live, claims, {"number": 2})
    assert new["number"] == 2 and owned(claims, "kubectl") == {("f:number",)}
    annotations = new["metadata"]["annotations"]
    assert annotations == {"kept": "yes", lastapplied.LAST_APPLIED: '{"apiVersion":"v1","number":2}\n'}


def test_kubectl_conflicts_with_what_has_changed_since() -> None:
    live = {**client_side_applied({"number": 1, "text": "a"}), "text": "b"}
    claims = managers.update({}, {}, live, managers.Writer("other", "v1", NOW), OBJECTS)
    with pytest.raises(ApplyConflictError) as refused:
        kubectl(live, claims, {"number": 2, "text": "c"})
    assert [paths_of(disputed) for disputed in refused.value.conflicts.values()] == [{("f:text",)}]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"apiVersion":"v2","number":1}', '{"apiVersion":"v1","number":"x"}'])
def test_an_annotation_that_says_nothing_helps_nothing(text: str) -> None:
    live = {"number": 1, "metadata": {"annotations": {lastapplied.LAST_APPLIED: text}}}
    claims = managers.update({}, {}, live, managers.Writer("other", "v1", NOW), OBJECTS)
    before = copy.deepcopy(live)
    with pytest.raises(ApplyConflictError):
        kubectl(live, claims, {"number": 2})
    assert live == before


def test_an_annotation_that_would_be_too_large_is_dropped() -> None:
    live = client_side_applied({"number": 1})
    claims = managers.update({}, {}, live, managers.Writer("other", "v1", NOW), OBJECTS)
    new, _ = kubectl(live, claims, {"text": "x" * lastapplied.ANNOTATIONS_LIMIT_BYTES})
    assert new["metadata"]["annotations"] == {"kept": "yes"}
    new, _ = kubectl({"number": 1}, {}, {"number": 1})
    assert "metadata" not in new, "nobody is given an annotation"
