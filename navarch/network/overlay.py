"""Ways to the pods of other nodes: a route to each node's pod CIDR, plain or through a VXLAN device.

Rules:

- Plain routes (the default) go by the node's InternalIP, which must be in a network of this machine; VXLAN crosses
  routers.
- Pods' packets keep their source address either way.
- Routes are marked as navarch's; those of nodes that are gone are deleted, those that someone or a link's fall took away come
  back.
- Not only nodes need them: where nodes are network namespaces, their host has the same routes, with `node_name` "".
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.network import links
from navarch.network.links import Links, Route
from navarch.network.proxy import NODES, internal_ips

logger = logging.getLogger(__name__)

Mode = Literal["routes", "vxlan"]

VXLAN_DEVICE = "navarch-vxlan"
VXLAN_VNI = 1
SETTLE_SECONDS = 0.1
RETRY_SECONDS = 5.0
NOTIFICATION_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node."""

    name: str
    ip: str
    pod_cidr: str

    @property
    def gateway(self) -> str:
        """The address of its end of the overlay: the first of its pod CIDR, which no pod gets."""
        return str(IPv4Network(self.pod_cidr).network_address)


def peers(nodes: Iterable[Object], own_name: str) -> list[Peer]:
    """The other nodes that have an address and a pod CIDR."""
    found = []
    for node in nodes:
        cidr, ips = pod_cidr(node), internal_ips(node)
        if meta.name(node) != own_name and cidr and ips:
            found.append(Peer(meta.name(node), ips[0], cidr))
    return sorted(found, key=lambda peer: peer.name)


def pod_cidr(node: Object) -> str:
    """The node's IPv4 pod CIDR, or ""."""
    spec = node.get("spec") or {}
    for cidr in spec.get("podCIDRs") or (spec.get("podCIDR"),):
        if cidr and ":" not in cidr:
            return str(cidr)
    return ""


def wanted_routes(peers: Iterable[Peer], *, device: int = 0, service_cidr: str = "", ready: Iterable[str] = ()) -> set[Route]:
    """Routes to the peers' pods; with `service_cidr` also to Services, by the first peer that is among `ready`."""
    peers = list(peers)
    found = {Route(peer.pod_cidr, peer.gateway if device else peer.ip, device) for peer in peers}
    ready = set(ready)
    entrance = next((peer for peer in peers if peer.name in ready), None)
    if service_cidr and entrance is not None:
        found.add(Route(service_cidr, entrance.ip))
    return found


class Overlay:
    """Call `run` as a task. Routes stay when it stops; `remove` takes them away."""

    def __init__(
        self,
        informers: Informers,
        *,
        node_name: str = "",
        node_ip: str = "",
        mode: Mode = "routes",
        service_cidr: str = "",
    ) -> None:
        self._nodes = informers.get(NODES)
        self._node_name, self._node_ip, self._mode, self._service_cidr = node_name, node_ip, mode, service_cidr
        self._wakeup = asyncio.Event()
        self._nodes.add_handler(self._on_node)
        self._neighbours: dict[str, Peer] = {}
        self._vxlan: tuple[int, str, tuple[Peer, ...]] | None = None
        """What the device was last set up for: (interface number, own pod CIDR, peers)."""
        self._problems: Mapping[str, str] = {}
        self.settled = asyncio.Event()
        """Set once all wanted routes were there."""

    async def run(self) -> None:
        """Keep the routes right until cancelled."""
        await self._nodes.wait_synced()
        loop = asyncio.get_running_loop()
        notifications = links.notifications()

        def notified() -> None:
            try:
                while notifications.recv(NOTIFICATION_BYTES):
                    self._wakeup.set()
            except BlockingIOError:
                return
            except OSError:
                # The kernel had more to say than the socket could hold: something has changed.
                self._wakeup.set()

        loop.add_reader(notifications.fileno(), notified)
        kernel = Links()
        try:
            while True:
                self._wakeup.clear()
                complete = self._reconcile(kernel)
                if complete:
                    self.settled.set()
                try:
                    async with asyncio.timeout(None if complete else RETRY_SECONDS):
                        await self._wakeup.wait()
                except TimeoutError:
                    continue
                await clock.sleep(SETTLE_SECONDS)
        finally:
            loop.remove_reader(notifications.fileno())
            notifications.close()
            kernel.close()

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or _view(old) != _view(new):
            self._wakeup.set()

    def _reconcile(self, kernel: Links) -> bool:
        """Whether everything wanted is there."""
        others = peers(self._nodes.list(), self._node_name)
        problems: dict[str, str] = {}
        device = 0
        if self._mode == "vxlan" and self._node_name:
            try:
                device = self._keep_vxlan(kernel, others)
            except OSError as error:
                problems["the VXLAN device"] = str(error)
        ready = [meta.name(node) for node in self._nodes.list() if meta.is_condition_true(node, "Ready")]
        wanted = wanted_routes(others, device=device, service_cidr=self._service_cidr, ready=ready)
        if not problems:
            present = kernel.routes()
            covered = {route.destination for route in wanted}
            for route in present - wanted:
                if route.destination not in covered:
                    _attempt(problems, f"deleting the route to {route.destination}", kernel.delete_route, route)
            for route in wanted - present:
                _attempt(problems, f"the route to {route.destination}", kernel.put_route, route)
        if problems:
            self._vxlan = None
        if problems != self._problems:
            for what, why in problems.items():
                logger.warning("%s: %s", what, why)
            self._problems = problems
        return not problems

    def _keep_vxlan(self, kernel: Links, others: list[Peer]) -> int:
        own = self._nodes.get(self._node_name)
        cidr = pod_cidr(own) if own is not None else ""
        if not cidr:
            raise OSError("this node has no pod CIDR yet")
        under = links.default_device()
        size = (links.mtu(under) if under else 1500) - links.VXLAN_OVERHEAD_BYTES
        state = (_index(VXLAN_DEVICE), cidr, tuple(others))
        if state[0] and state == self._vxlan:
            return state[0]
        index = kernel.make_vxlan(VXLAN_DEVICE, VXLAN_VNI, self._node_ip, links.hardware_address(self._node_ip), size)
        kernel.put_address(index, str(IPv4Network(cidr).network_address))
        present = {peer.name: peer for peer in others}
        for name, peer in list(self._neighbours.items()):
            if present.get(name) != peer:
                kernel.delete_neighbour(index, peer.gateway, links.hardware_address(peer.ip), peer.ip)
                del self._neighbours[name]
        for peer in others:
            kernel.put_neighbour(index, peer.gateway, links.hardware_address(peer.ip), peer.ip)
            self._neighbours[peer.name] = peer
        self._vxlan = (index, cidr, tuple(others))
        return index


def _index(device: str) -> int:
    try:
        return socket.if_nametoindex(device)
    except OSError:
        return 0


def _attempt(problems: dict[str, str], what: str, action: Callable[[Route], None], route: Route) -> None:
    try:
        action(route)
    except OSError as error:
        problems[what] = str(error)


def remove() -> None:
    """Delete navarch's routes and overlay device of this network namespace."""
    kernel = Links()
    try:
        for route in kernel.routes():
            kernel.delete_route(route)
        kernel.delete_link(VXLAN_DEVICE)
    finally:
        kernel.close()


def _view(node: Object) -> tuple[str, list[str], bool]:
    """What of a node matters here."""
    return pod_cidr(node), internal_ips(node), meta.is_condition_true(node, "Ready")
