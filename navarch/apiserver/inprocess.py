"""The API for components in the server's own process: the same pipeline, without encoding, connections or copies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.pipeline import Pipeline
from navarch.apiserver.request import APIRequest, ListAnswer, ObjectAnswer, User, WatchAnswer
from navarch.apiserver.requestinfo import parse
from navarch.client.transport import JSON, WatchEvent
from navarch.component.httpserver import Response


class InProcessTransport:
    """A `Transport` that calls the pipeline as one user."""

    def __init__(self, pipeline: Pipeline, user: User) -> None:
        self._pipeline = pipeline
        self._user = user

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
    ) -> Object:
        answer = await self._pipeline.execute(self._asked(method, path, query, body, content_type))
        if isinstance(answer, ObjectAnswer):
            return answer.decoded()
        if isinstance(answer, Response):
            # What the API says of itself.
            assert isinstance(answer.body, bytes)
            found: Object = orjson.loads(answer.body)
            return found
        assert isinstance(answer, ListAnswer), "components ask for objects, lists and discovery"
        metadata: Object = {"resourceVersion": str(answer.revision)}
        if answer.continue_token:
            metadata["continue"] = answer.continue_token
        kind = answer.kind
        items = list(answer.objects())
        return {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": metadata, "items": items}

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
        answer = await self._pipeline.execute(self._asked("GET", path, {**query, "watch": "true"}, None, JSON))
        assert isinstance(answer, WatchAnswer)
        answer.watch.holds_objects = True
        try:
            async for batch in answer.watch.batches():
                for event in batch:
                    if event.type == "ERROR":
                        raise StatusError(event.served(answer.kind))
                    yield WatchEvent(event.type, event.served(answer.kind))  # type: ignore[arg-type]
        finally:
            answer.watch.close()

    async def close(self) -> None:
        """Nothing is held."""

    def _asked(self, method: str, path: str, query: Mapping[str, str] | None, body: Any, content_type: str) -> APIRequest:
        values = {name: [value] for name, value in (query or {}).items()}
        return APIRequest(parse(method, path, values), method, values, self._user, decoded=body, content_type=content_type)
