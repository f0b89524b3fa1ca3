"""What Kubernetes' Go types say beside the OpenAPI: pointers, and what is always written (see tools/protobuf_fields.py)."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def _lines() -> dict[str, str]:
    """The fields of each definition, as protobuf/fields.txt has them."""
    text = resources.files("navarch.api.protobuf").joinpath("fields.txt").read_text()
    return dict(line.split(" ", 1) for line in text.splitlines())


def plain_fields(definition: str) -> dict[str, bool] | None:
    """The fields of a definition that are no pointers, so that something always stands there, and whether it is written even
    if it is nothing. None where nothing is known."""
    line = _lines().get(definition)
    if line is None:
        return None
    found: dict[str, bool] = {}
    for word in line.split(" "):
        field, _, marks = word.partition("=")
        if field.startswith(">"):
            found |= plain_fields(field[1:]) or {}
        elif "*" not in marks:
            found[field] = "!" in marks
    return found


def pointers(definition: str) -> dict[str, bool]:
    """The fields of a definition in the order of its Go type, and whether each is a pointer. Raises KeyError."""
    found: dict[str, bool] = {}
    for word in _lines()[definition].split(" "):
        field, _, marks = word.partition("=")
        if field.startswith(">"):
            found |= pointers(field[1:])
        else:
            found[field] = "*" in marks
    return found
