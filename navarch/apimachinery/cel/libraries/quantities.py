"""Resource quantities."""

from __future__ import annotations

from fractions import Fraction

from navarch.apimachinery import quantity
from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.declarations import Library, functions
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.values import INT_MAX, INT_MIN, Opaque


class Quantity(Opaque):
    """An exact amount."""

    __slots__ = ("amount",)
    cel_type = types.opaque("kubernetes.Quantity")

    def __init__(self, amount: Fraction) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.amount == other.amount

    def __hash__(self) -> int:
        return hash(self.amount)

    @property
    def integer(self) -> int | None:
        """None if it is none of 64 bits."""
        whole = self.amount.denominator == 1 and INT_MIN <= self.amount <= INT_MAX
        return self.amount.numerator if whole else None


def parse(text: str) -> Quantity:
    try:
        return Quantity(quantity.parse(text))
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        quantity.parse(text)
    except ValueError:
        return False
    return True


def _as_integer(value: Quantity) -> int:
    if value.integer is None:
        raise EvaluationError("cannot convert value to integer")
    return value.integer


def _sign(value: Fraction) -> int:
    return (value > 0) - (value < 0)


_Q = "kubernetes.Quantity"
LIBRARY = Library(
    "kubernetes.quantity",
    functions(
        {
            "quantity": [("string_to_quantity", f"(string) -> {_Q}", parse)],
            "isQuantity": [("is_quantity_string", "(string) -> bool", _is_quantity)],
            "sign": [("quantity_sign", f"{_Q}.() -> int", lambda value: _sign(value.amount))],
            "isGreaterThan": [("quantity_is_greater_than", f"{_Q}.({_Q}) -> bool", lambda a, b: a.amount > b.amount)],
            "isLessThan": [("quantity_is_less_than", f"{_Q}.({_Q}) -> bool", lambda a, b: a.amount < b.amount)],
            "compareTo": [("quantity_compare_to", f"{_Q}.({_Q}) -> int", lambda a, b: _sign(a.amount - b.amount))],
            "asApproximateFloat": [("quantity_get_float", f"{_Q}.() -> double", lambda value: float(value.amount))],
            "asInteger": [("quantity_get_int", f"{_Q}.() -> int", _as_integer)],
            "isInteger": [("quantity_is_integer", f"{_Q}.() -> bool", lambda value: value.integer is not None)],
            "add": [
                ("quantity_add", f"{_Q}.({_Q}) -> {_Q}", lambda a, b: Quantity(a.amount + b.amount)),
                ("quantity_add_int", f"{_Q}.(int) -> {_Q}", lambda a, b: Quantity(a.amount + b)),
            ],
            "sub": [
                ("quantity_sub", f"{_Q}.({_Q}) -> {_Q}", lambda a, b: Quantity(a.amount - b.amount)),
                ("quantity_sub_int", f"{_Q}.(int) -> {_Q}", lambda a, b: Quantity(a.amount - b)),
            ],
        }
    ),
    types={_Q: Quantity.cel_type},
)
