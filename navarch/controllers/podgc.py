"""Remove pods that nobody else will: of nodes that are gone, deleted before they had a node, finished and too many."""

from __future__ import annotations

from collections.abc import Iterable

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.controllers import nodelifecycle
from navarch.controllers import pods as podrules
from navarch.controllers.config import ControllerConfig
from navarch.controllers.controller import BY_NODE, Cluster, Controller, Watch, node_name

QUARANTINE_SECONDS = 40.0
"""How long a node may be missing before its pods count as lost."""
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
FINISHED = "finished"
EVICTED = "Evicted"


def _finished(pod: Object) -> Iterable[str]:
    return (FINISHED,) if podrules.is_finished(pod) else ()


class PodGC:
    """Remembers since when nodes are missing."""

    def __init__(self, config: ControllerConfig) -> None:
        self._threshold = config.terminated_pod_threshold
        self._missing: dict[str, float] = {}

    async def reconcile(self, pod: Object, cluster: Cluster) -> float | None:
        name = podrules.node_name(pod)
        node = cluster.cached("nodes", name) if name else None
        if node is not None:
            self._missing.pop(name, None)
        if not name:
            if meta.being_deleted(pod):
                await self._remove(pod, cluster, "")
        elif node is None:
            return await self._of_missing_node(pod, name, cluster)
        elif meta.being_deleted(pod) and _is_out_of_service(node):
            await self._remove(pod, cluster, "")
        if podrules.is_finished(pod) and not meta.being_deleted(pod):
            await self._too_many(cluster)
        return None

    async def _of_missing_node(self, pod: Object, name: str, cluster: Cluster) -> float | None:
        now = clock.monotonic()
        since = self._missing.setdefault(name, now)
        if now - since < QUARANTINE_SECONDS:
            return QUARANTINE_SECONDS - (now - since) + 0.1
        try:
            await cluster.client.get("nodes", name)
        except StatusError as error:
            if not error.is_not_found:
                raise
            await self._remove(pod, cluster, "PodGC: node no longer exists")
        return None

    async def _too_many(self, cluster: Cluster) -> None:
        finished = cluster.informer("pods").by_index(FINISHED, FINISHED)
        surplus = len(finished) - self._threshold
        if self._threshold > 0 and surplus > 0:
            for pod in sorted(finished, key=_removal_order)[:surplus]:
                if not meta.being_deleted(pod):
                    await self._remove(pod, cluster, "")

    async def _remove(self, pod: Object, cluster: Cluster, message: str) -> None:
        if not podrules.is_finished(pod):
            status: Object = {"phase": "Failed"}
            if message:
                reason = podrules.disruption_target(pod, "DeletionByPodGC", message, clock.now())
                status["conditions"] = [reason]
            patch = {"metadata": {"uid": meta.uid(pod)}, "status": status}
            try:
                await cluster.patch("pods", pod, patch, patch_type="strategic", subresource="status")
            except StatusError as error:
                if error.is_not_found or error.is_conflict or error.is_invalid:
                    return
                raise
        await cluster.delete("pods", pod, grace_period_seconds=0)


def _removal_order(pod: Object) -> tuple[object, ...]:
    """Evicted ones first: of the others their controllers may have something to learn yet."""
    is_evicted = (pod.get("status") or meta.EMPTY).get("reason") == EVICTED and podrules.phase(pod) == "Failed"
    return not is_evicted, podrules.created(pod), meta.name(pod)


def _is_out_of_service(node: Object) -> bool:
    taints = (node.get("spec") or {}).get("taints") or ()
    return nodelifecycle.readiness(node) != "True" and any(taint["key"] == OUT_OF_SERVICE for taint in taints)


def _relevant(old: Object | None, new: Object | None) -> bool:
    if new is None:
        return False
    if old is None:
        return True
    return (
        meta.being_deleted(old) != meta.being_deleted(new)
        or podrules.is_finished(old) != podrules.is_finished(new)
        or podrules.node_name(old) != podrules.node_name(new)
    )


def _pods_of_node(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    node = new if new is not None else old
    assert node is not None
    if new is None or _is_out_of_service(new):
        for pod in informers.get("pods").by_index(BY_NODE, meta.name(node)):
            yield meta.key(pod)


def controller(config: ControllerConfig) -> Controller:
    """The controller, keeping as many finished pods as `config` says."""
    return Controller(
        "pod-garbage-collector",
        "pods",
        PodGC(config).reconcile,
        relevant=_relevant,
        indexers={BY_NODE: node_name, FINISHED: _finished},
        watches=(Watch("nodes", _pods_of_node),),
    )
