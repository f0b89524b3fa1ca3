"""ConfigMaps, Secrets and tokens, fetched and shared."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.component import clock
from navarch.kubelet.objects import ObjectCache, TokenCache
from tests.kubelet.pods import pod


class API:
    """Answers gets and token requests, and counts them."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.asked = 0
        self.failure: Exception | None = None
        self.life = timedelta(hours=1)

    async def get(self, resource: str, name: str, namespace: str = "") -> Object:
        self.asked += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        if name not in self.objects:
            raise errors.not_found("", resource, name)
        return self.objects[name]

    async def create(self, resource: str, obj: Object, namespace: str, **more: Any) -> Object:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        expires = meta.format_time(datetime.now(UTC) + self.life)
        return {"status": {"token": f"token-{self.asked}", "expirationTimestamp": expires}}


def test_pods_that_come_together_share_one_request() -> None:
    async def run() -> None:
        api = API()
        api.objects["cm"] = {"data": {}}
        cache = ObjectCache(api)  # type: ignore[arg-type]
        since = clock.monotonic()
        await asyncio.gather(*(cache.get("configmaps", "d", "cm", since=since) for _ in range(10)))
        assert api.asked == 1
        await cache.get("configmaps", "d", "cm")
        assert api.asked == 1, "good for a minute"
        await cache.get("configmaps", "d", "cm", since=clock.monotonic())
        assert api.asked == 2, "but not for a pod that came later"
        assert not cache._locks

    asyncio.run(run())


def test_what_is_not_there_is_none_and_immutable_things_are_asked_for_once() -> None:
    async def run() -> None:
        api = API()
        api.objects["fixed"] = {"immutable": True}
        cache = ObjectCache(api)  # type: ignore[arg-type]
        assert await cache.get("configmaps", "d", "none") is None
        for _ in range(3):
            await cache.get("configmaps", "d", "fixed", since=clock.monotonic())
        assert api.asked == 2

    asyncio.run(run())


def test_an_outage_is_bridged_by_what_is_known() -> None:
    async def run() -> None:
        api = API()
        api.objects["cm"] = {"data": {"k": "v"}}
        cache = ObjectCache(api)  # type: ignore[arg-type]
        await cache.get("configmaps", "d", "cm")
        for failure in (ConnectionRefusedError(), errors.internal_error("broken")):
            api.failure = failure
            assert await cache.get("configmaps", "d", "cm", since=clock.monotonic()) == {"data": {"k": "v"}}
        with pytest.raises(StatusError):
            await cache.get("configmaps", "d", "other")
        api.failure = errors.forbidden("", "configmaps", "cm", "no")
        with pytest.raises(StatusError):
            await cache.get("configmaps", "d", "cm", since=clock.monotonic())

    asyncio.run(run())


def test_tokens_are_kept_until_most_of_their_life_is_over() -> None:
    async def run() -> None:
        api = API()
        cache = TokenCache(api)  # type: ignore[arg-type]
        first = await cache.get(pod(), "", 3600)
        assert await cache.get(pod(), "", 3600) == first
        assert await cache.get(pod(), "vault", 3600) != first
        cache.forget("u-1")
        again = await cache.get(pod(), "", 3600)
        assert again != first
        for token in cache._tokens.values():
            token.refresh_at = 0
        api.failure = ConnectionRefusedError()
        assert await cache.get(pod(), "", 3600) == again, "still valid, and nothing better can be had"
        api.failure = None
        assert await cache.get(pod(), "", 3600) != again

    asyncio.run(run())
