"""apply: a PATCH whose body says which fields its sender wants, and makes the object if there is none (server-side apply)."""

from __future__ import annotations

from typing import Any

from navarch.api.kind import Kind
from navarch.apimachinery import errors, goformat
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver import body, fieldmanagement, preconditions
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.resources import WRITE_ATTEMPTS, Resources, check_name, check_namespace

MEDIA_TYPE = "application/apply-patch+yaml"


async def serve(resources: Resources, request: APIRequest, kind: Kind, subresource: str = "") -> ObjectAnswer:
    config = configuration(request)

    def transform(stored: Object) -> Object:
        live = kind.from_stored(stored)
        new = _applied(request, kind, live, config, subresource)
        preconditions.check_version(kind, new, request.info.name, live["metadata"]["resourceVersion"])
        return resources.to_stored(kind, new)

    key = kind.key(request.info.namespace, request.info.name)
    for _ in range(WRITE_ATTEMPTS):
        if subresource or resources.store.latest(kind.key_prefix, key) is not None:
            return await resources.change(request, kind, transform, subresource=subresource, knows_managers=True)
        request.also_needs("create")
        try:
            return await resources.create_object(request, kind, _new(request, kind, config), knows_managers=True)
        except StatusError as error:
            if not error.is_already_exists:
                raise
    raise errors.conflict(kind.group, kind.plural, request.info.name, errors.MODIFIED)


def _new(request: APIRequest, kind: Kind, config: Object) -> Object:
    """The object that a configuration makes where there is none."""
    new = _applied(request, kind, {}, config, "")
    uid = new["metadata"].get("uid")
    if uid:
        text = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise errors.conflict(kind.group, kind.plural, request.info.name, text)
    new["metadata"].pop("resourceVersion", None)
    return new


def _applied(request: APIRequest, kind: Kind, live: Object, config: Object, subresource: str) -> Object:
    """The object that is to be stored."""
    new = body.decode_value(request, fieldmanagement.applied(request, kind, live, config, subresource), kind, body.Repeated())
    check_name(request.info, new["metadata"])
    if kind.namespaced:
        check_namespace(request.info, new["metadata"])
    return new


def configuration(request: APIRequest) -> Object:
    """What is applied. Raises 400."""
    if request.decoded is not None:
        value: Any = request.decoded
    else:
        value = _parsed(request)
    if value is None:
        return {}
    if not isinstance(value, dict):
        text = goformat.not_into(value, "map[string]interface {}")
        raise errors.bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {text}")
    return value


def _parsed(request: APIRequest) -> Any:
    """The body as plain data; keys that it has twice are refused or told of, as the client asks."""
    if request.body[:1] == b"{":
        try:
            value, repeated = body.parse_json(request.body)
        except StatusError:
            # Not all that begins like JSON is meant to be.
            pass
        else:
            if not repeated:
                return value
    try:
        value, lines = body.load_yaml(request)
    except body.YAMLError as error:
        raise errors.bad_request(f"error decoding YAML: error converting YAML to JSON: {error}") from None
    mode = request.option("fieldValidation") or "Warn"
    if lines and mode == "Strict":
        told = "\n".join(f"  {text}" for text in lines)
        text = f"error converting YAML to JSON: yaml: unmarshal errors:\n{told}"
        raise errors.bad_request(f"error strict decoding YAML: {text}")
    if mode == "Warn":
        request.warn(lines)
    return value
