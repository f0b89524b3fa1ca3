"""JSON Patch (RFC 6902), JSON merge patch (RFC 7386) and Kubernetes' strategic merge patch.

Each takes a document that it does not change and returns a new one; what does not change is shared between the two. A patch
that cannot be applied raises `PatchError`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import is_
from typing import Any

from navarch.apimachinery import goformat
from navarch.apimachinery.schema import Schema
from navarch.apimachinery.unmarshal import NESTING_LIMIT

OPERATIONS_LIMIT = 10_000
# A copy of a copy doubles: what all copies of one patch add up to (values and characters) is bounded.
COPIED_LIMIT = 3 * 1024 * 1024

# As Go reads an integer; a longer one is beyond any list.
_POSITION = re.compile(r"[+-]?[0-9]{1,18}\Z", re.ASCII)
_DIRECTIVE = "$patch"
_RETAIN_KEYS = "$retainKeys"
_ELEMENT_ORDER = "$setElementOrder/"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ANY = object()


class PatchError(ValueError):
    """The patch is malformed or does not fit the document."""


class MalformedError(PatchError):
    """The patch is no patch at all."""


class TooManyOperationsError(PatchError):
    """A JSON Patch of more than OPERATIONS_LIMIT operations."""


class NotRetainedError(PatchError):
    """A strategic merge patch sets what its own $retainKeys does not name."""


class TestFailedError(PatchError):
    """A JSON Patch `test` operation did not hold."""

    __test__ = False


# JSON Patch


def json_patch(document: Any, operations: Any) -> Any:
    """Apply RFC 6902 operations in order; null is none."""
    operations = [] if operations is None else operations
    if not isinstance(operations, list):
        raise MalformedError(goformat.not_into(operations, "[]handlers.jsonPatchOp"))
    if len(operations) > OPERATIONS_LIMIT:
        raise TooManyOperationsError(
            f"The allowed maximum operations in a JSON patch is {OPERATIONS_LIMIT}, got {len(operations)}"
        )
    copied = 0
    draft = _Draft(document)
    for operation in operations:
        if not isinstance(operation, dict):
            raise MalformedError(goformat.not_into(operation, "handlers.jsonPatchOp"))
        if operation.get("op") == "copy":
            source = _operand(operation, "from")
            copied += _size(_lookup(draft.document, _pointer(source), source, "copy"), COPIED_LIMIT - copied)
            if copied > COPIED_LIMIT:
                raise PatchError(f"the accumulated size of copies exceeds the limit {COPIED_LIMIT}")
        _operate(draft, operation)
    return draft.document


class _Draft:
    """A document that operations change one after the other: what has been copied for one is the next one's to change."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._own: dict[int, Any] = {}
        """By id: the maps and lists that are in one place of the document and nowhere else."""

    def at(self, steps: list[str]) -> Any:
        """The map or list at a place that there is, to be changed."""
        self.document = place = self._owned(self.document)
        for step in steps:
            key = step if isinstance(place, dict) else _index(step, len(place), step)
            place[key] = self._owned(place[key])
            place = place[key]
        return place

    def _owned(self, value: Any) -> Any:
        if id(value) in self._own:
            return value
        made = dict(value) if isinstance(value, dict) else list(value)
        self._own[id(made)] = made
        return made

    def share(self, value: Any) -> None:
        """It is going to be in two places: neither may change with the other."""
        waiting = [value]
        while waiting:
            item = waiting.pop()
            # What is below something that is shared is shared already.
            if self._own.pop(id(item), None) is not None:
                waiting += item.values() if isinstance(item, dict) else item


def _size(value: Any, limit: int) -> int:
    """How many values and characters there are; not counted far beyond `limit`."""
    waiting, size = [value], 0
    while waiting and size <= limit:
        item = waiting.pop()
        size += 1
        if isinstance(item, dict):
            size += sum(len(key) for key in item)
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str):
            size += len(item)
    return size


def _operate(draft: _Draft, operation: Mapping[str, Any]) -> None:
    name, path = operation.get("op"), operation.get("path")
    if not isinstance(path, str):
        raise PatchError("missing path in JSON patch operation")
    steps = _pointer(path)
    match name:
        case "add":
            _add(draft, steps, _operand(operation, "value"), path)
        case "remove":
            _remove(draft, steps, path)
        case "replace":
            _replace(draft, steps, _operand(operation, "value"), path)
        case "test":
            if not _equal(_lookup(draft.document, steps, path, "test", missing=None), operation.get("value")):
                raise TestFailedError(f"testing value {path} failed: test failed")
        case "move" | "copy":
            source = _operand(operation, "from")
            value = _lookup(draft.document, _pointer(source), source, str(name))
            if name == "copy":
                draft.share(value)
            elif path.startswith(f"{source}/"):
                raise PatchError(f"cannot move {source} into itself")
            else:
                _remove(draft, _pointer(source), source)
            _add(draft, steps, value, path)
        case _:
            raise PatchError(f"Unexpected kind: {name}")


