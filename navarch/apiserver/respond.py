"""From an answer to bytes: JSON as stored, tables, metadata only, YAML; lists are spliced from encoded objects."""

from __future__ import annotations

import gzip
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.request import Answer, APIRequest, ListAnswer, ObjectAnswer, WatchAnswer
from navarch.apiserver.watch import Event, Watch
from navarch.component import clock
from navarch.component.httpserver import Response

JSON = "application/json"
YAML = "application/yaml"
OFFERED = (JSON, YAML)
GZIP_MIN_BYTES = 128 * 1024
_DEFAULT_COLUMNS = (NAME, Column("Created At", "date"))
_JSON_HEADER = (("Content-Type", JSON),)


@dataclass(frozen=True, slots=True)
class Representation:
    """What the client asked to be sent."""

    media_type: str = JSON
    form: str = ""
    """"" is the object itself; Table, PartialObjectMetadata, PartialObjectMetadataList."""
    form_version: str = "v1"
    stream: str = ""


def negotiate(accept: str) -> Representation:
    """The first acceptable form of an Accept header. Raises 406."""
    if not accept or accept in (JSON, "*/*"):
        return Representation()
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        options = dict(parameter.partition("=")[::2] for parameter in parameters)
        if media in ("*/*", "application/*"):
            return Representation()
        if media not in OFFERED:
            continue
        form = options.get("as", "")
        if not form:
            return Representation(media)
        known = form in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
        if known and options.get("g") == "meta.k8s.io" and options.get("v") in ("v1", "v1beta1"):
            return Representation(media, form, options["v"])
    raise errors.not_acceptable(OFFERED)


def failure(error: StatusError, representation: Representation | None = None) -> Response:
    """An error as a response."""
    headers = [*_JSON_HEADER, *error.headers.items()]
    return Response(error.code, headers, orjson.dumps(error.status))


def respond(request: APIRequest, answer: Answer, representation: Representation) -> Response:
    """An answer as a response."""
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, WatchAnswer):
        return _watch_response(request, answer, representation)
    if isinstance(answer, ObjectAnswer):
        status, body = answer.status, _object_body(request, answer, representation)
    else:
        status, body = 200, _list_body(request, answer, representation)
    headers: list[tuple[str, str]] = [("Content-Type", representation.media_type)]
    for warning in request.warnings:
        escaped = warning.replace("\\", "\\\\").replace('"', '\\"')
        headers.append(("Warning", f'299 - "{escaped}"'))
    if representation.media_type == YAML:
        from navarch.apimachinery import yamlcodec

        body = yamlcodec.dump(orjson.loads(body))
    if len(body) > GZIP_MIN_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 1)
        headers += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
    return Response(status, headers, body)


def _object_body(request: APIRequest, answer: ObjectAnswer, representation: Representation) -> bytes:
    obj = answer.object
    is_status = obj is not None and obj.get("kind") == "Status"
    if not representation.form or is_status:
        if answer.record is not None:
            return answer.record.data
        return orjson.dumps(obj)
    if representation.form == "Table":
        return orjson.dumps(table(request, answer.kind, [answer.decoded()], representation, {}))
    return orjson.dumps(_partial(answer.decoded(), representation))


def _list_body(request: APIRequest, answer: ListAnswer, representation: Representation) -> bytes:
    metadata: Object = {"resourceVersion": str(answer.revision)}
    if answer.continue_token:
        metadata["continue"] = answer.continue_token
    if answer.remaining is not None:
        metadata["remainingItemCount"] = answer.remaining
    if representation.form == "Table":
        return orjson.dumps(table(request, answer.kind, answer.objects(), representation, metadata))
    if representation.form:
        items = [_partial(obj, representation) for obj in answer.objects()]
        head = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{representation.form_version}"}
        return orjson.dumps({**head, "metadata": metadata, "items": items})
    kind = answer.kind
    return b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[%b]}' % (
        kind.list_kind.encode(),
        kind.api_version.encode(),
        orjson.dumps(metadata),
        b",".join(answer.encoded()),
    )


def _partial(obj: Object, representation: Representation) -> Object:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{representation.form_version}",
        "metadata": obj["metadata"],
    }


def table(
    request: APIRequest,
    kind: Kind,
    objects: Iterable[Object],
    representation: Representation,
    metadata: Mapping[str, Any],
    *,
    headed: bool = True,
) -> Object:
    """A meta.k8s.io Table of objects."""
    include = request.option("includeObject") or "Metadata"
    columns = kind.columns or _DEFAULT_COLUMNS
    row, now = kind.row, clock.now()
    rows = []
    for obj in objects:
        cells = row(obj, now) if row is not None else [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp")]
        entry: Object = {"cells": cells}
        if include == "Object":
            entry["object"] = obj
        elif include == "Metadata":
            entry["object"] = _partial(obj, representation)
        rows.append(entry)
    result: Object = {"kind": "Table", "apiVersion": f"meta.k8s.io/{representation.form_version}", "metadata": dict(metadata)}
    result["columnDefinitions"] = [_column(column) for column in columns] if headed else []
    result["rows"] = rows
    return result


def _column(column: Column) -> Object:
    description = column.description or _DESCRIPTIONS.get(column.name, "")
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": description,
        "priority": column.priority,
    }


_DESCRIPTIONS = {
    NAME.name: "Name must be unique within a namespace.",
    AGE.name: "Time since the object was created.",
}


# Watches


def _watch_response(request: APIRequest, answer: WatchAnswer, representation: Representation) -> Response:
    headers = (("Content-Type", representation.media_type), ("Cache-Control", "no-cache, private"))
    chunks = _stream(request, answer.kind, answer.watch, representation)
    return Response(200, headers, _WatchBody(answer.watch, chunks))


class _WatchBody(AsyncIterator[bytes]):
    """A watch's chunks. Closing it ends the watch even where nobody has begun to read, which a generator alone cannot."""

    def __init__(self, watch: Watch, chunks: AsyncGenerator[bytes, None]) -> None:
        self._watch, self._chunks = watch, chunks

    async def __anext__(self) -> bytes:
        return await self._chunks.__anext__()

    async def aclose(self) -> None:
        await self._chunks.aclose()
        self._watch.close()


async def _stream(request: APIRequest, kind: Kind, watch: Watch, representation: Representation) -> AsyncGenerator[bytes, None]:
    if not representation.form:
        async for batch in watch.batches():
            yield b"".join([_line(kind, event) for event in batch])
        return
    headed = True
    async for batch in watch.batches():
        lines = []
        for event in batch:
            shown = _shown(request, kind, event, representation, headed=headed)
            headed = headed and event.type in ("BOOKMARK", "ERROR")
            lines.append(orjson.dumps({"type": event.type, "object": shown}) + b"\n")
        yield b"".join(lines)


def _line(kind: Kind, event: Event) -> bytes:
    if kind.stored_as is not None:
        return orjson.dumps({"type": event.type, "object": event.served(kind)}) + b"\n"
    change = event.change
    if change is not None and change.type == event.type:
        return change.line
    data = event.record.data if event.record is not None else orjson.dumps(event.bookmark)
    return b'{"type":"%b","object":%b}\n' % (event.type.encode(), data)


def _shown(request: APIRequest, kind: Kind, event: Event, representation: Representation, *, headed: bool) -> Object:
    obj = event.served(kind)
    if event.type == "ERROR":
        return obj
    if representation.form != "Table":
        return _partial(obj, representation)
    if event.type == "BOOKMARK":
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return table(request, kind, (), representation, metadata, headed=False)
    metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    return table(request, kind, [obj], representation, metadata, headed=headed)
