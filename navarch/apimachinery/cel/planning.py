"""A checked tree to a Python function: every node becomes a closure over those of its children.

What is known from types is decided here once: which function a call is of, whether a comparison can be Python's own, which
fields need converting. A plan takes a frame, a dict of variables, in which comprehensions keep theirs under names of their own.
A metered plan also charges what it does to the `Meter` in the frame.
"""

from __future__ import annotations

import operator
from typing import Any

from navarch.apimachinery.cel import closures, cost, folding, types
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
)
from navarch.apimachinery.cel.checker import Checked, Resolved
from navarch.apimachinery.cel.closures import Frame, Plan
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.libraries.conversions import shown
from navarch.apimachinery.cel.structural import within
from navarch.apimachinery.cel.types import Type

# Constructors whose results can be kept, where their arguments are literals.
_KEPT = frozenset({"duration", "timestamp", "quantity", "ip", "cidr", "semver", "url", "bytes"})
_RELATIONS = {"_<_": operator.lt, "_<=_": operator.le, "_>_": operator.gt, "_>=_": operator.ge}
_PLAIN = frozenset({"int", "uint", "double", "string", "bytes", "bool", "timestamp", "duration"})


def plan(checked: Checked, *, metered: bool) -> Plan:
    """A function of a frame that returns the value or raises EvaluationError."""
    return _Planner(checked, metered).plan(checked.root)


