"""What people call resources: ``deploy/web``, ``Deployment``, ``widgets.example.com``; custom ones too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.apimachinery import yamlcodec
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client

EVENTS_SHOWN = 5


class Resources:
    """Finds kinds by any of their names. Custom resources are looked up in their definitions."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names = builtin()

    @property
    def names(self) -> list[str]:
        """What built-in resources are called."""
        return list(self._names)

    async def of_resource(self, name: str) -> Kind:
        """Raises KeyError, with what comes nearest."""
        found = self._names.get(name.lower())
        if found is None:
            found = next((kind for kind in await self._custom() if name.lower() in _names(kind)), None)
        if found is None:
            raise KeyError(f"no resource is called {name!r}")
        return found

    async def of_name(self, name: str) -> tuple[Kind, str]:
        """Of ``resource/name``."""
        resource, slash, obj = name.partition("/")
        if not slash or not obj:
            raise ValueError(f"{name!r} names no object: it should be like deployment/web")
        return await self.of_resource(resource), obj

    async def of_object(self, obj: Mapping[str, Any]) -> Kind:
        """By the object's apiVersion and kind."""
        wanted = (obj.get("apiVersion"), obj.get("kind"))
        for kind in registry.kinds():
            if (kind.api_version, kind.kind) == wanted:
                return kind
        for kind in await self._custom():
            if (kind.api_version, kind.kind) == wanted:
                return kind
        raise KeyError(f'no matches for kind "{wanted[1]}" in version "{wanted[0]}"')

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
