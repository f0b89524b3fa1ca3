"""Processes of this machine: told apart from others that got the same number, found, started in the background, ended.

A process is known by its number *and* the moment it started, counted from a certain boot of the machine; a pid file that was
left behind never leads to somebody else's process. Signals go through a pidfd, so that none is exchanged meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from navarch.component import clock

PROC = Path("/proc")
# How long a killed process may need to be gone; longer means it hangs in the kernel.
KILL_TIMEOUT_SECONDS = 10.0
# A log that is larger when its process starts becomes the old one; one old log is kept.
LOG_LIMIT_BYTES = 8 * 1024 * 1024
# Rounds of looking for what a process tree started while it was being ended.
SWEEP_ROUNDS_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Process:
    """One process, on one boot of the machine."""

    pid: int
    started_ticks: int
    """Since boot, in clock ticks: `/proc/PID/stat`, field 22."""
    boot: str

    @property
    def alive(self) -> bool:
        """Whether it runs; a zombie does not, once all of its threads have ended: until then it holds its files and sockets."""
        found = _stat(self.pid)
        if found is None or found.started_ticks != self.started_ticks or self.boot != boot_id():
            return False
        return found.state not in "ZX" or found.threads > 1

    @property
    def age_seconds(self) -> float:
        uptime = float((PROC / "uptime").read_text().split()[0])
        return max(0.0, uptime - self.started_ticks / os.sysconf("SC_CLK_TCK"))

    @property
    def resident_bytes(self) -> int:
        """Physical memory in use; 0 if it has ended."""
        try:
            return int((PROC / str(self.pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0

    def send(self, number: int) -> bool:
        """Send a signal; False if the process has ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive:
                return False
            signal.pidfd_send_signal(descriptor, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)

    def wait(self, timeout_seconds: float) -> bool:
        """Until it has ended; False if it still runs after the time."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive:
                return True
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return bool(poll.poll(timeout_seconds * 1000)) or not self.alive
        finally:
            os.close(descriptor)

    def write(self, file: Path) -> None:
        """Note it in a pid file."""
        temporary = file.with_name(f".{file.name}.new")
        temporary.write_text(f"{self.pid}\n{self.started_ticks}\n{self.boot}\n")
        temporary.replace(file)


def boot_id() -> str:
    """Which boot of the machine this is."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def find(pid: int) -> Process | None:
    """The process that has this number now."""
    found = _stat(pid)
    return None if found is None else Process(pid, found.started_ticks, boot_id())


def read(file: Path) -> Process | None:
    """The process of a pid file, if it is alive."""
    try:
        pid, started, boot = file.read_text().split()
        process = Process(int(pid), int(started), boot)
    except (OSError, ValueError):
        return None
    return process if process.alive else None


def start(
    command: Sequence[str | Path],
    *,
    pid_file: Path,
    log_file: Path,
    environment: Mapping[str, str] | None = None,
    pass_descriptors: Iterable[int] = (),
) -> Process:
    """Start a background process: own session, output appended to a log, noted in a pid file."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > LOG_LIMIT_BYTES:
        log_file.replace(log_file.with_name(f"{log_file.name}.1"))
    with log_file.open("ab") as log:
        child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env=None if environment is None else {**os.environ, **environment},
            pass_fds=tuple(pass_descriptors),
        )
    # Whoever starts it may end first; the interpreter must not complain about a child that still runs.
    child.returncode = 0
    process = find(child.pid)
    if process is None:
        raise ChildProcessError(f"{command[0]} ended at once; see {log_file}")
    process.write(pid_file)
    return process


def stop(process: Process, timeout_seconds: float) -> None:
    """Ask it to end, and kill it if it does not in time."""
    if process.send(signal.SIGTERM) and not process.wait(timeout_seconds):
        process.send(signal.SIGKILL)
        process.wait(KILL_TIMEOUT_SECONDS)
    reap(process.pid)


def reap(pid: int) -> None:
    """Collect a child that has ended; nothing if it is not ours."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def all_pids() -> Iterator[int]:
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def command_line(pid: int) -> list[str]:
    """Its arguments; empty for a kernel thread or one that has ended."""
    try:
        content = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return content.decode("utf-8", "surrogateescape").removesuffix("\0").split("\0") if content else []


def descendants(pids: Iterable[int]) -> list[int]:
    """Children, their children and so on; parents before children, the given ones not included."""
    children: dict[int, list[int]] = {}
    for pid in all_pids():
        found = _stat(pid)
        if found is not None:
            children.setdefault(found.parent, []).append(pid)
    result: list[int] = []
    pending = list(pids)
    while pending:
        below = children.get(pending.pop(), [])
        result += below
        pending += below
    return result


def end_trees(roots: Sequence[Process], *, grace_seconds: float = 0.0) -> None:
    """End everything below `roots`, then the roots.

    With a grace, what is below is asked first (SIGTERM) and the time is given to it together.
    """
    pids = [root.pid for root in roots if root.alive]
    if grace_seconds > 0:
        asked = [process for process in map(find, descendants(pids)) if process is not None and process.send(signal.SIGTERM)]
        deadline = clock.monotonic() + grace_seconds
        for process in asked:
            process.wait(max(0.0, deadline - clock.monotonic()))
    # Else a root might start something between the last look and its own end.
    for root in roots:
        root.send(signal.SIGSTOP)
    # What is being killed may still start something: look until nothing is left.
    for _ in range(SWEEP_ROUNDS_LIMIT):
        left = [process for process in map(find, descendants(pids)) if process is not None and process.send(signal.SIGKILL)]
        if not left:
            break
        for process in left:
            process.wait(KILL_TIMEOUT_SECONDS / SWEEP_ROUNDS_LIMIT)
    for root in roots:
        root.send(signal.SIGKILL)
    for root in roots:
        root.wait(KILL_TIMEOUT_SECONDS)
        reap(root.pid)


class _Stat(NamedTuple):
    """Of ``/proc/PID/stat``."""

    state: str
    parent: int
    threads: int
    started_ticks: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    # The name may hold anything, parentheses and spaces included: count from its last parenthesis.
    fields = text[text.rfind(")") + 2 :].split()
    return _Stat(fields[0], int(fields[1]), int(fields[17]), int(fields[19]))
