"""The work queue: each key once at a time, delays, back-off."""

from __future__ import annotations

import asyncio

from navarch.client.workqueue import WorkQueue


def test_a_key_waits_once_and_is_queued_again_if_added_while_in_work() -> None:
    async def main() -> None:
        queue = WorkQueue()
        queue.add("a")
        queue.add("a")
        queue.add("b")
        assert await queue.get() == "a"
        queue.add("a")
        assert len(queue) == 1
        assert await queue.get() == "b"
        queue.done("a")
        assert await queue.get() == "a"
        queue.done("a")
        queue.done("b")
        assert queue.is_idle

    asyncio.run(main())


def test_of_several_delays_the_earliest_counts_and_an_add_ends_them() -> None:
    async def main() -> None:
        queue = WorkQueue()
        queue.add_after("a", 60)
        queue.add_after("a", 0.001)
        queue.add_after("a", 60)
        assert await queue.get() == "a"
        queue.done("a")
        queue.add_after("b", 60)
        queue.add("b")
        assert await queue.get() == "b"
        queue.done("b")
        assert queue.is_idle
        queue.close()

    asyncio.run(main())


def test_back_off_doubles_until_forgotten() -> None:
    async def main() -> None:
        queue = WorkQueue(backoff_initial_seconds=0.001, backoff_max_seconds=0.002)
        for expected in (1, 2, 3):
            queue.add_rate_limited("a")
            assert await queue.get() == "a"
            queue.done("a")
            assert queue.retries("a") == expected
        queue.forget("a")
        assert queue.retries("a") == 0

    asyncio.run(main())


def test_closing_wakes_those_who_wait() -> None:
    async def main() -> None:
        queue = WorkQueue()
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.close()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    asyncio.run(main())
