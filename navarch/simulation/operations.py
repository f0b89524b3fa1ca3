"""What people do to a cluster: the actions of a scenario that are no faults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.component import clock
from navarch.simulation import arguments
from navarch.simulation.action import Action, ActionError
from navarch.simulation.arguments import argument
from navarch.simulation.document import nearest
from navarch.simulation.stage import Stage

EVICTION_RETRY_SECONDS = 5.0
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
MIRROR = "kubernetes.io/config.mirror"


@dataclass(frozen=True)
class Apply(Action):
    """Apply an object (server-side)."""

    name: ClassVar[str] = "apply"
    object: Mapping[str, Any] = argument(arguments.mapping)
    namespace: str = argument(arguments.text, "")

    async def begin(self, stage: Stage) -> None:
        await stage.apply(dict(self.object), self.namespace)

    def __str__(self) -> str:
        return f"apply {self.object.get('kind')}/{meta.get_path(self.object, 'metadata', 'name')}"


@dataclass(frozen=True)
class Delete(Action):
    """Begin to delete an object."""

    name: ClassVar[str] = "delete"
    object: str = argument(arguments.object_name)
    namespace: str = argument(arguments.text, "")
    grace_seconds: int | None = argument(arguments.integer, None)
    propagation: str = argument(arguments.one_of("Background", "Foreground", "Orphan"), "")

    async def begin(self, stage: Stage) -> None:
        await stage.delete(
            self.object, self.namespace, grace_period_seconds=self.grace_seconds, propagation_policy=self.propagation
        )


@dataclass(frozen=True)
class DeletePods(Action):
    """Delete some of the pods that a selector chooses, drawn by chance."""

    name: ClassVar[str] = "delete-pods"
    selector: str = argument(arguments.selector)
    count: int = argument(arguments.integer, 1)
    namespace: str = argument(arguments.text, "")
    grace_seconds: int | None = argument(arguments.integer, None)

    async def begin(self, stage: Stage) -> None:
        found = await stage.pods(self.selector, self.namespace)
        for pod in stage.chance.sample(found, min(self.count, len(found))):
            await stage.client.delete_if_exists(
                "pods", meta.name(pod), meta.namespace(pod), uid=meta.uid(pod), grace_period_seconds=self.grace_seconds
            )


@dataclass(frozen=True)
class Scale(Action):
    """Set the replicas of a workload."""

    name: ClassVar[str] = "scale"
    object: str = argument(arguments.object_name)
    replicas: int = argument(arguments.integer)
    namespace: str = argument(arguments.text, "")

    async def begin(self, stage: Stage) -> None:
        await stage.patch(self.object, self.namespace, {"spec": {"replicas": self.replicas}}, subresource="scale")


@dataclass(frozen=True)
class Patch(Action):
    """Patch an object."""

    name: ClassVar[str] = "patch"
    object: str = argument(arguments.object_name)
    patch: Mapping[str, Any] = argument(arguments.mapping)
    namespace: str = argument(arguments.text, "")
    type: str = argument(arguments.one_of("merge", "strategic"), "merge")
    subresource: str = argument(arguments.text, "")

    async def begin(self, stage: Stage) -> None:
        await stage.patch(self.object, self.namespace, self.patch, type_=self.type, subresource=self.subresource)


@dataclass(frozen=True)
class Restart(Action):
    """Replace all pods of a workload, as `kubectl rollout restart` does."""

    name: ClassVar[str] = "restart"
    object: str = argument(arguments.object_name)
    namespace: str = argument(arguments.text, "")

    async def begin(self, stage: Stage) -> None:
        annotations = {RESTARTED_AT: clock.timestamp()}
        await stage.patch(
            self.object, self.namespace, {"spec": {"template": {"metadata": {"annotations": annotations}}}}, type_="strategic"
        )


@dataclass(frozen=True)
class SetImage(Action):
    """Give a container of a workload's template another image, as `kubectl set image` does."""

    name: ClassVar[str] = "set-image"
    object: str = argument(arguments.object_name)
    image: str = argument(arguments.text)
    container: str = argument(arguments.text, "")
    namespace: str = argument(arguments.text, "")

    async def begin(self, stage: Stage) -> None:
        found = await stage.find(self.object, self.namespace)
        containers = meta.get_path(found, "spec", "template", "spec", "containers") if found is not None else None
        if not containers:
            raise ActionError(f"{self.object} is not there, or has no containers")
        there = [container["name"] for container in containers]
        if self.container and self.container not in there:
            raise ActionError(f"{self.object} has no container {self.container!r}{nearest(self.container, there)}")
        patch = {"spec": {"template": {"spec": {"containers": [{"name": self.container or there[0], "image": self.image}]}}}}
        await stage.patch(self.object, self.namespace, patch, type_="strategic")


