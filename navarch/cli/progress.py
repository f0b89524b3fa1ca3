"""How a starting process tells `up` how far it is: lines of JSON on an inherited pipe.

No polling: `up` sleeps until something is told, and sees at once when a process ends. A process that nobody started this way,
or whose starter is gone, tells nobody.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from navarch.component import clock

READ_BYTES = 65536


class Reporter:
    """The telling end."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def step(self, name: str, detail: str = "") -> None:
        """Something is done."""
        self._tell({"step": name, "detail": detail})

    def fail(self, message: str) -> None:
        """The process gives up."""
        self._tell({"error": message})

    def close(self) -> None:
        """There is nothing more to tell."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _tell(self, line: Mapping[str, str]) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, json.dumps(line).encode() + b"\n")
        except OSError:
            # Whoever listened is gone; that is no reason not to go on.
            self.close()


@dataclass(slots=True)
class Told:
    """One thing that a process told; the last of each process is `ended`."""

    process: str
    step: str = ""
    detail: str = ""
    error: str = ""
    ended: bool = False


@dataclass(slots=True)
class Listener:
    """The listening end: one pipe for each process."""

    _pipes: dict[int, str] = field(default_factory=dict)
    _partial: dict[int, bytes] = field(default_factory=dict)

    def pipe(self, process: str) -> int:
        """A descriptor for the process to inherit; to be closed with `handed_over` once it has been started."""
        reading, writing = os.pipe()
        self._pipes[reading] = process
        self._partial[reading] = b""
        return writing

    def handed_over(self, descriptor: int) -> None:
        os.close(descriptor)

    def listen(self, timeout_seconds: float) -> Iterator[Told]:
        """What is told, until every process has closed its pipe or the time is over."""
        deadline = clock.monotonic() + timeout_seconds
        poll = select.poll()
        for descriptor in self._pipes:
            poll.register(descriptor, select.POLLIN)
        while self._pipes:
            left = deadline - clock.monotonic()
            ready = poll.poll(max(0.0, left) * 1000)
            if not ready and left <= 0:
                return
            for descriptor, _ in ready:
                data = os.read(descriptor, READ_BYTES)
                if not data:
                    poll.unregister(descriptor)
                    os.close(descriptor)
                    del self._partial[descriptor]
                    yield Told(self._pipes.pop(descriptor), ended=True)
                    continue
                *lines, self._partial[descriptor] = (self._partial[descriptor] + data).split(b"\n")
                for line in lines:
                    yield Told(self._pipes[descriptor], **json.loads(line))

    def close(self) -> None:
        """Listen no more."""
        for descriptor in self._pipes:
            os.close(descriptor)
        self._pipes.clear()


def since_start_seconds() -> float:
    """How long this process has been running, its interpreter's start included."""
    with open("/proc/self/stat", "rb") as stat:  # noqa: PTH123 - before anything else is loaded
        fields = stat.read().rpartition(b")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
