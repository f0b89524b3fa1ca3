"""Log files of containers: their names, their last lines, and their rotation.

A log is written by the runtime in the CRI format: ``<time> <stream> <P|F> <text>``; rotated ones get a time as a suffix.
"""

from __future__ import annotations

import os
from pathlib import Path

FALLBACK_LIMIT_BYTES = 2048
FALLBACK_LIMIT_LINES = 80
_READ_BYTES = 64 * 1024


def log_files(directory: Path, container: str, attempt: int) -> list[Path]:
    """The log of one run of a container, and what was rotated away from it."""
    return sorted((directory / container).glob(f"{attempt}.log*"))


def tail(path: Path) -> str:
    """The end of what a container wrote, as a termination message holds it; "" if there is no log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _READ_BYTES))
            data = file.read()
    except OSError:
        return ""
    lines = data.decode("utf-8", "replace").splitlines()
    if size > _READ_BYTES:
        lines = lines[1:]
    text = "".join(_content(line) for line in lines[-FALLBACK_LIMIT_LINES:])
    return text.encode()[-FALLBACK_LIMIT_BYTES:].decode("utf-8", "ignore")


def _content(line: str) -> str:
    """What the container wrote; a partial line has no end yet."""
    parts = line.split(" ", 3)
    if len(parts) < 4:
        return ""
    return parts[3] if parts[2].startswith("P") else parts[3] + "\n"
