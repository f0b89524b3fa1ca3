"""Time that passes as it likes."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from navarch.component import clock
from navarch.simulation import loop as loops
from navarch.simulation.loop import START_SECONDS, SimulatedClock, SimulatedLoop, StuckError


def test_waiting_takes_no_time_and_happens_in_order() -> None:
    loop = SimulatedLoop()
    simulated = SimulatedClock(loop, seed=7)
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append((name, clock.time_seconds() - START_SECONDS))

    async def main() -> None:
        simulated.use()
        await asyncio.gather(sleeper("week", 7 * 86400), sleeper("hour", 3600), sleeper("moment", 0))

    began = time.monotonic()
    loop.run_until_complete(main())
    assert [name for name, _ in seen] == ["moment", "hour", "week"]
    assert seen[1][1] == pytest.approx(3600) and seen[2][1] == pytest.approx(7 * 86400)
    assert time.monotonic() - began < 60
    loop.close()


def test_chance_comes_from_the_seed() -> None:
    loop = SimulatedLoop()

    def draw(seed: int) -> list[int]:
        simulated = SimulatedClock(loop, seed)
        return [simulated.random.randrange(1000) for _ in range(5)]

    assert draw(1) == draw(1) != draw(2)
    loop.close()


def test_what_can_never_happen_is_told() -> None:
    loop = SimulatedLoop()
    with pytest.raises(StuckError, match="no task is ready"):
        loop.run_until_complete(asyncio.Event().wait())
    loop.close()


@pytest.mark.parametrize(("pause_seconds", "text"), [(0.0, "time has stood still"), (1e-6, "only 0.0")])
def test_who_goes_in_circles_is_named(pause_seconds: float, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "BUSY_LIMIT_SECONDS", 0.05)
    loop = SimulatedLoop()

    async def circle() -> None:
        while True:
            await asyncio.sleep(pause_seconds)

    async def main() -> None:
        waiting = asyncio.create_task(asyncio.sleep(3600), name="waiting")
        task = asyncio.create_task(circle(), name="going-in-circles")
        try:
            await clock.sleep(3600)
        finally:
            task.cancel()
            waiting.cancel()

    with pytest.raises(StuckError, match=f"{text}.* for 0 s of work: going-in-circles"):
        loop.run_until_complete(main())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_work_for_threads_is_done_on_the_loop() -> None:
    loop = SimulatedLoop()

    async def main() -> tuple[int, int]:
        return await asyncio.to_thread(threading.get_ident), threading.get_ident()

    worked, here = loop.run_until_complete(main())
    assert worked == here
    loop.close()


def test_held_time_stands_still_while_the_world_outside_is_heard() -> None:
    loop = SimulatedLoop()
    loop.pace = "held"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    fired = threading.Event()

    async def main() -> float:
        loop.call_later(0.001, fired.set)
        return loop.time()

    async def later() -> float:
        return loop.time()

    first = asyncio.run_coroutine_threadsafe(main(), loop).result(10)
    assert not fired.wait(0.05)
    assert asyncio.run_coroutine_threadsafe(later(), loop).result(10) == first

    async def skip() -> None:
        loop.pace = "virtual"
        await asyncio.sleep(3600)
        loop.pace = "held"

    asyncio.run_coroutine_threadsafe(skip(), loop).result(10)
    assert fired.is_set()
    assert asyncio.run_coroutine_threadsafe(later(), loop).result(10) == pytest.approx(first + 3600)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
