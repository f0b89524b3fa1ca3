"""Regular expressions as Go has them, by RE2: their time is linear in the text whatever the pattern, and they come from users.

What is no pattern is refused in the words of Go's parser.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

REMEMBERED = 1024
QUICK_LIMIT_INSTRUCTIONS = 10_000
"""Up to this size a set of one pattern is searched with, which is several times as fast, but finds nothing when it runs out of
memory."""
# What Go's parser says where RE2's says it in other words.
_SAID_BY_GO = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "trailing \\": "trailing backslash at end of expression",
}
# RE2 takes it for any byte, Go for nothing.
_ANY_BYTE = re.compile(r"(?:^|[^\\])(?:\\\\)*\\C")


@lru_cache(maxsize=REMEMBERED)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether the pattern is found in a text. Raises ValueError for what is no pattern."""
    found = compiled(pattern)
    if found.programsize > QUICK_LIMIT_INSTRUCTIONS:
        search = found.search
        return lambda text: search(text) is not None
    import re2

    found = re2.Set.SearchSet(_options())
    found.Add(pattern)
    found.Compile()
    match = found.Match
    return lambda text: bool(match(text))


@lru_cache(maxsize=REMEMBERED)
def compiled(pattern: str) -> Any:
    """The pattern, with the methods of Python's own. Raises ValueError for what is none."""
    import re2

    if _ANY_BYTE.search(pattern) and r"\Q" not in pattern:
        raise ValueError(r"error parsing regexp: invalid escape sequence: `\C`")
    try:
        return re2.compile(pattern, _options())
    except re2.error as error:
        said = error.args[0]
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise ValueError(f"error parsing regexp: {_as_go_says(text, pattern)}") from None


@lru_cache(maxsize=1)
def _options() -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    return options


def _as_go_says(text: str, pattern: str) -> str:
    reason, _, where = text.partition(": ")
    if reason == "invalid repetition size":
        # Go shows the count alone, as does RE2; but what it repeats is not part of it.
        where = (re.search(r"\{[\d,]+\}", where) or [where])[0]
    if reason == "unexpected )":
        where = pattern
        return f"unexpected ): `{where}`"
    return f"{_SAID_BY_GO.get(reason, reason)}: `{where}`"
