from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.network.dns import wire
from navarch.network.dns.wire import A, Answer, Record, WireError

HEADER = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"


def question(name: str, type_: int = A) -> bytes:
    return wire.encode_name(name) + type_.to_bytes(2, "big") + b"\0\x01"


def edns(size: int, version: int = 0) -> bytes:
    return b"\0" + b"\0\x29" + size.to_bytes(2, "big") + bytes((0, version, 0, 0)) + b"\0\0"


def test_a_query_is_read_with_its_question_kept_as_it_came() -> None:
    query = wire.parse_query(HEADER + question("Web.Shop.svc"))
    assert (query.id, query.name, query.type, query.udp_size) == (0x1234, "web.shop.svc", A, 512)
    assert query.question == question("Web.Shop.svc")


def test_edns_says_how_much_the_client_takes() -> None:
    query = wire.parse_query(HEADER[:11] + b"\x01" + question("a.b") + edns(4096))
    assert (query.has_edns, query.udp_size) == (True, 4096)


def test_an_answer_names_the_question_by_a_pointer() -> None:
    query = wire.parse_query(HEADER + question("Web.shop"))
    encoded = wire.encode("web.shop", Answer(answers=[Record("web.shop", A, 30, wire.a_data("10.96.0.1"))]))
    message = wire.response(query, encoded, 512)
    assert message == (
        b"\x12\x34\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00"
        + question("Web.shop")
        + b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x1e\x00\x04\x0a\x60\x00\x01"
    )


def test_answers_turn_so_that_each_is_first_once() -> None:
    query = wire.parse_query(HEADER + question("db"))
    records = [Record("db", A, 30, bytes((10, 0, 0, n))) for n in range(3)]
    encoded = wire.encode("db", Answer(answers=records))
    firsts = {wire.ttl_positions(wire.response(query, encoded, 512, turn))[3][0].data for turn in range(3)}
    assert len(firsts) == 3


def test_what_does_not_fit_is_cut_between_records_and_marked() -> None:
    query = wire.parse_query(HEADER + question("db"))
    encoded = wire.encode("db", Answer(answers=[Record("db", A, 30, bytes((10, 0, 0, n))) for n in range(100)]))
    message = wire.response(query, encoded, 512)
    rcode, flags, _, records = wire.ttl_positions(message)
    assert rcode == 0
    assert flags & wire.TC
    assert len(message) <= 512
    assert 25 < len(records) < 100
    assert not wire.ttl_positions(wire.response(query, encoded, 65535))[1] & wire.TC


def test_additional_records_are_left_out_before_answers_are() -> None:
    query = wire.parse_query(HEADER + question("db"))
    more = [Record(f"x{n}.db", A, 30, b"\0\0\0\0") for n in range(40)]
    encoded = wire.encode("db", Answer(answers=[Record("db", A, 30, b"\0\0\0\0")], additionals=more))
    _, flags, _, records = wire.ttl_positions(wire.response(query, encoded, 512))
    assert not flags & wire.TC
    assert len(records) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x12\x34",
        HEADER,
        HEADER + b"\x03ab",
        HEADER + b"\xc0\x0c",
        HEADER + b"\x80",
        HEADER + b"\x01a" * 130 + b"\0\0\x01\0\x01",
        b"\x12\x34\x81\x00" + HEADER[4:] + question("a"),
        b"\x12\x34\x01\x00\x00\x02" + HEADER[6:] + question("a") + question("b"),
    ],
)
def test_what_is_no_query_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        wire.parse_query(data)


@given(st.binary(max_size=80))
def test_nothing_that_comes_does_harm(tail: bytes) -> None:
    for data in (tail, HEADER + tail, HEADER[:11] + b"\x01" + question("a.b") + tail):
        try:
            wire.parse_query(data)
        except WireError:
            wire.error(data, wire.FORMERR)
        try:
            wire.ttl_positions(data)
        except WireError:
            continue


def test_an_error_to_an_answer_is_silence() -> None:
    assert wire.error(b"\x12\x34\x80\x00" + HEADER[4:], wire.FORMERR) == b""
    assert wire.error(b"\x12", wire.FORMERR) == b""


def test_names_that_cannot_be_are_refused() -> None:
    for name in ("a..b", "x" * 64, ".".join(["a" * 60] * 5)):
        with pytest.raises(WireError):
            wire.encode_name(name)
