"""OpenAPI documents of what is served: v3 by group version with hashed URLs, and v2 whole. Made when asked for, then kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import orjson

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.apiserver import openapiv2, patching
from navarch.apiserver.request import APIRequest
from navarch.component.httpserver import Response

INFO = {"title": "Kubernetes", "version": "v1.36.0"}
DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
_V2_JSON = "application/json"
_V2_PROTOBUF = "v2.pb"
_ACTIONS = {"get": "get", "list": "list", "put": "update", "post": "create", "patch": "patch", "delete": "delete"}


class OpenAPI:
    """Answers under /openapi."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = tuple(kinds)
        self._documents: dict[str, tuple[bytes, str]] = {}

    def answer(self, request: APIRequest) -> Response | None:
        """The response for a path under /openapi, None for any other."""
        path = request.info.path
        if path == "/openapi/v2":
            accept = request.headers.get("accept", "")
            if any(asked in accept for asked in openapiv2.ASKED_TYPES):
                return self._document(request, _V2_PROTOBUF, hashed=False)
            return self._document(request, "", hashed=False)
        if path in ("/openapi/v3", "/openapi/v3/"):
            return Response(200, (("Content-Type", "application/json"),), orjson.dumps(self._index()))
        if path.startswith("/openapi/v3/"):
            root = path.removeprefix("/openapi/v3/")
            if root not in self._roots():
                raise errors.no_such_path()
            return self._document(request, root, hashed=True)
        return None

    def _roots(self) -> dict[str, list[Kind]]:
        roots: dict[str, list[Kind]] = {}
        for kind in self._kinds:
            roots.setdefault(kind.api_path.lstrip("/"), []).append(kind)
        return roots

    def _index(self) -> Object:
        return {
            "paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}?hash={self._made(root)[1]}"} for root in self._roots()}
        }

    def _made(self, root: str) -> tuple[bytes, str]:
        found = self._documents.get(root)
        if found is None:
            if root == _V2_PROTOBUF:
                body = openapiv2.encode(self._v2())
            else:
                body = orjson.dumps(self._v3(self._roots()[root]) if root else self._v2())
            found = self._documents[root] = (body, hashlib.sha512(body).hexdigest().upper()[:128])
        return found

    def _document(self, request: APIRequest, root: str, *, hashed: bool) -> Response:
        accept = request.headers.get("accept", "")
        media_type = openapiv2.MEDIA_TYPE if root == _V2_PROTOBUF else _V2_JSON
        if root != _V2_PROTOBUF and accept and not any(form in accept for form in ("json", "*/*")):
            raise errors.not_acceptable((_V2_JSON,))
        body, etag = self._made(root)
        headers = [("Content-Type", media_type), ("ETag", f'"{etag}"'), ("Vary", "Accept")]
        asked = request.option("hash")
        if hashed and asked and asked == etag:
            headers.append(("Cache-Control", "public, immutable, max-age=31536000"))
        else:
            headers.append(("Cache-Control", "no-cache, private"))
        if request.headers.get("if-none-match", "").strip('"') == etag:
            return Response(304, headers)
        return Response(200, headers, body)

    def _v3(self, kinds: list[Kind]) -> Object:
        names = _closure(kinds)
        definitions = _described(names, "#/components/schemas/")
        paths: Object = {}
        for kind in kinds:
            reference = {"$ref": f"#/components/schemas/{schemas.definition_name(kind)}"}
            content = {"application/json": {"schema": reference}}
            for path, methods in _paths(kind):
                entry = paths.setdefault(path, {})
                for method, action in methods:
                    operation = _operation(kind, method, action)
                    operation["responses"] = {"200": {"description": "OK", "content": content}}
                    operation["parameters"] = [{**option, "schema": {"type": "string"}} for option in _options(method)]
                    if method in ("post", "put"):
                        operation["requestBody"] = {"content": {"*/*": {"schema": reference}}, "required": True}
                    elif method == "patch":
                        patch = {"schema": {"type": "object"}}
                        operation["requestBody"] = {"content": dict.fromkeys(patching.MEDIA_TYPES, patch), "required": True}
                    entry[method] = operation
                entry["parameters"] = [{**parameter, "schema": {"type": "string"}} for parameter in _parameters(path)]
        return {"openapi": "3.0.0", "info": INFO, "paths": paths, "components": {"schemas": definitions}}

    def _v2(self) -> Object:
        paths: Object = {}
        for kind in self._kinds:
            reference = {"$ref": f"#/definitions/{schemas.definition_name(kind)}"}
            for path, methods in _paths(kind):
                entry = paths.setdefault(path, {})
                for method, action in methods:
                    operation = _operation(kind, method, action)
                    operation["consumes"] = list(patching.MEDIA_TYPES) if method == "patch" else ["*/*"]
                    operation["produces"] = ["application/json", "application/yaml"]
                    operation["responses"] = {"200": {"description": "OK", "schema": reference}}
                    operation["parameters"] = [{**option, "type": "string"} for option in _options(method)]
                    if method in ("post", "put", "patch"):
                        body = {"name": "body", "in": "body", "required": True, "schema": reference}
                        operation["parameters"].insert(0, body)
                    entry[method] = operation
                entry["parameters"] = [{**parameter, "type": "string"} for parameter in _parameters(path)]
        definitions = _described(_closure(self._kinds), "#/definitions/")
        return {"swagger": "2.0", "info": INFO, "paths": paths, "definitions": definitions}


