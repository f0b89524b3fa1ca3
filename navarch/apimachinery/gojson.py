"""JSON as Go's encoding/json writes it, and what differs between two values (k8s.io/apimachinery/pkg/util/diff)."""

from __future__ import annotations

import difflib
import json
from itertools import islice
from typing import Any

# Go's encoder takes care of HTML.
_ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
_HEADER_LINES = 2


def marshalled(value: Any, indent: int | None = None) -> str:
    """`value`, the fields of its dicts in their order; on one line, or indented by so many spaces a level."""
    separators = (",", ":" if indent is None else ": ")
    return json.dumps(value, ensure_ascii=False, indent=indent, separators=separators).translate(_ESCAPED)


def difference(before: Any, now: Any) -> str:
    """A unified diff of two values, each written on many lines: three lines of context, no file names; "" if they are equal."""
    old, new = (marshalled(value, indent=1).split("\n") for value in (before, now))
    return "".join(f"{line}\n" for line in islice(difflib.unified_diff(old, new, lineterm=""), _HEADER_LINES, None))
