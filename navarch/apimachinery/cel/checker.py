"""Types of all parts of an expression, as cel-go infers them and in its words where there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.ast import (
    Call,
    Comprehension,
    Entry,
    Ident,
    ListNode,
    Literal,
    MapNode,
    MessageNode,
    Node,
    Select,
    qualified_name,
)
from navarch.apimachinery.cel.declarations import Overload
from navarch.apimachinery.cel.errors import CompileError, Issue, Source
from navarch.apimachinery.cel.types import BOOL, DYN, ERROR, Bindings, Type
from navarch.apimachinery.cel.values import type_of


@dataclass(frozen=True, slots=True)
class Declarations:
    """What names an expression may use."""

    variables: Mapping[str, Type]
    functions: Mapping[str, tuple[Overload, ...]]
    types: Mapping[str, Type]
    """Names that stand for types; those of objects can be made by ``Name{…}``."""


class Resolved(NamedTuple):
    """Which function a call is of: with its full name the target is no argument."""

    name: str
    overloads: tuple[Overload, ...]
    target: Node | None


@dataclass(slots=True)
class Checked:
    """A tree with the types of its nodes, which overloads its calls may be of, and what its names stand for."""

    root: Node
    types: dict[Node, Type] = field(default_factory=dict)
    calls: dict[Node, Resolved] = field(default_factory=dict)
    names: dict[Node, str] = field(default_factory=dict)
    """Of an identifier, or a selection that is a qualified name: the variable or type."""


def check(root: Node, text: str, declarations: Declarations) -> Checked:
    """Raises CompileError with all type errors."""
    checker = _Checker(root, text, declarations)
    checker.type_of(root)
    if checker.issues:
        raise CompileError(checker.issues, text)
    found = checker.checked
    for node, type_ in found.types.items():
        found.types[node] = checker.bindings.substitute(type_, to_dyn=True)
    return found


class _Checker:
    def __init__(self, root: Node, text: str, declarations: Declarations) -> None:
        self._source = Source(text)
        self._declarations = declarations
        self._scopes: list[dict[str, Type]] = []
        self.bindings = Bindings()
        self.checked = Checked(root)
        self.issues: list[Issue] = []

    def type_of(self, node: Node) -> Type:
        """Infer a node's type, and those of all nodes below it."""
        match node:
            case Literal():
                found = type_of(node.value)
            case Ident():
                found = self._ident(node)
            case Select():
                found = self._select(node)
            case Call():
                found = self._call(node)
            case ListNode():
                found = self._list(node)
            case MapNode():
                found = self._map(node)
            case MessageNode():
                found = self._message(node)
            case Comprehension():
                found = self._comprehension(node)
            case _:
                raise TypeError(node)
        self.checked.types[node] = found
        return found

    def _report(self, node: Node | Entry, message: str) -> None:
        self.issues.append(self._source.issue(node.offset, message))

    def _lookup(self, name: str) -> tuple[str, Type] | None:
        """What a name is of, innermost first."""
        if not name.startswith("."):
            for scope in reversed(self._scopes):
                if name in scope:
                    return name, scope[name]
        name = name.removeprefix(".")
        if name in self._declarations.variables:
            return name, self._declarations.variables[name]
        if name in self._declarations.types:
            return name, types.type_of_type(self._declarations.types[name])
        return None

    def _ident(self, node: Ident) -> Type:
        found = self._lookup(node.name)
        if found is None:
            self._undeclared(node, node.name)
            return ERROR
        self.checked.names[node] = found[0]
        return found[1]

    def _undeclared(self, node: Node, name: str) -> None:
        self._report(node, f"undeclared reference to '{name}' (in container '')")

    # Selections.

    def _select(self, node: Select) -> Type:
        name = qualified_name(node)
        found = self._lookup(name) if name is not None else None
        if found is not None:
            self.checked.names[node] = found[0]
            return found[1]
        result = self._field(node)
        return BOOL if node.test else result

    def _field(self, node: Select) -> Type:
        operand = self.bindings.substitute(self.type_of(node.operand))
        element = types.optional_element(operand)
        target = operand if element is None else element
        result = ERROR
        match target.kind:
            case "map":
                result = target.parameters[1]
            case "object":
                declared = target.find(node.field_name)
                if declared is not None:
                    result = declared.type
                else:
                    self._report(node, f"undefined field '{node.field_name}'")
            case "param":
                # Whatever it will stand for, it is not to be something that has no fields.
                self.bindings.assignable([DYN], [target])
                result = DYN
            case _:
                if target.kind not in ("dyn", "error"):
                    self._report(node, f"type '{target}' does not support field selection")
                result = DYN
        result = self.bindings.substitute(result)
        return types.optional_of(result) if element is not None or node.optional else result

    # Calls.

    def _call(self, node: Call) -> Type:
        arguments = [self.type_of(argument) for argument in node.arguments]
        target: Type | None = None
        name = node.function.removeprefix(".")
        functions = self._declarations.functions
        if node.target is not None:
            # ``a.b.c()`` may be a function of that name, and is then no method of ``a.b``.
            prefix = qualified_name(node.target)
            if prefix is not None and (full := f"{prefix.removeprefix('.')}.{name}") in functions:
                return self._resolve(node, full, None, None, arguments)
            target = self.type_of(node.target)
        if name not in functions:
            self._undeclared(node, node.function)
            return ERROR
        return self._resolve(node, name, node.target, target, arguments)

    def _resolve(self, node: Call, name: str, target: Node | None, target_type: Type | None, arguments: list[Type]) -> Type:
        if name in ("_&&_", "_||_"):
            return self._logic(node, name, arguments)
        given = arguments if target_type is None else [target_type, *arguments]
        result: Type | None = None
        fitting: list[Overload] = []
        for overload in self._declarations.functions[name]:
            if overload.member != (target is not None) or len(overload.parameters) != len(given):
                continue
            parameters, declared = self._instance(overload)
            if not self.bindings.assignable(given, parameters):
                continue
            fitting.append(overload)
            found = self.bindings.substitute(declared)
            if result is None:
                result = found
            elif result.kind != "dyn" and found != result:
                result = DYN
        if result is None:
            shown = types.signature((self.bindings.substitute(each, to_dyn=True) for each in given), target is not None)
            self._report(node, f"found no matching overload for '{name}' applied to '{shown}'")
            return ERROR
        self.checked.calls[node] = Resolved(name, tuple(fitting), target)
        return result

    def _logic(self, node: Call, name: str, arguments: list[Type]) -> Type:
        failed = False
        for argument, type_ in zip(node.arguments, arguments, strict=True):
            if not self.bindings.assignable([type_], [BOOL]):
                self._report(argument, f"expected type 'bool' but found '{self.bindings.substitute(type_, to_dyn=True)}'")
                failed = True
        if failed:
            return ERROR
        self.checked.calls[node] = Resolved(name, self._declarations.functions[name], None)
        return BOOL

    def _instance(self, overload: Overload) -> tuple[list[Type], Type]:
        """Parameters and result with type variables of their own."""
        if not overload.generic:
            return list(overload.parameters), overload.result
        fresh: dict[str, Type] = {}
        parameters = [self._renamed(parameter, fresh) for parameter in overload.parameters]
        return parameters, self._renamed(overload.result, fresh)

    def _renamed(self, type_: Type, fresh: dict[str, Type]) -> Type:
        if type_.kind == "param":
            return fresh.setdefault(type_.name, self.bindings.variable())
        if not type_.parameters:
            return type_
        return Type(type_.kind, type_.name, tuple(self._renamed(each, fresh) for each in type_.parameters))

    # Literals of lists, maps and messages.

    def _list(self, node: ListNode) -> Type:
        joined: Type | None = None
        for index, element in enumerate(node.elements):
            found = self.type_of(element)
            if index in node.optional:
                found = self._unwrapped(element, found)
            joined = self._joined(element, joined, found)
        return types.list_of(joined or self.bindings.variable())

    def _map(self, node: MapNode) -> Type:
        key: Type | None = None
        value: Type | None = None
        for entry in node.entries:
            assert isinstance(entry.key, Node)
            key = self._joined(entry.key, key, self.type_of(entry.key))
            found = self.type_of(entry.value)
            if entry.optional:
                found = self._unwrapped(entry.value, found)
            value = self._joined(entry.value, value, found)
        return types.map_of(key or self.bindings.variable(), value or self.bindings.variable())

    def _unwrapped(self, node: Node, found: Type) -> Type:
        element = types.optional_element(found)
        if element is not None:
            return element
        if found.kind not in ("dyn", "error"):
            self._report(node, f"expected type '{types.optional_of(found)}' but found '{found}'")
        return found

    def _joined(self, node: Node, previous: Type | None, current: Type) -> Type:
        if previous is None:
            return current
        if self.bindings.assignable([previous], [current]):
            return previous if types.less_specific(previous, current) else current
        # Kubernetes wants elements of one type. Those of ``format`` are dyn by the arguments' own type.
        return DYN

    def _message(self, node: MessageNode) -> Type:
        name = node.type_name.removeprefix(".")
        made = self._declarations.types.get(name)
        if made is None:
            if name in self._declarations.variables:
                self._report(node, f"'{self._declarations.variables[name]}' is not a type")
            else:
                self._undeclared(node, node.type_name)
            return ERROR
        if made.kind != "object":
            self._report(node, f"'{made}' is not a message type")
            return ERROR
        for entry in node.entries:
            value = self.type_of(entry.value)
            if entry.optional:
                value = self._unwrapped(entry.value, value)
            declared = made.find(str(entry.key))
            if declared is None:
                self._report(entry, f"undefined field '{entry.key}'")
            elif not self.bindings.assignable([declared.type], [value]):
                shown = self.bindings.substitute(value, to_dyn=True)
                self._report(entry, f"expected type of field '{entry.key}' is '{declared.type}' but provided type is '{shown}'")
        return made

    # Folds.

    def _comprehension(self, node: Comprehension) -> Type:
        range_type = self.bindings.substitute(self.type_of(node.range))
        accumulator = self.type_of(node.initial)
        variables = dict(zip(node.variables, self._elements(node, range_type), strict=False))
        self._scopes.append({node.accumulator: accumulator})
        self._scopes.append(variables)
        self._assert(node.condition, BOOL)
        self._assert(node.step, accumulator)
        self._scopes.pop()
        result = self.type_of(node.result)
        self._scopes.pop()
        return self.bindings.substitute(result)

    def _elements(self, node: Comprehension, range_type: Type) -> tuple[Type, ...]:
        """Of one variable: elements, or keys. Of two: indices and elements, or keys and values."""
        two = len(node.variables) == 2
        match range_type.kind:
            case "list":
                element = range_type.parameters[0]
                return (types.INT, element) if two else (element,)
            case "map":
                return range_type.parameters
            case "dyn" | "error" | "param":
                # Unbound, it must not become something that is no range.
                self.bindings.assignable([DYN], [range_type])
                return DYN, DYN
        message = f"expression of type '{range_type}' cannot be range of a comprehension (must be list, map, or dynamic)"
        self._report(node.range, message)
        return ERROR, ERROR

    def _assert(self, node: Node, wanted: Type) -> None:
        found = self.type_of(node)
        if not self.bindings.assignable([wanted], [found]):
            shown = [str(self.bindings.substitute(each, to_dyn=True)) for each in (wanted, found)]
            self._report(node, f"expected type '{shown[0]}' but found '{shown[1]}'")
