"""Puts checkers and invariants on a cluster, and collects what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from navarch.component import clock
from navarch.simulation import invariants
from navarch.simulation.checkers.checker import Checker, State
from navarch.simulation.cluster import SimulatedCluster
from navarch.simulation.observer import Observer
from navarch.simulation.record import Log, Record


class Watchdog:
    """Of one cluster; made before it starts. What is found is in `record.findings`."""

    def __init__(self, cluster: SimulatedCluster, record: Record, log: Log, checkers: Iterable[type[Checker]]) -> None:
        self.record = record
        self.observer = Observer(record, log)
        self._log = log
        cluster.on_server.append(self.observer.follow)
        self.state = State(lambda: self.observer.store, cluster, lambda: self.observer.custom)
        self._checkers = [made(self.state, self.reporter(made.name)) for made in checkers]
        for checker in self._checkers:
            self.observer.listen(checker.changed, checker.resources)

    def add(self, function: Callable[[State], Any]) -> None:
        """Watch one more invariant. Raises ValueError for an unknown resource that it names."""
        invariants.watch(function, self.observer, self.state, self.reporter(getattr(function, "__name__", "invariant")))

    def settled(self) -> None:
        """Everything has had its time: ask the checkers for the last time."""
        for checker in self._checkers:
            checker.settled()

    def reporter(self, checker: str) -> Callable[[str, str], None]:
        """What takes in findings of a checker."""

        def report(name: str, message: str) -> None:
            at = self.observer.seconds
            self.record.find(at, checker, name, message)
            self._log.line(f"{at:.6f} broken {checker} {name}: {message}")

        return report

    @staticmethod
    def new_record(scenario: str, file: str, seed: int) -> Record:
        """A record that begins now."""
        return Record(scenario, file, seed, clock.timestamp())