@dataclass(frozen=True)
class Cordon(Action):
    """Let no more pods be scheduled to nodes."""

    name: ClassVar[str] = "cordon"
    node: str = argument(arguments.node_target)

    async def begin(self, stage: Stage) -> None:
        for node in stage.nodes(self.node):
            await stage.client.patch("nodes", node.name, {"spec": {"unschedulable": True}})


@dataclass(frozen=True)
class Uncordon(Action):
    """Let pods be scheduled to nodes again."""

    name: ClassVar[str] = "uncordon"
    node: str = argument(arguments.node_target)

    async def begin(self, stage: Stage) -> None:
        for node in stage.nodes(self.node):
            await stage.client.patch("nodes", node.name, {"spec": {"unschedulable": None}})


@dataclass(frozen=True)
class Drain(Action):
    """Cordon nodes and evict their pods, but those of DaemonSets, as `kubectl drain` does; again where a budget refuses."""

    name: ClassVar[str] = "drain"
    node: str = argument(arguments.node_target)
    timeout_seconds: float = argument(arguments.duration, 600.0, key="timeout")

    async def begin(self, stage: Stage) -> None:
        await Cordon(self.node).begin(stage)
        deadline = clock.monotonic() + self.timeout_seconds
        for node in stage.nodes(self.node):
            while clock.monotonic() < deadline:
                left = [pod async for pod in _evictable(stage, node.name)]
                if not left:
                    break
                for pod in left:
                    await _evict(stage, pod)
                await clock.sleep(EVICTION_RETRY_SECONDS)


async def _evictable(stage: Stage, node: str) -> AsyncIterator[Object]:
    answer = await stage.client.list("pods", field_selector=f"spec.nodeName={node}")
    for pod in answer["items"]:
        owner = meta.controller_of(pod)
        if (owner is None or owner["kind"] != "DaemonSet") and MIRROR not in meta.annotations(pod):
            yield pod


async def _evict(stage: Stage, pod: Object) -> None:
    if meta.being_deleted(pod):
        return
    metadata = {"name": meta.name(pod), "namespace": meta.namespace(pod)}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    try:
        await stage.client.create("pods", eviction, meta.namespace(pod), name=meta.name(pod), subresource="eviction")
    except StatusError as error:
        # A budget that has nothing left answers 429; the pod may have gone.
        if error.code not in (404, 409, 429):
            raise


@dataclass(frozen=True)
class AddNodes(Action):
    """Let new nodes join."""

    name: ClassVar[str] = "add-nodes"
    count: int = argument(arguments.integer, 1)
    labels: Mapping[str, str] = argument(arguments.labels, None)
    capacity: Mapping[str, str] = argument(arguments.labels, None)

    async def begin(self, stage: Stage) -> None:
        options: dict[str, Any] = {"labels": self.labels}
        if self.capacity:
            options["capacity"] = self.capacity
        await stage.cluster.add_nodes(self.count, **options)


@dataclass(frozen=True)
class RemoveNode(Action):
    """Take nodes away for good: they crash, and their Node objects are deleted."""

    name: ClassVar[str] = "remove-node"
    node: str = argument(arguments.node_target)

    async def begin(self, stage: Stage) -> None:
        for node in stage.nodes(self.node):
            await stage.cluster.remove_node(node.name)
