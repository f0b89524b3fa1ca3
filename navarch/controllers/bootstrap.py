"""The namespaces and priority classes that every cluster has. The API server makes them; here they are made again."""

from __future__ import annotations

from navarch.api.core.namespace import SYSTEM_NAMESPACES
from navarch.api.scheduling.priorityclass import SYSTEM_CLASSES, system_class
from navarch.apimachinery.errors import Object, StatusError
from navarch.controllers.controller import Cluster, Controller


def _went(old: Object | None, new: Object | None) -> bool:
    return new is None


async def _nothing(obj: Object, cluster: Cluster) -> None:
    """What is there is left as it is."""


async def _create(cluster: Cluster, resource: str, obj: Object) -> None:
    try:
        await cluster.create(resource, obj)
    except StatusError as error:
        if not error.is_already_exists:
            raise


async def _make_namespace(name: str, cluster: Cluster) -> None:
    if name in SYSTEM_NAMESPACES:
        await _create(cluster, "namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


async def _make_priority_class(name: str, cluster: Cluster) -> None:
    if name in SYSTEM_CLASSES:
        priority_class = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", **system_class(name)}
        await _create(cluster, "priorityclasses.scheduling.k8s.io", priority_class)


NAMESPACES = Controller(
    "system-namespaces-controller", "namespaces", _nothing, gone=_make_namespace, relevant=_went, seeds=SYSTEM_NAMESPACES
)
PRIORITIES = Controller(
    "system-priorityclasses-controller",
    "priorityclasses.scheduling.k8s.io",
    _nothing,
    gone=_make_priority_class,
    relevant=_went,
    seeds=tuple(SYSTEM_CLASSES),
)
