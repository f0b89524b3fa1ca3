"""The explicit list of what a scenario's timeline can say, by name."""

from __future__ import annotations

from navarch.simulation import controlplanefaults, networkfaults, nodefaults, operations
from navarch.simulation.action import Action, Fault

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
)
BY_NAME: dict[str, type[Action]] = {action.name: action for action in (*OPERATIONS, *FAULTS)}
FAULTS_BY_NAME: dict[str, type[Fault]] = {fault.name: fault for fault in FAULTS}
