"""The closures that plans are made of: each takes those of its parts, and returns a function of a frame."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from navarch.apimachinery.cel import cost, types
from navarch.apimachinery.cel.declarations import Overload
from navarch.apimachinery.cel.errors import CostLimitError, EvaluationError
from navarch.apimachinery.cel.libraries.conversions import shown
from navarch.apimachinery.cel.libraries.standard import optional_index
from navarch.apimachinery.cel.regular import matcher
from navarch.apimachinery.cel.types import Type
from navarch.apimachinery.cel.values import NO_SUCH_OVERLOAD, NONE, Optional, compare, map_key, type_of

Frame = dict[str, Any]
"""Variables by name."""
Plan = Callable[[Frame], Any]

_OPERATORS = frozenset("_!-@")


def variable(name: str, type_: Type) -> Plan:
    convert = type_.convert

    def run(frame: Frame) -> Any:
        try:
            value = frame[name]
        except KeyError:
            raise EvaluationError(f"no such attribute(s): {name}") from None
        return value if convert is None else convert(value)

    return run


def missing(value: Any, key: str) -> EvaluationError:
    return EvaluationError(f"no such key: {key}" if isinstance(value, Mapping) else NO_SUCH_OVERLOAD)


def field(operand: Plan, key: str) -> Plan:
    def run(frame: Frame) -> Any:
        value = operand(frame)
        try:
            return value[key]
        except (KeyError, TypeError, IndexError):
            raise missing(value, key) from None

    return run


def quick_path(name: str, keys: list[str], careful: Plan) -> Plan:
    """The same without a step for each key; what goes wrong is found out by the careful plan."""
    if len(keys) == 1:
        (key,) = keys

        def one(frame: Frame) -> Any:
            try:
                return frame[name][key]
            except (KeyError, TypeError):
                return careful(frame)

        return one

    def many(frame: Frame) -> Any:
        try:
            value = frame[name]
            for key in keys:
                value = value[key]
        except (KeyError, TypeError):
            return careful(frame)
        return value

    return many


def careful_path(name: str, slot: str, keys: list[str]) -> Plan:
    found: Plan = variable(name, types.DYN) if name == slot else operator.itemgetter(slot)
    for key in keys:
        found = field(found, key)
    return found


def presence(operand: Plan, key: str) -> Plan:
    def run(frame: Frame) -> bool:
        value = operand(frame)
        if isinstance(value, Mapping):
            return key in value
        if isinstance(value, Optional):
            return isinstance(value.value, Mapping) and key in value.value
        raise EvaluationError(NO_SUCH_OVERLOAD)

    return run


def optional_field(operand: Plan, key: str, convert: Callable[[Any], Any] | None) -> Plan:
    def run(frame: Frame) -> Optional:
        found = optional_index(operand(frame), key)
        return found if convert is None or found is NONE else Optional(convert(found.value))

    return run


def truth(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise EvaluationError(NO_SUCH_OVERLOAD)


def conjunction(first: Plan, second: Plan) -> Plan:
    return logic(first, second, decisive=False)


def disjunction(first: Plan, second: Plan) -> Plan:
    return logic(first, second, decisive=True)


def logic(first: Plan, second: Plan, *, decisive: bool) -> Plan:
    def run(frame: Frame) -> Any:
        try:
            verdict = first(frame)
        except CostLimitError:
            raise
        except EvaluationError as error:
            return absorb(error, frame)
        if verdict is decisive:
            return decisive
        if verdict.__class__ is not bool:
            return absorb(EvaluationError(NO_SUCH_OVERLOAD), frame)
        return truth(second(frame))

    def absorb(error: EvaluationError, frame: Frame) -> Any:
        """The other side decides, or the error of this one stands."""
        try:
            if second(frame) is decisive:
                return decisive
        except CostLimitError:
            raise
        except EvaluationError:
            pass
        raise error

    return run


def choice(condition: Plan, first: Plan, second: Plan) -> Plan:
    return lambda frame: first(frame) if truth(condition(frame)) else second(frame)


def fallback(optional: Plan, other: Plan, *, unwrap: bool) -> Plan:
    def run(frame: Frame) -> Any:
        found = optional(frame)
        if not isinstance(found, Optional):
            raise EvaluationError(NO_SUCH_OVERLOAD)
        if found is NONE:
            return other(frame)
        return found.value if unwrap else found

    return run


def given(value: Any) -> bool:
    if not isinstance(value, Optional):
        raise EvaluationError(f"cannot initialize optional list element from non-optional value {shown(value)}")
    return value is not NONE


def hashable(key: Any) -> Any:
    if isinstance(key, bool | int | str) or (isinstance(key, float) and key.is_integer()):
        return map_key(key)
    raise EvaluationError(f"unsupported key type: {type_of(key).name}")


def matching(text: Plan, pattern: str) -> Plan:
    def run(frame: Frame) -> bool:
        return matcher(pattern)(text(frame))

    return run


def kept(overload: Overload, argument: Any) -> Plan | None:
    try:
        value = overload.implementation(argument)
    except EvaluationError:
        return None
    return lambda frame: value


def apply(implementation: Callable[..., Any], plans: list[Plan]) -> Plan:
    match plans:
        case [only]:
            return lambda frame: implementation(only(frame))
        case [first, second]:
            return lambda frame: implementation(first(frame), second(frame))
    return lambda frame: implementation(*[run(frame) for run in plans])


def charged(amount: int, run: Plan) -> Plan:
    """The same, and what it costs."""

    def charge(frame: Frame) -> Any:
        meter = frame[cost.METER]
        meter.spent += amount
        if meter.spent > meter.limit:
            raise CostLimitError
        return run(frame)

    return charge


def charged_call(name: str, overload: Overload, plans: list[Plan]) -> Plan:
    """A call that costs by the sizes of its arguments and result."""
    implementation, id_ = overload.implementation, overload.id

    def run(frame: Frame) -> Any:
        arguments = [each(frame) for each in plans]
        result = implementation(*arguments)
        frame[cost.METER].charge(cost.call(name, id_, arguments, result))
        return result

    return run


def relation(holds: Callable[[int, int], bool], first: Plan, second: Plan) -> Plan:
    """``<`` and the like of values whose types are not known."""

    def run(frame: Frame) -> bool:
        order = compare(first(frame), second(frame))
        return order is not None and holds(order, 0)

    return run


def dispatch(name: str, overloads: tuple[Overload, ...], plans: list[Plan], metered: bool) -> Plan:
    """A call whose function is chosen by the values."""

    def run(frame: Frame) -> Any:
        arguments = [each(frame) for each in plans]
        for overload in overloads:
            if overload.takes(arguments):
                result = overload.implementation(*arguments)
                if metered:
                    frame[cost.METER].charge(cost.call(name, overload.id, arguments, result))
                return result
        # Operators do not say what they were given.
        given = (
            ""
            if name[0] in _OPERATORS or name[0] == "_"
            else f": {name}({', '.join(type_of(each).name for each in arguments)})"
        )
        raise EvaluationError(NO_SUCH_OVERLOAD + given)

    return run
