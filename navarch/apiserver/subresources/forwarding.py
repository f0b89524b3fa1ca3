"""Carrying a request to another HTTP server and its answer back, upgraded connections (WebSocket, SPDY/3.1) included."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from navarch.apiserver.request import APIRequest
from navarch.component.bytestream import ByteStream, splice
from navarch.component.httpclient import Answer, HTTPClient, StreamedAnswer
from navarch.component.httpserver import Response

Forward = Callable[[HTTPClient, APIRequest, str, Mapping[str, str] | None], Awaitable[Response]]
"""How what is asked of nodes, pods and Services gets there: `forward`, unless they are only pretended."""
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "te", "trailer"})
_NOT_FORWARDED = frozenset({"host", "authorization", "content-length"})


async def forward(client: HTTPClient, request: APIRequest, target: str, headers: Mapping[str, str] | None = None) -> Response:
    """Send `request` to `target` (path and query) of the client's server; `headers` are added. The client is used up.

    The answer's body is streamed. Raises OSError where the server cannot be reached.
    """
    sent = {name: value for name, value in request.headers.items() if name not in _NOT_FORWARDED} | dict(headers or {})
    try:
        if "upgrade" in request.headers.get("connection", "").lower():
            return await _upgrade(client, request, target, sent)
        sent = {name: value for name, value in sent.items() if name not in HOP_BY_HOP}
        answer = await client.stream(request.method, target, headers=sent, body=request.body)
    except BaseException:
        client.close()
        raise
    return Response(answer.status, end_to_end(answer.headers), _Body(client, answer))


def end_to_end(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers of an answer that go on to whoever asked."""
    return [(name.title(), value) for name, value in headers.items() if name not in HOP_BY_HOP]


async def _upgrade(client: HTTPClient, request: APIRequest, target: str, headers: dict[str, str]) -> Response:
    result = await client.upgrade(request.method, target, headers=headers)
    if isinstance(result, Answer):
        client.close()
        return Response(result.status, end_to_end(result.headers), result.body)
    answered, upstream = result
    kept = [(name.title(), value) for name, value in answered.items() if name not in ("content-length", "transfer-encoding")]

    async def takeover(stream: ByteStream) -> None:
        await splice(stream, upstream)

    return Response(101, kept, takeover=takeover)


class _Body(AsyncIterator[bytes]):
    """The body of an answer; the connection it comes over is closed with it, even if nobody has begun to read it."""

    def __init__(self, client: HTTPClient, answer: StreamedAnswer) -> None:
        self._client, self._chunks = client, aiter(answer)

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except BaseException:
            self._client.close()
            raise

    async def aclose(self) -> None:
        self._client.close()


async def whole_body(response: Response) -> bytes:
    """All of a response's body."""
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([chunk async for chunk in response.body])
