"""Probing: one small task for each probe of each running container, and the results so far."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.cri.client import RuntimeService
from navarch.kubelet import handlers, probes
from navarch.kubelet.handlers import Target
from navarch.kubelet.probes import PROBE_FIELDS, ContainerProbes, ProbeSpec, ProbeState, ProbeType, Result
from navarch.kubelet.runtime_pod import Container

logger = logging.getLogger(__name__)

PROBE_ATTEMPTS = 3
"""How often a probe is tried that cannot be carried out."""

Recorder = Callable[[Object, str, str], None]
"""(container spec, reason, message) of a Warning event."""


class Prober:
    """The probes of one pod's containers."""

    def __init__(self, runtime: RuntimeService, changed: Callable[[], None], record: Recorder) -> None:
        """`changed` is called when a result is another than before."""
        self._runtime = runtime
        self._changed = changed
        self._record = record
        self._tasks: dict[tuple[str, ProbeType], asyncio.Task[None]] = {}
        self._states: dict[tuple[str, ProbeType], ProbeState] = {}
        self._started: dict[str, asyncio.Event] = {}

    def results(self) -> Mapping[str, ContainerProbes]:
        """By container id."""
        found: dict[str, dict[ProbeType, Result]] = {}
        for (container_id, type_), state in self._states.items():
            found.setdefault(container_id, {})[type_] = state.result
        return {container_id: ContainerProbes(results) for container_id, results in found.items()}

    def sync(
        self, running: Iterable[tuple[Container, Object]], ip: str, known: Mapping[str, Object], *, terminating: bool = False
    ) -> None:
        """Probe exactly these containers. `known` are their last statuses by container id: a container that was ready when
        this kubelet came stays so until its probe says otherwise. A pod that ends is no longer checked for life."""
        wanted: set[tuple[str, ProbeType]] = set()
        for container, spec in running:
            for type_ in PROBE_FIELDS:
                if terminating and type_ != "readiness":
                    continue
                probe = probes.parse(spec, type_)
                if probe is None:
                    continue
                key = (container.id, type_)
                wanted.add(key)
                if key not in self._tasks:
                    self._begin(key, probe, container, spec, ip, known.get(container.id))
        for key in [key for key in self._tasks if key not in wanted]:
            self._tasks.pop(key).cancel()
            if not terminating or key[1] == "readiness":
                self._states.pop(key, None)
        alive = {container_id for container_id, _ in wanted}
        for container_id in [one for one in self._started if one not in alive]:
            del self._started[container_id]

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(
        self, key: tuple[str, ProbeType], probe: ProbeSpec, container: Container, spec: Object, ip: str, known: Object | None
    ) -> None:
        container_id, type_ = key
        state = probes.initial(type_)
        if known is not None and (
            (type_ == "readiness" and known.get("ready")) or (type_ == "startup" and known.get("started"))
        ):
            state = ProbeState("success")
        self._states[key] = state
        started = self._started.setdefault(container_id, asyncio.Event())
        if probes.parse(spec, "startup") is None or (type_ == "startup" and state.result == "success"):
            started.set()
        target = Target(container_id, spec, ip)
        loop = self._probe(key, probe, target, container.started_at / 1e9, started)
        task = asyncio.get_running_loop().create_task(loop, name=f"probe {type_} {spec['name']}")
        task.add_done_callback(_log_failure)
        self._tasks[key] = task

    async def _probe(
        self, key: tuple[str, ProbeType], probe: ProbeSpec, target: Target, started_at: float, started: asyncio.Event
    ) -> None:
        if probe.type == "startup" and self._states[key].result == "success":
            return
        if probe.type != "startup":
            await started.wait()
        await clock.sleep(probes.first_delay_seconds(probe, clock.time_seconds() - started_at))
        while True:
            begun = clock.monotonic()
            for _ in range(PROBE_ATTEMPTS):
                outcome, output = await handlers.run_probe(self._runtime, target, probe.handler, probe.timeout_seconds)
                if outcome != "error":
                    break
            before = self._states[key]
            after = self._states[key] = probes.observe(probe, before, outcome)
            if outcome != "success":
                self._record(target.container, *probes.event(probe.type, outcome, output))
            if after.result != before.result:
                logger.info("%s probe of container %s: %s", probe.type, target.container["name"], after.result)
                if probe.type == "startup" and after.result == "success":
                    started.set()
                self._changed()
                if probe.type == "startup":
                    # It has said all it has to say.
                    return
                if probe.type == "liveness" and after.result == "failure":
                    return
            await clock.sleep(max(0.0, probe.period_seconds - (clock.monotonic() - begun)))


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("%s failed", task.get_name(), exc_info=task.exception())
