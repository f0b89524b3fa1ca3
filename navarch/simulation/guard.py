"""Tells who reads the machine's clock, or draws from its chance, in a simulation: both come through `component.clock` alone.

While a guard is on, the functions of the standard library that would do so are replaced by ones that look who calls: a module
of navarch's is reported, with file and line, and is given what it asked for; others are let through. (``datetime.now`` cannot
be replaced so; a test looks for it in the source.)
"""

from __future__ import annotations

import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_DRAWS = ("random", "randint", "randrange", "randbytes", "getrandbits", "choice", "choices", "sample", "shuffle", "uniform")
_DISTRIBUTIONS = ("triangular", "betavariate", "expovariate", "gammavariate", "gauss", "lognormvariate", "normalvariate")
GUARDED: tuple[tuple[Any, str], ...] = (
    *((time, f"{name}{unit}") for name in _CLOCKS for unit in ("", "_ns")),
    *((time, name) for name in ("sleep", "localtime", "gmtime", "ctime")),
    *((random, name) for name in (*_DRAWS, *_DISTRIBUTIONS, "seed")),
    *((uuid, name) for name in ("uuid1", "uuid4")),
    *((secrets, name) for name in ("token_hex", "token_bytes", "token_urlsafe", "choice", "randbelow", "randbits")),
    (os, "urandom"),
)
# The door itself, and what measures how long something takes on the machine.
ALLOWED = frozenset({"navarch.component.clock", "navarch.component.metrics"})


class Guard:
    """A context manager, which may be entered again and again (but not in itself)."""

    def __init__(self, report: Callable[[str, str], None]) -> None:
        """`report` is called with "" and who did what, once for each place."""
        seen: set[tuple[str, int, str]] = set()
        self._guarded = [
            (module, name, getattr(module, name), _guard(module.__name__, name, getattr(module, name), seen, report))
            for module, name in GUARDED
        ]

    def __enter__(self) -> Self:
        for module, name, _, looking in self._guarded:
            setattr(module, name, looking)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for module, name, function, _ in self._guarded:
            setattr(module, name, function)


def _guard(
    module: str,
    name: str,
    function: Callable[..., Any],
    seen: set[tuple[str, int, str]],
    report: Callable[[str, str], None],
) -> Callable[..., Any]:
    def looked(*arguments: Any, **named: Any) -> Any:
        caller = sys._getframe(1)
        who = caller.f_globals.get("__name__", "")
        if who.startswith("navarch.") and who not in ALLOWED:
            place = (caller.f_code.co_filename, caller.f_lineno, name)
            if place not in seen:
                seen.add(place)
                report("", f"{place[0]}:{place[1]}: {caller.f_code.co_qualname} calls {module}.{name}")
        return function(*arguments, **named)

    return looked
