"""Places of pods that start."""

from __future__ import annotations

import asyncio

from navarch.kubelet.slots import Slot


def test_a_pause_gives_the_place_to_another_and_takes_it_back_once() -> None:
    async def run() -> None:
        places = asyncio.Semaphore(1)
        async with Slot(places) as slot:
            assert places.locked()

            async def wait(pause: asyncio.Event) -> None:
                async with slot.paused():
                    await pause.wait()

            first, second = asyncio.Event(), asyncio.Event()
            tasks = [asyncio.ensure_future(wait(first)), asyncio.ensure_future(wait(second))]
            async with Slot(places):
                first.set()
                second.set()
                await asyncio.sleep(0)
            await asyncio.gather(*tasks)
            assert places.locked()
        assert not places.locked()
        await places.acquire()
        assert places.locked(), "there is one place, no more"

    asyncio.run(run())


def test_a_start_that_is_cancelled_in_a_pause_leaves_no_place_taken() -> None:
    async def run() -> None:
        places = asyncio.Semaphore(1)

        async def start() -> None:
            async with Slot(places) as slot, slot.paused():
                await asyncio.Event().wait()

        task = asyncio.ensure_future(start())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not places.locked()

    asyncio.run(run())
