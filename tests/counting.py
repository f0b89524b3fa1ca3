"""Values that count how often they are compared: whether what is done grows faster than what it is done to, without a clock."""

from __future__ import annotations


class Counter:
    """Makes values that count together."""

    def __init__(self) -> None:
        self.comparisons = 0

    def number(self, value: int) -> int:
        return _Number(value, self)

    def text(self, value: str) -> str:
        return _Text(value, self)


class _Number(int):
    counter: Counter

    def __new__(cls, value: int, counter: Counter) -> _Number:
        made = super().__new__(cls, value)
        made.counter = counter
        return made

    def __eq__(self, other: object) -> bool:
        self.counter.comparisons += 1
        return int.__eq__(self, other)  # type: ignore[no-any-return, operator]

    __hash__ = int.__hash__


class _Text(str):
    counter: Counter

    def __new__(cls, value: str, counter: Counter) -> _Text:
        made = super().__new__(cls, value)
        made.counter = counter
        return made

    def __eq__(self, other: object) -> bool:
        self.counter.comparisons += 1
        return str.__eq__(self, other)  # type: ignore[no-any-return, operator]

    __hash__ = str.__hash__
