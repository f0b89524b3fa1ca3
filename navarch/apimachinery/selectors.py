"""Label and field selectors (k8s.io/apimachinery/pkg/labels and pkg/fields)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from navarch.apimachinery import names
from navarch.apimachinery.errors import Object

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}\Z", re.ASCII)


def _integer(text: str) -> int | None:
    """The 64-bit number that a text is, if it is one."""
    number = int(text) if _INTEGER.match(text) else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: str
    """``in``, ``notin``, ``exists``, ``!`` (does not exist), ``gt``, ``lt``."""
    values: tuple[str, ...] = ()
    sign: str = field(default="", compare=False)
    """How ``in`` and ``notin`` of one value were written down: ``=``, ``==`` or ``!=``."""

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
        number, limit = _integer(present or ""), _integer(self.values[0])
        if number is None or limit is None:
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
        if self.sign:
            return f"{self.key}{self.sign}{self.values[0]}"
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

_TOKEN = re.compile(r"[ \t\r\n]*(?:(==|!=|=|!|,|\(|\)|>|<)|([^ \t\r\n=!,()><]+))")
_SYMBOLS = frozenset(("==", "!=", "=", "!", ",", "(", ")", ">", "<", ""))
"""What is no identifier; "" is the end."""
_SIGNS = {"=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


class _Parser:
    """The grammar of label selectors in query strings."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        position, text = 0, text.rstrip(" \t\r\n")
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
        first = self.peek()
        if not first:
            return
        if first in _SYMBOLS and first != "!":
            raise ValueError(f"found '{first}', expected: !, identifier, or 'end of string'")
        while True:
            try:
                yield self.requirement()
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            token = self.next()
            if token == "":
                return
            if token != ",":
                raise ValueError(f"found '{token}', expected: ',' or 'end of string'")
            if self.peek() in _SYMBOLS and self.peek() != "!":
                raise ValueError(f"found '{self.peek()}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        negated = self.peek() == "!"
        if negated:
            self.next()
        key = self.next()
        if key in _SYMBOLS:
            raise ValueError(f"found '{key}', expected: identifier")
        problems = list(names.qualified_name(key))
        if problems:
            raise ValueError(f'<nil>: Invalid value: "{key}": {"; ".join(problems)}')
        if negated:
            return Requirement(key, "!")
        if self.peek() in ("", ","):
            return Requirement(key, "exists")
        operator = self.next()
        if operator in _SIGNS:
            sign = operator if operator in ("=", "==", "!=") else ""
            return _checked(Requirement(key, _SIGNS[operator], (self.exact_value(),), sign))
        if operator in ("in", "notin"):
            return _checked(Requirement(key, operator, self.value_list()))
        raise ValueError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def exact_value(self) -> str:
        if self.peek() in ("", ","):
            return ""
        token = self.next()
        if token in _SYMBOLS:
            raise ValueError(f"found '{token}', expected: identifier")
        return token

    def value_list(self) -> tuple[str, ...]:
        token = self.next()
        if token != "(":
            raise ValueError(f"found '{token}' expected: '('")
        token = self.peek()
        if token in _SYMBOLS and token not in (",", ")"):
            raise ValueError(f"found '{token}', expected: ',', ')' or identifier")
        values = {""} if token in (",", ")") else set()
        while (token := self.next()) != ")":
            follower = self.peek()
            if token == ",":
                if follower in (",", ")"):
                    values.add("")
                elif follower in _SYMBOLS:
                    raise ValueError(f"found '{follower}', expected: ',', or identifier")
            else:
                values.add(token)
                if follower not in (",", ")"):
                    raise ValueError(f"found '{follower}', expected: ',' or ')'")
        return tuple(sorted(values))


def _checked(requirement: Requirement) -> Requirement:
    """Raises ValueError."""
    problems = []
    for index, value in enumerate(requirement.values):
        if requirement.operator in ("gt", "lt") and _integer(value) is None:
            text = "for 'Gt', 'Lt' operators, the value must be an integer"
            problems.append(f'values[{index}]: Invalid value: "{value}": {text}')
    for index, value in enumerate(requirement.values):
        found = "; ".join(names.label_value(value))
        if found:
            problems.append(f'values[{index}][{requirement.key}]: Invalid value: "{value}": {found}')
    if problems:
        raise ValueError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    return requirement


def _sorted(requirements: Iterable[Requirement]) -> Selector:
    return Selector(tuple(sorted(requirements, key=lambda requirement: requirement.key)))


@lru_cache(maxsize=1024)
def parse(text: str) -> Selector:
    """A selector as query strings have it: ``app=web,tier in (a,b),!canary``. Raises ValueError."""
    return _sorted(_Parser(text).requirements())


def from_set(labels: Mapping[str, str] | None) -> Selector:
    """All of these labels; an empty or missing set matches everything."""
    return _sorted(Requirement(key, "in", (value,), "=") for key, value in (labels or {}).items())


def from_label_selector(selector: Object | None) -> Selector:
    """A `metav1.LabelSelector`: missing matches nothing, empty matches everything. Raises ValueError."""
    if selector is None:
        return NOTHING
    requirements = [Requirement(key, "in", (value,), "=") for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(expression["operator"])
        if operator is None:
            raise ValueError(f"{json_quoted(expression['operator'])} is not a valid label selector operator")
        requirements.append(Requirement(expression["key"], operator, tuple(expression.get("values") or ())))
    return _sorted(requirements)


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
            raise ValueError(f"invalid field selector: unescaped character in value: {ord(character)}")
        else:
            result += character
    if escaped:
        raise ValueError("invalid field selector: invalid escape sequence: \\")
    return result


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> tuple[FieldRequirement, ...]:
    """A field selector: ``spec.nodeName=a,status.phase!=Running``, its terms sorted. Raises ValueError."""
    requirements = []
    for term in sorted(_split_terms(text)):
        if not term:
            continue
        match = re.match(r"(.*?)(!=|==|=)(.*)\Z", term, re.DOTALL)
        if match is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
        requirements.append(FieldRequirement(match.group(1), _unescape(match.group(3)), match.group(2) != "!="))
    return tuple(requirements)
