"""One pod of each DaemonSet on every node that qualifies.

Pods are bound by the scheduler like all others: each is made for one node, by an affinity for that node's name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object
from navarch.apimachinery.selectors import Selector
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.controllers import daemonsetplan, history, podcontrol
from navarch.controllers import pods as podrules
from navarch.controllers.controller import Cluster, Controller, Watch, is_namespace_terminating
from navarch.controllers.daemonsetplan import Plan, new_pod, target_node

RESOURCE = "daemonsets.apps"
BURST = 250
BACKOFF_INITIAL_SECONDS = 1.0
BACKOFF_MAX_SECONDS = 900.0
BACKOFF_LIMIT = 4096


class Backoff:
    """How long to let failed pods of one node lie, so that a node that refuses a pod is not flooded with new ones."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[object, ...], tuple[float, float]] = OrderedDict()
        """What failed where -> (delay, when the last pod was replaced)."""

    def seconds_left(self, key: tuple[object, ...], now: float) -> float:
        """0 if a failed pod may be replaced now."""
        delay, since = self._failures.get(key, (0.0, now))
        return max(since + delay - now, 0.0)

    def count(self, key: tuple[object, ...], now: float) -> None:
        """One is replaced."""
        delay, since = self._failures.pop(key, (0.0, now))
        # A node that gave no trouble for long starts over.
        again = delay and now - since <= 2 * BACKOFF_MAX_SECONDS
        self._failures[key] = (min(delay * 2, BACKOFF_MAX_SECONDS) if again else BACKOFF_INITIAL_SECONDS, now)
        if len(self._failures) > BACKOFF_LIMIT:
            self._failures.popitem(last=False)


def selector_of(daemonset: Object) -> Selector:
    return selectors.from_label_selector(daemonset["spec"].get("selector"))


async def reconcile(daemonset: Object, cluster: Cluster) -> float | None:
    selector = selector_of(daemonset)
    if selector.is_everything:
        text = "This daemon set is selecting all pods. A non-empty selector is required."
        cluster.event(daemonset, "Warning", "SelectingAll", text)
        return None
    pods = await cluster.claim(daemonset, "pods", selector)
    if meta.being_deleted(daemonset):
        return None
    found = await history.sync(daemonset, RESOURCE, selector, cluster)
    if found is None or found.current is None:
        return None
    hashed = history.hash_of(found.current)
    nodes = cluster.informer("nodes").list()
    now = cluster.now()
    lying = _lying(daemonset, pods, cluster)
    todo = daemonsetplan.plan(daemonset, pods, nodes, hashed, now, lying)
    failure = await _carry_out(daemonset, todo, hashed, cluster)
    if failure is None:
        for item in daemonsetplan.outdated(daemonset, found, pods):
            await cluster.delete(history.RESOURCE, item)
    after = daemonsetplan.status(daemonset, pods, nodes, hashed, now)
    if after != daemonset.get("status"):
        await cluster.update_status(RESOURCE, {**daemonset, "status": after})
    if failure is not None:
        raise failure
    wait = min(lying.values(), default=None)
    return podrules.earliest(wait, podrules.next_availability(pods, daemonset["spec"].get("minReadySeconds") or 0, now))


def _backoff(cluster: Cluster) -> Backoff:
    found: Backoff = cluster.memory.setdefault("backoff", Backoff())
    return found


def _backoff_key(daemonset: Object, pod: Object) -> tuple[object, ...]:
    observed = (daemonset.get("status") or {}).get("observedGeneration", 0)
    return meta.uid(daemonset), observed, target_node(pod)


def _lying(daemonset: Object, pods: Sequence[Object], cluster: Cluster) -> dict[str, float]:
    """Failed pods whose back-off has not passed, by their uids: for how many seconds."""
    backoff, now = _backoff(cluster), clock.monotonic()
    failed = [pod for pod in pods if podrules.phase(pod) == "Failed" and not meta.being_deleted(pod)]
    left = {meta.uid(pod): backoff.seconds_left(_backoff_key(daemonset, pod), now) for pod in failed}
    return {uid: seconds for uid, seconds in left.items() if seconds}


async def _carry_out(daemonset: Object, todo: Plan, hashed: str, cluster: Cluster) -> Exception | None:
    """New pods first; returns what failed."""
    for pod in todo.finished:
        is_failed = podrules.phase(pod) == "Failed"
        if is_failed:
            _backoff(cluster).count(_backoff_key(daemonset, pod), clock.monotonic())
        type_, verb, wish = ("Warning", "failed", "kill") if is_failed else ("Normal", "succeeded", "delete")
        text = f"Found {verb} daemon pod {meta.key(pod)} on node {target_node(pod)}, will try to {wish} it"
        cluster.event(daemonset, type_, f"{verb.capitalize()}DaemonPod", text)
    pods = (new_pod(daemonset, name, hashed) for name in todo.create)
    _, not_made = await podcontrol.create(daemonset, pods, min(len(todo.create), BURST), cluster)
    not_deleted = await podcontrol.delete(daemonset, todo.delete[:BURST], cluster)
    return not_deleted if is_namespace_terminating(not_made) else not_made or not_deleted


def _of_node(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    if old is not None and new is not None and _facts(old) == _facts(new):
        return
    for daemonset in informers.get(RESOURCE).list():
        yield meta.key(daemonset)


def _facts(node: Object) -> tuple[object, ...]:
    return meta.labels(node), (node.get("spec") or {}).get("taints")


CONTROLLER = Controller(
    "daemonset-controller",
    RESOURCE,
    reconcile,
    owns=("pods", history.RESOURCE),
    selector=selector_of,
    watches=(Watch("nodes", _of_node),),
)
