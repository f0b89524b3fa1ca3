"""What the kubelet's HTTPS server asks the kubelet: which pods it runs, which container is meant, where its log is.

`PodLookup` is the interface the server is written against; `Kubelet` fulfils it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from navarch.apimachinery.errors import Object
from navarch.kubelet.runtime_pod import Container


class PodLookup(Protocol):
    """Pods and containers of this node, as the kubelet sees them at this moment."""

    def pods(self) -> list[Object]:
        """Every pod of this node, with its newest status; shared, read-only."""

    def pod(self, namespace: str, name: str, uid: str = "") -> Object | None:
        """The pod of that name (and uid, if given), with its newest status; None if this node has none."""

    def container(self, pod: Object, name: str, *, previous: bool = False) -> Container | None:
        """The newest container of that name, or the run before it; None if it was never made or is gone.

        Name, state, exit code, restart count and runtime id are in it. Whether the pod has such a container at all is said
        by its spec (containers, initContainers, ephemeralContainers); why one waits by its status.
        """

    def log_path(self, pod: Object, container: Container) -> Path:
        """The file the runtime writes this container's output to (CRI log format); rotated ones stand beside it."""

    async def wait_container_ended(self, pod: Object, container_id: str) -> None:
        """Returns once that container no longer runs, or its pod is gone."""

    async def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        """The runtime's streaming URL for a command. Raises CRIError."""

    async def attach(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        """The runtime's streaming URL of the container's own process. Raises CRIError."""

    async def port_forward(self, pod: Object, ports: Sequence[int]) -> str:
        """The runtime's streaming URL of a pod's ports. Raises CRIError; NOT_FOUND if its sandbox does not run."""

    def runtime_healthy(self) -> str:
        """ "" while the runtime answers; else what is wrong, for /healthz."""