def _equal(one: Any, other: Any) -> bool:
    """As JSON sees it: true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _operand(operation: Mapping[str, Any], field: str) -> Any:
    if field not in operation:
        raise PatchError(f"missing {field} in JSON patch operation")
    return operation[field]


def _pointer(path: str) -> list[str]:
    if path == "":
        return []
    if not isinstance(path, str) or not path.startswith("/"):
        raise PatchError(f"JSON pointer must start with a slash: {path}")
    if path.count("/") > NESTING_LIMIT:
        raise PatchError("exceeded max depth")
    return [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]


def _index(step: str, size: int, path: str) -> int:
    if not _POSITION.match(step):
        raise PatchError(f"invalid array index in JSON pointer: {path}")
    position = int(step)
    if position < 0:
        if position < -size:
            raise PatchError(f"Unable to access invalid index: {position}: invalid index referenced")
        position += size
    return position


def _lookup(document: Any, steps: list[str], path: str, action: str, missing: Any = _ANY) -> Any:
    for step in steps:
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and 0 <= _index(step, len(document), path) < len(document):
            document = document[_index(step, len(document), path)]
        elif missing is _ANY:
            raise PatchError(f'{action} operation does not apply: doc is missing path: "{path}": missing value')
        else:
            return missing
    return document


def _replace(draft: _Draft, steps: list[str], value: Any, path: str) -> None:
    _lookup(draft.document, steps, path, "replace")
    if not steps:
        draft.document = value
        return
    parent, step = draft.at(steps[:-1]), steps[-1]
    parent[step if isinstance(parent, dict) else _index(step, len(parent), path)] = value


def _add(draft: _Draft, steps: list[str], value: Any, path: str) -> None:
    if not steps:
        draft.document = value
        return
    parent, step = _lookup(draft.document, steps[:-1], path, "add"), steps[-1]
    if isinstance(parent, dict):
        draft.at(steps[:-1])[step] = value
    elif isinstance(parent, list):
        position = len(parent) if step == "-" else _index(step, len(parent) + 1, path)
        if position > len(parent):
            raise PatchError(
                f"add operation does not apply: Unable to access invalid index: {position}: invalid index referenced"
            )
        draft.at(steps[:-1]).insert(position, value)
    else:
        raise PatchError(f'add operation does not apply: doc is missing path: "{path}": missing value')


def _remove(draft: _Draft, steps: list[str], path: str) -> None:
    if not steps:
        raise PatchError("remove operation does not apply: the whole document cannot be removed")
    _lookup(draft.document, steps, path, "remove")
    parent, step = draft.at(steps[:-1]), steps[-1]
    del parent[step if isinstance(parent, dict) else _index(step, len(parent), path)]


# Merge patch


def merge_patch(document: Any, patch: Any) -> Any:
    """Apply an RFC 7386 merge patch: null deletes, objects merge, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merge_patch(result.get(key), value)
        else:
            result[key] = value
    return result


# Strategic merge patch


def strategic_merge_patch(document: Mapping[str, Any], patch: Any, schema: Schema) -> Mapping[str, Any]:
    """Apply a strategic merge patch; `schema` says which lists merge and by which key. Null changes nothing."""
    if patch is None:
        return document
    if not isinstance(patch, dict):
        raise MalformedError(goformat.not_into(patch, "map[string]interface {}"))
    return _merge_map(document, patch, schema)


def _merge_map(original: Mapping[str, Any], patch: Mapping[str, Any], schema: Schema | None) -> Mapping[str, Any]:
    """`original` itself where nothing changes."""
    if "$" in "".join(patch):
        return _merge_directed(original, patch, schema)
    result: dict[str, Any] | None = None
    for key, value in patch.items():
        present = original.get(key, _ANY)
        kind = type(value)
        if kind is dict or kind is list:
            if type(present) is kind:
                value = _merge_value(present, value, schema.child(key) if schema else None)
            else:
                value = _taken(value)
        if value is present or (kind is str and value == present) or (value is None and present is _ANY):
            continue
        if result is None:
            result = dict(original)
        if value is None:
            del result[key]
        else:
            result[key] = value
    return original if result is None else result


