"""Secrets that ask for a service account's token: filled in, and gone with their account."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.component.jwt import SigningKey
from navarch.component.pki import PKI
from navarch.controllers import serviceaccounttokens
from navarch.controllers.config import ControllerConfig
from navarch.controllers.serviceaccounttokens import ACCOUNTS, RETRIES_LIMIT, SECRETS
from tests.controllers.world import on_bench
from tests.fakeapi import Bench, run_in_virtual_time

NAME, UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
KEY = "default/robot-token"


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = PKI(tmp_path_factory.mktemp("pki"))
    found.ensure(())
    return found.service_account_key


def account(*secrets: str, uid: str = "account", name: str = "robot") -> Object:
    listed = {"secrets": [{"name": secret} for secret in secrets]} if secrets else {}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "uid": uid}, **listed}


def secret(name: str = "robot-token", data: Object | None = None, **annotations: str) -> Object:
    metadata = {"name": name, "namespace": "default", "annotations": {NAME: "robot", **annotations}}
    found = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/service-account-token"}
    return found | ({"data": data} if data is not None else {})


def decoded(found: Bench) -> dict[str, str]:
    data = (found.api.one(SECRETS, KEY) or {}).get("data") or {}
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


@asynccontextmanager
async def started(key_file: Path, **config: Any) -> AsyncIterator[Bench]:
    settings = ControllerConfig(**{"root_ca_pem": "CA", "service_account_key_file": key_file, **config})
    async with on_bench(*serviceaccounttokens.controllers(settings)) as found:
        yield found


def on(key_file: Path, test: Callable[[Bench], Awaitable[None]], **config: Any) -> None:
    async def main() -> None:
        async with started(key_file, **config) as found:
            await test(found)

    run_in_virtual_time(main)


def test_a_secret_gets_what_it_asks_for(key_file: Path) -> None:
    async def test(found: Bench) -> None:
        found.api.put(account())
        found.api.put(secret(data={"extra": "bWluZQ=="}))
        await found.until(lambda: "token" in decoded(found))
        made = decoded(found)
        assert (made["ca.crt"], made["namespace"], made["extra"]) == ("CA", "default", "mine")
        assert SigningKey(key_file).claims(made["token"]) == {
            "iss": "kubernetes/serviceaccount",
            "kubernetes.io/serviceaccount/namespace": "default",
            "kubernetes.io/serviceaccount/secret.name": "robot-token",
            "kubernetes.io/serviceaccount/service-account.name": "robot",
            "kubernetes.io/serviceaccount/service-account.uid": "account",
            "sub": "system:serviceaccount:default:robot",
        }
        assert meta.annotations(found.api.one(SECRETS, KEY) or {}) == {NAME: "robot", UID: "account"}

    on(key_file, test)


@pytest.mark.parametrize(
    ("data", "kept", "root_ca_pem", "changed"),
    [
        ({"token": "eA==", "namespace": "eA==", "ca.crt": "Q0E="}, {"token": "x", "namespace": "x"}, "CA", False),
        (
            {"token": "eA==", "namespace": "eA==", "ca.crt": "T0xE"},
            {"token": "x", "namespace": "x", "ca.crt": "CA"},
            "CA",
            True,
        ),
        ({"token": "eA==", "namespace": "eA==", "ca.crt": "T0xE"}, {"token": "x", "ca.crt": "OLD"}, "", False),
        ({"token": "eA=="}, {"token": "x", "namespace": "default", "ca.crt": "CA"}, "CA", True),
    ],
    ids=["nothing is missing", "another authority", "no authority", "only the token is there"],
)
def test_what_is_there_stays(data: Object, kept: dict[str, str], root_ca_pem: str, changed: bool) -> None:
    given = secret(data=data)
    made = serviceaccounttokens.completed(given, account(), root_ca_pem, lambda claims: pytest.fail("there is a token"))
    assert (made is not None) is changed
    found = {name: base64.b64decode(value).decode() for name, value in (made or given)["data"].items()}
    assert kept.items() <= found.items()


def test_a_secret_of_nobody_goes(key_file: Path) -> None:
    async def test(found: Bench) -> None:
        found.api.put(account(uid="new"))
        found.api.put(secret("theirs", **{UID: "new"}))
        found.api.put(secret("before", **{UID: "old"}))
        found.api.put({**secret("nobody"), "metadata": {"name": "nobody", "annotations": {NAME: "missing"}}})
        found.api.put({**secret("other"), "type": "Opaque"})
        await found.until(lambda: {meta.name(item) for item in found.api.all(SECRETS)} == {"theirs", "other"})

    on(key_file, test)


def test_a_secret_goes_with_its_account(key_file: Path) -> None:
    async def test(found: Bench) -> None:
        found.api.put(account())
        found.api.put(secret())
        found.api.put(secret("second", **{UID: "account"}))
        await found.until(lambda: "token" in decoded(found))
        found.api.remove(ACCOUNTS, "default/robot")
        await found.until(lambda: not found.api.all(SECRETS))

    on(key_file, test)


def test_an_account_that_the_cache_does_not_know_yet_is_asked_for(key_file: Path) -> None:
    async def main() -> None:
        async with started(key_file) as found:
            # It is there, and nobody was told.
            obj = {**account(), "metadata": {**account()["metadata"], "namespace": "default", "resourceVersion": "1"}}
            found.api.objects[ACCOUNTS] = {"default/robot": obj}
            found.api.put(secret())
            await found.until(lambda: "token" in decoded(found))

    run_in_virtual_time(main)


def test_an_account_lists_no_secret_that_has_gone(key_file: Path) -> None:
    async def test(found: Bench) -> None:
        found.api.put(account("robot-token", "other"))
        found.api.put(account("robot-token", name="stranger", uid="stranger"))
        found.api.put(secret())
        await found.until(lambda: "token" in decoded(found))
        found.api.remove(SECRETS, KEY)
        await found.until(lambda: (found.api.one(ACCOUNTS, "default/robot") or {})["secrets"] == [{"name": "other"}])
        assert (found.api.one(ACCOUNTS, "default/stranger") or {})["secrets"] == [{"name": "robot-token"}]

    on(key_file, test)


def test_who_changes_the_secret_meanwhile_is_not_overruled(key_file: Path) -> None:
    async def test(found: Bench) -> None:
        raced = False

        def race(method: str, path: str, body: Any) -> Exception | None:
            nonlocal raced
            if method == "PUT" and not raced:
                raced = True
                found.api.change(SECRETS, KEY, data={"token": "bWluZQ=="})
            return None

        found.api.refuse = race
        found.api.put(account())
        found.api.put(secret())
        await found.until(lambda: "ca.crt" in decoded(found))
        assert raced and decoded(found)["token"] == "mine"

    on(key_file, test)


def test_what_cannot_be_written_is_given_up_until_it_changes(key_file: Path) -> None:
    async def test(found: Bench) -> None:
        tried = 0

        def refuse(method: str, path: str, body: Any) -> Exception | None:
            nonlocal tried
            if method != "PUT":
                return None
            tried += 1
            return errors.forbidden("", SECRETS, "robot-token", "a policy") if tried <= RETRIES_LIMIT + 1 else None

        found.api.refuse = refuse
        found.api.put(account())
        found.api.put(secret())
        await asyncio.sleep(3600)
        assert tried == RETRIES_LIMIT + 1 and "token" not in decoded(found)
        found.api.change(SECRETS, KEY, data={"extra": ""})
        await found.until(lambda: "token" in decoded(found))

    on(key_file, test)


def test_without_a_key_nobody_fills_them_in() -> None:
    assert serviceaccounttokens.controllers(ControllerConfig(root_ca_pem="CA")) == ()
