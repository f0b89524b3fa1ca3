"""ConfigMaps, Secrets and service account tokens that the pods of this node use, fetched when needed and shared.

A pod that starts sees an object not older than itself; later it is looked at again at most once in `TTL_SECONDS`, and never
if it is immutable. No watch is held: a node's pods use few objects, and those seldom change. A token is asked for anew after
four fifths of its life, or a day.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.component import clock

TTL_SECONDS = 60.0
OBJECTS_LIMIT = 1024
TOKENS_LIMIT = 4096
TOKEN_MAX_AGE_SECONDS = 24 * 3600.0
TOKEN_REFRESH_FRACTION = 0.8


@dataclass(slots=True)
class _Cached:
    object: Object | None
    fetched: float
    """When the request was sent, on the monotonic clock."""


class ObjectCache:
    """ConfigMaps and Secrets by (resource, namespace, name)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._cached: OrderedDict[tuple[str, str, str], _Cached] = OrderedDict()
        self._locks: dict[tuple[str, str, str], asyncio.Lock] = {}

    async def get(self, resource: str, namespace: str, name: str, *, since: float | None = None) -> Object | None:
        """The object, None if there is none. `since` (monotonic) asks for one fetched after that moment.

        Raises StatusError or OSError if it cannot be had and none is known that is good enough.
        """
        key = (resource, namespace, name)
        if (fresh := self._fresh(key, since)) is not None:
            return fresh.object
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                # Whoever held the lock before may have fetched what is wanted here.
                if (fresh := self._fresh(key, since)) is not None:
                    return fresh.object
                return await self._fetch(key)
        finally:
            if not lock.locked():
                self._locks.pop(key, None)

    async def _fetch(self, key: tuple[str, str, str]) -> Object | None:
        resource, namespace, name = key
        started = clock.monotonic()
        known = self._cached.get(key)
        found: Object | None
        try:
            found = await self._client.get(resource, name, namespace)
        except (StatusError, OSError) as error:
            if isinstance(error, StatusError) and error.is_not_found:
                found = None
            elif known is not None and _is_outage(error):
                # Pods go on, and are restarted, while the API server is away.
                return known.object
            else:
                raise
        self._cached[key] = _Cached(found, started)
        self._cached.move_to_end(key)
        if len(self._cached) > OBJECTS_LIMIT:
            self._cached.popitem(last=False)
        return found

    def _fresh(self, key: tuple[str, str, str], since: float | None) -> _Cached | None:
        cached = self._cached.get(key)
        if cached is None:
            return None
        if cached.object is not None and cached.object.get("immutable"):
            return cached
        oldest = clock.monotonic() - TTL_SECONDS if since is None else since
        return cached if cached.fetched >= oldest else None


def _is_outage(error: StatusError | OSError) -> bool:
    """Whether the server did not say no, but nothing that can be used."""
    return isinstance(error, OSError) or error.code >= 500 or error.code == 429


@dataclass(slots=True)
class _Token:
    token: str
    refresh_at: float
    expires_at: float


class TokenCache:
    """Tokens of service accounts, each bound to one pod."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tokens: OrderedDict[str, _Token] = OrderedDict()

    async def get(self, pod: Object, audience: str, expiration_seconds: int) -> str:
        """A token that stays valid for a while. Raises StatusError or OSError."""
        metadata = pod["metadata"]
        account = pod["spec"].get("serviceAccountName") or "default"
        key = json.dumps([metadata["uid"], account, audience, expiration_seconds])
        known = self._tokens.get(key)
        if known is not None and clock.time_seconds() < known.refresh_at:
            return known.token
        reference = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec: Object = {
            "audiences": [audience] if audience else [],
            "expirationSeconds": expiration_seconds,
            "boundObjectRef": reference,
        }
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        try:
            answer = await self._client.create(
                "serviceaccounts", request, metadata["namespace"], name=account, subresource="token"
            )
        except (StatusError, OSError) as error:
            if known is not None and _is_outage(error) and clock.time_seconds() < known.expires_at:
                return known.token
            raise
        now = clock.time_seconds()
        expires = meta.parse_time(answer["status"]["expirationTimestamp"]).timestamp()
        life = min((expires - now) * TOKEN_REFRESH_FRACTION, TOKEN_MAX_AGE_SECONDS)
        self._tokens[key] = _Token(str(answer["status"]["token"]), now + clock.jitter(life, -0.05), expires)
        self._tokens.move_to_end(key)
        if len(self._tokens) > TOKENS_LIMIT:
            self._tokens.popitem(last=False)
        return self._tokens[key].token

    def forget(self, pod_uid: str) -> None:
        prefix = json.dumps([pod_uid])[:-1] + ","
        for key in [key for key in self._tokens if key.startswith(prefix)]:
            del self._tokens[key]
