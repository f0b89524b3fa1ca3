"""Objects held against the rules of their schema (apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go).

All rules together have a budget for each object. It is counted only where the sizes that the schema allows could exceed it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from navarch.api.apiextensions.compiledrules import OLD_SELF, SELF, CompiledRule, compiled, has_type
from navarch.apimachinery.cel.cost import PER_CALL_LIMIT, Meter
from navarch.apimachinery.cel.environment import ESTIMATE_MARGIN, Program
from navarch.apimachinery.cel.errors import CostLimitError, EvaluationError
from navarch.apimachinery.cel.structural import cardinality_limit
from navarch.apimachinery.cel.values import NO_SUCH_OVERLOAD, NONE, Optional
from navarch.apimachinery.errors import FieldError, duplicate, forbidden_field, invalid_value, required
from navarch.apimachinery.structural import fieldpath
from navarch.apimachinery.structural.values import NOWHERE, same
from navarch.apimachinery.structural.walking import (
    EMBEDS,
    LIST_MAP_KEYS,
    LIST_TYPE,
    RULES,
    Schema,
    has_rules,
    items,
    properties,
    values,
)

BUDGET = 10_000_000
"""What all rules may cost for one object."""
QUICK_COST = 10_000
"""What costs no more takes about a hundredth of a second."""
MESSAGE_LIMIT_BYTES = 5 * 1024
_SPENT = "failed due to running out of cost budget, no further validation rules will be run"
_BLOCKING = frozenset(
    {"FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
)


class Validator:
    """The rules of a structural schema that has a type, compiled. `is_root`: whether its values are whole objects."""

    def __init__(self, schema: Schema, *, is_root: bool = True, budget: int = BUDGET) -> None:
        self._root = _node(schema, is_root=is_root)
        self._budget = budget
        most = _most(self._root, 1) * ESTIMATE_MARGIN
        self._is_metered = most > budget
        self.is_slow = most > QUICK_COST
        """Whether judging an object may take so long that others would notice."""

    def problems(self, new: Any, old: Any, found: Iterable[FieldError]) -> list[FieldError]:
        """What is wrong with an object by the rules; nothing where nothing has changed since `old`.

        `found` is what is wrong with it otherwise: the rules may rely on the schema.
        """
        if any(error.reason in _BLOCKING for error in found):
            text = "some validation rules were not checked because the object was invalid"
            return [invalid_value(NOWHERE, None, f"{text}; correct the existing errors to complete validation")]
        return self._problems("", new, old, _Since(_Pair(new, old) if old is not None else None))

    def default_problems(self, value: Any, path: str) -> list[FieldError]:
        """What is wrong with a default at a path: as it was there before, and as it was not."""
        return self._problems(path, value, value, _Since(None)) or self._problems(path, value, None, _Since(None))

    def _problems(self, path: str, new: Any, old: Any, since: _Since) -> list[FieldError]:
        run = _Run(self._budget, self._is_metered)
        with suppress(_Stop):
            run.visit(self._root, path, new, old, since)
        return run.errors


@dataclass(slots=True)
class _Node:
    """A place in the schema with rules in or below it."""

    schema: Schema
    rules: tuple[CompiledRule, ...]
    fields: dict[str, _Node]
    element: _Node | None
    """Of a list's items, or of a map's values."""
    times: int
    """How many of its values fit into an object."""
    field_paths: tuple[str, ...]
    """Of each rule: where below its place it has its errors."""

    @property
    def type(self) -> str:
        return str(self.schema.get("type", ""))


def _node(schema: Schema, *, is_root: bool = False) -> _Node:
    element = items(schema) or values(schema)
    rules = tuple(compiled(schema, is_root=is_root)) if schema.get(RULES) else ()
    return _Node(
        schema,
        rules,
        {key: _node(below, is_root=_embeds(below)) for key, below in properties(schema).items() if _matters(below)},
        _node(element, is_root=_embeds(element)) if element is not None and _matters(element) else None,
        cardinality_limit(schema, root=is_root) if rules else 0,
        tuple(_path(rule.source.get("fieldPath", ""), schema) for rule in rules),
    )


def _matters(schema: Schema) -> bool:
    return has_rules(schema) and has_type(schema)


def _embeds(schema: Schema) -> bool:
    return bool(schema.get(EMBEDS))


def _path(path: str, schema: Schema) -> str:
    """As error messages show it."""
    if not path:
        return ""
    shown, at = "", schema
    for step in fieldpath.resolve(path, schema)[0]:
        known = properties(at)
        if known:
            shown = f"{shown}.{step}" if shown else step
        else:
            shown = f"{shown}[{step}]"
        at = known[step] if known else values(at) or {}
    return shown


def _most(node: _Node, times: int | None) -> int:
    """The most that the rules of a place and of those below can cost for one object."""
    programs = [program for rule in node.rules for program in (rule.program, rule.message) if program is not None]
    own = sum(program.estimated_cost.max for program in programs) * (node.times if times is None else times)
    limit = node.schema.get("maxItems" if node.type == "array" else "maxProperties")
    below = sum(_most(child, times) for child in node.fields.values())
    if node.element is not None:
        below += _most(node.element, None if times is None or limit is None else times * limit)
    return own + below


# What was there before


@dataclass(slots=True)
class _Pair:
    """A value now and before."""

    new: Any
    old: Any
    _is_same: bool | None = None

    def is_same(self) -> bool:
        if self._is_same is None:
            self._is_same = same(self.new, self.old)
        return self._is_same


@dataclass(frozen=True, slots=True)
class _Since:
    """What has changed: at a place if it can be found again in the old object, else around it."""

    own: _Pair | None
    around: _Pair | None = None

    def tolerates(self) -> bool:
        """Whether the place has been as it is."""
        pair = self.own or self.around
        return pair is not None and pair.is_same()

    def below(self, own: _Pair | None) -> _Since:
        return _Since(own, self.own) if self.own is not None else self

    def key(self, key: str) -> _Since:
        if self.own is None:
            return self
        if self.around is None and key in ("apiVersion", "kind"):
            # Both objects have been brought to one version: that cannot be seen.
            return _Since(None)
        new, old = self.own.new, self.own.old
        is_known = isinstance(new, dict) and isinstance(old, dict) and key in new and key in old
        return self.below(_Pair(new[key], old[key]) if is_known else None)


def _correlated(old: Any, schema: Schema) -> dict[tuple[Any, ...], Any]:
    """A list's items by their keys; nothing of lists that are no maps."""
    if schema.get(LIST_TYPE) != "map" or not isinstance(old, list):
        return {}
    found: dict[tuple[Any, ...], Any] = {}
    for item in old:
        found.setdefault(_keys(item, schema), item)
    return found


