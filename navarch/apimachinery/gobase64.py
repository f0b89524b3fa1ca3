"""Base64 as Go's encoding/base64 reads it: lines may be broken anywhere, and padding has to be right."""

from __future__ import annotations

import base64
import re

_WHOLE = re.compile(rb"(?:(?:[\r\n]*[A-Za-z0-9+/]){4})*")
_DIGITS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_BREAKS = re.compile(rb"[\r\n]*")
_PADDING = ord("=")


def decode(text: str) -> bytes:
    """The bytes. Raises ValueError in Go's words."""
    plain = text.replace("\n", "").replace("\r", "")
    if len(plain) % 4 == 0:
        try:
            return base64.b64decode(plain, validate=True)
        except ValueError:
            pass
    raise ValueError(f"illegal base64 data at input byte {_wrong_byte(text.encode('utf-8', 'replace'))}")


def _wrong_byte(data: bytes) -> int:
    """Where Go gives up: in the group of four after all that are whole."""
    whole = _WHOLE.match(data)
    assert whole is not None
    position = whole.end()
    for read in range(4):
        position = _after_breaks(data, position)
        if position == len(data):
            return position - read
        if data[position] not in _DIGITS:
            return _wrong_padding(data, position, read)
        position += 1
    raise AssertionError("it would be a whole group")


def _wrong_padding(data: bytes, position: int, read: int) -> int:
    """Of a byte that is no digit, after so many digits of its group."""
    if data[position] != _PADDING or read < 2:
        return position
    if read == 2:
        second = _after_breaks(data, position + 1)
        if second == len(data):
            return second
        if data[second] != _PADDING:
            return second - 1
        position = second
    return _after_breaks(data, position + 1)


def _after_breaks(data: bytes, position: int) -> int:
    found = _BREAKS.match(data, position)
    assert found is not None
    return found.end()
