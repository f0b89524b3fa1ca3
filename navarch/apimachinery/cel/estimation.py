"""How much an expression can cost at least and at most, before there is any data (cel-go's checker/cost.go).

Sizes come from literals, from what functions make of sizes, and from the limits that a schema sets; what is not known may have
any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from navarch.apimachinery.cel import cost
from navarch.apimachinery.cel.ast import (
    ACCUMULATOR,
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    MapNode,
    MessageNode,
    Node,
    Select,
)
from navarch.apimachinery.cel.checker import Checked
from navarch.apimachinery.cel.estimates import call_estimate
from navarch.apimachinery.cel.ranges import NOTHING, ONE, UNKNOWN, Range, fixed


class Entries(NamedTuple):
    """Sizes of the keys and values of a map; of a list of one and of its elements."""

    key: Range
    value: Range

    def union(self, other: Entries) -> Entries:
        return Entries(self.key.union(other.key), self.value.union(other.value))


@dataclass(frozen=True, slots=True)
class _Local:
    """What is known of a comprehension's variable."""

    size: Range | None
    entries: Entries | None


def estimate(checked: Checked) -> Range:
    """The range of costs of a checked tree."""
    return _Estimator(checked).cost(checked.root)


class _Estimator:
    def __init__(self, checked: Checked) -> None:
        self._checked = checked
        self._sizes: dict[Node, Range] = {}
        self._entries: dict[Node, Entries] = {}
        self._locals: list[dict[str, _Local]] = []

    def cost(self, node: Node) -> Range:
        match node:
            case Ident():
                return ONE
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListNode():
                return self._list(node)
            case MapNode():
                return self._map(node)
            case MessageNode():
                return sum((self.cost(entry.value) for entry in node.entries), fixed(cost.MESSAGE_BASE))
            case Comprehension():
                return self._binding(node) if node.accumulator != ACCUMULATOR else self._comprehension(node)
        return NOTHING

    def _select(self, node: Select) -> Range:
        if node in self._checked.names:
            return ONE
        operand = self.cost(node.operand)
        if node.test:
            return operand
        kind = self._checked.types[node.operand].kind
        if node.optional or kind == "opaque":
            return operand + ONE
        return operand + ONE if kind in ("map", "object", "param", "dyn") else operand

    # Sizes.

    def size(self, node: Node) -> Range:
        """Of the values of a node, as far as they are known."""
        return self.known_size(node) or UNKNOWN

    def known_size(self, node: Node) -> Range | None:
        if node in self._sizes:
            return self._sizes[node]
        match node:
            case Literal(value=value):
                return fixed(cost.size(value))
            case ListNode(elements=elements):
                return fixed(len(elements))
            case MapNode(entries=entries):
                return fixed(len(entries))
        type_ = self._checked.types[node]
        if type_.size_limit is not None:
            return Range(0, type_.size_limit)
        if cost.is_scalar(type_):
            return ONE
        local = self._local(node)
        return local.size if local else None

    def _local(self, node: Node) -> _Local | None:
        if not isinstance(node, Ident):
            return None
        return next((scope[node.name] for scope in reversed(self._locals) if node.name in scope), None)

    def entries(self, node: Node) -> Entries | None:
        if node in self._entries:
            return self._entries[node]
        local = self._local(node)
        return local.entries if local else None

    # Calls.

    def _call(self, node: Call) -> Range:
        resolved = self._checked.calls[node]
        arguments = [self.cost(argument) for argument in node.arguments]
        target = self.cost(resolved.target) if resolved.target is not None else NOTHING
        match resolved.name:
            case "dyn":
                self._copy(node, node.arguments[0])
                return arguments[0] + ONE
            case "_&&_" | "_||_":
                first, second = arguments
                return Range(first.min, (first + second).max)
            case "_?_:_":
                return self._conditional(node, arguments)
        costs: Range | None = None
        for overload in resolved.overloads:
            found = call_estimate(self, resolved.name, overload.id, resolved.target, node.arguments)
            costs = found.cost if costs is None else costs.union(found.cost)
            if found.size is not None:
                self._sizes[node] = found.size.union(self._sizes[node]) if node in self._sizes else found.size
            self._element(node, overload.id)
        return sum(arguments, target) + (costs or NOTHING)

    def _element(self, node: Call, overload: str) -> None:
        if overload in ("index_list", "index_map"):
            entries = self.entries(node.arguments[0])
            if entries is not None:
                self._sizes[node] = entries.value
        elif overload == "add_list":
            first, second = map(self.entries, node.arguments)
            if first is not None and second is not None:
                self._entries[node] = first.union(second)

    def _conditional(self, node: Call, costs: list[Range]) -> Range:
        _, first, second = node.arguments
        self._sizes[node] = self.size(first).union(self.size(second))
        entries, others = self.entries(first), self.entries(second)
        if entries is not None and others is not None:
            self._entries[node] = entries.union(others)
        return costs[0] + costs[1].union(costs[2])

    def _copy(self, node: Node, source: Node) -> None:
        size, entries = self.known_size(source), self.entries(source)
        if size is not None:
            self._sizes[node] = size
        if entries is not None:
            self._entries[node] = entries

    # Lists, maps and folds.

    def _list(self, node: ListNode) -> Range:
        total = sum(map(self.cost, node.elements), fixed(cost.LIST_BASE))
        sizes = [self.size(element) for element in node.elements]
        self._entries[node] = Entries(ONE, Range.spanning(sizes))
        return total

    def _map(self, node: MapNode) -> Range:
        keys = [entry.key for entry in node.entries if isinstance(entry.key, Node)]
        total = sum(map(self.cost, (*keys, *(entry.value for entry in node.entries))), fixed(cost.MAP_BASE))
        self._entries[node] = Entries(
            Range.spanning([self.size(key) for key in keys]),
            Range.spanning([self.size(entry.value) for entry in node.entries]),
        )
        return total

    def _comprehension(self, node: Comprehension) -> Range:
        total = self.cost(node.range) + self.cost(node.initial)
        self._locals.append({node.accumulator: _Local(self.known_size(node.initial), self.entries(node.initial))})
        self._locals.append(self._variables(node))
        step = self.cost(node.condition) + self.cost(node.step)
        self._locals.pop()
        total = total + self.cost(node.result)
        self._locals.pop()
        rounds = self.size(node.range)
        if isinstance(node.initial, Literal):
            self._sizes[node] = self.size(node.initial)
        else:
            self._sizes[node] = rounds
            entries = self.entries(node.step)
            if entries is not None:
                self._entries[node] = entries
        return total + rounds * step

    def _variables(self, node: Comprehension) -> dict[str, _Local]:
        entries = self.entries(node.range)
        key, value = (entries.key, entries.value) if entries is not None else (None, None)
        if len(node.variables) == 2:
            sizes: tuple[Range | None, ...] = (key, value)
        else:
            sizes = (value if self._checked.types[node.range].kind == "list" else key,)
        return {name: _Local(size, None) for name, size in zip(node.variables, sizes, strict=True)}

    def _binding(self, node: Comprehension) -> Range:
        total = self.cost(node.range) + self.cost(node.initial)
        self._locals.append({node.accumulator: _Local(self.known_size(node.initial), self.entries(node.initial))})
        total = total + self.cost(node.result)
        self._locals.pop()
        self._copy(node, node.result)
        return total

    # What `estimates` asks.

    def element_size(self, node: Node) -> Range | None:
        """Of the elements of a list, if they are strings or bytes: one and the time to read them."""
        type_ = self._checked.types[node]
        if type_.kind != "list":
            return None
        element = type_.parameters[0]
        if element.kind not in ("string", "bytes"):
            return NOTHING
        return Range(0, element.size_limit) if element.size_limit is not None else UNKNOWN

    def literal(self, node: Node) -> int | None:
        """An int that is written out."""
        return node.value if isinstance(node, Literal) and type(node.value) is int else None

    def kind_of(self, node: Node) -> str:
        """The name of a node's type."""
        return self._checked.types[node].name


RULE_LIMIT, SCHEMA_LIMIT = 10_000_000, 100_000_000
"""What a rule of a custom resource may cost by its estimate, for all values it can be asked of; and all rules together."""


def excess(what: str, estimated: int, limit: int) -> str | None:
    """What is said of an estimate beyond its limit, of `what` (``estimated rule cost``); None within it."""
    if estimated <= limit:
        return None
    factor = estimated / limit
    # A factor is not to be shown as none.
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    where = "where arrays, maps, and strings are declared"
    remedy = f"try simplifying the rule, or adding maxItems, maxProperties, and maxLength {where}"
    return f"{what} exceeds budget by factor of {shown} ({remedy})"
