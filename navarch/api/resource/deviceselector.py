"""Expressions that choose devices. They are not compiled: what they say is decided where devices are chosen."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.apimachinery.errors import FieldError, Object, required, too_long

SELECTORS_LIMIT = 32
EXPRESSION_LIMIT_BYTES = 10 * 1024


def validate(selector: Object, path: str) -> Iterator[FieldError]:
    cel = selector.get("cel")
    if cel is None:
        yield required(f"{path}.cel")
    elif len(cel.get("expression", "").encode()) > EXPRESSION_LIMIT_BYTES:
        yield too_long(f"{path}.cel.expression", EXPRESSION_LIMIT_BYTES)
