"""The part of jq that Stage files use: paths, pipes, `select`, comparisons, a few functions. The rest is refused when
it is read.

A program is compiled to a function from a value to the values that it yields. What cannot be done with a value, such as
iterating over null, raises JQError while it runs, as jq itself ends with an error.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

Value = Any
Program = Callable[[Value], Iterator[Value]]

LENGTH_LIMIT = 4096
DEPTH_LIMIT = 50
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>\d+(?:\.\d+)?)
    |(?P<string>"(?:[^"\\]|\\.)*")
    |(?P<field>\.[A-Za-z_][A-Za-z0-9_]*)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>//|==|!=|<=|>=|[.\[\]()|,<>?:;+*/%-])
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class JQError(ValueError):
    """What is no program, or asks for what cannot be had of a value."""


def compile(text: str) -> Program:
    """The program that `text` says. Raises JQError with what is wrong with it, or not supported."""
    if len(text) > LENGTH_LIMIT:
        raise JQError(f"it is longer than {LENGTH_LIMIT} characters")
    parser = _Parser(text)
    program = parser.pipe()
    if parser.kind:
        raise JQError(f"{parser.text!r} is not expected at character {parser.at + 1}")
    return program


def results(program: Program, value: Value) -> list[Value] | None:
    """All values that a program yields; None where it ends with an error."""
    try:
        return list(program(value))
    except JQError:
        return None


class _Parser:
    """Reads a program; each method reads one level of precedence and returns what it does."""

    def __init__(self, text: str) -> None:
        self._source = text
        self._next = 0
        self._depth = 0
        self.kind = self.text = ""
        self.at = 0
        self._advance()

    def _advance(self) -> str:
        """To the next token; returns the text of the last."""
        last, rest = self.text, self._source[self._next :]
        if not rest.strip():
            self.kind, self.text, self.at = "", "", len(self._source)
            return last
        found = _TOKEN.match(self._source, self._next)
        if found is None or found.lastgroup is None:
            blank = len(rest) - len(rest.lstrip())
            raise JQError(f"{rest.lstrip()[:1]!r} is not supported, at character {self._next + blank + 1}")
        self.kind, self.text, self.at = found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)
        self._next = found.end()
        return last

    def _take(self, text: str) -> bool:
        if self.kind in ("sign", "word") and self.text == text:
            self._advance()
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise JQError(f"{text!r} is expected at character {self.at + 1}, not {self.text or 'the end'!r}")

    def pipe(self) -> Program:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise JQError(f"it is nested deeper than {DEPTH_LIMIT}")
        left = self._comma()
        while self._take("|"):
            left = _piped(left, self._comma())
        self._depth -= 1
        return left

    def _comma(self) -> Program:
        parts = [self._alternative()]
        while self._take(","):
            parts.append(self._alternative())
        if len(parts) == 1:
            return parts[0]
        return lambda value: (found for part in parts for found in part(value))

    def _alternative(self) -> Program:
        parts = [self._either()]
        while self._take("//"):
            parts.append(self._either())
        found = parts.pop()
        while parts:
            found = _alternative(parts.pop(), found)
        return found

    def _either(self) -> Program:
        left = self._both()
        while self._take("or"):
            left = _logic(left, self._both(), decides=True)
        return left

    def _both(self) -> Program:
        left = self._comparison()
        while self._take("and"):
            left = _logic(left, self._comparison(), decides=False)
        return left

    def _comparison(self) -> Program:
        left = self._sum()
        if self.kind == "sign" and self.text in _COMPARISONS:
            compare = _COMPARISONS[self._advance()]
            return _binary(left, self._sum(), lambda a, b: compare(_order(a), _order(b)))
        return left

    def _sum(self) -> Program:
        left = self._product()
        while self.kind == "sign" and self.text in ("+", "-"):
            sign = self._advance()
            left = _binary(left, self._product(), _SUMS[sign])
        return left

    def _product(self) -> Program:
        left = self._postfix()
        while self.kind == "sign" and self.text in ("*", "/", "%"):
            sign = self._advance()
            left = _binary(left, self._postfix(), _PRODUCTS[sign])
        return left

    def _postfix(self) -> Program:
        found = self._term()
        while True:
            if self.kind == "field":
                found = _piped(found, _key(self._advance()[1:]))
            elif self._take("."):
                # As in `.conditions.[]` and `.labels."name"`.
                if self.kind == "string":
                    found = _piped(found, _key(_unquoted(self._advance())))
                elif not (self.kind == "sign" and self.text == "["):
                    raise JQError(f"a field is expected at character {self.at + 1}")
            elif self._take("["):
                found = self._bracket(found)
            elif self._take("?"):
                found = _optional(found)
            else:
                return found

    def _bracket(self, base: Program) -> Program:
        if self._take("]"):
            return _piped(base, _each)
        index = self.pipe()
        if self.kind == "sign" and self.text == ":":
            raise JQError(f"slices are not supported, at character {self.at + 1}")
        self._expect("]")
        return lambda value: (_index(found, at) for found in base(value) for at in index(value))

    def _term(self) -> Program:
        kind, text, at = self.kind, self.text, self.at
        if kind == "number":
            self._advance()
            number = float(text) if "." in text else int(text)
            return _constant(number)
        if kind == "string":
            self._advance()
            return _constant(_unquoted(text))
        if kind == "field":
            self._advance()
            return _key(text[1:])
        if self._take("."):
            if self.kind == "string":
                return _key(_unquoted(self._advance()))
            return _itself
        if self._take("("):
            found = self.pipe()
            self._expect(")")
            return found
        if self._take("-") and not (self.kind == "sign" and self.text == "-"):
            return _piped(self._postfix(), lambda value: iter((-_number(value),)))
        if kind == "word":
            return self._word()
        what = f"{text!r} is not expected" if kind else "something is missing"
        raise JQError(f"{what} at character {at + 1}")

    def _word(self) -> Program:
        at, word = self.at, self._advance()
        if word in _CONSTANTS:
            return _constant(_CONSTANTS[word])
        if word in _FUNCTIONS:
            return _FUNCTIONS[word]
        if word in _TAKING:
            self._expect("(")
            argument = self.pipe()
            self._expect(")")
            return _TAKING[word](argument)
        known = ", ".join(sorted([*_CONSTANTS, *_FUNCTIONS, *_TAKING]))
        raise JQError(f"{word!r} is not supported, at character {at + 1}; there are {known}")


# What programs do


def _itself(value: Value) -> Iterator[Value]:
    yield value


def _constant(constant: Value) -> Program:
    return lambda value: iter((constant,))


def _piped(left: Program, right: Program) -> Program:
    return lambda value: (found for middle in left(value) for found in right(middle))


def _key(name: str) -> Program:
    return lambda value: iter((_index(value, name),))


def _index(value: Value, at: Value) -> Value:
    if value is None and isinstance(at, str | int | float) and not isinstance(at, bool):
        return None
    if isinstance(value, dict) and isinstance(at, str):
        return value.get(at)
    if isinstance(value, list) and isinstance(at, int | float) and not isinstance(at, bool):
        position = int(at // 1)
        return value[position] if -len(value) <= position < len(value) else None
    raise JQError(f"Cannot index {_type(value)} with {_type(at)}")


def _each(value: Value) -> Iterator[Value]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()
    else:
        raise JQError(f"Cannot iterate over {_type(value)}")


def _optional(program: Program) -> Program:
    def run(value: Value) -> Iterator[Value]:
        try:
            yield from program(value)
        except JQError:
            return

    return run


def _alternative(left: Program, right: Program) -> Program:
    def run(value: Value) -> Iterator[Value]:
        found = [each for each in _optional(left)(value) if _is_true(each)]
        yield from found or right(value)

    return run


def _logic(left: Program, right: Program, *, decides: bool) -> Program:
    """`decides`: which value of the left one makes the right one of no interest."""

    def run(value: Value) -> Iterator[Value]:
        for first in left(value):
            if _is_true(first) is decides:
                yield decides
            else:
                for second in right(value):
                    yield _is_true(second)

    return run


def _binary(left: Program, right: Program, do: Callable[[Any, Any], Any]) -> Program:
    # The right side is run first, as jq does.
    return lambda value: (do(first, second) for second in right(value) for first in left(value))


def _is_true(value: Value) -> bool:
    return value is not None and value is not False


def _type(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _order(value: Value) -> tuple[Any, ...]:
    """Sorts as jq does: null, false, true, numbers, strings, arrays, objects."""
    match value:
        case None:
            return (0,)
        case bool():
            return (1, value)
        case int() | float():
            return (2, value)
        case str():
            return (3, value)
        case list():
            return (4, [_order(item) for item in value])
        case _:
            keys = sorted(value)
            return (5, keys, [_order(value[key]) for key in keys])


def _number(value: Value) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise JQError(f"{_type(value)} is no number")
    return value


def _plus(first: Value, second: Value) -> Value:
    if first is None or second is None:
        return second if first is None else first
    if type(first) is type(second) and isinstance(first, str | list):
        return first + second
    if isinstance(first, dict) and isinstance(second, dict):
        return {**first, **second}
    return _number(first) + _number(second)


def _divided(first: Value, second: Value) -> Value:
    if not _number(second):
        raise JQError("it is divided by zero")
    found = _number(first) / second
    return int(found) if found == int(found) else found


def _remainder(first: Value, second: Value) -> Value:
    divisor = int(_number(second))
    if not divisor:
        raise JQError("it is divided by zero")
    rest = abs(int(_number(first))) % abs(divisor)
    return -rest if first < 0 else rest


_SUMS: dict[str, Callable[[Any, Any], Any]] = {"+": _plus, "-": lambda a, b: _number(a) - _number(b)}
_PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {
    "*": lambda a, b: _number(a) * _number(b),
    "/": _divided,
    "%": _remainder,
}


def _one(do: Callable[[Any], Any]) -> Program:
    return lambda value: iter((do(value),))


def _length(value: Value) -> Any:
    if value is None:
        return 0
    if isinstance(value, bool):
        raise JQError("boolean has no length")
    return abs(value) if isinstance(value, int | float) else len(value)


def _keys(value: Value) -> Value:
    if isinstance(value, dict):
        return sorted(value)
    if isinstance(value, list):
        return list(range(len(value)))
    raise JQError(f"{_type(value)} has no keys")


def _to_number(value: Value) -> Any:
    if isinstance(value, str):
        try:
            return int(value) if re.fullmatch(r"-?\d+", value) else float(value)
        except ValueError:
            raise JQError(f"{value!r} is no number") from None
    return _number(value)


def _to_string(value: Value) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _first(value: Value) -> Value:
    return _index(value, 0)


def _last(value: Value) -> Value:
    return _index(value, -1)


def _select(condition: Program) -> Program:
    return lambda value: (value for found in condition(value) if _is_true(found))


def _map(program: Program) -> Program:
    return lambda value: iter(([found for item in _each(value) for found in program(item)],))


def _has(program: Program) -> Program:
    def run(value: Value) -> Iterator[bool]:
        for key in program(value):
            if isinstance(value, dict) and isinstance(key, str):
                yield key in value
            elif isinstance(value, list) and isinstance(key, int):
                yield 0 <= key < len(value)
            else:
                raise JQError(f"Cannot check whether {_type(value)} has a key of type {_type(key)}")

    return run


def _text_test(do: Callable[[str, str], bool]) -> Callable[[Program], Program]:
    def make(program: Program) -> Program:
        def run(value: Value) -> Iterator[bool]:
            for argument in program(value):
                if not isinstance(value, str) or not isinstance(argument, str):
                    raise JQError("only strings begin and end with something")
                yield do(value, argument)

        return run

    return make


def _any_of(program: Program) -> Program:
    return lambda value: iter((any(_is_true(found) for item in _each(value) for found in program(item)),))


def _all_of(program: Program) -> Program:
    return lambda value: iter((all(_is_true(found) for item in _each(value) for found in program(item)),))


_CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}
_FUNCTIONS: dict[str, Program] = {
    "not": _one(lambda value: not _is_true(value)),
    "empty": lambda value: iter(()),
    "length": _one(_length),
    "keys": _one(_keys),
    "first": _one(_first),
    "last": _one(_last),
    "tonumber": _one(_to_number),
    "tostring": _one(_to_string),
    "type": _one(_type),
}
_TAKING: dict[str, Callable[[Program], Program]] = {
    "select": _select,
    "map": _map,
    "has": _has,
    "any": _any_of,
    "all": _all_of,
    "startswith": _text_test(str.startswith),
    "endswith": _text_test(str.endswith),
}


def _unquoted(text: str) -> str:
    """The string that a literal says. Raises JQError for interpolation, which is not supported."""

    def character(found: re.Match[str]) -> str:
        said = found[1]
        if said[0] == "u" and len(said) == 5:
            return chr(int(said[1:], 16))
        if said not in _ESCAPES:
            raise JQError(f"\\{said} in a string is not supported")
        return _ESCAPES[said]

    # Two escapes may be the halves of one character.
    return _ESCAPE.sub(character, text[1:-1]).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