def _merge_directed(original: Mapping[str, Any], patch: Mapping[str, Any], schema: Schema | None) -> Mapping[str, Any]:
    """`_merge_map` of a patch in which there may be directives."""
    directive = patch.get(_DIRECTIVE)
    if directive is not None:
        if directive == "replace":
            return {key: value for key, value in patch.items() if key != _DIRECTIVE}
        if directive == "delete":
            return {}
        raise PatchError(f"unknown patch type: {directive} in map: {goformat.go_value(patch)}")
    result, patch = dict(original), dict(patch)
    retained = patch.pop(_RETAIN_KEYS, None)
    if retained is not None:
        result = _retain(result, patch, retained)
    for key in [key for key in patch if key.startswith(_ELEMENT_ORDER)]:
        order, field = patch.pop(key), key.removeprefix(_ELEMENT_ORDER)
        _merge_in_order(result, patch, field, order, schema)
    for key, value in patch.items():
        if value is None:
            result.pop(key.removeprefix(_DELETE_PRIMITIVES), None)
        elif key.startswith(_DELETE_PRIMITIVES):
            field = key.removeprefix(_DELETE_PRIMITIVES)
            if field in result:
                result[field] = _without_primitives(result[field], value)
        elif isinstance(value, dict | list) and type(value) is not type(result.get(key)):
            value = _taken(value)
            if value is None:
                result.pop(key, None)
            else:
                result[key] = value
        elif isinstance(value, dict | list):
            result[key] = _merge_value(result[key], value, schema.child(key) if schema else None)
        else:
            result[key] = value
    return result


def _taken(value: Any) -> Any:
    """What a patch puts where there is nothing to merge it with: without nulls, and without what has a directive.

    None where it has one itself; the same value where nothing is to be left out.
    """
    if isinstance(value, dict):
        if _DIRECTIVE in value:
            return None
        changed = {key: taken for key, item in value.items() if (taken := _taken(item)) is not None}
        return value if len(changed) == len(value) and all(map(is_, changed.values(), value.values())) else changed
    if isinstance(value, list):
        items = [(item, _taken(item)) for item in value]
        if all(item is taken for item, taken in items):
            return value
        return [taken for item, taken in items if item is None or taken is not None]
    return value


def _retain(original: dict[str, Any], patch: Mapping[str, Any], retained: Any) -> dict[str, Any]:
    if not isinstance(retained, list):
        raise MalformedError("invalid patch format of retainKeys")
    for key, value in patch.items():
        if value is not None and not key.startswith("$") and key not in retained:
            raise NotRetainedError("patch content doesn't match retainKeys list")
    return {key: value for key, value in original.items() if key in retained}


def _without_primitives(original: Any, removed: Any) -> Any:
    if not isinstance(removed, list):
        raise MalformedError("invalid patch format of primitive list")
    return _without(original, removed) if isinstance(original, list) else removed


def _without(items: list[Any], removed: list[Any]) -> list[Any]:
    gone = {_hashable(item) for item in removed}
    return [item for item in items if _hashable(item) not in gone]


def _merge_value(original: Any, patch: Any, schema: Schema | None) -> Any:
    strategies = schema.patch_strategies if schema else frozenset()
    if isinstance(original, dict) and isinstance(patch, dict):
        return patch if "replace" in strategies else _merge_map(original, patch, schema)
    if isinstance(original, list) and isinstance(patch, list) and "merge" in strategies and schema is not None:
        return _merge_list(original, patch, schema)
    return patch


