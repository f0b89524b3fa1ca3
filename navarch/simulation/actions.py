"""The explicit list of what a scenario's timeline can say, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from navarch.simulation import arguments, controlplanefaults, networkfaults, nodefaults, operations, webhookfaults
from navarch.simulation.action import Action, Fault
from navarch.simulation.document import nearest

OPERATIONS: tuple[type[Action], ...] = (
    operations.Apply,
    operations.Delete,
    operations.DeletePods,
    operations.Scale,
    operations.Patch,
    operations.Restart,
    operations.SetImage,
    operations.Cordon,
    operations.Uncordon,
    operations.Drain,
    operations.AddNodes,
    operations.RemoveNode,
)
FAULTS: tuple[type[Fault], ...] = (
    nodefaults.Crash,
    nodefaults.Reboot,
    nodefaults.Freeze,
    nodefaults.Partition,
    nodefaults.SkewClock,
    networkfaults.FailRequests,
    networkfaults.TimeOutRequests,
    networkfaults.DelayWatches,
    networkfaults.StallWatches,
    networkfaults.BreakWatches,
    controlplanefaults.SlowDisk,
    controlplanefaults.FillDisk,
    controlplanefaults.RestartControlPlane,
    controlplanefaults.ChangeLeader,
    controlplanefaults.FreezeLeader,
    webhookfaults.FailWebhooks,
)
BY_NAME: dict[str, type[Action]] = {action.name: action for action in (*OPERATIONS, *FAULTS)}

FAULTS_BY_NAME: dict[str, type[Fault]] = {fault.name: fault for fault in FAULTS}


def made(name: str, said: Mapping[str, Any]) -> Action:
    """An action of its name and its arguments. Raises ValueError."""
    found = BY_NAME.get(name)
    if found is None:
        raise ValueError(f"unknown action {name!r}{nearest(name, BY_NAME)}")
    return arguments.read(found, said)
