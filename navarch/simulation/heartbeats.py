"""Heartbeats that nobody has to write: a shortcut of the simulation, which can be switched off (`Parts.written_heartbeats`).

A thousand nodes renew their leases 8.6 million times a day, and nothing comes of it. So here a node that is well renews its
Lease once when it begins to live; from then on the moment of its last renewal is known (`SimulatedNode.last_beat`). It is
written down when the renewals end (the node crashes, freezes or is cut off) and when a client reads leases. The controller that
looks after silent nodes, which reads them from its cache, is told of the renewal that would be there; it need not look again
and again at a node that is well, and is woken by the last renewal. Node statuses, which only repeat themselves every five
minutes, are not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.informer import Informers
from navarch.client.transport import JSON
from navarch.simulation.network import Line, plural_of
from navarch.simulation.node import LEASE_NAMESPACE, LEASES, MICRO_TIME, SimulatedNode

if TYPE_CHECKING:
    from navarch.controllers.controller import Cluster, Controller

NODE_CONTROLLER = "node-controller"
Nodes = Callable[[], Mapping[str, SimulatedNode]]


class ReadingLine(Line):
    """A way to the API server for whoever looks: before leases are read, they are as they would be."""

    nodes: Nodes

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = JSON
    ) -> Object:
        if method == "GET" and plural_of(path) == "leases":
            for node in list(self.nodes().values()):
                last = node.last_beat
                if last is not None:
                    await node.write_beat(last)
        return await super().request(method, path, query=query, body=body, content_type=content_type)


def adjusted(controller: Controller, nodes: Nodes) -> Controller:
    """The controller as it has to be where heartbeats are not written."""
    if controller.name != NODE_CONTROLLER:
        return controller
    from navarch.controllers.controller import Watch

    async def reconcile(node: Object, cluster: Cluster) -> float | None:
        simulated = nodes().get(meta.name(node))
        last = simulated.last_beat if simulated is not None else None
        if last is None:
            return await controller.reconcile(node, cluster)
        after_seconds = await controller.reconcile(node, _renewed(cluster, meta.name(node), last))
        return None if meta.is_condition_true(node, "Ready") else after_seconds

    return replace(controller, reconcile=reconcile, watches=(*controller.watches, Watch(LEASES, _node_of_lease)))


def _renewed(cluster: Cluster, name: str, last: float) -> Cluster:
    """What the controller sees of the cluster, with the Lease of one node as it would be."""
    from navarch.controllers.controller import Cluster

    class Renewed(Cluster):
        def cached(self, resource: str, name_: str, namespace: str = "") -> Object | None:
            found = super().cached(resource, name_, namespace)
            if found is None or (resource, name_) != (LEASES, name):
                return found
            return meta.set_path(found, datetime.fromtimestamp(last, UTC).strftime(MICRO_TIME), "spec", "renewTime")

    return Renewed(cluster._runner, cluster._writes)


def _node_of_lease(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    lease = new if new is not None else old
    if lease is not None and meta.namespace(lease) == LEASE_NAMESPACE:
        yield meta.name(lease)
