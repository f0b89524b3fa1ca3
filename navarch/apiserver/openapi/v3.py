"""OpenAPI v3: one document for each group version, each group and each path beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache

import orjson

from navarch.apimachinery.errors import Object
from navarch.apiserver.negotiation import OFFERED
from navarch.apiserver.openapi import definitions
from navarch.apiserver.openapi.custom import NO_CUSTOM, Custom
from navarch.apiserver.openapi.operations import INFO, PHRASES, SECURITY, STATUS, STRING, Operation, PathItem
from navarch.apiserver.openapi.parameters import Parameter


def encode(
    items: Sequence[PathItem], group_versions: Collection[tuple[str, str]], custom: Mapping[str, Custom] = NO_CUSTOM
) -> bytes:
    """The document of these paths, of `group_versions`."""
    schemas = definitions.v3(definitions.needed(items, custom), group_versions, custom)
    return b'{"openapi":"3.0.0","info":%b,"paths":%b,"components":{"schemas":%b,"securitySchemes":%b}}' % (
        orjson.dumps(INFO),
        orjson.dumps({item.path: _path_item(item) for item in items}),
        schemas,
        orjson.dumps(SECURITY),
    )


def _path_item(item: PathItem) -> Object:
    found: Object = {operation.method: _operation(operation, item.own(operation)) for operation in item.operations}
    if item.parameters:
        found["parameters"] = [_parameter(parameter) for parameter in item.parameters]
    return found


def _operation(operation: Operation, own: Sequence[Parameter]) -> Object:
    found: Object = {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.id,
        "responses": _responses(operation),
    }
    if own:
        found["parameters"] = [_parameter(parameter) for parameter in own]
    if operation.body:
        found["requestBody"] = {"content": _content(operation.body, operation.consumes)}
        if operation.body_required:
            found["requestBody"]["required"] = True
    if operation.action:
        group, version, kind = operation.group_version_kind
        found["x-kubernetes-action"] = operation.action
        found["x-kubernetes-group-version-kind"] = {"group": group, "version": version, "kind": kind}
    return found


def _responses(operation: Operation) -> Object:
    found: Object = {
        str(code): {"description": PHRASES[code], "content": _content(definition, operation.produces)}
        for code, definition in operation.responses
    }
    found["401"] = {"description": PHRASES[401]}
    found["default"] = _failure()
    return found


@cache
def _failure() -> Object:
    return {"description": "Failure", "content": _content(STATUS, OFFERED)}


@cache
def _content(definition: str, media_types: tuple[str, ...]) -> Object:
    schema = {"type": STRING} if definition == STRING else {"$ref": f"#/components/schemas/{definition}"}
    return {media_type: {"schema": schema} for media_type in media_types}


@cache
def _parameter(parameter: Parameter) -> Object:
    found: Object = {"name": parameter.name, "in": parameter.where, "description": parameter.description}
    if parameter.required:
        found["required"] = True
    return {**found, "schema": {"type": parameter.type, "uniqueItems": True}}
