"""Heartbeats that nobody has to write: a shortcut of the simulation, which can be switched off (`Parts.written_heartbeats`).

A thousand nodes renew their leases 8.6 million times a day, and nothing comes of it. So here a node that is well renews its
Lease once when it begins to live; from then on the moment of its last renewal is known (`SimulatedNode.last_beat`). It is
written down when the renewals end (the node crashes, freezes or is cut off) and when a client reads leases. The controller that
looks after silent nodes is told when it would have heard of each; it need not look again and again at a node that is well, and
is woken by the last renewal. Node statuses, which only repeat themselves every five minutes, are not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.informer import Informers
from navarch.client.transport import JSON
from navarch.component import clock
from navarch.simulation.network import Line, plural_of
from navarch.simulation.node import LEASE_NAMESPACE, LEASES, SimulatedNode

if TYPE_CHECKING:
    from navarch.controllers.config import ControllerConfig
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
                if node.is_beating:
                    await node.write_beat()
        return await super().request(method, path, query=query, body=body, content_type=content_type)


def adjusted(controller: Controller, config: ControllerConfig, nodes: Nodes) -> Controller:
    """The controller as it has to be where heartbeats are not written."""
    if controller.name != NODE_CONTROLLER:
        return controller
    from navarch.controllers import nodelifecycle
    from navarch.controllers.controller import Watch

    class Known(nodelifecycle.SignsOfLife):
        def lease_changed(self, old: Object | None, new: Object | None) -> None:
            # A Lease that tells of the last renewal is written later, and no sign of its own.
            if new is not None and meta.name(new) not in nodes():
                super().lease_changed(old, new)

        def last(self, name: str) -> datetime:
            node, noticed = nodes().get(name), super().last(name)
            beat = node.last_beat if node is not None else None
            if beat is None:
                return noticed
            return max(noticed, clock.now() - timedelta(seconds=clock.monotonic() - beat))

    found = nodelifecycle.controller(config, Known())

    async def reconcile(node: Object, cluster: Cluster) -> float | None:
        after_seconds = await found.reconcile(node, cluster)
        simulated = nodes().get(meta.name(node))
        is_well = simulated is not None and simulated.is_beating and meta.is_condition_true(node, "Ready")
        return None if is_well else after_seconds

    return replace(found, reconcile=reconcile, watches=(*found.watches, Watch(LEASES, _node_of_lease)))


def _node_of_lease(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    lease = new if new is not None else old
    if lease is not None and meta.namespace(lease) == LEASE_NAMESPACE:
        yield meta.name(lease)
