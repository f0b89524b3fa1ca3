"""DNS messages as bytes (RFC 1035, 2782, 6891), as far as an authoritative server and forwarder needs them.

An answer's records name the question by a pointer to offset 12, where every query has it; so an encoded body fits below any
header and question of the same name, and can be kept.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
OPCODE_MASK = 0x7800

HEADER = struct.Struct("!HHHHHH")
UDP_SIZE_DEFAULT = 512
UDP_SIZE_LIMIT = 1232
"""What fits into one packet on every path."""
NAME_LIMIT_BYTES = 255
LABEL_LIMIT_BYTES = 63
POINTERS_LIMIT = 32

_QUESTION_POINTER = b"\xc0\x0c"
_RR = struct.Struct("!HHIH")
_QUESTION_TAIL = struct.Struct("!HH")


class WireError(ValueError):
    """Not a DNS message, or not one that is understood."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question."""

    id: int
    flags: int
    name: str
    """In lower case, without the last dot; "" is the root."""
    type: int
    class_: int
    question: bytes
    """As it came, to be sent back."""
    udp_size: int = UDP_SIZE_DEFAULT
    has_edns: bool = False
    edns_version: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One resource record."""

    name: str
    type: int
    ttl_seconds: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be said about a question."""

    rcode: int = NOERROR
    answers: Sequence[Record] = ()
    authorities: Sequence[Record] = ()
    additionals: Sequence[Record] = ()
    authoritative: bool = True
    chase: str = ""
    """A name whose records belong to the answer too (the target of a CNAME)."""


@dataclass(slots=True)
class Encoded:
    """An answer as bytes, but for header and question."""

    rcode: int
    flags: int
    answers: list[bytes] = field(default_factory=list)
    rest: bytes = b""
    rest_counts: tuple[int, int] = (0, 0)


def parse_query(data: bytes) -> Query:
    """Raises WireError."""
    if len(data) < HEADER.size:
        raise WireError("shorter than a header")
    id_, flags, questions, answers, authorities, additionals = HEADER.unpack_from(data)
    if flags & QR or questions != 1:
        raise WireError("not a query with one question")
    name, position = read_name(data, HEADER.size)
    if position + 4 > len(data):
        raise WireError("the question is cut off")
    type_, class_ = _QUESTION_TAIL.unpack_from(data, position)
    position += 4
    question = data[HEADER.size : position]
    size, has_edns, version = UDP_SIZE_DEFAULT, False, 0
    if additionals and not answers and not authorities:
        for _ in range(additionals):
            owner, position = read_name(data, position)
            if position + _RR.size > len(data):
                raise WireError("a record is cut off")
            record_type, record_class, extended, length = _RR.unpack_from(data, position)
            position += _RR.size + length
            if record_type == OPT and owner == "":
                has_edns, version = True, extended >> 16 & 0xFF
                size = max(UDP_SIZE_DEFAULT, record_class)
    return Query(id_, flags, name, type_, class_, question, size, has_edns, version)


def read_name(data: bytes, position: int) -> tuple[str, int]:
    """The name at `position` in lower case, and where it ends."""
    labels: list[bytes] = []
    end = 0
    size = jumps = 0
    while True:
        if position >= len(data):
            raise WireError("a name is cut off")
        length = data[position]
        if length & 0xC0 == 0xC0:
            if position + 1 >= len(data):
                raise WireError("a pointer is cut off")
            end = end or position + 2
            jumps += 1
            if jumps > POINTERS_LIMIT:
                raise WireError("too many pointers")
            position = (length & 0x3F) << 8 | data[position + 1]
            continue
        if length > LABEL_LIMIT_BYTES:
            raise WireError("a label of unknown kind")
        position += 1
        if not length:
            break
        labels.append(data[position : position + length])
        position += length
        size += length + 1
        if size >= NAME_LIMIT_BYTES:
            raise WireError("a name is too long")
    return b".".join(labels).decode("latin-1").lower(), end or position


def encode_name(name: str) -> bytes:
    """Without compression. Raises WireError for a name that can't be."""
    parts = []
    for label in name.rstrip(".").split(".") if name.rstrip(".") else ():
        raw = label.encode("latin-1", "replace")
        if not 0 < len(raw) <= LABEL_LIMIT_BYTES:
            raise WireError(f"not a name: {name!r}")
        parts.append(bytes((len(raw),)) + raw)
    encoded = b"".join(parts) + b"\0"
    if len(encoded) > NAME_LIMIT_BYTES:
        raise WireError(f"too long for a name: {name!r}")
    return encoded


# Data of records


def a_data(ip: str) -> bytes:
    return socket.inet_aton(ip)


