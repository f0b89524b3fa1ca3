"""A terminal in a container: typed, shown, resized."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from tests.e2e.conftest import Cluster
from tests.e2e.test_pods import pod, running

TIMEOUT_SECONDS = 20.0


class Terminal:
    """A pseudo-terminal with kubectl at the other end."""

    def __init__(self, cluster: Cluster, *words: str) -> None:
        self._master, slave = pty.openpty()
        self.resize(24, 80)
        self.process: subprocess.Popen[bytes] = cluster.popen(
            *words,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self._shown = b""

    def resize(self, rows: int, columns: int) -> None:
        """The kernel tells kubectl."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, pattern: bytes) -> re.Match[bytes]:
        """What is shown next that matches."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (found := re.search(pattern, self._shown)) is None:
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} is not in {self._shown!r}"
            if select.select([self._master], [], [], left)[0]:
                self._shown += os.read(self._master, 65536)
        self._shown = self._shown[found.end() :]
        return found

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


def test_a_terminal_is_interactive_and_follows_its_size(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=pod("shell", "sleep", "1000"))
    running(cluster, namespace, "shell")
    terminal = Terminal(cluster, "exec", "-it", "-n", namespace, "shell", "--", "sh")

    def size() -> bytes:
        terminal.type("stty size\r")
        return terminal.expect(rb"\n(\d+ \d+)\r\n").group(1)

    try:
        terminal.expect(rb"# ")
        cluster.wait("the first size", lambda: size() == b"24 80", timeout=20)
        terminal.resize(40, 132)
        cluster.wait("the new size", lambda: size() == b"40 132", timeout=20)
        terminal.type("exit 5\r")
        assert terminal.process.wait(TIMEOUT_SECONDS) == 5
    finally:
        terminal.close()
