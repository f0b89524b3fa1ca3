"""Values taken apart as their schema says: which fields there are, which of them differ, merging and removing.

A `Structure` is one node of a schema. A map's keys and a struct's fields are granular unless they are declared atomic; lists
are atomic unless they are sets of scalars or are keyed. What is atomic is one field, whatever is inside. Where a schema says
nothing (`any`), objects are granular and everything else is atomic.

Null counts as there, and empty. Fields that Go writes even where nobody set them count as there, too, so that a struct which
always exists is not managed by whoever first puts something into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from navarch.apimachinery import goformat, remember
from navarch.apimachinery.apply.fields import (
    LEAF,
    SELF,
    Fields,
    is_member,
    key_step,
    ordered,
    remembered_key_step,
    step_text,
    value_step,
)
from navarch.apimachinery.schema import RAW_EXTENSION, Schema

_MISSING = object()
_PLANS_LIMIT = 64
_SCALARS = {"integer": "numeric", "number": "numeric", "boolean": "boolean", "string": "string", "bytes": "string"}
_EXPECTED = {"numeric": "numeric (int or float)", "untyped": "any scalar"}
Problem = tuple[str, str]
"""(path, what is wrong there)."""


class StructureError(ValueError):
    """A value that is not what its schema says."""


def of(schema: Schema) -> Structure:
    """The structure of a schema's values."""
    match schema.type:
        case "struct":
            return Map(schema)
        case "map":
            return Map(schema)
        case "list":
            return List(schema)
        case "any":
            return Schemaless(atomic=schema.name == RAW_EXTENSION)
    untyped = schema.type == "string" and schema.source.get("format")
    return Scalar("untyped" if untyped else _SCALARS.get(schema.type, "untyped"))


class Structure:
    """How values of one node of a schema are taken apart."""

    __slots__ = ()
    leaf = True
    """Whether a value is one field, with no fields of its own inside."""

    def problems(self, value: Any) -> Iterator[Problem]:
        """What is wrong with a value that somebody applies."""
        return iter(())

    def fields(self, value: Any) -> Fields | None:
        """The fields that somebody sets who applies `value`; None: none, not even this one."""
        return LEAF

    def added(self, value: Any) -> Fields:
        """The fields that come, or go, with a whole value: this one and all inside."""
        return LEAF

    def compare(self, old: Any, new: Any) -> tuple[Fields | None, Fields | None]:
        """The fields that a change from `old` to `new` (which differ) adds or changes, and those it removes."""
        return LEAF, None

    def compare_into(self, step: str, old: Any, new: Any, changed: Fields, removed: Fields) -> None:
        """`compare`, with what it finds put below `step`."""
        comes, goes = self.compare(old, new)
        if comes is not None:
            changed[step] = comes
        if goes is not None:
            removed[step] = goes

    def merge(self, live: Any, config: Any) -> Any:
        """`live` with what `config` says; shares what it can."""
        return config

    def remove(self, value: Any, fields: Fields) -> Any:
        """`value` without these fields; null where nothing is left."""
        return value

    def named(self, fields: Fields) -> Fields:
        """The set with every struct's field in it that has something below it in the set."""
        return fields


