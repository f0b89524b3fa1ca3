"""JSON patch against a naive interpreter, merge patch by its laws, strategic merge patch by example and by law."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from navarch.api import schemas
from navarch.apimachinery import patch
from navarch.apimachinery.patch import PatchError, TestFailedError
from navarch.apimachinery.schema import Definitions
from tests.counting import Counter

KEYS = st.sampled_from(["a", "b", "a/b", "~", ""])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "y"]))
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(KEYS, below, max_size=3)), max_leaves=8
)
DOCUMENTS = st.dictionaries(KEYS, JSON, max_size=4)


# JSON patch


def pointers(value: Any, path: str = "") -> list[str]:
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += pointers(item, f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += pointers(item, f"{path}/{index}")
    return found


class NaiveError(Exception):
    pass


def naive(document: Any, operation: dict[str, Any]) -> Any:
    """One operation of RFC 6902, on a copy, without any cleverness."""
    holder = [copy.deepcopy(document)]

    def exists(parent: Any, last: Any) -> bool:
        return last in parent if isinstance(parent, dict) else last < len(parent)

    def get(path: str) -> Any:
        parent, last = walk(path)
        if not exists(parent, last):
            raise NaiveError(path)
        return parent[last]

    def walk(path: str) -> tuple[Any, Any]:
        parent: Any = holder
        last: Any = 0
        for part in path.split("/")[1:]:
            if not exists(parent, last):
                raise NaiveError(path)
            node = parent[last]
            step: Any = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list):
                if step != "-" and not step.isdigit():
                    raise NaiveError(path)
                step = len(node) if step == "-" else int(step)
            elif not isinstance(node, dict):
                raise NaiveError(path)
            parent, last = node, step
        return parent, last

    def add(path: str, value: Any) -> None:
        parent, last = walk(path)
        if isinstance(parent, list) and parent is not holder:
            if last > len(parent):
                raise NaiveError(path)
            parent.insert(last, value)
        else:
            parent[last] = value

    match operation["op"]:
        case "add":
            add(operation["path"], operation["value"])
        case "replace":
            get(operation["path"])
            parent, last = walk(operation["path"])
            parent[last] = operation["value"]
        case "remove":
            get(operation["path"])
            parent, last = walk(operation["path"])
            if parent is holder:
                raise NaiveError("whole document")
            del parent[last]
        case "copy":
            add(operation["path"], copy.deepcopy(get(operation["from"])))
        case "move":
            value = get(operation["from"])
            if operation["path"].startswith(operation["from"] + "/"):
                raise NaiveError("into itself")
            parent, last = walk(operation["from"])
            if parent is holder:
                raise NaiveError("whole document")
            del parent[last]
            add(operation["path"], value)
    return holder[0]


@st.composite
def patched_documents(draw: st.DrawFn) -> tuple[Any, list[dict[str, Any]]]:
    document = draw(DOCUMENTS)
    places = pointers(document)
    places += [f"{place}/-" for place in places] + [f"{place}/b" for place in places] + [f"{place}/9" for place in places]
    operations = []
    for _ in range(draw(st.integers(1, 6))):
        name = draw(st.sampled_from(["add", "replace", "remove", "copy", "move"]))
        operations.append(
            {"op": name, "path": draw(st.sampled_from(places)), "from": draw(st.sampled_from(places)), "value": draw(JSON)}
        )
    return document, operations


@given(patched_documents())
def test_json_patch_does_what_the_rfc_says(case: tuple[Any, list[dict[str, Any]]]) -> None:
    document, operations = case
    before = copy.deepcopy(document)
    try:
        expected = document
        for operation in operations:
            expected = naive(expected, operation)
    except NaiveError:
        with pytest.raises(PatchError):
            patch.json_patch(document, operations)
    else:
        assert patch.json_patch(document, operations) == expected
    assert document == before, "the document itself is left as it was"


def test_a_test_operation_compares_and_stops_everything() -> None:
    document = {"a": {"b": [1]}}
    operations = [{"op": "test", "path": "/a", "value": {"b": [1]}}, {"op": "add", "path": "/c", "value": 1}]
    assert patch.json_patch(document, operations) == {"a": {"b": [1]}, "c": 1}
    for value in ([2], True, 1, {}):
        with pytest.raises(TestFailedError):
            patch.json_patch(document, [{"op": "test", "path": "/a/b", "value": value}])
    with pytest.raises(TestFailedError):
        patch.json_patch({"a": 1}, [{"op": "test", "path": "/a", "value": True}])


@pytest.mark.parametrize(
    "operations",
    [
        {},
        "x",
        [1],
        [{}],
        [{"op": "add"}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/none/a", "value": 1}],
        [{"op": "add", "path": "/list/5", "value": 1}],
        [{"op": "add", "path": "/list/x", "value": 1}],
        [{"op": "add", "path": "/list/0_1", "value": 1}],
        [{"op": "add", "path": "/list/ 1", "value": 1}],
        [{"op": "add", "path": "/list/١", "value": 1}],
        [{"op": "remove", "path": ""}],
        [{"op": "move", "path": "/a"}],
        [{"op": "copy", "path": "/a", "from": 3}],
        [{"op": "fly", "path": "/a"}],
        [{"op": "add", "path": "/-", "value": 1}, {"op": "remove", "path": "/list/9"}],
        [{"op": "add", "path": "/list/-", "value": 1}] * (patch.OPERATIONS_LIMIT + 1),
    ],
)
def test_json_patches_that_do_not_fit_are_refused(operations: Any) -> None:
    with pytest.raises(PatchError):
        patch.json_patch({"a": 1, "list": [1, 2]}, operations)


def test_copies_of_copies_are_bounded() -> None:
    doubling = [{"op": "copy", "from": "", "path": f"/{step}"} for step in range(60)]
    with pytest.raises(PatchError, match="exceeds the limit"):
        patch.json_patch({"a": "x" * 1000}, doubling)


def test_copies_do_not_change_with_what_they_are_of() -> None:
    operations = [
        {"op": "add", "path": "/a/x", "value": {"deep": []}},
        {"op": "add", "path": "/a/x/deep/-", "value": 1},
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "add", "path": "/b/x/deep/-", "value": 2},
        {"op": "remove", "path": "/a/x/deep/0"},
        {"op": "copy", "from": "", "path": "/c"},
        {"op": "replace", "path": "/c/b/x", "value": 3},
    ]
    sent = copy.deepcopy(operations)
    a, b = {"x": {"deep": []}}, {"x": {"deep": [1, 2]}}
    assert patch.json_patch({"a": {}}, operations) == {"a": a, "b": b, "c": {"a": a, "b": {"x": 3}}}
    assert operations == sent, "what is sent can be applied again"


class Key(str):
    """A key that counts how often it is put into a map, unless with the whole map."""

    puts = 0

    def __hash__(self) -> int:
        Key.puts += 1
        return super().__hash__()


def test_many_operations_on_one_map_do_not_make_it_anew_for_each() -> None:
    labels = {Key(f"l{number}"): "x" for number in range(200)}
    operations = [{"op": "remove", "path": f"/labels/l{number}"} for number in range(199)]
    Key.puts = 0
    assert patch.json_patch({"labels": labels}, operations) == {"labels": {"l199": "x"}}
    assert Key.puts < 1000
    assert len(labels) == 200


# Merge patch


@given(DOCUMENTS, DOCUMENTS)
def test_merge_patch_is_idempotent_and_leaves_no_nulls_of_its_own(document: Any, change: Any) -> None:
    before = copy.deepcopy(document)
    once = patch.merge_patch(document, change)
    assert patch.merge_patch(once, change) == once
    assert document == before


def difference(old: Any, new: Any) -> Any:
    """A merge patch that makes `new` of `old`; `new` holds no null."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    change = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            change[key] = value
        elif old[key] != value or type(old[key]) is not type(value):
            change[key] = difference(old[key], value)
    return change


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


