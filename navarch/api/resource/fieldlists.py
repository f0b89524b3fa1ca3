"""Lists and maps whose entries are checked one by one, as long as there are not too many of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

from navarch.apimachinery.errors import FieldError, duplicate, too_many

Check = Callable[[Any, str], Iterable[FieldError]]
"""(value, path) -> what is wrong with it."""
KEY_SHOWN_AT_LEAST = 16
_ELLIPSIS = "..."


def itself(item: Any) -> Any:
    return item


def each(items: Sequence[Any], limit: int | None, check: Check, path: str) -> Iterable[FieldError]:
    """Every item of a list. A list that is too long is not looked into."""
    if limit is not None and len(items) > limit:
        yield too_many(path, len(items), limit)
        return
    for index, item in enumerate(items):
        yield from check(item, f"{path}[{index}]")


def each_once(
    items: Sequence[Any], limit: int | None, check: Check, path: str, key: Callable[[Any], Hashable] = itself
) -> Iterable[FieldError]:
    """Every item of a list in which no key comes twice; what comes again is told after what is wrong with the items."""
    yield from each(items, limit, check, path)
    if limit is None or len(items) <= limit:
        yield from repeated(items, path, key)


def repeated(items: Iterable[Any], path: str, key: Callable[[Any], Hashable] = itself) -> Iterable[FieldError]:
    """Items whose key has been there before."""
    seen: set[Hashable] = set()
    for index, item in enumerate(items):
        found = key(item)
        if found in seen:
            yield duplicate(f"{path}[{index}]", found)
        seen.add(found)


def each_entry(
    entries: Mapping[str, Any], limit: int | None, key_characters: int, check_key: Check, check: Check, path: str
) -> Iterable[FieldError]:
    """Keys, told at the map's own path, and values of a map. Of keys longer than `key_characters`, paths have no middle."""
    if limit is not None and len(entries) > limit:
        yield too_many(path, len(entries), limit)
        return
    for key, value in sorted(entries.items()):
        yield from check_key(key, path)
        yield from check(value, f"{path}[{shortened(key, key_characters)}]")


def shortened(text: str, limit: int) -> str:
    limit = max(limit, KEY_SHOWN_AT_LEAST)
    if len(text) <= limit:
        return text
    remaining = limit - len(_ELLIPSIS)
    return text[: (remaining + 1) // 2] + _ELLIPSIS + text[len(text) - remaining // 2 :]


def anything(value: Any, path: str) -> Collection[FieldError]:
    """The check of what needs none."""
    return ()
