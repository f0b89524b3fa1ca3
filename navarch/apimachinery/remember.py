"""What was computed from plain data, remembered for data lately seen: most objects of a kind are made from few templates.

Two ways in. `by_value` and `shared` know data by its JSON, which costs a hundredth of what is saved where it is known. What
`shared` returns is one object for all who ask, and everything that is computed `of` such an object is kept with it: finding it
again costs a look-up, and so does everything that is found from there on.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

import orjson

T = TypeVar("T")

REMEMBERED = 256
LIMIT_BYTES = 16_384
RESULTS_LIMIT = 16
"""Of one object; with more, all are forgotten."""


_numbers = itertools.count()


class Shared(dict[str, Any]):
    """An object that many hold, so that nobody may change it, nor anything in it."""

    __slots__ = ("number", "results")

    def __init__(self, value: dict[str, Any], number: int | None = None) -> None:
        super().__init__(value)
        self.results: dict[Hashable, Any] = {}
        self.number = next(_numbers) if number is None else number
        """No other has, or will have, the same, unless it is `alike`."""

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        """A copy is its owner's own."""
        return copy.deepcopy(dict(self), memo)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a shared object cannot be changed: copy it")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse


def of(value: dict[str, Any], key: Hashable, compute: Callable[[], T]) -> T:
    """What `compute` makes of `value` and of what `key` tells; once, if `value` is shared."""
    if type(value) is not Shared:
        return compute()
    try:
        found: T = value.results[key]
    except KeyError:
        if len(value.results) >= RESULTS_LIMIT:
            value.results.clear()
        found = value.results[key] = compute()
    return found


def changed(value: dict[str, Any], key: Hashable, change: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The same of a changed copy, which is shared if `value` is."""
    if type(value) is not Shared:
        return change()
    return of(value, key, lambda: Shared(change()))


def alike(value: dict[str, Any], key: Hashable, change: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """`changed`, where only values change: fields, items of lists and what tells these apart stay as they are."""
    if type(value) is not Shared:
        return change()
    return of(value, key, lambda: Shared(change(), value.number))


def by_value(compute: Callable[[Any], T]) -> Callable[[Any], T]:
    """`compute`, a function of plain data alone, remembered. What it returns is shared: it must not be changed.

    `compute` may change what it is given.
    """

    @lru_cache(REMEMBERED)
    def known(encoded: bytes) -> T:
        return compute(orjson.loads(encoded))

    def remembered(value: Any) -> T:
        if type(value) is Shared and compute in value.results:
            found: T = value.results[compute]
            return found
        try:
            encoded = orjson.dumps(value)
        except TypeError:
            # There is no JSON for it, such as for numbers beyond 64 bits.
            return compute(value)
        if len(encoded) > LIMIT_BYTES:
            return compute(orjson.loads(encoded) if type(value) is Shared else value)
        return of(value, compute, lambda: known(encoded)) if type(value) is Shared else known(encoded)

    return remembered


def shared(compute: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """The same of a function whose result is an object: all who ask with equal data get the same one, unless it is large."""
    return by_value(lambda value: Shared(compute(value)))


def encoded(value: Any) -> bytes:
    """The JSON of plain data; what of it is shared is encoded once."""
    return orjson.dumps(value, default=_encode_once, option=orjson.OPT_PASSTHROUGH_SUBCLASS)


def _encode_once(value: Any) -> Any:
    if type(value) is Shared:
        return of(value, encoded, lambda: orjson.Fragment(orjson.dumps(value)))
    # Another kind of what JSON has.
    kinds: tuple[type[Any], ...] = (str, int, dict, list)
    for plain in kinds:
        if isinstance(value, plain):
            return plain(value)
    raise TypeError
