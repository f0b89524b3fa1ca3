"""Regular expressions of RE2, whose time is linear in the text whatever the pattern: they come from users."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from navarch.apimachinery.cel.errors import EvaluationError

REMEMBERED = 1024
# What Go's parser says where RE2's says it in other words.
_SAID_BY_GO = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
}


@lru_cache(maxsize=REMEMBERED)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether the pattern is found in a text. Raises EvaluationError for what is no pattern."""
    compiled(pattern)
    import re2

    found = re2.Set.SearchSet(_options())
    found.Add(pattern)
    found.Compile()
    match = found.Match
    return lambda text: bool(match(text))


@lru_cache(maxsize=REMEMBERED)
def compiled(pattern: str) -> Any:
    """The pattern, with the methods of Python's own. Raises EvaluationError."""
    import re2

    try:
        return re2.compile(pattern, _options())
    except re2.error as error:
        said = error.args[0]
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise EvaluationError(f"error parsing regexp: {_as_go_says(text, pattern)}") from None


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
