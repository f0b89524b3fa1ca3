"""Sets of fields, in the form that metadata.managedFields has them (FieldsV1), and their algebra.

A set is its JSON: ``{"f:spec": {"f:replicas": {}}}``. Each key is one step of a path:

    f:NAME    the field of a struct, or the key of a map
    k:KEYS    the item of an associative list that has these keys, as JSON sorted by name: k:{"name":"main"}
    v:VALUE   the item of a list of scalars that is this value, as JSON: v:"kubernetes"
    i:NUMBER  the item of a list at this place
    .         the path up to here is in the set itself, beside what is below it

``{}`` below a step says that this path is in the set and nothing below it is. No other node is empty, "." comes first, and the
other steps are in order: names, then keys, values and places, each compared as what they are. The functions here take and
return such sets; they never change one, and share what stays the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from navarch.apimachinery import remember

Fields = dict[str, Any]

SELF = "."
LEAF: Fields = {}
"""A path that is in a set, with nothing below it. Shared: never change it."""
_ESCAPED = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_STEPS_REMEMBERED = 16_384
_EXACT_FLOATS_LIMIT = 1 << 53


class FieldsError(ValueError):
    """Not a set of fields."""


# Steps


def to_json(value: Any) -> str:
    """`value` as Go's encoder writes it: what HTML takes for its own is escaped, keys are sorted."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return text.translate(_ESCAPED) if not text.isascii() or "<" in text or ">" in text or "&" in text else text


def key_step(names: tuple[str, ...], *values: Any) -> str:
    """The step to the list item in which the keys of these names, which are in order, have these values."""
    return f"k:{to_json(dict(zip(names, values, strict=True)))}"


remembered_key_step = lru_cache(_STEPS_REMEMBERED, typed=True)(key_step)
"""The same, quickly; raises TypeError for values that are no scalars."""


def value_step(value: Any) -> str:
    """The step to the item of a set that is this value."""
    return f"v:{to_json(value)}"


def is_member(node: Fields) -> bool:
    """Whether the path that leads to `node` is in the set."""
    return not node or SELF in node


@lru_cache(_STEPS_REMEMBERED)
def _order(step: str) -> tuple[Any, ...]:
    kind, text = step[:1], step[2:]
    match kind:
        case ".":
            return (0,)
        case "f":
            return (1, text)
        case "k":
            return (2, [(name, _value_order(value)) for name, value in orjson.loads(text).items()])
        case "v":
            return (3, _value_order(orjson.loads(text)))
    return (4, int(text))


def _value_order(value: Any) -> tuple[Any, ...]:
    """Numbers, strings, booleans, lists, maps, null."""
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int | float):
        return (0, value)
    if isinstance(value, str):
        return (1, value)
    if isinstance(value, list):
        return (3, [_value_order(item) for item in value])
    if isinstance(value, dict):
        return (4, [(key, _value_order(item)) for key, item in sorted(value.items())])
    return (5,)


def ordered(node: Fields) -> Fields:
    """`node` with its steps in order."""
    if len(node) < 2:
        return node
    steps = sorted(node)
    if steps[-1] > "g":
        # Not only names and ".", whose order is that of strings.
        steps.sort(key=_order)
    return {step: node[step] for step in steps}


# Algebra


def union(one: Fields, other: Fields) -> Fields:
    """What is in either set."""
    if not other:
        return one
    return _merged(one, other) if one else other


def _merged(one: Fields, other: Fields) -> Fields:
    result: Fields | None = None
    for step, theirs in other.items():
        mine = one.get(step)
        below = theirs if mine is None else _merged_below(mine, theirs)
        if below is not mine:
            if result is None:
                result = dict(one)
            result[step] = below
    if result is None:
        return one
    return ordered(result) if len(result) > len(one) else result


def _merged_below(one: Fields, other: Fields) -> Fields:
    if not other:
        return one if is_member(one) else {SELF: LEAF, **one}
    if not one:
        return other if is_member(other) else {SELF: LEAF, **other}
    return _merged(one, other)


def difference(one: Fields, other: Fields) -> Fields:
    """What is in `one` and not in `other`. A path says nothing about those below it."""
    if not one or not other:
        return one
    result: Fields | None = None
    for step, theirs in other.items():
        mine = one.get(step)
        if mine is None:
            continue
        left = _left(mine, theirs) if mine or theirs else None
        if left is not mine:
            if result is None:
                result = dict(one)
            if left is None:
                del result[step]
            else:
                result[step] = left
    return one if result is None else result


