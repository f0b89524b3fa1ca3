"""Timestamps and durations as text and as parts: RFC 3339, Go's durations, time zones by name or offset."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.values import INT_MAX, INT_MIN, Duration, Timestamp

SECOND = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62135596800 * SECOND, 253402300800 * SECOND - 1
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:[.,](\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)


def timestamp(nanoseconds: int, offset: int = 0) -> Timestamp:
    """Raises EvaluationError outside of the years 1 to 9999."""
    if not _FIRST <= nanoseconds <= _LAST:
        raise EvaluationError("timestamp overflow")
    return Timestamp(nanoseconds, offset)


def duration(nanoseconds: int) -> Duration:
    """Raises EvaluationError beyond 64 bits."""
    if not INT_MIN <= nanoseconds <= INT_MAX:
        raise EvaluationError("duration overflow")
    return Duration(nanoseconds)


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(text)
    date, time, fraction, _, sign, hours, minutes = match.groups()
    offset = 0 if sign is None else (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1)
    moment = datetime.fromisoformat(f"{date}T{time}+00:00")
    nanoseconds = int((fraction or "0").ljust(9, "0")[:9])
    return Timestamp((_seconds(moment) - offset * 60) * SECOND + nanoseconds, offset)


def parse_date(text: str) -> Timestamp:
    """``2006-01-02``, or a moment. Raises ValueError."""
    return parse_timestamp(f"{text}T00:00:00Z") if _DATE.fullmatch(text) else parse_timestamp(text)


def parse_duration(text: str) -> Duration:
    """As Go reads ``1h2m3.5s``. Raises ValueError."""
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return Duration(0)
    total, end = 0, 0
    for match in _PART.finditer(body):
        if match.start() != end:
            raise ValueError(text)
        whole, _, fraction = match.group(1).partition(".")
        unit = _UNITS[match.group(2)]
        total += int(whole or 0) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
        end = match.end()
    total = -total if text.startswith("-") else total
    if end == 0 or end != len(body) or not INT_MIN <= total <= INT_MAX:
        raise ValueError(text)
    return Duration(total)


def show_timestamp(value: Timestamp) -> str:
    """RFC 3339 with as many digits of a second as there are."""
    seconds, fraction = divmod(value.nanoseconds, SECOND)
    moment = _EPOCH + timedelta(seconds=seconds + value.offset * 60)
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    hours, minutes = divmod(abs(value.offset), 60)
    zone = f"{'-' if value.offset < 0 else '+'}{hours:02d}:{minutes:02d}" if value.offset else "Z"
    return f"{moment.year:04d}{moment:-%m-%dT%H:%M:%S}{digits}{zone}"


def show_duration(value: Duration) -> str:
    """Seconds, with as many digits as there are: ``90.5s``."""
    seconds, fraction = divmod(abs(value.nanoseconds), SECOND)
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{'-' if value.nanoseconds < 0 else ''}{seconds}{digits}s"


def local(value: Timestamp, zone: str = "UTC") -> datetime:
    """The moment as a clock there shows it, in whole seconds. Raises EvaluationError if there is no such zone."""
    return (_EPOCH + timedelta(seconds=value.nanoseconds // SECOND)).astimezone(_zone(zone))


def milliseconds(value: Timestamp) -> int:
    """Within its second."""
    return value.nanoseconds % SECOND // 10**6


def _seconds(moment: datetime) -> int:
    difference = moment - _EPOCH
    return difference.days * 86400 + difference.seconds


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    match = _OFFSET.fullmatch(name)
    if match is not None:
        minutes = int(match.group(2)) * 60 + int(match.group(3))
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=-minutes if match.group(1) == "-" else minutes))
    elif name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise EvaluationError(f"unknown time zone {name}") from None
