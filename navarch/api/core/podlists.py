"""The three lists of containers that a pod has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.apimachinery.errors import Object

LISTS = ("initContainers", "containers", "ephemeralContainers")


def visit(spec: Mapping[str, Any], path: str) -> Iterator[tuple[str, Object]]:
    """(path, container) of every container of a pod's spec."""
    for field in LISTS:
        containers = spec.get(field)
        if containers:
            for index, container in enumerate(containers):
                yield f"{path}.{field}[{index}]", container
