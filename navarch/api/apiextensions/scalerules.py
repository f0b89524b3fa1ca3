"""Of objects that have a scale: the numbers and the selector that it is made of (customresource's validator)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from navarch.apimachinery.errors import FieldError, Object, invalid_value

_LIMIT = (1 << 31) - 1
_GO_TYPES = {bool: "bool", str: "string", float: "float64", list: "[]interface {}", dict: "map[string]interface {}"}


def validate_spec(obj: Object, scale: Object) -> Iterator[FieldError]:
    yield from _replicas(obj, scale["specReplicasPath"])


def validate_status(obj: Object, scale: Object) -> Iterator[FieldError]:
    yield from _replicas(obj, scale["statusReplicasPath"])
    path = scale.get("labelSelectorPath")
    if path:
        value, problem = _nested(obj, path)
        if problem is None and value is not None and not isinstance(value, str):
            problem = _wrong(path, value, "string")
        if problem is not None:
            yield invalid_value(path, "", problem)


def _replicas(obj: Object, path: str) -> Iterator[FieldError]:
    value, problem = _nested(obj, path)
    if problem is None and value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        problem = _wrong(path, value, "int64")
    if problem is not None:
        yield invalid_value(path, 0, problem)
    elif value is not None and value < 0:
        yield invalid_value(path, value, "should be a non-negative integer")
    elif value is not None and value > _LIMIT:
        yield invalid_value(path, value, f"should be less than or equal to {_LIMIT}")


def _nested(obj: Object, path: str) -> tuple[Any, str | None]:
    """(what is there, or None; what is in the way, or None)."""
    value: Any = obj
    steps = path.removeprefix(".").split(".")
    for index, step in enumerate(steps):
        if not isinstance(value, dict):
            return None, _wrong("." + ".".join(steps[:index]), value, "map[string]interface{}")
        if step not in value:
            return None, None
        value = value[step]
    return value, None


def _wrong(path: str, value: Any, wanted: str) -> str:
    found = next((name for type_, name in _GO_TYPES.items() if isinstance(value, type_)), "int64")
    return f"{path} accessor error: {value} is of the type {found}, expected {wanted}"
