"""What templates of Stage files can call: text/template's own functions, the part of sprig that makes plain data of it, and
KWOK's `Quote` and `YAML`. What depends on time, chance or the cluster comes from who plays the stages (player.py).
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from navarch.apimachinery import yamlcodec
from navarch.simulation.stages import printf

Function = Callable[..., Any]
LIST_LIMIT = 100_000
REPEAT_LIMIT = 100_000


class FunctionError(ValueError):
    """A function is asked for what it cannot do."""


def is_true(value: Any) -> bool:
    """Whether `if` takes it for true: not false, 0, nothing or empty."""
    return bool(value)


def shown(value: Any) -> str:
    """As a template prints a value."""
    return "<no value>" if value is None else printf.plain(value)


def type_name(value: Any) -> str:
    """What Go would call its type."""
    return (
        "map[string]interface {}"
        if isinstance(value, dict)
        else "[]interface {}"
        if isinstance(value, list)
        else printf.kind(value)
    )


# text/template's own


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if value is None:
            raise FunctionError("index of untyped nil")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list | str):
            position = _int(key)
            if not 0 <= position < len(value):
                raise FunctionError(f"index out of range: {position}")
            value = ord(value[position]) if isinstance(value, str) else value[position]
        else:
            raise FunctionError(f"can't index item of type {type_name(value)}")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, list | str):
        raise FunctionError(f"can't slice item of type {type_name(value)}")
    start, end = (*map(_int, bounds), *(0, len(value))[len(bounds) :])[:2]
    if not 0 <= start <= end <= len(value):
        raise FunctionError(f"index out of range: {end}")
    return value[start:end]


def _len(value: Any) -> int:
    if not isinstance(value, list | dict | str):
        raise FunctionError(f"len of type {type_name(value)}")
    return len(value.encode()) if isinstance(value, str) else len(value)


def _comparable(first: Any, second: Any) -> None:
    if first is not None and second is not None and printf.kind(first) != printf.kind(second):
        raise FunctionError("incompatible types for comparison")


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise FunctionError("missing argument for comparison")
    for other in others:
        _comparable(first, other)
    return any(first == other and type(first) is type(other) for other in others)


def _ordered(compare: Callable[[Any, Any], bool]) -> Function:
    def run(first: Any, second: Any) -> bool:
        _comparable(first, second)
        if first is None or second is None or isinstance(first, bool | list | dict):
            raise FunctionError("invalid type for comparison")
        return compare(first, second)

    return run


def _print(*values: Any) -> str:
    text = ""
    for index, value in enumerate(values):
        # Between two that are no strings there is a space.
        spaced = index and not isinstance(value, str) and not isinstance(values[index - 1], str)
        text += (" " if spaced else "") + printf.plain(value)
    return text


def _call_and(*values: Any) -> Any:
    return next((value for value in values if not is_true(value)), values[-1])


def _call_or(*values: Any) -> Any:
    return next((value for value in values if is_true(value)), values[-1])


# KWOK's


def quote(value: Any) -> str:
    """JSON's string of a string, and of the JSON of anything else."""
    text = value if isinstance(value, str) else _json(value)
    return json.dumps(text, ensure_ascii=False)


def _yaml(value: Any, indent: int = 0) -> str:
    text = yamlcodec.dump(orjson.loads(_json(value))).decode()
    return ("\n" + text).replace("\n", "\n" + "  " * indent) if indent > 0 else text


# sprig's


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _int(value: Any) -> int:
    """As sprig's int does: what is no number is 0."""
    try:
        if isinstance(value, str):
            return int(value, 0) if value.lower().startswith(("0x", "0o", "0b")) else int(value)
        return int(value) if value is not None else 0
    except (ValueError, OverflowError):
        return 0


def _float(value: Any) -> float:
    try:
        return float(value) if value is not None else 0.0
    except ValueError:
        return 0.0


def _divided(first: Any, second: Any) -> int:
    if not _int(second):
        raise FunctionError("division by zero")
    found = abs(_int(first)) // abs(_int(second))
    return found if (_int(first) < 0) == (_int(second) < 0) else -found


def _remainder(first: Any, second: Any) -> int:
    if not _int(second):
        raise FunctionError("division by zero")
    return int(math.fmod(_int(first), _int(second)))


def _product(*values: Any) -> int:
    return math.prod(map(_int, values))


def _dict(*pairs: Any) -> dict[str, Any]:
    # An odd one out has nothing for a value.
    filled = (*pairs, "") if len(pairs) % 2 else pairs
    return {printf.plain(filled[index]): filled[index + 1] for index in range(0, len(filled), 2)}


def _default(default: Any, *given: Any) -> Any:
    return given[0] if given and is_true(given[0]) else default


def _until(*bounds: Any) -> list[int]:
    numbers = range(*map(_int, bounds)) if len(bounds) > 1 else range(_int(bounds[0]))
    if len(numbers) > LIST_LIMIT:
        raise FunctionError(f"it makes more than {LIST_LIMIT}")
    return list(numbers)


