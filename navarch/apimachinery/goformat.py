"""Parsed JSON as Go's fmt prints it, which some messages of the API show."""

from __future__ import annotations

from typing import Any


def go_type(value: Any) -> str:
    """As %T, of what is no number."""
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    return "bool" if isinstance(value, bool) else "string"


def not_into(value: Any, go_type: str) -> str:
    """What Go's decoder says of a whole document that is not of the type."""
    names = {bool: "bool", str: "string", list: "array", dict: "object"}
    return f"json: cannot unmarshal {names.get(type(value), 'number')} into Go value of type {go_type}"


def go_value(value: Any) -> str:
    """As %v."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_value(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_value(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def go_syntax(value: Any) -> str:
    """As %#v."""
    if isinstance(value, dict):
        return "map[string]interface {}{" + ", ".join(f'"{key}":{go_syntax(v)}' for key, v in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(go_syntax(item) for item in value) + "}"
    if value is None:
        return "interface {}(nil)"
    return f'"{value}"' if isinstance(value, str) else go_value(value)
