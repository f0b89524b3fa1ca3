"""The client over HTTPS against a real server: requests, errors, watches, kubeconfigs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
import yaml

from navarch.apimachinery.errors import StatusError
from navarch.client import http
from navarch.client.client import Client, resource_path
from navarch.client.http import HTTPTransport, failure, from_kubeconfig, target
from tests.apiserver.https import HTTPSServer


def with_client(kubeconfig: Path, test: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        transport = from_kubeconfig(kubeconfig)
        try:
            async with asyncio.timeout(10):
                await test(Client(transport))
        finally:
            await transport.close()

    uvloop.run(run())


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", **metadata}, "data": {"a": "1"}}


def test_every_verb_works_over_https(https_server: HTTPSServer, kubeconfig: Path) -> None:
    async def test(client: Client) -> None:
        made = await client.create("configmaps", config_map("verbs", labels={"of": "verbs"}))
        assert await client.get("configmaps", "verbs", "default") == made
        listed = await client.list("configmaps", "default", label_selector="of=verbs", field_selector="metadata.name=verbs")
        assert listed["items"] == [made]
        updated = await client.update("configmaps", {**made, "data": {"a": "2"}})
        with pytest.raises(StatusError) as stale:
            await client.update("configmaps", {**made, "data": {"a": "3"}})
        assert stale.value.is_conflict and stale.value.code == 409
        for type_, change in (
            ("merge", {"data": {"b": "2"}}),
            ("strategic", {"data": {"c": "3"}}),
            ("json", [{"op": "add", "path": "/data/d", "value": "4"}]),
        ):
            updated = await client.patch("configmaps", "verbs", change, "default", patch_type=type_)
        assert updated["data"] == {"a": "2", "b": "2", "c": "3", "d": "4"}
        with pytest.raises(StatusError):
            await client.delete("configmaps", "verbs", "default", uid="other")
        await client.delete("configmaps", "verbs", "default", uid=made["metadata"]["uid"])
        await client.delete_if_exists("configmaps", "verbs", "default")
        with pytest.raises(StatusError) as gone:
            await client.get("configmaps", "verbs", "default")
        assert gone.value.is_not_found

    with_client(kubeconfig, test)


def test_a_change_is_tried_again_after_a_conflict(https_server: HTTPSServer, kubeconfig: Path) -> None:
    async def test(client: Client) -> None:
        await client.create("configmaps", config_map("modified"))
        tries = 0

        def change(current: dict[str, Any]) -> dict[str, Any]:
            nonlocal tries
            tries += 1
            if tries == 1:
                path = "/api/v1/namespaces/default/configmaps/modified"
                https_server.ask("PATCH", path, {"data": {"x": "other"}}, Content_Type="application/merge-patch+json")
            return {**current, "data": {**current["data"], "mine": "1"}}

        changed = await client.modify("configmaps", "modified", "default", change)
        assert tries == 2 and changed["data"] == {"a": "1", "x": "other", "mine": "1"}
        assert await client.modify("configmaps", "modified", "default", lambda current: None) == changed

    with_client(kubeconfig, test)


def test_a_watch_yields_events_until_it_is_closed(https_server: HTTPSServer, kubeconfig: Path) -> None:
    async def test(client: Client) -> None:
        version = (await client.list("configmaps", "default"))["metadata"]["resourceVersion"]
        watch = client.watch("configmaps", "default", resourceVersion=version)
        await client.create("configmaps", {**config_map("seen"), "data": {"large": "x" * 300_000}})
        event = await anext(watch)
        assert (event.type, event.object["metadata"]["name"]) == ("ADDED", "seen")
        await watch.aclose()  # type: ignore[attr-defined]
        refused = client.watch("configmaps", "default", label_selector="a=b=c")
        with pytest.raises(StatusError) as bad:
            await anext(refused)
        assert bad.value.code == 400

    with_client(kubeconfig, test)


def test_an_event_that_is_too_long_ends_the_watch(
    https_server: HTTPSServer, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "WATCH_LINE_LIMIT_BYTES", 1000)

    async def test(client: Client) -> None:
        watch = client.watch("configmaps", "default", resourceVersion="0")
        await client.create("configmaps", {**config_map("too-long"), "data": {"large": "x" * 900_000}})
        with pytest.raises(ConnectionError, match="too long"):
            async for _ in watch:
                pass

    with_client(kubeconfig, test)


def test_a_token_and_inline_certificates_are_taken_from_the_kubeconfig(https_server: HTTPSServer, tmp_path: Path) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    token = https_server.ask("POST", path, {"spec": {}})[1]["status"]["token"]
    original = yaml.safe_load(https_server.write_kubeconfig(tmp_path / "original").read_text())
    original["users"][0]["user"] = {"token": token}
    (tmp_path / "token").write_text(yaml.safe_dump(original))

    async def test(client: Client) -> None:
        review = await client.create("selfsubjectreviews.authentication.k8s.io", {})
        assert review["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"

    with_client(tmp_path / "token", test)


@pytest.mark.parametrize(
    "text", ["", "[]", "contexts: []\ncurrent-context: x", "{contexts: [{name: a, context: {}}], current-context: a}"]
)
def test_an_unusable_kubeconfig_is_a_value_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(ValueError, match="not a usable kubeconfig"):
        from_kubeconfig(tmp_path / "config")


def test_failures_keep_what_the_server_said() -> None:
    status = failure(404, b'{"kind":"Status","reason":"NotFound","message":"x"}')
    assert (status.code, status.reason) == (404, "NotFound")
    for body in (b"<html>", b"", b"[]", b'"x"', b'{"kind":"Pod"}', b"\xff"):
        plain = failure(502, body)
        assert plain.code == 502 and plain.message


def test_targets_are_encoded() -> None:
    assert target("/api/v1/namespaces/a b/x", {"labelSelector": "a in (b,c)"}) == (
        "/api/v1/namespaces/a%20b/x?labelSelector=a+in+%28b%2Cc%29"
    )


def test_paths_of_resources() -> None:
    assert resource_path("pods", "a", "b", "status") == "/api/v1/namespaces/a/pods/b/status"
    assert resource_path("deployments.apps") == "/apis/apps/v1/deployments"
    assert resource_path("nodes", "", "n") == "/api/v1/nodes/n"
    with pytest.raises(KeyError):
        resource_path("widgets")


def test_a_server_that_is_not_there_is_an_os_error() -> None:
    async def test() -> None:
        with pytest.raises(OSError, match="Connect"):
            await HTTPTransport("http://127.0.0.1:1").request("GET", "/api")

    asyncio.run(test())
