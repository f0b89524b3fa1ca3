"""Values: what Python has, and what it has not.

bool, int, float, str, bytes, None, list and dict are CEL's bool, int, double, string, bytes, null, list and map, so JSON is a
value as it is. `UInt`, `Timestamp`, `Duration`, `Optional` and lists that are sets or maps (``x-kubernetes-list-type``) are
their own classes. Values are never changed. Since True equals 1 for Python and not for CEL, a map holds a bool key as a
`BoolKey`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.types import Type

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1
NO_SUCH_OVERLOAD = "no such overload"


class UInt(int):
    """An unsigned integer of 64 bits."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A moment, as nanoseconds since 1970; `offset` (minutes east) is only how it was written."""

    nanoseconds: int
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    nanoseconds: int


class Opaque:
    """A value that only functions can look into. Subclasses say of which type it is."""

    __slots__ = ()
    cel_type: ClassVar[Type]


class Optional:
    """A value or none."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Optional):
            return False
        if self is NONE or other is NONE:
            return self is other
        return equal(self.value, other.value)

    def __hash__(self) -> int:
        return hash(("optional", self is NONE))


NONE = Optional(None)


class BoolKey:
    """A bool as the key of a map."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value


_TRUE_KEY, _FALSE_KEY = BoolKey(True), BoolKey(False)


def map_key(value: Any) -> Any:
    """What a dict knows a key as."""
    if value.__class__ is bool:
        return _TRUE_KEY if value else _FALSE_KEY
    return value


def keys(mapping: Mapping[Any, Any]) -> Iterator[Any]:
    """The keys of a map, as values."""
    return (key.value if key.__class__ is BoolKey else key for key in mapping)


class SetList(list[Any]):
    """A list of unique elements whose order does not matter when they are compared."""

    __slots__ = ()

    def __add__(self, other: list[Any]) -> SetList:
        return SetList([*self, *(element for element in other if not contains(self, element))])

    def same(self, other: list[Any]) -> bool:
        return len(self) == len(other) and all(contains(other, element) for element in self)


class MapList(list[Any]):
    """A list of objects known by the values of some of their fields; their order does not matter when they are compared."""

    __slots__ = ("key_fields",)

    def __init__(self, elements: list[Any], key_fields: tuple[str, ...]) -> None:
        super().__init__(elements)
        self.key_fields = key_fields

    def _key(self, element: Any) -> Hashable:
        return tuple(repr(element.get(name)) for name in self.key_fields) if isinstance(element, dict) else None

    def __add__(self, other: list[Any]) -> MapList:
        merged = {self._key(element): element for element in self}
        merged.update((self._key(element), element) for element in other)
        return MapList(list(merged.values()), self.key_fields)

    def same(self, other: list[Any]) -> bool:
        if len(self) != len(other):
            return False
        others = {self._key(element): element for element in other}
        return all((key := self._key(element)) in others and equal(element, others[key]) for element in self)


_SCALARS = frozenset({str, int, bool, bytes, float, UInt, type(None), Timestamp, Duration, Type})
_NUMBERS = frozenset({int, float, UInt})


def equal(first: Any, second: Any) -> bool:
    """Equality of any two values: numbers by their value, whatever they are; different types are unequal."""
    kind, other = first.__class__, second.__class__
    if kind in _SCALARS:
        return bool(first == second) if kind is other or (kind in _NUMBERS and other in _NUMBERS) else False
    if isinstance(first, list):
        if not isinstance(second, list):
            return False
        if isinstance(first, SetList | MapList):
            return first.same(second)
        return len(first) == len(second) and all(map(equal, first, second))
    if isinstance(first, Mapping):
        if not isinstance(second, Mapping) or len(first) != len(second):
            return False
        return all(key in second and equal(value, second[key]) for key, value in first.items())
    return kind is other and bool(first == second)


def contains(elements: list[Any], wanted: Any) -> bool:
    """Whether one of the elements equals it."""
    if wanted.__class__ is str:
        return wanted in elements
    return any(equal(element, wanted) for element in elements)


def compare(first: Any, second: Any) -> int | None:
    """-1, 0 or 1; None if nothing can be said (NaN). Raises EvaluationError if the types have no order."""
    kind, other = first.__class__, second.__class__
    if kind in _NUMBERS and other in _NUMBERS:
        if (kind is float and math.isnan(first)) or (other is float and math.isnan(second)):
            return None
    elif kind is not other or kind not in (str, bytes, bool, Timestamp, Duration):
        raise EvaluationError(NO_SUCH_OVERLOAD)
    return int(first > second) - int(first < second)


_TYPES: dict[type, Type] = {
    str: types.STRING,
    int: types.INT,
    bool: types.BOOL,
    float: types.DOUBLE,
    bytes: types.BYTES,
    UInt: types.UINT,
    type(None): types.NULL,
    Timestamp: types.TIMESTAMP,
    Duration: types.DURATION,
    Type: types.TYPE,
    list: types.LIST,
    SetList: types.LIST,
    MapList: types.LIST,
    dict: types.MAP,
    Optional: types.optional_of(types.DYN),
}


def type_of(value: Any) -> Type:
    """The type of a value, as ``type(value)`` gives it: of lists, maps and optionals the general one."""
    found = _TYPES.get(value.__class__)
    if found is not None:
        return found
    if isinstance(value, Opaque):
        return value.cel_type
    return types.MAP if isinstance(value, Mapping) else types.DYN


def accepts(parameter: Type) -> Callable[[Any], bool] | None:
    """A test whether a value may be an argument for a parameter; None if every value may."""
    kind, name = parameter.kind, parameter.name
    if kind in ("dyn", "param"):
        return None
    if kind in ("opaque", "list", "map", "type"):
        return lambda value: type_of(value).name == name
    if kind == "object":
        return lambda value: isinstance(value, Mapping) or type_of(value).name == name
    return lambda value: type_of(value).kind == kind
