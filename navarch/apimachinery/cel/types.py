"""Types of expressions: what they are called in messages, and which may stand for which.

A type that came from a schema may say how large its values can be (`size_limit`, in characters, bytes, items or entries) and
how data become its values (`convert`); neither takes part in comparing types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Type:
    kind: str
    """``int``, ``list``, ``object``, ``opaque`` … or ``param`` for a type variable."""
    name: str
    parameters: tuple[Type, ...] = ()
    fields: Mapping[str, Field] | None = field(default=None, compare=False, repr=False)
    """Of an object: its fields by the names that expressions use."""
    size_limit: int | None = field(default=None, compare=False, repr=False)
    convert: Convert | None = field(default=None, compare=False, repr=False)
    """JSON to the value, where they differ."""

    def __str__(self) -> str:
        if self.kind == "error":
            return "!error!"
        if self.kind == "null":
            return "null"
        if not self.parameters:
            return SHORT_NAMES.get(self.name, self.name)
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    @property
    def declared(self) -> str:
        """The full name, such as ``google.protobuf.Duration`` where errors of checking say ``duration``."""
        below = ", ".join(each.declared for each in self.parameters)
        return f"{self.name}({below})" if below else self.name

    def find(self, name: str) -> Field | None:
        """A field of an object. There may be more than can be listed."""
        return None if self.fields is None else self.fields.get(name)

    def sized(self, limit: int | None) -> Type:
        """The same type, with values no larger than that."""
        return replace(self, size_limit=limit)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object: its type, and its key in the data if that is not its name."""

    type: Type
    key: str


SHORT_NAMES = {
    "google.protobuf.Duration": "duration",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Any": "any",
    "null_type": "null",
}

INT, UINT, DOUBLE = Type("int", "int"), Type("uint", "uint"), Type("double", "double")
BOOL, STRING, BYTES = Type("bool", "bool"), Type("string", "string"), Type("bytes", "bytes")
ANY = Type("dyn", "google.protobuf.Any")
"""Of any type, as fields are; dyn is what inference makes of it."""
NULL, DYN, ERROR = Type("null", "null_type"), Type("dyn", "dyn"), Type("error", "error")
TIMESTAMP = Type("timestamp", "google.protobuf.Timestamp")
DURATION = Type("duration", "google.protobuf.Duration")
TYPE = Type("type", "type")


def list_of(element: Type) -> Type:
    return Type("list", "list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", "map", (key, value))


def optional_of(value: Type) -> Type:
    return Type("opaque", "optional_type", (value,))


def type_of_type(named: Type) -> Type:
    return Type("type", "type", (named,))


def opaque(name: str) -> Type:
    """A type of values that only functions can look into."""
    return Type("opaque", name)


def object_of(name: str, fields: Mapping[str, Field]) -> Type:
    return Type("object", name, fields=fields)


def parameter(name: str) -> Type:
    return Type("param", name)


LIST, MAP = list_of(DYN), map_of(DYN, DYN)
BY_NAME = {
    **{kind.name: kind for kind in (INT, UINT, DOUBLE, BOOL, STRING, BYTES, NULL, DYN, TIMESTAMP, DURATION, TYPE)},
    "list": LIST,
    "map": MAP,
}
NULLABLE = frozenset({"object", "opaque", "timestamp", "duration"})


def optional_element(type_: Type) -> Type | None:
    """What an optional is of; None of others."""
    return type_.parameters[0] if type_.name == "optional_type" and type_.parameters else None


def signature(arguments: Iterable[Type], member: bool) -> str:
    """``string.(int, int)`` or ``(int, string)``."""
    names = [str(argument) for argument in arguments]
    return f"{names[0]}.({', '.join(names[1:])})" if member else f"({', '.join(names)})"


class Bindings:
    """What type variables stand for, as found so far."""

    def __init__(self) -> None:
        self._bound: dict[str, Type] = {}
        self._changed: list[tuple[str, Type | None]] = []
        """What was bound before, since `assignable` began: copying all bindings would take long where there are many."""
        self._fresh = 0

    def variable(self) -> Type:
        """A type variable that is nowhere else."""
        self._fresh += 1
        return parameter(f"_var{self._fresh - 1}")

    def assignable(self, targets: list[Type], sources: list[Type]) -> bool:
        """Whether they agree, one by one; variables are bound by it only if all do."""
        self._changed.clear()
        if len(targets) == len(sources) and all(map(self._agree, targets, sources)):
            return True
        for name, before in reversed(self._changed):
            if before is None:
                del self._bound[name]
            else:
                self._bound[name] = before
        return False

    def _bind(self, variable: Type, type_: Type) -> None:
        self._changed.append((variable.name, self._bound.get(variable.name)))
        self._bound[variable.name] = type_

    def substitute(self, type_: Type, to_dyn: bool = False) -> Type:
        """The type without bound variables; unbound ones become dyn if asked for."""
        if type_.kind == "param":
            bound = self._bound.get(type_.name)
            if bound is not None:
                return self.substitute(bound, to_dyn)
            return DYN if to_dyn else type_
        if not type_.parameters:
            return type_
        parameters = tuple(self.substitute(each, to_dyn) for each in type_.parameters)
        return type_ if parameters == type_.parameters else replace(type_, parameters=parameters)

    def _agree(self, first: Type, second: Type) -> bool:
        if second.kind == "param":
            valid, was_bound = self._stands_for(first, second)
            if valid or was_bound:
                return valid
        if first.kind == "param":
            return self._stands_for(second, first)[0]
        if first.kind in ("dyn", "error") or second.kind in ("dyn", "error"):
            return True
        if first.kind == "null" or second.kind == "null":
            other = second if first.kind == "null" else first
            return other.kind == "null" or other.kind in NULLABLE
        if first.kind == "type" and second.kind == "type":
            return True
        return (
            first.kind == second.kind
            and first.name == second.name
            and len(first.parameters) == len(second.parameters)
            and all(map(self._agree, first.parameters, second.parameters))
        )

    def _stands_for(self, type_: Type, variable: Type) -> tuple[bool, bool]:
        """Whether a type may be what a variable stands for, and whether that one stood for something already."""
        if type_ == variable:
            return True, True
        bound = self._bound.get(variable.name)
        if bound is None:
            if self._mentions(variable, type_):
                return False, False
            self._bind(variable, type_)
            return True, False
        if type_ == bound:
            return True, True
        if not self._agree(type_, bound):
            return False, True
        # A variable is widened where that is sound: it stood for an int and now meets dyn.
        general = type_ if less_specific(type_, bound) else bound
        if not self._mentions(variable, general):
            self._bind(variable, general)
        return True, True

    def _mentions(self, variable: Type, within: Type) -> bool:
        if variable == within:
            return True
        if within.kind == "param":
            bound = self._bound.get(within.name)
            return bound is not None and self._mentions(variable, bound)
        return any(self._mentions(variable, each) for each in within.parameters)


def less_specific(first: Type, second: Type) -> bool:
    """Whether the first is the same, or the same with dyn in places."""
    if first.kind in ("dyn", "param"):
        return True
    if second.kind in ("dyn", "param") or first.kind != second.kind or first.name != second.name:
        return False
    return len(first.parameters) == len(second.parameters) and all(map(less_specific, first.parameters, second.parameters))
