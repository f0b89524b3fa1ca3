"""Bodies of requests: from bytes to an object of the kind that the path names, as strictly as the client asks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import orjson

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.api.protobuf import decoder, messages
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import NESTING_LIMIT, DecodeError, decode
from navarch.apiserver.request import APIRequest

OBJECT_TYPES = ("application/json", "application/yaml", messages.MEDIA_TYPE)
_JSON_TYPES = frozenset(
    {
        "application/json",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    }
)
DUPLICATES_REPORTED_LIMIT = 50
_KEY = re.compile(rb'"\s*:')


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower() or "application/json"


def parse(request: APIRequest) -> tuple[Any, list[str]]:
    """The body as plain data, and paths of duplicate fields. Raises 400, 413, 415."""
    if request.decoded is not None:
        return request.decoded, []
    type_ = media_type(request.content_type)
    if type_ in _JSON_TYPES:
        return parse_json(request.body)
    if type_ == messages.MEDIA_TYPE:
        try:
            return decoder.decode(request.body), []
        except ValueError as error:
            raise errors.bad_request(str(error)) from None
    if type_ in ("application/yaml", "application/apply-patch+yaml"):
        return parse_yaml(request.body)
    raise errors.unsupported_media_type(type_, OBJECT_TYPES)


def parse_json(body: bytes) -> tuple[Any, list[str]]:
    """JSON and its duplicate keys, which are looked for only where a cheap count shows that there may be some."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.bad_request(_json_message(body, error)) from None
    if len(_KEY.findall(body)) == _count_keys(value, NESTING_LIMIT):
        return value, []
    duplicates: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in items:
            if key in result:
                duplicates.append(key)
            result[key] = item
        return result

    json.loads(body, object_pairs_hook=pairs)
    return value, duplicates


def _count_keys(value: Any, levels: int) -> int:
    """How many keys there are. Raises 400 below `levels` levels."""
    if isinstance(value, dict):
        below: Iterable[Any] = value.values()
        count = len(value)
    elif isinstance(value, list):
        below, count = value, 0
    else:
        return 0
    if levels <= 0:
        raise errors.bad_request("exceeded max depth")
    for item in below:
        if isinstance(item, dict | list):
            count += _count_keys(item, levels - 1)
    return count


def _json_message(body: bytes, error: orjson.JSONDecodeError) -> str:
    """Roughly what Go says of malformed JSON."""
    if not body.strip():
        return "EOF"
    if error.pos >= len(body.decode("utf-8", "replace")):
        return "unexpected end of JSON input"
    character = body.decode("utf-8", "replace")[error.pos]
    return f"invalid character {json.dumps(character)[1:-1]!r} looking for beginning of value"


def parse_yaml(body: bytes) -> tuple[Any, list[str]]:
    """YAML as the API takes it: one document, keys are strings."""
    from navarch.apimachinery import yamlcodec

    try:
        return yamlcodec.load(body)
    except yamlcodec.YAMLError as error:
        raise errors.bad_request(f"error converting YAML to JSON: {error}") from None


def decode_object(request: APIRequest, kind: Kind) -> Object:
    """The object in the body, pruned and normalised. Raises 400 for what is not of `kind`."""
    value, duplicates = parse(request)
    if not isinstance(value, dict):
        raise errors.bad_request(_undecodable(kind, "json: cannot unmarshal into Go value: an object is needed"))
    check_kind(value, kind)
    return decode_value(request, value, kind, duplicates)


def decode_definition(request: APIRequest, name: str) -> Object:
    """The body as what a subresource speaks, such as ``io.k8s.api.policy.v1.Eviction``. Raises 400."""
    return as_definition(parse(request)[0], name)


def as_definition(value: Any, name: str) -> Object:
    """Parsed data, pruned and normalised, as that definition. Raises 400."""
    *_, version, kind = name.split(".")
    prefix = f'{kind} in version "{version}" cannot be handled as a {kind}: '
    if not isinstance(value, dict):
        raise errors.bad_request(f"{prefix}json: cannot unmarshal into Go value of type {version}.{kind}")
    if value.get("kind", kind) not in (kind, ""):
        raise errors.bad_request(f"{prefix}no kind {json.dumps(value['kind'])} is registered here")
    try:
        decoded: Object = decode(value, schemas.definitions().get(name)).object
    except DecodeError as error:
        raise errors.bad_request(prefix + str(error)) from None
    return decoded


def check_kind(value: Object, kind: Kind) -> None:
    """That apiVersion and kind are those of the path, where the body names them."""
    sent_version, sent_kind = value.get("apiVersion", ""), value.get("kind", "")
    if not sent_kind and not sent_version:
        return
    if not sent_kind:
        shown = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        raise errors.bad_request(f"Object 'Kind' is missing in '{shown}'")
    if (sent_version, sent_kind) != (kind.api_version, kind.kind):
        if sent_version != kind.api_version:
            raise errors.bad_request(
                f"the API version in the data ({sent_version}) does not match the expected API version ({kind.api_version})"
            )
        raise errors.bad_request(
            f"{sent_kind} in version {json.dumps(kind.version)} cannot be handled as a {kind.kind}: "
            f"no kind {json.dumps(sent_kind)} is registered for version {json.dumps(sent_version)}"
        )


def decode_value(request: APIRequest, value: Object, kind: Kind, duplicates: list[str]) -> Object:
    """Parsed data as an object of `kind`, under the request's fieldValidation."""
    mode = request.option("fieldValidation") or "Warn"
    if mode not in ("Ignore", "Warn", "Strict"):
        raise errors.invalid(
            "meta.k8s.io",
            f"{'Patch' if request.method == 'PATCH' else 'Create' if request.method == 'POST' else 'Update'}Options",
            "",
            [errors.not_supported("fieldValidation", mode, ("Ignore", "Strict", "Warn"))],
        )
    try:
        result = decode(value, schemas.of(kind))
    except DecodeError as error:
        raise errors.bad_request(_undecodable(kind, str(error))) from None
    problems = [f'duplicate field "{key}"' for key in duplicates[:DUPLICATES_REPORTED_LIMIT]]
    problems += [f'unknown field "{path}"' for path in result.unknown]
    if problems and mode == "Strict":
        raise errors.bad_request(_undecodable(kind, "strict decoding error: " + ", ".join(problems)))
    if problems and mode == "Warn":
        request.warnings.extend(problems)
    obj: Object = result.object
    obj.pop("apiVersion", None), obj.pop("kind", None)
    metadata = obj.pop("metadata", None) or {}
    if (value.get("metadata") or {}).get("managedFields") == []:
        # Elsewhere an empty list is none; here it asks to forget who manages what.
        metadata["managedFields"] = []
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **obj}


def _undecodable(kind: Kind, text: str) -> str:
    return f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {text}'
