"""OpenAPI v2: one document of everything, with the parameters that many operations take written once."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from functools import cache

import orjson

from navarch.apimachinery.errors import Object
from navarch.apiserver.openapi import definitions
from navarch.apiserver.openapi.operations import INFO, META, PHRASES, SECURITY, STATUS, STRING, Operation, PathItem
from navarch.apiserver.openapi.parameters import Parameter

# Older kubectls look for these where an operation has its parameters, and do not follow references.
_NEVER_SHARED = frozenset({"name", "dryRun", "fieldValidation"})


def document(items: Sequence[PathItem]) -> Object:
    """The document of these paths."""
    shared: dict[str, Object] = {}
    paths = {item.path: _path_item(item, shared) for item in items}
    return {
        "swagger": "2.0",
        "info": INFO,
        "paths": paths,
        "definitions": definitions.v2(definitions.needed(items)),
        "parameters": dict(sorted(shared.items())),
        "securityDefinitions": SECURITY,
        "security": [{name: [] for name in SECURITY}],
    }


def _path_item(item: PathItem, shared: dict[str, Object]) -> Object:
    found: Object = {}
    for operation in item.operations:
        found[operation.method] = _operation(operation, item.own(operation), shared)
    if item.parameters:
        found["parameters"] = _parameters(item.parameters, shared)
    return found


def _operation(operation: Operation, own: Sequence[Parameter], shared: dict[str, Object]) -> Object:
    found: Object = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.id,
        "produces": list(operation.produces),
        "schemes": ["https"],
    }
    if operation.consumes:
        found["consumes"] = list(operation.consumes)
    parameters = _parameters(own, shared)
    if operation.body:
        body: Object = {"name": "body", "in": "body", "schema": _schema(operation.body)}
        if operation.body_required:
            body["required"] = True
        # The body of a kind's own operations is never any other's.
        generic = operation.body.startswith(META)
        parameters.insert(0, _reference(body, shared) if generic else body)
    if parameters:
        found["parameters"] = parameters
    found["responses"] = _responses(operation.responses)
    if operation.action:
        group, version, kind = operation.group_version_kind
        found["x-kubernetes-action"] = operation.action
        found["x-kubernetes-group-version-kind"] = {"group": group, "version": version, "kind": kind}
    return found


@cache
def _responses(successes: tuple[tuple[int, str], ...]) -> Object:
    found: Object = {str(code): {"description": PHRASES[code], "schema": _schema(definition)} for code, definition in successes}
    return {**found, "401": {"description": PHRASES[401]}, "default": {"description": "Failure", "schema": _schema(STATUS)}}


def _schema(definition: str) -> Object:
    return {"type": STRING} if definition == STRING else {"$ref": f"#/definitions/{definition}"}


def _parameters(parameters: Iterable[Parameter], shared: dict[str, Object]) -> list[Object]:
    found = []
    for parameter in parameters:
        written = _parameter(parameter)
        found.append(written if parameter.name in _NEVER_SHARED else _reference(written, shared))
    return found


@cache
def _parameter(parameter: Parameter) -> Object:
    found: Object = {"name": parameter.name, "in": parameter.where, "description": parameter.description}
    if parameter.required:
        found["required"] = True
    return {**found, "type": parameter.type, "uniqueItems": True}


def _reference(parameter: Object, shared: dict[str, Object]) -> Object:
    """What stands for a parameter that is written once, in `shared`."""
    digest = hashlib.sha256(orjson.dumps(parameter)).digest()[:6]
    name = f"{parameter['name']}-{base64.urlsafe_b64encode(digest).decode()}"
    shared[name] = parameter
    return {"$ref": f"#/parameters/{name}"}
