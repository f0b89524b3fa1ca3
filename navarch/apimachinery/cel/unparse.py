"""A tree as text that parses to the same tree."""

from __future__ import annotations

import math
from typing import Any

from navarch.apimachinery.cel.ast import (
    Call,
    Comprehension,
    Entry,
    Ident,
    ListNode,
    Literal,
    Macro,
    MapNode,
    MessageNode,
    Node,
    Select,
)
from navarch.apimachinery.cel.values import UInt

_BINARY = {f"_{sign}_": sign for sign in ("||", "&&", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%")} | {
    "@in": "in"
}
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def unparse(node: Node) -> str:
    """The expression; operands of operators are in parentheses wherever they are operators themselves."""
    match node:
        case Literal(value=value):
            return literal(value)
        case Ident(name=name):
            return name
        case Select(operand=operand, field_name=field, test=test, optional=optional):
            text = f"{_operand(operand)}.{'?' if optional else ''}{_field(field)}"
            return f"has({text})" if test else text
        case ListNode(elements=elements, optional=optional_elements):
            shown = (("?" if index in optional_elements else "") + unparse(each) for index, each in enumerate(elements))
            return f"[{', '.join(shown)}]"
        case MapNode(entries=entries):
            return f"{{{_entries(entries)}}}"
        case MessageNode(type_name=type_name, entries=entries):
            return f"{type_name}{{{_entries(entries)}}}"
        case Comprehension(macro=macro) | Call(macro=Macro() as macro):
            arguments = [*macro.variables, *map(unparse, macro.arguments)]
            return f"{_operand(macro.target)}.{macro.name}({', '.join(arguments)})"
        case Call():
            return _call(node)
    raise TypeError(node)


def _call(node: Call) -> str:
    function, arguments = node.function, node.arguments
    if function in _BINARY:
        return f"{_operand(arguments[0])} {_BINARY[function]} {_operand(arguments[1])}"
    if function == "_?_:_":
        return " ".join((_operand(arguments[0]), "?", _operand(arguments[1]), ":", _operand(arguments[2])))
    if function in ("!_", "-_"):
        return f"{function[0]}({unparse(arguments[0])})"
    if function in ("_[_]", "_[?_]"):
        return f"{_operand(arguments[0])}[{'?' if '?' in function else ''}{unparse(arguments[1])}]"
    shown = ", ".join(map(unparse, arguments))
    return f"{_operand(node.target)}.{function}({shown})" if node.target is not None else f"{function}({shown})"


def _operand(node: Node) -> str:
    text = unparse(node)
    if isinstance(node, Call) and node.macro is None and (node.function in _BINARY or node.function in ("_?_:_", "!_", "-_")):
        return f"({text})"
    return f"({text})" if isinstance(node, Literal) and text.startswith("-") else text


def _entries(entries: list[Entry]) -> str:
    shown = []
    for entry in entries:
        key = unparse(entry.key) if isinstance(entry.key, Node) else _field(entry.key)
        shown.append(f"{'?' if entry.optional else ''}{key}: {unparse(entry.value)}")
    return ", ".join(shown)


def _field(name: str) -> str:
    return name if name.isidentifier() and name.isascii() and name not in ("in", "true", "false", "null") else f"`{name}`"


def literal(value: Any) -> str:
    """A scalar as it is written."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return '"' + "".join(_ESCAPES.get(letter) or _printable(letter) for letter in value) + '"'
    if isinstance(value, bytes):
        return 'b"' + "".join(f"\\{byte:03o}" for byte in value) + '"'
    if isinstance(value, float) and math.isfinite(value):
        text = repr(value)
        return text if "." in text or "e" in text else f"{text}.0"
    return f"{value}u" if isinstance(value, UInt) else str(value)


def _printable(letter: str) -> str:
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"
