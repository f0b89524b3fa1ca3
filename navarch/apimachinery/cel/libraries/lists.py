"""Lists as sets (cel-go's ext/sets), and Kubernetes' functions of lists."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from navarch.apimachinery.cel import moments
from navarch.apimachinery.cel.declarations import Implementation, Library, functions
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.libraries.standard import checked_int, checked_uint
from navarch.apimachinery.cel.values import Duration, UInt, compare, contains, equal

Row = tuple[str, str, Implementation]


def _contains_all(elements: list[Any], wanted: list[Any]) -> bool:
    return all(contains(elements, element) for element in wanted)


SETS = Library(
    "cel.lib.ext.sets",
    functions(
        {
            "sets.contains": [("list_sets_contains_list", "(list(T), list(T)) -> bool", _contains_all)],
            "sets.equivalent": [
                (
                    "list_sets_equivalent_list",
                    "(list(T), list(T)) -> bool",
                    lambda first, second: _contains_all(first, second) and _contains_all(second, first),
                )
            ],
            "sets.intersects": [
                (
                    "list_sets_intersects_list",
                    "(list(T), list(T)) -> bool",
                    lambda first, second: any(contains(first, element) for element in second),
                )
            ],
        }
    ),
)

_SUMMABLE: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {
    "int": (0, lambda a, b: checked_int(a + b)),
    "uint": (UInt(0), lambda a, b: checked_uint(a + b)),
    "double": (0.0, operator.add),
    "duration": (Duration(0), lambda a, b: moments.duration(a.nanoseconds + b.nanoseconds)),
}
_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")


def _is_sorted(elements: Sequence[Any]) -> bool:
    return all((compare(first, second) or 0) <= 0 for first, second in pairwise(elements))


def _best(name: str, sign: int) -> Implementation:
    def best(elements: Sequence[Any]) -> Any:
        if not elements:
            raise EvaluationError(f"{name} called on empty list")
        found = elements[0]
        for element in elements[1:]:
            if compare(element, found) == sign:
                found = element
        return found

    return best


def _sum(zero: Any, add: Callable[[Any, Any], Any]) -> Implementation:
    def total(elements: Sequence[Any]) -> Any:
        found = zero
        for element in elements:
            found = add(found, element)
        return found

    return total


def _index_of(elements: Sequence[Any], wanted: Any) -> int:
    return next((index for index, element in enumerate(elements) if equal(element, wanted)), -1)


def _last_index_of(elements: Sequence[Any], wanted: Any) -> int:
    return next((index for index in reversed(range(len(elements))) if equal(elements[index], wanted)), -1)


def _for_each(types: Sequence[str], name: str, result: str, implementation: Implementation) -> list[Row]:
    return [
        (f"list_{type_}_{name}", f"list({type_}).() -> {type_ if result == 'element' else result}", implementation)
        for type_ in types
    ]


def _table() -> Iterator[tuple[str, list[Row]]]:
    yield "isSorted", _for_each(_COMPARABLE, "is_sorted", "bool", _is_sorted)
    yield "min", _for_each(_COMPARABLE, "min", "element", _best("min", -1))
    yield "max", _for_each(_COMPARABLE, "max", "element", _best("max", 1))
    yield "sum", [row for name, how in _SUMMABLE.items() for row in _for_each((name,), "sum", "element", _sum(*how))]
    yield "indexOf", [("list_a_index_of_int", "list(T).(T) -> int", _index_of)]
    yield "lastIndexOf", [("list_a_last_index_of_int", "list(T).(T) -> int", _last_index_of)]


LISTS = Library("kubernetes.lists", functions(dict(_table())))
