"""Statuses on their way to the API."""

from __future__ import annotations

import asyncio
from typing import Any

from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.kubelet.status_writer import StatusWriter
from tests.kubelet.pods import pod


class API:
    """Takes patches of one pod."""

    def __init__(self, start: Object) -> None:
        self.pod = start
        self.patches: list[Object] = []
        self.failures: list[Exception] = []
        self.gate: asyncio.Event | None = None

    async def patch(self, resource: str, name: str, patch: Object, namespace: str, **more: Any) -> Object:
        assert (resource, more["subresource"], more["patch_type"]) == ("pods", "status", "strategic")
        self.patches.append(patch)
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        version = str(int(self.pod["metadata"]["resourceVersion"]) + 1)
        metadata = {**self.pod["metadata"], "resourceVersion": version}
        self.pod = {**self.pod, "metadata": metadata, "status": {**self.pod.get("status", {}), **patch["status"]}}
        return self.pod


def run(test: Any) -> None:
    async def within() -> None:
        api = API(pod(status={"phase": "Pending"}))
        writer = StatusWriter(api)  # type: ignore[arg-type]
        await test(api, writer)
        await writer.stop()

    asyncio.run(within())


def test_only_the_newest_status_is_written_while_another_is_on_its_way() -> None:
    async def test(api: API, writer: StatusWriter) -> None:
        api.gate = asyncio.Event()
        start = api.pod
        for message in ("one", "two", "three"):
            writer.set(start, {"phase": "Pending", "message": message})
            await asyncio.sleep(0)
        api.gate.set()
        await writer.flush("u-1")
        assert [patch["status"]["message"] for patch in api.patches] == ["one", "three"]
        assert api.patches[0]["metadata"] == {"uid": "u-1"}
        assert writer.latest(start)["status"]["message"] == "three"

    run(test)


def test_nothing_is_written_where_nothing_changed() -> None:
    async def test(api: API, writer: StatusWriter) -> None:
        writer.set(api.pod, {"phase": "Pending"})
        await writer.flush("u-1")
        assert not api.patches

    run(test)


def test_a_status_waits_for_a_server_that_is_away() -> None:
    async def test(api: API, writer: StatusWriter) -> None:
        api.failures = [ConnectionRefusedError(), errors.internal_error("x")]
        writer.set(api.pod, {"phase": "Running"})
        async with asyncio.timeout(5):
            await writer.flush("u-1")
        assert api.pod["status"]["phase"] == "Running" and len(api.patches) == 3

    run(test)


def test_a_status_that_may_not_be_written_now_is_written_when_it_may() -> None:
    async def test(api: API, writer: StatusWriter) -> None:
        api.failures = [errors.forbidden("", "pods", "p", "not yet"), errors.unauthorized()]
        writer.set(api.pod, {"phase": "Failed"})
        await writer.flush("u-1")
        assert api.pod["status"]["phase"] == "Failed"

    run(test)


def test_a_status_that_is_wrong_is_not_written_again_and_again() -> None:
    async def test(api: API, writer: StatusWriter) -> None:
        api.failures = [errors.bad_request("no")]
        writer.set(api.pod, {"phase": "Odd"})
        await writer.flush("u-1")
        assert len(api.patches) == 1

    run(test)


def test_a_pod_that_is_gone_or_another_by_now_is_given_up() -> None:
    async def test(api: API, writer: StatusWriter) -> None:
        for failure in (errors.not_found("", "pods", "p"), errors.conflict("", "pods", "p", "uid")):
            api.failures, api.patches = [failure], []
            writer.set(api.pod, {"phase": "Running", "message": str(failure)})
            await writer.flush("u-1")
            assert len(api.patches) == 1

    run(test)


def test_a_server_that_sees_it_differently_is_not_asked_for_ever() -> None:
    class Stubborn(API):
        async def patch(self, *arguments: Any, **more: Any) -> Object:
            self.patches.append({})
            return self.pod

    async def within() -> None:
        api = Stubborn(pod(status={"phase": "Pending"}))
        writer = StatusWriter(api)  # type: ignore[arg-type]
        writer.set(api.pod, {"phase": "Running"})
        await writer.flush("u-1")
        assert len(api.patches) == 1
        await writer.stop()

    asyncio.run(within())


def test_what_somebody_else_wrote_is_put_right_but_their_own_conditions_stay() -> None:
    async def test(api: API, writer: StatusWriter) -> None:
        wanted = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        writer.set(api.pod, wanted)
        await writer.flush("u-1")
        theirs = {"type": "example.com/x", "status": "True"}
        newer = {
            **api.pod,
            "metadata": {**api.pod["metadata"], "resourceVersion": "99"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}, theirs]},
        }
        api.pod, api.patches = newer, []
        writer.observe(newer)
        assert writer.latest(newer)["status"]["conditions"] == [theirs, {"type": "Ready", "status": "True"}]
        await writer.flush("u-1")
        assert [patch["status"] for patch in api.patches] == [{"conditions": [{"type": "Ready", "status": "True"}]}]
        writer.forget("u-1")
        assert writer.latest(newer) == newer

    run(test)
