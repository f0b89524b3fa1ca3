"""Names of fields as identifiers of expressions: ``a-b`` is ``a__dash__b``, a keyword ``in`` is ``__in__``."""

from __future__ import annotations

import re

# fmt: off
KEYWORDS = frozenset(
    {
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
        "loop", "package", "namespace", "return", "var", "void", "while",
    }
)
# fmt: on
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_NAMES = {escape[2:-2]: plain for plain, escape in _ESCAPES.items()}
_NAME = re.compile(r"[a-zA-Z_./-][a-zA-Z0-9_./-]*", re.ASCII)
_TO_ESCAPE = re.compile(r"__|[-./]")
_ESCAPED = re.compile(r"__([^_]+)__")


def escape(name: str) -> str | None:
    """The identifier, or None if there is none: of names with other characters, or that begin with a digit."""
    if not _NAME.fullmatch(name):
        return None
    if name in KEYWORDS:
        return f"__{name}__"
    return _TO_ESCAPE.sub(lambda match: _ESCAPES[match.group()], name)


def unescape(identifier: str) -> str | None:
    """The name, or None if there are escapes that mean nothing."""
    found = [match.group(1) for match in _ESCAPED.finditer(identifier)]
    if any(name not in _NAMES and name not in KEYWORDS for name in found):
        return None
    if any(name in KEYWORDS and len(name) + 4 != len(identifier) for name in found):
        return None
    return _ESCAPED.sub(lambda match: _NAMES.get(match.group(1), match.group(1)), identifier)
