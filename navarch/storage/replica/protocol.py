"""What goes over the unix socket between the server that writes and those that follow it: frames of a kind and a body.

    leader    STATE revision, RECORDS …, WHOLE; then CHANGES and ANSWERs in the order in which they happen
    follower  ASK number

An ANSWER holds the newest revision that readers see. All changes up to it have come before it, since there is one stream.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from navarch.storage.changes import Record

VERSION = 1
STATE, RECORDS, WHOLE, CHANGES, ASK, ANSWER = b"SRWCAN"
# One object, or as many as fit.
FRAME_LIMIT_BYTES = 64 * 1024 * 1024
BATCH_BYTES = 256 * 1024

_HEAD = struct.Struct(">IB")
_ENTRY = struct.Struct(">QQBHI")
_STATE = struct.Struct(">IQ")
_NUMBER = struct.Struct(">Q")
_ANSWER = struct.Struct(">QQ")


class ProtocolError(Exception):
    """What has come is no frame, or of another version of navarch."""


class Entry(NamedTuple):
    """A version of an object; of a deletion the last one."""

    record: Record
    deleted: bool


def frame(kind: int, body: bytes = b"") -> bytes:
    return _HEAD.pack(len(body), kind) + body


def entries(kind: int, found: Iterable[tuple[Record, bool]]) -> Iterator[bytes]:
    """Frames that hold them all, in order, none much larger than a batch."""
    parts: list[bytes] = []
    size = 0
    for record, deleted in found:
        key = record.key.encode()
        parts += (_ENTRY.pack(record.revision, record.created, deleted, len(key), len(record.data)), key, record.data)
        size += _ENTRY.size + len(key) + len(record.data)
        if size >= BATCH_BYTES:
            yield _HEAD.pack(size, kind) + b"".join(parts)
            parts, size = [], 0
    if parts:
        yield _HEAD.pack(size, kind) + b"".join(parts)


def read_entries(body: memoryview) -> Iterator[Entry]:
    """Raises ProtocolError."""
    position = 0
    while position < len(body):
        try:
            revision, created, deleted, key_bytes, data_bytes = _ENTRY.unpack_from(body, position)
        except struct.error as error:
            raise ProtocolError("an entry is cut off") from error
        start = position + _ENTRY.size
        position = start + key_bytes + data_bytes
        if position > len(body):
            raise ProtocolError("an entry is cut off")
        try:
            key = str(body[start : start + key_bytes], "utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError("a key is no text") from error
        yield Entry(Record(key, bytes(body[start + key_bytes : position]), revision, created), bool(deleted))


def state(revision: int) -> bytes:
    return frame(STATE, _STATE.pack(VERSION, revision))


def read_state(body: memoryview) -> int:
    """The revision of what follows. Raises ProtocolError."""
    try:
        version, revision = _STATE.unpack(body)
    except struct.error as error:
        raise ProtocolError("this is no beginning") from error
    if version != VERSION:
        raise ProtocolError(f"the leader speaks version {version}, this one {VERSION}: restart it (navarch down, navarch up)")
    return int(revision)


def ask(number: int) -> bytes:
    return frame(ASK, _NUMBER.pack(number))


def read_ask(body: memoryview) -> int:
    """Raises ProtocolError."""
    return int(_unpacked(_NUMBER, body)[0])


def answer(number: int, revision: int) -> bytes:
    return frame(ANSWER, _ANSWER.pack(number, revision))


def read_answer(body: memoryview) -> tuple[int, int]:
    """The question's number and the revision. Raises ProtocolError."""
    number, revision = _unpacked(_ANSWER, body)
    return int(number), int(revision)


def _unpacked(form: struct.Struct, body: memoryview) -> tuple[int, ...]:
    try:
        return form.unpack(body)
    except struct.error as error:
        raise ProtocolError("a frame is of another length") from error


class Decoder:
    """Takes frames out of a stream of bytes, however it is cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, memoryview]]:
        """Whole frames, by kind and body. Raises ProtocolError."""
        self._buffer += data
        found: list[tuple[int, memoryview]] = []
        position, end = 0, len(self._buffer)
        while end - position >= _HEAD.size:
            size, kind = _HEAD.unpack_from(self._buffer, position)
            if size > FRAME_LIMIT_BYTES:
                raise ProtocolError(f"a frame of {size} bytes")
            start = position + _HEAD.size
            if end - start < size:
                break
            position = start + size
            # A copy: views of the buffer would keep it from growing.
            found.append((kind, memoryview(bytes(self._buffer[start:position]))))
        if position:
            del self._buffer[:position]
        return found
