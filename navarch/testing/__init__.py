"""A real cluster in a test: API server, controllers, scheduler and pretended nodes in one process, on time that can be skipped.

    from navarch.testing import Cluster

    with Cluster(nodes=3) as cluster:
        cluster.apply("deployment.yaml")
        cluster.wait("deployment/web", "Available")
        cluster.nodes["node-3"].crash()
        cluster.advance(minutes=10)
        assert len(cluster.pods("app=web", ready=True)) == 3

The pytest fixture `navarch` is such a cluster. Everything here is synchronous: time passes, and anything happens, only while a
method runs. With ``http=True`` the cluster lives in a thread of its own, in real time unless it is told otherwise, and clients
outside reach it by `url` and `kubeconfig`.
"""

from __future__ import annotations

from navarch.apimachinery.errors import StatusError
from navarch.simulation.action import ActionError
from navarch.simulation.invariants import invariant
from navarch.testing.cluster import Cluster, InvariantError, WaitError

__all__ = ["ActionError", "Cluster", "InvariantError", "StatusError", "WaitError", "invariant"]
