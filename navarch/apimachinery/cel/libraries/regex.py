"""Kubernetes' functions that find what matches a regular expression."""

from __future__ import annotations

from itertools import islice

from navarch.apimachinery.cel.declarations import Library, functions
from navarch.apimachinery.cel.regular import compiled


def _find(text: str, pattern: str) -> str:
    match = compiled(pattern).search(text)
    return str(match.group()) if match is not None else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    matches = compiled(pattern).finditer(text)
    return [match.group() for match in (matches if limit < 0 else islice(matches, limit))]


LIBRARY = Library(
    "kubernetes.regex",
    functions(
        {
            "find": [("string_find_string", "string.(string) -> string", _find)],
            "findAll": [
                ("string_find_all_string", "string.(string) -> list(string)", _find_all),
                ("string_find_all_string_int", "string.(string, int) -> list(string)", _find_all),
            ],
        }
    ),
)
