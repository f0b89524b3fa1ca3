"""What a checker is: it is told of every change of the resources it names, and asked once more when all should be quiet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from navarch.api import registry
from navarch.apimachinery.errors import Object
from navarch.simulation.resources import builtin, resource_of

if TYPE_CHECKING:
    from navarch.api.kind import Kind
    from navarch.simulation.cluster import SimulatedCluster
    from navarch.simulation.observer import Seen
    from navarch.storage.store import Store

Report = Callable[[str, str], None]
"""Called with the object's name (or "") and what is wrong with it."""


class State:
    """What the store holds at the moment. Reading it takes no time, meets no fault, and changes nothing."""

    def __init__(
        self, store: Callable[[], Store], cluster: SimulatedCluster, custom: Callable[[], Mapping[str, Kind]] = dict
    ) -> None:
        """`custom`: kinds that have been defined, by resource."""
        self._store = store
        self._custom = custom
        self.cluster = cluster
        """The machinery; checkers only look at it."""

    def objects(self, resource: str, namespace: str = "") -> Iterator[Object]:
        """Of a resource, in key order: a built-in one by any of its names, such as ``pods`` or ``deploy``, a custom one as
        ``widgets.example.com`` (none before it is defined). Raises KeyError for an unknown one."""
        kind = self._kind(resource)
        if kind is None:
            return
        prefix = kind.key_prefix
        under = f"{prefix}{namespace}/" if namespace and kind.namespaced else prefix
        for record in self._store().collection(prefix).range(under):
            yield kind.from_stored(record.object())

    def versions(self, resource: str) -> dict[str, int] | None:
        """Revisions of all objects of a resource by their keys (``namespace/name``); None for one that is not built in."""
        try:
            kind = registry.resource(resource)
        except KeyError:
            return None
        records = self._store().collection(kind.key_prefix).range(kind.key_prefix)
        return {record.key.removeprefix(kind.key_prefix): record.revision for record in records}

    def get(self, resource: str, name: str, namespace: str = "") -> Object | None:
        """One object, if it is there. Raises KeyError for an unknown resource."""
        kind = self._kind(resource)
        if kind is None:
            return None
        record = self._store().get(kind.key_prefix, kind.key(namespace, name))
        return kind.from_stored(record.object()) if record is not None else None

    def _kind(self, resource: str) -> Kind | None:
        """None: a custom one that is not defined yet. Raises KeyError."""
        name = resource_of(resource)
        return builtin().get(name) or self._custom().get(name)


class Checker:
    """One promise. Says what breaks it by calling `report`."""

    name: ClassVar[str]
    resources: ClassVar[tuple[str, ...]] = ()
    """Whose changes it is told of; () are all."""

    def __init__(self, state: State, report: Report) -> None:
        self.state = state
        self.report = report

    def changed(self, seen: Seen) -> None:
        """Something has changed."""

    def settled(self) -> None:
        """Faults have ended, and time enough has passed: everything should be as it is asked for."""
