"""The sandbox image: one static program of some thirty instructions, written in machine code.

A pod's sandbox needs a process that holds the namespaces, ends at once when it is told to, and, where the containers of a pod
share a process namespace, reaps orphans. That is all it does:

    block SIGINT, SIGTERM, SIGCHLD          (blocked signals stay pending, also for process 1, which ignores unhandled ones)
    loop:
        signal = wait for one of them
        SIGCHLD: reap until there is nothing left to reap
        SIGINT, SIGTERM: exit with status 0
        anything else (an interrupted wait): once more

Each row below is one instruction: its bytes as they stand in memory, and what they mean.
"""

from __future__ import annotations

import platform
import struct

from navarch.cri.images.oci import ImageConfig, Tree

REFERENCE = "navarch.local/pause:1"

Code = tuple[tuple[str, str], ...]

# Bits of the signal set: signal n is bit n - 1.
_SIGNALS = struct.pack("<Q", 1 << (2 - 1) | 1 << (15 - 1) | 1 << (17 - 1))

# Linux system calls, x86_64: number in rax; arguments in rdi, rsi, rdx, r10; the result in rax.
X86_64: Code = (
    # start: rt_sigprocmask(SIG_BLOCK, &set, NULL, 8)
    ("b8 0e 00 00 00", "mov eax, 14"),
    ("31 ff", "xor edi, edi"),
    ("48 8d 35 52 00 00 00", "lea rsi, [rip + set]"),
    ("31 d2", "xor edx, edx"),
    ("41 ba 08 00 00 00", "mov r10d, 8"),
    ("0f 05", "syscall"),
    # wait: rt_sigtimedwait(&set, NULL, NULL, 8)
    ("b8 80 00 00 00", "mov eax, 128"),
    ("48 8d 3d 3c 00 00 00", "lea rdi, [rip + set]"),
    ("31 f6", "xor esi, esi"),
    ("31 d2", "xor edx, edx"),
    ("41 ba 08 00 00 00", "mov r10d, 8"),
    ("0f 05", "syscall"),
    ("83 f8 11", "cmp eax, 17 (SIGCHLD)"),
    ("74 0d", "je reap"),
    ("85 c0", "test eax, eax"),
    ("78 df", "js wait"),
    # exit_group(0)
    ("b8 e7 00 00 00", "mov eax, 231"),
    ("31 ff", "xor edi, edi"),
    ("0f 05", "syscall"),
    # reap: wait4(-1, NULL, WNOHANG, NULL)
    ("b8 3d 00 00 00", "mov eax, 61"),
    ("bf ff ff ff ff", "mov edi, -1"),
    ("31 f6", "xor esi, esi"),
    ("ba 01 00 00 00", "mov edx, 1"),
    ("45 31 d2", "xor r10d, r10d"),
    ("0f 05", "syscall"),
    ("85 c0", "test eax, eax"),
    ("7f e6", "jg reap"),
    ("eb ba", "jmp wait"),
    ("66 90", "nop (the set stands on a multiple of 8)"),
)

# Linux system calls, aarch64: number in x8; arguments in x0 to x3; the result in x0. Instructions are little-endian words.
AARCH64: Code = (
    # start: rt_sigprocmask(SIG_BLOCK, &set, NULL, 8)
    ("e8 10 80 d2", "mov x8, #135"),
    ("00 00 80 d2", "mov x0, #0"),
    ("41 03 00 10", "adr x1, set"),
    ("02 00 80 d2", "mov x2, #0"),
    ("03 01 80 d2", "mov x3, #8"),
    ("01 00 00 d4", "svc #0"),
    # wait: rt_sigtimedwait(&set, NULL, NULL, 8)
    ("28 11 80 d2", "mov x8, #137"),
    ("a0 02 00 10", "adr x0, set"),
    ("01 00 80 d2", "mov x1, #0"),
    ("02 00 80 d2", "mov x2, #0"),
    ("03 01 80 d2", "mov x3, #8"),
    ("01 00 00 d4", "svc #0"),
    ("1f 44 00 71", "cmp w0, #17 (SIGCHLD)"),
    ("a0 00 00 54", "b.eq reap"),
    ("00 ff ff 37", "tbnz w0, #31, wait"),
    # exit_group(0)
    ("c8 0b 80 d2", "mov x8, #94"),
    ("00 00 80 d2", "mov x0, #0"),
    ("01 00 00 d4", "svc #0"),
    # reap: wait4(-1, NULL, WNOHANG, NULL)
    ("88 20 80 d2", "mov x8, #260"),
    ("00 00 80 92", "mov x0, #-1"),
    ("01 00 80 d2", "mov x1, #0"),
    ("22 00 80 d2", "mov x2, #1"),
    ("03 00 80 d2", "mov x3, #0"),
    ("01 00 00 d4", "svc #0"),
    ("1f 00 00 71", "cmp w0, #0"),
    ("2c ff ff 54", "b.gt reap"),
    ("ec ff ff 17", "b wait"),
    ("1f 20 03 d5", "nop (the set stands on a multiple of 8)"),
)

# ELF e_machine and the program, by the name of the architecture in images.
PROGRAMS: dict[str, tuple[int, Code]] = {"amd64": (62, X86_64), "arm64": (183, AARCH64)}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

_BASE_ADDRESS = 0x400000
_ELF_HEADER_BYTES = 64
_PROGRAM_HEADER_BYTES = 56


def architecture() -> str:
    """This machine's, as images name it. Raises ValueError if there is no sandbox program for it."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise ValueError(f"there is no sandbox image for {machine} machines: only for {', '.join(sorted(ARCHITECTURES))}")
    return ARCHITECTURES[machine]


def executable(arch: str) -> bytes:
    """The program as a static ELF file: a header, one segment that is read and executed, the code, the signal set."""
    machine, code = PROGRAMS[arch]
    text = b"".join(bytes.fromhex(octets) for octets, _ in code) + _SIGNALS
    offset = _ELF_HEADER_BYTES + _PROGRAM_HEADER_BYTES
    size = offset + len(text)
    identification = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little-endian, version 1
    header = identification + struct.pack(
        "<HHIQQQIHHHHHH",
        2,  # e_type: executable
        machine,
        1,
        _BASE_ADDRESS + offset,  # e_entry
        _ELF_HEADER_BYTES,  # e_phoff
        0,  # no sections
        0,
        _ELF_HEADER_BYTES,
        _PROGRAM_HEADER_BYTES,
        1,
        0,
        0,
        0,
    )
    # PT_LOAD, readable and executable, the whole file, on a page of 64 KiB (the largest page of aarch64).
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE_ADDRESS, _BASE_ADDRESS, size, size, 0x10000)
    return header + segment + text


def image() -> tuple[Tree, ImageConfig]:
    """The sandbox image for this machine."""
    arch = architecture()
    tree = Tree()
    tree.file("pause", executable(arch), mode=0o555)
    return tree, ImageConfig(architecture=arch, entrypoint=("/pause",), user="65535:65535")
