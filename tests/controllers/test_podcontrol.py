"""Pods are made by a slow start and deleted side by side."""

from __future__ import annotations

import asyncio
from typing import Any

from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.controllers import podcontrol
from navarch.controllers.podcontrol import slow_start


class Refusing:
    """A cluster in which some pods cannot be deleted."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.deleted: list[str] = []
        self.events: list[tuple[str, str]] = []

    async def delete(self, resource: str, obj: Object) -> None:
        await asyncio.sleep(0)
        if meta.name(obj) in self.refused:
            raise errors.forbidden("", resource, meta.name(obj), "no")
        self.deleted.append(meta.name(obj))

    def event(self, obj: Object, type_: str, reason: str, message: str) -> None:
        self.events.append((reason, message))


def test_what_cannot_be_deleted_keeps_nothing_else_and_is_told() -> None:
    cluster: Any = Refusing("b")
    pods = [{"metadata": {"name": name}} for name in "abc"]
    failure = asyncio.run(podcontrol.delete({"metadata": {"name": "owner"}}, pods, cluster))
    assert isinstance(failure, errors.StatusError) and cluster.deleted == ["a", "c"]
    assert cluster.events == [
        ("SuccessfulDelete", "Deleted pod: a"),
        ("FailedDelete", f"Error deleting: {failure.message}"),
        ("SuccessfulDelete", "Deleted pod: c"),
    ]


def test_a_slow_start_stops_after_the_first_batch_that_fails() -> None:
    calls = 0

    async def one() -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise errors.forbidden("", "pods", "p", "exceeded quota")

    done, failure = asyncio.run(slow_start(100, one))
    assert (done, calls) == (2, 3)
    assert isinstance(failure, errors.StatusError)


def test_a_slow_start_does_everything_when_nothing_fails() -> None:
    calls = 0

    async def one() -> None:
        nonlocal calls
        calls += 1

    assert asyncio.run(slow_start(37, one)) == (37, None)
    assert calls == 37
