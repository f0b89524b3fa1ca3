"""Keep as many pods as each ReplicationController asks for: a ReplicaSet by its first name."""

from __future__ import annotations

from navarch.controllers import replicaset
from navarch.controllers.controller import Controller

CONTROLLER = Controller(
    "replication-controller",
    "replicationcontrollers",
    replicaset.reconcile,
    owns=("pods",),
    selector=replicaset.selector_of,
)
