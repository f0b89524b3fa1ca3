"""Bodies of requests: from bytes to an object of the kind that the path names, as strictly as the client asks."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.api.protobuf import decoder, messages
from navarch.apimachinery import errors, goformat, gosyntax
from navarch.apimachinery.decoding import decode
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.unmarshal import NESTING_LIMIT, DecodeError
from navarch.apiserver.request import APIRequest

OBJECT_TYPES = ("application/json", "application/yaml", messages.MEDIA_TYPE)
CUSTOM_OBJECT_TYPES = ("application/json", "application/yaml")
_JSON_TYPES = frozenset(
    {
        "application/json",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
    }
)
YAML_TYPES = ("application/yaml", "application/apply-patch+yaml")
AT_ONCE_LIMIT_BYTES = 64 * 1024
"""Longer bodies are read ahead."""
PROBLEMS_REPORTED_LIMIT = 100
SHOWN_BYTES_LIMIT = 30
_YAML_PREFIX = "error converting YAML to JSON: "
_TYPE_OF_TYPES = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
# A backslash and what it escapes; surrogates in pairs where they are pairs.
_SURROGATE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_LONE = len(r"\ud800")
_KEY = re.compile(rb'"\s*:')


class YAMLError(ValueError):
    """A body is not the YAML that the API takes."""


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower() or "application/json"


@dataclass(frozen=True, slots=True)
class Repeated:
    """What a body has twice."""

    fields: list[str] = field(default_factory=list)
    """Of JSON: paths, in the document's order."""
    lines: list[str] = field(default_factory=list)
    """Of YAML: what go-yaml says."""
    told: Sequence[str] = ()
    """Of a JSON Patch: what is said of its operations."""


_NOTHING_REPEATED = Repeated()
Refuse = Callable[[DecodeError], StatusError]


def parse(request: APIRequest) -> tuple[Any, Repeated]:
    """The body as plain data, and what it has twice. Raises 400, 413, 415."""
    if request.decoded is not None:
        return request.decoded, _NOTHING_REPEATED
    type_ = media_type(request.content_type)
    if type_ in _JSON_TYPES:
        value, fields = parse_json(request.body)
        return value, Repeated(fields) if fields else _NOTHING_REPEATED
    if type_ == messages.MEDIA_TYPE:
        try:
            return decoder.decode(request.body), Repeated()
        except ValueError as error:
            raise errors.bad_request(str(error)) from None
    if type_ in YAML_TYPES:
        return _parse_yaml(request)
    raise errors.unsupported_media_type(type_, OBJECT_TYPES)


