"""Tokens that Secrets hold: good as long as they and their account are there, and their use is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.legacytokens import GENERATED, LegacyTokens, Tracking
from navarch.client.client import Client
from navarch.component.httpserver import Request
from navarch.component.metrics import Registry
from navarch.simulation.loop import SimulatedClock, SimulatedLoop
from tests.apiserver.bench import Bench, bench
from tests.apiserver.robots import INVALID_SINCE, LAST_USED, Robot, today
from tests.component.test_metrics import parsed

TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
ISSUER = "https://kubernetes.default.svc.cluster.local"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("api")) as found:
        found.listen()
        yield found


def test_a_token_stands_for_its_account(api: Bench) -> None:
    robot = Robot(api, "known")
    answer = robot.ask()
    assert answer.json["status"]["userInfo"] == {
        "username": "system:serviceaccount:default:known",
        "uid": robot.account["metadata"]["uid"],
        "groups": ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
    }
    assert "warning" not in answer.headers
    assert robot.review()["user"] == answer.json["status"]["userInfo"]


def test_who_uses_a_token_that_was_made_for_the_account_is_told_of_better_ones(api: Bench) -> None:
    robot = Robot(api, "generated")
    robot.list_it()
    assert robot.ask().headers["warning"] == f'299 - "{GENERATED}"'
    as_another = {**robot.headers, "impersonate-user": "somebody"}
    impersonating = api.call("GET", "/api/v1/namespaces/default/pods", user=None, headers=as_another)
    assert (impersonating.status, impersonating.headers.get("warning")) == (200, f'299 - "{GENERATED}"')


def test_a_warning_is_not_lost_where_an_answer_is_ready(api: Bench) -> None:
    robot = Robot(api, "in-a-hurry")

    def at_once() -> bytes | None:
        headers = {"accept": "application/json", **robot.headers}
        path = "/api/v1/namespaces/default/serviceaccounts/in-a-hurry"
        return api.server.pipeline.answer_at_once(Request("GET", path, "", headers, head=repr(headers).encode()))

    assert at_once() is not None
    robot.list_it()
    assert at_once() is None


def _remove(robot: Robot, resource: str, name: str, held: bool = False) -> None:
    if held:
        robot.api.patch(resource, name, {"metadata": {"finalizers": ["example.com/held"]}})
    robot.api.delete(resource, name)


def _replace_account(robot: Robot) -> None:
    _remove(robot, "serviceaccounts", robot.name)
    robot.api.made("serviceaccounts", {"metadata": {"name": robot.name, "namespace": "default"}})


NOT_SERVERS = "Token does not match server's copy"
INVALIDATED = "Token has been invalidated"
MARKED = (
    "the token in secret default/{name}-token for service account default/{name} has been marked invalid. "
    "Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the "
    "'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token"
)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda robot: _remove(robot, "secrets", f"{robot.name}-token"), INVALIDATED),
        (lambda robot: _remove(robot, "secrets", f"{robot.name}-token", held=True), INVALIDATED),
        (lambda robot: robot.change({"data": {"token": "eA=="}}), NOT_SERVERS),
        (lambda robot: robot.change({"data": None}), NOT_SERVERS),
        (lambda robot: _remove(robot, "serviceaccounts", robot.name), 'serviceaccounts "{name}" not found'),
        (
            lambda robot: _remove(robot, "serviceaccounts", robot.name, held=True),
            "ServiceAccount default/{name} has been deleted",
        ),
        (_replace_account, "ServiceAccount UID ({new}) does not match claim ({old})"),
        (lambda robot: robot.change({"metadata": {"labels": {INVALID_SINCE: "2026-01-01"}}}), MARKED),
    ],
    ids=[
        "secret gone",
        "secret going",
        "another token",
        "no token",
        "account gone",
        "account going",
        "another account",
        "marked",
    ],
)
def test_a_token_is_good_as_long_as_its_secret_and_its_account(
    api: Bench, request: pytest.FixtureRequest, spoil: Callable[[Robot], None], reason: str
) -> None:
    robot = Robot(api, request.node.callspec.id.replace(" ", "-"))
    assert robot.review()["authenticated"] is True
    spoil(robot)
    assert robot.ask().status == 401
    present = api.get("serviceaccounts", robot.name)
    new = present.json["metadata"]["uid"] if present.status == 200 else ""
    said = reason.format(name=robot.name, old=robot.account["metadata"]["uid"], new=new)
    assert robot.review() == {"user": {}, "error": f"[invalid bearer token, {said}]"}


@pytest.mark.parametrize(
    ("claim", "value", "reason"),
    [
        ("sub", None, "sub claim is missing"),
        ("kubernetes.io/serviceaccount/namespace", "", "namespace claim is missing"),
        ("kubernetes.io/serviceaccount/secret.name", None, "secretName claim is missing"),
        ("kubernetes.io/serviceaccount/service-account.name", None, "serviceAccountName claim is missing"),
        ("kubernetes.io/serviceaccount/service-account.uid", None, "serviceAccountUID claim is missing"),
        ("sub", "system:serviceaccount:default:other", "sub claim is invalid"),
        ("iss", "somebody", "unknown"),
    ],
)
def test_claims_that_are_missing_or_do_not_fit_are_refused(api: Bench, claim: str, value: Any, reason: str) -> None:
    robot = Robot(api, f"odd-{claim.rpartition('/')[2]}-{'some' if value else 'none'}".replace(".", "-"), **{claim: value})
    assert robot.ask().status == 401
    assert robot.review()["error"] == f"[invalid bearer token, {reason}]"


async def turns() -> None:
    """Let whoever has something to do begin with it, several times over."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_a_review_of_another_audience_does_not_know_it(api: Bench) -> None:
    robot = Robot(api, "heard")
    assert robot.review(audiences=["vault", ISSUER])["audiences"] == [ISSUER]
    wrong = f'[invalid bearer token, token audiences ["{ISSUER}"] is invalid for the target audiences ["vault" "other"]]'
    assert robot.review(audiences=["vault", "other"]) == {"user": {}, "error": wrong}


