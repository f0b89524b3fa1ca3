"""One scheduling cycle: filter all nodes, score those that are left, take the best; ties are decided at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from navarch.scheduler.framework import Fit, Plugin, run_filters, run_scores
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a pod goes; or, if `node` is empty, why nowhere."""

    node: str
    fit: Fit


def schedule(
    plugins: Sequence[Plugin],
    pod: PodInfo,
    snapshot: Snapshot,
    random: Random,
    nominated: Sequence[tuple[PodInfo, str]] = (),
) -> Decision:
    """Decide for one pod.

    `nominated` are pods of equal or higher priority that wait for their victims to leave a node: their room is kept.
    """
    with snapshot.with_pods(nominated):
        fit = run_filters(plugins, pod, snapshot)
    rows = np.flatnonzero(fit.feasible)
    if not len(rows):
        return Decision("", fit)
    if pod.nominated_node_name:
        # What it took victims for comes first, if it still fits.
        row = snapshot.rows.get(pod.nominated_node_name)
        if row is not None and fit.feasible[row]:
            return Decision(snapshot.names[row], fit)
    if len(rows) > 1:
        scores = run_scores(plugins, pod, snapshot, fit.feasible)[rows]
        rows = rows[scores == scores.max()]
    return Decision(snapshot.names[rows[random.randrange(len(rows)) if len(rows) > 1 else 0]], fit)
