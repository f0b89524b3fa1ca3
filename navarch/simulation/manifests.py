"""What a test hands over as objects: a file, a directory, YAML, a dict, or many of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from navarch.apimachinery import yamlcodec
from navarch.apimachinery.errors import Object

Manifests = str | Path | Mapping[str, Any] | Iterable[Mapping[str, Any]]
SUFFIXES = (".yaml", ".yml", ".json")


def read(manifests: Manifests) -> Iterator[Object]:
    """The objects, in order; those of a List one by one. A string of one line is a path. Raises OSError, YAMLError."""
    if isinstance(manifests, Mapping):
        yield from _flat(dict(manifests))
    elif isinstance(manifests, Path) or (isinstance(manifests, str) and "\n" not in manifests):
        path = Path(manifests)
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.suffix in SUFFIXES or not path.is_dir():
                yield from _documents(file.read_text())
    elif isinstance(manifests, str):
        yield from _documents(manifests)
    else:
        for manifest in manifests:
            yield from _flat(dict(manifest))


def has_name(obj: Mapping[str, Any]) -> bool:
    """Whether an object is called something, without which it cannot be applied."""
    metadata = obj.get("metadata")
    return isinstance(metadata, Mapping) and isinstance(metadata.get("name"), str) and bool(metadata["name"])


def _documents(text: str) -> Iterator[Object]:
    lines: list[str] = []
    for line in [*text.splitlines(), "---"]:
        if line == "---" or line.startswith("--- "):
            document = yamlcodec.load("\n".join(lines))[0]
            lines = []
            if document is not None:
                yield from _flat(document)
        else:
            lines.append(line)


def _flat(obj: Object) -> Iterator[Object]:
    if str(obj.get("kind", "")).endswith("List") and isinstance(obj.get("items"), list):
        for item in obj["items"]:
            yield from _flat(item)
    else:
        yield obj
