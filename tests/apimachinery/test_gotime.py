"""Times as Go reads them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from navarch.apimachinery import gotime
from navarch.apimachinery.gotime import MICRO_TIME, TIME
from navarch.apimachinery.unmarshal import DecodeError, decode_time


@pytest.mark.parametrize(
    ("text", "layout", "expected"),
    [
        ("2026-01-02T03:04:05Z", TIME, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T3:04:05Z", TIME, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05,5+01:30", TIME, datetime(2026, 1, 2, 1, 34, 5, 500000, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789-01:00", TIME, datetime(2026, 1, 2, 4, 4, 5, 123456, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", TIME, datetime(2024, 2, 29, tzinfo=UTC)),
        ("2026-01-02T03:04:05.100000Z", MICRO_TIME, datetime(2026, 1, 2, 3, 4, 5, 100000, tzinfo=UTC)),
    ],
)
def test_times_are_read(text: str, layout: str, expected: datetime) -> None:
    assert gotime.parse(text, layout) == expected


REFUSED = {
    "": (TIME, '"" as "2006"'),
    "yesterday": (TIME, '"yesterday" as "2006"'),
    "2026": (TIME, '"" as "-"'),
    "2026-1-02T00:00:00Z": (TIME, '"1-02T00:00:00Z" as "01"'),
    "2026-01-01": (TIME, '"" as "T"'),
    "2026-01-01 00:00:00Z": (TIME, '" 00:00:00Z" as "T"'),
    "2026-01-01T00:00:0Z": (TIME, '"0Z" as "05"'),
    "2026-01-01T00:00:00": (TIME, '"" as "Z07:00"'),
    "2026-01-01T00:00:00z": (TIME, '"z" as "Z07:00"'),
    "2026-01-01T00:00:00+0100": (TIME, '"+0100" as "Z07:00"'),
    "2026-01-01T00:00:00Z\n": (MICRO_TIME, '"Z\\n" as ".000000"'),
    "2026-01-01T00:00:00Z": (MICRO_TIME, '"Z" as ".000000"'),
    "2026-01-01T00:00:00.491Z": (MICRO_TIME, '".491Z" as ".000000"'),
    "2026-01-01T00:00:00.1234567Z": (MICRO_TIME, '"7Z" as "Z07:00"'),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_unlike_the_layout_is_told(text: str) -> None:
    layout, expected = REFUSED[text]
    with pytest.raises(DecodeError) as refused:
        decode_time(text, "microtime" if layout == MICRO_TIME else "time")
    start, _, end = str(refused.value).partition(f' as "{layout}": cannot parse ')
    assert start.startswith('parsing time "') and end == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-13-01T00:00:00Z", "month out of range"),
        ("2026-02-30T00:00:00Z", "day out of range"),
        ("2026-01-01T24:00:00Z", "hour out of range"),
        ("2026-01-01T00:60:00Z", "minute out of range"),
        ("2026-01-01T00:00:60Z", "second out of range"),
        ("2026-01-01T00:00:00+25:00", "time zone offset hour out of range"),
        ("2026-01-01T00:00:00+00:61", "time zone offset minute out of range"),
        ("2026-01-01T00:00:00Zulu", 'extra text: "ulu"'),
    ],
)
def test_what_is_like_it_and_makes_no_sense_is_told(text: str, expected: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode_time(text, "time")
    assert str(refused.value) == f'parsing time "{text}": {expected}'


def test_times_are_written_with_their_own_precision() -> None:
    assert decode_time("2026-01-01T00:00:00.999Z", "time") == "2026-01-01T00:00:00Z"
    assert decode_time("2026-01-01T01:00:00.000001+01:00", "microtime") == "2026-01-01T00:00:00.000001Z"
    assert decode_time("0001-01-01T00:00:00Z", "time") is None