def srv_data(priority: int, weight: int, port: int, target: str) -> bytes:
    return struct.pack("!HHH", priority, weight, port) + encode_name(target)


def txt_data(text: str) -> bytes:
    raw = text.encode()
    return bytes((len(raw),)) + raw


def soa_data(server: str, mailbox: str, serial: int, times: tuple[int, int, int, int]) -> bytes:
    """`times` are refresh, retry, expire and the time to live of negative answers, in seconds."""
    return encode_name(server) + encode_name(mailbox) + struct.pack("!IIIII", serial, *times)


# Answers


def encode(name: str, answer: Answer) -> Encoded:
    """`answer` to a question of `name`, without its header."""
    rest = [_record(name, record) for record in (*answer.authorities, *answer.additionals)]
    return Encoded(
        answer.rcode,
        AA if answer.authoritative else 0,
        [_record(name, record) for record in answer.answers],
        b"".join(rest),
        (len(answer.authorities), len(answer.additionals)),
    )


def _record(question: str, record: Record) -> bytes:
    owner = _QUESTION_POINTER if record.name == question and question else encode_name(record.name)
    return owner + _RR.pack(record.type, IN, record.ttl_seconds, len(record.data)) + record.data


def response(query: Query, encoded: Encoded, size_limit: int, first: int = 0) -> bytes:
    """The whole message, with as many answers as fit into `size_limit` bytes, starting with number `first`."""
    answers = encoded.answers
    if len(answers) > 1:
        first %= len(answers)
        answers = answers[first:] + answers[:first]
    edns = _OPT_RECORD if query.has_edns else b""
    flags = QR | encoded.flags | RA | query.flags & (RD | OPCODE_MASK) | encoded.rcode
    authorities, additionals = encoded.rest_counts
    rest = encoded.rest
    room = size_limit - HEADER.size - len(query.question) - len(edns)
    size = sum(map(len, answers))
    if size + len(rest) > room:
        rest, authorities, additionals = b"", 0, 0
        if size > room:
            flags |= TC
            answers = _fitting(answers, room)
    header = HEADER.pack(query.id, flags, 1, len(answers), authorities, additionals + (1 if edns else 0))
    return b"".join((header, query.question, *answers, rest, edns))


def _fitting(answers: Iterable[bytes], room: int) -> list[bytes]:
    chosen = []
    for answer in answers:
        room -= len(answer)
        if room < 0:
            break
        chosen.append(answer)
    return chosen


_OPT_RECORD = b"\0" + _RR.pack(OPT, UDP_SIZE_LIMIT, 0, 0)
_OPT_BAD_VERSION = b"\0" + _RR.pack(OPT, UDP_SIZE_LIMIT, 1 << 24, 0)


def bad_version(query: Query) -> bytes:
    """To an EDNS version nobody knows (RFC 6891 §6.1.3)."""
    return HEADER.pack(query.id, QR | query.flags & RD, 1, 0, 0, 1) + query.question + _OPT_BAD_VERSION


def error(data: bytes, rcode: int) -> bytes:
    """A bare refusal of whatever came; b"" if it hasn't even a header or is itself an answer."""
    if len(data) < HEADER.size:
        return b""
    id_, flags = struct.unpack_from("!HH", data)
    if flags & QR:
        return b""
    return HEADER.pack(id_, QR | flags & (RD | OPCODE_MASK) | rcode, 0, 0, 0, 0)


def ttl_positions(data: bytes) -> tuple[int, int, list[tuple[int, int]], list[Record]]:
    """Of an answer: (response code, flags, (position, seconds) of every record's time to live, records of the answer section).

    Names inside the records' data stay as they are, except of CNAME, whose target is read. Raises WireError.
    """
    if len(data) < HEADER.size:
        raise WireError("shorter than a header")
    _, flags, questions, answers, authorities, additionals = HEADER.unpack_from(data)
    position = HEADER.size
    for _ in range(questions):
        _, position = read_name(data, position)
        position += 4
    found: list[tuple[int, int]] = []
    records: list[Record] = []
    for index in range(answers + authorities + additionals):
        owner, position = read_name(data, position)
        if position + _RR.size > len(data):
            raise WireError("a record is cut off")
        type_, _, ttl, length = _RR.unpack_from(data, position)
        if type_ != OPT:
            found.append((position + 4, ttl))
        start = position + _RR.size
        position = start + length
        if index < answers:
            content = encode_name(read_name(data, start)[0]) if type_ == CNAME else data[start:position]
            records.append(Record(owner, type_, ttl, content))
    return flags & 0xF, flags, found, records
