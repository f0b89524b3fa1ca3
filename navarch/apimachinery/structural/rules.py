"""Rules of a schema (x-kubernetes-validations): what they are and where.

Nobody evaluates them yet: whoever does finds them here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from navarch.apimachinery.structural.walking import RULES, Schema, items, properties, values


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, written in CEL."""

    place: str
    """The field that it is about: ``spec.ports[*]``, ``spec.labels[*]``; "self" is the whole object."""
    source: dict[str, Any]
    """As the schema has it."""

    @property
    def text(self) -> str:
        return str(self.source.get("rule", ""))


def of(schema: Schema | None, place: str = "") -> Iterator[Rule]:
    """Every rule of a schema, outermost first."""
    if schema is None:
        return
    yield from (Rule(place or "self", source) for source in schema.get(RULES) or ())
    for key, below in sorted(properties(schema).items()):
        yield from of(below, f"{place}.{key}" if place else key)
    yield from of(items(schema), f"{place}[*]")
    yield from of(values(schema), f"{place}[*]")