def _repeat(count: Any, text: str) -> str:
    if _int(count) * len(text) > REPEAT_LIMIT:
        raise FunctionError(f"it makes more than {REPEAT_LIMIT} characters")
    return text * _int(count)


def _join(separator: str, values: Any) -> str:
    return separator.join(printf.plain(value) for value in values) if isinstance(values, list) else printf.plain(values)


def _text(value: Any) -> str:
    return "" if value is None else printf.plain(value)


def _indented(count: Any, text: str) -> str:
    pad = " " * min(_int(count), REPEAT_LIMIT)
    return pad + text.replace("\n", "\n" + pad)


def _trunc(count: Any, text: str) -> str:
    size = _int(count)
    return text[size:] if size < 0 and len(text) > -size else text[:size] if 0 <= size < len(text) else text


def _fails(message: str) -> Any:
    raise FunctionError(message)


_OWN: Mapping[str, Function] = {
    "and": _call_and,
    "or": _call_or,
    "not": lambda value: not is_true(value),
    "eq": _eq,
    "ne": lambda first, second: not _eq(first, second),
    "lt": _ordered(operator.lt),
    "le": _ordered(operator.le),
    "gt": _ordered(operator.gt),
    "ge": _ordered(operator.ge),
    "index": _index,
    "slice": _slice,
    "len": _len,
    "print": _print,
    "println": lambda *values: " ".join(map(printf.plain, values)) + "\n",
    "printf": printf.printf,
}
_SPRIG: Mapping[str, Function] = {
    "default": _default,
    "empty": lambda value: not is_true(value),
    "coalesce": lambda *values: next((value for value in values if is_true(value)), None),
    "ternary": lambda yes, no, condition: yes if condition else no,
    "fail": _fails,
    # Numbers
    "int": _int,
    "int64": _int,
    "float64": _float,
    "atoi": _int,
    "add": lambda *values: sum(map(_int, values)),
    "add1": lambda value: _int(value) + 1,
    "sub": lambda first, second: _int(first) - _int(second),
    "mul": _product,
    "div": _divided,
    "mod": _remainder,
    "max": lambda *values: max(map(_int, values)),
    "min": lambda *values: min(map(_int, values)),
    "divf": lambda first, *others: _float(first) / math.prod(map(_float, others)),
    "ceil": lambda value: float(math.ceil(_float(value))),
    "floor": lambda value: float(math.floor(_float(value))),
    "until": _until,
    "untilStep": _until,
    # Strings
    "toString": _text,
    "quote": lambda *values: " ".join(printf.quoted(_text(value)) for value in values if value is not None),
    "squote": lambda *values: " ".join(f"'{_text(value)}'" for value in values if value is not None),
    "lower": str.lower,
    "upper": str.upper,
    "trim": str.strip,
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "trimPrefix": lambda prefix, text: text.removeprefix(prefix),
    "trimAll": lambda characters, text: text.strip(characters),
    "replace": lambda old, new, text: text.replace(old, new),
    "contains": lambda part, text: part in text,
    "hasPrefix": lambda prefix, text: text.startswith(prefix),
    "hasSuffix": lambda suffix, text: text.endswith(suffix),
    "repeat": _repeat,
    "trunc": _trunc,
    "indent": _indented,
    "nindent": lambda count, text: "\n" + _indented(count, text),
    "join": _join,
    "splitList": lambda separator, text: text.split(separator) if separator else list(text),
    "b64enc": lambda text: base64.b64encode(text.encode()).decode(),
    "b64dec": lambda text: base64.b64decode(text, validate=True).decode(),
    "sha256sum": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    # Lists and maps
    "list": lambda *values: list(values),
    "dict": _dict,
    "first": lambda values: values[0] if values else None,
    "last": lambda values: values[-1] if values else None,
    "rest": lambda values: values[1:],
    "initial": lambda values: values[:-1],
    "append": lambda values, item: [*values, item],
    "prepend": lambda values, item: [item, *values],
    "concat": lambda *lists: [item for values in lists for item in values],
    "has": lambda item, values: item in (values or ()),
    "uniq": lambda values: [item for index, item in enumerate(values) if item not in values[:index]],
    "sortAlpha": lambda values: sorted(map(_text, values)),
    "reverse": lambda values: values[::-1],
    "keys": lambda *maps: [key for found in maps for key in sorted(found)],
    "values": lambda found: [found[key] for key in sorted(found)],
    "get": lambda found, key: found.get(key, ""),
    "hasKey": lambda found, key: key in found,
    "merge": lambda *maps: {key: value for found in reversed(maps) for key, value in found.items()},
    "toJson": _json,
    "fromJson": lambda text: orjson.loads(text),
}
_KWOK: Mapping[str, Function] = {"Quote": quote, "YAML": _yaml}
FUNCTIONS: Mapping[str, Function] = {**_OWN, **_SPRIG, **_KWOK}
"""Those that need nothing but their arguments. sprig's that would change a map in place are not among them."""
