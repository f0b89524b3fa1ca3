"""Formats of strings, and regular expressions as Go understands them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import gopattern
from navarch.apimachinery.structural import formats

LETTER = r"[a-zA-Z0-9\p{S}\p{L}]"


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("bsonobjectid", "507f1f77bcf86cd799439011", "507f1f77"),
        ("uri", "https://example.com/a?b", "a b"),
        ("uri", "/path", "path"),
        ("email", "a@example.com", "example.com"),
        ("hostname", "web-1.example.com", "-web"),
        ("hostname", "localhost", "a_b"),
        ("ipv4", "192.0.2.1", "192.0.2"),
        ("ipv6", "2001:db8::1", "192.0.2.1"),
        ("cidr", "192.0.2.0/24", "192.0.2.0"),
        ("mac", "00:00:5e:00:53:01", "00:00:5e"),
        ("mac", "0000.5e00.5301", "00:00-5e:00:53:01"),
        ("uuid", "123E4567-e89b-12d3-a456-426614174000", "123"),
        ("uuid3", "123e4567-e89b-32d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
        ("uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-42d3-c456-426614174000"),
        ("uuid5", "123e4567-e89b-52d3-a456-426614174000", "123e4567-e89b-42d3-a456-426614174000"),
        ("isbn", "0321751043", "0321751044"),
        ("isbn13", "978-0321751041", "978-0321751042"),
        ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
        ("ssn", "111-22-3333", "111-22-33"),
        ("hexcolor", "#FFf", "#FFFF"),
        ("rgbcolor", "rgb(1, 2,255)", "rgb(1,2,256)"),
        ("byte", "aGk=", "aGk"),
        ("date", "2026-02-28", "2026-02-30"),
        ("date-time", "2026-01-01T00:00:00.5+01:00", "2026-01-01"),
        ("datetime", "2026-01-01t00:00:00z", "yesterday"),
        ("duration", "1h30m", "an hour"),
        ("duration", "3 days", "3 fortnights"),
        ("k8s-short-name", "web-1", "web.1"),
        ("k8s-long-name", "web.1", "Web"),
    ],
)
def test_formats(form: str, good: str, bad: str) -> None:
    assert formats.is_known("string", form)
    assert formats.matches(form, good) and not formats.matches(form, bad)


def test_which_formats_are_known() -> None:
    assert formats.is_known("integer", "int32") and formats.is_known("number", "double")
    assert not formats.is_known("string", "int32") and not formats.is_known("array", "date")
    assert formats.is_known("", "quantity") and formats.matches("quantity", "anything"), "known, but not looked at"


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (r"^[a-z]([-a-z0-9]*[a-z0-9])?$", "a-1", "a-1\n"),
        (r"^\d+$", "12", "१"),
        (r"^[[:alpha:]_]+$", "a_b", "1"),
        (r"^\pL+$", "é", "1"),
        (r"^[\p{Lu}\d]+$", "É1", "é"),
        (r"^\PL$", "1", "a"),
        (r"^\Qa.b\E$", "a.b", "axb"),
        (r"^[]a]$", "]", "b"),
        (r"^[[]$", "[", "]"),
        (r"(?i)^abc$", "ABC", "ab"),
        (r"^(?<year>\d{4})$", "2026", "26"),
        (r"^\x{41}\z", "A", "B"),
        (r"^\S+$", "a", "a b"),
        (r"^\p{Greek}+$", "ω", "w"),
        (r"^\\C$", "\\C", "C"),
    ],
)
def test_patterns_mean_what_they_mean_in_go(pattern: str, matching: str, other: str) -> None:
    found = gopattern.compiled(pattern)
    assert found.search(matching) and not found.search(other)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a(b", "missing closing ): `a(b`"),
        ("a)b", "unexpected ): `a)b`"),
        ("[a", "missing closing ]: `[a`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?<!a)", "invalid or unsupported Perl syntax: `(?<!`"),
        (r"\y", "invalid escape sequence: `\\y`"),
        ("\\", "trailing backslash at end of expression: ``"),
        (r"a\C", "invalid escape sequence: `\\C`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        (r"\p{Klingon}", "invalid character class range: `\\p{Klingon}`"),
        ("[b-a]", "invalid character class range: `b-a`"),
    ],
)
def test_what_is_no_pattern_is_refused_in_gos_words(pattern: str, text: str) -> None:
    with pytest.raises(ValueError) as refused:
        gopattern.compiled(pattern)
    assert str(refused.value) == f"error parsing regexp: {text}"


def test_a_pattern_too_large_for_a_quick_search_is_searched_for_all_the_same() -> None:
    pattern = rf"^({LETTER}(([a-zA-Z0-9\-\p{{S}}\p{{L}}]{{0,61}}{LETTER})?)\.)+[a-zA-Z\p{{L}}]{{2,63}}$"
    assert gopattern.compiled(pattern).programsize > gopattern.QUICK_LIMIT_INSTRUCTIONS
    found = gopattern.matcher(pattern)
    assert found("web-1.example.com") and not found("-web.example.com")


@given(st.text(max_size=20))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        gopattern.compiled(text)
    except ValueError as refused:
        assert str(refused).startswith("error parsing regexp: ")


@given(st.text(max_size=12))
def test_quoted_text_matches_itself(text: str) -> None:
    if r"\E" not in text and not text.endswith("\\"):
        assert gopattern.compiled(rf"^\Q{text}\E$").search(text)
