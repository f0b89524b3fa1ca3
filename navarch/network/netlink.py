"""Netlink messages, as far as navarch needs them: requests with an answer, dumps, nested attributes.

Small on purpose: a general netlink library costs each node process some 20 MiB. Calls block, for microseconds with the kernel
on the other side; a dump of something large belongs in a thread.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

ATTRIBUTE_NESTED = 0x8000
RECEIVE_BYTES = 64 * 1024

FLAG_REQUEST, FLAG_ACK, FLAG_DUMP = 0x1, 0x4, 0x300
FLAG_REPLACE, FLAG_EXCLUSIVE, FLAG_CREATE, FLAG_APPEND = 0x100, 0x200, 0x400, 0x800

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE = 2, 3


def attribute(name: int, value: bytes) -> bytes:
    """One attribute, padded."""
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, name) + value + b"\0" * (-size % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in `data`, by number, flags taken off; of equal ones the last."""
    found = {}
    position = 0
    while position + _ATTRIBUTE.size <= len(data):
        size, name = _ATTRIBUTE.unpack_from(data, position)
        if size < _ATTRIBUTE.size:
            break
        found[name & 0x3FFF] = data[position + _ATTRIBUTE.size : position + size]
        position += (size + 3) & ~3
    return found


def request(connection: socket.socket, kind: int, body: bytes, flags: int = 0) -> None:
    """Send one request and wait for the kernel's word. Raises OSError with its error number."""
    _send(connection, kind, body, flags | FLAG_ACK)
    for _ in _answers(connection):
        pass


def dump(connection: socket.socket, kind: int, body: bytes) -> Iterator[bytes]:
    """The bodies of all messages of a dump. Raises OSError."""
    _send(connection, kind, body, FLAG_DUMP)
    return _answers(connection)


def _send(connection: socket.socket, kind: int, body: bytes, flags: int) -> None:
    connection.send(_HEADER.pack(_HEADER.size + len(body), kind, flags | FLAG_REQUEST, 1, 0) + body)


def _answers(connection: socket.socket) -> Iterator[bytes]:
    while True:
        data = connection.recv(RECEIVE_BYTES)
        position = 0
        while position + _HEADER.size <= len(data):
            size, kind, _, _, _ = _HEADER.unpack_from(data, position)
            body = data[position + _HEADER.size : position + size]
            if kind == _DONE:
                return
            if kind == _ERROR:
                number = -struct.unpack_from("=i", body)[0]
                if number:
                    raise OSError(number, os.strerror(number))
                return
            yield body
            position += (size + 3) & ~3
