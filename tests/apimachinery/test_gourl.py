"""URLs are taken apart as Go does it, and refused in its words."""

from __future__ import annotations

import pytest

from navarch.apimachinery.gourl import URL, parse


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("https://example.com", URL("https", None, "example.com")),
        ("HTTPS://example.com:8443/a%20b?c=%zz#d", URL("https", None, "example.com:8443", "/a b", "c=%zz", "d")),
        ("https://me:p%40ss@example.com/", URL("https", "me:p%40ss", "example.com", "/")),
        ("https://@example.com", URL("https", "", "example.com")),
        ("https://[::1]:443/x", URL("https", None, "[::1]:443", "/x")),
        ("https:opaque?x", URL("https", query="x")),
        ("a/b:c", URL(path="a/b:c")),
        ("///a", URL(path="///a")),
        ("https:///a", URL("https", None, "", "/a")),
        ("https://a:", URL("https", None, "a:")),
        ("", URL()),
    ],
)
def test_a_url_is_taken_apart(raw: str, expected: URL) -> None:
    assert parse(raw) == expected


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("://a", 'parse "://a": missing protocol scheme'),
        ("a:b\x7f", 'parse "a:b\\x7f": net/url: invalid control character in URL'),
        ("1https://a", 'parse "1https://a": first path segment in URL cannot contain colon'),
        ("a_b:c", 'parse "a_b:c": first path segment in URL cannot contain colon'),
        ("https://a b/", 'parse "https://a b/": invalid character " " in host name'),
        ("https://a:b/#c", 'parse "https://a:b/": invalid port ":b" after host'),
        ("https://[::1", "parse \"https://[::1\": missing ']' in host"),
        ("https://a/%zz", 'parse "https://a/%zz": invalid URL escape "%zz"'),
        ("https://a/%", 'parse "https://a/%": invalid URL escape "%"'),
        ("https://%41/", 'parse "https://%41/": invalid URL escape "%41"'),
        ("https://a|b@c/", 'parse "https://a|b@c/": net/url: invalid userinfo'),
        ("https://a/#%g", 'parse "https://a/#%g": invalid URL escape "%g"'),
    ],
)
def test_what_go_does_not_take_is_refused_in_its_words(raw: str, text: str) -> None:
    with pytest.raises(ValueError, match="parse") as caught:
        parse(raw)
    assert str(caught.value) == text