@given(DOCUMENTS.map(without_nulls), DOCUMENTS.map(without_nulls))
def test_a_merge_patch_of_the_difference_makes_the_one_of_the_other(old: Any, new: Any) -> None:
    assert patch.merge_patch(old, difference(old, new)) == new
    assert patch.merge_patch(old, {}) == old


@pytest.mark.parametrize(
    ("document", "change", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7386(document: Any, change: Any, expected: Any) -> None:
    assert patch.merge_patch(document, change) == expected


# Strategic merge patch

SPEC = schemas.definitions().get("io.k8s.api.core.v1.PodSpec")
META = schemas.definitions().get("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")


def containers(*names: str) -> dict[str, Any]:
    return {"containers": [{"name": name, "image": name} for name in names]}


def names_of(spec: dict[str, Any]) -> list[str]:
    return [item["name"] for item in spec["containers"]]


def strategic(document: Any, change: Any) -> Any:
    before = copy.deepcopy(document)
    result = patch.strategic_merge_patch(document, change, SPEC)
    assert document == before, "the document itself is left as it was"
    return result


def test_lists_with_a_merge_key_merge_item_by_item() -> None:
    changed = strategic(containers("a", "b"), {"containers": [{"name": "b", "image": "new"}, {"name": "c", "image": "c"}]})
    assert {item["name"]: item["image"] for item in changed["containers"]} == {"a": "a", "b": "new", "c": "c"}


def test_lists_without_one_are_replaced_and_lists_of_plain_values_merge() -> None:
    document = {"containers": [{"name": "a", "command": ["x", "y"]}]}
    changed = strategic(document, {"containers": [{"name": "a", "command": ["z"]}]})
    assert changed["containers"][0]["command"] == ["z"]
    finalizers = patch.strategic_merge_patch({"finalizers": ["a", "b"]}, {"finalizers": ["b", "c"]}, META)
    assert sorted(finalizers["finalizers"]) == ["a", "b", "c"]


def test_directives_delete_replace_and_retain() -> None:
    deleted = strategic(containers("a", "b"), {"containers": [{"name": "a", "$patch": "delete"}]})
    assert names_of(deleted) == ["b"]
    replaced = strategic(containers("a", "b"), {"containers": [{"$patch": "replace"}, {"name": "c"}]})
    assert replaced == {"containers": [{"name": "c"}]}
    document = {"securityContext": {"runAsUser": 1, "runAsGroup": 2}}
    assert strategic(document, {"securityContext": {"$patch": "replace", "fsGroup": 3}}) == {"securityContext": {"fsGroup": 3}}
    assert strategic(document, {"securityContext": {"$patch": "delete"}}) == {"securityContext": {}}
    volumes = {"volumes": [{"name": "v", "emptyDir": {}}]}
    retained = {"volumes": [{"name": "v", "hostPath": {"path": "/x"}, "$retainKeys": ["name", "hostPath"]}]}
    assert strategic(volumes, retained) == {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}
    removed = patch.strategic_merge_patch({"finalizers": ["a", "b"]}, {"$deleteFromPrimitiveList/finalizers": ["a"]}, META)
    assert removed == {"finalizers": ["b"]}


def test_long_lists_of_primitives_are_merged_in_one_go() -> None:
    counter = Counter()
    mine, theirs = ([counter.text(f"{place}{index}") for index in range(500)] for place in "ab")
    merged = patch.strategic_merge_patch({"finalizers": mine}, {"finalizers": theirs}, META)
    assert sorted(merged["finalizers"]) == sorted([*mine, *theirs])
    left = patch.strategic_merge_patch(merged, {"$deleteFromPrimitiveList/finalizers": theirs}, META)
    assert left == {"finalizers": mine}
    assert counter.comparisons < 10_000


def test_long_lists_with_a_merge_key_are_merged_in_one_go() -> None:
    counter = Counter()

    def items(place: str, **more: str) -> list[dict[str, str]]:
        return [{"name": counter.text(f"{place}{index}"), **more} for index in range(500)]

    def apply(document: Any, change: list[dict[str, str]]) -> Any:
        return patch.strategic_merge_patch(document, {"containers": change}, SPEC)

    document = {"containers": items("a")}
    merged = apply(document, items("b"))
    assert {item["name"] for item in merged["containers"]} == {item["name"] for item in [*items("a"), *items("b")]}
    changed = apply(merged, items("a", image="x"))
    assert [item["name"] for item in changed["containers"] if "image" in item] == [item["name"] for item in items("a")]
    left = apply(merged, items("b", **{"$patch": "delete"}))
    assert left == document
    assert counter.comparisons < 20_000


def test_nulls_delete_and_do_not_stay() -> None:
    assert strategic({"nodeName": "n", "hostname": "h"}, {"nodeName": None}) == {"hostname": "h"}
    assert strategic({"hostname": "h"}, {"nodeName": None}) == {"hostname": "h"}
    made = strategic({}, {"securityContext": {"runAsUser": None, "fsGroup": 1}})
    assert made == {"securityContext": {"fsGroup": 1}}
    listed = strategic({}, {"containers": [{"name": "a", "image": None, "env": [{"name": "e", "value": None}]}]})
    assert listed == {"containers": [{"name": "a", "env": [{"name": "e"}]}]}
    assert strategic({"securityContext": "x"}, {"securityContext": {"fsGroup": None}}) == {"securityContext": {}}


@pytest.mark.parametrize(
    ("document", "change", "expected"),
    [
        ({}, {"securityContext": {"$patch": "delete"}}, {}),
        ({}, {"securityContext": {"$patch": "replace", "fsGroup": 1}}, {}),
        (
            {},
            {"hostname": "h", "securityContext": {"seccompProfile": {"$patch": "delete"}}},
            {"hostname": "h", "securityContext": {}},
        ),
        ({}, {"containers": [{"$patch": "delete", "name": "a"}, {"name": "b"}]}, {"containers": [{"name": "b"}]}),
        ({}, {"containers": [{"$patch": "replace"}, {"name": "b"}]}, {"containers": [{"name": "b"}]}),
        (
            {},
            {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"$patch": "delete", "name": "a"}, {"name": "b"}]},
            {"containers": [{"name": "b"}]},
        ),
    ],
)
def test_directives_with_nothing_to_direct_are_left_out(document: Any, change: Any, expected: Any) -> None:
    assert strategic(document, change) == expected


