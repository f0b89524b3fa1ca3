"""The three lists of containers that a pod has."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.apimachinery.errors import Object

LISTS = ("initContainers", "containers", "ephemeralContainers")


def visit(spec: Object, path: str) -> Iterator[tuple[str, Object]]:
    """(path, container) of every container of a pod's spec."""
    for field in LISTS:
        containers = spec.get(field)
        if containers:
            for index, container in enumerate(containers):
                yield f"{path}.{field}[{index}]", container
