"""Rotation of container logs: one that is too large is set aside under a name with a time, and the runtime opens a new one."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from navarch.component import clock
from navarch.cri.client import CRIError, RuntimeService
from navarch.kubelet.config import KubeletConfig

logger = logging.getLogger(__name__)


async def rotate(runtime: RuntimeService, containers: Iterable[tuple[str, Path]], config: KubeletConfig) -> None:
    """Look at the logs of running containers: (id, path)."""
    for container_id, path in containers:
        try:
            if path.stat().st_size <= config.max_container_log_bytes:
                continue
        except OSError:
            continue
        await _rotate_one(runtime, container_id, path, config.max_container_log_files)


async def _rotate_one(runtime: RuntimeService, container_id: str, path: Path, files: int) -> None:
    stamp = clock.now().strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.name}.{stamp}")
    path.rename(aside)
    try:
        await runtime.reopen_container_log(container_id)
    except CRIError as error:
        # The runtime still writes to the old file: give it its name back.
        logger.warning("cannot rotate %s: %s", path, error.rpc_text)
        if not path.exists():
            aside.rename(path)
        return
    for old in rotated(path)[: -(files - 1) or None]:
        old.unlink(missing_ok=True)


def rotated(path: Path) -> list[Path]:
    """What was set aside of that log, oldest first."""
    return sorted(path.parent.glob(f"{path.name}.*"))
