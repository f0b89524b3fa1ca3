"""Label and field selectors (k8s.io/apimachinery/pkg/labels and pkg/fields)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from navarch.apimachinery import names
from navarch.apimachinery.errors import Object


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: str
    """``in``, ``notin``, ``exists``, ``!`` (does not exist), ``gt``, ``lt``."""
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        present = labels.get(self.key)
        match self.operator:
            case "in":
                return present is not None and present in self.values
            case "notin":
                return present is None or present not in self.values
            case "exists":
                return present is not None
            case "!":
                return present is None
        try:
            number, limit = int(present or ""), int(self.values[0])
        except ValueError:
            return False
        return number > limit if self.operator == "gt" else number < limit

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "gt":
                return f"{self.key}>{self.values[0]}"
            case "lt":
                return f"{self.key}<{self.values[0]}"
            case "in" if len(self.values) == 1:
                return f"{self.key}={self.values[0]}"
        return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that must all hold. No conditions: everything matches, unless it is `NOTHING`."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.nothing:
            return False
        for requirement in self.requirements:
            if requirement.operator == "in":
                # Nearly all are, and then there is no need to ask.
                if labels.get(requirement.key) not in requirement.values:
                    return False
            elif not requirement.matches(labels):
                return False
        return True

    @property
    def is_everything(self) -> bool:
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)

_TOKEN = re.compile(r"\s*(?:(==|!=|=|!|,|\(|\)|>|<)|([^\s=!,()><]+))")
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


class _Parser:
    """The grammar of label selectors in query strings."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        position, text = 0, text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            assert match is not None, "every character is a symbol, a space or part of a word"
            self.tokens.append(match.group(1) or match.group(2))
            position = match.end()
        self.position = 0

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def requirements(self) -> Iterator[Requirement]:
        if not self.tokens:
            return
        while True:
            yield self.requirement()
            token = self.next()
            if token == "":
                return
            if token != ",":
                raise ValueError(f"found '{token}', expected: ',' or 'end of string'")
            if self.peek() in ("", ","):
                raise ValueError(f"found '{self.peek()}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        negated = self.peek() == "!"
        if negated:
            self.next()
        key = self.next()
        if key in ("", ",", "(", ")", "=", "==", "!=", ">", "<", "!"):
            raise ValueError(f"found '{key}', expected: identifier")
        _check_key(key)
        if negated:
            return Requirement(key, "!")
        operator = self.peek()
        if operator in ("", ","):
            return Requirement(key, "exists")
        self.next()
        if operator in ("=", "=="):
            return _requirement(key, "in", (self.exact_value(),))
        if operator == "!=":
            return _requirement(key, "notin", (self.exact_value(),))
        if operator in (">", "<"):
            return _requirement(key, "gt" if operator == ">" else "lt", (self.exact_value(),))
        if operator in ("in", "notin"):
            return _requirement(key, operator, self.value_list())
        raise ValueError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def exact_value(self) -> str:
        token = self.peek()
        if token in ("", ","):
            return ""
        if token in ("(", ")", "=", "==", "!=", "!", ">", "<"):
            raise ValueError(f"found '{token}', expected: identifier")
        return self.next()

    def value_list(self) -> tuple[str, ...]:
        if self.next() != "(":
            raise ValueError(
                f"found '{self.tokens[self.position - 1] if self.position <= len(self.tokens) else ''}', expected: '('"
            )
        values: list[str] = []
        word = ""
        while True:
            token = self.next()
            if token in (",", ")"):
                values.append(word)
                word = ""
                if token == ")":
                    return tuple(sorted(set(values)))
            elif token == "" or token in ("(", "=", "==", "!=", "!", ">", "<") or word:
                raise ValueError(f"found '{token}', expected: ',', or ')'")
            else:
                word = token


def _check_key(key: str) -> None:
    problems = list(names.qualified_name(key))
    if problems:
        raise ValueError(f'key: Invalid value: "{key}": {"; ".join(problems)}')


def _requirement(key: str, operator: str, values: tuple[str, ...]) -> Requirement:
    for value in values:
        if operator in ("gt", "lt"):
            if not re.fullmatch(r"[+-]?[0-9]+", value):
                raise ValueError(
                    f"values[0]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
                )
            continue
        problems = list(names.label_value(value))
        if problems:
            raise ValueError(f'values[0][{key}]: Invalid value: "{value}": {"; ".join(problems)}')
    return Requirement(key, operator, values)


@lru_cache(maxsize=1024)
def parse(text: str) -> Selector:
    """A selector as query strings have it: ``app=web,tier in (a,b),!canary``. Raises ValueError."""
    return Selector(tuple(_Parser(text).requirements()))


def from_set(labels: Mapping[str, str] | None) -> Selector:
    """All of these labels; an empty or missing set matches everything."""
    return Selector(tuple(Requirement(key, "in", (value,)) for key, value in sorted((labels or {}).items())))


def from_label_selector(selector: Object | None) -> Selector:
    """A `metav1.LabelSelector`: missing matches nothing, empty matches everything. Raises ValueError."""
    if selector is None:
        return NOTHING
    requirements = [Requirement(key, "in", (value,)) for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(expression["operator"])
        if operator is None:
            raise ValueError(f"{json_quoted(expression['operator'])} is not a valid label selector operator")
        requirements.append(Requirement(expression["key"], operator, tuple(expression.get("values") or ())))
    return Selector(tuple(requirements))


def json_quoted(value: Any) -> str:
    return '"' + str(value).replace('"', '\\"') + '"'


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One field equal or not equal to one value."""

    field: str
    value: str
    equal: bool = True

    def __str__(self) -> str:
        return f"{self.field}{'=' if self.equal else '!='}{self.value}"


def _split_terms(text: str) -> Iterator[str]:
    term, escaped = "", False
    for character in text:
        if escaped:
            term += character
            escaped = False
        elif character == "\\":
            term += character
            escaped = True
        elif character == ",":
            yield term
            term = ""
        else:
            term += character
    yield term


def _unescape(text: str) -> str:
    result, escaped = "", False
    for character in text:
        if escaped:
            if character not in "\\,=":
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{character}")
            result += character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in ",=":
            raise ValueError(f"invalid field selector: unescaped character in value: {character}")
        else:
            result += character
    if escaped:
        raise ValueError("invalid field selector: invalid escape sequence: \\")
    return result


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> tuple[FieldRequirement, ...]:
    """A field selector: ``spec.nodeName=a,status.phase!=Running``. Raises ValueError."""
    requirements = []
    for term in _split_terms(text) if text else ():
        if not term:
            continue
        match = re.match(r"((?:[^\\=!]|\\.|!(?!=))*)(!=|==|=)(.*)\Z", term, re.DOTALL)
        if match is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
        requirements.append(FieldRequirement(match.group(1), _unescape(match.group(3)), match.group(2) != "!="))
    return tuple(requirements)
