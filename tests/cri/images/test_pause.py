from __future__ import annotations

import os
import platform
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from navarch.component import processes
from navarch.cri.images import pause

X86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="runs the program of this architecture")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "pause"
    path.write_bytes(pause.executable(pause.architecture()))
    path.chmod(0o755)
    return path


@pytest.fixture
def running(program: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([program]) as process:
        wait_until_waiting(process.pid)
        yield process
        process.kill()


def wait_until_waiting(pid: int) -> None:
    """Until the process is in rt_sigtimedwait."""
    while not Path(f"/proc/{pid}/syscall").read_text().startswith("128 "):
        os.sched_yield()


@pytest.mark.parametrize("arch", sorted(pause.PROGRAMS))
def test_the_signal_set_stands_aligned_behind_the_code(arch: str) -> None:
    machine, code = pause.PROGRAMS[arch]
    file = pause.executable(arch)
    text = b"".join(bytes.fromhex(octets) for octets, _ in code)
    entry = struct.unpack_from("<Q", file, 24)[0]
    assert struct.unpack_from("<H", file, 18)[0] == machine
    assert entry == 0x400000 + len(file) - len(text) - 8
    assert (len(file) - 8) % 8 == 0
    assert struct.unpack("<Q", file[-8:])[0] == sum(1 << (number - 1) for number in (2, 15, 17))


@pytest.mark.parametrize("arch", sorted(pause.PROGRAMS))
def test_every_reference_of_the_code_meets_its_mark(arch: str) -> None:
    """Decode the relative operands independently of how they were written down."""
    _, code = pause.PROGRAMS[arch]
    starts, position = [], 0
    for octets, _ in code:
        starts.append(position)
        position += len(bytes.fromhex(octets))
    texts = [text for _, text in code]
    wait_at = next(i for i, text in enumerate(texts) if "128" in text or "#137" in text)
    reap_at = next(i for i, text in enumerate(texts) if "eax, 61" in text or "#260" in text)
    marks = {"set": position, "wait": starts[wait_at], "reap": starts[reap_at]}
    met = 0
    for (octets, text), start in zip(code, starts, strict=True):
        for mark, target in marks.items():
            if mark in text.replace("rip + set", "set").split("(")[0] and not text.startswith(("nop", "mov")):
                assert start + displacement(arch, bytes.fromhex(octets)) == target, text
                met += 1
    assert met == 6


def displacement(arch: str, code: bytes) -> int:
    """How far a relative operand reaches, from the instruction's start."""
    if arch == "amd64":
        if code[0] == 0x48:
            return len(code) + int(struct.unpack("<i", code[3:])[0])
        return len(code) + int(struct.unpack("<b", code[1:])[0])
    word = struct.unpack("<I", code)[0]
    if word >> 24 == 0x10:  # adr
        return signed((word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3, 21)
    if word >> 24 == 0x54:  # b.cond
        return signed(word >> 5 & 0x7FFFF, 19) * 4
    if word >> 24 == 0x37:  # tbnz
        return signed(word >> 5 & 0x3FFF, 14) * 4
    return signed(word & 0x3FFFFFF, 26) * 4  # b


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


@X86_64
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_well_when_told(running: subprocess.Popen[bytes], number: int) -> None:
    running.send_signal(number)
    assert running.wait(5) == 0


@X86_64
def test_it_waits_on_after_being_stopped_and_continued(running: subprocess.Popen[bytes]) -> None:
    running.send_signal(signal.SIGSTOP)
    running.send_signal(signal.SIGCONT)
    wait_until_waiting(running.pid)
    assert running.poll() is None


@X86_64
@pytest.mark.root
def test_as_process_1_it_reaps_orphans_and_obeys(program: Path) -> None:
    # The child of a shell that becomes the program is its child, and a zombie until it is reaped.
    script = f"sleep 0.05 & sleep 0.05 & exec {program}"
    with subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", script]) as outside:
        try:
            while not (inside := processes.descendants([outside.pid])):
                os.sched_yield()
            init = inside[0]
            while processes.command_line(init) != [str(program)]:
                os.sched_yield()
            while processes.descendants([init]):
                os.sched_yield()
            os.kill(init, signal.SIGTERM)
            assert outside.wait(5) == 0
        finally:
            outside.kill()
