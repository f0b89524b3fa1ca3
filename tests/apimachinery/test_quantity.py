"""Quantities against exact arithmetic, and the ways Kubernetes writes them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import quantity

SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(1024),
    "Mi": Fraction(1024**2),
    "Gi": Fraction(1024**3),
    "Ti": Fraction(1024**4),
    "Pi": Fraction(1024**5),
    "Ei": Fraction(1024**6),
    "e3": Fraction(10**3),
    "E-2": Fraction(1, 100),
    "e+4": Fraction(10**4),
}


@st.composite
def quantities(draw: st.DrawFn) -> tuple[str, Fraction]:
    """(text, value), no finer than nano."""
    suffix = draw(st.sampled_from(sorted(SUFFIXES)))
    # More than 63 bits are not told apart where the suffix is binary.
    whole = draw(st.integers(0, min(10**12, (2**63 - 1) // int(SUFFIXES[suffix])) if suffix.endswith("i") else 10**12))
    decimals = draw(st.integers(0, 9))
    sign = draw(st.sampled_from(["", "-", "+"]))
    number = Fraction(whole, 10**decimals)
    digits = f"{whole // 10**decimals}"
    if decimals:
        digits += f".{whole % 10**decimals:0{decimals}}"
    return f"{sign}{digits}{suffix}", (-1 if sign == "-" else 1) * number * SUFFIXES[suffix]


@given(quantities())
def test_the_value_is_exact_down_to_nano(case: tuple[str, Fraction]) -> None:
    text, exact = case
    found = quantity.parse(text)
    if (exact * 10**9).denominator == 1:
        assert found == exact
    else:
        assert abs(found) > abs(exact) and abs(found - exact) < Fraction(1, 10**9), "rounded away from zero"


@given(quantities())
def test_the_canonical_form_keeps_the_value_and_is_its_own(case: tuple[str, Fraction]) -> None:
    canonical = quantity.canonical(case[0])
    assert quantity.parse(canonical) == quantity.parse(case[0])
    assert quantity.canonical(canonical) == canonical
    assert "." not in canonical


@given(quantities())
def test_whole_and_milli_values_round_up(case: tuple[str, Fraction]) -> None:
    exact = quantity.parse(case[0])
    assert 0 <= quantity.value(case[0]) - exact < 1
    assert 0 <= quantity.milli(case[0]) - exact * 1000 < 1


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_refused_with_kubernetes_words(text: str) -> None:
    try:
        quantity.parse(text)
    except ValueError as error:
        assert str(error) == quantity.FORMAT_ERROR


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("0Gi", "0"),
        ("-0", "0"),
        ("100m", "100m"),
        ("0.1", "100m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1000Ki", "1000Ki"),
        ("1e3", "1e3"),
        ("1E6", "1e6"),
        ("12e6", "12e6"),
        ("10e-3", "10e-3"),
        ("123456789", "123456789"),
        ("1.0", "1"),
        ("1.", "1"),
        (".5", "500m"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("-1.5", "-1500m"),
        ("+3", "3"),
        ("5Ei", "5Ei"),
        ("9Ei", "9223372036854775807"),
        ("-9223372036854775807Ki", "-9223372036854775807"),
        ("0.9765625Ki", "1k"),
        ("1e21", "1e21"),
        ("1e-7", "100e-9"),
        ("12E", "12E"),
        (3, "3"),
        (0.25, "250m"),
    ],
)
def test_forms_as_kubernetes_writes_them(text: str | int | float, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1KI", "1ki", "1.1.1", ".", "e3", "1e", "1e1.5", "--1", "1mm", "0x1", "١", "1\n"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match the regular expression"):
        quantity.parse(text)


@given(st.lists(quantities(), max_size=5))
def test_a_total_is_the_exact_sum(cases: list[tuple[str, Fraction]]) -> None:
    amounts = [text for text, _ in cases]
    assert quantity.parse(quantity.total(amounts)) == sum(map(quantity.parse, amounts), Fraction(0))


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ((), "0"),
        (("0", "0Mi"), "0"),
        (("1Gi", "512Mi"), "1536Mi"),
        (("0", "1Gi"), "1Gi"),
        (("500m", "1500m"), "2"),
        (("1k", "1Ki"), "2024"),
    ],
)
def test_a_total_is_written_as_its_first_amount(amounts: tuple[str, ...], expected: str) -> None:
    assert quantity.total(amounts) == expected


@pytest.mark.parametrize(
    ("amount", "taken", "expected"),
    [
        ("2", "500m", "1500m"),
        ("1Gi", "512Mi", "512Mi"),
        ("1", "2", "0"),
        ("0", "1Gi", "0"),
        ("1Gi", "0", "1Gi"),
        ("1Ki", "24", "1k"),
    ],
)
def test_what_is_left_is_never_less_than_nothing(amount: str, taken: str, expected: str) -> None:
    assert quantity.remainder(amount, taken) == expected
