from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.component import spdy
from navarch.component.spdy import (
    DataReceived,
    GoneAway,
    PingAnswered,
    Session,
    SPDYError,
    StreamAccepted,
    StreamOpened,
    StreamReset,
)


@pytest.fixture
def pair() -> tuple[Session, Session]:
    return Session(client=True), Session(client=False)


Pair = tuple[Session, Session]


def test_the_first_headers_begin_as_everybody_compresses_them() -> None:
    session = Session(client=True)
    session.open_stream({"streamtype": "error"})
    data = session.data_to_send()
    assert data[:4] == b"\x80\x03\x00\x01"
    # A zlib stream that names the dictionary of SPDY/3 by its checksum.
    assert data[20:24] == b"\xe3\xc6\xa7\xc2"


def test_headers_survive_one_after_another(pair: Pair) -> None:
    client, server = pair
    for index in range(3):
        stream = client.open_stream({"StreamType": "data", "port": "80", "requestid": str(index)})
        assert stream == 2 * index + 1
        expected = {"streamtype": "data", "port": "80", "requestid": str(index)}
        assert server.receive(client.data_to_send()) == [StreamOpened(stream, expected)]


def test_either_end_may_open_streams_and_replies_come_back(pair: Pair) -> None:
    client, server = pair
    stream = server.open_stream({"a": "b"})
    assert stream == 2
    assert client.receive(server.data_to_send()) == [StreamOpened(2, {"a": "b"})]
    client.reply(stream, {"c": "d"})
    assert server.receive(client.data_to_send()) == [StreamAccepted(2, {"c": "d"})]


def test_data_comes_whole_however_the_bytes_are_cut(pair: Pair) -> None:
    client, server = pair
    stream = client.open_stream({})
    client.send_data(stream, b"x" * 100_000, fin=True)
    received, ended = b"", False
    data = client.data_to_send()
    for start in range(0, len(data), 777):
        for event in server.receive(data[start : start + 777]):
            if isinstance(event, DataReceived):
                received += event.data
                ended = event.fin
    assert (len(received), ended) == (100_000, True)


def test_a_stream_is_forgotten_when_both_ends_have_finished(pair: Pair) -> None:
    client, server = pair
    stream = client.open_stream({})
    client.send_data(stream, b"", fin=True)
    server.receive(client.data_to_send())
    assert list(server.streams) == [stream]
    server.send_data(stream, b"bye", fin=True)
    assert client.receive(server.data_to_send()) == [DataReceived(stream, b"bye", True)]
    assert list(client.streams) == list(server.streams) == []
    client.send_data(stream, b"more")
    assert client.data_to_send() == b""


def test_a_reset_ends_both_directions_and_late_bytes_are_dropped(pair: Pair) -> None:
    client, server = pair
    stream = client.open_stream({})
    server.receive(client.data_to_send())
    client.send_data(stream, b"crossing")
    server.reset(stream)
    assert client.receive(server.data_to_send()) == [StreamReset(stream, spdy.CANCEL)]
    assert server.receive(client.data_to_send()) == []


def test_pings_are_answered(pair: Pair) -> None:
    client, server = pair
    number = client.ping()
    assert server.receive(client.data_to_send()) == []
    assert client.receive(server.data_to_send()) == [PingAnswered(number)]


def test_going_away_is_told(pair: Pair) -> None:
    client, server = pair
    server.go_away()
    assert client.receive(server.data_to_send()) == [GoneAway(0)]
    assert client.going_away


def test_settings_and_window_updates_mean_nothing(pair: Pair) -> None:
    _, server = pair
    settings = b"\x80\x03\x00\x04\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x07\x00\x01\x00\x00"
    window_update = b"\x80\x03\x00\x09\x00\x00\x00\x08\x00\x00\x00\x01\x00\x01\x00\x00"
    assert server.receive(settings + window_update) == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02\x00\x01\x00\x00\x00\x00",
        b"\x00\x00\x00\x01\x00\xff\xff\xff",
        b"\x80\x03\x00\x01\x00\x00\x00\x04\x00\x00\x00\x01",
        b"\x80\x03\x00\x01\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00xx",
        b"\x80\x03\x00\x03\x00\x00\x00\x02\x00\x00",
    ],
)
def test_what_is_not_spdy_is_refused(pair: Pair, data: bytes) -> None:
    with pytest.raises(SPDYError):
        pair[1].receive(data)


def test_a_stream_of_the_wrong_parity_is_refused(pair: Pair) -> None:
    other = Session(client=False)
    other.open_stream({})
    with pytest.raises(SPDYError):
        pair[1].receive(other.data_to_send())


def test_headers_that_unpack_to_too_much_are_refused(pair: Pair) -> None:
    client, server = pair
    client.open_stream({"a": "x" * 200_000})
    with pytest.raises(SPDYError):
        server.receive(client.data_to_send())


def test_too_many_streams_are_refused_one_by_one(pair: Pair) -> None:
    client, server = pair
    for _ in range(spdy.STREAMS_LIMIT + 1):
        last = client.open_stream({})
        server.receive(client.data_to_send())
    assert StreamReset(last, spdy.REFUSED_STREAM) in client.receive(server.data_to_send())


@given(st.binary(max_size=200))
def test_nothing_that_comes_does_harm(data: bytes) -> None:
    for prefix in (b"", b"\x80\x03"):
        try:
            Session(client=False).receive(prefix + data)
        except SPDYError:
            continue
