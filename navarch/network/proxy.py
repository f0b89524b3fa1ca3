"""The service proxy of one node: keeps the kernel's packet filter at what Services and EndpointSlices say.

Rules:

- A change is applied at once; what comes within `BATCH_SECONDS` after that is applied together.
- The first thing a proxy does is to replace the whole table in one transaction, once it knows all Services and slices; the same
  when the kernel refuses a change, or when someone else has taken the table away (looked for every `CHECK_SECONDS`).
- Between those only differences are sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.informer import Informer, Informers
from navarch.component import clock
from navarch.network import conntrack, rules
from navarch.network.nftables import Nftables, NftablesError, has_table
from navarch.network.rules import NODE_IPS, TABLE, Fragment, Node, Plan
from navarch.network.table import Table, removal

logger = logging.getLogger(__name__)

BATCH_SECONDS = 0.05
CHECK_SECONDS = 10.0
RETRY_SECONDS = 1.0

SERVICES = "services"
SLICES = "endpointslices.discovery.k8s.io"
NODES = "nodes"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
ZONE_LABEL = "topology.kubernetes.io/zone"
BY_SERVICE = "service"

_NODES_OWNER = "/nodes"


def service_of_slice(endpoint_slice: Object) -> Iterable[str]:
    """Indexer: the key of the Service that a slice belongs to."""
    name = meta.labels(endpoint_slice).get(SERVICE_NAME_LABEL)
    return (f"{endpoint_slice['metadata']['namespace']}/{name}",) if name else ()


def internal_ips(node: Object) -> list[str]:
    """The node's IPv4 InternalIPs."""
    addresses = (node.get("status") or {}).get("addresses") or ()
    return [a["address"] for a in addresses if a["type"] == "InternalIP" and ":" not in a["address"]]


class Proxy:
    """Call `run` as a task; cancel it to stop. Rules stay when it stops: connections go on."""

    def __init__(
        self,
        informers: Informers,
        *,
        node_name: str,
        node_ips: Sequence[str],
        cluster_cidr: str,
        nftables: Nftables | None = None,
    ) -> None:
        self._services: Informer = informers.get(SERVICES)
        self._slices: Informer = informers.get(SLICES, **{BY_SERVICE: service_of_slice})
        self._nodes: Informer = informers.get(NODES)
        self._node = Node(node_name, cluster_cidr)
        self._node_ips = frozenset((*node_ips, "127.0.0.1"))
        self._nftables = nftables or Nftables()
        self._table = Table(cluster_cidr)
        self._plans: dict[str, Plan] = {}
        self._dirty: set[str] = set()
        self._wakeup = asyncio.Event()
        self._whole = True
        self._datagrams: dict[tuple[str, int], frozenset[tuple[str, int]]] = {}
        self._handlers_added = False
        self.synced = asyncio.Event()
        """Set once the kernel has had the whole table."""
        self.applied = 0
        """How many transactions the kernel has taken."""

    async def run(self) -> None:
        """Keep the table right until cancelled."""
        for informer in (self._services, self._slices, self._nodes):
            await informer.wait_synced()
        if not self._handlers_added:
            self._services.add_handler(self._on_service)
            self._slices.add_handler(self._on_slice)
            self._nodes.add_handler(self._on_node)
            self._handlers_added = True
        self._whole = True
        while True:
            pause = BATCH_SECONDS if await self._apply() else RETRY_SECONDS
            await clock.sleep(pause)
            if self._whole:
                continue
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._wakeup.wait()
            except TimeoutError:
                self._check()

    def close(self) -> None:
        """Give back the library's handle."""
        self._nftables.close()

    # What has changed

    def _on_service(self, old: Object | None, new: Object | None) -> None:
        self._touch(meta.key(new or old or {}))

    def _on_slice(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            for key in service_of_slice(obj) if obj is not None else ():
                self._touch(key)

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        before, after = internal_ips(old) if old else [], internal_ips(new) if new else []
        if new is not None and meta.name(new) == self._node.name:
            zone = meta.labels(new).get(ZONE_LABEL, "")
            if zone != self._node.zone:
                self._node = Node(self._node.name, self._node.cluster_cidr, zone)
                self._dirty.update(self._plans)
                self._wakeup.set()
        if before != after:
            self._touch(_NODES_OWNER)

    def _touch(self, key: str) -> None:
        self._dirty.add(key)
        self._wakeup.set()

    # What follows from it

    def _plan(self) -> None:
        """Take the dirty Services into the table."""
        dirty, self._dirty = self._dirty, set()
        self._wakeup.clear()
        # The older of two Services that claim one address gets it.
        found = [(key, self._services.get(key)) for key in dirty if key != _NODES_OWNER]
        for key, service in sorted(found, key=lambda item: _age(item[1])):
            self._plan_service(key, service)
        if _NODES_OWNER in dirty:
            ips = {ip for node in self._nodes.list() for ip in internal_ips(node)}
            self._table.replace(_NODES_OWNER, Fragment(shared={(NODE_IPS, ip) for ip in ips}))

    def _plan_service(self, key: str, service: Object | None) -> None:
        old = self._plans.get(key)
        if service is None:
            new = Plan()
            self._plans.pop(key, None)
        else:
            new = self._plans[key] = rules.plan(service, self._slices.by_index(BY_SERVICE, key), self._node, old)
        self._datagrams |= rules.changed_datagrams(old or Plan(), new)
        self._table.replace(key, new.fragment if service is not None else None)

    async def _apply(self) -> bool:
        """Bring the kernel up to date; whether it took what it was given."""
        self._plan()
        started = clock.monotonic()
        whole = self._whole
        commands = self._table.everything() if whole else self._table.changes()
        if commands:
            try:
                await self._nftables.run(commands)
            except NftablesError as error:
                logger.error("the kernel refused %s: %s", "the whole table" if whole else "a change", error)
                self._whole = True
                return not whole
            self.applied += 1
        if whole:
            self._whole = False
            self.synced.set()
            elapsed_milliseconds = (clock.monotonic() - started) * 1000
            logger.info("%d services, %d elements in %.0f ms", len(self._plans), len(self._table), elapsed_milliseconds)
        await self._forget_stale()
        return True

    async def _forget_stale(self) -> None:
        changed, self._datagrams = self._datagrams, {}
        if not changed:
            return
        node_ips = self._node_ips
        try:
            await asyncio.to_thread(conntrack.forget, lambda flow: rules.is_stale(flow, changed, node_ips))
        except OSError as error:
            logger.warning("cannot forget UDP connections to endpoints that are gone: %s", error)

    def _check(self) -> None:
        if not has_table(TABLE):
            logger.warning("the table is gone, making it again")
            self._whole = True


async def remove() -> None:
    """Take the table away, and with it every Service of this network namespace."""
    nftables = Nftables()
    try:
        await nftables.run(removal())
    finally:
        nftables.close()


def _age(service: Object | None) -> tuple[str, str]:
    metadata = service["metadata"] if service else {}
    return str(metadata.get("creationTimestamp") or ""), str(metadata.get("uid") or "")
