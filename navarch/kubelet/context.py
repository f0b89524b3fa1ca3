"""What all pods of a node share: settings, clients, caches. Made once by the kubelet and handed to each pod's worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.client.events import EventRecorder
from navarch.client.informer import Informer
from navarch.cri.client import RuntimeService
from navarch.kubelet.admission import Refusal
from navarch.kubelet.backoff import Backoff
from navarch.kubelet.cgroups import Cgroups
from navarch.kubelet.config import KubeletConfig
from navarch.kubelet.dns import Resolver
from navarch.kubelet.images import ImageManager
from navarch.kubelet.objects import ObjectCache, TokenCache
from navarch.kubelet.pleg import Pleg
from navarch.kubelet.runtime_pod import Sandbox, field_path
from navarch.kubelet.status_writer import StatusWriter


@dataclass(slots=True, kw_only=True)
class NodeContext:
    config: KubeletConfig
    client: Client
    runtime: RuntimeService
    images: ImageManager
    recorder: EventRecorder
    objects: ObjectCache
    tokens: TokenCache
    cgroups: Cgroups
    pleg: Pleg
    status_writer: StatusWriter
    services: Informer
    backoff: Backoff
    ended: Callable[[str], None]
    """Called with a pod's uid when its worker has nothing left to do."""
    network_problem: Callable[[], str]
    """"" or why pods with a network of their own cannot start."""
    admit: Callable[[Object], Awaitable[Refusal | None]]
    """Whether the node takes a pod beside the others."""
    room: Callable[[Object], Refusal | None]
    """Whether it has room for it."""
    starts: asyncio.Semaphore
    """Places of pods that are being started."""
    resolver: Resolver = field(default_factory=Resolver)
    host_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)
    memory_capacity_bytes: int = 1
    runtime_name: str = "containerd"
    recursive_read_only: bool = False
    """Whether the runtime can make what is mounted below a read-only mount read-only too."""

    @property
    def host_ip(self) -> str:
        """The node's first address; "" where it has none."""
        return self.host_ips[0] if self.host_ips else ""

    def event(self, pod: Object, type_: str, reason: str, message: str, container: Object | None = None) -> None:
        """Record an event about a pod, or about one of its containers."""
        path = ""
        if container is not None:
            path = field_path(pod, container["name"])
        self.recorder.event(
            {"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"]}, type_, reason, message, field_path=path
        )

    def addresses(self, sandbox: Sandbox) -> tuple[str, ...]:
        """Where the containers of a sandbox are reached: of one in the node's network the runtime tells no address."""
        return self.host_ips if sandbox.host_network else sandbox.ips

    def pod_services(self, namespace: str) -> list[Object]:
        """Those that a pod's environment may name."""
        found = self.services.list(namespace)
        if namespace != "default":
            master = self.services.get("default/kubernetes")
            if master is not None:
                return [*found, master]
        return found
