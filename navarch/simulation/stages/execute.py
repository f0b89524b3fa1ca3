"""Makes text of a template's tree (gotemplate.py) and data, as Go's text/template does of JSON.

What a map does not have is nothing: it has no fields either, is false, and shown as ``<no value>``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from navarch.simulation.stages import functions as standard
from navarch.simulation.stages.functions import FunctionError, is_true
from navarch.simulation.stages.gotemplate import (
    Branch,
    Call,
    Dot,
    Expression,
    Include,
    Leave,
    Literal,
    Node,
    Path,
    Pipeline,
    Range,
    Show,
    Template,
    TemplateError,
    Text,
    Variable,
)

Function = Callable[..., Any]
TEXT_LIMIT = 1_000_000
INCLUDE_LIMIT = 50
_NOTHING = object()


def render(template: Template, data: Any, functions: Mapping[str, Function]) -> str:
    """The text. Raises TemplateError."""
    run = _Run(template, functions)
    run.nodes(template.body, data, [{"": data}])
    return "".join(run.parts)


class _Left(Exception):
    """A loop is left, or goes on with its next item."""

    def __init__(self, word: str) -> None:
        self.word = word


Scopes = list[dict[str, Any]]


class _Run:
    def __init__(self, template: Template, functions: Mapping[str, Function]) -> None:
        self.parts: list[str] = []
        self._size = 0
        self._template = template
        self._functions = functions
        self._depth = 0

    def nodes(self, nodes: tuple[Node, ...], dot: Any, scopes: Scopes) -> None:
        for node in nodes:
            self._node(node, dot, scopes)

    def _write(self, text: str, line: int) -> None:
        self._size += len(text)
        if self._size > TEXT_LIMIT:
            raise TemplateError(line, f"it makes more than {TEXT_LIMIT} characters")
        self.parts.append(text)

    def _node(self, node: Node, dot: Any, scopes: Scopes) -> None:
        match node:
            case Text(text):
                self._write(text, 1)
            case Show(pipeline):
                value = self._pipeline(pipeline, dot, scopes)
                if pipeline.variable is None:
                    self._write(standard.shown(value), pipeline.line)
            case Branch(pipeline, body, otherwise, sets_dot):
                inner = [*scopes, {}]
                value = self._pipeline(pipeline, dot, inner)
                if is_true(value):
                    self.nodes(body, value if sets_dot else dot, [*inner, {}])
                else:
                    self.nodes(otherwise, dot, [*inner, {}])
            case Range():
                self._range(node, dot, scopes)
            case Include(name, pipeline, line):
                self._include(name, pipeline, line, dot, scopes)
            case Leave(word):
                raise _Left(word)

    def _range(self, node: Range, dot: Any, scopes: Scopes) -> None:
        value = self._pipeline(node.pipeline, dot, [*scopes, {}])
        is_empty = True
        for key, item in _entries(value, node.pipeline.line):
            is_empty = False
            scope: dict[str, Any] = {}
            inner = [*scopes, scope]
            for name, said in ((node.key, key), (node.item, item)):
                if name is not None and node.declares:
                    scope[name] = said
                elif name is not None:
                    _assign(inner, name, said)
            try:
                self.nodes(node.body, item, inner)
            except _Left as left:
                if left.word == "break":
                    break
        if is_empty:
            self.nodes(node.otherwise, dot, [*scopes, {}])

    def _include(self, name: str, pipeline: Pipeline | None, line: int, dot: Any, scopes: Scopes) -> None:
        body = self._template.defined.get(name)
        if body is None:
            raise TemplateError(line, f"template {name!r} not defined")
        self._depth += 1
        if self._depth > INCLUDE_LIMIT:
            raise TemplateError(line, f"templates include each other more than {INCLUDE_LIMIT} deep")
        data = self._pipeline(pipeline, dot, scopes) if pipeline is not None else None
        self.nodes(body, data, [{"": data}])
        self._depth -= 1

    # Values

    def _pipeline(self, pipeline: Pipeline, dot: Any, scopes: Scopes) -> Any:
        value: Any = _NOTHING
        for command in pipeline.commands:
            value = self._value(command, dot, scopes, value)
        if pipeline.variable is not None:
            if pipeline.declares:
                scopes[-1][pipeline.variable] = value
            else:
                _assign(scopes, pipeline.variable, value)
        return value

    def _value(self, expression: Expression, dot: Any, scopes: Scopes, last: Any = _NOTHING) -> Any:
        match expression:
            case Literal(value):
                return value
            case Dot():
                return dot
            case Variable(name):
                return next(scope[name] for scope in reversed(scopes) if name in scope)
            case Path(base, fields, line):
                value = self._value(base, dot, scopes)
                for field in fields:
                    value = _field(value, field, line)
                return value
            case Call(name, arguments, line):
                return self._call(name, arguments, line, dot, scopes, last)
            case Pipeline():
                return self._pipeline(expression, dot, scopes)

    def _call(self, name: str, arguments: tuple[Expression, ...], line: int, dot: Any, scopes: Scopes, last: Any) -> Any:
        more = () if last is _NOTHING else (last,)
        if name in ("and", "or"):
            # What comes after the value that decides is not looked at.
            value: Any = None
            values: Iterator[Any] = (self._value(argument, dot, scopes) for argument in arguments)
            for value in (*values, *more) if more else values:
                if is_true(value) is (name == "or"):
                    break
            return value
        values_ = [self._value(argument, dot, scopes) for argument in arguments]
        try:
            return self._functions[name](*values_, *more)
        except FunctionError as error:
            raise TemplateError(line, f"{name}: {error}") from None
        except (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError) as error:
            raise TemplateError(line, f"{name}: it takes other arguments: {error}") from None


def _assign(scopes: Scopes, name: str, value: Any) -> None:
    for scope in reversed(scopes):
        if name in scope:
            scope[name] = value
            return


def _field(value: Any, name: str, line: int) -> Any:
    if value is None:
        return None
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Numbers of JSON are objects with methods in Go.
        conversions: dict[str, Callable[[Any], Any]] = {"Int64": int, "Float64": float, "String": standard.shown}
        if name in conversions:
            return conversions[name](value)
    raise TemplateError(line, f"can't evaluate field {name} in {standard.type_name(value)}")


def _entries(value: Any, line: int) -> Iterator[tuple[Any, Any]]:
    if value is None:
        return
    if isinstance(value, dict):
        for key in sorted(value):
            yield key, value[key]
    elif isinstance(value, list):
        yield from enumerate(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        if value > TEXT_LIMIT:
            raise TemplateError(line, f"range goes over more than {TEXT_LIMIT}")
        yield from ((number, number) for number in range(value))
    else:
        raise TemplateError(line, f"range can't iterate over {standard.shown(value)}")
