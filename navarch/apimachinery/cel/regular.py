"""Regular expressions in expressions: what is no pattern has no value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from navarch.apimachinery import gopattern
from navarch.apimachinery.cel.errors import EvaluationError


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether the pattern is found in a text. Raises EvaluationError for what is no pattern."""
    try:
        return gopattern.matcher(pattern)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def compiled(pattern: str) -> Any:
    """The pattern, with the methods of Python's own. Raises EvaluationError."""
    try:
        return gopattern.compiled(pattern)
    except ValueError as error:
        raise EvaluationError(str(error)) from None
