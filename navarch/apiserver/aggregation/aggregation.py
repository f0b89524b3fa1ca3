"""Everything about group versions that other API servers answer for, put together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from navarch.apiserver.aggregation.availability import Availability
from navarch.apiserver.aggregation.documents import RemoteDocuments
from navarch.apiserver.aggregation.proxying import Aggregator, Contexts
from navarch.apiserver.aggregation.services import APIServices, Remote
from navarch.apiserver.discovery import RemoteVersion
from navarch.apiserver.openapi.documents import RemoteOpenAPI
from navarch.apiserver.request import APIRequest
from navarch.apiserver.resources import Resources
from navarch.apiserver.subresources.forwarding import Forward
from navarch.component.httpserver import Response
from navarch.component.metrics import Registry


class Aggregation:
    """`begin` before anything is served, `start` when the event loop runs, `stop` at the end."""

    def __init__(
        self, resources: Resources, certificate: Path | None, key: Path | None, carry: Forward, metrics: Registry
    ) -> None:
        """`certificate` and `key` are the front proxy's, by which other servers know this one."""
        self._services = APIServices(resources.store)
        self._aggregator = Aggregator(resources.store, self._services, Contexts(certificate, key), carry)
        self._documents = RemoteDocuments(self._services, self._aggregator)
        self._availability = Availability(resources, self._aggregator, metrics)

    def begin(self) -> None:
        self._services.begin()

    def start(self) -> None:
        self._availability.start()
        self._documents.start()

    async def stop(self) -> None:
        await self._availability.stop()
        await self._documents.stop()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever discovery or OpenAPI have something else to say."""
        self._documents.on_change(listener)

    def find(self, path: str) -> Remote | None:
        """Who answers for a path; None: this server."""
        return self._aggregator.find(path)

    async def serve(self, request: APIRequest, remote: Remote) -> Response:
        return await self._aggregator.serve(request, remote)

    def versions(self) -> list[RemoteVersion]:
        """For discovery."""
        return [
            RemoteVersion(remote.group, remote.version, remote.group_priority, remote.version_priority, document)
            for remote, document in self._documents.versions()
        ]

    def openapi(self) -> dict[str, RemoteOpenAPI]:
        return self._documents.openapi()
