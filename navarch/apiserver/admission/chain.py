"""The admission chain: plugins that may change a write, then plugins that may refuse it, in a fixed order.

Plugins that ask others (webhooks, policies) may want the changing half gone through once more, since what they have changed
others have not seen: at most once, and they decide themselves whom to ask again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, ParamSpec, TypeVar

from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.admission.timing import ADMIT, VALIDATE, AdmissionTimes, Timed
from navarch.apiserver.request import APIRequest
from navarch.component import clock

C = TypeVar("C")
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Asked:
    """Who was asked about one write by one plugin, in upstream's terms the reinvocation context of that plugin."""

    before: set[Hashable] = field(default_factory=set)
    """Of those who want to be asked again, who was asked since the object last changed."""
    again: set[Hashable] = field(default_factory=set)
    """Who is to be asked again."""
    last: Object | None = None
    """The object as the plugin left it."""

    def changed(self) -> None:
        """The object has: whoever was asked before has not seen that."""
        self.again |= self.before
        self.before.clear()


@dataclass(slots=True)
class Reinvocation:
    """What is known of one write that has been changed by those whom plugins ask."""

    is_wanted: bool = False
    is_second: bool = False
    plugins: dict[str, Asked] = field(default_factory=dict)

    def of(self, plugin: str) -> Asked:
        return self.plugins.setdefault(plugin, Asked())


@dataclass(slots=True)
class Attributes:
    """What a write is about."""

    request: APIRequest
    kind: Kind
    operation: str
    """CREATE, UPDATE, DELETE or CONNECT."""
    namespace: str
    name: str
    subresource: str = ""
    options: Object | None = None
    """Of a deletion."""
    settle: list[Callable[[bool], Awaitable[None]]] = field(default_factory=list)
    """What is called once it is known whether the object has been stored."""
    reinvocation: Reinvocation | None = None
    """There where anybody was asked who may have changed the object."""

    @property
    def is_changed(self) -> bool:
        """Whether somebody who was asked has changed the object."""
        return self.reinvocation is not None and self.reinvocation.is_wanted


class AdmissionPlugin:
    """One rule, which overrides what it has to say. Objects must not be mutated; refuse with a StatusError."""

    hears_of_parts = False
    """Whether it is asked also about what is done to a part of an object and not stored itself, as webhooks are."""

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        """Whether it may have something to say; it is asked about nothing else.

        The same for the same, until it says that this has `changed`.
        """
        return True

    def changed(self) -> None:
        """`concerns` says something else than before, as there is now what the plugin follows, or no longer."""
        for tell in self._followers:
            tell()

    def on_change(self, tell: Callable[[], None]) -> None:
        """Be told of that."""
        self._followers = (*self._followers, tell)

    _followers: tuple[Callable[[], None], ...] = ()

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        """The object as it should be."""
        return obj

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        """Refuse by raising."""


Place = tuple[Kind, str, str]
"""A kind, an operation on its objects, and the subresource or ""."""
Mutate = Callable[[Attributes, Object, Object | None], Awaitable[Object]]
Validate = Callable[[Attributes, Object | None, Object | None], Awaitable[None]]
PLACES_LIMIT = 4096


@dataclass(slots=True, eq=False)
class _Step(Generic[C]):
    """Who is asked about what there may be at a place, in one half of the chain."""

    calls: list[C]
    timed: Timed


class AdmissionChain:
    """Plugins in the order in which they are asked."""

    def __init__(self, plugins: Sequence[AdmissionPlugin], times: AdmissionTimes) -> None:
        self._plugins = tuple(plugins)
        self._times = times
        # Every write goes through all of them, and most have nothing to say of it.
        self._mutating: dict[Place, _Step[Mutate]] = {}
        self._validating: dict[Place, _Step[Validate]] = {}
        self._hearing: dict[Place, list[AdmissionPlugin]] = {}
        for plugin in plugins:
            plugin.on_change(self._forget)

    def _forget(self) -> None:
        self._mutating.clear()
        self._validating.clear()
        self._hearing.clear()

    def _find(self, place: Place) -> None:
        """Who is asked about what there may be at a place."""
        if len(self._mutating) >= PLACES_LIMIT:
            self._forget()
        base, operation = AdmissionPlugin, place[1]
        concerned = [plugin for plugin in self._plugins if plugin.concerns(*place)]
        mutating = [plugin for plugin in concerned if type(plugin).mutate is not base.mutate]
        validating = [plugin for plugin in concerned if type(plugin).validate is not base.validate]
        timed = self._times.step(ADMIT, operation, _names(mutating))
        self._mutating[place] = _Step([plugin.mutate for plugin in mutating], timed)
        timed = self._times.step(VALIDATE, operation, _names(validating))
        self._validating[place] = _Step([plugin.validate for plugin in validating], timed)
        self._hearing[place] = [plugin for plugin in concerned if plugin.hears_of_parts]

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        place = attributes.kind, attributes.operation, attributes.subresource
        if place not in self._mutating:
            self._find(place)
        step = self._mutating[place]
        monotonic = clock.current().monotonic
        while True:
            moments = [monotonic()]
            try:
                for mutate in step.calls:
                    obj = await mutate(attributes, obj, old)
                    moments.append(monotonic())
            except StatusError:
                step.timed.refused([*moments, monotonic()])
                raise
            step.timed.passed(moments)
            reinvocation = attributes.reinvocation
            if reinvocation is None or not reinvocation.is_wanted or reinvocation.is_second:
                return obj
            reinvocation.is_second = True

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        place = attributes.kind, attributes.operation, attributes.subresource
        if place not in self._validating:
            self._find(place)
        step = self._validating[place]
        monotonic = clock.current().monotonic
        moments = [monotonic()]
        try:
            for validate in step.calls:
                await validate(attributes, obj, old)
                moments.append(monotonic())
        except StatusError:
            step.timed.refused([*moments, monotonic()])
            raise
        step.timed.passed(moments)

    async def ask(self, attributes: Attributes, obj: Object) -> Object:
        """What becomes of something that is not stored itself, such as an Eviction, where nobody refuses it."""
        place = attributes.kind, attributes.operation, attributes.subresource
        if place not in self._hearing:
            self._find(place)
        hearing = self._hearing[place]
        for plugin in hearing:
            obj = await plugin.mutate(attributes, obj, None)
        for plugin in hearing:
            await plugin.validate(attributes, obj, None)
        return obj

    async def store_accepted(
        self,
        attributes: Attributes,
        obj: Object,
        old: Object | None,
        store: Callable[P, Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Ask, then have an object stored that nobody refuses, by `store(*args)`; plugins hear whether that went well."""
        stored = False
        try:
            await self.validate(attributes, obj, old)
            result = await store(*args, **kwargs)
            stored = True
            return result
        except asyncio.CancelledError:
            # What has been handed to the store is stored, whether somebody waits for it or not.
            stored = True
            raise
        finally:
            for settle in attributes.settle:
                await settle(stored)


def _names(plugins: Sequence[AdmissionPlugin]) -> list[str]:
    return [type(plugin).__name__ for plugin in plugins]
