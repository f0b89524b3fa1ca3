"""What differs between versions of an object, by paths; and changes taken back without touching what others changed since.

Dicts are compared key by key; anything else, lists included, is one value. What the server alone sets is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.apimachinery.errors import Object

Path = tuple[str, ...]
Values = dict[Path, Any]
"""What is at each path. An empty dict is a value."""

# Of the server, or of one life of an object: nothing that could be put back.
_OF_THE_SERVER = (
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "managedFields",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


def content(obj: Object) -> Object:
    """What of an object somebody has wanted: without its status, and what the server sets in its metadata."""
    metadata = {name: value for name, value in obj["metadata"].items() if name not in _OF_THE_SERVER}
    return {**{name: value for name, value in obj.items() if name != "status"}, "metadata": metadata}


def values(obj: Any, at: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(obj, Mapping) and obj:
        for name, value in obj.items():
            yield from values(value, (*at, name))
    else:
        yield at, obj


def changed(before: Object, after: Object) -> list[Path]:
    """Paths whose values differ, sorted."""
    old, new = dict(values(before)), dict(values(after))
    return sorted(path for path in old.keys() | new.keys() if _differ(old, new, path))


def _differ(old: Values, new: Values, path: Path) -> bool:
    if (path in old) != (path in new):
        # A dict that has got its first key is not changed beside that key.
        value = old[path] if path in old else new[path]
        other = new if path in old else old
        return not (value == {} and any(found[: len(path)] == path for found in other))
    return bool(old[path] != new[path])


def overlap(one: list[Path], other: list[Path]) -> list[Path]:
    """Paths of `one` that are, are above or are below a path of the other."""
    return [path for path in one if any(path[: len(found)] == found[: len(path)] for found in other)]


def taken_back(now: Object, before: Object, paths: list[Path]) -> Object:
    """`now`, with what is at each path as it was `before`."""
    result = now
    for path in paths:
        result = _with(result, before, path)
    return result


def _with(now: Object, before: Any, path: Path) -> Object:
    name, rest = path[0], path[1:]
    copy = dict(now)
    had = isinstance(before, Mapping) and name in before
    if rest and isinstance(copy.get(name, {}), Mapping):
        child = _with(copy.get(name) or {}, before[name] if had else {}, rest)
        if child or had:
            copy[name] = child
        else:
            copy.pop(name, None)
    elif had:
        copy[name] = before[name]
    else:
        copy.pop(name, None)
    return copy


def in_short(paths: list[Path], limit: int = 60) -> str:
    """A line that names the paths, or as many as fit."""
    text = ""
    for count, path in enumerate(paths):
        name = ".".join(path)
        if text and len(text) + len(name) + 2 > limit:
            return f"{text} and {len(paths) - count} more"
        text += f", {name}" if text else name
    return text
