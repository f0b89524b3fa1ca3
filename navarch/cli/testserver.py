"""`navarch testserver`: a cluster in memory for whoever tests against an API server, in any language; gone when it stops."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from navarch.cli.cluster import CommandError
from navarch.component import logs
from navarch.simulation.cluster import Parts, SimulatedCluster

if TYPE_CHECKING:
    from navarch.simulation.stages.definition import StageDefinition


def main(kubeconfig: Path, *, port: int, nodes: int, api_only: bool, stages: Sequence[Path] = (), verbosity: int) -> int:
    """Serve until SIGTERM or SIGINT. Raises CommandError."""
    import uvloop

    logs.configure(verbosity)
    parts = Parts(
        http=True,
        port=port,
        nodes=0 if api_only else nodes,
        controllers=not api_only,
        # With stages, nodes may come that somebody applies.
        scheduler=not api_only and (nodes > 0 or bool(stages)),
        stages=_stages(stages),
    )
    try:
        uvloop.run(_serve(kubeconfig, parts))
    except OSError as error:
        raise CommandError(str(error)) from error
    return 0


def _stages(files: Sequence[Path]) -> tuple[StageDefinition, ...]:
    if not files:
        return ()
    from navarch.simulation.document import ScenarioError
    from navarch.simulation.stages import definition

    try:
        return definition.of_objects(definition.load(files))
    except ScenarioError as error:
        raise CommandError(str(error)) from None


async def _serve(kubeconfig: Path, parts: Parts) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    cluster = SimulatedCluster(parts)
    try:
        await cluster.start_api()
        _write(kubeconfig, cluster.kubeconfig())
        print(f"https://127.0.0.1:{cluster.server.port}", flush=True)
        # Whoever waited for that asks at once, and is answered while the rest is loaded.
        await asyncio.to_thread(_load, parts)
        await cluster.start_others()
        await stopped.wait()
    finally:
        await cluster.stop()
        with contextlib.suppress(FileNotFoundError):
            kubeconfig.unlink()


def _load(parts: Parts) -> None:
    """Import what `SimulatedCluster.start_others` would, which takes as long as all before it."""
    if parts.controllers:
        import navarch.controllers.manager
    if parts.scheduler:
        import navarch.scheduler.scheduler
    if parts.nodes:
        import navarch.simulation.node  # noqa: F401


def _write(file: Path, text: str) -> None:
    """In one step: whoever waits for the file finds it whole."""
    scratch = file.with_name(f".{file.name}.new")
    scratch.touch(mode=0o600)
    scratch.write_text(text)
    scratch.replace(file)
