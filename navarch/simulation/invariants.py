"""Invariants of users: functions that are called whenever something has changed, and say whether all is as it must be.

    @invariant(resources=("pods",))
    def never_more_than_ten(state):
        assert len(list(state.objects("pods", "default"))) <= 10

A function is given the state of the store (`checkers.checker.State`). What it is not content with it says by failing an
assertion, by returning False, or by returning a string that says what. It is called once for all the changes of one moment.
"""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

from navarch.simulation.checkers.checker import Report, State
from navarch.simulation.observer import Observer, Seen

MARK = "__navarch_invariant__"
F = TypeVar("F", bound=Callable[[State], Any])


@overload
def invariant(function: F) -> F: ...


@overload
def invariant(*, resources: tuple[str, ...] = ()) -> Callable[[F], F]: ...


def invariant(function: F | None = None, *, resources: tuple[str, ...] = ()) -> F | Callable[[F], F]:
    """Mark a function as an invariant. `resources`: whose changes it is to be called for; all, if none are given."""

    def mark(marked: F) -> F:
        setattr(marked, MARK, tuple(resources))
        return marked

    return mark(function) if function is not None else mark


def marked(names: Mapping[str, Any]) -> list[Callable[[State], Any]]:
    """The invariants among what a module defines."""
    return [found for found in names.values() if callable(found) and hasattr(found, MARK)]


def read(files: Iterable[Path]) -> Iterator[Callable[[State], Any]]:
    """The invariants of Python files. Raises what running them raises."""
    for file in files:
        yield from marked(runpy.run_path(str(file)))


def watch(function: Callable[[State], Any], observer: Observer, state: State, report: Report) -> None:
    """Call it from now on. `report` is called with "" and what is wrong."""
    is_due = False

    def look() -> None:
        nonlocal is_due
        is_due = False
        try:
            found = function(state)
        except AssertionError as error:
            report("", str(error) or "it does not hold")
            return
        if found is False or isinstance(found, str):
            report("", found or "it does not hold")

    def changed(seen: Seen) -> None:
        nonlocal is_due
        if not is_due:
            is_due = True
            asyncio.get_running_loop().call_soon(look)

    observer.listen(changed, getattr(function, MARK, ()))
