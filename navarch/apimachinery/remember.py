"""What was computed from plain data, remembered for data lately seen: most objects of a kind are made from few templates.

The data's JSON is the key, which costs a hundredth of what is saved where it is known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import orjson

T = TypeVar("T")

REMEMBERED = 256
LIMIT_BYTES = 16_384


def by_value(compute: Callable[[Any], T]) -> Callable[[Any], T]:
    """`compute`, a function of plain data alone, remembered. What it returns is shared: it must not be changed."""

    @lru_cache(REMEMBERED)
    def known(encoded: bytes) -> T:
        return compute(orjson.loads(encoded))

    def remembered(value: Any) -> T:
        try:
            encoded = orjson.dumps(value)
        except TypeError:
            # There is no JSON for it, such as for numbers beyond 64 bits.
            return compute(value)
        return known(encoded) if len(encoded) <= LIMIT_BYTES else compute(value)

    return remembered


def copies(compute: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same of a function whose result is plain data and is to be changed: each call returns one of its own."""
    found = by_value(lambda value: orjson.dumps(compute(value)))
    return lambda value: orjson.loads(found(value))