def _keys(item: Any, schema: Schema) -> tuple[Any, ...]:
    if not isinstance(item, dict):
        return ()
    # True is not 1.
    return tuple((type(value := item.get(name)), value) for name in schema.get(LIST_MAP_KEYS) or ())


# Evaluating


class _Stop(Exception):
    """No further rules are evaluated."""


class _NoMessage(Exception):
    """A messageExpression has no usable value: the rule's own message stands in."""


@dataclass(slots=True)
class _Run:
    """The rules of a schema and one object."""

    budget: int
    is_metered: bool
    errors: list[FieldError] = field(default_factory=list)

    def visit(self, node: _Node, path: str, value: Any, old: Any, since: _Since) -> None:
        if value is None:
            return
        if node.rules:
            self._rules(node, path, value, old, since)
        if isinstance(value, list):
            if node.element is not None:
                before = _correlated(old, node.schema)
                for index, item in enumerate(value):
                    was = before.get(_keys(item, node.schema))
                    below = since.below(_Pair(item, was) if was is not None else None)
                    self.visit(node.element, f"{path}[{index}]", item, was, below)
        elif isinstance(value, dict):
            known = old if isinstance(old, dict) else {}
            for key, below in sorted(value.items()):
                if key in node.fields:
                    where = f"{path}.{key}" if path else key
                    self.visit(node.fields[key], where, below, known.get(key), since.key(key))
                elif node.element is not None:
                    self.visit(node.element, f"{path}[{key}]", below, known.get(key), since.key(key))

    def _rules(self, node: _Node, path: str, value: Any, old: Any, since: _Since) -> None:
        if self.budget <= 0:
            self._stop(path, node.type, f"validation {_SPENT}")
        plain: dict[str, Any] = {SELF: value}
        if old is not None:
            plain[OLD_SELF] = old
        for rule, field_path in zip(node.rules, node.field_paths, strict=True):
            if rule.program is None:
                # It was stored before rules were looked into.
                self.errors.append(invalid_value(path or NOWHERE, node.type, f"rule compile error: {rule.error}"))
                continue
            if rule.is_transition and old is None and not rule.is_optional:
                continue
            shown = _shown(rule)
            try:
                frame = plain
                if rule.is_optional:
                    before = old if old is None or rule.convert is None else rule.convert(old)
                    frame = {SELF: value, OLD_SELF: NONE if old is None else Optional(before)}
                holds = self._evaluate(rule.program, frame, path, node.type, f"validation {_SPENT}")
            except CostLimitError as error:
                text = "no further validation rules will be run due to call cost exceeds limit for rule"
                self._stop(path, node.type, f"'{error}': {text}: {shown}")
            except EvaluationError as error:
                self.errors.append(invalid_value(path or NOWHERE, node.type, _failure(str(error), shown)))
                continue
            if holds is True:
                continue
            # A step in brackets follows a dot, too.
            where = ".".join(part for part in (path, field_path) if part)
            failed = self._failed(rule, frame, where or NOWHERE, node.type, value)
            if rule.is_transition or not since.tolerates():
                self.errors.append(failed)

    def _evaluate(self, program: Program, frame: dict[str, Any], path: str, type_: str, spent: str) -> Any:
        if not self.is_metered:
            return program.evaluate(frame)
        meter = Meter(PER_CALL_LIMIT)
        try:
            return program.charge(frame, meter)
        finally:
            if meter.spent > self.budget:
                self._stop(path, type_, spent)
            self.budget -= meter.spent

    def _failed(self, rule: CompiledRule, frame: dict[str, Any], where: str, type_: str, value: Any) -> FieldError:
        detail = str(rule.source.get("message") or "").strip() or f"failed rule: {_shown(rule)}"
        if rule.message is not None:
            with suppress(_NoMessage):
                detail = self._message(rule.message, frame, where, type_)
        # What may be large is not shown.
        is_shown = type_ not in ("object", "array")
        match rule.source.get("reason"):
            case "FieldValueForbidden":
                return forbidden_field(where, detail)
            case "FieldValueRequired":
                return required(where, detail)
            case "FieldValueDuplicate":
                return duplicate(where, value) if is_shown else FieldError("FieldValueDuplicate", where, "Duplicate value")
        if is_shown:
            return invalid_value(where, value, detail)
        return FieldError("FieldValueInvalid", where, f"Invalid value: {detail}")

    def _message(self, program: Program, frame: dict[str, Any], where: str, type_: str) -> str:
        """Raises _NoMessage."""
        try:
            found = self._evaluate(program, frame, where, type_, f"messageExpression evaluation {_SPENT}")
        except CostLimitError:
            text = "no further validation rules will be run due to call cost exceeds limit for messageExpression"
            self._stop(where, type_, f'{text}: "{program.text}"')
        except EvaluationError as error:
            raise _NoMessage from error
        text = str(found).strip()
        if not text or "\n" in text or len(text.encode()) > MESSAGE_LIMIT_BYTES:
            raise _NoMessage
        return text

    def _stop(self, path: str, type_: str, text: str) -> NoReturn:
        """Raises _Stop."""
        self.errors.append(invalid_value(path or NOWHERE, type_, text))
        raise _Stop


def _shown(rule: CompiledRule) -> str:
    return str(rule.source.get("message") or rule.source["rule"]).strip()


def _failure(error: str, shown: str) -> str:
    if error.startswith(NO_SUCH_OVERLOAD):
        text = "call arguments did not match a supported operator, function or macro signature for rule"
        return f"'{error}': {text}: {shown}"
    return f"{error} evaluating rule: {shown}"
