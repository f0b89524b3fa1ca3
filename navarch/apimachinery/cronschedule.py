"""When a cron schedule is due: five fields, names, ranges, steps, and shorthands such as @hourly. Pure.

As crontab has it, a day matches if the day of the month or the day of the week does, unless one of them is ``*``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

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
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
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


def parse(text: str, zone: tzinfo) -> Schedule:
    """Raises ValueError with what is wrong."""
    fields = SHORTHANDS.get(text.strip(), text).split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{text}]")
    minutes, hours, days, months, weekdays = (
        _parse_field(source, name, low, high, names) for source, (name, low, high, names) in zip(fields, _FIELDS, strict=True)
    )
    # An any with a step narrows, and so is not an any.
    return Schedule(minutes, hours, days, months, weekdays, fields[2] in ("*", "?"), fields[4] in ("*", "?"), zone)


def _parse_field(text: str, name: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, name, {}) if slash else 1
        if step < 1:
            raise ValueError(f"step of {name} must be at least 1: {part}")
        if span in ("*", "?"):
            first, last = low, high
        else:
            start, dash, end = span.partition("-")
            first = _number(start, name, names)
            last = _number(end, name, names) if dash else (high if slash else first)
        # Sunday is 0 and also 7.
        top = 7 if names is _DAYS else high
        if not low <= first <= last <= top:
            raise ValueError(f"{name} must be within {low} and {high}: {part}")
        found.update(value % 7 if names is _DAYS else value for value in range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, name: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not text.isdigit():
        raise ValueError(f"failed to parse {name}: {text!r}")
    return int(text)
