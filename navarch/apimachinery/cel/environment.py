"""Where an expression is compiled: which variables and functions it may use. And what compiling makes: a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from navarch.apimachinery.cel import checker, cost, parser, planning, validators
from navarch.apimachinery.cel.ast import ACCUMULATOR, Call, Comprehension, Ident, Node, descend
from navarch.apimachinery.cel.checker import Checked, Declarations
from navarch.apimachinery.cel.closures import Plan
from navarch.apimachinery.cel.cost import PER_CALL_LIMIT, Meter
from navarch.apimachinery.cel.declarations import Library, Overload
from navarch.apimachinery.cel.errors import CompileError
from navarch.apimachinery.cel.estimation import estimate
from navarch.apimachinery.cel.libraries import (
    authorizer,
    formats,
    lists,
    network,
    optionals,
    quantities,
    regex,
    semver,
    standard,
    strings,
    urls,
)
from navarch.apimachinery.cel.ranges import Range
from navarch.apimachinery.cel.types import Type

KUBERNETES = (
    standard.LIBRARY,
    urls.LIBRARY,
    regex.LIBRARY,
    lists.LISTS,
    authorizer.LIBRARY,
    optionals.LIBRARY,
    quantities.LIBRARY,
    strings.LIBRARY,
    lists.SETS,
    network.IPS,
    network.CIDRS,
    formats.LIBRARY,
    semver.LIBRARY,
)
"""The libraries that all expressions in Kubernetes 1.36 have."""


ESTIMATE_MARGIN = 4
"""What is estimated at that part of a limit surely stays within it: estimates have comparing scalars of a schema for free."""


class Measured(NamedTuple):
    """A value and what it cost."""

    value: Any
    cost: int


class Program:
    """A compiled expression. It holds no state: many may evaluate it at once."""

    def __init__(self, text: str, checked: Checked) -> None:
        self.text = text
        self.type: Type = checked.types[checked.root]
        """Of its values."""
        self._checked = checked

    @property
    def root(self) -> Node:
        return self._checked.root

    def evaluate(self, activation: Mapping[str, Any], cost_limit: int = PER_CALL_LIMIT) -> Any:
        """The value for these variables, plain JSON or values. Raises EvaluationError; CostLimitError beyond the limit."""
        if not self._joins_lists and self.estimated_cost.max * ESTIMATE_MARGIN <= cost_limit:
            return self._quick(dict(activation))
        return self.measure(activation, cost_limit).value

    def measure(self, activation: Mapping[str, Any], cost_limit: int = PER_CALL_LIMIT) -> Measured:
        """The same, and what it cost, for those who share a budget among many expressions."""
        meter = Meter(cost_limit)
        return Measured(self.charge(activation, meter), meter.spent)

    def charge(self, activation: Mapping[str, Any], meter: Meter) -> Any:
        """The same, on a meter that tells the cost also where there is no value."""
        return self._metered({**activation, cost.METER: meter})

    @cached_property
    def estimated_cost(self) -> Range:
        """The least and most that an evaluation can cost, by what the schemas of its variables say about sizes."""
        return estimate(self._checked)

    @cached_property
    def _joins_lists(self) -> bool:
        """Whether it copies lists, for which estimates take nothing: these have to be counted."""
        return any(
            overload.id == "add_list" and not (isinstance(call := node, Call) and _accumulates(call))
            for node, resolved in self._checked.calls.items()
            for overload in resolved.overloads
        )

    @cached_property
    def _quick(self) -> Plan:
        return planning.plan(self._checked, metered=False)

    @cached_property
    def _metered(self) -> Plan:
        return planning.plan(self._checked, metered=True)

    @cached_property
    def uses(self) -> frozenset[str]:
        """The variables and types that it names, but for those of its own comprehensions."""
        own = {
            name
            for node in descend(self.root)
            if isinstance(node, Comprehension)
            for name in (*node.variables, node.accumulator)
        }
        return frozenset(self._checked.names.values()) - own


class _Either(Mapping[str, Type]):
    """What one mapping has, else another. The first may have more keys than it can list."""

    def __init__(self, first: Mapping[str, Type], second: Mapping[str, Type]) -> None:
        self._first, self._second = first, second

    def __getitem__(self, name: str) -> Type:
        found = self._first.get(name)
        return self._second[name] if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter({**self._second, **self._first})

    def __len__(self) -> int:
        return len({**self._second, **self._first})


def _accumulates(call: Call) -> bool:
    """The step of a macro, which is evaluated in another way."""
    first = call.arguments[0]
    return isinstance(first, Ident) and first.name == ACCUMULATOR


class Environment:
    """Variables by name and type, and libraries of functions.

    `types` are more names that stand for types: objects among them can be made by ``Name{field: value}``. With `bindings` there
    is ``cel.bind(name, value, expression)``.
    """

    def __init__(
        self,
        variables: Mapping[str, Type] | None = None,
        libraries: Sequence[Library] = KUBERNETES,
        types: Mapping[str, Type] | None = None,
        *,
        bindings: bool = False,
    ) -> None:
        functions: dict[str, tuple[Overload, ...]] = {}
        names: dict[str, Type] = {}
        for library in libraries:
            for name, overloads in library.functions.items():
                functions[name] = functions.get(name, ()) + overloads
            names.update(library.types)
        self._declarations = Declarations(dict(variables or {}), functions, names if types is None else _Either(types, names))
        self._bindings = bindings

    def extend(self, variables: Mapping[str, Type] | None = None, types: Mapping[str, Type] | None = None) -> Environment:
        """An environment with more variables and types."""
        found = Environment.__new__(Environment)
        known = self._declarations
        merged = known.types if types is None else _Either(types, known.types)
        found._declarations = Declarations({**known.variables, **(variables or {})}, known.functions, merged)
        found._bindings = self._bindings
        return found

    def compile(self, text: str, result: Sequence[Type] = ()) -> Program:
        """A program. Raises CompileError with all that is wrong.

        `result` are the types that its values may have; dyn is not enough for any other.
        """
        root = parser.parse(text, bindings=self._bindings)
        checked = checker.check(root, text, self._declarations)
        issues = validators.validate(checked, text)
        if issues:
            raise CompileError(issues, text)
        program = Program(text, checked)
        if result and program.type not in result:
            raise ResultTypeError(program.type, result)
        return program


class ResultTypeError(CompileError):
    """The expression is well-typed, but of another type than is needed."""

    def __init__(self, found: Type, wanted: Sequence[Type]) -> None:
        self.issues = []
        self.found = found
        one = f"one of [{' '.join(each.declared for each in wanted)}]" if len(wanted) > 1 else wanted[0].declared
        ValueError.__init__(self, f"must evaluate to {one} but got {found.declared}")
