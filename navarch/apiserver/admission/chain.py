"""The admission chain: plugins that may change a write, then plugins that may refuse it, in a fixed order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object
from navarch.apiserver.request import APIRequest

T = TypeVar("T")


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
    settle: list[Callable[[bool], Awaitable[None]]] = field(default_factory=list)
    """What is called once it is known whether the object has been stored."""


class AdmissionPlugin:
    """One rule, which overrides what it has to say. Objects must not be mutated; refuse with a StatusError."""

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        """The object as it should be."""
        return obj

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        """Refuse by raising."""


class AdmissionChain:
    """Plugins in the order in which they are asked."""

    def __init__(self, plugins: Sequence[AdmissionPlugin]) -> None:
        # Most say something of one half only, and every write goes through all of them.
        self._mutating = [plugin.mutate for plugin in plugins if type(plugin).mutate is not AdmissionPlugin.mutate]
        self._validating = [plugin.validate for plugin in plugins if type(plugin).validate is not AdmissionPlugin.validate]

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        for mutate in self._mutating:
            obj = await mutate(attributes, obj, old)
        return obj

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        for validate in self._validating:
            await validate(attributes, obj, old)

    async def store_accepted(
        self, attributes: Attributes, obj: Object, old: Object | None, store: Callable[[], Awaitable[T]]
    ) -> T:
        """Ask, then have an object stored that nobody refuses; plugins hear whether that went well."""
        stored = False
        try:
            await self.validate(attributes, obj, old)
            result = await store()
            stored = True
            return result
        except asyncio.CancelledError:
            # What has been handed to the store is stored, whether somebody waits for it or not.
            stored = True
            raise
        finally:
            for settle in attributes.settle:
                await settle(stored)
