"""How a client reaches the API: over HTTP, or straight into the API server's pipeline in the same process.

Both speak in decoded objects, so that components in one process share them instead of encoding and decoding. Objects that
come out of a transport are shared and must not be mutated.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from navarch.apimachinery.errors import Object

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change, as a watch delivers it."""

    type: EventType
    object: Object


class Transport(Protocol):
    """A way to the API server, with an identity."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
    ) -> Object:
        """Do one request and return the decoded answer. Raises StatusError for an answer that is not success.

        An unreachable server raises `ConnectionError`.
        """

    def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
        """Open a watch (`query` need not say ``watch=true``).

        Ends when the server ends it; ERROR events are raised as StatusError.
        """

    async def close(self) -> None:
        """Give back connections."""
