"""The kinds that users define, as controllers learn of them: from the definitions."""

from __future__ import annotations

from collections.abc import Iterable

from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"


def served(definition: Object) -> tuple[Kind, ...]:
    """The kinds of a definition; none before it is established."""
    # Whoever has no definitions need not load what makes kinds of them.
    from navarch.api.apiextensions import customresource

    return customresource.kinds(definition) if customresource.is_served(definition) else ()


def one_each(definitions: Iterable[Object]) -> list[Kind]:
    """Of each definition a kind under which all its objects are found."""
    return [kinds[0] for definition in definitions if (kinds := served(definition))]
