"""The kinds that users define: what is served follows the definitions in the store, whoever writes them.

A definition's kinds are made anew when its spec or its names change; whoever watches objects of the former ones is told all
that has happened and then begins again. Nothing of this is loaded before there is a definition.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from weakref import WeakSet

from navarch.api.apiextensions import customresourcedefinition
from navarch.api.kind import Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.watch import Watch
from navarch.storage.changes import Change
from navarch.storage.store import Store

logger = logging.getLogger(__name__)

DEFINITION = customresourcedefinition.KIND


@dataclass(slots=True)
class _Defined:
    """What is served of one definition."""

    marks: tuple[object, ...]
    """What its kinds depend on."""
    kinds: tuple[Kind, ...] = ()
    watches: WeakSet[Watch] = field(default_factory=WeakSet)


class CustomResources:
    """The kinds of all definitions of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._defined: dict[str, _Defined] = {}
        self._by_resource: dict[str, Kind] = {}
        self._listeners: list[Callable[[], None]] = []
        self.kinds: tuple[Kind, ...] = ()
        """Those that are served."""

    def begin(self) -> None:
        """Serve what is defined, and follow the definitions from now on."""
        prefix = DEFINITION.key_prefix
        for record in self._store.collection(prefix).range(prefix):
            self._take(record.object())
        self._collect()
        self._store.watch(prefix, prefix, self._store.revision, self._changed)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever `kinds` are others than before."""
        self._listeners.append(listener)

    def find(self, resource: str) -> Kind | None:
        """A kind of the resource of that name, ``plural.group``."""
        return self._by_resource.get(resource)

    def follow(self, kind: Kind, watch: Watch) -> None:
        """End a watch when its kind is not served any more, or not so."""
        for defined in self._defined.values():
            if kind in defined.kinds:
                defined.watches.add(watch)
                return
        watch.end()

    def _changed(self, changes: list[Change]) -> None:
        ended: list[_Defined] = []
        for change in changes:
            definition = change.object
            before = self._defined.get(meta.name(definition))
            if change.deleted:
                self._defined.pop(meta.name(definition), None)
            else:
                self._take(definition)
            after = self._defined.get(meta.name(definition))
            if before is not None and (after is None or after.watches is not before.watches):
                ended.append(before)
        self._collect()
        for defined in ended:
            for watch in list(defined.watches):
                watch.end()

    def _take(self, definition: Object) -> None:
        """Serve a definition as it is now."""
        status, name = definition.get("status") or {}, meta.name(definition)
        established = (customresourcedefinition.NAMES_ACCEPTED, customresourcedefinition.ESTABLISHED)
        served = any(meta.is_condition_true(definition, type_) for type_ in established)
        terminating = meta.is_condition_true(definition, customresourcedefinition.TERMINATING)
        marks = (meta.uid(definition), definition["spec"], status.get("acceptedNames"), served, terminating)
        before = self._defined.get(name)
        if before is not None and before.marks == marks:
            return
        self._defined[name] = _Defined(marks, _kinds(definition) if served else ())
        if before is not None and before.marks[:4] == marks[:4]:
            # Only that it is about to go: nobody has to begin again for that.
            self._defined[name].watches = before.watches

    def _collect(self) -> None:
        found = tuple(kind for _, defined in sorted(self._defined.items()) for kind in defined.kinds)
        if found == self.kinds:
            return
        self.kinds = found
        self._by_resource = {kind.resource: kind for kind in found}
        for listener in self._listeners:
            listener()


def _kinds(definition: Object) -> tuple[Kind, ...]:
    from navarch.api.apiextensions import customresource

    try:
        return customresource.kinds(definition)
    except Exception:
        # What other programs have stored may be anything; whoever has defined something else must not suffer from it.
        logger.exception("%s cannot be served", meta.name(definition))
        return ()


def all_kinds(builtin: Iterable[Kind], custom: Iterable[Kind]) -> tuple[Kind, ...]:
    """Everything that is served. What is built in cannot be defined away."""
    found = {(kind.group, kind.version, kind.plural): kind for kind in custom}
    return (*(known := tuple(builtin)), *(kind for place, kind in found.items() if place not in _places(known)))


def _places(kinds: Iterable[Kind]) -> set[tuple[str, str, str]]:
    return {(kind.group, kind.version, kind.plural) for kind in kinds}
