"""What unmarshalling JSON into Go's types does upstream.

Wrong types are refused with the same words, nulls dropped, unknown fields noted, quantities and times written canonically.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from navarch.apimachinery import gobase64, gotime, meta, quantity
from navarch.apimachinery.schema import Schema

# Deeper JSON is refused: what reads and writes it is recursive.
NESTING_LIMIT = 200
# What needs no second look.
_TIME_RE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-][01]\d:[0-5]\d)\Z", re.ASCII)
_MICRO_TIME_RE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-][01]\d:[0-5]\d)\Z", re.ASCII)


_ZERO_TIME = datetime.min.replace(tzinfo=UTC)


class DecodeError(ValueError):
    """The object cannot be read as its kind; the text is what Go's decoder would say."""

    def __init__(self, text: str, converting: str = "") -> None:
        super().__init__(text)
        self.converting = converting or text
        """What Kubernetes says where it does not decode JSON but converts a map: after a strategic merge patch."""


@dataclass(slots=True)
class Decoded:
    """A decoded object and what strict decoding has against it."""

    object: Any
    unknown: list[str] = field(default_factory=list)
    """Paths of unknown fields."""


def nesting_exceeds(value: Any, limit: int) -> bool:
    """Whether plain data is nested more than `limit` levels deep."""
    try:
        encoded = orjson.dumps(value)
        if encoded.count(b"[") + encoded.count(b"{") <= limit:
            return False
    except TypeError:
        # Too deep for it, or there is no JSON for something.
        pass
    level = [value]
    for _ in range(limit):
        level = [
            below
            for item in level
            if isinstance(item, dict | list)
            for below in (item.values() if isinstance(item, dict) else item)
            if isinstance(below, dict | list)
        ]
        if not level:
            return False
    return True


def unmarshal(value: Any, schema: Schema) -> Decoded:
    """`value` (parsed JSON) as `schema` has it, gone through with its paths in mind. Raises DecodeError."""
    result = Decoded(None)
    result.object = _decode(value, schema, "", "", "", result.unknown)
    return result


def _decode(value: Any, schema: Schema, path: str, go_path: str, struct: str, unknown: list[str]) -> Any:
    match schema.type:
        case "struct":
            if not isinstance(value, dict):
                raise _mismatch(value, schema, go_path, struct)
            return _decode_struct(value, schema, path, go_path, unknown)
        case "string":
            if not isinstance(value, str):
                raise _mismatch(value, schema, go_path, struct)
            return value
        case "list":
            if not isinstance(value, list):
                raise _mismatch(value, schema, go_path, struct)
            element = schema.element
            return [
                _decode(item, element, f"{path}[{index}]", go_path, struct, unknown) if item is not None else element.zero
                for index, item in enumerate(value)
            ]
        case "map":
            if not isinstance(value, dict):
                raise _mismatch(value, schema, go_path, struct)
            element = schema.element
            pairs = (
                (key, _decode(item, element, f"{path}.{key}", go_path, struct, unknown) if item is not None else element.zero)
                for key, item in value.items()
            )
            return {key: item for key, item in pairs if item is not None or element.type == "any"}
        case "any":
            return decode_any(value)
    return decode_scalar(value, schema, go_path, struct)


def _decode_struct(value: dict[str, Any], schema: Schema, path: str, go_path: str, unknown: list[str]) -> dict[str, Any]:
    properties = schema.properties
    struct = schema.name.rpartition(".")[2]
    result = {}
    for key, item in value.items():
        child = properties.get(key)
        if child is None:
            unknown.append(f"{path}.{key}" if path else key)
        elif item is not None:
            below = f"{path}.{key}" if path else key
            decoded = _decode(item, child, below, f"{go_path}.{key}" if go_path else key, struct, unknown)
            # Go leaves out empty maps and lists, and what is nothing where that is all a plain field can say.
            if decoded or (decoded is not None and child.type not in ("map", "list") and key not in schema.left_out_if_zero):
                result[key] = decoded
    for key in schema.required:
        if key not in result and (zero := properties[key].zero) is not None:
            result[key] = zero
    return result


