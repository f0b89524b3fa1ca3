"""The words that fields take which take only a few: servers publish them, Kubernetes' published OpenAPI has none of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources


@cache
def by_definition() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Definition -> field (``name[]`` for the items of a list) -> its words, in the order of the alphabet."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for line in resources.files("navarch.api").joinpath("enums.txt").read_text().splitlines():
        if not line.startswith("#"):
            definition, field, *words = line.split(" ")
            found.setdefault(definition, {})[field] = tuple("" if word == '""' else word for word in words)
    return found
