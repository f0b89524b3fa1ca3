"""Invariants of users: functions that are called whenever something has changed, and say whether all is as it must be.

    @invariant(resources=("pods",))
    def never_more_than_ten(state):
        assert len(list(state.objects("pods", "default"))) <= 10

A function is given the state of the store (`checkers.checker.State`). What it is not content with it says by failing an
assertion, by returning False, or by returning a string that says what; one that raises something else holds nothing, and that
is told too. It is called once for all the changes of one moment, and heard again when it has been content meanwhile.
"""

from __future__ import annotations

import asyncio
import runpy
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from navarch.simulation.checkers.checker import Report, State
from navarch.simulation.observer import Observer, Seen
from navarch.simulation.resources import resource_of

MARK = "__navarch_invariant__"
F = TypeVar("F", bound=Callable[[State], Any])


@overload
def invariant(function: F) -> F: ...


@overload
def invariant(*, resources: Sequence[str] = ()) -> Callable[[F], F]: ...


def invariant(function: F | None = None, *, resources: Sequence[str] = ()) -> F | Callable[[F], F]:
    """Mark a function as an invariant. `resources`: whose changes it is to be called for; all, if none are given.

    Built-in ones go by any of their names, custom ones by ``plural.group``.
    """

    def mark(marked: F) -> F:
        setattr(marked, MARK, (resources,) if isinstance(resources, str) else tuple(resources))
        return marked

    return mark(function) if function is not None else mark


def marked(names: Mapping[str, Any]) -> list[Callable[[State], Any]]:
    """The invariants among what a module defines."""
    return [found for found in names.values() if callable(found) and hasattr(found, MARK)]


def read(files: Iterable[Path]) -> Iterator[Callable[[State], Any]]:
    """The invariants of Python files. Raises what running them raises."""
    for file in files:
        yield from marked(runpy.run_path(str(file)))


def resources(function: Callable[[State], Any]) -> list[str]:
    """Whose changes an invariant is called for, as ``plural.group``; [] is all. Raises ValueError for one that is unknown."""
    try:
        return [resource_of(name) for name in getattr(function, MARK, ())]
    except KeyError as error:
        raise ValueError(f"{getattr(function, '__name__', 'an invariant')}: {error.args[0]}") from None


def watch(function: Callable[[State], Any], observer: Observer, state: State, report: Report) -> None:
    """Call it from now on. `report` is called with "" and what is wrong. Raises ValueError for an unknown resource."""
    names = resources(function)
    is_due, is_broken = False, False

    def look() -> None:
        nonlocal is_due, is_broken
        is_due, was_broken = False, is_broken
        problem = _problem(function, state)
        is_broken = bool(problem)
        if problem and not was_broken:
            report("", problem)

    def changed(seen: Seen) -> None:
        nonlocal is_due
        if not is_due:
            is_due = True
            asyncio.get_running_loop().call_soon(look)

    observer.listen(changed, names)


def _problem(function: Callable[[State], Any], state: State) -> str:
    """What an invariant is not content with, or ""."""
    try:
        found = function(state)
    except AssertionError as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return str(error) or f"{last.line} does not hold ({Path(last.filename).name}:{last.lineno})"
    except Exception as error:  # noqa: BLE001 - it is the user's
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"it cannot be looked at: {type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
    if found is False or isinstance(found, str):
        return found or "it does not hold"
    return ""
