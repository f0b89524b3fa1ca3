"""From an answer to bytes: JSON as stored, tables, metadata only, YAML, protobuf; lists are spliced from encoded objects."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Iterable
from dataclasses import replace

import orjson

from navarch.api.kind import Kind
from navarch.api.protobuf import encoder
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver import watchstream
from navarch.apiserver.encodings import Encodings
from navarch.apiserver.negotiation import META_GROUP, PLAIN, PROTOBUF, YAML, Representation
from navarch.apiserver.request import Answer, APIRequest, ListAnswer, ObjectAnswer, WatchAnswer
from navarch.apiserver.tables import check_options, partial, table
from navarch.component.httpserver import PIECE_BYTES, Parts, Response
from navarch.storage.changes import Record

GZIP_MIN_BYTES = 128 * 1024
GZIP_LEVEL = 1
# Warnings that are longer together are cut, each to so many characters.
WARNINGS_LIMIT_CHARACTERS, CUT_WARNING_CHARACTERS = 4096, 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# So many objects are encoded to protobuf before others get a turn.
PROTOBUF_SLICE = 50


def failure(error: StatusError, representation: Representation = PLAIN) -> Response:
    """An error as a response, in the form in which an answer was wanted."""
    representation = replace(representation, form="")
    headers = [("Content-Type", representation.media_type), *error.headers.items()]
    return Response(error.code, headers, encoded(error.status, representation))


def encoded(obj: Object, representation: Representation) -> bytes:
    """The bytes of an object that is not stored, such as a Status or a Table."""
    match representation.media_type:
        case "application/yaml":
            from navarch.apimachinery import yamlcodec

            # In the order of their names, as fields come out of Kubernetes' YAML.
            return yamlcodec.dump(orjson.loads(orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)))
        case "application/vnd.kubernetes.protobuf":
            return encoder.encode(obj)
    if representation.pretty:
        return orjson.dumps(obj, option=orjson.OPT_INDENT_2)
    return orjson.dumps(obj, option=orjson.OPT_APPEND_NEWLINE)


def warning_headers(request: APIRequest) -> dict[str, str]:
    """What goes with an error, in one header."""
    shown = shown_warnings(request.warnings)
    return {"Warning": ", ".join(shown)} if shown else {}


def shown_warnings(warnings: Iterable[str]) -> list[str]:
    """Values of Warning headers: those without control characters, and if they are long, only how they begin."""
    texts = [text for text in warnings if not _CONTROL.search(text)]
    if sum(map(len, texts)) > WARNINGS_LIMIT_CHARACTERS:
        left = WARNINGS_LIMIT_CHARACTERS
        cut = []
        for text in texts:
            if left <= 0:
                break
            cut.append(text[:CUT_WARNING_CHARACTERS])
            left -= len(cut[-1])
        texts = cut
    return [_shown(text) for text in texts]


def _shown(warning: str) -> str:
    escaped = warning.replace("\\", "\\\\").replace('"', '\\"')
    # In UTF-8, of which a header's characters are the bytes.
    return f'299 - "{escaped}"'.encode().decode("latin-1")


async def respond(request: APIRequest, answer: Answer, representation: Representation) -> Response:
    """An answer as a response."""
    if isinstance(answer, Response):
        return answer
    if representation.form == "Table":
        check_options(request)
    if isinstance(answer, WatchAnswer):
        return watchstream.respond(request, answer, representation)
    if isinstance(answer, ListAnswer) and representation.form == "PartialObjectMetadata":
        raise errors.not_acceptable_form(representation.form, "a list", f"{_go_type(answer.kind)}List")
    headers: list[tuple[str, str]] = [("Content-Type", representation.media_type)]
    headers += [("Warning", value) for value in shown_warnings(request.warnings)]
    if isinstance(answer, ObjectAnswer):
        return Response(answer.status, headers, _object_body(request, answer, representation))
    body: bytes | Parts
    if representation.media_type == PROTOBUF:
        body = await _protobuf_list(answer, representation)
    else:
        body = _list_body(request, answer, representation)
    if len(body) > GZIP_MIN_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        # Elsewhere: others go on being served meanwhile.
        body = await asyncio.get_running_loop().run_in_executor(None, _compressed, body)
        headers += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
    elif len(body) <= PIECE_BYTES:
        body = bytes(body)
    return Response(200, headers, body)


def _compressed(body: bytes | Parts) -> bytes:
    return gzip.compress(bytes(body), GZIP_LEVEL)


def _object_body(request: APIRequest, answer: ObjectAnswer, representation: Representation) -> bytes:
    obj, record, kind = answer.object, answer.record, answer.kind
    if not representation.form or (obj is not None and obj.get("kind") == "Status"):
        if record is not None and representation == PLAIN:
            return record.data + b"\n"
        if record is not None and representation.media_type == PROTOBUF:
            return protobuf(kind, record)
        return encoded(answer.decoded(), representation)
    if representation.form == "Table":
        shown = answer.decoded()
        metadata = {"resourceVersion": version} if (version := shown["metadata"].get("resourceVersion")) else {}
        return encoded(table(request, kind, [shown], representation, metadata), representation)
    if representation.form != "PartialObjectMetadata":
        raise errors.not_acceptable_form(representation.form, "not a list", _go_type(kind))
    shown = partial(answer.decoded(), representation)
    if representation.media_type == PROTOBUF:
        return encoder.encode_partial(shown)
    return encoded(shown, representation)


def _go_type(kind: Kind) -> str:
    """What Kubernetes' own code calls the type of a kind's objects, as its errors name it."""
    if kind.is_custom:
        return "*unstructured.Unstructured"
    group = "" if kind.group == "events.k8s.io" else kind.group
    return f"*{group.partition('.')[0] or 'core'}.{kind.kind}"


def protobuf(kind: Kind, record: Record) -> bytes:
    """A stored object as protobuf."""
    return encoder.enveloped(kind.api_version, kind.kind, _encodings.message(kind, record))


def _list_metadata(answer: ListAnswer) -> Object:
    metadata: Object = {"resourceVersion": str(answer.revision)}
    if answer.continue_token:
        metadata["continue"] = answer.continue_token
    if answer.remaining is not None:
        metadata["remainingItemCount"] = answer.remaining
    return metadata


def _list_body(request: APIRequest, answer: ListAnswer, representation: Representation) -> bytes | Parts:
    metadata, kind = _list_metadata(answer), answer.kind
    if representation.form == "Table":
        return encoded(table(request, kind, answer.objects(), representation, metadata), representation)
    if representation.form:
        items = [partial(obj, representation) for obj in answer.objects()]
        return encoded({**_partial_list_head(representation), "metadata": metadata, "items": items}, representation)
    if representation.pretty or representation.media_type == YAML:
        head = {"kind": kind.list_kind, "apiVersion": kind.api_version}
        return encoded({**head, "metadata": metadata, "items": list(answer.objects())}, representation)
    opening = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        kind.list_kind.encode(),
        kind.api_version.encode(),
        orjson.dumps(metadata),
    )
    parts = answer.encoded()
    if not parts:
        return opening + b"]}\n"
    # Many megabytes are put together only as they are sent.
    parts[0] = opening + parts[0]
    parts[-1] += b"]}\n"
    return Parts(parts, b",")


def _partial_list_head(representation: Representation) -> Object:
    return {"kind": "PartialObjectMetadataList", "apiVersion": f"{META_GROUP}/{representation.form_version}"}


async def _protobuf_list(answer: ListAnswer, representation: Representation) -> Parts:
    """A list's whole body. Long ones that have to be encoded let others have a turn."""
    if representation.form:
        head = _partial_list_head(representation)
        items = [encoder.partial_message(obj) for obj in answer.objects()]
        return Parts(encoder.list_parts(head["apiVersion"], head["kind"], _list_metadata(answer), items))
    kind, items, made = answer.kind, [], 0
    for record in answer.records:
        if not _encodings.has(kind, record):
            made += 1
            if made % PROTOBUF_SLICE == 0:
                await asyncio.sleep(0)
        items.append(_encodings.message(kind, record))
    return Parts(encoder.list_parts(kind.api_version, kind.list_kind, _list_metadata(answer), items))


_encodings = Encodings()
