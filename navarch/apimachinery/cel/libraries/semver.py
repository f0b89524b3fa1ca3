"""Semantic versions (semver.org), compared by precedence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.declarations import Library, functions
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.values import UINT_MAX, Opaque

_PART = re.compile(r"[0-9A-Za-z-]+", re.ASCII)


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Semver(Opaque):
    """What is said of the build takes no part in comparing."""

    numbers: tuple[int, int, int]
    prerelease: tuple[str, ...] = ()
    cel_type = types.opaque("kubernetes.Semver")

    def _key(self) -> tuple[object, ...]:
        parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease)
        # A version comes after all that lead up to it.
        return self.numbers, not self.prerelease, parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self._key() == other._key()

    def __lt__(self, other: Semver) -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def parse(text: str, normalize: bool = False) -> Semver:
    """Normalizing drops a "v" before it and leading zeros, and adds the numbers that are left out. Raises EvaluationError."""
    if normalize:
        text = _normalized(text)
    if not text:
        raise EvaluationError("Version string empty")
    parts = text.split(".", 2)
    if len(parts) != 3:
        raise EvaluationError("No Major.Minor.Patch elements found")
    patch, plus, build = parts[2].partition("+")
    patch, dash, prerelease = patch.partition("-")
    numbers = tuple(_number(each, what) for each, what in zip((*parts[:2], patch), ("major", "minor", "patch"), strict=True))
    before = _parts(prerelease, "PreRelease") if dash else ()
    if plus:
        _parts(build, "Build meta data")
    return Semver((numbers[0], numbers[1], numbers[2]), before)


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()):
        if what == "patch" or not text:
            raise EvaluationError(f'Invalid character(s) found in {what} number "{text}"' if text else _empty_number())
        raise EvaluationError(f'Invalid character(s) found in {what} number "{text}"')
    if len(text) > 1 and text[0] == "0":
        raise EvaluationError(f'{what.capitalize()} number must not contain leading zeroes "{text}"')
    if len(text) > 20 or int(text) > UINT_MAX:
        raise EvaluationError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def _empty_number() -> str:
    return 'strconv.ParseUint: parsing "": invalid syntax'


def _parts(text: str, what: str) -> tuple[str, ...]:
    parts = tuple(text.split("."))
    for part in parts:
        if not part:
            raise EvaluationError("Prerelease is empty" if what == "PreRelease" else "Build meta data is empty")
        if not _PART.fullmatch(part):
            kind = "prerelease" if what == "PreRelease" else "build meta data"
            raise EvaluationError(f'Invalid character(s) found in {kind} "{part}"')
        if what == "PreRelease" and part.isdigit() and len(part) > 1 and part[0] == "0":
            raise EvaluationError(f'Numeric PreRelease version must not contain leading zeroes "{part}"')
    return parts


def _normalized(text: str) -> str:
    parts = text.removeprefix("v").split(".", 2)
    for index, part in enumerate(parts):
        if len(part) > 1:
            stripped = part.lstrip("0")
            parts[index] = stripped if stripped[:1].isdigit() else f"0{stripped}"
    if len(parts) < 3:
        if "+" in parts[-1] or "-" in parts[-1]:
            raise EvaluationError("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return ".".join(parts)


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        parse(text, normalize)
    except EvaluationError:
        return False
    return True


_S = "kubernetes.Semver"
LIBRARY = Library(
    "kubernetes.Semver",
    functions(
        {
            "semver": [
                ("string_to_semver", f"(string) -> {_S}", parse),
                ("string_bool_to_semver", f"(string, bool) -> {_S}", parse),
            ],
            "isSemver": [
                ("is_semver_string", "(string) -> bool", _is_semver),
                ("is_semver_string_bool", "(string, bool) -> bool", _is_semver),
            ],
            "isGreaterThan": [("semver_is_greater_than", f"{_S}.({_S}) -> bool", lambda a, b: a > b)],
            "isLessThan": [("semver_is_less_than", f"{_S}.({_S}) -> bool", lambda a, b: a < b)],
            "compareTo": [("semver_compare_to", f"{_S}.({_S}) -> int", lambda a, b: (a > b) - (a < b))],
            "major": [("semver_major", f"{_S}.() -> int", lambda value: value.numbers[0])],
            "minor": [("semver_minor", f"{_S}.() -> int", lambda value: value.numbers[1])],
            "patch": [("semver_patch", f"{_S}.() -> int", lambda value: value.numbers[2])],
        }
    ),
    types={_S: Semver.cel_type},
)
