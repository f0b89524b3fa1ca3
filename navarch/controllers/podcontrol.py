"""Making and removing the pods of a workload, with the Events that tell of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.controllers.controller import Cluster, is_namespace_terminating

SLOW_START_INITIAL_BATCH = 1


async def create(owner: Object, pods: Iterable[Object], count: int, cluster: Cluster) -> tuple[int, Exception | None]:
    """Make the first `count` of `pods` by `slow_start`; how many were made, and what went wrong."""
    left = iter(pods)

    async def one() -> None:
        pod = next(left)
        try:
            made = await cluster.create("pods", pod)
        except StatusError as error:
            if not is_namespace_terminating(error):
                cluster.event(owner, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        cluster.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(made)}")

    return await slow_start(count, one)


async def delete(owner: Object, pods: Sequence[Object], cluster: Cluster) -> Exception | None:
    """Delete all of `pods` at the same time; the first thing that went wrong."""

    async def one(pod: Object) -> None:
        try:
            await cluster.delete("pods", pod)
        except StatusError as error:
            cluster.event(owner, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            raise
        cluster.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")

    failures = _failures(await asyncio.gather(*(one(pod) for pod in pods), return_exceptions=True))
    return failures[0] if failures else None


async def slow_start(count: int, one: Callable[[], Awaitable[None]]) -> tuple[int, Exception | None]:
    """Do `one` `count` times, at first singly, then in batches that double, ending after a batch in which one failed.

    Returns how many succeeded, and the first failure: so a quota or a broken template costs one request, not hundreds.
    """
    done, batch = 0, SLOW_START_INITIAL_BATCH
    remaining = count
    while remaining > 0:
        batch = min(batch, remaining)
        failures = _failures(await asyncio.gather(*(one() for _ in range(batch)), return_exceptions=True))
        done += batch - len(failures)
        if failures:
            return done, failures[0]
        remaining -= batch
        batch *= 2
    return done, None


def _failures(results: Iterable[BaseException | None]) -> list[Exception]:
    """Those that are among the results; what is no mere failure is raised."""
    found = []
    for result in results:
        if isinstance(result, Exception):
            found.append(result)
        elif result is not None:
            raise result
    return found
