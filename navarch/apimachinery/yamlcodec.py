"""YAML as Kubernetes reads it (sigs.k8s.io/yaml over go-yaml v2): YAML 1.1 booleans, no dates, string keys, no duplicate keys.

Strings like ``yes`` and ``on`` are booleans only where go-yaml says so; timestamps stay strings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from typing import Any

import yaml

from navarch.apimachinery.unmarshal import NESTING_LIMIT

YAMLError = yaml.YAMLError
NODES_LIMIT = 1_000_000
ALIASED_LIMIT = 10_000
ALIASED_FACTOR = 10
MERGED_LIMIT = 100_000
# Block collections nest by indentation; a text in UTF-16 cannot be judged by its bytes.
_INDENTED = re.compile(rf"^[ \t?:-]{{{NESTING_LIMIT}}}|\0", re.MULTILINE)


class _Loader(yaml.CSafeLoader):
    """Maps have string keys, which stay apart however Python compares what they were."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        self.flatten_mapping(node)
        return {
            _key(self.construct_object(key, deep=True)): self.construct_object(value, deep=deep) for key, value in node.value
        }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        own = len(node.value)
        super().flatten_mapping(node)
        if len(node.value) > max(own, MERGED_LIMIT):
            raise yaml.YAMLError("yaml: document contains excessive aliasing")


class _Dumper(yaml.CSafeDumper):
    """Quotes what `_Loader` or any YAML 1.1 reader would take for something else than a string."""


# What PyYAML resolves differently from go-yaml: no timestamps, no sexagesimal numbers.
_REPLACED = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|(0|[1-9][0-9_]*))\Z"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z"),
    list("-+0123456789."),
)


def _finite(loader: _Loader, node: yaml.ScalarNode) -> float:
    """JSON has no words for the others."""
    value = loader.construct_yaml_float(node)
    if not math.isfinite(value):
        shown = "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
        raise yaml.YAMLError(f"json: unsupported value: {shown}")
    return float(value)


_Loader.add_constructor("tag:yaml.org,2002:float", _finite)

_Dumper.yaml_implicit_resolvers = {
    first: [*yaml.CSafeDumper.yaml_implicit_resolvers.get(first, ()), *_Loader.yaml_implicit_resolvers.get(first, ())]
    for first in {*yaml.CSafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}


def load(text: bytes | str, *, first: bool = False) -> tuple[Any, list[str]]:
    """One document as plain data, and its duplicate keys. Raises YAMLError, for a second one too unless the `first` will do."""
    _refuse_deep(text)
    loader = _Loader(text)
    try:
        node = _first(loader) if first else loader.get_single_node()
        repeated: list[tuple[str, int]] = []
        if node is None:
            return None, []
        seen: set[int] = set()
        _find_repeated(node, repeated, seen)
        value = _Expansion(len(seen)).of(loader.construct_document(node), NESTING_LIMIT)
        return value, [key for key, _ in repeated]
    except (ValueError, OverflowError) as error:
        # A scalar that looks like a number, but is none.
        raise yaml.YAMLError(str(error)) from None
    finally:
        loader.dispose()


def repetitions(text: bytes | str) -> list[str]:
    """What go-yaml says of the duplicate keys of a document that `load` has read."""
    repeated: list[tuple[str, int]] = []
    loader = _Loader(text)
    try:
        node = _first(loader)
    finally:
        loader.dispose()
    if node is not None:
        _find_repeated(node, repeated, set())
    return [f'line {line}: key "{key}" already set in map' for key, line in repeated]


def told(error: YAMLError) -> str:
    """What go-yaml says of it, whose parser is libyaml's too."""
    if isinstance(error, yaml.reader.ReaderError):
        return f"yaml: {error.reason}"
    if not isinstance(error, yaml.error.MarkedYAMLError):
        return str(error)
    line = error.problem_mark.line if error.problem_mark is not None else 0
    if line:
        # Its scanner has not yet counted the line it is at.
        line += isinstance(error, yaml.scanner.ScannerError)
    elif error.context_mark is not None:
        line = error.context_mark.line
    return f"yaml: line {line}: {error.problem}" if line else f"yaml: {error.problem}"


def _first(loader: _Loader) -> yaml.Node | None:
    return loader.get_node() if loader.check_node() else None


def _refuse_deep(text: bytes | str) -> None:
    """PyYAML's composer is recursive in C, where too deep a document ends the process: its events are looked at before."""
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if plain.count("[") + plain.count("{") < NESTING_LIMIT and not _INDENTED.search(plain):
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > NESTING_LIMIT:
                raise yaml.YAMLError("exceeded max depth")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _find_repeated(node: yaml.Node, found: list[tuple[str, int]], seen: set[int]) -> None:
    """Keys that a map has already, and the lines of their values."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if len(seen) > NODES_LIMIT:
        raise yaml.YAMLError("document is too large")
    if isinstance(node, yaml.MappingNode):
        keys: set[Any] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    found.append((key.value, value.start_mark.line + 1))
                keys.add(key.value)
            _find_repeated(value, found, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _find_repeated(item, found, seen)


class _Expansion:
    """Plain data without sharing, unless aliases make it far larger than the document is."""

    def __init__(self, nodes: int) -> None:
        self._left = ALIASED_LIMIT + ALIASED_FACTOR * nodes

    def of(self, value: Any, levels: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise yaml.YAMLError("yaml: document contains excessive aliasing")
        if not isinstance(value, dict | list):
            return value
        if levels <= 0:
            raise yaml.YAMLError("exceeded max depth")
        if isinstance(value, dict):
            return {key: self.of(item, levels - 1) for key, item in value.items()}
        return [self.of(item, levels - 1) for item in value]


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, dict | list):
        raise yaml.YAMLError("yaml: invalid map key")
    return "null" if key is None else str(key)


def dump(value: Any) -> bytes:
    """Plain data as YAML."""
    text: bytes = yaml.dump(value, Dumper=_Dumper, encoding="utf-8", allow_unicode=True, sort_keys=False)
    return text