def test_an_order_is_kept_where_it_is_set() -> None:
    change = {
        "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}],
        "containers": [{"name": "c", "image": "c"}],
    }
    assert names_of(strategic(containers("a", "b"), change)) == ["c", "a", "b"]
    with pytest.raises(PatchError, match="doesn't match"):
        wrong = {
            "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
            "containers": [{"name": "b"}, {"name": "a"}],
        }
        strategic(containers("a", "b"), wrong)


@pytest.mark.parametrize(
    "change",
    [
        [],
        "x",
        {"$patch": "sometimes"},
        {"containers": [{"image": "a"}]},
        {"containers": [{"$patch": "merge", "name": "a"}]},
        {"containers": [{"$patch": "x", "name": "a"}]},
        {"containers": ["x"]},
        {"securityContext": {"$retainKeys": "x"}},
        {"securityContext": {"$retainKeys": ["a"], "fsGroup": 1}},
        {"$setElementOrder/containers": "x"},
        {"$setElementOrder/containers": None},
        {"$deleteFromPrimitiveList/containers": "x"},
    ],
)
def test_strategic_patches_that_do_not_fit_are_refused(change: Any) -> None:
    with pytest.raises(PatchError):
        strategic({**containers("a"), "securityContext": {"runAsUser": 1}}, change)


NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5)


@given(NAMES, NAMES)
def test_a_strategic_patch_is_idempotent_and_keeps_what_it_does_not_name(old: list[str], new: list[str]) -> None:
    document = containers(*old)
    change = {"containers": [{"name": name, "image": "new"} for name in new]}
    once = strategic(document, change)
    assert strategic(once, change) == once
    assert set(names_of(once)) == set(old) | set(new)
    assert all(item["image"] == ("new" if item["name"] in new else item["name"]) for item in once["containers"])


@given(NAMES, NAMES)
def test_what_kubectl_would_send_makes_the_one_list_of_the_other(old: list[str], new: list[str]) -> None:
    document, wanted = containers(*old), containers(*new)
    change: dict[str, Any] = {"$setElementOrder/containers": [{"name": name} for name in new]}
    items = [item for item in wanted["containers"] if item["name"] not in old]
    items += [{"name": name, "$patch": "delete"} for name in old if name not in new]
    if items:
        change["containers"] = items
    assert strategic(document, change) == wanted


def test_without_a_schema_maps_still_merge() -> None:
    anything = Definitions({"x": {"type": "object", "properties": {"a": {"type": "object"}}}}).get("x")
    merged = patch.strategic_merge_patch({"a": {"b": 1}}, {"a": {"c": 2}}, anything)
    assert merged == {"a": {"b": 1, "c": 2}}


