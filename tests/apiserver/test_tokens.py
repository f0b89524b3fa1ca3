"""Tokens that are asked for: how long they are good, and what is said of those that are not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from navarch.apimachinery.errors import Object
from navarch.apiserver.tokens import ISSUER, TokenAuthority
from navarch.component.jwt import InvalidToken
from navarch.component.metrics import Registry
from navarch.simulation.loop import SimulatedClock, SimulatedLoop
from tests.apiserver.bench import Bench, bench


def in_virtual_time(tmp_path: Path, test: Callable[[Bench, TokenAuthority, Object], Awaitable[None]]) -> None:
    """`test` gets a server, its key, and an account."""
    with bench(tmp_path, loop=SimulatedLoop()) as found:

        async def main() -> None:
            SimulatedClock(found.loop).use()
            tokens = TokenAuthority(found.store, found.server.config.service_account_key_file, Registry())
            await test(found, tokens, await found.client.get("serviceaccounts", "default", "default"))

        found.timeout_seconds = 86400.0
        found.run(main())


def refusal(tokens: TokenAuthority, token: str) -> str:
    """Why a token is none; "" if it is one."""
    try:
        tokens.authenticate(token)
    except InvalidToken as reason:
        return str(reason)
    return ""


def test_a_token_is_good_for_its_time_and_a_little_more(tmp_path: Path) -> None:
    async def test(found: Bench, tokens: TokenAuthority, account: Object) -> None:
        token, _ = tokens.issue(account, None, [], 600)
        assert refusal(tokens, token) == ""
        await asyncio.sleep(605)
        assert refusal(tokens, token) == ""
        await asyncio.sleep(6)
        assert refusal(tokens, token) == "service account token has expired"

    in_virtual_time(tmp_path, test)


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ("secrets", "service account token has been invalidated"),
        ("serviceaccounts", "service account default/robot has been deleted"),
    ],
)
def test_what_goes_is_there_a_little_longer(tmp_path: Path, resource: str, reason: str) -> None:
    async def test(found: Bench, tokens: TokenAuthority, account: Object) -> None:
        held = {"metadata": {"name": "robot", "namespace": "default", "finalizers": ["example.com/held"]}}
        made = await found.client.create(resource, held)
        bound = {**made, "kind": "Secret"} if resource == "secrets" else None
        token, _ = tokens.issue(account if bound else made, bound, [], 3600)
        await found.client.delete(resource, "robot", "default")
        await asyncio.sleep(59)
        assert refusal(tokens, token) == ""
        await asyncio.sleep(2)
        assert refusal(tokens, token) == reason

    in_virtual_time(tmp_path, test)


def test_what_has_gone_or_is_another_invalidates_at_once(tmp_path: Path) -> None:
    async def test(found: Bench, tokens: TokenAuthority, account: Object) -> None:
        plain = {"metadata": {"name": "robot", "namespace": "default"}}
        token, _ = tokens.issue(account, await found.client.create("secrets", plain), [], 3600)
        assert refusal(tokens, token) == ""
        await found.client.delete("secrets", "robot", "default")
        assert refusal(tokens, token) == "service account token has been invalidated"
        await found.client.create("secrets", plain)
        assert refusal(tokens, token) == "service account token has been invalidated"

    in_virtual_time(tmp_path, test)


def test_a_token_for_others_says_for_whom_it_is(tmp_path: Path) -> None:
    async def test(found: Bench, tokens: TokenAuthority, account: Object) -> None:
        token, _ = tokens.issue(account, None, ["vault", "other"], 3600)
        wanted = f'token audiences ["vault" "other"] is invalid for the target audiences ["{ISSUER}"]'
        assert refusal(tokens, token) == wanted
        _, shared = tokens.verify(token, ("x", "other"))
        assert shared == ["other"]
        assert refusal(tokens, "no.token.atall") == "unknown"

    in_virtual_time(tmp_path, test)
