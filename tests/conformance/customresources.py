"""What behaviours of custom resources are shown with: definitions, and what they define."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import orjson

from navarch.apimachinery.errors import Object
from navarch.component.httpclient import Answer
from tests.conformance.world import Space

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
_numbers = count()
PRESERVING: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def version(name: str = "v1", schema: Object | None = None, *, storage: bool = True, **fields: Any) -> Object:
    schema = copy.deepcopy(PRESERVING if schema is None else schema)
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}, **fields}


def definition(kind: str, *versions: Object, group: str = "stable.example.com", scope: str = "Namespaced") -> Object:
    plural = f"{kind.lower()}s"
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    spec = {"group": group, "scope": scope, "names": names, "versions": list(versions or (version(),))}
    return {"metadata": {"name": f"{plural}.{group}"}, "spec": spec}


def is_established(obj: Object) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any((item["type"], item["status"]) == ("Established", "True") for item in conditions)


class Defined:
    """What a definition defines, in the namespace of a space."""

    def __init__(self, space: Space, made: Object) -> None:
        self.space, self.name = space, str(made["metadata"]["name"])
        spec = made["spec"]
        self.group, self.plural, self.kind = spec["group"], spec["names"]["plural"], spec["names"]["kind"]
        self.scope = f"/namespaces/{space.name}" if spec["scope"] == "Namespaced" else ""
        self.versions = [str(version["name"]) for version in spec["versions"]]
        self.version = self.versions[0]

    def path(self, name: str = "", version: str = "") -> str:
        path = f"/apis/{self.group}/{version or self.version}{self.scope}/{self.plural}"
        return f"{path}/{name}" if name else path

    def body(self, name: str, version: str = "", **fields: Any) -> Object:
        return {
            "apiVersion": f"{self.group}/{version or self.version}",
            "kind": self.kind,
            "metadata": {"name": name},
            **fields,
        }

    def create(self, name: str, version: str = "", *, code: int = 201, query: Object | None = None, **fields: Any) -> Any:
        path, body = self.path(version=version), self.body(name, version, **fields)
        return self.space.ask("POST", path, body, code=code, **(query or {}))

    def get(self, name: str, version: str = "") -> Any:
        return self.space.ask("GET", self.path(name, version))

    def list(self, version: str = "", **query: Any) -> list[Object]:
        found: list[Object] = self.space.ask("GET", self.path(version=version), **query)["items"]
        return found

    def redefine(self, change: Any) -> Object:
        return self.space.change(DEFINITIONS, self.name, change)


@contextmanager
def defined(space: Space, wanted: Object) -> Iterator[Defined]:
    """A definition that is established, and goes with all that it defines."""
    made = space.create(DEFINITIONS, wanted)
    found = Defined(space, made)
    space.until_true(DEFINITIONS, found.name, is_established)
    try:
        yield found
    finally:
        space.delete(DEFINITIONS, found.name)
        space.until_gone(DEFINITIONS, found.name)


class Converting:
    """A webhook that is pretended, as no time passes while something is waited for."""

    keeps_connections = False

    def __init__(self) -> None:
        self._host = f"https://hook-{next(_numbers)}.example.com"
        config = {"url": f"{self._host}/crdconvert"}
        self.conversion: Object = {
            "strategy": "Webhook",
            "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": config},
        }
        self.change: Callable[[Object, str], None] = lambda obj, target: None
        """What it does to an object that is to be in version `target`."""

    def client(self, url: str, **options: Any) -> Converting:
        assert url == f"{self._host}/crdconvert"
        return self

    async def request(self, method: str, target: str, *, body: bytes, **options: Any) -> Answer:
        review = orjson.loads(body)
        asked = review.pop("request")
        for obj in asked["objects"]:
            self.change(obj, asked["desiredAPIVersion"])
            obj["apiVersion"] = asked["desiredAPIVersion"]
        result = {"uid": asked["uid"], "result": {"status": "Success"}, "convertedObjects": asked["objects"]}
        return Answer(200, {}, orjson.dumps({**review, "response": result}))

    def close(self) -> None:
        """Nothing is open."""
