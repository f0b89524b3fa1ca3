"""Labels of nodes: where they are; and those that have other names by now, with what is said where they are used
(pkg/api/node/util.go)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from navarch.apimachinery import names
from navarch.apimachinery.errors import Object

TOPOLOGY = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
"""Pods that are bound to a node get these labels of it (KEP-4742)."""

_RENAMED = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
DEPRECATED = {key: f'deprecated since {since}; use "{now}" instead' for key, (since, now) in _RENAMED.items()}


def topology(labels: Mapping[str, str]) -> dict[str, str]:
    """Those that tell where a node is."""
    return {key: labels[key] for key in TOPOLOGY if key in labels}


def keys(labels: Iterable[str]) -> list[str]:
    """Those of the labels that are deprecated, in order."""
    return sorted(DEPRECATED.keys() & set(labels))


def expression_warnings(expressions: Iterable[Object], path: str, *, with_values: bool = False) -> Iterator[str]:
    """Of requirements on labels; `with_values`: also of values that no label has."""
    for index, expression in enumerate(expressions):
        key = expression.get("key", "")
        if key in DEPRECATED:
            yield f"{path}[{index}].key: {key} is {DEPRECATED[key]}"
        for position, value in enumerate(expression.get("values") or ()) if with_values else ():
            for problem in names.label_value(value):
                yield f"{path}[{index}].values[{position}]: {value} is invalid, {problem}"


def selector_warnings(selector: Mapping[str, Object] | None, path: str) -> Iterator[str]:
    """Of a LabelSelector of nodes."""
    if selector:
        yield from expression_warnings(selector.get("matchExpressions") or (), f"{path}.matchExpressions")  # type: ignore[arg-type]
        for key in keys(selector.get("matchLabels") or ()):
            yield f"{path}.matchLabels.{key}: {DEPRECATED[key]}"