def _left(one: Fields, other: Fields) -> Fields | None:
    """What is left of a node, or None."""
    stays = is_member(one) and not is_member(other)
    below = difference(one, other)
    if SELF in below and (not stays or len(below) == 1):
        below = {step: node for step, node in below.items() if step != SELF}
    return below if below or stays else None


def intersection(one: Fields, other: Fields) -> Fields:
    """What is in both sets."""
    result: Fields = {}
    for step, mine in one.items():
        theirs = other.get(step)
        if theirs is None or step == SELF:
            continue
        below = intersection(mine, theirs)
        if is_member(mine) and is_member(theirs):
            result[step] = {SELF: LEAF, **below} if below else LEAF
        elif below:
            result[step] = below
    return result


def without(one: Fields, other: Fields) -> Fields:
    """What of `one` is neither in `other` nor below a path that is."""
    if not one or not other:
        return one
    result: Fields = {}
    for step, mine in one.items():
        theirs = other.get(step)
        if theirs is None:
            result[step] = mine
        elif not is_member(theirs):
            below = without(mine, theirs)
            if below or not mine:
                result[step] = below if len(below) > 1 or SELF not in below else LEAF
    return result


def contains(one: Fields, path: tuple[str, ...]) -> bool:
    """Whether `path` is in the set."""
    node = one
    for step in path:
        below = node.get(step)
        if below is None:
            return False
        node = below
    return bool(path) and is_member(node)


def of(*paths: tuple[str, ...]) -> Fields:
    """The set of these paths."""
    result: Fields = {}
    for path in paths:
        single: Fields = LEAF
        for step in reversed(path):
            single = {step: single}
        result = union(result, single)
    return result


def paths(one: Fields) -> Iterator[tuple[str, ...]]:
    """Every path of the set: those that end at a node before those that go on."""
    for step, node in one.items():
        if step != SELF and is_member(node):
            yield (step,)
    for step, node in one.items():
        for path in paths(node):
            yield (step, *path)


def path_text(path: tuple[str, ...]) -> str:
    """A path as people read it: ``.spec.containers[name="main"].image``."""
    return "".join(step_text(step) for step in path)


def step_text(step: str) -> str:
    """One step as people read it."""
    text = step[2:]
    match step[:1]:
        case "f":
            return f".{text}"
        case "k":
            return "[" + ",".join(f"{name}={orjson.dumps(value).decode()}" for name, value in orjson.loads(text).items()) + "]"
        case "v":
            return f"[={orjson.dumps(orjson.loads(text)).decode()}]"
    return f"[{text}]"


# What others have written


def decode(value: Any) -> Fields:
    """The set that a client has sent, in order and with its steps written as they are here. Raises FieldsError.

    Steps of a kind that is not known are dropped with what is below them.
    """
    return _remembered(value)


def _decode(value: Any) -> Fields:
    if value is None:
        return {}
    result = _decoded(value)
    result.pop(SELF, None)
    return result


# Clients send back what they were given, and that is alike for all objects of a template.
_remembered = remember.by_value(_decode)


def _decoded(value: Any) -> Fields:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FieldsError("a set of fields is made of objects")
    result: Fields = {}
    for written, below in value.items():
        step = _canonical(written)
        if step is None:
            continue
        node = LEAF if step == SELF else _decoded(below)
        result[step] = _merged_below(result[step], node) if step in result else node
    if len(result) == 1 and SELF in result:
        return {}
    return ordered(result)


def _canonical(step: str) -> str | None:
    """The step as it is written here, or None where its kind is not known."""
    if step == SELF:
        return SELF
    if step[1:2] != ":":
        raise FieldsError(f"missing colon: {step}" if len(step) > 1 else "key must be 2 characters long:")
    kind, text = step[0], step[2:]
    if kind not in "fkvi":
        return None
    if kind == "f":
        return step
    try:
        if kind == "i":
            return f"i:{int(text)}"
        value = _numbers(orjson.loads(text))
    except ValueError as error:
        raise FieldsError(f"parsing key as path element: {error}") from None
    if kind == "v":
        return value_step(value)
    if not isinstance(value, dict):
        raise FieldsError("parsing key as path element: an object is needed")
    return key_step(tuple(sorted(value)), *(value[name] for name in sorted(value)))


def _numbers(value: Any) -> Any:
    """With whole numbers written as such: 1.0 is 1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOATS_LIMIT:
        return int(value)
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return value
