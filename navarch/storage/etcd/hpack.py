"""Header blocks of HTTP/2 (RFC 7541), as far as a client needs them which keeps no table: pure.

What is sent is spelled out. What is received is decoded without a dynamic table: whoever uses this must have told the other
side that its size is 0, and so the same block always means the same.
"""

from __future__ import annotations

from collections.abc import Iterable

_END_OF_STRING = 256

# RFC 7541, appendix A; the first has index 1.
STATIC_TABLE = (
    *(
        (":authority", ""),
        (":method", "GET"),
        (":method", "POST"),
        (":path", "/"),
        (":path", "/index.html"),
        (":scheme", "http"),
    ),
    *((":scheme", "https"), *((":status", code) for code in ("200", "204", "206", "304", "400", "404", "500"))),
    *(("accept-charset", ""), ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", "")),
    *((name, "") for name in ("accept", "access-control-allow-origin", "age", "allow", "authorization", "cache-control")),
    *((f"content-{name}", "") for name in ("disposition", "encoding", "language", "length", "location", "range", "type")),
    *((name, "") for name in ("cookie", "date", "etag", "expect", "expires", "from", "host", "if-match", "if-modified-since")),
    *((name, "") for name in ("if-none-match", "if-range", "if-unmodified-since", "last-modified", "link", "location")),
    *((name, "") for name in ("max-forwards", "proxy-authenticate", "proxy-authorization", "range", "referer", "refresh")),
    *((name, "") for name in ("retry-after", "server", "set-cookie", "strict-transport-security", "transfer-encoding")),
    *((name, "") for name in ("user-agent", "vary", "via", "www-authenticate")),
)

# RFC 7541, appendix B: how many bits each byte takes, and at last the end of a string. The code is canonical, so this is all.
_BITS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b08060606050505060606060606060708"
    "0f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e060f0506050605060606050707060606050607060505060707"
    "0707070f0b0e0d1c14161414161616171617171717171817181816171817171717151617161717181615141616171715171616181516171715151615"
    "1716171714161616171616171a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b14181415161515171616191918181a17"
    "1a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a1e"
)


class HeaderError(Exception):
    """A block that cannot be decoded."""


def encode(headers: Iterable[tuple[str, str]]) -> bytes:
    """A block whose fields nobody needs to remember."""
    block = bytearray()
    for name, value in headers:
        block.append(0)
        for text in (name, value):
            raw = text.encode()
            block += _integer(len(raw), 7) + raw
    return bytes(block)


def decode(block: bytes) -> list[tuple[str, str]]:
    """The fields of a block, in order. Raises HeaderError; also for what would need a dynamic table."""
    headers: list[tuple[str, str]] = []
    at = 0
    try:
        while at < len(block):
            first = block[at]
            if first & 0x80:
                index, at = _read_integer(block, at, 7)
                headers.append(_entry(index))
                continue
            if first & 0xE0 == 0x20:
                size, at = _read_integer(block, at, 5)
                if size:
                    raise HeaderError("a dynamic table is not kept here")
                continue
            # To be indexed (01), not indexed (0000) or never indexed (0001): without a table all the same.
            index, at = _read_integer(block, at, 6 if first & 0x40 else 4)
            if index:
                name = _entry(index)[0]
            else:
                name, at = _read_string(block, at)
            value, at = _read_string(block, at)
            headers.append((name, value))
    except IndexError:
        raise HeaderError("a header block ends too early") from None
    return headers


def _entry(index: int) -> tuple[str, str]:
    if not 0 < index <= len(STATIC_TABLE):
        raise HeaderError(f"there is no header {index} in the static table")
    return STATIC_TABLE[index - 1]


def _integer(value: int, bits: int) -> bytes:
    """RFC 7541, 5.1, with nothing in the bits before."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((value,))
    found = bytearray((limit,))
    value -= limit
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _read_integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    limit = (1 << bits) - 1
    value, at = block[at] & limit, at + 1
    if value < limit:
        return value, at
    for shift in range(0, 35, 7):
        byte, at = block[at], at + 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise HeaderError("a number in a header block is too large")


def _read_string(block: bytes, at: int) -> tuple[str, int]:
    is_huffman = block[at] & 0x80
    length, at = _read_integer(block, at, 7)
    raw = block[at : at + length]
    if len(raw) < length:
        raise HeaderError("a header block ends too early")
    return (_huffman(raw) if is_huffman else raw).decode("utf-8", "replace"), at + length


def _codes() -> dict[tuple[int, int], int]:
    """Bytes by how many bits their code has, and which: shorter ones first, in order within a length."""
    found: dict[tuple[int, int], int] = {}
    code = before = 0
    for symbol in sorted(range(len(_BITS)), key=lambda symbol: (_BITS[symbol], symbol)):
        bits = _BITS[symbol]
        code <<= bits - before
        found[bits, code] = symbol
        code, before = code + 1, bits
    return found


_CODES = _codes()


def _huffman(raw: bytes) -> bytes:
    found = bytearray()
    bits = code = 0
    for byte in raw:
        for shift in range(7, -1, -1):
            bits, code = bits + 1, code << 1 | byte >> shift & 1
            symbol = _CODES.get((bits, code))
            if symbol is None:
                continue
            if symbol == _END_OF_STRING:
                raise HeaderError("a string in a header block goes on after its end")
            found.append(symbol)
            bits = code = 0
    # What fills the last byte is the beginning of the end of a string: ones.
    if bits > 7 or code != (1 << bits) - 1:
        raise HeaderError("a string in a header block ends within a character")
    return bytes(found)