def test_the_day_of_the_last_use_is_written_down(api: Bench) -> None:
    robot = Robot(api, "used", {LAST_USED: "2020-01-01"})
    robot.ask()
    api.until(lambda: robot.label() == today())
    version = api.get("secrets", "used-token").json["metadata"]["resourceVersion"]
    robot.ask()
    robot.review()
    api.run(turns())
    assert api.get("secrets", "used-token").json["metadata"]["resourceVersion"] == version
    robot.change({"metadata": {"labels": {LAST_USED: today(timedelta(days=1))}}})
    robot.ask()
    api.run(turns())
    assert robot.label() == today(timedelta(days=1)), "another server's clock is ahead"


def test_a_use_that_is_refused_since_nobody_used_it_is_one_too(api: Bench) -> None:
    robot = Robot(api, "forgotten", {INVALID_SINCE: "2026-01-01"})
    assert robot.ask().status == 401
    api.until(lambda: robot.label() == today())
    robot.change({"metadata": {"labels": {INVALID_SINCE: None}}})
    assert robot.ask().status == 201


def test_a_use_that_cannot_be_written_down_is_tried_with_the_next(api: Bench) -> None:
    robot = Robot(api, "unlabelled")
    claims = robot.key.claims(robot.token) or {}
    refusals = [errors.forbidden("", "secrets", "unlabelled-token", "a policy")]
    tried = []

    class Refusing(Client):
        async def patch(self, resource: Any, name: str, patch: Any, namespace: str = "", **options: Any) -> Object:
            tried.append(name)
            if refusals:
                raise refusals.pop()
            return await super().patch(resource, name, patch, namespace, **options)

    async def main() -> None:
        legacy = LegacyTokens(api.store, Registry())
        running = asyncio.create_task(legacy.run(Refusing(api.client.transport)))
        async with asyncio.timeout(10):
            for attempts in (1, 2):
                legacy.check(robot.token, claims)
                while len(tried) < attempts:
                    await asyncio.sleep(0)
            while legacy.must_be_noted(claims):
                await asyncio.sleep(0)
        legacy.check(robot.token, claims)
        await turns()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    api.run(main())
    assert tried == ["unlabelled-token"] * 2 and robot.label() == today()


def test_uses_are_counted(api: Bench) -> None:
    def counted() -> dict[str, float]:
        found = parsed(api.call("GET", "/metrics").body)
        return {name: value for (name, _), value in found.items() if name.startswith("serviceaccount_")}

    before = counted()
    manual, generated, marked = Robot(api, "manual"), Robot(api, "counted"), Robot(api, "unused", {INVALID_SINCE: "2026-01-01"})
    generated.list_it()
    for robot in (manual, generated, generated, marked):
        robot.ask()
    assert {name: value - before[name] for name, value in counted().items()} == {
        "serviceaccount_legacy_tokens_total": 4,
        "serviceaccount_legacy_manual_token_uses_total": 1,
        "serviceaccount_legacy_auto_token_uses_total": 2,
        "serviceaccount_invalid_legacy_auto_token_uses_total": 1,
    }


def test_since_when_uses_are_written_down_is_said(tmp_path: Path) -> None:
    with bench(tmp_path, loop=SimulatedLoop()) as found:

        async def main() -> None:
            SimulatedClock(found.loop).use()
            running = asyncio.create_task(Tracking(found.client).run())

            async def since() -> str | None:
                await asyncio.sleep(61)
                present = await found.client.list("configmaps", "kube-system")
                return next((item["data"]["since"] for item in present["items"] if meta.name(item) == TRACKING), None)

            began = today()
            assert await since() == began
            await asyncio.sleep(86400 * 2)
            assert await since() == began != today()
            await found.client.patch("configmaps", TRACKING, {"data": {"since": "long ago"}}, "kube-system")
            assert await since() == today()
            await found.client.delete("configmaps", TRACKING, "kube-system")
            assert await since() == today(), "it was long ago that it was made"
            await found.client.delete("configmaps", TRACKING, "kube-system")
            assert await since() is None, "who takes it away is not fought all the time"
            await asyncio.sleep(1860)
            assert await since() == today()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        found.timeout_seconds = 86400 * 7
        found.run(main())
