"""Loops of comprehensions, one for each macro. `slots` are the names in the frame of its variables, `bodies` the
expressions in it.

``all`` and ``exists`` absorb errors as ``&&`` and ``||`` do: an element that decides makes what went wrong with others not
matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from navarch.apimachinery.cel import cost, values
from navarch.apimachinery.cel.closures import Frame, Plan
from navarch.apimachinery.cel.errors import CostLimitError, EvaluationError
from navarch.apimachinery.cel.values import NO_SUCH_OVERLOAD, map_key

Rounds = Callable[[Frame], Iterable[Any]]


def fold(name: str, over: Plan, slots: tuple[str, ...], bodies: list[Plan], steps: tuple[int, int] | None) -> Plan:
    """The plan of a macro; `steps` is what a round and the whole cost, or None if nothing is counted."""
    rounds = _counted(_rounds(over, slots), steps[0]) if steps else _rounds(over, slots)
    last = bodies[-1]
    wanted = bodies[0] if len(bodies) == 2 else None
    match name:
        case "all":
            found = _quantifier(rounds, last, decisive=False)
        case "exists":
            found = _quantifier(rounds, last, decisive=True)
        case "exists_one" | "existsOne":
            found = _only_one(rounds, last)
        case "filter":
            found = _filter(rounds, last, steps is not None)
        case "transformMap":
            found = _collected(_mapping_of(rounds, slots[0], last, wanted), cost.MAP_BASE, steps)
        case "transformMapEntry":
            found = _collected(_merged(rounds, last, wanted), cost.MAP_BASE, steps)
        case _:
            found = _collected(_list_of(rounds, last, wanted), cost.LIST_BASE, steps)
    return _ended(found, steps[1]) if steps else found


def _rounds(over: Plan, slots: tuple[str, ...]) -> Rounds:
    if len(slots) == 1:
        (slot,) = slots

        def single(frame: Frame) -> Iterable[Any]:
            found = over(frame)
            elements = found if isinstance(found, list) else _keys(found)
            for element in elements:
                frame[slot] = element
                yield element

        return single
    first, second = slots

    def pairs(frame: Frame) -> Iterable[Any]:
        found = over(frame)
        entries = enumerate(found) if isinstance(found, list) else ((key, found[map_key(key)]) for key in _keys(found))
        for frame[first], frame[second] in entries:
            yield frame[first]

    return pairs


def _keys(found: Any) -> Iterable[Any]:
    if isinstance(found, Mapping):
        return values.keys(found)
    raise EvaluationError(NO_SUCH_OVERLOAD)


def _counted(rounds: Rounds, amount: int) -> Rounds:
    def run(frame: Frame) -> Iterable[Any]:
        charge = frame[cost.METER].charge
        for element in rounds(frame):
            charge(amount)
            yield element

    return run


def _ended(run: Plan, amount: int) -> Plan:
    def ended(frame: Frame) -> Any:
        value = run(frame)
        frame[cost.METER].charge(amount)
        return value

    return ended


def _collected(run: Plan, base: int, steps: tuple[int, int] | None) -> Plan:
    if steps is None:
        return run

    def collected(frame: Frame) -> Any:
        frame[cost.METER].charge(base)
        return run(frame)

    return collected


def _quantifier(rounds: Rounds, predicate: Plan, *, decisive: bool) -> Plan:
    def run(frame: Frame) -> Any:
        failure: EvaluationError | None = None
        for _ in rounds(frame):
            try:
                verdict = predicate(frame)
            except CostLimitError:
                raise
            except EvaluationError as error:
                failure = failure or error
                continue
            if verdict is decisive:
                return decisive
            if verdict.__class__ is not bool:
                failure = failure or EvaluationError(NO_SUCH_OVERLOAD)
        if failure is not None:
            raise failure
        return not decisive

    return run


def _holds(predicate: Plan, frame: Frame) -> bool:
    verdict = predicate(frame)
    if verdict.__class__ is not bool:
        raise EvaluationError(NO_SUCH_OVERLOAD)
    return bool(verdict)


def _only_one(rounds: Rounds, predicate: Plan) -> Plan:
    # An error counts even after a second one was found.
    return lambda frame: sum(_holds(predicate, frame) for _ in rounds(frame)) == 1


def _filter(rounds: Rounds, predicate: Plan, metered: bool) -> Plan:
    if not metered:
        return lambda frame: [element for element in rounds(frame) if _holds(predicate, frame)]

    def run(frame: Frame) -> list[Any]:
        charge = frame[cost.METER].charge
        charge(cost.LIST_BASE)
        found = []
        for element in rounds(frame):
            if _holds(predicate, frame):
                charge(cost.LIST_BASE + 2)
                found.append(element)
        return found

    return run


def _list_of(rounds: Rounds, transform: Plan, wanted: Plan | None) -> Plan:
    if wanted is None:
        return lambda frame: [transform(frame) for _ in rounds(frame)]
    return lambda frame: [transform(frame) for _ in rounds(frame) if _holds(wanted, frame)]


def _mapping_of(rounds: Rounds, slot: str, transform: Plan, wanted: Plan | None) -> Plan:
    def run(frame: Frame) -> dict[Any, Any]:
        return {map_key(frame[slot]): transform(frame) for _ in rounds(frame) if wanted is None or _holds(wanted, frame)}

    return run


def _merged(rounds: Rounds, transform: Plan, wanted: Plan | None) -> Plan:
    def run(frame: Frame) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for _ in rounds(frame):
            if wanted is None or _holds(wanted, frame):
                for key, value in transform(frame).items():
                    if key in found:
                        raise EvaluationError(f"insert failed: key {key} already exists")
                    found[key] = value
        return found

    return run
