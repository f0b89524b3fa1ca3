"""An evaluator as plain as can be, of what `expressions` makes: it walks the tree, and errors are values."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.cel.ast import Call, Comprehension, Ident, ListNode, Literal, Node


class Failed:
    """An error."""


FAILED = Failed()


def walk(node: Node, scope: dict[str, Any]) -> Any:
    match node:
        case Literal():
            return node.value
        case Ident():
            return scope[node.name]
        case ListNode():
            elements = [walk(element, scope) for element in node.elements]
            return FAILED if FAILED in elements else elements
        case Comprehension():
            return fold(node, scope)
        case Call():
            arguments = [walk(each, scope) for each in ([node.target] if node.target else []) + node.arguments]
            return call(node.function, arguments)
    raise TypeError(node)


def fold(node: Comprehension, scope: dict[str, Any]) -> Any:
    elements, total = walk(node.range, scope), walk(node.initial, scope)
    if elements is FAILED:
        return FAILED
    for element in elements:
        inner = {**scope, node.variables[0]: element, node.accumulator: total}
        if walk(node.condition, inner) is False:
            break
        total = walk(node.step, inner)
    return walk(node.result, {**scope, node.accumulator: total})


def call(function: str, arguments: list[Any]) -> Any:
    match function, arguments:
        case "_&&_", _:
            return False if False in [each is not False for each in arguments] else (FAILED if FAILED in arguments else True)
        case "_||_", _:
            return True if True in [each is True for each in arguments] else (FAILED if FAILED in arguments else False)
        case "@not_strictly_false", [value]:
            return value is not False
        case "_?_:_", [condition, first, second]:
            return FAILED if condition is FAILED else (first if condition else second)
    if FAILED in arguments:
        return FAILED
    match function, arguments:
        case "!_", [value]:
            return not value
        case "-_", [value]:
            return bounded(-value)
        case "size", [value]:
            return len(value)
        case "_[_]", [elements, position]:
            return elements[position] if 0 <= position < len(elements) else FAILED
        case "@in", [element, elements]:
            return element in elements
        case "_+_", [list() as first, second]:
            return first + second
        case "_+_", [first, second]:
            return bounded(first + second)
        case "_-_", [first, second]:
            return bounded(first - second)
        case "_*_", [first, second]:
            return bounded(first * second)
        case (("_/_" | "_%_"), [_, 0]):
            return FAILED
        case "_/_", [first, second]:
            return bounded(towards_zero(first, second))
        case "_%_", [first, second]:
            return first - second * towards_zero(first, second)
        case "_==_", [first, second]:
            return first == second
        case "_!=_", [first, second]:
            return first != second
        case "_<_", [first, second]:
            return first < second
        case "_<=_", [first, second]:
            return first <= second
        case "_>_", [first, second]:
            return first > second
        case "_>=_", [first, second]:
            return first >= second
    raise TypeError(function)


def towards_zero(first: int, second: int) -> int:
    quotient = abs(first) // abs(second)
    return quotient if (first < 0) == (second < 0) else -quotient


def bounded(value: int) -> Any:
    return value if -(2**63) <= value < 2**63 else FAILED
