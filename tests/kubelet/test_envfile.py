"""Files of variables."""

from __future__ import annotations

import re

import pytest

from navarch.kubelet import envfile


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("A='one'\nB='two'", "B", "two"),
        ("\n  # no\n\tA='x=$y \\n'   # yes\n", "A", "x=$y \\n"),
        ("A='first\n# second\r\n third'\nB='2'", "A", "first\n# second\n third"),
        ("A= 'one'\nB='2'", "A", ""),
        ("A='1'\nA='2'", "A", "1"),
        ("A='1'", "B", ""),
        # What comes after it is not looked at.
        ("A='1'\nrubbish", "A", "1"),
    ],
)
def test_values_stand_between_quotes(text: str, name: str, value: str) -> None:
    assert envfile.value(text, name) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rubbish", "invalid environment variable format at line 1: missing '='"),
        ("\n='1'", "invalid environment variable format at line 2: empty variable name"),
        ("B ='1'", "invalid environment variable format at line 1: whitespace before '=' is not allowed"),
        ("B=1", "invalid environment variable format at line 1: value must be enclosed in single quotes"),
        ("B=", "invalid environment variable format at line 1: value must be enclosed in single quotes"),
        ("B='1\n2'x", "invalid environment variable format at line 2: unexpected content after closing quote"),
        ("\nB='1\n2", "invalid environment variable format starting at line 2: unclosed single quote"),
    ],
)
def test_what_is_of_another_form_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        envfile.value(text, "A")
