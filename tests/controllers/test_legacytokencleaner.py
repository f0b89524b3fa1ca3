"""Tokens that nobody uses: marked after a year, gone after two, and only those that nobody asked for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.controllers import legacytokencleaner
from navarch.controllers.config import ControllerConfig
from navarch.controllers.serviceaccounttokens import SECRETS
from tests.controllers.world import on_bench, template
from tests.fakeapi import Bench, run_in_virtual_time

KEY = "default/robot-token"
LAST_USED, INVALID_SINCE = "kubernetes.io/legacy-token-last-used", "kubernetes.io/legacy-token-invalid-since"
KEPT_DAYS = 10
MARKED, GONE, THERE = "marked", "gone", "there"


def day(days_ago: float) -> str:
    return (clock.now().astimezone(UTC) - timedelta(days=days_ago)).date().isoformat()


def stamp(days_ago: float) -> str:
    return meta.format_time(clock.now() - timedelta(days=days_ago))


def put(found: Bench, created: float = 30, used: float | None = None, marked: float | None = None, **metadata: Any) -> None:
    """A token Secret; numbers are days ago."""
    labels = {name: day(ago) for name, ago in ((LAST_USED, used), (INVALID_SINCE, marked)) if ago is not None}
    annotations = {"kubernetes.io/service-account.name": "robot", "kubernetes.io/service-account.uid": "account"}
    metadata = {
        "name": "robot-token",
        "creationTimestamp": stamp(created),
        "labels": labels,
        "annotations": annotations,
    } | metadata
    kind = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token"}
    found.api.put({**kind, "metadata": metadata})


def put_account(found: Bench, *secrets: str, uid: str = "account") -> None:
    listed = [{"name": name} for name in secrets]
    metadata = {"name": "robot", "uid": uid}
    found.api.put({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "secrets": listed})


def track(found: Bench, since: str) -> None:
    metadata = {"name": "kube-apiserver-legacy-service-account-token-tracking", "namespace": "kube-system"}
    found.api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"since": since}})


def what_becomes(found: Bench) -> str:
    present = found.api.one(SECRETS, KEY)
    if present is None:
        return GONE
    return MARKED if meta.labels(present).get(INVALID_SINCE) == day(0) else THERE


def cleaner() -> Any:
    return on_bench(legacytokencleaner.controller(ControllerConfig(legacy_token_clean_up_seconds=KEPT_DAYS * 86400.0)))


def check(expected: str, prepare: Any) -> None:
    async def main() -> None:
        async with cleaner() as found:
            prepare(found)
            await asyncio.sleep(60)
            assert what_becomes(found) == expected

    run_in_virtual_time(main)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, MARKED),
        ({"used": 11}, MARKED),
        ({"used": 9}, THERE),
        ({"created": 9}, THERE),
        ({"marked": 11}, GONE),
        ({"marked": 9}, THERE),
        ({"used": 9, "marked": 11}, THERE),
        ({"labels": {LAST_USED: "some day"}}, THERE),
        ({"labels": {INVALID_SINCE: "some day"}}, MARKED),
        ({"annotations": {"kubernetes.io/service-account.name": "robot"}}, MARKED),
        ({"annotations": {"kubernetes.io/service-account.name": "robot", "kubernetes.io/service-account.uid": "old"}}, THERE),
        ({"annotations": {"kubernetes.io/service-account.name": "missing"}}, THERE),
        ({"deletionTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["example.com/held"]}, THERE),
    ],
)
def test_a_token_that_was_made_for_its_account_goes_when_nobody_uses_it(state: Any, expected: str) -> None:
    def prepare(found: Bench) -> None:
        track(found, day(KEPT_DAYS + 2))
        put_account(found, "robot-token")
        put(found, **state)

    check(expected, prepare)


def test_a_token_that_somebody_asked_for_stays() -> None:
    def prepare(found: Bench) -> None:
        track(found, day(KEPT_DAYS + 2))
        put_account(found, "another")
        put(found)

    check(THERE, prepare)


def pod_with(**spec: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": template(**spec)["spec"], "status": {}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"volumes": [{"name": "v", "secret": {"secretName": "robot-token"}}]}, THERE),
        ({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "robot-token"}}]}}]}, THERE),
        ({"initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "robot-token"}}]}]}, THERE),
        ({"volumes": [{"name": "v", "secret": {"secretName": "another"}}]}, MARKED),
    ],
)
def test_a_token_that_a_pod_refers_to_stays(spec: Any, expected: str) -> None:
    def prepare(found: Bench) -> None:
        track(found, day(KEPT_DAYS + 2))
        put_account(found, "robot-token")
        found.api.put(pod_with(**spec))
        put(found)

    check(expected, prepare)


@pytest.mark.parametrize(
    ("since", "expected"),
    [(KEPT_DAYS + 2, MARKED), (KEPT_DAYS, THERE), (None, THERE)],
    ids=["long enough", "not long enough", "not at all"],
)
def test_nothing_goes_before_uses_were_tracked_for_long_enough(since: float | None, expected: str) -> None:
    def prepare(found: Bench) -> None:
        if since is not None:
            track(found, day(since))
        put_account(found, "robot-token")
        put(found)

    check(expected, prepare)


def test_each_is_looked_at_once_a_day_and_a_mark_that_is_taken_away_stays_away_until_then() -> None:
    async def main() -> None:
        async with cleaner() as found:
            track(found, day(KEPT_DAYS - 2))
            put_account(found, "robot-token")
            put(found)
            await asyncio.sleep(86400 * 2)
            assert what_becomes(found) == THERE
            await asyncio.sleep(86400 * 1.5)
            assert INVALID_SINCE in meta.labels(found.api.one(SECRETS, KEY) or {})
            found.api.change(SECRETS, KEY, metadata={**(found.api.one(SECRETS, KEY) or {})["metadata"], "labels": {}})
            await asyncio.sleep(3600)
            assert what_becomes(found) == THERE
            await asyncio.sleep(86400)
            assert INVALID_SINCE in meta.labels(found.api.one(SECRETS, KEY) or {})
            await asyncio.sleep(86400 * (KEPT_DAYS + 2))
            assert what_becomes(found) == GONE

    run_in_virtual_time(main)


def test_only_the_version_that_was_looked_at_goes() -> None:
    async def main() -> None:
        async with cleaner() as found:

            def use(method: str, path: str, body: Any) -> Exception | None:
                if method == "DELETE":
                    assert body["preconditions"]["resourceVersion"] == present["metadata"]["resourceVersion"]
                return None

            track(found, day(KEPT_DAYS + 2))
            put_account(found, "robot-token")
            put(found, marked=KEPT_DAYS + 1)
            present = found.api.one(SECRETS, KEY) or {}
            found.api.refuse = use
            await found.until(lambda: what_becomes(found) == GONE)

    run_in_virtual_time(main)


def test_days_are_those_of_utc() -> None:
    before = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
    made = {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z", "labels": {LAST_USED: "2026-02-28"}}}
    assert legacytokencleaner.is_unused(made, before)
    assert not legacytokencleaner.is_unused(meta.set_path(made, "2026-03-01", "metadata", "labels", LAST_USED), before)
