"""The rule that most numbers in specs share."""

from __future__ import annotations

from navarch.apimachinery.errors import FieldError, invalid_value


def nonnegative(path: str, value: int) -> FieldError:
    """`value` at `path` is below zero."""
    return invalid_value(path, value, "must be greater than or equal to 0")
