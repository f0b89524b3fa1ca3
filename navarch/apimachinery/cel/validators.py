"""What a well-typed expression is still refused for: literals that cannot be durations, timestamps or patterns, and mixed
lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from navarch.apimachinery.cel import moments, types
from navarch.apimachinery.cel.ast import Call, ListNode, Literal, MapNode, Node
from navarch.apimachinery.cel.checker import Checked
from navarch.apimachinery.cel.errors import EvaluationError, Issue, Source
from navarch.apimachinery.cel.libraries import formatting
from navarch.apimachinery.cel.regular import compiled
from navarch.apimachinery.cel.types import Type

_EXEMPT = frozenset({"format"})


def validate(checked: Checked, text: str) -> list[Issue]:
    """All issues, in cel-go's words."""
    source = Source(text)
    found = [*_mixed(checked, source), *_formats(checked, source)]
    for name, check in _LITERALS.items():
        found.extend(_literals(checked, source, name, check))
    return found


def _pattern(text: str) -> None:
    try:
        compiled(text)
    except EvaluationError as error:
        raise ValueError(str(error)) from None


_LITERALS: dict[str, Callable[[str], object]] = {
    "duration": moments.parse_duration,
    "timestamp": moments.parse_timestamp,
    "matches": _pattern,
}


def _literals(checked: Checked, source: Source, name: str, check: Callable[[str], object]) -> Iterator[Issue]:
    for node in checked.calls:
        if not isinstance(node, Call) or checked.calls[node].name != name or not node.arguments:
            continue
        argument = node.arguments[0]
        if isinstance(argument, Literal) and isinstance(argument.value, str):
            try:
                check(argument.value)
            except ValueError:
                yield source.issue(argument.offset, f"invalid {name} argument")


def _formats(checked: Checked, source: Source) -> Iterator[Issue]:
    """Templates that are written out, with arguments that are."""
    for node, resolved in checked.calls.items():
        template = resolved.target
        if resolved.name != "format" or not isinstance(node, Call) or not isinstance(template, Literal):
            continue
        (arguments,) = node.arguments
        if isinstance(arguments, ListNode) and isinstance(template.value, str):
            wrong = formatting.type_error(template.value, [checked.types[element] for element in arguments.elements])
            if wrong is not None:
                index, message = wrong
                yield source.issue(node.offset if index is None else arguments.elements[index].offset, message)


def _mixed(checked: Checked, source: Source) -> Iterator[Issue]:
    """Elements of a list, keys or values of a map that are not of one type, but for arguments of ``format``."""
    pending: list[Node] = [checked.root]
    while pending:
        node = pending.pop()
        if isinstance(node, Call) and node.function in _EXEMPT:
            continue
        pending.extend(node.children())
        if isinstance(node, ListNode):
            yield from _first_mixed(
                checked, source, node.elements, [index in node.optional for index in range(len(node.elements))]
            )
        elif isinstance(node, MapNode):
            keys = [entry.key for entry in node.entries if isinstance(entry.key, Node)]
            yield from _all_mixed(checked, source, keys, [False] * len(keys))
            yield from _all_mixed(checked, source, [entry.value for entry in node.entries], [e.optional for e in node.entries])


def _all_mixed(checked: Checked, source: Source, nodes: list[Node], optional: list[bool]) -> Iterator[Issue]:
    expected: Type | None = None
    for node, is_optional in zip(nodes, optional, strict=True):
        found = checked.types[node]
        if is_optional:
            found = types.optional_element(found) or found
        if expected is None:
            expected = found
        elif expected != found:
            yield source.issue(node.offset, f"expected type '{expected}' but found '{found}'")


def _first_mixed(checked: Checked, source: Source, nodes: list[Node], optional: list[bool]) -> Iterator[Issue]:
    for issue in _all_mixed(checked, source, nodes, optional):
        yield issue
        return