def decode_any(value: Any) -> Any:
    """What may be anything. Raises DecodeError."""
    if nesting_exceeds(value, NESTING_LIMIT):
        raise DecodeError("exceeded max depth")
    return value


def decode_scalar(value: Any, schema: Schema, go_path: str = "", struct: str = "") -> Any:
    """A value of a type that has none below it. Raises DecodeError."""
    match schema.type:
        case "integer":
            return _integer(value, schema, go_path, struct)
        case "boolean":
            if isinstance(value, bool):
                return value
        case "quantity":
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                try:
                    return quantity.canonical(value)
                except ValueError as error:
                    raise DecodeError(str(error)) from None
        case "intstr":
            if isinstance(value, str):
                return value
            return _integer(value, schema, go_path, struct, "int32")
        case "time" | "microtime":
            if isinstance(value, str):
                return decode_time(value, schema.type)
        case "number":
            if isinstance(value, int | float) and not isinstance(value, bool):
                return value
        case "bytes":
            if isinstance(value, str):
                return _bytes(value)
    raise _mismatch(value, schema, go_path, struct)


def _integer(value: Any, schema: Schema, go_path: str, struct: str, go_type: str = "") -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(value, schema, go_path, struct, go_type)
    bits = 31 if (go_type or schema.go_type) == "int32" else 63
    if not -(1 << bits) <= value < 1 << bits:
        raise _mismatch(value, schema, go_path, struct, go_type)
    return value


def decode_time(text: str, type_: str) -> str | None:
    """The time in UTC; None for Go's zero time, which is written as null."""
    is_micro = type_ == "microtime"
    usual = _MICRO_TIME_RE if is_micro else _TIME_RE
    moment = _parsed(text) if usual.match(text) else None
    if moment is None:
        try:
            moment = gotime.parse(text, gotime.MICRO_TIME if is_micro else gotime.TIME)
        except ValueError as error:
            raise DecodeError(str(error)) from None
    if moment == _ZERO_TIME:
        return None
    return _format_micro(moment) if is_micro else meta.format_time(moment)


def _parsed(text: str) -> datetime | None:
    """None for what Go has to be asked about."""
    try:
        return meta.parse_time(text)
    except (ValueError, OverflowError):
        return None


def _format_micro(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _bytes(text: str) -> str:
    try:
        return base64.b64encode(gobase64.decode(text)).decode()
    except ValueError as error:
        raise DecodeError(str(error)) from None


def _mismatch(value: Any, schema: Schema, go_path: str, struct: str, go_type: str = "") -> DecodeError:
    if isinstance(value, bool):
        found = "bool"
    elif isinstance(value, str):
        found = "string"
    elif isinstance(value, int | float):
        found = f"number {value}" if schema.type in ("integer", "intstr") else "number"
    else:
        found = "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "null"
    where = f"Go struct field {struct}.{go_path}" if go_path else "Go value"
    go_type = go_type or schema.go_type
    return DecodeError(f"json: cannot unmarshal {found} into {where} of type {go_type}", _unconvertible(value, schema, go_type))


def _unconvertible(value: Any, schema: Schema, go_type: str) -> str:
    """What Go's converter of maps says of a value of another type than its schema's."""
    match value:
        case bool():
            found = "bool"
        case str():
            found = "string"
        case int():
            found = "int64"
        case float():
            found = "float64"
        case _:
            found = "map" if isinstance(value, dict) else "slice"
    match schema.type:
        case "map":
            return f"cannot restore map from {found}"
        case "list" | "bytes":
            return f"cannot restore slice from {found}"
        case "struct":
            return f"cannot restore struct from: {found}"
        case "string" if found == "int64":
            return f"cannot convert {found} to {go_type}"
        case "integer" if found == "float64":
            return f"cannot convert {found} to {go_type}"
        case "string" | "integer" | "number" | "boolean":
            return f"unrecognized type: {go_type}"
    # Quantities, times and what is an integer or a string read themselves, from JSON.
    return ""
