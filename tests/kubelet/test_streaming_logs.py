from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from navarch.kubelet import streaming_logs
from navarch.kubelet.streaming_logs import LogOptions, Renderer, options_of, parse_line, tail_offset

LOG = b"""\
2026-01-02T03:04:05.000000001Z stdout F one
2026-01-02T03:04:06.5Z stderr F two
2026-01-02T03:04:07Z stdout P thr
2026-01-02T03:04:07.1Z stdout F ee
2026-01-02T03:04:08Z stdout F four
"""


async def collect(path: Path, options: LogOptions) -> bytes:
    return b"".join([chunk async for chunk in streaming_logs.read(path, options)])


def read(path: Path, **options: object) -> bytes:
    return asyncio.run(collect(path, LogOptions(**options)))  # type: ignore[arg-type]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_bytes(LOG)
    return path


def test_a_log_is_the_text_of_its_lines_with_parts_joined(log: Path) -> None:
    assert read(log) == b"one\ntwo\nthree\nfour\n"


def test_timestamps_stand_before_whole_lines(log: Path) -> None:
    assert read(log, timestamps=True).splitlines() == [
        b"2026-01-02T03:04:05.000000001Z one",
        b"2026-01-02T03:04:06.5Z two",
        b"2026-01-02T03:04:07Z three",
        b"2026-01-02T03:04:08Z four",
    ]


@pytest.mark.parametrize(("lines", "expected"), [(0, b""), (1, b"four\n"), (2, b"ee\nfour\n"), (5, b"one\ntwo\nthree\nfour\n")])
def test_the_tail_is_counted_in_lines_of_the_file(log: Path, lines: int, expected: bytes) -> None:
    assert read(log, tail_lines=lines) == expected
    assert read(log, tail_lines=99) == b"one\ntwo\nthree\nfour\n"


def test_the_tail_of_a_long_file_is_found_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(b"2026-01-02T03:04:05Z stdout F %d\n" % n for n in range(20000)))
    assert read(path, tail_lines=3) == b"19997\n19998\n19999\n"
    assert len(read(path, tail_lines=15000).splitlines()) == 15000


def test_a_last_line_without_an_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"a\nb\nc")
    descriptor = os.open(path, os.O_RDONLY)
    assert tail_offset(descriptor, 1) == 4
    assert tail_offset(descriptor, 2) == 2
    os.close(descriptor)


def test_what_was_written_before_a_time_is_left_out(log: Path) -> None:
    assert read(log, since=datetime(2026, 1, 2, 3, 4, 6, 500000, tzinfo=UTC)) == b"two\nthree\nfour\n"
    assert read(log, since=datetime(2026, 1, 2, 3, 4, 8, tzinfo=UTC)) == b"four\n"
    assert read(log, since=datetime(2027, 1, 1, tzinfo=UTC)) == b""


def test_the_limit_cuts_bytes(log: Path) -> None:
    assert read(log, limit_bytes=6) == b"one\ntw"


def test_one_of_the_two_streams(log: Path) -> None:
    assert read(log, stream="Stderr") == b"two\n"
    assert read(log, stream="Stdout") == b"one\nthree\nfour\n"


def test_lines_cut_between_reads_are_whole() -> None:
    renderer = Renderer(LogOptions())
    assert b"".join(renderer.feed(LOG[n : n + 1]) for n in range(len(LOG))) == b"one\ntwo\nthree\nfour\n"


def test_a_followed_log_ends_with_its_container_and_survives_rotation(log: Path) -> None:
    async def scenario() -> None:
        over = asyncio.Event()

        async def ended() -> None:
            await over.wait()

        received: list[bytes] = []

        async def follow() -> None:
            async for chunk in streaming_logs.read(log, LogOptions(follow=True), ended):
                received.append(chunk)

        async def until(text: bytes) -> None:
            async with asyncio.timeout(5):
                while text not in b"".join(received):
                    await asyncio.sleep(0.01)

        task = asyncio.create_task(follow())
        await until(b"four")
        with log.open("ab") as file:
            file.write(b"2026-01-02T03:04:09Z stdout F five\n")
        await until(b"five")
        with log.open("ab") as file:
            log.rename(log.with_suffix(".old"))
            file.write(b"2026-01-02T03:04:10Z stdout F six\n")
        log.write_bytes(b"2026-01-02T03:04:11Z stdout F seven\n")
        await until(b"seven")
        with log.open("ab") as file:
            file.write(b"2026-01-02T03:04:12Z stdout F eight")
        over.set()
        await asyncio.wait_for(task, 5)
        assert b"".join(received) == b"one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"

    asyncio.run(scenario())


def test_what_is_no_log_line_is_left_out() -> None:
    assert parse_line(b"") is None
    assert parse_line(b"garbage") is None
    assert parse_line(b"2026 stdin F x") is None
    assert parse_line(b"2026 stdout X x") is None
    empty = parse_line(b"2026 stdout F ")
    assert empty is not None
    assert empty.text == b""


@pytest.mark.parametrize(
    "query",
    [
        {"tailLines": ["-1"]},
        {"tailLines": ["x"]},
        {"limitBytes": ["0"]},
        {"sinceSeconds": ["0"]},
        {"sinceTime": ["yesterday"]},
        {"sinceTime": ["2026-01-02T03:04:05Z"], "sinceSeconds": ["5"]},
        {"stream": ["Stdin"]},
    ],
)
def test_options_that_make_no_sense_are_refused(query: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError):
        options_of(query)


def test_options_are_read_as_the_api_spells_them() -> None:
    query = {
        "follow": ["true"],
        "timestamps": ["1"],
        "tailLines": ["5"],
        "sinceTime": ["2026-01-02T03:04:05Z"],
        "limitBytes": ["9"],
    }
    assert options_of(query) == LogOptions(
        follow=True, timestamps=True, tail_lines=5, since=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), limit_bytes=9
    )
    assert options_of({"follow": ["false"]}) == LogOptions()