class _Planner:
    def __init__(self, checked: Checked, metered: bool) -> None:
        self._checked = checked
        self._metered = metered
        self._scopes: list[dict[str, str]] = []
        self._slots = 0

    def plan(self, node: Node) -> Plan:
        match node:
            case Literal(value=value):
                return lambda frame: value
            case Ident():
                return self._charged(1, self._ident(self._checked.names[node], self._checked.types[node]))
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListNode():
                return self._charged(cost.LIST_BASE, self._list(node))
            case MapNode():
                return self._charged(cost.MAP_BASE, self._map(node))
            case MessageNode():
                return self._charged(cost.MESSAGE_BASE, self._message(node))
            case Comprehension():
                return self._comprehension(node)
        raise TypeError(node)

    def _charged(self, amount: int, run: Plan) -> Plan:
        return closures.charged(amount, run) if self._metered else run

    # Variables and fields.

    def _ident(self, name: str, type_: Type) -> Plan:
        for scope in reversed(self._scopes):
            if name in scope:
                return operator.itemgetter(scope[name])
        if type_.kind == "type" and type_.parameters:
            return lambda frame: type_.parameters[0]
        return closures.variable(name, type_)

    def _select(self, node: Select) -> Plan:
        name = self._checked.names.get(node)
        if name is not None:
            return self._charged(1, self._ident(name, self._checked.types[node]))
        operand = self._checked.types[node.operand]
        target = types.optional_element(operand) or operand
        declared = target.find(node.field_name)
        key = declared.key if declared else node.field_name
        convert = declared.type.convert if declared else None
        if target is not operand or node.optional:
            return self._charged(1, closures.optional_field(self.plan(node.operand), key, convert))
        if node.test:
            return closures.presence(self.plan(node.operand), key)
        found = self._path(node, key)
        if convert is None:
            return found
        return lambda frame: convert(found(frame))

    def _path(self, node: Select, key: str) -> Plan:
        """A field; of a variable's field, or of that one's, in one step where nothing is converted on the way."""
        keys = [key]
        below = node.operand
        while isinstance(below, Select) and below not in self._checked.names and not below.test and not below.optional:
            outer = self._checked.types[below.operand]
            declared = outer.find(below.field_name)
            if self._checked.types[below].convert or outer.kind not in ("object", "map", "dyn"):
                return self._charged(1, closures.field(self.plan(node.operand), key))
            keys.append(declared.key if declared else below.field_name)
            below = below.operand
        if not isinstance(below, Ident) or self._checked.types[below].convert or self._checked.types[below].kind == "type":
            return self._charged(1, closures.field(self.plan(node.operand), key))
        name = self._checked.names[below]
        slot = next((scope[name] for scope in reversed(self._scopes) if name in scope), name)
        keys.reverse()
        return self._charged(len(keys) + 1, closures.quick_path(slot, keys, closures.careful_path(name, slot, keys)))

    # Calls.

    def _call(self, node: Call) -> Plan:
        resolved = self._checked.calls[node]
        arguments = node.arguments if resolved.target is None else [resolved.target, *node.arguments]
        match resolved.name:
            case "_&&_":
                return closures.conjunction(*map(self.plan, arguments))
            case "_||_":
                return closures.disjunction(*map(self.plan, arguments))
            case "_?_:_":
                return closures.choice(*map(self.plan, arguments))
            case "or" | "orValue":
                optional, other = map(self.plan, arguments)
                return self._charged(1, closures.fallback(optional, other, unwrap=resolved.name == "orValue"))
        special = None if self._metered else self._special(resolved, arguments)
        return special or self._general(resolved, arguments)

    def _general(self, resolved: Resolved, arguments: list[Node]) -> Plan:
        plans = [self.plan(argument) for argument in arguments]
        if resolved.name in ("_==_", "_!=_"):
            plans = [self._whole(argument, run) for argument, run in zip(arguments, plans, strict=True)]
        name, overloads = resolved.name, resolved.overloads
        if name in _RELATIONS and len(overloads) > 1:
            return self._charged(1, closures.relation(_RELATIONS[name], *plans))
        # Where all that may be meant is done by one function, that one looks at the values itself.
        same = len({overload.implementation for overload in overloads}) == 1 and name == "_[_]"
        if not same and (len(overloads) > 1 or not all(self._fits(arguments[index]) for index, _ in overloads[0].tests)):
            return closures.dispatch(name, overloads, plans, self._metered)
        if self._metered and not cost.is_nominal(name, overloads[0].id):
            return closures.charged_call(name, overloads[0], plans)
        return self._charged(1, closures.apply(overloads[0].implementation, plans))

    def _whole(self, node: Node, run: Plan) -> Plan:
        """An object with its fields converted, since it is compared by them."""
        type_ = self._checked.types[node]
        convert = None if isinstance(node, Literal | ListNode | MapNode) else within(type_)
        return run if convert is None else lambda frame: convert(run(frame))

    def _fits(self, node: Node) -> bool:
        """Whether the values of a node are surely of the type that was checked."""
        return self._checked.types[node].kind not in ("dyn", "null")

    def _special(self, resolved: Resolved, arguments: list[Node]) -> Plan | None:
        kinds = [self._checked.types[argument].kind for argument in arguments]
        name, last = resolved.name, arguments[-1] if arguments else None
        same = len(kinds) == 2 and kinds[0] == kinds[1] and kinds[0] in _PLAIN
        if name in ("_==_", "_!=_") and same:
            return closures.apply(operator.eq if name == "_==_" else operator.ne, [self.plan(each) for each in arguments])
        if name == "@in" and kinds[0] == "string" and isinstance(last, ListNode) and not last.optional:
            literals = [element.value for element in last.elements if isinstance(element, Literal)]
            if len(literals) == len(last.elements) and all(isinstance(literal, str) for literal in literals):
                known, element = frozenset(literals), self.plan(arguments[0])
                return lambda frame: element(frame) in known
        if name == "matches" and kinds[0] == "string" and isinstance(last, Literal):
            return closures.matching(self.plan(arguments[0]), last.value)
        if name in _KEPT and len(arguments) == 1 and isinstance(last, Literal) and len(resolved.overloads) == 1:
            return closures.kept(resolved.overloads[0], last.value)
        return None

    # Literals of lists, maps and messages.

    def _list(self, node: ListNode) -> Plan:
        plans = [self.plan(element) for element in node.elements]
        optional = node.optional
        if not optional:
            return lambda frame: [run(frame) for run in plans]

        def build(frame: Frame) -> list[Any]:
            found = []
            for index, run in enumerate(plans):
                value = run(frame)
                if index not in optional:
                    found.append(value)
                elif closures.given(value):
                    found.append(value.value)
            return found

        return build

    def _map(self, node: MapNode) -> Plan:
        parts = [(self._key(entry), self.plan(entry.value), entry.optional) for entry in node.entries]

        def build(frame: Frame) -> dict[Any, Any]:
            found: dict[Any, Any] = {}
            for read_key, run, optional in parts:
                key, value = read_key(frame), run(frame)
                if optional:
                    if not closures.given(value):
                        continue
                    value = value.value
                known = closures.hashable(key)
                if known in found:
                    raise EvaluationError(f"Failed with repeated key: {shown(key)}")
                found[known] = value
            return found

        return build

    def _key(self, entry: Entry) -> Plan:
        assert isinstance(entry.key, Node)
        return self.plan(entry.key)

    def _message(self, node: MessageNode) -> Plan:
        made = self._checked.types[node]
        found_fields = [(made.find(str(entry.key)), entry) for entry in node.entries]
        parts = [
            (field.key if field else str(entry.key), self.plan(entry.value), entry.optional) for field, entry in found_fields
        ]

        def build(frame: Frame) -> dict[str, Any]:
            found = {}
            for key, run, optional in parts:
                value = run(frame)
                if not optional:
                    found[key] = value
                elif closures.given(value):
                    found[key] = value.value
            return found

        return build

    # Comprehensions.

    def _comprehension(self, node: Comprehension) -> Plan:
        macro = node.macro
        if node.accumulator not in ("@result",):
            return self._binding(node)
        over = self.plan(node.range)
        slots = self._enter(node.variables)
        bodies = [self.plan(argument) for argument in macro.arguments]
        self._scopes.pop()
        steps = cost.STEPS[macro.name] if self._metered else None
        return folding.fold(macro.name, over, slots, bodies, steps)

    def _binding(self, node: Comprehension) -> Plan:
        value = self.plan(node.initial)
        (slot,) = self._enter((node.accumulator,))
        body = self.plan(node.result)
        self._scopes.pop()

        def bind(frame: Frame) -> Any:
            frame[slot] = value(frame)
            return body(frame)

        return bind

    def _enter(self, variables: tuple[str, ...]) -> tuple[str, ...]:
        """Names in the frame that no other variable has, since an inner one may have the same name."""
        self._slots += 1
        slots = tuple(f"{name}#{self._slots}" for name in variables)
        self._scopes.append(dict(zip(variables, slots, strict=True)))
        return slots