class Scalar(Structure):
    """A number, string or boolean."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def problems(self, value: Any) -> Iterator[Problem]:
        if value is None or _kind_of(value) == self.kind or (self.kind == "untyped" and not isinstance(value, dict | list)):
            return
        match self.kind:
            case "numeric":
                found = goformat.go_type(value)
            case "string":
                found = f"&value.valueUnstructured{{Value:{goformat.go_syntax(value)}}}"
            case _:
                found = f"&{{{goformat.go_value(value)}}}"
        yield "", f"expected {_EXPECTED.get(self.kind, self.kind)}, got {found}"


class Map(Structure):
    """A struct with its fields, or a map with keys of its own."""

    __slots__ = ("_all_added", "_children", "_element", "_plans", "_schema", "_written", "leaf")

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.leaf = schema.is_atomic_map
        self._children: dict[str, tuple[str, Structure, bool]] = {}
        self._element: Structure | None = None
        self._plans: dict[tuple[str, ...], tuple[Fields, list[tuple[str, str, Structure]]]] = {}
        self._written = schema.written
        self._all_added = remember.by_value(self._find_all_added) if schema.recurs else self._find_all_added

    def _plan(self, value: dict[str, Any]) -> tuple[Fields, list[tuple[str, str, Structure]]]:
        """What all values with these keys have in common: the fields that they add, and (key, step, structure) of those keys
        whose values have fields of their own."""
        keys = tuple(value)
        plan = self._plans.get(keys)
        if plan is None:
            if len(self._plans) >= _PLANS_LIMIT:
                self._plans.clear()
            below = [(key, *self._child(key)) for key in sorted(keys)]
            nested = [(key, step, child) for key, step, child, _ in below if not child.leaf]
            plan = self._plans[keys] = ({SELF: LEAF, **{step: LEAF for _, step, _, _ in below}}, nested)
        return plan

    def _child(self, key: str) -> tuple[str, Structure, bool]:
        """Of a key: its step, its structure, and whether it is the name of a field."""
        child = self._children.get(key)
        if child is not None:
            return child
        schema = self._schema
        if schema.type == "map":
            if self._element is None:
                self._element = of(schema.element)
            return f"f:{key}", self._element, False
        below = schema.properties.get(key)
        if below is None:
            return f"f:{key}", ANYTHING, False
        child = self._children[key] = (f"f:{key}", of(below), True)
        return child

    def problems(self, value: Any) -> Iterator[Problem]:
        if value is None:
            return
        if not isinstance(value, dict):
            yield "", f"expected map, got &{{{goformat.go_value(value)}}}"
            return
        for key, item in value.items():
            step, child, declared = self._child(key)
            if not declared and self._schema.type == "struct" and not self._schema.is_open:
                yield step_text(step), "field not declared in schema"
                return
            yield from _below(step_text(step), child.problems(item))

    def fields(self, value: Any) -> Fields | None:
        if self.leaf:
            return LEAF
        result: Fields = {}
        for key, item in (value or {}).items():
            step, child, declared = self._child(key)
            below = child.fields(item)
            if item is None or item == {} or not declared:
                result[step] = {SELF: LEAF, **below} if below and SELF not in below else below or LEAF
            elif below is not None:
                result[step] = below
        return ordered(result) or None

    def added(self, value: Any) -> Fields:
        if self.leaf or not value:
            return LEAF
        common, nested = self._plan(value)
        if not nested:
            return common
        result = dict(common)
        for key, step, child in nested:
            result[step] = child.added(value[key])
        return result

    def compare(self, old: Any, new: Any) -> tuple[Fields | None, Fields | None]:
        if self.leaf or not (old or new):
            return LEAF, None
        if not old:
            return self._all_added(new), None
        changed: Fields = {}
        removed: Fields = {}
        new = new or {}
        for key, after in new.items():
            before = old.get(key, _MISSING)
            if before is after or before == after:
                continue
            step, child, _ = self._child(key)
            if before is _MISSING:
                if key not in self._written:
                    changed[step] = child.added(after)
                    continue
                before = self._written[key]
                if before == after:
                    continue
            if child.leaf:
                changed[step] = LEAF
            else:
                child.compare_into(step, before, after, changed, removed)
        if not old.keys() <= new.keys():
            self._compare_gone(old, old.keys() - new.keys(), changed, removed)
        return ordered(changed) or None, ordered(removed) or None

    def _compare_gone(self, old: dict[str, Any], keys: Iterable[str], changed: Fields, removed: Fields) -> None:
        for key in keys:
            step, child, _ = self._child(key)
            if key not in self._written:
                removed[step] = child.added(old[key])
            elif old[key] != self._written[key]:
                child.compare_into(step, old[key], self._written[key], changed, removed)

    def _find_all_added(self, value: dict[str, Any]) -> Fields | None:
        """What changes in an empty one that becomes `value`."""
        common, nested = self._plan(value)
        result = {step: LEAF for step in common if step != SELF}
        for key, step, child in nested:
            if key not in self._written:
                result[step] = child.added(value[key])
        for key, zero in self._written.items():
            if key in value:
                step, child, _ = self._child(key)
                comes = child.compare(zero, value[key])[0] if value[key] != zero else None
                if comes is None:
                    del result[step]
                else:
                    result[step] = comes
        return result or None

    def merge(self, live: Any, config: Any) -> Any:
        if self.leaf or not live:
            return config
        if not config:
            return live
        result = dict(live)
        for key, item in config.items():
            present = live.get(key, _MISSING)
            result[key] = item if present is _MISSING else self._child(key)[1].merge(present, item)
        return result

    def remove(self, value: Any, fields: Fields) -> Any:
        if self.leaf or not isinstance(value, dict):
            return None
        result = {}
        for key, item in value.items():
            step, child, _ = self._child(key)
            node = fields.get(step)
            if node is None:
                result[key] = item
            elif not is_member(node):
                result[key] = child.remove(item, node)
        return result or None

    def named(self, fields: Fields) -> Fields:
        result = {}
        for step, node in fields.items():
            if node:
                _, child, declared = self._child(step[2:])
                node = child.named(node)
                if declared and SELF not in node:
                    node = {SELF: LEAF, **node}
            result[step] = node
        return result


class List(Structure):
    """A list: one field, or a set of scalars, or items that are told apart by their keys."""

    __slots__ = ("_defaults", "_element", "_keys", "leaf")

    def __init__(self, schema: Schema) -> None:
        self.leaf = schema.list_type == "atomic"
        self._keys = tuple(sorted(schema.list_map_keys)) if schema.list_type == "map" else ()
        self._element = of(schema.element)
        self._defaults = {key: default for key in self._keys if (default := schema.element.key_default(key)) is not None}

    def _step(self, item: Any) -> str:
        """The step to an item. Raises StructureError."""
        if not self._keys:
            if isinstance(item, dict):
                raise StructureError("associative list without keys has an element that's a map type")
            if isinstance(item, list):
                raise StructureError("not supported: associative list with lists as elements")
            if item is None:
                raise StructureError("associative list without keys has an element that's an explicit null")
            return value_step(item)
        if item is None:
            raise StructureError("associative list with keys may not have a null element")
        if not isinstance(item, dict):
            raise StructureError("associative list with keys may not have non-map elements")
        keys = self._keys
        values = [item.get(key, self._defaults.get(key, _MISSING)) for key in keys]
        if _MISSING not in values:
            return key_step(keys, *values)
        found = [(key, value) for key, value in zip(keys, values, strict=True) if value is not _MISSING]
        if not found:
            shown = " ".join(f'"{key}"' for key in self._keys)
            text = f"associative list with keys has an element that omits all key fields [{shown}]"
            raise StructureError(f"{text} (and doesn't have default values for any key fields)")
        return key_step(tuple(key for key, _ in found), *(value for _, value in found))

    def _steps(self, items: list[Any]) -> list[str]:
        """The step to each of the items. Raises StructureError."""
        keys = self._keys
        try:
            if len(keys) == 1:
                key = keys[0]
                return [remembered_key_step(keys, item[key]) for item in items]
            if keys:
                return [remembered_key_step(keys, *[item[key] for key in keys]) for item in items]
        except (KeyError, TypeError):
            # One of them is not as it should be.
            pass
        return [self._step(item) for item in items]

    def _by_step(self, items: Any) -> dict[str, list[Any]]:
        """The items under their steps; more than one where they are not told apart."""
        items = items or []
        steps = self._steps(items)
        found: dict[str, list[Any]] = {}
        for step, item in zip(steps, items, strict=True):
            found.setdefault(step, []).append(item)
        return found

    def problems(self, value: Any) -> Iterator[Problem]:
        if value is None:
            return
        if not isinstance(value, list):
            yield "", f"expected list, got &{{{goformat.go_value(value)}}}"
            return
        seen = set()
        for index, item in enumerate(value):
            step = f"i:{index}"
            if not self.leaf:
                try:
                    step = self._step(item)
                except StructureError as error:
                    yield "", f"element {index}: {error}"
                    return
                if step in seen:
                    yield "", f"duplicate entries for key {step_text(step)}"
                seen.add(step)
            yield from _below(step_text(step), self._element.problems(item))

    def fields(self, value: Any) -> Fields | None:
        if self.leaf:
            return LEAF
        result: Fields = {}
        for step, items in self._by_step(value).items():
            below = self._element.fields(items[0]) if len(items) == 1 else None
            result[step] = {SELF: LEAF, **below} if below else LEAF
        return ordered(result) or None

    def added(self, value: Any) -> Fields:
        if self.leaf or not value:
            return LEAF
        return {SELF: LEAF, **self._all_added(value)}

    def _all_added(self, items: list[Any]) -> Fields:
        element, steps = self._element, self._steps(items)
        if len(set(steps)) == len(steps):
            found = zip(steps, items, strict=True)
            return ordered({step: LEAF if element.leaf else element.added(item) for step, item in found})
        return ordered(
            {step: element.added(same[0]) if len(same) == 1 else LEAF for step, same in self._by_step(items).items()}
        )

    def compare(self, old: Any, new: Any) -> tuple[Fields | None, Fields | None]:
        if self.leaf or not (old or new):
            return LEAF, None
        if not old:
            return self._all_added(new), None
        new = new or []
        before, after = dict(zip(self._steps(old), old, strict=True)), dict(zip(self._steps(new), new, strict=True))
        if len(before) < len(old) or len(after) < len(new):
            return self._compare_repeated(self._by_step(old), self._by_step(new))
        element = self._element
        changed: Fields = {}
        removed: Fields = {}
        for step, item in after.items():
            present = before.pop(step, _MISSING)
            if present is _MISSING:
                changed[step] = element.added(item)
            elif present != item:
                element.compare_into(step, present, item, changed, removed)
        for step, item in before.items():
            removed[step] = element.added(item)
        return ordered(changed) or None, ordered(removed) or None

    def _compare_repeated(
        self, before: dict[str, list[Any]], after: dict[str, list[Any]]
    ) -> tuple[Fields | None, Fields | None]:
        """Where several items share a step, they are one field together."""
        element = self._element
        changed: Fields = {}
        removed: Fields = {}
        for step in {**before, **after}:
            old, new = before.get(step, []), after.get(step, [])
            if old == new:
                continue
            if len(old) == 1 == len(new):
                element.compare_into(step, old[0], new[0], changed, removed)
            elif len(old) > 1 < len(new):
                changed[step] = LEAF
            else:
                if new:
                    changed[step] = element.added(new[0]) if len(new) == 1 else LEAF
                if old:
                    removed[step] = element.added(old[0]) if len(old) == 1 else LEAF
        return ordered(changed) or None, ordered(removed) or None

    def merge(self, live: Any, config: Any) -> Any:
        """The items of `config` in its order; where items of both stand in `live`, the others of `live` keep their places."""
        if self.leaf or not live:
            return config
        if not config:
            return live
        present = self._by_step(live)
        merged: list[tuple[str, Any]] = []
        for item in config:
            step = self._step(item)
            # Of several items that are not told apart, none is taken up.
            known = present.get(step, ())
            merged.append((step, self._element.merge(known[0], item) if len(known) == 1 else item))
        applied = {step for step, _ in merged}
        shared = [index for index, (step, _) in enumerate(merged) if step in present]
        result: list[Any] = []
        written = 0
        for item in live:
            step = self._step(item)
            if step not in applied:
                result.append(item)
            elif shared and merged[shared[0]][0] == step:
                result += [item for _, item in merged[written : shared[0] + 1]]
                written = shared.pop(0) + 1
        return result + [item for _, item in merged[written:]]

    def remove(self, value: Any, fields: Fields) -> Any:
        if self.leaf or not isinstance(value, list):
            return None
        result = []
        for item in value:
            node = fields.get(self._step(item))
            if node is None:
                result.append(item)
            elif not is_member(node):
                result.append(self._element.remove(item, node))
        return result or None

    def named(self, fields: Fields) -> Fields:
        return {step: self._element.named(node) if node and step[:1] == "k" else node for step, node in fields.items()}


class Schemaless(Structure):
    """What no schema describes: objects have fields, unless they are atomic; everything else is one field."""

    __slots__ = ("leaf",)

    def __init__(self, *, atomic: bool) -> None:
        self.leaf = atomic

    def fields(self, value: Any) -> Fields | None:
        if self.leaf or not isinstance(value, dict):
            return LEAF
        result: Fields = {}
        for key, item in sorted(value.items()):
            below = self.fields(item) or LEAF
            result[f"f:{key}"] = {SELF: LEAF, **below} if below else LEAF
        return result or None

    def added(self, value: Any) -> Fields:
        if self.leaf or not isinstance(value, dict) or not value:
            return LEAF
        return {SELF: LEAF, **{f"f:{key}": self.added(item) for key, item in sorted(value.items())}}

    def compare(self, old: Any, new: Any) -> tuple[Fields | None, Fields | None]:
        if self.leaf:
            return LEAF, None
        objects = [value or {} for value in (old, new) if isinstance(value, dict) or value is None]
        if len(objects) < 2 or objects == [{}, {}]:
            return self._compare_unlike(old, new)
        changed: Fields = {}
        removed: Fields = {}
        before, after = objects
        for key in sorted({**before, **after}):
            if key not in before:
                changed[f"f:{key}"] = self.added(after[key])
            elif key not in after:
                removed[f"f:{key}"] = self.added(before[key])
            elif before[key] != after[key]:
                self.compare_into(f"f:{key}", before[key], after[key], changed, removed)
        return changed or None, removed or None

    def _compare_unlike(self, old: Any, new: Any) -> tuple[Fields | None, Fields | None]:
        """Of which one at least is no object: the field itself changes, and what an object had inside comes or goes."""
        removed = {step: node for step, node in self.added(old).items() if step != SELF}
        return self.added(new), removed or None

    def merge(self, live: Any, config: Any) -> Any:
        if self.leaf or not isinstance(live, dict) or not live:
            return config
        if config is None or config == {}:
            return live
        if not isinstance(config, dict):
            return config
        return {**live, **{key: self.merge(live[key], item) if key in live else item for key, item in config.items()}}

    def remove(self, value: Any, fields: Fields) -> Any:
        if self.leaf or not isinstance(value, dict):
            return None if isinstance(value, list | dict) else value
        result = {}
        for key, item in value.items():
            node = fields.get(f"f:{key}")
            if node is None:
                result[key] = item
            elif not is_member(node):
                result[key] = self.remove(item, node)
        return result or None


ANYTHING = Schemaless(atomic=False)


def refuse(structure: Structure, value: Any) -> None:
    """Raises StructureError for what may not be applied, in the words of Kubernetes."""
    problems = list(structure.problems(value))
    texts = [f"{path}: {text}" if path else text for path, text in problems]
    if len(texts) == 1:
        raise StructureError(texts[0])
    if texts:
        raise StructureError("\n".join(["errors:", *(f"  {text}" for text in texts)]))


def _below(prefix: str, problems: Iterator[Problem]) -> Iterator[Problem]:
    return ((prefix + path, text) for path, text in problems)


# Values as Go prints them


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "numeric"
    return "string" if isinstance(value, str) else ""
