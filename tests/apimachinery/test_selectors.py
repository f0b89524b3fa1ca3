"""Label and field selectors: the grammar round trips, and matching is what it says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import selectors
from navarch.apimachinery.selectors import EVERYTHING, NOTHING, Requirement, Selector

KEYS = st.sampled_from(["a", "b", "app", "example.com/x", "in", "notin", "A-b_c.d"])
VALUES = st.sampled_from(["", "1", "2", "10", "x", "x-y_z.0", "in"])
LABELS = st.dictionaries(KEYS, VALUES, max_size=4)


@st.composite
def requirements(draw: st.DrawFn) -> Requirement:
    operator = draw(st.sampled_from(["in", "notin", "exists", "!", "gt", "lt"]))
    key = draw(KEYS)
    if operator in ("in", "notin"):
        return Requirement(key, operator, tuple(sorted(set(draw(st.lists(VALUES, min_size=1, max_size=3))))))
    if operator in ("gt", "lt"):
        return Requirement(key, operator, (str(draw(st.integers(-5, 20))),))
    return Requirement(key, operator)


def naive(requirement: Requirement, labels: dict[str, str]) -> bool:
    key, values = requirement.key, requirement.values
    number = labels.get(key, "x")
    is_number = number.lstrip("-").isdigit()
    return {
        "in": key in labels and labels[key] in values,
        "notin": key not in labels or labels[key] not in values,
        "exists": key in labels,
        "!": key not in labels,
        "gt": is_number and int(number) > int((values or ("0",))[0] if requirement.operator in ("gt", "lt") else 0),
        "lt": is_number and int(number) < int((values or ("0",))[0] if requirement.operator in ("gt", "lt") else 0),
    }[requirement.operator]


@given(st.lists(requirements(), max_size=4).map(tuple), LABELS)
def test_a_selector_matches_where_all_its_requirements_hold(parts: tuple[Requirement, ...], labels: dict[str, str]) -> None:
    assert Selector(parts).matches(labels) == all(naive(part, labels) for part in parts)


@given(st.lists(requirements(), max_size=4).map(tuple), LABELS)
def test_a_selector_written_down_is_read_back(parts: tuple[Requirement, ...], labels: dict[str, str]) -> None:
    selector = Selector(parts)
    again = selectors.parse(str(selector))
    assert again.matches(labels) == selector.matches(labels)
    assert str(again) == str(selector)


@given(st.text(max_size=20))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    for parse in (selectors.parse, selectors.parse_fields):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)


@given(LABELS, LABELS)
def test_a_set_selects_its_supersets(wanted: dict[str, str], labels: dict[str, str]) -> None:
    assert selectors.from_set(wanted).matches({**labels, **wanted})
    assert selectors.from_set(wanted).matches(labels) == (wanted.items() <= labels.items())
    assert selectors.from_label_selector({"matchLabels": wanted}).matches(labels) == (wanted.items() <= labels.items())


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a!=b", {}, True),
        ("a=", {"a": ""}, True),
        ("a in (b,c)", {"a": "c"}, True),
        ("a notin (b)", {}, True),
        ("!a", {"a": ""}, False),
        (" a = b , c ", {"a": "b", "c": "x"}, True),
        ("a in (,b)", {"a": ""}, True),
        ("a>5", {"a": "6"}, True),
        ("a>5", {"a": "x"}, False),
        ("a<5", {}, False),
        ("example.com/a", {"example.com/a": "1"}, True),
    ],
)
def test_the_grammar_of_query_strings(text: str, labels: dict[str, str], expected: bool) -> None:
    assert selectors.parse(text).matches(labels) is expected


def test_a_missing_label_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert selectors.from_label_selector(None) is NOTHING and not NOTHING.matches({})
    assert selectors.from_label_selector({}).is_everything and EVERYTHING.matches({"a": "b"})


@pytest.mark.parametrize(
    "expression",
    [{"key": "a", "operator": "Sometimes"}, {"key": "a", "operator": ""}],
)
def test_expressions_with_unknown_operators_are_refused(expression: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not a valid label selector operator"):
        selectors.from_label_selector({"matchExpressions": [expression]})


FIELD_VALUES = st.text(alphabet="ab=,\\! .", max_size=6)


@given(st.lists(st.tuples(st.sampled_from(["metadata.name", "spec.nodeName"]), FIELD_VALUES, st.booleans()), max_size=3))
def test_field_selectors_with_escapes_are_read_back(parts: list[tuple[str, str, bool]]) -> None:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")

    text = ",".join(f"{field}{'=' if equal else '!='}{escaped(value)}" for field, value, equal in parts)
    found = [(part.field, part.value, part.equal) for part in selectors.parse_fields(text)]
    assert found == parts
