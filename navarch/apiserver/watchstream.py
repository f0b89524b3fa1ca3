"""A watch's events as the client asked for them: lines of JSON, or framed protobuf messages."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable

import orjson

from navarch.api.kind import Kind
from navarch.api.protobuf import encoder
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.negotiation import JSON, META_GROUP, PROTOBUF, Representation
from navarch.apiserver.request import APIRequest, WatchAnswer
from navarch.apiserver.tables import partial, table
from navarch.apiserver.watch import INITIAL_EVENTS_END, Event, Events, Watch
from navarch.component.httpserver import Piece, Response
from navarch.storage.changes import Change

INITIAL_EVENTS_LIST = "kubernetes.io/initial-events-list-blueprint"

Encode = Callable[[Events], bytes]


def respond(request: APIRequest, answer: WatchAnswer, representation: Representation) -> Response:
    """The watch as a streamed response."""
    media_type = representation.media_type
    if media_type != JSON:
        media_type += ";stream=watch"
    headers = (("Content-Type", media_type), ("Cache-Control", "no-cache, private"))
    encode = _encoder(request, answer.kind, representation)
    if request.flag("sendInitialEvents"):
        encode = _telling_of_the_list(encode, _empty_list(answer.kind, representation))
    return Response(200, headers, _Body(answer.watch, encode))


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


def _telling_of_the_list(encode: Encode, empty: bytes) -> Encode:
    """As `encode`; what says that the initial events are complete also has the list that they make up, without its items."""
    blueprint = base64.b64encode(empty).decode()
    told = False

    def shown(event: Event) -> Event:
        nonlocal told
        bookmark = event.other
        annotations = meta.annotations(bookmark) if event.type == "BOOKMARK" and bookmark is not None else meta.EMPTY
        if bookmark is None or INITIAL_EVENTS_END not in annotations:
            return event
        told = True
        annotations = {**annotations, INITIAL_EVENTS_LIST: blueprint}
        return event._replace(other=meta.set_path(bookmark, annotations, "metadata", "annotations"))

    return lambda events: encode(events if told else Events([shown(event) for event in events]))


def _empty_list(kind: Kind, representation: Representation) -> bytes:
    """A list of no objects in the form that is watched, as Go writes one that was never filled."""
    api_version, name = kind.api_version, kind.list_kind
    if representation.form.startswith("PartialObjectMetadata"):
        api_version, name = f"{META_GROUP}/{representation.form_version}", "PartialObjectMetadataList"
    elif kind.is_custom:
        return orjson.dumps({"apiVersion": api_version, "items": [], "kind": name}, option=orjson.OPT_APPEND_NEWLINE)
    if representation.media_type == PROTOBUF:
        return encoder.encode_list(api_version, name, {}, ())
    empty: Object = {"kind": name, "apiVersion": api_version, "metadata": {}, "items": None}
    return orjson.dumps(empty, option=orjson.OPT_APPEND_NEWLINE)


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
