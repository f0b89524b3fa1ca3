"""A container's log file as a client asked for it: parsed from the CRI log format, cut to size, followed while it grows.

Rules (PodLogOptions of the Kubernetes API):

- A line of the file is ``<RFC 3339 time> <stdout|stderr> <P|F>[:…] <text>``; P is a part of a line whose end comes later.
- `tail_lines` counts lines of the file; a time limit leaves out what was written before it; `limit_bytes` cuts what is sent.
- Followed, a log ends when its container has ended and everything it wrote has been sent; a rotated file is read to its end
  before the new one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from navarch.apimachinery import meta
from navarch.component import clock

READ_BYTES = 64 * 1024
LINE_LIMIT_BYTES = 1024 * 1024
"""The runtime cuts lines at 16 KiB; more than this is no log."""
POLL_SECONDS = 0.1
_ROTATION_GRACE_POLLS = 20


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What of a log is wanted."""

    follow: bool = False
    since: datetime | None = None
    tail_lines: int | None = None
    timestamps: bool = False
    limit_bytes: int | None = None
    stream: str = "All"
    """All, Stdout or Stderr."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the file."""

    time: bytes
    stream: bytes
    partial: bool
    text: bytes
    """Without the newline."""


def options_of(query: dict[str, list[str]]) -> LogOptions:
    """PodLogOptions from a request's query. Raises ValueError with what Kubernetes says."""

    def number(name: str, least: int) -> int | None:
        values = query.get(name)
        if not values or values[0] == "":
            return None
        try:
            found = int(values[0])
        except ValueError:
            raise ValueError(f"invalid {name}: {values[0]!r} is not a number") from None
        if found < least:
            raise ValueError(f"{name}: Invalid value: {found}: must be greater than or equal to {least}")
        return found

    since_seconds, since_time = number("sinceSeconds", 1), query.get("sinceTime", [""])[0]
    if since_seconds is not None and since_time:
        raise ValueError("at most one of `sinceTime` or `sinceSeconds` may be specified")
    since = None
    if since_seconds is not None:
        since = clock.now() - timedelta(seconds=since_seconds)
    elif since_time:
        since = meta.parse_time(since_time)
    stream = query.get("stream", ["All"])[0] or "All"
    if stream not in ("All", "Stdout", "Stderr"):
        raise ValueError(f'stream: Unsupported value: "{stream}": supported values: "All", "Stderr", "Stdout"')
    return LogOptions(
        follow=flag(query, "follow"),
        since=since,
        tail_lines=number("tailLines", 0),
        timestamps=flag(query, "timestamps"),
        limit_bytes=number("limitBytes", 1),
        stream=stream,
    )


def flag(query: dict[str, list[str]], name: str) -> bool:
    """Whether an option is set, as Go reads booleans of a query."""
    values = query.get(name) or ["0"]
    return values[0].lower() not in ("0", "f", "false")


def parse_line(line: bytes) -> LogLine | None:
    """A line without its newline; None if it isn't in the CRI format."""
    parts = line.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    tag = parts[2].split(b":", 1)[0]
    if tag not in (b"P", b"F"):
        return None
    return LogLine(parts[0], parts[1], tag == b"P", parts[3] if len(parts) == 4 else b"")


def tail_offset(descriptor: int, lines: int) -> int:
    """Where the last `lines` lines of a file begin, read from its end."""
    size = os.fstat(descriptor).st_size
    if not lines:
        return size
    position = end = size
    found = 0
    while position:
        start = max(0, position - READ_BYTES)
        block = os.pread(descriptor, position - start, start)
        index = len(block)
        while (index := block.rfind(b"\n", 0, index)) >= 0:
            # The newline that ends the last line doesn't begin another.
            if start + index + 1 == end:
                continue
            found += 1
            if found == lines:
                return start + index + 1
        position = start
    return 0


class Renderer:
    """Turns bytes of a log file into bytes for the client."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._since = options.since.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".").encode() if options.since else b""
        self._stream = {"Stdout": b"stdout", "Stderr": b"stderr"}.get(options.stream, b"")
        self._left = options.limit_bytes
        self._rest = b""
        self._inside: dict[bytes, bool] = {}
        """Per stream: whether a part without its line's end was the last thing sent."""

    @property
    def is_full(self) -> bool:
        """Whether the limit has been reached."""
        return self._left is not None and self._left <= 0

    def feed(self, data: bytes) -> bytes:
        """What follows from more bytes of the file."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LINE_LIMIT_BYTES:
            self._rest = b""
        return self._cut(b"".join(self._render(lines)))

    def finish(self) -> bytes:
        """What follows from a last line without an end."""
        rest, self._rest = self._rest, b""
        return self._cut(b"".join(self._render([rest]))) if rest else b""

    def _render(self, lines: list[bytes]) -> Iterator[bytes]:
        for raw in lines:
            line = parse_line(raw)
            if line is None or (self._stream and line.stream != self._stream):
                continue
            if self._since and _before(line.time, self._since):
                continue
            if self._options.timestamps and not self._inside.get(line.stream):
                yield line.time + b" "
            yield line.text if line.partial else line.text + b"\n"
            self._inside[line.stream] = line.partial

    def _cut(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        data = data[: max(0, self._left)]
        self._left -= len(data)
        return data


def _before(time: bytes, since: bytes) -> bool:
    """Whether a line's time is before `since` (which is UTC, without a zone). Times of one zone compare as text."""
    if time.endswith(b"Z"):
        return time[:-1] < since
    try:
        parsed = meta.parse_time(time.decode("ascii", "replace"))
    except ValueError:
        return False
    return parsed.strftime("%Y-%m-%dT%H:%M:%S.%f").encode() < since


async def read(path: Path, options: LogOptions, ended: Callable[[], Awaitable[None]] | None = None) -> AsyncIterator[bytes]:
    """The log in `path`. `ended` returns when the container has ended: needed to follow. Raises OSError at once."""
    descriptor = os.open(path, os.O_RDONLY)
    renderer = Renderer(options)
    waiting = asyncio.ensure_future(ended()) if options.follow and ended is not None else None
    try:
        if options.tail_lines is not None:
            os.lseek(descriptor, tail_offset(descriptor, options.tail_lines), os.SEEK_SET)
        while True:
            last_round = waiting is None or waiting.done()
            while data := os.read(descriptor, READ_BYTES):
                if chunk := renderer.feed(data):
                    yield chunk
                if renderer.is_full:
                    return
                # A long log must not keep others waiting.
                await asyncio.sleep(0)
            newer = await _reopened(path, descriptor, last_round)
            if newer is not None:
                os.close(descriptor)
                descriptor = newer
                continue
            if last_round:
                break
            assert waiting is not None
            await asyncio.wait([waiting], timeout=POLL_SECONDS)
        if chunk := renderer.finish():
            yield chunk
    finally:
        os.close(descriptor)
        if waiting is not None:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


async def _reopened(path: Path, descriptor: int, last_round: bool) -> int | None:
    """The file that took this one's place when the log was rotated, open; None if it is still the same."""
    old = os.fstat(descriptor)
    for _ in range(1 if last_round else _ROTATION_GRACE_POLLS):
        try:
            new = path.stat()
            if (new.st_dev, new.st_ino) == (old.st_dev, old.st_ino):
                return None
            if os.lseek(descriptor, 0, os.SEEK_CUR) < os.fstat(descriptor).st_size:
                # It was written to once more before it was put away.
                return None
            return os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            # Between being renamed and made anew, or the container is being removed.
            await clock.sleep(POLL_SECONDS)
    return None
