"""Macros: calls that stand for a fold over a range, for a test of presence, or for a binding of a name.

``has``; ``all``, ``exists``, ``exists_one``, ``map``, ``filter`` with one variable; ``all``, ``exists``, ``existsOne``,
``transformList``, ``transformMap``, ``transformMapEntry`` with two (index and element, or key and value); ``optMap`` and
``optFlatMap`` of optionals.
"""

from __future__ import annotations

from navarch.apimachinery.cel.ast import (
    ACCUMULATOR,
    Call,
    Comprehension,
    Ident,
    ListNode,
    Literal,
    Macro,
    MapNode,
    Node,
    Select,
)

_ONE_VARIABLE = {("all", 2), ("exists", 2), ("exists_one", 2), ("existsOne", 2), ("map", 2), ("map", 3), ("filter", 2)}
_TWO_VARIABLES = {
    *((name, 3) for name in ("all", "exists", "exists_one", "existsOne", "transformList", "transformMap", "transformMapEntry")),
    *((name, 4) for name in ("transformList", "transformMap", "transformMapEntry")),
}
_OPTIONAL = {("optMap", 2), ("optFlatMap", 2)}
MAP_INSERT = "cel.@mapInsert"
NOT_STRICTLY_FALSE = "@not_strictly_false"


class MacroError(ValueError):
    """The arguments are not of the macro's form."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


def expand(offset: int, function: str, target: Node | None, arguments: list[Node], *, bindings: bool) -> Node | None:
    """What a call stands for; None if it is no macro. With `bindings`, ``cel.bind`` is one. Raises MacroError."""
    if target is None:
        return _has(arguments[0]) if function == "has" and len(arguments) == 1 else None
    form = (function, len(arguments))
    if form in _ONE_VARIABLE:
        return _fold(offset, function, target, _variables(arguments[:1]), arguments[1:])
    if form in _TWO_VARIABLES:
        return _fold(offset, function, target, _variables(arguments[:2]), arguments[2:])
    if bindings and form == ("bind", 3) and isinstance(target, Ident) and target.name == "cel":
        return _bind(offset, target, _variables(arguments[:1]), arguments[1:])
    if form in _OPTIONAL:
        return _optional(offset, function, target, _variables(arguments[:1]), arguments[1])
    return None


def _has(argument: Node) -> Node:
    if not isinstance(argument, Select) or argument.test or argument.optional:
        raise MacroError(argument.offset, "invalid argument to has() macro")
    return Select(argument.offset, argument.operand, argument.field_name, test=True)


def _variables(arguments: list[Node]) -> tuple[str, ...]:
    names: list[str] = []
    for argument in arguments:
        if not isinstance(argument, Ident) or argument.name.startswith("."):
            raise MacroError(argument.offset, "argument must be a simple name")
        if argument.name in names:
            raise MacroError(argument.offset, f"duplicate variable name: {argument.name}")
        names.append(argument.name)
    return tuple(names)


def _fold(offset: int, name: str, target: Node, variables: tuple[str, ...], arguments: list[Node]) -> Node:
    def call(function: str, *operands: Node) -> Node:
        return Call(offset, function, None, list(operands))

    result: Node = Ident(offset, ACCUMULATOR)
    condition: Node = Literal(offset, True)
    last = arguments[-1]
    match name:
        case "all":
            initial: Node = Literal(offset, True)
            condition, step = call(NOT_STRICTLY_FALSE, result), call("_&&_", result, last)
        case "exists":
            initial = Literal(offset, False)
            condition, step = call(NOT_STRICTLY_FALSE, call("!_", result)), call("_||_", result, last)
        case "exists_one" | "existsOne":
            initial = Literal(offset, 0)
            step = call("_?_:_", last, call("_+_", result, Literal(offset, 1)), result)
            result = call("_==_", result, Literal(offset, 1))
        case "filter":
            initial = ListNode(offset, [])
            element = Ident(offset, variables[0])
            step = call("_?_:_", last, call("_+_", result, ListNode(offset, [element])), result)
        case "transformMap" | "transformMapEntry":
            initial = MapNode(offset, [])
            keys = [Ident(offset, variables[0])] if name == "transformMap" else []
            step = call(MAP_INSERT, result, *keys, last)
        case _:
            initial = ListNode(offset, [])
            step = call("_+_", result, ListNode(offset, [last]))
    if len(arguments) == 2:
        step = call("_?_:_", arguments[0], step, result)
    macro = Macro(name, target, variables, tuple(arguments))
    return Comprehension(offset, target, variables, ACCUMULATOR, initial, condition, step, result, macro)


def _bind(offset: int, target: Node, variables: tuple[str, ...], arguments: list[Node]) -> Comprehension:
    """A binding is a fold over nothing, whose accumulator is what is bound."""
    nothing, never = ListNode(offset, []), Literal(offset, False)
    (variable,) = variables
    value, body = arguments
    macro = Macro("bind", target, variables, tuple(arguments))
    return Comprehension(offset, nothing, ("#unused",), variable, value, never, Ident(offset, variable), body, macro)


def _optional(offset: int, name: str, target: Node, variables: tuple[str, ...], body: Node) -> Node:
    macro = Macro(name, target, variables, (body,))
    bound: Node = _bind(offset, target, variables, [Call(offset, "value", target, []), body])
    if name == "optMap":
        bound = Call(offset, "optional.of", None, [bound])
    none = Call(offset, "optional.none", None, [])
    return Call(offset, "_?_:_", None, [Call(offset, "hasValue", target, []), bound, none], macro)
