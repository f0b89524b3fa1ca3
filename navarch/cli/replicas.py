"""`--read-replicas N`: N processes that answer reads on the same port, each with an index of its own that follows this one's.

The server that writes starts them, ends those that hang, and starts again those that end; where it ends itself, they end.
Connections come to any of them, or to the server, as the kernel chooses.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from navarch.cli.cluster import Cluster
from navarch.component.tasks import Tasks

logger = logging.getLogger(__name__)

STOP_TIMEOUT_SECONDS = 3.0
LOOK_SECONDS = 5.0
# Of every process of navarch's; where the server is not started so, as in a test, it is the same module.
_MODULE = "navarch.cli.main"


class Supervisor:
    """Keeps so many processes running."""

    def __init__(self, cluster: Cluster, directory: Path, verbosity: int, silent: Callable[[], set[int]]) -> None:
        """`directory` holds the server's sockets; `silent` tells which processes hang."""
        self._command = [sys.executable, "-m", _MODULE, "server", "--data-dir", str(cluster.data_dir)]
        self._command += ["--replica-of", str(directory), *["--verbose"] * verbosity]
        self._count = cluster.read_replicas
        self._silent = silent
        self._tasks = Tasks("replicas")

    def start(self) -> None:
        for number in range(self._count):
            self._tasks.run_forever(partial(self._run, number), name=str(number))

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _run(self, number: int) -> None:
        """One life of one of them."""
        process = await asyncio.create_subprocess_exec(*self._command, stdin=asyncio.subprocess.DEVNULL)
        try:
            code = await self._ended(process)
            logger.warning("read replica %d has ended (%d) and is started again", number, code)
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                        await process.wait()
                except TimeoutError:
                    with suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    return await process.wait()
            except TimeoutError:
                if process.pid in self._silent():
                    logger.warning("read replica with process id %d hangs and is ended", process.pid)
                    process.kill()