class _Object(dict[str, Any]):
    """A JSON object, its keys in the order in which they came last."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__()
        self.repeated = set()
        for key, value in pairs:
            if key in self:
                self.repeated.add(key)
                del self[key]
            self[key] = value


def parse_json(body: bytes) -> tuple[Any, list[str]]:
    """JSON and the paths of its duplicate keys, which are looked for only where a cheap count shows that there may be some."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        complaint = gosyntax.complaint(body)
        if complaint:
            raise errors.bad_request(complaint) from None
        readable = _readable(body)
        if readable != body:
            return parse_json(readable)
        # It is nested deeper than an object of the API can be.
        raise errors.bad_request("exceeded max depth" if error.msg.startswith("depth limit") else error.msg) from None
    # What is as short as it can be, as Go's clients send it, has no key twice if nothing of it got lost.
    if body.count(b"[") + body.count(b"{") < NESTING_LIMIT and orjson.dumps(value) == body.rstrip(b"\n"):
        return value, []
    if len(_KEY.findall(body)) == _count_keys(value, NESTING_LIMIT):
        return value, []
    value = json.loads(body, object_pairs_hook=_Object, parse_int=orjson.loads, parse_float=orjson.loads)
    return _plain(value), list(_repeated(value, ""))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _below(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(path, value) of what a map or list holds."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{path}.{key}" if path else key, item
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item


def _repeated(value: Any, path: str) -> Iterator[str]:
    keys = {f"{path}.{key}" if path else key for key in value.repeated} if isinstance(value, _Object) else ()
    for below, item in _below(value, path):
        if below in keys:
            yield below
        yield from _repeated(item, below)


def _count_keys(value: Any, levels: int) -> int:
    """How many keys there are. Raises 400 below `levels` levels."""
    if type(value) is dict:
        below: Iterable[Any] = value.values()
        count = len(value)
    elif type(value) is list:
        below, count = value, 0
    else:
        return 0
    if levels <= 0:
        raise errors.bad_request("exceeded max depth")
    for item in below:
        kind = type(item)
        if kind is dict or kind is list:
            count += _count_keys(item, levels - 1)
    return count


def _readable(body: bytes) -> bytes:
    """JSON with U+FFFD for what is no character, as Go reads it."""
    text = body.decode("utf-8", "replace")
    return _SURROGATE.sub(lambda found: found[0] if len(found[0]) != _LONE else r"\ufffd", text).encode()


def _parse_yaml(request: APIRequest) -> tuple[Any, Repeated]:
    """YAML as the API takes it: one document, keys are strings."""
    try:
        value, lines = load_yaml(request)
    except YAMLError as error:
        raise errors.bad_request(f"{_YAML_PREFIX}{error}") from None
    return value, Repeated(lines=lines)


def load_yaml(request: APIRequest) -> tuple[Any, list[str]]:
    """The body's YAML and what go-yaml says of keys that it has twice. Raises YAMLError."""
    if isinstance(request.yaml, ValueError):
        raise request.yaml
    return _load_yaml(request.body) if request.yaml is None else request.yaml


def _load_yaml(body: bytes) -> tuple[Any, list[str]]:
    # Not before it is needed: PyYAML takes its time.
    from navarch.apimachinery import yamlcodec

    try:
        # Kubernetes does not look at what comes after the first document.
        value, repeated = yamlcodec.load(body, first=True)
    except yamlcodec.YAMLError as error:
        raise YAMLError(yamlcodec.told(error)) from None
    return value, yamlcodec.repetitions(body) if repeated else []


async def read_ahead(request: APIRequest, turns: asyncio.Lock) -> None:
    """Read YAML of which there is much: elsewhere, so that others are served meanwhile, and one body after the other.

    What is wrong with it is for others to say.
    """
    body = request.body
    if media_type(request.content_type) not in YAML_TYPES or (body[:1] == b"{" and _is_json(body)):
        return
    async with turns:
        try:
            request.yaml = await asyncio.get_running_loop().run_in_executor(None, _load_yaml, body)
        except YAMLError as error:
            request.yaml = error


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def decode_object(request: APIRequest, kind: Kind) -> Object:
    """The object in the body, pruned and normalised. Raises 400 for what is not of `kind`."""
    if kind.is_custom and media_type(request.content_type) == messages.MEDIA_TYPE:
        raise errors.unsupported_media_type(messages.MEDIA_TYPE, CUSTOM_OBJECT_TYPES)
    value, repeated = _parsed_object(request, kind.kind)
    if kind.is_custom and not value.get("kind"):
        raise _unrecognized(request, kind.kind, _kindless(value))
    check_kind(value, kind)
    return decode_value(request, value, kind, repeated, whole=not kind.is_custom)


def decode_definition(request: APIRequest, name: str) -> Object:
    """The body as what a subresource speaks, such as ``io.k8s.api.policy.v1.Eviction``, under the request's fieldValidation.

    Raises 400.
    """
    value, repeated = _parsed_object(request, name.rpartition(".")[2])
    return as_definition(value, name, request, repeated)


def decode_options(request: APIRequest, name: str) -> Object:
    """The body as the options of a request. Raises 400, which says of no kind that it cannot be handled."""
    try:
        value, _ = parse(request)
    except StatusError as error:
        raise errors.bad_request(_unreadable(request, error.message)) if error.code == 400 else error from None
    if not isinstance(value, dict):
        raise errors.bad_request(_unreadable(request, goformat.not_into(value, _TYPE_OF_TYPES)))
    return as_definition(value, name, refuse=lambda error: errors.bad_request(str(error)))


def as_definition(
    value: Object,
    name: str,
    request: APIRequest | None = None,
    repeated: Repeated = _NOTHING_REPEATED,
    refuse: Refuse | None = None,
) -> Object:
    """Parsed data, pruned and normalised, as that definition; as strictly as the `request` asks, if there is one.

    `refuse` makes the answer to what is no such thing, as in `decode_value`.
    """
    *_, version, kind = name.split(".")
    prefix = f'{kind} in version "{version}" cannot be handled as a {kind}: '
    refuse = refuse or (lambda error: errors.bad_request(f"{prefix}{error}"))
    if value.get("kind", kind) not in (kind, ""):
        raise errors.bad_request(f"{prefix}no kind {json.dumps(value['kind'])} is registered here")
    try:
        decoded = decode(value, schemas.definitions().get(name))
    except DecodeError as error:
        raise refuse(error) from None
    if request is not None:
        _tell(request, value, repeated, decoded.unknown, refuse, whole=True)
    result: Object = decoded.object
    return result


def check_kind(value: Object, kind: Kind) -> None:
    """That apiVersion and kind are those of the path, where the body names them; that of a kind that is defined must."""
    sent_version, sent_kind = value.get("apiVersion", ""), value.get("kind", "")
    if kind.is_custom:
        if not sent_kind and not sent_version:
            return
        if not sent_kind:
            raise errors.bad_request(_kindless(value))
    else:
        sent_version, sent_kind = sent_version or kind.api_version, sent_kind or kind.kind
    if (sent_version, sent_kind) != (kind.api_version, kind.kind):
        if sent_version != kind.api_version:
            raise errors.bad_request(
                f"the API version in the data ({sent_version}) does not match the expected API version ({kind.api_version})"
            )
        raise errors.bad_request(
            f"{sent_kind} in version {json.dumps(kind.version)} cannot be handled as a {kind.kind}: "
            f"no kind {json.dumps(sent_kind)} is registered for version {json.dumps(sent_version)}"
        )


def decode_value(
    request: APIRequest,
    value: Object,
    kind: Kind,
    repeated: Repeated,
    *,
    whole: bool = False,
    base: Object | None = None,
    refuse: Refuse | None = None,
) -> Object:
    """Parsed data as an object of `kind`, under the request's fieldValidation.

    `whole` says that `value` is the body itself, and not what a patch made of another object. What it shares with `base`, an
    object of the kind, is taken as it is, and the result shares it too. `refuse` makes the answer to what is no such object,
    or not as strictly as the client asks; without it that is a 400.
    """
    refuse = refuse or (lambda error: errors.bad_request(_undecodable(kind, str(error))))
    try:
        result = kind.decode(value) if kind.decode is not None else decode(value, schemas.of(kind), base)
    except DecodeError as error:
        raise refuse(error) from None
    _tell(request, value, repeated, result.unknown, refuse, whole=whole)
    # It may be `base` itself, where nothing has changed.
    obj: Object = dict(result.object)
    obj.pop("apiVersion", None), obj.pop("kind", None)
    metadata = obj.pop("metadata", None) or {}
    if (value.get("metadata") or {}).get("managedFields") == []:
        # Elsewhere an empty list is none; here it asks to forget who manages what.
        metadata = {**metadata, "managedFields": []}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **obj}


