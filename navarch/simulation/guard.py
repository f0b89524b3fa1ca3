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
import threading
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


_lock = threading.Lock()
_watched: dict[int, tuple[Callable[[str, str], None], set[tuple[str, int, str]]]] = {}
"""Threads in which a guard is on: whom it tells, and which places it has told of."""
_guarded: list[tuple[Any, str, Any]] = []
"""What has been replaced, while a guard is on in any thread."""


class Guard:
    """A context manager for the thread that enters it; it may be entered again and again (but not in itself)."""

    def __init__(self, report: Callable[[str, str], None]) -> None:
        """`report` is called with "" and who did what, once for each place."""
        self._report = report
        self._seen: set[tuple[str, int, str]] = set()

    def __enter__(self) -> Self:
        with _lock:
            if not _watched:
                for module, name in GUARDED:
                    function = getattr(module, name)
                    _guarded.append((module, name, function))
                    setattr(module, name, _guard(module.__name__, name, function))
            _watched[threading.get_ident()] = self._report, self._seen
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with _lock:
            del _watched[threading.get_ident()]
            if not _watched:
                for module, name, function in _guarded:
                    setattr(module, name, function)
                _guarded.clear()


def _guard(module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def looked(*arguments: Any, **named: Any) -> Any:
        caller = sys._getframe(1)
        who = caller.f_globals.get("__name__", "")
        if who.startswith("navarch.") and who not in ALLOWED and (watched := _watched.get(threading.get_ident())) is not None:
            report, seen = watched
            place = (caller.f_code.co_filename, caller.f_lineno, name)
            if place not in seen:
                seen.add(place)
                report("", f"{place[0]}:{place[1]}: {caller.f_code.co_qualname} calls {module}.{name}")
        return function(*arguments, **named)

    return looked
