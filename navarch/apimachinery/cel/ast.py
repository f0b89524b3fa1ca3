"""The tree of an expression.

`offset` is where in the text an error about a node is shown: of a call its parenthesis, of an operator its sign, of a selection
its dot. Macros are expanded as they are parsed: a `Comprehension` knows the fold it stands for, which is what is type-checked
and paid for, and the `Macro` it was written as, which is what is evaluated and printed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

ACCUMULATOR = "@result"
DEPTH_LIMIT = 250
"""Of nesting in an expression, and of its tree."""
FRAMES_A_LEVEL = 12

# What reads, checks, plans and evaluates a tree is recursive: Python's own limit would come first.
sys.setrecursionlimit(max(sys.getrecursionlimit(), DEPTH_LIMIT * FRAMES_A_LEVEL + 1000))


@dataclass(slots=True, eq=False)
class Node:
    offset: int
    depth: int = field(init=False, default=1)

    def children(self) -> Iterator[Node]:
        return iter(())

    def __post_init__(self) -> None:
        self.depth = 1 + max((child.depth for child in self.children()), default=0)


@dataclass(slots=True, eq=False)
class Literal(Node):
    """bool, int, UInt, float, str, bytes or None."""

    value: Any


@dataclass(slots=True, eq=False)
class Ident(Node):
    """A variable or the name of a type; a leading dot is kept."""

    name: str


@dataclass(slots=True, eq=False)
class Select(Node):
    """``operand.field``, or with `test` ``has(operand.field)``, or with `optional` ``operand.?field``."""

    operand: Node
    field_name: str
    test: bool = False
    optional: bool = False

    def children(self) -> Iterator[Node]:
        yield self.operand


@dataclass(slots=True, eq=False)
class Call(Node):
    """A function, a method (with `target`) or an operator such as ``_+_``."""

    function: str
    target: Node | None
    arguments: list[Node]
    macro: Macro | None = None

    def children(self) -> Iterator[Node]:
        if self.target is not None:
            yield self.target
        yield from self.arguments


@dataclass(slots=True, eq=False)
class ListNode(Node):
    """`optional` has the indices of elements written ``?e``."""

    elements: list[Node]
    optional: frozenset[int] = frozenset()

    def children(self) -> Iterator[Node]:
        yield from self.elements


@dataclass(slots=True, eq=False)
class Entry:
    """``key: value`` of a map or message; of a message the key is the name of a field."""

    offset: int
    key: Node | str
    value: Node
    optional: bool = False


@dataclass(slots=True, eq=False)
class MapNode(Node):
    entries: list[Entry]

    def children(self) -> Iterator[Node]:
        for entry in self.entries:
            if isinstance(entry.key, Node):
                yield entry.key
            yield entry.value


@dataclass(slots=True, eq=False)
class MessageNode(Node):
    """``Type{field: value}``."""

    type_name: str
    entries: list[Entry]

    def children(self) -> Iterator[Node]:
        for entry in self.entries:
            yield entry.value


@dataclass(slots=True, eq=False)
class Macro:
    """How a node was written: ``target.name(variables…, arguments…)``."""

    name: str
    target: Node
    variables: tuple[str, ...]
    arguments: tuple[Node, ...]


@dataclass(slots=True, eq=False)
class Comprehension(Node):
    """A fold: `result` of the accumulator, after a `step` for each element as long as `condition` holds."""

    range: Node
    variables: tuple[str, ...]
    accumulator: str
    initial: Node
    condition: Node
    step: Node
    result: Node
    macro: Macro

    def children(self) -> Iterator[Node]:
        yield from (self.range, self.initial, self.condition, self.step, self.result)


def descend(node: Node) -> Iterator[Node]:
    """A node and all below it, parents first."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(current.children())


def qualified_name(node: Node) -> str | None:
    """``a.b.c``, if that is all the node is."""
    names: list[str] = []
    while isinstance(node, Select) and not node.test and not node.optional:
        names.append(node.field_name)
        node = node.operand
    if not isinstance(node, Ident):
        return None
    names.append(node.name)
    return ".".join(reversed(names))
