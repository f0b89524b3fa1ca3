"""Times as Go's time.Parse reads them, with what it says of those that it refuses."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

from navarch.apimachinery.gourl import quoted

TIME = "2006-01-02T15:04:05Z07:00"
"""The layout of `metav1.Time`: a fraction may be there."""
MICRO_TIME = "2006-01-02T15:04:05.000000Z07:00"
"""The layout of `metav1.MicroTime`: a fraction of six digits has to be there."""

_FRACTION = ".000000"
_ZONE = "Z07:00"
# (what stands before, the element, the name of its range, the range)
_ELEMENTS = (
    ("-", "01", "month", range(1, 13)),
    ("-", "02", "", range(100)),
    ("T", "15", "hour", range(24)),
    (":", "04", "minute", range(60)),
    (":", "05", "second", range(60)),
)


def parse(text: str, layout: str) -> datetime:
    """The time in UTC, cut to microseconds; `layout` is one of those above. Raises ValueError."""
    return _Reader(text, layout).read()


class _Reader:
    def __init__(self, text: str, layout: str) -> None:
        self._text, self._layout, self._rest = text, layout, text

    def read(self) -> datetime:
        head = self._rest[:4]
        if not _is_number(head) or len(head) < 4:
            raise self._unlike("2006", self._rest)
        self._rest = self._rest[4:]
        year = int(head)
        month, day, hour, minute, second = (self._element(*element) for element in _ELEMENTS)
        microseconds = self._fraction()
        offset = self._zone()
        if self._rest:
            raise self._wrong(f"extra text: {quoted(self._rest)}")
        if not 1 <= day <= _days(year, month):
            raise self._wrong("day out of range")
        try:
            return datetime(year, month, day, hour, minute, second, microseconds, UTC) - offset
        except (ValueError, OverflowError):
            # There is no such year here.
            raise self._wrong("year out of range") from None

    def _element(self, before: str, element: str, name: str, values: range) -> int:
        if not self._rest.startswith(before):
            raise self._unlike(before, self._rest)
        hold = self._rest = self._rest[1:]
        digits = 2 if _is_number(hold[1:2]) else 1
        # Of an hour, one digit will do.
        if not _is_number(hold[:1]) or (digits == 1 and element != "15"):
            raise self._unlike(element, hold)
        number, self._rest = int(hold[:digits]), hold[digits:]
        if number not in values:
            raise self._wrong(f"{name} out of range")
        return number

    def _fraction(self) -> int:
        """Microseconds."""
        hold = self._rest
        if self._layout == MICRO_TIME:
            digits = hold[1 : len(_FRACTION)]
            if hold[:1] not in (".", ",") or not _is_number(digits) or len(digits) < len(_FRACTION) - 1:
                raise self._unlike(_FRACTION, hold)
        elif hold[:1] in (".", ",") and _is_number(hold[1:2]):
            digits = hold[1:]
            digits = digits[: next((index for index, letter in enumerate(digits) if not _is_number(letter)), len(digits))]
        else:
            return 0
        self._rest = hold[1 + len(digits) :]
        return int(f"{digits[:6]:0<6}")

    def _zone(self) -> timedelta:
        hold = self._rest
        if hold[:1] == "Z":
            self._rest = hold[1:]
            return timedelta()
        hours, minutes = hold[1:3], hold[4:6]
        is_like = len(hold) >= 6 and hold[3] == ":" and hold[0] in "+-" and _is_number(hours) and _is_number(minutes)
        if not is_like:
            raise self._unlike(_ZONE, hold)
        self._rest = hold[6:]
        if int(hours) > 24:
            raise self._wrong("time zone offset hour out of range")
        if int(minutes) > 60:
            raise self._wrong("time zone offset minute out of range")
        return timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if hold[0] == "-" else 1)

    def _unlike(self, element: str, found: str) -> ValueError:
        shown = f'parsing time {quoted(self._text)} as "{self._layout}"'
        return ValueError(f'{shown}: cannot parse {quoted(found)} as "{element}"')

    def _wrong(self, what: str) -> ValueError:
        return ValueError(f"parsing time {quoted(self._text)}: {what}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _days(year: int, month: int) -> int:
    return calendar.monthrange(year or 4, month)[1]