def _merge_list(original: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    if not patch:
        return original
    types = {*map(type, original), *map(type, patch)}
    if len(types) > 1:
        raise PatchError(f"list element types are not identical: {goformat.go_value([original, patch])}")
    merged, patch_items = _merged_items(original, patch, schema)
    if len(merged) == len(original) and all(map(is_, merged, original)):
        merged = original
    key = schema.merge_key
    if len(patch_items) == 1 and isinstance(patch_items[0], dict) and _are_told_apart(merged, key):
        # The commonest, as of a condition. It stays where it was, or comes before all others.
        is_new = merged[-1] is patch_items[0] and not any(item is patch_items[0] for item in original)
        return [merged[-1], *merged[:-1]] if is_new else merged
    return _ordered(merged, patch_items, original, key)


def _are_told_apart(items: list[Any], key: str) -> bool:
    """Whether the merge key is another for each: of a Service's ports it need not be."""
    return len({_hashable(item.get(key)) for item in items}) == len(items)


def _merged_items(original: list[Any], patch: list[Any], schema: Schema) -> tuple[list[Any], list[Any]]:
    """The items of both, in no order that counts, and the patch's items without directives."""
    if not isinstance((original or patch)[0], dict):
        merged: dict[Any, Any] = {}
        for item in [*original, *patch]:
            merged.setdefault(_hashable(item), item)
        return list(merged.values()), patch
    key = schema.merge_key
    if not key:
        raise PatchError("cannot merge lists without merge key for type struct")
    plain, deleted, replace = [], set(), False
    for item in patch:
        directive = item.get(_DIRECTIVE)
        if directive is None:
            plain.append(item)
        elif directive == "delete":
            deleted.add(_hashable(_merge_value_of(item, key)))
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise PatchError("merging lists cannot yet be specified in the patch")
        else:
            raise PatchError(f"unknown patch type: {directive} in map: {goformat.go_value(item)}")
    if replace:
        return plain, []
    items = [item for item in original if _hashable(item.get(key)) not in deleted] if deleted else list(original)
    places: dict[Any, int] = {}
    for position, item in enumerate(items):
        places.setdefault(_hashable(item.get(key)), position)
    for item in plain:
        position = places.setdefault(_hashable(_merge_value_of(item, key)), len(items))
        if position == len(items):
            items.append(item)
        else:
            items[position] = _merge_map(items[position], item, schema.element)
    return items, plain


def _merge_value_of(item: Mapping[str, Any], key: str) -> Any:
    if key not in item:
        raise PatchError(f"map: {goformat.go_value(item)} does not contain declared merge key: {key}")
    return item[key]


def _merge_in_order(result: dict[str, Any], patch: dict[str, Any], field: str, order: Any, schema: Schema | None) -> None:
    """Merge the list `field`, then put it into the order a $setElementOrder directive asks for."""
    original, changes = result.get(field), patch.pop(field, None)
    if not all(value is None or isinstance(value, list) for value in (original, changes)) or not isinstance(order, list):
        raise MalformedError("invalid patch format of setElementOrder list")
    below = schema.child(field) if schema else None
    key = below.merge_key if below else ""
    if changes:
        _check_order(changes, order, key)
    if original is not None and changes is not None:
        merged = _merge_value(original, changes, below)
    else:
        merged = original if original is not None else _taken(changes)
    # A list of primitives may lose items through a parallel directive in the same patch.
    removed = patch.pop(f"{_DELETE_PRIMITIVES}{field}", None)
    if removed is not None and not isinstance(removed, list):
        raise MalformedError("invalid patch format of primitive list")
    if merged is None:
        return
    if removed:
        merged = _without(merged, removed)
    result[field] = _ordered(merged, order, original or [], key)


def _check_order(changes: list[Any], order: list[Any], key: str) -> None:
    wanted = [_identity(item, key) for item in order]
    position = 0
    for item in changes:
        if isinstance(item, dict) and _DIRECTIVE in item:
            continue
        try:
            position = wanted.index(_identity(item, key), position) + 1
        except ValueError:
            lists = (goformat.go_value(items) for items in (changes, order))
            text = "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n"
            raise PatchError(text.format(*lists)) from None


def _identity(item: Any, key: str) -> Any:
    return _merge_value_of(item, key) if key and isinstance(item, dict) else item


def _ordered(merged: list[Any], wanted: list[Any], original: list[Any], key: str) -> list[Any]:
    """`merged` so that items in `wanted` stand in its order, and the others keep their places among them as in `original`."""
    places = _places(wanted, key)
    order = {place: index for index, place in enumerate(places)}
    if len(order) == len(places) == len(merged) and places == _places(merged, key):
        return merged
    server = {_hashable(_identity(item, key)): index for index, item in enumerate(original)}

    def place(item: Any) -> Any:
        return _hashable(_identity(item, key))

    placed = sorted((item for item in merged if place(item) in order), key=lambda item: order[place(item)])
    others = [item for item in merged if place(item) not in order]
    others.sort(key=lambda item: server.get(place(item), len(server)))
    result, position = [], 0
    for item in others:
        mine = server.get(place(item))
        following = position
        while following < len(placed):
            theirs = server.get(place(placed[following]))
            if mine is not None and theirs is not None and mine < theirs:
                break
            following += 1
        result += placed[position:following]
        position = following
        result.append(item)
    return result + placed[position:]


def _places(items: list[Any], key: str) -> list[Any]:
    """What tells the items apart."""
    try:
        places = [item[key] for item in items]
        if {*map(type, places)} == {str}:
            return places
    except (KeyError, TypeError):
        # Values, or not all of them have the key.
        pass
    return [_hashable(_identity(item, key)) for item in items]


def _hashable(value: Any) -> Any:
    return value if type(value) is str else repr(value) if isinstance(value, dict | list) else value