def _problems(value: Object, repeated: list[str], unknown: list[str], whole: bool) -> list[str]:
    """Fields that are there twice or unknown; of a whole body as they come, but what is unknown is not looked into."""
    if not (whole and repeated):
        return [f'duplicate field "{path}"' for path in repeated] + [f'unknown field "{path}"' for path in unknown]
    strange, twice = set(unknown), set(repeated)
    found = []

    def walk(value: Any, path: str) -> None:
        for below, item in _below(value, path):
            if below in strange:
                found.append(f'unknown field "{below}"')
                continue
            if below in twice:
                found.append(f'duplicate field "{below}"')
            walk(item, below)

    walk(value, "")
    return found


def _tell(request: APIRequest, value: Object, repeated: Repeated, unknown: list[str], refuse: Refuse, *, whole: bool) -> None:
    """Refuse or warn of fields, as the client asks; of so many only, as in Kubernetes."""
    if not (unknown or repeated.fields or repeated.lines or repeated.told):
        return
    mode = request.option("fieldValidation") or "Warn"
    problems = [*repeated.told, *_problems(value, repeated.fields, unknown, whole)][:PROBLEMS_REPORTED_LIMIT]
    if mode == "Strict":
        if repeated.lines:
            lines = "\n".join(f"  {line}" for line in repeated.lines)
            problems = [f"yaml: unmarshal errors:\n{lines}", *problems]
        raise refuse(DecodeError("strict decoding error: " + ", ".join(problems)))
    if mode == "Warn":
        request.warn([*repeated.lines, *problems])


def _kindless(value: Object) -> str:
    shown = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"Object 'Kind' is missing in '{shown}'"


def _parsed_object(request: APIRequest, kind: str) -> tuple[Object, Repeated]:
    """The body as an object of any kind; what is nothing is an empty one. Raises 400 and 415."""
    try:
        value, repeated = parse(request)
    except StatusError as error:
        raise _unrecognized(request, kind, error.message) if error.code == 400 else error from None
    if value is not None and not isinstance(value, dict):
        raise _unrecognized(request, kind, goformat.not_into(value, _TYPE_OF_TYPES))
    return value or {}, repeated


def _unrecognized(request: APIRequest, kind: str, text: str) -> StatusError:
    """Of a body that does not even say what it is."""
    shown = request.body[:SHOWN_BYTES_LIMIT]
    summary = shown.decode("utf-8", "replace") if shown.startswith(b"{") else shown.hex()
    summary += " ..." if len(request.body) > SHOWN_BYTES_LIMIT else ""
    text = f"the object provided is unrecognized (must be of type {kind}): {_unreadable(request, text)}"
    return errors.bad_request(f"{text} ({summary or '<empty>'})")


def _unreadable(request: APIRequest, text: str) -> str:
    if media_type(request.content_type) in _JSON_TYPES and not text.startswith("Object "):
        return f"couldn't get version/kind; json parse error: {text}"
    return text.removeprefix(_YAML_PREFIX)


def _undecodable(kind: Kind, text: str) -> str:
    return f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {text}'
