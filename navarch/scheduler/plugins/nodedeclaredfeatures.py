"""NodeDeclaredFeatures: a pod that needs something new of its node goes where the node says that it has it (KEP-5328)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler.events import NODE, Action, EventHint, Hint, on
from navarch.scheduler.framework import SKIP, CycleState, Plugin, Rejection, Reuse, Status
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo

RESTART_ALL = "RestartAllContainersOnContainerExits"
USER_NAMESPACES_ON_HOST_NETWORK = "UserNamespacesHostNetworkSupport"
REASON = "node(s) didn't match Pod's required features"


def required_features(spec: Object) -> frozenset[str]:
    """What a node must declare to run such a pod."""
    found = set()
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    if any(rule.get("action") == "RestartAllContainers" for c in containers for rule in c.get("restartPolicyRules") or ()):
        found.add(RESTART_ALL)
    if spec.get("hostNetwork") and spec.get("hostUsers") is False:
        found.add(USER_NAMESPACES_ON_HOST_NETWORK)
    return frozenset(found)


def declared_features(node: Object) -> list[str]:
    return (node.get("status") or meta.EMPTY).get("declaredFeatures") or []


class NodeDeclaredFeatures(Plugin):
    name = "NodeDeclaredFeatures"

    def events_to_register(self) -> Sequence[EventHint]:
        # What the pod asks for cannot change.
        return (on(NODE, Action.ADD | Action.NODE_FEATURES, _declares_others),)

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NODE

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        required = required_features(pod.spec)
        if not required:
            return SKIP
        state.write(self.name, required)
        return None

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        required = state.read(self.name, frozenset)
        lacking = np.zeros(nodes.size, np.bool_)
        for position, info in nodes.infos():
            lacking[position] = not required.issubset(declared_features(info.node))
        yield Rejection(lacking, REASON, is_resolvable=False)


def _declares_others(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    is_other = new is not None and (old is None or declared_features(old) != declared_features(new))
    return Hint.QUEUE if is_other else Hint.SKIP
