"""When a cron schedule is due: five fields, names, ranges, steps, shorthands such as @hourly, and @every 5m. Pure.

What is understood, and what is said to the rest, is as in robfig/cron, which Kubernetes uses.
As crontab has it, a day matches if the day of the month or the day of the week does, unless one of them is ``*``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from navarch.apimachinery.cel.moments import SECOND, parse_duration

EVERY = "@every "
SHORTHANDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = {
    name: number
    for number, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)
}
_DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
# The least and the greatest value, and names of values: of minutes, hours, days, months, days of the week.
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = ((0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, _MONTHS), (0, 6, _DAYS))
SEARCH_LIMIT_DAYS = 5 * 366
"""29 February may be four years away, and eight around a century."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which minutes, hours, days and months match."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool
    zone: tzinfo

    def has_day(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return by_date and by_weekday
        return by_date or by_weekday

    def next(self, after: datetime) -> datetime | None:
        """The first due time later than `after`; None if there is none in the years to come."""
        local = after.astimezone(self.zone)
        day = local.replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(SEARCH_LIMIT_DAYS):
            if self.has_day(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        due = day.replace(hour=hour, minute=minute)
                        # A wall-clock time that a change to summer time leaves out does not come.
                        if due.timestamp() > after.timestamp() and _exists(due):
                            return due.astimezone(after.tzinfo)
            day = (day.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=self.zone)
        return None


def _exists(moment: datetime) -> bool:
    return datetime.fromtimestamp(moment.timestamp(), moment.tzinfo).replace(fold=0) == moment.replace(fold=0)


@dataclass(frozen=True, slots=True)
class Interval:
    """A schedule without a clock: so long after whatever was before."""

    delay: timedelta
    """Whole seconds, at least one."""

    def next(self, after: datetime) -> datetime:
        return after.replace(microsecond=0) + self.delay


def parse(text: str, zone: tzinfo) -> Schedule | Interval:
    """A schedule in `zone`, or in the one that it names itself. Raises ValueError with what is wrong."""
    if text.startswith(("TZ=", "CRON_TZ=")):
        named, _, text = text.partition(" ")
        zone, text = _zone(named.partition("=")[2]), text.strip()
    if text.startswith(EVERY):
        return _interval(text.removeprefix(EVERY))
    if text.startswith("@") and text not in SHORTHANDS:
        raise ValueError(f"unrecognized descriptor: {text}")
    fields = SHORTHANDS.get(text, text).split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = (
        _parse_field(source, low, high, names) for source, (low, high, names) in zip(fields, _FIELDS, strict=True)
    )
    return Schedule(minutes, hours, days, months, weekdays, _is_any(fields[2]), _is_any(fields[4]), zone)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"provided bad location {name}: unknown time zone {name}") from None


def _interval(text: str) -> Interval:
    try:
        nanoseconds = parse_duration(text).nanoseconds
    except ValueError:
        shown = json.dumps(text)
        raise ValueError(f"failed to parse duration {EVERY}{text}: time: invalid duration {shown}") from None
    return Interval(timedelta(seconds=max(nanoseconds // SECOND, 1)))


def _is_any(field: str) -> bool:
    """Whether a field says nothing: an any with a step narrows, and so is not one."""
    return any(part.partition("-")[0] in ("*", "?", "*/1", "?/1") for part in field.split(","))


def _parse_field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    return frozenset(value for part in text.split(",") if part for value in _parse_part(part, low, high, names))


def _parse_part(text: str, low: int, high: int, names: dict[str, int]) -> range:
    """``*``, ``5``, ``1-5``, each with a step or without."""
    span, *steps = text.split("/")
    start, *ends = span.split("-")
    if start in ("*", "?"):
        first, last = low, high
    else:
        first = _number(start, names)
        last = _number(ends[0], names) if ends else first
        if len(ends) > 1:
            raise ValueError(f"too many hyphens: {text}")
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    step = _number(steps[0], {}) if steps else 1
    if steps and not ends:
        last = high
    if first < low:
        raise ValueError(f"beginning of range ({first}) below minimum ({low}): {text}")
    if last > high:
        raise ValueError(f"end of range ({last}) above maximum ({high}): {text}")
    if first > last:
        raise ValueError(f"beginning of range ({first}) beyond end of range ({last}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return range(first, last + 1, step)


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not re.fullmatch("[+-]?[0-9]+", text):
        raise ValueError(f"failed to parse int from {text}: strconv.Atoi: parsing {json.dumps(text)}: invalid syntax")
    if int(text) < 0:
        raise ValueError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)
