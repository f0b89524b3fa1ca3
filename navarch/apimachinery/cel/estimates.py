"""What calls can cost, by the sizes of their arguments: cel-go's figures for its functions, Kubernetes' for its libraries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from navarch.apimachinery.cel import cost
from navarch.apimachinery.cel.ast import Node
from navarch.apimachinery.cel.cost import REGEX_FACTOR, STRING_FACTOR
from navarch.apimachinery.cel.ranges import LARGEST, NOTHING, ONE, Range, fixed

LONGEST_FORMAT_REGEX = 1000
_OPAQUE = frozenset({"net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver", "kubernetes.URL"})


class Sizes(Protocol):
    """What is known about nodes."""

    def size(self, node: Node) -> Range: ...
    def element_size(self, node: Node) -> Range | None: ...
    def literal(self, node: Node) -> int | None: ...
    def kind_of(self, node: Node) -> str: ...


class CallEstimate(NamedTuple):
    """What a call costs besides its arguments, and how large its result is."""

    cost: Range
    size: Range | None = None


def call_estimate(sizes: Sizes, name: str, overload: str, target: Node | None, arguments: Sequence[Node]) -> CallEstimate:
    """Of a call of this overload."""
    found = _kubernetes(sizes, name, overload, target, arguments)
    return found or _standard(sizes, overload, target, arguments)


def _kubernetes(sizes: Sizes, name: str, overload: str, target: Node | None, arguments: Sequence[Node]) -> CallEstimate | None:
    if name in cost.NOMINAL:
        return CallEstimate(ONE)
    if name == "check":
        return CallEstimate(fixed(cost.CHECK))
    if name == "_==_":
        kinds = {sizes.kind_of(argument) for argument in arguments}
        return CallEstimate(ONE) if len(kinds) == 1 and kinds <= _OPAQUE else None
    if name in ("url", "jsonpatch.escapeKey"):
        size = sizes.size(arguments[0])
        return CallEstimate(size.scaled(STRING_FACTOR), size)
    # Upstream estimates what parses texts, such as quantity(x), only where it is a method: elsewhere it costs one.
    if target is None:
        return None
    if name in cost.TRAVERSING:
        element = sizes.element_size(target)
        if element is None:
            return CallEstimate(sizes.size(target).scaled(STRING_FACTOR))
        return CallEstimate(sizes.size(target) * (ONE + element.scaled(STRING_FACTOR)))
    match name:
        case "fieldSelector" | "labelSelector":
            length = sizes.size(arguments[0])
            requirements = length.scaled(0.5).scaled(cost.LIST_BASE + cost.MESSAGE_BASE)
            return CallEstimate(fixed(cost.LIST_BASE) + length.scaled(STRING_FACTOR) + requirements)
        case "lowerAscii" | "upperAscii" | "substring" | "trim":
            size = sizes.size(target)
            return CallEstimate(size.scaled(STRING_FACTOR), size)
        case "replace":
            return _replace(sizes.size(target), sizes.size(arguments[0]), sizes.size(arguments[1]))
        case "split":
            size = sizes.size(target)
            limit = sizes.literal(arguments[1]) if len(arguments) > 1 else None
            most = size.max if limit is None else limit % (LARGEST + 1)
            return CallEstimate(size.scaled(2 * STRING_FACTOR), Range(0, most))
        case "join":
            return _join(sizes, target, arguments)
        case "find" | "findAll":
            size = sizes.size(target)
            return CallEstimate(_matching(size, sizes.size(arguments[0])), Range(0, size.max))
        case "ip":
            return CallEstimate(ONE)
        case "containsIP" | "containsCIDR":
            return _containing(sizes, name, overload, arguments)
        case "validate":
            size = sizes.size(arguments[0])
            return CallEstimate(size.scaled(STRING_FACTOR).scaled(LONGEST_FORMAT_REGEX * REGEX_FACTOR))
    return None


def _standard(sizes: Sizes, overload: str, target: Node | None, arguments: Sequence[Node]) -> CallEstimate:
    match overload:
        case "string_format" if target is not None:
            return CallEstimate(sizes.size(target).scaled(STRING_FACTOR))
        case "string_to_bytes":
            size = sizes.size(arguments[0])
            return CallEstimate(size.scaled(STRING_FACTOR), Range(size.min, min(size.max * 4, LARGEST)))
        case "bytes_to_string":
            size = sizes.size(arguments[0])
            return CallEstimate(size.scaled(STRING_FACTOR), Range(size.min // 4, size.max))
        case "strings_quote":
            size = sizes.size(arguments[0])
            return CallEstimate(size.scaled(STRING_FACTOR), Range(size.min + 2, min(size.max * 2 + 2, LARGEST)))
        case "starts_with_string" | "ends_with_string":
            return CallEstimate(sizes.size(arguments[0]).scaled(STRING_FACTOR))
        case "in_list":
            return CallEstimate(sizes.size(arguments[1]))
        case "matches_string" if target is not None:
            return CallEstimate(_matching(sizes.size(target), sizes.size(arguments[0])))
        case "contains_string" if target is not None:
            return CallEstimate(sizes.size(target).scaled(STRING_FACTOR) * sizes.size(arguments[0]).scaled(STRING_FACTOR))
        case "add_string" | "add_bytes" | "add_list":
            size = sizes.size(arguments[0]) + sizes.size(arguments[1])
            return CallEstimate(ONE if overload == "add_list" else size.scaled(STRING_FACTOR), size)
    if overload in cost.COMPARING:
        most = min(sizes.size(arguments[0]).max, sizes.size(arguments[1]).max)
        return CallEstimate(Range(min(most, 1), most).scaled(STRING_FACTOR))
    return CallEstimate(ONE)


def _matching(text: Range, pattern: Range) -> Range:
    return (text + ONE).scaled(STRING_FACTOR) * pattern.scaled(REGEX_FACTOR)


def _replace(text: Range, old: Range, new: Range) -> CallEstimate:
    """The longest result is of the shortest parts becoming the longest ones, the shortest of the reverse."""
    most, kept_most = 0, text.max
    if old.min == 0:
        most = min(text.max + 1, LARGEST)
    elif new.max > old.min:
        most, kept_most = math.ceil(text.max / old.min), 0
    least, kept_least = 0, text.min
    if old.max == 0:
        least = min(text.min + 1, LARGEST)
    elif old.max > new.min:
        least, kept_least = math.ceil(text.min / old.max), 0
    size = Range(least, most) * new + Range(kept_least, kept_most)
    return CallEstimate(text.scaled(2 * STRING_FACTOR), size)


def _join(sizes: Sizes, target: Node, arguments: Sequence[Node]) -> CallEstimate:
    count = sizes.size(target)
    size = count * (sizes.element_size(target) or NOTHING)
    if arguments:
        size = size + sizes.size(arguments[0]) * Range(max(count.min - 1, 0), max(count.max - 1, 0))
    return CallEstimate(size.scaled(STRING_FACTOR), size)


def _containing(sizes: Sizes, name: str, overload: str, arguments: Sequence[Node]) -> CallEstimate:
    address = Range(4, 16)
    found = (address + address).scaled(STRING_FACTOR)
    if name == "containsCIDR":
        found = found + address.scaled(STRING_FACTOR) + ONE
    if overload.endswith("_string"):
        found = found + sizes.size(arguments[0]).scaled(STRING_FACTOR)
    return CallEstimate(found)
