"""Evict pods from nodes with NoExecute taints that they do not tolerate, or tolerate only for a while."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from navarch.api.core.nodeselector import tolerates
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.controllers import pods as podrules
from navarch.controllers.controller import BY_NODE, Cluster, Controller, Watch, node_name

EVICTION = "TaintManagerEviction"
MESSAGE = "Taint manager: deleting due to NoExecute taint"


def no_execute(node: Object | None) -> list[Object]:
    return [taint for taint in ((node or {}).get("spec") or {}).get("taints") or () if taint.get("effect") == "NoExecute"]


def bound_at(pod: Object) -> datetime:
    """Since when the pod is its node's, as far as it is told."""
    scheduled = meta.condition(pod, "PodScheduled") or meta.EMPTY
    if scheduled.get("status") == "True" and scheduled.get("lastTransitionTime"):
        return max(meta.parse_time(scheduled["lastTransitionTime"]), podrules.created(pod))
    return podrules.created(pod)


def eviction_time(pod: Object, taints: Sequence[Object], now: datetime) -> datetime | None:
    """When the pod has to go; None if it may stay. Of several tolerations of a taint the first counts."""
    deadlines = []
    since = bound_at(pod)
    for taint in taints:
        toleration = next((item for item in pod["spec"].get("tolerations") or () if tolerates(item, taint)), None)
        if toleration is None:
            return now
        seconds = toleration.get("tolerationSeconds")
        if seconds is not None:
            added = meta.parse_time(taint["timeAdded"]) if taint.get("timeAdded") else since
            deadlines.append(max(added, since) + timedelta(seconds=max(seconds, 0)))
    return min(deadlines, default=None)


class TaintEviction:
    """Remembers which pods it means to evict."""

    def __init__(self) -> None:
        self._meant: dict[str, Object] = {}
        """By key: as much of the pod as it takes to tell of it."""

    def relevant(self, old: Object | None, new: Object | None) -> bool:
        """Only a pod's arrival on a node, or a change of its tolerations, makes a difference here; or that it has gone."""
        if new is None:
            return old is not None and meta.key(old) in self._meant
        return bool(podrules.node_name(new)) and (old is None or old["spec"] != new["spec"])

    async def reconcile(self, pod: Object, cluster: Cluster) -> float | None:
        if meta.being_deleted(pod):
            self._meant.pop(meta.key(pod), None)
            return None
        taints, now = no_execute(cluster.cached("nodes", podrules.node_name(pod))), clock.now()
        due = eviction_time(pod, taints, now)
        if due is None:
            self._cancel(meta.key(pod), cluster)
            return None
        if due > now:
            self._meant[meta.key(pod)] = {"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"]}
            return (due - now).total_seconds()
        self._meant.pop(meta.key(pod), None)
        cluster.event(pod, "Normal", EVICTION, f"Marking for deletion Pod {meta.key(pod)}")
        condition = podrules.disruption_target(pod, "DeletionByTaintManager", MESSAGE, now)
        patch = {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [condition]}}
        try:
            await cluster.patch("pods", pod, patch, patch_type="strategic", subresource="status")
        except StatusError as error:
            if error.is_not_found or error.is_conflict:
                return None
            raise
        await cluster.delete("pods", pod)
        return None

    async def gone(self, key: str, cluster: Cluster) -> None:
        self._cancel(key, cluster)

    def _cancel(self, key: str, cluster: Cluster) -> None:
        pod = self._meant.pop(key, None)
        if pod is not None:
            cluster.event(pod, "Normal", EVICTION, f"Cancelling deletion of Pod {key}")


def _pods_of_node(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    if new is None or no_execute(old) == no_execute(new):
        return
    for pod in informers.get("pods").by_index(BY_NODE, meta.name(new)):
        yield meta.key(pod)


def controller() -> Controller:
    eviction = TaintEviction()
    return Controller(
        "taint-eviction-controller",
        "pods",
        eviction.reconcile,
        gone=eviction.gone,
        relevant=eviction.relevant,
        indexers={BY_NODE: node_name},
        watches=(Watch("nodes", _pods_of_node),),
    )
