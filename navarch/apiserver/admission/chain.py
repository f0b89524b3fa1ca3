"""The admission chain: plugins that may change a write, then plugins that may refuse it, in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object
from navarch.apiserver.request import APIRequest


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a write is about."""

    request: APIRequest
    kind: Kind
    operation: str
    """CREATE, UPDATE, DELETE or CONNECT."""
    namespace: str
    name: str
    subresource: str = ""


class AdmissionPlugin(Protocol):
    """One rule. Objects must not be mutated; refuse with a StatusError."""

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        """The object as it should be."""

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        """Refuse by raising."""


class AdmissionChain:
    """Plugins in the order in which they are asked."""

    def __init__(self, plugins: Sequence[AdmissionPlugin]) -> None:
        self._plugins = tuple(plugins)

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        for plugin in self._plugins:
            obj = await plugin.mutate(attributes, obj, old)
        return obj

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        for plugin in self._plugins:
            await plugin.validate(attributes, obj, old)
