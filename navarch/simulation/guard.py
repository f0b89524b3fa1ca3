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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

GUARDED: tuple[tuple[Any, str], ...] = (
    *((time, name) for name in ("time", "time_ns", "monotonic", "monotonic_ns", "sleep", "localtime", "gmtime")),
    *((random, name) for name in ("random", "randint", "randrange", "choice", "choices", "sample", "shuffle", "uniform")),
    *((uuid, name) for name in ("uuid1", "uuid4")),
    *((secrets, name) for name in ("token_hex", "token_bytes", "token_urlsafe", "choice")),
    (os, "urandom"),
)
# The door itself, and what measures how long something takes on the machine.
ALLOWED = frozenset({"navarch.component.clock", "navarch.component.metrics"})


@contextmanager
def guarded(report: Callable[[str, str], None]) -> Iterator[None]:
    """Call `report` with "" and who did what, once for each place, until the end."""
    seen: set[tuple[str, int]] = set()
    replaced = [(module, name, getattr(module, name)) for module, name in GUARDED]
    for module, name, function in replaced:
        setattr(module, name, _guard(module.__name__, name, function, seen, report))
    try:
        yield
    finally:
        for module, name, function in replaced:
            setattr(module, name, function)


def _guard(
    module: str, name: str, function: Callable[..., Any], seen: set[tuple[str, int]], report: Callable[[str, str], None]
) -> Callable[..., Any]:
    def looked(*arguments: Any, **named: Any) -> Any:
        caller = sys._getframe(1)
        who = caller.f_globals.get("__name__", "")
        if who.startswith("navarch.") and who not in ALLOWED:
            place = (caller.f_code.co_filename, caller.f_lineno)
            if place not in seen:
                seen.add(place)
                report("", f"{place[0]}:{place[1]}: {caller.f_code.co_qualname} calls {module}.{name}")
        return function(*arguments, **named)

    return looked
