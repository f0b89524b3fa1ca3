"""Go's fmt for plain data: `%v` of maps and lists, and the verbs that templates use."""

from __future__ import annotations

import json
import re
from typing import Any

WIDTH_LIMIT = 1000
_VERB = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d+))?(?P<verb>.)?", re.DOTALL)


def kind(value: Any) -> str:
    """What Go would call a value's type."""
    return {type(None): "<nil>", bool: "bool", int: "int", float: "float64", str: "string"}.get(type(value), "interface {}")


def plain(value: Any) -> str:
    """As ``%v``: maps by their keys."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case float():
            return _float(value)
        case dict():
            return "map[" + " ".join(f"{key}:{plain(value[key])}" for key in sorted(value)) + "]"
        case list():
            return "[" + " ".join(plain(item) for item in value) + "]"
    return str(value)


def quoted(text: str) -> str:
    """As ``%q``."""
    return json.dumps(text, ensure_ascii=False)


def _float(value: float) -> str:
    """The shortest that is read as the same, with an exponent where %g has one (from 21 digits on)."""
    exponent = int(f"{value:e}".partition("e")[2]) if value else 0
    if -4 <= exponent < 21:
        text = repr(value)
        return f"{value:.0f}" if "e" in text or text.endswith(".0") else text
    mantissa, _, power = repr(value).partition("e") if "e" in repr(value) else f"{value:e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(power):+03d}"


def printf(template: str, *values: Any) -> str:
    """Formats values; what is too much or too little is shown as Go shows it."""
    rest = list(values)

    def take() -> Any:
        return rest.pop(0)

    def shown(found: re.Match[str]) -> str:
        verb = found["verb"]
        if verb == "%":
            return "%"
        if verb is None:
            return "%!(NOVERB)"
        width = _size(found["width"], rest)
        precision = _size(found["precision"], rest)
        if not rest:
            return f"%!{verb}(MISSING)"
        text = _verb(verb, take(), precision, found["flags"])
        return _padded(text, width, found["flags"], verb)

    text = _VERB.sub(shown, template)
    if rest:
        text += "%!(EXTRA " + ", ".join(f"{kind(value)}={plain(value)}" for value in rest) + ")"
    return text


def _size(said: str | None, rest: list[Any]) -> int | None:
    if said is None:
        return None
    size = int(rest.pop(0)) if said == "*" and rest else int(said) if said != "*" else 0
    return max(-WIDTH_LIMIT, min(size, WIDTH_LIMIT))


def _verb(verb: str, value: Any, precision: int | None, flags: str) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    sign = "+" if "+" in flags and is_number and value >= 0 else ""
    if verb == "v":
        return sign + plain(value)
    if verb == "T":
        return kind(value)
    if verb in "sq" and isinstance(value, str):
        text = value if precision is None else value[:precision]
        return quoted(text) if verb == "q" else text
    if verb == "t" and isinstance(value, bool):
        return plain(value)
    if verb in "dxXobc" and isinstance(value, int) and not isinstance(value, bool):
        return sign + (chr(value) if verb == "c" else format(value, verb))
    if verb in "xX" and isinstance(value, str):
        return value.encode().hex() if verb == "x" else value.encode().hex().upper()
    if verb in "feEgG" and isinstance(value, float):
        return sign + (
            _float(value)
            if verb == "g" and precision is None
            else format(value, f".{6 if precision is None else precision}{verb}")
        )
    return f"%!{verb}({kind(value)}={plain(value)})"


def _padded(text: str, width: int | None, flags: str, verb: str) -> str:
    if width is None:
        return text
    if "-" in flags or width < 0:
        return text.ljust(abs(width))
    if "0" in flags and verb not in "sqvT":
        sign = text[:1] if text[:1] in "+-" else ""
        return sign + text.removeprefix(sign).rjust(width - len(sign), "0")
    return text.rjust(width)
