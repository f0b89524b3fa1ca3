"""YAML as Kubernetes reads it (sigs.k8s.io/yaml over go-yaml v2): YAML 1.1 booleans, no dates, string keys, no duplicate keys.

Strings like ``yes`` and ``on`` are booleans only where go-yaml says so; timestamps stay strings.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

YAMLError = yaml.YAMLError
NODES_LIMIT = 1_000_000


class _Loader(yaml.CSafeLoader):
    pass


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


def load(text: bytes | str) -> tuple[Any, list[str]]:
    """One document as plain data, and its duplicate keys. Raises YAMLError."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        duplicates: list[str] = []
        if node is None:
            return None, duplicates
        _find_duplicates(node, duplicates, set())
        return _with_string_keys(loader.construct_document(node)), duplicates
    finally:
        loader.dispose()


def _find_duplicates(node: yaml.Node, found: list[str], seen: set[int]) -> None:
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
                    found.append(key.value)
                keys.add(key.value)
            _find_duplicates(value, found, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _find_duplicates(item, found, seen)


def _with_string_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _with_string_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_string_keys(item) for item in value]
    return value


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def dump(value: Any) -> bytes:
    """Plain data as YAML."""
    text: bytes = yaml.dump(value, Dumper=yaml.CSafeDumper, encoding="utf-8", allow_unicode=True, sort_keys=False)
    return text
