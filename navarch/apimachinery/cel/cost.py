"""What evaluating costs, in cel-go's units: a traversal of an identifier or field is one, strings are read at ten
characters a unit.

The figures of the language's own functions are cel-go's (interpreter/runtimecost.go), those of Kubernetes' libraries
k8s.io/apiserver/pkg/cel/library/cost.go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from navarch.apimachinery.cel.errors import CostLimitError
from navarch.apimachinery.cel.libraries.formats import Format
from navarch.apimachinery.cel.types import Type
from navarch.apimachinery.cel.values import Opaque

PER_CALL_LIMIT = 1_000_000
"""Of one evaluation (Kubernetes' PerCallLimit)."""

STRING_FACTOR, REGEX_FACTOR = 0.1, 0.25
LIST_BASE, MAP_BASE, MESSAGE_BASE = 10, 30, 40
CHECK = 350_000
METER = "#cost"
COPIED = 100
"""Elements of a list that are copied for one."""

STEPS = {
    # of each round: the loop's condition and the accumulator; then the result
    "all": (3, 1),
    "exists": (4, 1),
    "exists_one": (1, 2),
    "existsOne": (1, 2),
    "filter": (1, 1),
    "map": (LIST_BASE + 2, 1),
    "transformList": (LIST_BASE + 2, 1),
    "transformMap": (3, 1),
    "transformMapEntry": (2, 1),
}
"""What a macro costs in each round and once, besides the expressions in it."""

# fmt: off
NOMINAL = frozenset(
    {
        "serviceAccount", "path", "group", "resource", "subresource", "namespace", "name", "allowed", "reason", "error",
        "errored", "masked", "prefixLength", "family", "isUnspecified", "isLoopback", "isLinkLocalMulticast",
        "isLinkLocalUnicast", "isGlobalUnicast", "format.named", "sign", "asInteger", "isInteger", "asApproximateFloat",
        "isGreaterThan", "isLessThan", "compareTo", "add", "sub", "major", "minor", "patch", "getScheme", "getHostname",
        "getHost", "getPort", "getEscapedPath", "getQuery",
    }
)
# fmt: on
TRAVERSING = frozenset({"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"})
# fmt: off
READING = frozenset(
    {
        "url", "lowerAscii", "upperAscii", "substring", "trim", "jsonpatch.escapeKey", "cidr", "isIP", "isCIDR", "quantity",
        "isQuantity", "semver", "isSemver",
    }
)
# fmt: on
COMPARING = frozenset(
    {"equals", "not_equals"}
    | {f"{verb}_{kind}" for verb in ("less", "less_equals", "greater", "greater_equals") for kind in ("string", "bytes")}
)


_BY_FUNCTION = frozenset(
    [
        "ip",
        "check",
        "fieldSelector",
        "labelSelector",
        "replace",
        "split",
        "ip.isCanonical",
        "join",
        "find",
        "findAll",
        "validate",
        "containsIP",
        "containsCIDR",
    ]
)
_BY_OVERLOAD = frozenset(
    [
        "starts_with_string",
        "ends_with_string",
        "string_to_bytes",
        "bytes_to_string",
        "strings_quote",
        "string_format",
        "in_list",
        "add_string",
        "add_bytes",
        "add_list",
        "matches_string",
        "contains_string",
    ]
)


class Meter:
    """What was spent so far."""

    __slots__ = ("limit", "spent")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.spent = 0

    def charge(self, amount: int) -> None:
        """Raises CostLimitError."""
        self.spent += amount
        if self.spent > self.limit:
            raise CostLimitError


def size(value: Any) -> int:
    """Characters, bytes, items or entries; one of whatever has none."""
    if isinstance(value, str | bytes | list | Mapping):
        return len(value)
    return len(value) if isinstance(value, Opaque) and hasattr(value, "__len__") else 1


def read(length: float, factor: float = STRING_FACTOR) -> int:
    """Reading a string of this length."""
    return math.ceil(length * factor)


def matching(text_length: int, pattern_length: int) -> int:
    return read(1 + text_length) * read(pattern_length, REGEX_FACTOR)


def is_nominal(function: str, overload: str) -> bool:
    """Whether every call costs one, whatever its arguments are."""
    if function in NOMINAL or overload == "cidr_ip":
        return True
    by_function = function in TRAVERSING or function in READING or function in _BY_FUNCTION
    return not (by_function or overload in COMPARING or overload in _BY_OVERLOAD)


def call(function: str, overload: str, arguments: Sequence[Any], result: Any) -> int:
    """Of a call that has been made, the target first among the arguments."""
    if function in NOMINAL or overload == "cidr_ip":
        return 1
    if function in TRAVERSING:
        return _traversal(arguments[0])
    if function in READING or function == "ip":
        return read(size(arguments[0]))
    match function:
        case "check":
            return CHECK
        case "fieldSelector" | "labelSelector":
            length = size(arguments[1])
            return LIST_BASE + read(length) + read(length, 0.5) * (LIST_BASE + MESSAGE_BASE)
        case "replace" | "split" | "ip.isCanonical":
            return read(size(arguments[0]) * 2)
        case "join":
            return read(size(result) * 2)
        case "find" | "findAll":
            return matching(size(arguments[0]), size(arguments[1]))
        case "validate" if isinstance(arguments[0], Format):
            return matching(size(arguments[1]), arguments[0].regex_size)
        case "containsIP" | "containsCIDR":
            return _containing(function, overload, arguments)
        case "_==_" if isinstance(arguments[0], Opaque):
            return 1
    return _standard(overload, arguments)


def _standard(overload: str, arguments: Sequence[Any]) -> int:
    match overload:
        case "starts_with_string" | "ends_with_string":
            return read(size(arguments[1]))
        case "string_to_bytes" | "bytes_to_string" | "strings_quote" | "string_format":
            return read(size(arguments[0]))
        case "in_list":
            return size(arguments[1])
        case "add_string" | "add_bytes":
            return read(size(arguments[0]) + size(arguments[1]))
        case "add_list":
            # Upstream joins lists without copying them. Short ones cost what they cost there.
            return 1 + (len(arguments[0]) + len(arguments[1])) // COPIED
        case "matches_string":
            return matching(size(arguments[0]), size(arguments[1]))
        case "contains_string":
            return read(size(arguments[0])) * read(size(arguments[1]))
    if overload in COMPARING:
        return read(min(size(arguments[0]), size(arguments[1])))
    return 1


def _containing(function: str, overload: str, arguments: Sequence[Any]) -> int:
    prefix = size(arguments[0])
    found = read(prefix + prefix)
    if function == "containsCIDR":
        found += read(prefix) + 1
    return found + (read(size(arguments[1])) if overload.endswith("_string") else 0)


def _traversal(value: Any) -> int:
    if isinstance(value, str | bytes):
        return int(len(value) * STRING_FACTOR)
    if isinstance(value, list):
        return sum(map(_traversal, value))
    if isinstance(value, Mapping):
        return sum(_traversal(key) + _traversal(entry) for key, entry in value.items())
    return 1


def is_scalar(type_: Type) -> bool:
    """Whether all values have the size one."""
    if type_.name == "optional_type":
        return is_scalar(type_.parameters[0])
    return type_.kind in ("bool", "double", "duration", "int", "timestamp", "uint")
