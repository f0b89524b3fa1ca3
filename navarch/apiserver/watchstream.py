"""A watch's events as the client asked for them: lines of JSON, or framed protobuf messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import orjson

from navarch.api.kind import Kind
from navarch.api.protobuf import encoder
from navarch.apimachinery.errors import Object
from navarch.apiserver.negotiation import JSON, PROTOBUF, Representation
from navarch.apiserver.request import APIRequest, WatchAnswer
from navarch.apiserver.tables import partial, table
from navarch.apiserver.watch import Event, Events, Watch
from navarch.component.httpserver import Piece, Response
from navarch.storage.changes import Change

Encode = Callable[[Events], bytes]


def respond(request: APIRequest, answer: WatchAnswer, representation: Representation) -> Response:
    """The watch as a streamed response."""
    media_type = representation.media_type
    if media_type != JSON:
        media_type += ";stream=watch"
    headers = (("Content-Type", media_type), ("Cache-Control", "no-cache, private"))
    return Response(200, headers, _Body(answer.watch, _encoder(request, answer.kind, representation)))


class _Body(AsyncIterator[bytes]):
    """A watch's chunks. Closing it ends the watch even where nobody has begun to read, which a generator could not."""

    def __init__(self, watch: Watch, encode: Encode) -> None:
        self._watch, self._encode = watch, encode

    async def __anext__(self) -> bytes:
        batch = await self._watch.next()
        if batch is None:
            self._watch.close()
            raise StopAsyncIteration
        return self._encode(batch)

    async def aclose(self) -> None:
        self._watch.close()


def _encoder(request: APIRequest, kind: Kind, representation: Representation) -> Encode:
    if representation.form:
        return _each(_transformed(request, kind, representation))
    if representation.media_type == PROTOBUF:
        return _shared(f"protobuf {kind.api_version}", _protobuf(kind))
    if kind.stored_as is not None:
        return _shared(f"JSON {kind.api_version}", lambda event: _json_line(event.type, event.served(kind)))
    return _shared("JSON", _stored_line)


def _each(encode: Callable[[Event], bytes]) -> Encode:
    return lambda events: encode(events[0]) if len(events) == 1 else b"".join([encode(event) for event in events])


def _shared(form: str, encode: Callable[[Event], bytes]) -> Encode:
    """What is the same for all clients who are told of the same is made for the first of them."""
    each = _each(encode)
    return lambda events: events.form(form, lambda events: Piece(each(events)))


def _json_line(type_: str, obj: Object) -> bytes:
    return orjson.dumps({"type": type_, "object": obj}, option=orjson.OPT_APPEND_NEWLINE)


def _stored_line(event: Event) -> bytes:
    change = event.change
    if change is not None and change.type == event.type:
        return change.line
    data = event.record.data if event.record is not None else orjson.dumps(event.other)
    return b'{"type":"%b","object":%b}\n' % (event.type.encode(), data)


def _protobuf(kind: Kind) -> Callable[[Event], bytes]:
    def body(change: Change) -> bytes:
        return encoder.encode(kind.from_stored(change.object))

    def encode(event: Event) -> bytes:
        if event.change is not None:
            # Encoded once, however many watch.
            return encoder.encode_event(event.type, event.change.form(f"protobuf {kind.api_version}", body))
        return encoder.encode_event(event.type, encoder.encode(event.served(kind)))

    return encode


def _transformed(request: APIRequest, kind: Kind, representation: Representation) -> Callable[[Event], bytes]:
    """Events of Tables or of metadata; only the first Table names its columns."""
    headed = True

    def shown(event: Event) -> Object:
        nonlocal headed
        obj = event.served(kind)
        if event.type == "ERROR":
            return obj
        if representation.form != "Table":
            return partial(obj, representation)
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        if event.type == "BOOKMARK":
            return table(request, kind, (), representation, metadata, headed=False)
        first, headed = headed, False
        return table(request, kind, [obj], representation, metadata, headed=first)

    def encode(event: Event) -> bytes:
        obj = shown(event)
        if representation.media_type != PROTOBUF:
            return _json_line(event.type, obj)
        encoded = encoder.encode(obj) if event.type == "ERROR" else encoder.encode_partial(obj)
        return encoder.encode_event(event.type, encoded)

    return encode
