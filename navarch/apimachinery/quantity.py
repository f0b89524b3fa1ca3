"""Resource quantities: ``100m``, ``1.5Gi``, ``2e3`` (k8s.io/apimachinery/pkg/api/resource).

Exact: a quantity is a `Fraction`. Canonical form keeps the value, writes no fraction, and takes the largest suffix that
allows it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache

FORMAT_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIXES = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_PATTERN = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?[0-9]+)?\Z", re.ASCII)
_EXPONENT_LIMIT = 1000
_NANO = Fraction(1, 10**9)
_BINARY_LIMIT = Fraction(2**63 - 1)
"""What is larger, and written with a binary suffix, is taken for this."""


@lru_cache(maxsize=4096)
def _parsed(text: str) -> tuple[Fraction, str]:
    """Value and format: "binary", "exponent" or "decimal"."""
    match = _PATTERN.match(text)
    if match is None:
        raise ValueError(FORMAT_ERROR)
    sign, digits, suffix = match.group(1), match.group(2), match.group(3) or ""
    value = Fraction(digits)
    if suffix in _BINARY:
        value, form = value * 1024 ** _BINARY[suffix], "binary"
    elif suffix in _DECIMAL:
        value, form = value * Fraction(10) ** _DECIMAL[suffix], "decimal"
    else:
        exponent = int(suffix[1:])
        if abs(exponent) > _EXPONENT_LIMIT:
            raise ValueError(FORMAT_ERROR)
        value, form = value * Fraction(10) ** exponent, "exponent"
    # Nothing finer than nano is kept; the rest is rounded up, away from zero.
    value = Fraction(math.ceil(value / _NANO)) * _NANO
    if form == "binary":
        value = min(value, _BINARY_LIMIT)
    return (-value if sign == "-" else value), form


def parse(text: str | int | float) -> Fraction:
    """The exact value. Raises ValueError with Kubernetes' message."""
    return _parsed(str(text))[0]


def value(text: str | int | float) -> int:
    """The value in whole units, rounded up (bytes, items)."""
    return math.ceil(parse(text))


def milli(text: str | int | float) -> int:
    """The value in thousandths, rounded up (milli-CPU)."""
    return math.ceil(parse(text) * 1000)


@lru_cache(maxsize=4096)
def canonical(text: str | int | float) -> str:
    """The one way Kubernetes writes this quantity, keeping the suffix family it was given in. Raises ValueError."""
    return _canonical(str(text))


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    return format_quantity(*_parsed(text))


def format_quantity(amount: Fraction | int, form: str = "decimal") -> str:
    """Write `amount` in ``decimal``, ``binary`` or ``exponent`` form."""
    amount = Fraction(amount)
    if amount == 0:
        return "0"
    if form == "binary" and abs(amount) >= 1024 and amount.denominator == 1:
        number, power = amount.numerator, 0
        while power < 6 and number % 1024 == 0:
            number, power = number // 1024, power + 1
        suffix = next((name for name, step in _BINARY.items() if step == power), "")
        return f"{number}{suffix}"
    exponent = -9
    nanos = amount / _NANO
    assert nanos.denominator == 1
    digits = nanos.numerator
    while (exponent < 18 or form == "exponent") and digits % 1000 == 0:
        digits, exponent = digits // 1000, exponent + 3
    if form == "exponent":
        return f"{digits}e{exponent}" if exponent else str(digits)
    return f"{digits}{_DECIMAL_SUFFIXES[exponent]}"


@lru_cache(maxsize=4096)
def is_greater(amount: str, other: str) -> bool:
    """Whether `amount` is more than `other`."""
    return amount != other and _parsed(amount)[0] > _parsed(other)[0]


def is_equal(amount: str, other: str) -> bool:
    """Whether they are the same amount, however they are written."""
    return amount == other or _parsed(amount)[0] == _parsed(other)[0]


def rounded_to_milli(text: str) -> str:
    """A canonical quantity, its thousandths rounded up: nothing finer is kept of what pods and nodes have."""
    if text[-1] not in "nu" and "e" not in text:
        return text
    amount, form = _parsed(text)
    return format_quantity(Fraction(math.ceil(amount * 1000), 1000), form)


def total(amounts: Iterable[str]) -> str:
    """The sum, in the form of the first amount that is not zero."""
    found, form = Fraction(0), "decimal"
    for text in amounts:
        amount, its_form = _parsed(text)
        if not found:
            form = its_form
        found += amount
    return format_quantity(found, form)


def remainder(amount: str, taken: str) -> str:
    """What is left of `amount`, or nothing if more than that is taken."""
    value, form = _parsed(amount)
    less, its_form = _parsed(taken)
    return format_quantity(max(value - less, Fraction(0)), form if value else its_form)
