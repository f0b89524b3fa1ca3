"""OpenAPI v2: one document of everything, with the parameters that many operations take written once."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import orjson

from navarch.apimachinery.errors import Object
from navarch.apiserver.openapi import definitions
from navarch.apiserver.openapi.custom import NO_CUSTOM, Custom
from navarch.apiserver.openapi.operations import (
    DELETE_OPTIONS,
    INFO,
    PATCH,
    PHRASES,
    SECURITY,
    STATUS,
    STRING,
    Operation,
    PathItem,
)
from navarch.apiserver.openapi.parameters import Parameter

_SCHEMES = ["https"]
# Older kubectls look for these where an operation has its parameters, and do not follow references.
_NEVER_SHARED = frozenset({"name", "dryRun", "fieldValidation"})


def document(items: Sequence[PathItem], custom: Mapping[str, Custom] = NO_CUSTOM) -> Object:
    """The document of these paths. What it holds twice is the same value, so that its writers can tell."""
    return {
        "swagger": "2.0",
        "info": INFO,
        "paths": {item.path: _path_item(item) for item in items},
        "definitions": definitions.v2(definitions.needed(items, custom), custom),
        "parameters": _shared(items),
        "securityDefinitions": SECURITY,
        "security": [{name: [] for name in SECURITY}],
    }


def _path_item(item: PathItem) -> Object:
    found: Object = {operation.method: _operation(operation, item.own(operation)) for operation in item.operations}
    if item.parameters:
        found["parameters"] = _parameters(item.parameters, "")
    return found


def _operation(operation: Operation, own: tuple[Parameter, ...]) -> Object:
    found: Object = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.id,
        "schemes": _SCHEMES,
        "responses": _responses(operation.responses),
        "produces": _list(operation.produces),
    }
    if operation.consumes:
        found["consumes"] = _list(operation.consumes)
    if own or operation.body:
        found["parameters"] = _parameters(own, operation.body)
    if operation.action:
        group, version, kind = operation.group_version_kind
        found["x-kubernetes-action"] = operation.action
        found["x-kubernetes-group-version-kind"] = {"group": group, "version": version, "kind": kind}
    return found


@cache
def _list(words: tuple[str, ...]) -> list[str]:
    return list(words)


@cache
def _responses(successes: tuple[tuple[int, str], ...]) -> Object:
    found: Object = {str(code): {"description": PHRASES[code], "schema": _schema(definition)} for code, definition in successes}
    return {**found, "401": {"description": PHRASES[401]}, "default": {"description": "Failure", "schema": _schema(STATUS)}}


def _schema(definition: str) -> Object:
    return {"type": STRING} if definition == STRING else {"$ref": f"#/definitions/{definition}"}


@cache
def _parameters(parameters: tuple[Parameter, ...], body: str) -> list[Object]:
    """Parameters, and a body of this definition, as they stand in an operation or path."""
    written = [_body(body)] if body else []
    written += map(_parameter, parameters)
    return [{"$ref": f"#/parameters/{_name(parameter)}"} if _is_shared(parameter) else parameter for parameter in written]


@cache
def _parameter(parameter: Parameter) -> Object:
    found: Object = {"name": parameter.name, "in": parameter.where, "description": parameter.description}
    if parameter.required:
        found["required"] = True
    return {**found, "type": parameter.type, "uniqueItems": True}


def _body(definition: str) -> Object:
    found: Object = {"name": "body", "in": "body", "schema": _schema(definition)}
    return found if definition == DELETE_OPTIONS else {**found, "required": True}


def _is_shared(parameter: Object) -> bool:
    # The bodies of a kind's own operations are never any other's.
    if parameter["in"] == "body":
        return parameter in (_body(PATCH), _body(DELETE_OPTIONS))
    return parameter["name"] not in _NEVER_SHARED


def _name(parameter: Object) -> str:
    """Under which a parameter is written once for all who take it."""
    digest = hashlib.sha256(orjson.dumps(parameter)).digest()[:6]
    return f"{parameter['name']}-{base64.urlsafe_b64encode(digest).decode()}"


def _shared(items: Iterable[PathItem]) -> Object:
    operations = [operation for item in items for operation in item.operations]
    written = [_parameter(parameter) for parameter in {p for operation in operations for p in operation.parameters}]
    written += [_body(body) for body in {operation.body for operation in operations if operation.body}]
    return dict(sorted((_name(parameter), parameter) for parameter in written if _is_shared(parameter)))
