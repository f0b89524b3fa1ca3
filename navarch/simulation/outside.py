"""Clients outside, over HTTP: they meet the same faults as the cluster's own components.

Each has a line under what it calls itself (``kubectl``, ``my-operator``: what stands before the ``/`` in its User-Agent); all
of them are `CLIENTS`. Whoever carries out the test is none of them, since its calls come by another way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from navarch.apimachinery import errors
from navarch.apimachinery.errors import StatusError
from navarch.apiserver import respond
from navarch.apiserver.server import APIServer
from navarch.component import clock
from navarch.component.httpserver import Request, Response
from navarch.simulation.network import CLIENT_TIMEOUT_SECONDS, Line, Network, Stream, plural_of

CLIENTS = "clients"
"""All of them, for faults."""
NAMELESS = "nameless"
LINES_LIMIT = 1000
"""Of clients that call themselves differently; the oldest are forgotten."""


class OutsideServer(APIServer):
    """An API server to which clients come by lines."""

    def __init__(self, network: Network, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._network = network
        self._lines: dict[str, Line] = {}

    async def _handle(self, request: Request) -> Response:
        if not plural_of(request.path):
            return await super()._handle(request)
        line = self._line(request.headers.get("user-agent", ""))
        try:
            loses_answer = await line.meet(request.method, request.path)
            is_watch = "watch=" in request.query
            if is_watch and line.has_expired(request.path):
                raise errors.expired("too old resource version: the watch cache does not go back so far")
        except StatusError as error:
            return respond.failure(error)
        except TimeoutError:
            raise ConnectionResetError from None
        response = await super()._handle(request)
        if loses_answer:
            await clock.sleep(CLIENT_TIMEOUT_SECONDS)
            raise ConnectionResetError
        if is_watch and isinstance(response.body, AsyncIterator):
            response.body = self._watched(Stream(line, request.path), response.body)
        return response

    def _answer_at_once(self, request: Request) -> bytes | None:
        return None if self._network.disturbances else super()._answer_at_once(request)

    async def _watched(self, stream: Stream, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The pieces of a watch, as they come by its line."""
        self._network.streams[stream] = None
        try:
            while (piece := await stream.next(body)) is not None:
                yield piece
        finally:
            self._network.streams.pop(stream, None)
            await body.aclose()  # type: ignore[attr-defined]

    def _line(self, agent: str) -> Line:
        who = agent.split("/")[0].strip() or NAMELESS
        found = self._lines.get(who)
        if found is None:
            if len(self._lines) >= LINES_LIMIT:
                del self._lines[next(iter(self._lines))]
            found = self._lines[who] = Line(self._network, who, CLIENTS)
        return found
