"""A YAML file whose values know their lines, so that what is wrong in it is said with file, line and what comes nearest."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from navarch.apimachinery import yamlcodec

NEAREST_CUTOFF = 0.4
# A mapping inside another cannot be deeper than what the YAML reader lets pass; this only bounds the walk for lines.
DEPTH_LIMIT = 100

Place = tuple[str | int, ...]
"""Keys and indices from the top of the document."""


class ScenarioError(ValueError):
    """What a scenario says cannot be meant; the text begins with file and line."""


class Document:
    """One YAML document, and where in its file each value stands."""

    def __init__(self, text: str, file: str) -> None:
        """Raises ScenarioError for what is no YAML."""
        self.file = file
        try:
            self.value, repeated = yamlcodec.load(text)
            self._lines: dict[Place, int] = {}
            node = yaml.compose(text, Loader=yaml.CSafeLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error)
            raise ScenarioError(f"{file}:{mark.line + 1 if mark is not None else 1}: {problem}") from None
        if node is not None:
            self._locate(node, (), DEPTH_LIMIT)
        if repeated:
            line, _, problem = yamlcodec.repetitions(text)[0].removeprefix("line ").partition(": ")
            raise ScenarioError(f"{file}:{line}: {problem}")

    @classmethod
    def read(cls, path: Path) -> Document:
        """Raises ScenarioError, also for a file that cannot be read."""
        try:
            return cls(path.read_text(), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ScenarioError(f"{path}:1: cannot be read: {error}") from None

    def _locate(self, node: yaml.Node, place: Place, depth: int) -> None:
        self._lines[place] = node.start_mark.line + 1
        if depth == 0:
            return
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    self._locate(value, (*place, str(key.value)), depth - 1)
                    self._lines[*place, str(key.value)] = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._locate(item, (*place, index), depth - 1)

    def line(self, place: Place) -> int:
        """Of a value, or of the nearest thing around it that stands in the file."""
        while place not in self._lines and place:
            place = place[:-1]
        return self._lines.get(place, 1)

    def error(self, place: Place, message: str) -> ScenarioError:
        return ScenarioError(f"{self.file}:{self.line(place)}: {message}")

    def mapping(self, place: Place, value: Any, known: Iterable[str]) -> Mapping[str, Any]:
        """`value` as a mapping with no other keys than those. Raises ScenarioError."""
        if not isinstance(value, dict):
            shown = "the file is empty: it" if value is None and not place else _shown(value)
            raise self.error(place, f"{shown} should be a mapping")
        for key in value:
            if key not in known:
                raise self.error((*place, key), f"unknown field {key!r}{nearest(key, known)}")
        return value

    def items(self, place: Place, value: Any) -> Iterator[tuple[Place, Any]]:
        """What a list holds, with places; nothing where there is no list at all. Raises ScenarioError."""
        if value is None:
            return
        if not isinstance(value, list):
            raise self.error(place, f"{_shown(value)} should be a list")
        for index, item in enumerate(value):
            yield (*place, index), item


def nearest(word: str, known: Iterable[str]) -> str:
    """What may have been meant, as the end of a sentence; all there is where nothing comes near."""
    names = sorted(known)
    found = difflib.get_close_matches(word, names, 1, NEAREST_CUTOFF)
    if found:
        return f"; the nearest is {found[0]!r}"
    return f"; there are {', '.join(names)}" if names else "; there are none"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
