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
    return [_first(definition, kinds) for definition in definitions if (kinds := served(definition))]


def _first(definition: Object, kinds: tuple[Kind, ...]) -> Kind:
    """Best that of the version in which objects are stored: it needs no conversion."""
    stored = {version["name"] for version in definition["spec"]["versions"] if version["storage"]}
    return next((kind for kind in kinds if kind.version in stored), kinds[0])