def _closure(kinds: Iterable[Kind]) -> list[str]:
    """The definitions that these kinds, their lists and the common options are made of."""
    sources = schemas.definitions().sources
    wanted = [name for kind in kinds for name in (schemas.definition_name(kind), schemas.definition_name(kind) + "List")]
    wanted += [DELETE_OPTIONS, STATUS]
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in found or name not in sources:
            continue
        found.add(name)
        wanted += _references(sources[name])
    return sorted(found)


def _references(source: Any) -> list[str]:
    if isinstance(source, dict):
        found = [source["$ref"]] if isinstance(source.get("$ref"), str) else []
        return found + [name for value in source.values() for name in _references(value)]
    if isinstance(source, list):
        return [name for value in source for name in _references(value)]
    return []


def _described(names: list[str], prefix: str) -> Object:
    texts, sources = schemas.descriptions(), schemas.definitions().sources
    result = {}
    for name in names:
        definition = _relocated(sources[name], prefix)
        described = texts.get(name, {})
        if "" in described:
            definition["description"] = described[""]
        for field, schema in (definition.get("properties") or {}).items():
            if field in described:
                schema["description"] = described[field]
        result[name] = definition
    return result


def _relocated(source: Any, prefix: str) -> Any:
    """A copy with references as this document writes them."""
    if isinstance(source, dict):
        copy = {key: _relocated(value, prefix) for key, value in source.items()}
        reference = source.get("$ref")
        if isinstance(reference, str):
            del copy["$ref"]
            target = {"$ref": f"{prefix}{reference}"}
            # Beside a $ref nothing counts: what a field adds to its type stands around it.
            if prefix.startswith("#/components"):
                return {**copy, "allOf": [target], "default": {}} if copy else {"allOf": [target]}
            return {**copy, **target}
        return copy
    if isinstance(source, list):
        return [_relocated(value, prefix) for value in source]
    return source


def _paths(kind: Kind) -> list[tuple[str, list[tuple[str, str]]]]:
    """(path, [(method, action)]) of a kind."""
    scope = f"{kind.api_path}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{kind.api_path}/{kind.plural}"
    collection = [(method, action) for method, action in (("get", "list"), ("post", "post")) if _serves(kind, action)]
    if "deletecollection" in kind.verbs:
        collection.append(("delete", "deletecollection"))
    single = [(action, action) for action in ("get", "put", "patch", "delete") if _serves(kind, action)]
    paths = [(scope, collection), (f"{scope}/{{name}}", single)]
    if kind.namespaced and "list" in kind.verbs:
        paths.append((f"{kind.api_path}/{kind.plural}", [("get", "list")]))
    if "status" in kind.subresources:
        paths.append((f"{scope}/{{name}}/status", [("get", "get"), ("put", "put"), ("patch", "patch")]))
    return [(path, methods) for path, methods in paths if methods]


def _serves(kind: Kind, action: str) -> bool:
    return _ACTIONS[action] in kind.verbs


def _operation(kind: Kind, method: str, action: str) -> Object:
    spelled = "".join(part.capitalize() for part in kind.group.removesuffix(".k8s.io").split(".")) or "Core"
    scope = "Namespaced" if kind.namespaced else ""
    return {
        "operationId": f"{action}{spelled}{kind.version.capitalize()}{scope}{kind.kind}",
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
    }


def _options(method: str) -> list[Object]:
    """Query parameters of a write. kubectl looks here to learn whether the server validates fields."""
    if method not in ("post", "put", "patch"):
        return []
    names = ["dryRun", "fieldManager", "fieldValidation", *(["force"] if method == "patch" else [])]
    return [{"name": name, "in": "query", "uniqueItems": True} for name in names]


def _parameters(path: str) -> list[Object]:
    return [{"name": name, "in": "path", "required": True} for name in ("namespace", "name") if f"{{{name}}}" in path]
