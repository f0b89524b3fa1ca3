"""Go's text/template, read: what a template says as a tree. execute.py makes text of it.

All of the language's actions are read but `block`; what is no template, and a function that nobody knows, is refused with its
line.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

LENGTH_LIMIT = 100_000
DEPTH_LIMIT = 50
_LEFT = re.compile(r"\{\{(?P<trim>-[ \t\r\n])?")
_COMMENT = re.compile(r"\s*/\*.*?\*/\s*(?P<trim>-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
    (?P<end>(?:(?<=[ \t\r\n])-)?\}\})
    |(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))
    |(?P<variable>\$[A-Za-z0-9_]*)
    |(?P<field>\.[A-Za-z_][A-Za-z0-9_]*)
    |(?P<dot>\.)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>:=|[=|(),])
    )""",
    re.VERBOSE,
)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", '"': '"', "\\": "\\"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
_CONSTANTS = {"true": True, "false": False, "nil": None}


class TemplateError(ValueError):
    """What is no template, or cannot be carried out; `line` counts the template's lines from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


# The tree


@dataclass(frozen=True, slots=True)
class Literal:
    value: object


@dataclass(frozen=True, slots=True)
class Variable:
    """``$name``; ``$`` is named ""."""

    name: str


@dataclass(frozen=True, slots=True)
class Dot:
    """What is looked at."""


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments."""

    name: str
    arguments: tuple[Expression, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Path:
    """Fields of something."""

    base: Expression
    fields: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Each command's value is the next one's last argument. It may set a variable."""

    commands: tuple[Expression, ...]
    variable: str | None = None
    declares: bool = False
    line: int = 0


Expression = Literal | Variable | Dot | Call | Path | Pipeline


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Show:
    """A pipeline whose value is text, unless it sets a variable."""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Branch:
    """``if`` and ``with``."""

    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]
    sets_dot: bool


@dataclass(frozen=True, slots=True)
class Range:
    pipeline: Pipeline
    key: str | None
    item: str | None
    declares: bool
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Include:
    """``template "name" pipeline``"""

    name: str
    pipeline: Pipeline | None
    line: int


@dataclass(frozen=True, slots=True)
class Leave:
    """``break`` and ``continue``."""

    word: str


Node = Text | Show | Branch | Range | Include | Leave


@dataclass(frozen=True, slots=True)
class Template:
    """A whole one, with those that are defined in it."""

    body: tuple[Node, ...]
    defined: dict[str, tuple[Node, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


def parse(text: str, functions: Collection[str]) -> Template:
    """The tree of a template whose functions are among those. Raises TemplateError."""
    if len(text) > LENGTH_LIMIT:
        raise TemplateError(1, f"it is longer than {LENGTH_LIMIT} characters")
    parser = _Parser(_tokens(text), functions)
    return parser.template()


def _tokens(text: str) -> list[_Token]:
    """Text, and what stands in actions; an action ends with a token ``end``."""
    found: list[_Token] = []
    at, line, trims = 0, 1, False

    def take(kind: str, part: str) -> None:
        nonlocal line
        found.append(_Token(kind, part, line))

    while True:
        left = _LEFT.search(text, at)
        raw = text[at : left.start() if left is not None else len(text)]
        shown = raw.lstrip(" \t\r\n") if trims else raw
        if left is not None and left["trim"]:
            shown = shown.rstrip(" \t\r\n")
        if shown:
            take("text", shown)
        line += raw.count("\n")
        if left is None:
            return found
        at = left.end()
        line += left[0].count("\n")
        comment = _COMMENT.match(text, at)
        if comment is not None:
            at, trims = comment.end(), bool(comment["trim"])
            line += comment[0].count("\n")
            continue
        while True:
            token = _TOKEN.match(text, at)
            if token is None or token.lastgroup is None:
                what = text[at:].lstrip()[:1]
                raise TemplateError(line, f"unexpected {what!r} in an action" if what else "an action is not closed")
            kind, blank = token.lastgroup, token.start(token.lastgroup) - token.start()
            line += text[at : at + blank].count("\n")
            # Whether there is a space before it tells `$x .y` from `$x.y`.
            if blank and found and kind in ("field", "dot"):
                take("space", "")
            take(kind, token[kind])
            line += token[kind].count("\n")
            at = token.end()
            if kind == "end":
                trims = token[kind].startswith("-")
                break


class _Parser:
    """Goes through the tokens once."""

    def __init__(self, tokens: list[_Token], functions: Collection[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._functions = functions
        self._depth = self._loops = 0
        self._defined: dict[str, tuple[Node, ...]] = {}
        self._scopes: list[set[str]] = [{""}]

    def template(self) -> Template:
        body, last = self._body()
        if last is not None:
            raise TemplateError(last.line, f"unexpected {{{{{last.text}}}}}")
        return Template(body, self._defined)

    def _peek(self) -> _Token:
        if self._at >= len(self._tokens):
            return _Token("nothing", "", self._tokens[-1].line if self._tokens else 1)
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _skip_space(self) -> None:
        if self._peek().kind == "space":
            self._next()

    def _end(self, what: str) -> None:
        self._skip_space()
        token = self._next()
        if token.kind != "end":
            raise TemplateError(token.line, f"unexpected {token.text!r} in {what}")

    def _body(self) -> tuple[tuple[Node, ...], _Token | None]:
        """Until an ``end`` or ``else``, which is returned, or there is no more."""
        nodes: list[Node] = []
        while (token := self._peek()).kind != "nothing":
            if token.kind == "text":
                nodes.append(Text(self._next().text))
            elif token.kind == "word" and token.text in ("end", "else"):
                return tuple(nodes), self._next()
            else:
                node = self._action()
                if node is not None:
                    nodes.append(node)
        return tuple(nodes), None

    def _action(self) -> Node | None:
        token = self._peek()
        if token.kind == "word" and token.text in ("if", "with", "range", "define", "template", "break", "continue", "block"):
            self._next()
            self._depth += 1
            if self._depth > DEPTH_LIMIT:
                raise TemplateError(token.line, f"it is nested deeper than {DEPTH_LIMIT}")
            found = self._keyword(token)
            self._depth -= 1
            return found
        found_pipeline = self._pipeline("an action")
        self._end("an action")
        return Show(found_pipeline)

    def _keyword(self, token: _Token) -> Node | None:
        match token.text:
            case "if" | "with":
                return self._branch(token, sets_dot=token.text == "with")
            case "range":
                return self._range(token)
            case "define":
                self._define(token)
                return None
            case "template":
                return self._include(token)
            case "break" | "continue":
                self._end(token.text)
                if not self._loops:
                    raise TemplateError(token.line, f"{{{{{token.text}}}}} outside {{{{range}}}}")
                return Leave(token.text)
        raise TemplateError(token.line, f"{{{{{token.text}}}}} is not supported")

    def _branch(self, token: _Token, *, sets_dot: bool) -> Branch:
        self._scopes.append(set())
        pipeline = self._pipeline(token.text)
        self._end(token.text)
        self._scopes.append(set())
        body, last = self._body()
        self._scopes.pop()
        otherwise: tuple[Node, ...] = ()
        if last is not None and last.text == "else":
            self._skip_space()
            if self._peek().kind == "word" and self._peek().text in ("if", "with"):
                # `else if` needs no end of its own.
                again = self._next()
                otherwise, last = (self._branch(again, sets_dot=again.text == "with"),), None
                self._scopes.pop()
                return Branch(pipeline, body, otherwise, sets_dot)
            self._end("else")
            self._scopes.append(set())
            otherwise, last = self._body()
            self._scopes.pop()
        self._closed(token, last)
        self._scopes.pop()
        return Branch(pipeline, body, otherwise, sets_dot)

    def _range(self, token: _Token) -> Range:
        self._scopes.append(set())
        names: list[str] = []
        declares = False
        mark = self._at
        while self._peek().kind == "variable" and len(names) < 2:
            names.append(self._next().text[1:])
            if self._peek().kind == "sign" and self._peek().text == ",":
                self._next()
            else:
                break
        if names and self._peek().kind == "sign" and self._peek().text in (":=", "="):
            declares = self._next().text == ":="
            if declares:
                self._scopes[-1].update(names)
        else:
            names, self._at = [], mark
        pipeline = self._pipeline("range")
        self._end("range")
        self._loops += 1
        body, last = self._body()
        self._loops -= 1
        otherwise: tuple[Node, ...] = ()
        if last is not None and last.text == "else":
            self._end("else")
            otherwise, last = self._body()
        self._closed(token, last)
        self._scopes.pop()
        key, item = (None, None) if not names else (None, names[0]) if len(names) == 1 else (names[0], names[1])
        return Range(pipeline, key, item, declares, body, otherwise)

    def _closed(self, token: _Token, last: _Token | None) -> None:
        if last is None:
            raise TemplateError(token.line, f"{{{{{token.text}}}}} has no {{{{end}}}}")
        if last.text == "else":
            raise TemplateError(last.line, f"a second {{{{else}}}} of {{{{{token.text}}}}}")
        self._end("end")

    def _define(self, token: _Token) -> None:
        name = self._next()
        if name.kind != "string":
            raise TemplateError(name.line, "a template's name is a string")
        self._end("define")
        # What is defined sees no variable from around it.
        scopes, self._scopes = self._scopes, [{""}]
        loops, self._loops = self._loops, 0
        body, last = self._body()
        self._scopes, self._loops = scopes, loops
        self._closed(token, last)
        self._defined[unquote(name.text, name.line)] = body

    def _include(self, token: _Token) -> Include:
        name = self._next()
        if name.kind != "string":
            raise TemplateError(name.line, "a template's name is a string")
        self._skip_space()
        pipeline = None if self._peek().kind == "end" else self._pipeline("template")
        self._end("template")
        return Include(unquote(name.text, name.line), pipeline, token.line)

    # Expressions

    def _pipeline(self, where: str) -> Pipeline:
        self._skip_space()
        line, mark = self._peek().line, self._at
        variable: str | None = None
        declares = False
        if self._peek().kind == "variable":
            name = self._next().text[1:]
            if self._peek().kind == "sign" and self._peek().text in (":=", "="):
                variable, declares = name, self._next().text == ":="
            else:
                self._at = mark
        commands = [self._command(where)]
        while self._peek().kind == "sign" and self._peek().text == "|":
            self._next()
            commands.append(self._command(where))
            if not isinstance(commands[-1], Call):
                raise TemplateError(line, "what a pipe leads to should be a function")
        if variable is not None:
            if declares:
                self._scopes[-1].add(variable)
            elif not any(variable in scope for scope in self._scopes):
                raise TemplateError(line, f"undefined variable ${variable}")
        return Pipeline(tuple(commands), variable, declares, line)

    def _command(self, where: str) -> Expression:
        self._skip_space()
        token = self._peek()
        operands: list[Expression] = []
        name = ""
        if token.kind == "word" and token.text not in _CONSTANTS:
            name = self._next().text
            if name not in self._functions:
                raise TemplateError(token.line, f"function {name!r} is not defined")
        while (operand := self._operand()) is not None:
            operands.append(operand)
        if name:
            return Call(name, tuple(operands), token.line)
        if not operands:
            at = self._peek()
            raise TemplateError(
                at.line, f"missing value for {where}" if at.kind == "end" else f"unexpected {at.text!r} in {where}"
            )
        if len(operands) > 1:
            raise TemplateError(token.line, "what takes arguments should be a function")
        return operands[0]

    def _operand(self) -> Expression | None:
        self._skip_space()
        token = self._peek()
        base: Expression
        match token.kind:
            case "string":
                base = Literal(unquote(self._next().text, token.line))
            case "number":
                base = Literal(_number(self._next().text))
            case "variable":
                name = self._next().text[1:]
                if not any(name in scope for scope in self._scopes):
                    raise TemplateError(token.line, f"undefined variable ${name}")
                base = Variable(name)
            case "dot":
                self._next()
                base = Dot()
            case "field":
                base = Dot()
            case "word" if token.text in _CONSTANTS:
                base = Literal(_CONSTANTS[self._next().text])
            case "word":
                self._next()
                if token.text not in self._functions:
                    raise TemplateError(token.line, f"function {token.text!r} is not defined")
                return Call(token.text, (), token.line)
            case "sign" if token.text == "(":
                self._next()
                base = self._parenthesis(token)
            case _:
                return None
        fields: list[str] = []
        while self._peek().kind == "field":
            fields.append(self._next().text[1:])
        return Path(base, tuple(fields), token.line) if fields else base

    def _parenthesis(self, token: _Token) -> Expression:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise TemplateError(token.line, f"it is nested deeper than {DEPTH_LIMIT}")
        base = self._pipeline("a parenthesis")
        self._skip_space()
        closing = self._next()
        if closing.text != ")":
            raise TemplateError(closing.line, f"unexpected {closing.text!r} in a parenthesis")
        self._depth -= 1
        return base


def unquote(text: str, line: int) -> str:
    """The string that a Go literal says."""
    if text.startswith("`"):
        return text[1:-1]

    def character(found: re.Match[str]) -> str:
        for said in (found[1], found[2], found[3]):
            if said:
                return chr(int(said, 16))
        if found[4] not in _SIMPLE:
            raise TemplateError(line, f"\\{found[4]} in a string is not supported")
        return _SIMPLE[found[4]]

    return _ESCAPE.sub(character, text[1:-1])


def _number(text: str) -> int | float:
    if text.lower().lstrip("+-").startswith("0x"):
        return int(text, 16)
    return float(text) if any(mark in text for mark in ".eE") else int(text)
