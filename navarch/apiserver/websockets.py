"""Watches and logs over a WebSocket, for browsers: a message an event, or a message a piece of the log.

exec, attach and port-forward speak protocols of their own and are carried through to the kubelet.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterable

from navarch.apimachinery import errors
from navarch.apiserver.request import APIRequest
from navarch.component import websocket
from navarch.component.bytestream import ByteStream
from navarch.component.httpserver import Parts, Response
from navarch.component.websocket import WebSocket

BINARY, BASE64 = "binary.k8s.io", "base64.binary.k8s.io"


def serve_log(request: APIRequest, answer: Response) -> Response:
    """A log's answer as the WebSocket that was asked for: binary messages, or base64 text as ``base64.binary.k8s.io``."""
    protocol = websocket.negotiate(request.headers, (BINARY, BASE64))
    if protocol == BASE64:
        return _upgraded(request, answer, protocol, lambda chunk: (base64.b64encode(chunk),), text=True)
    return _upgraded(request, answer, protocol or "", lambda chunk: (chunk,), text=False)


def serve_watch(request: APIRequest, answer: Response) -> Response:
    """A watch's answer as the WebSocket that was asked for: each event one text message."""
    offered = websocket.offered(request.headers)
    return _upgraded(request, answer, offered[0] if offered else "", bytes.splitlines, text=True)


def _upgraded(
    request: APIRequest, answer: Response, protocol: str, messages: Callable[[bytes], Iterable[bytes]], *, text: bool
) -> Response:
    try:
        headers = websocket.accept_headers(request.headers, protocol)
    except ValueError as error:
        raise errors.bad_request(str(error)) from None
    body = answer.body

    async def takeover(stream: ByteStream) -> None:
        socket = WebSocket(stream)
        closed = asyncio.ensure_future(_until_closed(socket))
        sending = asyncio.ensure_future(_send(socket, body, messages, text=text))
        try:
            await asyncio.wait((closed, sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            closed.cancel()
            sending.cancel()
            await asyncio.gather(closed, sending, return_exceptions=True)
            await socket.close()

    return Response(101, headers, takeover=takeover)


async def _send(
    socket: WebSocket, body: bytes | Parts | AsyncIterator[bytes], messages: Callable[[bytes], Iterable[bytes]], *, text: bool
) -> None:
    if isinstance(body, bytes | Parts):
        for message in messages(bytes(body)):
            await socket.send(message, text=text)
        return
    try:
        async for chunk in body:
            for message in messages(chunk):
                await socket.send(message, text=text)
    finally:
        await body.aclose()  # type: ignore[attr-defined]


async def _until_closed(socket: WebSocket) -> None:
    """What the client sends means nothing here, but that it has gone."""
    while await socket.receive() is not None:
        continue
