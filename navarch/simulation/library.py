"""navarch's own scenarios, by name: what a control plane has to stand, with what is expected of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from navarch.simulation.document import ScenarioError, nearest

DIRECTORY = Path(__file__).parent / "scenarios"
SUFFIX = ".yaml"


@dataclass(frozen=True)
class Entry:
    """One of them."""

    name: str
    path: Path
    about: str
    """Its first comment, on one line."""


@cache
def entries() -> tuple[Entry, ...]:
    """All of them, in the order of their names."""
    return tuple(Entry(path.stem, path, _about(path)) for path in sorted(DIRECTORY.glob(f"*{SUFFIX}")))


def find(name: str) -> Path:
    """The file of a scenario that is called so here, or is a file itself. Raises ScenarioError."""
    named = {entry.name: entry.path for entry in entries()}
    path = Path(name)
    # What looks like a name means one of ours, unless there is such a file.
    if name in named and not path.exists():
        return named[name]
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    raise ScenarioError(f"there is no file {name!r}, and no scenario is called so{nearest(name, named)}")


def _about(path: Path) -> str:
    words = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words.append(line.removeprefix("#").strip())
    return " ".join(words)
