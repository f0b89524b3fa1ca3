"""The namespaces and priority classes that every cluster has; made at the start and again if somebody removes them."""

from __future__ import annotations

from navarch.apimachinery.errors import Object, StatusError
from navarch.controllers.controller import Cluster, Controller

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
PRIORITY_CLASSES = {
    "system-cluster-critical": (
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    "system-node-critical": (2_000_001_000, "Used for system critical pods that must not be moved from their current node."),
}


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
    if name in PRIORITY_CLASSES:
        value, description = PRIORITY_CLASSES[name]
        priority_class = {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": description,
        }
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
    seeds=tuple(PRIORITY_CLASSES),
)
