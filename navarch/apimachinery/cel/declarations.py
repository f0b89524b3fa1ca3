"""Functions as libraries declare them: overloads written as signatures, each with the Python function that does it.

A signature reads ``(int, string) -> bool`` for a function and ``string.(int) -> string`` for a method; capital letters are type
variables, ``list(A)``, ``map(K, V)``, ``optional(V)`` and ``type(A)`` take parameters, and any other name is that of an opaque
type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.types import Type
from navarch.apimachinery.cel.values import accepts

Implementation = Callable[..., Any]
_WORD = re.compile(r"\s*([a-zA-Z_][\w.]*|[(),])")
_SHORT = {"bool", "int", "uint", "double", "string", "bytes", "dyn", "type"}
_SIMPLE = {
    **{name: types.BY_NAME[name] for name in _SHORT},
    "null": types.NULL,
    "timestamp": types.TIMESTAMP,
    "duration": types.DURATION,
}


@dataclass(frozen=True)
class Overload:
    """One form of a function. `implementation` takes the target, if any, and the arguments; it may raise EvaluationError."""

    id: str
    parameters: tuple[Type, ...]
    """The target first, if there is one."""
    result: Type
    member: bool
    implementation: Implementation

    @cached_property
    def generic(self) -> bool:
        """Whether type variables occur."""
        return any(map(_has_variable, (*self.parameters, self.result)))

    @cached_property
    def tests(self) -> tuple[tuple[int, Callable[[Any], bool]], ...]:
        """Which arguments have to be looked at when types are only known at run time, and how."""
        found = ((index, accepts(parameter)) for index, parameter in enumerate(self.parameters))
        return tuple((index, test) for index, test in found if test is not None)

    def takes(self, arguments: Sequence[Any]) -> bool:
        """Whether these values fit it."""
        return len(arguments) == len(self.parameters) and all(test(arguments[index]) for index, test in self.tests)


@dataclass(frozen=True, slots=True)
class Library:
    """Functions by name, variables and constants that come with them, and the types they bring."""

    name: str
    functions: Mapping[str, tuple[Overload, ...]]
    types: Mapping[str, Type] = field(default_factory=dict)
    """Names that stand for types in expressions."""


def overload(id_: str, signature: str, implementation: Implementation) -> Overload:
    """An overload by its signature."""
    target, arguments, result = _split(signature)
    parameters = (target, *arguments) if target else arguments
    return Overload(id_, parameters, result, target is not None, implementation)


def functions(table: Mapping[str, Iterable[tuple[str, str, Implementation]]]) -> dict[str, tuple[Overload, ...]]:
    """Overloads from rows of id, signature and implementation."""
    return {name: tuple(overload(*row) for row in rows) for name, rows in table.items()}


def parse_type(text: str) -> Type:
    """The type that a piece of a signature names."""
    found, rest = _read_type(_WORD.findall(text))
    assert not rest, text
    return found


def _split(signature: str) -> tuple[Type | None, tuple[Type, ...], Type]:
    before, _, result = signature.rpartition("->")
    target, dot, rest = before.partition(".(")
    words = _WORD.findall(rest if dot else before.partition("(")[2])
    arguments: list[Type] = []
    while words[0] != ")":
        argument, words = _read_type(words)
        arguments.append(argument)
        words = words[words[0] == "," :]
    return parse_type(target) if dot else None, tuple(arguments), parse_type(result)


def _read_type(words: list[str]) -> tuple[Type, list[str]]:
    name, rest = words[0], words[1:]
    parameters: list[Type] = []
    if rest and rest[0] == "(":
        while rest[0] != ")":
            parameter, rest = _read_type(rest[1:])
            parameters.append(parameter)
        rest = rest[1:]
    if len(name) == 1 and name.isupper():
        return types.parameter(name), rest
    match name, parameters:
        case "list", [element]:
            return types.list_of(element), rest
        case "map", [key, value]:
            return types.map_of(key, value), rest
        case "optional", [value]:
            return types.optional_of(value), rest
        case "type", [named]:
            return types.type_of_type(named), rest
    return _SIMPLE.get(name) or types.opaque(name), rest


def _has_variable(type_: Type) -> bool:
    return type_.kind == "param" or any(map(_has_variable, type_.parameters))
