"""What the arguments of actions and faults may be: each is read from a scenario by its own rule, and written back the same way.

An action is a frozen dataclass whose fields are made with `argument`; `read` makes one of what a file says, `written` is the
inverse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar

from navarch.apimachinery import selectors
from navarch.simulation.document import nearest

A = TypeVar("A")

ANY = "any"
"""A node, drawn from the seed."""
ALL = "all"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SPAN_LIMIT_SECONDS = 10 * 366 * 86400.0


class ArgumentError(ValueError):
    """An argument that cannot be meant; `key` is which."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def duration(value: Any) -> float:
    """Seconds of ``90``, ``90s``, ``1h30m``, ``500ms``, ``2d``. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        text = str(value)
        parts = _DURATION.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError(f"{value!r} is no duration: it should be like 90s, 1h30m or 2d")
        # Rounded: what is written and read again is the same number.
        seconds = round(sum(float(number) * _UNITS_SECONDS[unit] for number, unit in parts), 6)
    if not 0 <= seconds <= SPAN_LIMIT_SECONDS:
        raise ValueError(f"{value!r} is no duration: it should be between 0 and ten years")
    return seconds


def signed_duration(value: Any) -> float:
    """A duration that may be negative, ``-30s``."""
    text = str(value)
    return -duration(text[1:] if not isinstance(value, int | float) else -value) if text.startswith("-") else duration(value)


def show_duration(seconds: float) -> str:
    """As it would be written: the inverse of `signed_duration`, to the millisecond."""
    sign, rest = ("-" if seconds < 0 else ""), round(abs(seconds) * 1000)
    shown = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        shown += f"{count}{unit}" if count else ""
    return sign + (shown or "0s")


def text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} should be a string")
    return value


def integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} should be a whole number, 0 or more")
    return value


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} should be true or false")
    return value


def share(value: Any) -> float:
    """A part of the whole: a number from 0 to 1, or a percentage."""
    number = value
    if isinstance(value, str) and value.endswith("%"):
        try:
            number = float(value[:-1]) / 100
        except ValueError:
            number = None
    if not isinstance(number, int | float) or isinstance(number, bool) or not 0 <= number <= 1:
        raise ValueError(f"{value!r} should be between 0 and 1, or a percentage")
    return float(number)


def one_of(*words: str) -> Callable[[Any], str]:
    """One of some words."""

    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is unknown{nearest(str(value), words)}")
        return str(value)

    return read


def any_of(*numbers: int) -> Callable[[Any], int]:
    """One of some numbers."""

    def read(value: Any) -> int:
        if value not in numbers or isinstance(value, bool):
            raise ValueError(f"{value!r} should be one of {', '.join(map(str, numbers))}")
        return int(value)

    return read


def object_name(value: Any) -> str:
    """``deployment/web``; that there is such a resource is looked at by who knows the resources."""
    resource, slash, name = text(value).partition("/")
    if not slash or not resource or not name:
        raise ValueError(f"{value!r} names no object: it should be like deployment/web")
    return str(value)


def node_target(value: Any) -> str:
    """A node's name, ``any``, ``all`` or a label ``key=value``."""
    return text(value)


def requester(value: Any) -> str:
    """A pattern over those whose requests meet a fault."""
    return text(value)


def resource(value: Any) -> str:
    """A pattern over the plurals of resources."""
    return text(value)


def webhook(value: Any) -> str:
    """A pattern over names and hosts of webhooks."""
    return text(value)


def selector(value: Any) -> str:
    """A label selector."""
    selectors.parse(text(value))
    return str(value)


def mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} should be a mapping")
    return value


def labels(value: Any) -> Mapping[str, str]:
    """Of an object: strings by strings."""
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ValueError(f"{value!r} should be a mapping of strings")
    return value


@dataclass(frozen=True, slots=True)
class Rule:
    """How one argument is read, and what it is called in files."""

    read: Callable[[Any], Any]
    key: str


def argument(read: Callable[[Any], Any], default: Any = MISSING, *, key: str = "") -> Any:
    """A field of an action. `key`: its name in files, where that is no name in Python."""
    return field(default=default, metadata={"rule": Rule(read, key)})


def rules(action: type[Any]) -> dict[str, tuple[Field[Any], Rule]]:
    """The arguments of an action by their keys in files."""
    found = {}
    for each in fields(action):
        rule: Rule = each.metadata["rule"]
        found[rule.key or each.name.replace("_", "-")] = (each, rule)
    return found


def read(action: type[A], said: Mapping[str, Any]) -> A:
    """An action of what a file says of it. Raises ArgumentError."""
    known = rules(action)
    for key in said:
        if key not in known:
            raise ArgumentError(key, f"unknown argument {key!r}{nearest(key, known)}")
    values = {}
    for key, (each, rule) in known.items():
        if key in said:
            try:
                values[each.name] = rule.read(said[key])
            except ValueError as error:
                raise ArgumentError(key, f"{key}: {error}") from None
        elif each.default is MISSING:
            raise ArgumentError("", f"the argument {key!r} is missing")
    return action(**values)


def written(action: Any) -> dict[str, Any]:
    """What a file would say of an action: `read` makes the same of it. What goes without saying is left out."""
    found = {}
    for key, (each, rule) in rules(type(action)).items():
        value = getattr(action, each.name)
        if value != each.default:
            found[key] = show_duration(value) if rule.read in (duration, signed_duration) else value
    return found
