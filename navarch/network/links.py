"""Routes, neighbours and the VXLAN device, over the kernel's rtnetlink, in the network namespace of the process.

Constants and layouts are those of linux/rtnetlink.h, if_link.h and neighbour.h.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from navarch.network.netlink import (
    ATTRIBUTE_NESTED,
    FLAG_CREATE,
    FLAG_EXCLUSIVE,
    FLAG_REPLACE,
    attribute,
    attributes,
    dump,
    request,
)

ROUTE_PROTOCOL = 110
"""By this the routes are told from those of others (values from 4 up are free to use)."""
VXLAN_PORT = 8472
VXLAN_OVERHEAD_BYTES = 50

_NEW_LINK, _DELETE_LINK = 16, 17
_NEW_ADDRESS = 20
_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE = 24, 25, 26
_NEW_NEIGHBOUR, _DELETE_NEIGHBOUR = 28, 29
_ROUTE = struct.Struct("=BBBBBBBBI")
_LINK = struct.Struct("=BBHiII")
_ADDRESS = struct.Struct("=BBBBI")
_NEIGHBOUR = struct.Struct("=BBHiHBB")
_TABLE_MAIN, _UNICAST = 254, 1
_ROUTE_DESTINATION, _ROUTE_DEVICE, _ROUTE_GATEWAY = 1, 4, 5
_NEXTHOP_ONLINK = 4
_LINK_UP = 1
_LINK_ADDRESS, _LINK_NAME, _LINK_MTU, _LINK_INFO = 1, 3, 4, 18
_INFO_KIND, _INFO_DATA = 1, 2
_VXLAN_ID, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PORT = 1, 4, 7, 15
_NEIGHBOUR_PERMANENT, _NEIGHBOUR_SELF = 0x80, 0x02
_NEIGHBOUR_DESTINATION, _NEIGHBOUR_LINK_ADDRESS = 1, 2
_FAMILY_BRIDGE = 7
_GET_MTU = 0x8921

# Notifications: links, IPv4 addresses, IPv4 routes.
_GROUPS = 0x1 | 0x10 | 0x40


@dataclass(frozen=True, slots=True)
class Route:
    """Where packets for a network go."""

    destination: str
    gateway: str
    device: int = 0
    """Interface number; 0 lets the kernel choose by the gateway. With one the gateway need not be in a network of it."""


class Links:
    """A netlink socket. Methods raise OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))

    def close(self) -> None:
        self._socket.close()

    # Routes

    def routes(self) -> set[Route]:
        """Those of the main table that navarch made."""
        found = set()
        for message in dump(self._socket, _GET_ROUTE, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
            _, length, _, _, table, protocol, _, _, flags = _ROUTE.unpack_from(message)
            if protocol != ROUTE_PROTOCOL or table != _TABLE_MAIN:
                continue
            fields = attributes(message[_ROUTE.size :])
            if _ROUTE_DESTINATION not in fields or _ROUTE_GATEWAY not in fields:
                continue
            destination = f"{socket.inet_ntoa(fields[_ROUTE_DESTINATION])}/{length}"
            device = struct.unpack("=I", fields[_ROUTE_DEVICE])[0] if flags & _NEXTHOP_ONLINK else 0
            found.add(Route(destination, socket.inet_ntoa(fields[_ROUTE_GATEWAY]), device))
        return found

    def put_route(self, route: Route) -> None:
        """Add the route, in place of any other to the same network."""
        request(self._socket, _NEW_ROUTE, _route(route), FLAG_CREATE | FLAG_REPLACE)

    def delete_route(self, route: Route) -> None:
        request(self._socket, _DELETE_ROUTE, _route(route))

    # The overlay's device

    def make_vxlan(self, name: str, vni: int, local: str, hardware: bytes, mtu: int) -> int:
        """Make the device (where there is one of that name it stays), and set it up. Returns its number."""
        data = (
            attribute(_VXLAN_ID, struct.pack("=I", vni))
            + attribute(_VXLAN_LOCAL, socket.inet_aton(local))
            + attribute(_VXLAN_LEARNING, b"\0")
            + attribute(_VXLAN_PORT, struct.pack("!H", VXLAN_PORT))
        )
        info = attribute(_INFO_KIND, b"vxlan") + attribute(_INFO_DATA | ATTRIBUTE_NESTED, data)
        body = (
            _LINK.pack(0, 0, 0, 0, 0, 0)
            + attribute(_LINK_NAME, name.encode() + b"\0")
            + attribute(_LINK_ADDRESS, hardware)
            + attribute(_LINK_MTU, struct.pack("=I", mtu))
            + attribute(_LINK_INFO | ATTRIBUTE_NESTED, info)
        )
        with contextlib.suppress(FileExistsError):
            request(self._socket, _NEW_LINK, body, FLAG_CREATE | FLAG_EXCLUSIVE)
        index = socket.if_nametoindex(name)
        request(self._socket, _NEW_LINK, _LINK.pack(0, 0, 0, index, _LINK_UP, _LINK_UP))
        return index

    def put_address(self, index: int, address: str) -> None:
        """Give the interface `address`, as a network of its own."""
        raw = socket.inet_aton(address)
        body = _ADDRESS.pack(socket.AF_INET, 32, 0, 0, index) + attribute(2, raw) + attribute(1, raw)
        request(self._socket, _NEW_ADDRESS, body, FLAG_CREATE | FLAG_REPLACE)

    def put_neighbour(self, index: int, address: str, hardware: bytes, through: str) -> None:
        """`address` has `hardware`, and frames to that go to the node `through`."""
        for kind in _neighbours(index, address, hardware, through):
            request(self._socket, _NEW_NEIGHBOUR, kind, FLAG_CREATE | FLAG_REPLACE)

    def delete_neighbour(self, index: int, address: str, hardware: bytes, through: str) -> None:
        for kind in _neighbours(index, address, hardware, through):
            try:
                request(self._socket, _DELETE_NEIGHBOUR, kind)
            except FileNotFoundError:
                continue

    def delete_link(self, name: str) -> None:
        """Delete the interface; one that is not there is fine."""
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            return
        request(self._socket, _DELETE_LINK, _LINK.pack(0, 0, 0, index, 0, 0))


def notifications() -> socket.socket:
    """A non-blocking socket that becomes readable when links, addresses or routes change."""
    connection = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    connection.bind((0, _GROUPS))
    return connection


def hardware_address(node_ip: str) -> bytes:
    """The overlay device's address on a node: known to all without asking, local and for one (IEEE 802)."""
    return b"\x0e\x4e" + socket.inet_aton(node_ip)


def mtu(device: str) -> int:
    """Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        answer = fcntl.ioctl(connection, _GET_MTU, struct.pack("16sI12x", device.encode(), 0))
    return int(struct.unpack_from("=I", answer, 16)[0])


def default_device(table: str | None = None) -> str:
    """The interface of the default route, or "" (`table`: as in /proc/net/route)."""
    text = table if table is not None else Path("/proc/thread-self/net/route").read_text()
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":
            return fields[0]
    return ""


def _route(route: Route) -> bytes:
    network = IPv4Network(route.destination)
    flags = _NEXTHOP_ONLINK if route.device else 0
    body = _ROUTE.pack(socket.AF_INET, network.prefixlen, 0, 0, _TABLE_MAIN, ROUTE_PROTOCOL, 0, _UNICAST, flags)
    body += attribute(_ROUTE_DESTINATION, network.network_address.packed)
    body += attribute(_ROUTE_GATEWAY, socket.inet_aton(route.gateway))
    if route.device:
        body += attribute(_ROUTE_DEVICE, struct.pack("=I", route.device))
    return body


def _neighbours(index: int, address: str, hardware: bytes, through: str) -> tuple[bytes, bytes]:
    """The ARP entry and the forwarding entry."""
    arp = _NEIGHBOUR.pack(socket.AF_INET, 0, 0, index, _NEIGHBOUR_PERMANENT, 0, 0)
    arp += attribute(_NEIGHBOUR_DESTINATION, socket.inet_aton(address)) + attribute(_NEIGHBOUR_LINK_ADDRESS, hardware)
    forwarding = _NEIGHBOUR.pack(_FAMILY_BRIDGE, 0, 0, index, _NEIGHBOUR_PERMANENT, _NEIGHBOUR_SELF, 0)
    forwarding += attribute(_NEIGHBOUR_DESTINATION, socket.inet_aton(through)) + attribute(_NEIGHBOUR_LINK_ADDRESS, hardware)
    return arp, forwarding
