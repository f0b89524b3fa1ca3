"""A fake API for informers, and a laboratory of network namespaces: two nodes with pods, and a client from outside."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from navarch.apimachinery.errors import Object
from navarch.client.transport import WatchEvent

CLUSTER_CIDR = "10.244.0.0/16"


def service(name: str = "web", ip: str = "10.96.0.20", namespace: str = "shop", **spec: Any) -> Object:
    ports = spec.pop("ports", [{"name": "http", "port": 80, "protocol": "TCP"}])
    labels = spec.pop("labels", {})
    status = spec.pop("status", {})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name, "uid": f"uid-{name}", "labels": labels, "resourceVersion": "1"},
        "spec": {"type": "ClusterIP", "clusterIP": ip, "ports": ports, **spec},
        "status": status,
    }


def endpoint(ip: str, node: str = "n1", **conditions: Any) -> Object:
    extra = {key: conditions.pop(key) for key in ("hostname", "hints") if key in conditions}
    return {"addresses": [ip], "nodeName": node, "conditions": {"ready": True, **conditions}, **extra}


def endpoint_slice(
    *endpoints: Object, service: str = "web", namespace: str = "shop", name: str = "", ports: Any = None
) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": name or f"{service}-1",
            "uid": f"uid-{name or service}",
            "labels": {"kubernetes.io/service-name": service},
            "resourceVersion": "1",
        },
        "addressType": "IPv4",
        "ports": ports or [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def node(name: str, ip: str, cidr: str, *, ready: bool = True) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": "1"},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": ip}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


class FakeAPI:
    """A `Transport` that lists and watches what it is told to hold."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Object]] = {}
        self._watchers: dict[str, list[asyncio.Queue[WatchEvent]]] = {}
        self._revision = 1

    def put(self, path: str, obj: Object) -> None:
        self._revision += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._revision)}}
        key = f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"
        present = key in self._objects.setdefault(path, {})
        self._objects[path][key] = obj
        self._tell(path, WatchEvent("MODIFIED" if present else "ADDED", obj))

    def delete(self, path: str, name: str, namespace: str = "") -> None:
        self._revision += 1
        obj = self._objects[path].pop(f"{namespace}/{name}")
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._revision)}}
        self._tell(path, WatchEvent("DELETED", obj))

    def _tell(self, path: str, event: WatchEvent) -> None:
        for queue in self._watchers.get(path, ()):
            queue.put_nowait(event)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "",
    ) -> Object:
        assert method == "GET"
        items = list(self._objects.get(path, {}).values())
        return {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": str(self._revision)}, "items": items}

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self._watchers.setdefault(path, []).append(queue)
        while True:
            yield await queue.get()

    async def close(self) -> None:
        pass


SERVICES_PATH = "/api/v1/services"
SLICES_PATH = "/apis/discovery.k8s.io/v1/endpointslices"
NODES_PATH = "/api/v1/nodes"


# The laboratory

_libc = ctypes.CDLL("libc.so.6", use_errno=True)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread, and threads it starts, are in the network namespace."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    target = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        assert _libc.setns(target, 0x40000000) == 0, os.strerror(ctypes.get_errno())
        yield
    finally:
        assert _libc.setns(own, 0x40000000) == 0
        os.close(own)
        os.close(target)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


PREFIX = f"nvt{os.getpid() % 10000}"


class Laboratory:
    """A switch (bridge in a namespace of its own), nodes n1 and n2 (routers of their pods), and `outside`."""

    nodes: Mapping[str, str] = {"n1": "10.89.200.11", "n2": "10.89.200.12", "outside": "10.89.200.50"}
    pods: Mapping[str, tuple[str, str]] = {
        "p1": ("n1", "10.244.0.2"),
        "p2": ("n1", "10.244.0.3"),
        "p3": ("n2", "10.244.1.2"),
    }

    def __init__(self) -> None:
        self._servers: list[socket.socket] = []

    def namespace(self, name: str) -> str:
        return f"{PREFIX}-{name}"

    def ip(self, command: str, namespace: str) -> None:
        run("ip", "-n", self.namespace(namespace), *command.split())

    def build(self) -> None:
        for name in ("switch", *self.nodes, *self.pods):
            run("ip", "netns", "add", self.namespace(name))
            self.ip("link set lo up", name)
        self.ip("link add switch type bridge", "switch")
        self.ip("link set switch up", "switch")
        for name, address in self.nodes.items():
            self._join(name, address, "switch", "switch")
        for name in ("n1", "n2"):
            self.ip("link add navarch-pods type bridge", name)
            self.ip(f"addr add 10.244.{int(name[1]) - 1}.1/24 dev navarch-pods", name)
            self.ip("link set navarch-pods up", name)
            self.ip("route add default via 10.89.200.50", name)
            with inside(self.namespace(name)):
                for setting in ("ipv4/ip_forward", "ipv4/conf/all/route_localnet", "bridge/bridge-nf-call-iptables"):
                    Path(f"/proc/sys/net/{setting}").write_text("1")
        self.ip("route add 10.244.1.0/24 via 10.89.200.12", "n1")
        self.ip("route add 10.244.0.0/24 via 10.89.200.11", "n2")
        self.ip("route add 10.96.0.0/16 via 10.89.200.11", "outside")
        self.ip("route add 192.0.2.1 via 10.89.200.11", "outside")
        for name, (home, address) in self.pods.items():
            self._join(name, address, home, "navarch-pods")
            self.ip(f"route add default via {address.rsplit('.', 1)[0]}.1", name)

    def _join(self, name: str, address: str, other: str, bridge: str) -> None:
        self.ip(f"link add eth0 type veth peer name to-{name} netns {self.namespace(other)}", name)
        self.ip(f"addr add {address}/24 dev eth0", name)
        self.ip("link set eth0 up", name)
        self.ip(f"link set to-{name} master {bridge} up", other)
        self.ip(f"link set to-{name} type bridge_slave hairpin on", other)

    def remove(self) -> None:
        self.stop_servers()
        for name in ("switch", *self.nodes, *self.pods):
            subprocess.run(["ip", "netns", "del", self.namespace(name)], check=False, capture_output=True)

    def stop_servers(self) -> None:
        for server in self._servers:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
        self._servers.clear()

    def nft(self, node: str, commands: str) -> str:
        with inside(self.namespace(node)):
            found = subprocess.run(["nft", "-f", "-"], input=commands, capture_output=True, text=True, check=False)
        assert not found.returncode, found.stderr
        return found.stdout

    def serve(self, place: str, port: int, *, udp: bool = False, address: str = "0.0.0.0") -> None:
        """Answer every connection with '<place> <address of the peer as seen here>'."""
        with inside(self.namespace(place)):
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        self._servers.append(server)
        if not udp:
            server.listen()
        threading.Thread(target=_serve_udp if udp else _serve_tcp, args=(server, place), daemon=True).start()

    def ask(self, place: str, address: str, port: int, *, udp: bool = False, source_port: int = 0) -> tuple[str, str]:
        """(who answered, whom they saw). Raises OSError (TimeoutError: no answer)."""
        with inside(self.namespace(place)):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        with client:
            client.settimeout(1)
            if source_port:
                client.bind(("0.0.0.0", source_port))
            client.connect((address, port))
            if udp:
                client.send(b"?")
            who, seen = client.recv(100).decode().split()
            return who, seen

    def exchange(self, place: str, address: str, port: int, data: bytes) -> bytes:
        """One datagram there and one back."""
        with inside(self.namespace(place)):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client:
            client.settimeout(2)
            client.connect((address, port))
            client.send(data)
            return client.recv(65535)


def _serve_tcp(server: socket.socket, place: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, peer = server.accept()
            with connection:
                connection.send(f"{place} {peer[0]}".encode())


def _serve_udp(server: socket.socket, place: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            _, peer = server.recvfrom(100)
            if peer is None:
                # Shut down.
                return
            server.sendto(f"{place} {peer[0]}".encode(), peer)
