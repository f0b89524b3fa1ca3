"""Byte streams: reading, back-pressure, ends, and two of them spliced."""

from __future__ import annotations

import asyncio

import pytest

from navarch.component import bytestream
from navarch.component.bytestream import ByteStream, splice
from tests.component.wire import Wire


def test_what_came_is_read_at_once_and_then_the_end() -> None:
    async def test() -> None:
        stream = ByteStream(Wire())
        for data in (b"a", b"", b"b"):
            stream.feed_data(data)
        assert await stream.read() == b"ab"
        reading = asyncio.ensure_future(stream.read())
        await asyncio.sleep(0)
        stream.feed_data(b"c")
        assert await reading == b"c"
        stream.feed_data(b"d")
        stream.feed_eof()
        assert [await stream.read(), await stream.read(), await stream.read()] == [b"d", b"", b""]

    asyncio.run(test())


def test_a_reader_that_is_slow_holds_the_peer_back() -> None:
    async def test() -> None:
        wire = Wire()
        stream = ByteStream(wire)
        stream.feed_data(b"x" * bytestream.READ_BUFFER_LIMIT_BYTES)
        assert wire.reading
        stream.feed_data(b"y")
        assert not wire.reading
        await stream.read()
        assert wire.reading

    asyncio.run(test())


def test_a_writer_waits_while_the_peer_does_not_read_and_wakes_when_it_goes() -> None:
    async def test() -> None:
        wire = Wire()
        stream = ByteStream(wire)
        await stream.write(b"a")
        stream.pause_writing()
        writing = asyncio.ensure_future(stream.write(b"b"))
        await asyncio.sleep(0)
        assert not writing.done()
        stream.resume_writing()
        await writing
        stream.pause_writing()
        writing = asyncio.ensure_future(stream.write(b"c"))
        await asyncio.sleep(0)
        wire.close()
        stream.feed_eof()
        await asyncio.wait_for(writing, 1)
        with pytest.raises(ConnectionResetError):
            await stream.write(b"d")
        assert wire.written == [b"a", b"b", b"c"]

    asyncio.run(test())


def test_the_end_of_writing_is_told() -> None:
    wire = Wire()
    ByteStream(wire).write_eof()
    assert wire.ended


def test_spliced_streams_carry_bytes_both_ways_until_either_ends() -> None:
    async def test() -> None:
        left, right = Wire(), Wire()
        one, other = ByteStream(left), ByteStream(right)
        carrying = asyncio.ensure_future(splice(one, other))
        one.feed_data(b"to the right")
        other.feed_data(b"to the left")
        while not (left.written and right.written):
            await asyncio.sleep(0)
        assert (left.written, right.written) == ([b"to the left"], [b"to the right"])
        one.feed_data(b"last words")
        one.feed_eof()
        await asyncio.wait_for(carrying, 1)
        assert right.written[-1] == b"last words"
        assert left.closed and right.closed

    asyncio.run(test())


def test_what_one_side_said_is_carried_though_it_has_gone_and_is_told_more() -> None:
    async def test() -> None:
        left, right = Wire(), Wire()
        one, other = ByteStream(left), ByteStream(right)
        one.pause_writing()
        carrying = asyncio.ensure_future(splice(one, other))
        other.feed_data(b"first")
        while not left.written:
            await asyncio.sleep(0)
        # It leaves while the left side is still reading, and is spoken to.
        other.feed_data(b"last words")
        right.closed = True
        one.feed_data(b"are you there?")
        for _ in range(5):
            await asyncio.sleep(0)
        one.resume_writing()
        other.feed_eof()
        await asyncio.wait_for(carrying, 1)
        assert left.written == [b"first", b"last words"] and right.written == []

    asyncio.run(test())
