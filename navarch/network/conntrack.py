"""Forgetting tracked UDP connections, over the kernel's ctnetlink.

Constants and layouts are those of linux/netfilter/nfnetlink_conntrack.h. It acts in the network namespace of the calling
process and blocks for as long as the kernel needs: call it in a thread.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator

from navarch.network.netlink import ATTRIBUTE_NESTED, attribute, attributes, dump, request
from navarch.network.rules import Flow

_NETLINK_NETFILTER = 12
_GET, _DELETE = 0x101, 0x102
_NFGENMSG = struct.pack("=BBH", socket.AF_INET, 0, 0)
_TUPLE_ORIGINAL, _TUPLE_REPLY, _ID, _ZONE, _FILTER = 1, 2, 12, 18, 25
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SOURCE, _IP_DESTINATION = 1, 2
_PROTO_NUMBER, _PROTO_SOURCE_PORT, _PROTO_DESTINATION_PORT = 1, 2, 3
_FILTER_ORIGINAL_FLAGS, _FILTER_BY_PROTO_NUMBER = 1, 1 << 3


def forget(is_stale: Callable[[Flow], bool]) -> int:
    """Delete every tracked UDP connection for which `is_stale` holds; how many. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as connection:
        connection.bind((0, 0))
        found = [key for flow, key in _flows(connection) if is_stale(flow)]
        deleted = 0
        for key in found:
            try:
                request(connection, _DELETE, _NFGENMSG + key)
            except FileNotFoundError:
                # It ended by itself meanwhile.
                continue
            deleted += 1
    return deleted


def _flows(connection: socket.socket) -> Iterator[tuple[Flow, bytes]]:
    """Each IPv4 UDP connection, with the attributes that name it."""
    only_udp = attribute(
        _TUPLE_ORIGINAL | ATTRIBUTE_NESTED,
        attribute(_TUPLE_PROTO | ATTRIBUTE_NESTED, attribute(_PROTO_NUMBER, bytes((socket.IPPROTO_UDP,)))),
    ) + attribute(_FILTER | ATTRIBUTE_NESTED, attribute(_FILTER_ORIGINAL_FLAGS, struct.pack("=I", _FILTER_BY_PROTO_NUMBER)))
    for message in dump(connection, _GET, _NFGENMSG + only_udp):
        fields = attributes(message[len(_NFGENMSG) :])
        original, reply = fields.get(_TUPLE_ORIGINAL), fields.get(_TUPLE_REPLY)
        if original is None or reply is None:
            continue
        asked, answering = _tuple(original), _tuple(reply)
        # Kernels before 5.8 do not know the filter.
        if asked is None or answering is None or asked[0] != socket.IPPROTO_UDP:
            continue
        flow = Flow(asked[2], asked[4], answering[1], answering[3])
        key = attribute(_TUPLE_ORIGINAL | ATTRIBUTE_NESTED, original)
        for name in (_ZONE, _ID):
            if name in fields:
                key += attribute(name, fields[name])
        yield flow, key


def _tuple(data: bytes) -> tuple[int, str, str, int, int] | None:
    """(protocol, source, destination, source port, destination port)."""
    parts = attributes(data)
    ip, protocol = attributes(parts.get(_TUPLE_IP, b"")), attributes(parts.get(_TUPLE_PROTO, b""))
    if _IP_SOURCE not in ip or _PROTO_SOURCE_PORT not in protocol:
        return None
    source_port, destination_port = (
        int.from_bytes(protocol[name], "big") for name in (_PROTO_SOURCE_PORT, _PROTO_DESTINATION_PORT)
    )
    source, destination = (socket.inet_ntoa(ip[name]) for name in (_IP_SOURCE, _IP_DESTINATION))
    return protocol[_PROTO_NUMBER][0], source, destination, source_port, destination_port