@given(st.lists(st.sampled_from("abcdef"), max_size=5), st.sampled_from("abcdef"))
def test_one_item_goes_where_an_order_of_one_would_put_it(old: list[str], name: str) -> None:
    document, change = containers(*old), {"name": name, "image": "new"}
    schema = SPEC.child("containers")
    assert schema is not None
    merged, items = patch._merged_items(document["containers"], [change], schema)
    expected = patch._ordered(merged, items, document["containers"], "name")
    assert strategic(document, {"containers": [change]})["containers"] == expected


_PODS = st.fixed_dictionaries(
    {},
    optional={
        "hostname": st.sampled_from("ab"),
        "priority": st.sampled_from([0, 1, True]),
        "nodeSelector": st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2),
        "securityContext": st.fixed_dictionaries({}, optional={"runAsUser": st.integers(0, 1), "fsGroup": st.integers(0, 1)}),
        "containers": st.lists(
            st.fixed_dictionaries(
                {"name": st.sampled_from("abc")},
                optional={"image": st.sampled_from("xy"), "args": st.lists(st.sampled_from("xy"), max_size=2)},
            ),
            unique_by=lambda container: container["name"],
            max_size=3,
        ),
    },
)


def _directed(change: Any) -> Any:
    """The same patch with a directive in every map that does nothing."""
    if isinstance(change, list):
        return [_directed(item) for item in change]
    if isinstance(change, dict):
        return {**{key: _directed(value) for key, value in change.items()}, "$deleteFromPrimitiveList/none": []}
    return change


def _with_nulls(change: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    return {**change, **dict.fromkeys(fields)}


@given(_PODS, st.builds(_with_nulls, _PODS, st.lists(st.sampled_from(["hostname", "containers", "subdomain"]), max_size=1)))
def test_a_patch_without_directives_does_what_it_does_beside_some(document: Any, change: dict[str, Any]) -> None:
    plain, directed = strategic(document, change), strategic(document, _directed(change))
    assert json.dumps(plain, sort_keys=True) == json.dumps(_undirected(directed), sort_keys=True)


def _undirected(value: Any) -> Any:
    """What is new comes with the directives that were in it."""
    if isinstance(value, list):
        return [_undirected(item) for item in value]
    if isinstance(value, dict):
        return {key: _undirected(item) for key, item in value.items() if not key.startswith("$")}
    return value


@given(_PODS, _PODS)
def test_what_a_strategic_patch_leaves_as_it_is_is_the_very_same(document: Any, change: Any) -> None:
    assume("args" not in str(change))  # which are replaced
    once = strategic(document, change)
    assert strategic(once, {**change, "subdomain": None}) is once
    changed = strategic(document, {"hostname": "c"})
    assert all(changed[key] is value for key, value in document.items() if key != "hostname")


def test_true_is_not_one_to_a_strategic_patch() -> None:
    assert strategic({"priority": 1}, {"priority": True})["priority"] is True


def test_an_item_of_the_document_itself_stays_where_it_is() -> None:
    document = containers("a", "b", "c")
    change = {"containers": [document["containers"][1], {"name": "c", "$patch": "delete"}]}
    assert strategic(document, change) == containers("a", "b")
    assert strategic(document, {"containers": [document["containers"][2]]}) is document
