"""What people call resources: ``deploy/web``, ``Deployment``, ``widgets.example.com``; custom ones too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.apimachinery import yamlcodec
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.simulation.document import nearest

EVENTS_SHOWN = 5


class UnknownResourceError(KeyError):
    """There is no such resource, as KeyErrors say; its text is for people."""

    def __str__(self) -> str:
        return str(self.args[0])


class Resources:
    """Finds kinds by any of their names. Custom resources are looked up in their definitions."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names = builtin()

    async def of_resource(self, name: str) -> Kind:
        """Raises UnknownResourceError, with what comes nearest."""
        found = self._names.get(name.lower())
        if found is None:
            found = next((kind for kind in await self._custom() if name.lower() in _names(kind)), None)
        if found is None:
            raise UnknownResourceError(f"no resource is called {name!r}{nearest(name, self._names)}")
        return found

    async def plurals(self, pattern: str) -> set[str]:
        """What resources are called in paths; custom ones are looked up only where the pattern means no other."""
        found = {kind.plural for kind in registry.kinds()}
        if not any(fnmatchcase(name, pattern) for name in found):
            found |= {kind.plural for kind in await self._custom()}
        return found

    async def of_name(self, name: str) -> tuple[Kind, str]:
        """Of ``resource/name``. Raises UnknownResourceError, and ValueError for what is not like that."""
        resource, slash, obj = name.partition("/")
        if not slash or not obj:
            raise ValueError(f"{name!r} names no object: it should be like deployment/web")
        return await self.of_resource(resource), obj

    async def of_object(self, obj: Mapping[str, Any]) -> Kind:
        """By the object's apiVersion and kind. Raises UnknownResourceError."""
        wanted = (obj.get("apiVersion"), obj.get("kind"))
        for kind in registry.kinds():
            if (kind.api_version, kind.kind) == wanted:
                return kind
        for kind in await self._custom():
            if (kind.api_version, kind.kind) == wanted:
                return kind
        if not all(isinstance(part, str) for part in wanted):
            raise UnknownResourceError("an object has an apiVersion and a kind, both strings")
        raise UnknownResourceError(f'no matches for kind "{wanted[1]}" in version "{wanted[0]}"')

    async def _custom(self) -> list[Kind]:
        found = []
        try:
            definitions = await self._client.list("customresourcedefinitions.apiextensions.k8s.io")
        except StatusError:
            return []
        for definition in definitions["items"]:
            spec = definition["spec"]
            for version in spec["versions"]:
                if version.get("served"):
                    names = spec["names"]
                    found.append(
                        Kind(
                            group=spec["group"],
                            version=version["name"],
                            kind=names["kind"],
                            plural=names["plural"],
                            singular=names.get("singular", ""),
                            short_names=tuple(names.get("shortNames") or ()),
                            namespaced=spec.get("scope") == "Namespaced",
                        )
                    )
        return found


@cache
def builtin() -> Mapping[str, Kind]:
    """Built-in kinds by all that they are called."""
    found: dict[str, Kind] = {}
    for kind in registry.kinds():
        for name in _names(kind):
            found.setdefault(name, kind)
    return found


def resource_of(name: str) -> str:
    """``plural.group`` of a built-in resource by any of its names; any other name with a dot as it is. Raises KeyError."""
    kind = builtin().get(name.lower())
    if kind is None and "." not in name:
        text = f"no resource is called {name!r}{nearest(name, builtin())} (custom ones are called plural.group)"
        raise UnknownResourceError(text)
    return kind.resource if kind is not None else name


def _names(kind: Kind) -> list[str]:
    singular = kind.singular or kind.kind.lower()
    short = [kind.plural, singular, kind.kind.lower(), *kind.short_names]
    return [*short, *(f"{name}.{kind.group}" for name in short if kind.group)]


def describe(obj: Object | None, events: Sequence[Object]) -> str:
    """How things stand with an object: its status, and what has happened last."""
    if obj is None:
        return "there is no such object"
    lines = ["its status is", yamlcodec.dump(obj.get("status") or {}).decode().rstrip()]
    if events:
        lines.append("and its last events are")
        lines += [f"{event['type']}  {event['reason']}  {event['message']}" for event in events[-EVENTS_SHOWN:]]
    return "\n".join(lines)
