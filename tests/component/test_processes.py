from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from navarch.component import processes
from navarch.component.processes import Process

TREE = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = processes.start(["sleep", "600"], pid_file=tmp_path / "pid", log_file=tmp_path / "log")
    yield process
    process.send(signal.SIGKILL)
    process.wait(5)
    processes.reap(process.pid)


def test_a_started_process_is_found_again_by_its_pid_file(sleeper: Process, tmp_path: Path) -> None:
    assert processes.read(tmp_path / "pid") == sleeper
    assert sleeper.alive
    assert os.getsid(sleeper.pid) == sleeper.pid, "it has a session of its own"
    assert sleeper.resident_bytes > 0
    assert sleeper.age_seconds < 60


def test_another_process_with_the_same_number_is_not_ours(sleeper: Process, tmp_path: Path) -> None:
    other = Process(sleeper.pid, sleeper.started_ticks - 1, sleeper.boot)
    assert not other.alive
    assert not other.send(signal.SIGKILL)
    assert other.wait(0)
    other.write(tmp_path / "other")
    assert processes.read(tmp_path / "other") is None
    assert sleeper.alive


def test_a_pid_file_of_another_boot_leads_nowhere(sleeper: Process, tmp_path: Path) -> None:
    Process(sleeper.pid, sleeper.started_ticks, "another-boot").write(tmp_path / "old")
    assert processes.read(tmp_path / "old") is None


@pytest.mark.parametrize("content", ["", "x\ny\nz\n", "12"])
def test_a_damaged_pid_file_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "pid").write_text(content)
    assert processes.read(tmp_path / "pid") is None


def test_a_zombie_is_not_alive(tmp_path: Path) -> None:
    process = processes.start(["sleep", "600"], pid_file=tmp_path / "pid", log_file=tmp_path / "log")
    process.send(signal.SIGKILL)
    assert process.wait(5)
    assert not process.alive
    processes.reap(process.pid)


def test_one_whose_first_thread_has_ended_is_alive_until_the_last_has(tmp_path: Path) -> None:
    """So it is for a moment with every program of many threads that is killed: until then it still listens where it did."""
    exit_of_a_thread = {"x86_64": 60, "aarch64": 93}[os.uname().machine]
    program = "import ctypes, os, socket, threading\n"
    program += f"listening = socket.socket(socket.AF_UNIX); listening.bind({str(tmp_path / 'socket')!r}); listening.listen()\n"
    program += "threading.Thread(target=lambda: (listening.accept(), os._exit(0))).start()\n"
    program += f"ctypes.CDLL(None).syscall({exit_of_a_thread}, 0)\n"
    process = processes.start([sys.executable, "-c", program], pid_file=tmp_path / "pid", log_file=tmp_path / "log")
    stat, until = Path(f"/proc/{process.pid}/stat"), time.monotonic() + 30
    while ") Z " not in stat.read_text():
        assert time.monotonic() < until
        time.sleep(0.001)
    assert process.alive
    assert not process.wait(0)
    assert processes.read(tmp_path / "pid") == process
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "socket"))
    assert process.wait(5)
    assert processes.read(tmp_path / "pid") is None
    processes.reap(process.pid)


def test_stopping_asks_first(tmp_path: Path) -> None:
    program = "import signal,sys,time; signal.signal(15, lambda *_: (print('bye', flush=True), sys.exit())); "
    program += "print('up', flush=True); time.sleep(600)"
    log = tmp_path / "log"
    process = processes.start([sys.executable, "-c", program], pid_file=tmp_path / "pid", log_file=log)
    while "up" not in log.read_text():
        assert not process.wait(0.01)
    processes.stop(process, 5)
    assert log.read_text().split() == ["up", "bye"]


def test_a_tree_ends_whole_also_where_it_does_not_want_to(tmp_path: Path) -> None:
    log = tmp_path / "log"
    root = processes.start([sys.executable, "-c", TREE], pid_file=tmp_path / "pid", log_file=log)
    while "up" not in log.read_text():
        assert not root.wait(0.01)
    below = [processes.find(pid) for pid in processes.descendants([root.pid])]
    assert len(below) == 1
    processes.end_trees([root], grace_seconds=0.05)
    assert not root.alive
    assert not any(process is not None and process.alive for process in below)


def test_inherited_descriptors_and_environment_reach_the_process(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        command = [sys.executable, "-c", f"import os; os.write({writing}, os.environ['WORD'].encode())"]
        process = processes.start(
            command,
            pid_file=tmp_path / "pid",
            log_file=tmp_path / "log",
            environment={"WORD": "hello"},
            pass_descriptors=[writing],
        )
        assert os.read(reading, 100) == b"hello"
        process.wait(5)
        processes.reap(process.pid)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        processes.start(["/does/not/exist"], pid_file=tmp_path / "pid", log_file=tmp_path / "log")


def test_command_lines_keep_blanks_apart() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "a b", "c"])
    try:
        # The kernel lays the arguments out a moment after the program has taken over.
        while not (words := processes.command_line(child.pid)):
            assert child.poll() is None
        assert words[-2:] == ["a b", "c"]
    finally:
        child.kill()
        child.wait()
    assert processes.command_line(1 << 22) == []
