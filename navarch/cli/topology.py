"""Nodes as network namespaces of one machine, each with a cable to a switch.

    machine ── navarch0 (bridge, 10.89.0.1/24) ──┬── nv-node-1 ══ eth0 10.89.0.11 (namespace navarch-node-1)
                                                 └── nv-node-2 ══ eth0 10.89.0.12 (namespace navarch-node-2)

Making it again changes nothing that is right. What leaves the machine from a node is masqueraded by a table of ours; the rules
of the machine's owner stay as they are. Taking a cable out (`cut`) is setting the machine's end of it down.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from navarch.cli.cluster import BRIDGE, BRIDGE_ADDRESS, NODE_NETWORK, POD_CIDR, CommandError, Node
from navarch.network import links

NAMESPACES = Path("/run/netns")
TABLE = "navarch-machine"
COMMAND_TIMEOUT_SECONDS = 20.0
PREFIX_LENGTH = NODE_NETWORK.split("/")[1]
# An interface's name has at most 15 characters.
CABLE_PREFIX = "nv-"


def cable(node: Node) -> str:
    """The machine's end of the node's cable."""
    return f"{CABLE_PREFIX}{node.name}"


def enter(node: Node) -> list[str]:
    """What stands before a command that runs on the node. Only the network is the node's: mounts must be seen by everybody."""
    return ["nsenter", f"--net={NAMESPACES / node.namespace}", "--"] if node.namespace else []


def make_switch() -> None:
    """The bridge, and the way out of the machine."""
    if not _exists(BRIDGE):
        _ip_batch([f"link add {BRIDGE} type bridge"])
    # Of its own: by default it is the lowest of the cables' and changes when that one goes, and until the other nodes ask again
    # who the machine is, half a minute later, their packets go nowhere.
    hardware = links.hardware_address(BRIDGE_ADDRESS).hex(":")
    _ip_batch(
        [
            f"link set {BRIDGE} address {hardware}",
            f"address replace {BRIDGE_ADDRESS}/{PREFIX_LENGTH} dev {BRIDGE}",
            f"link set {BRIDGE} up",
        ]
    )
    _nft(
        f"table ip {TABLE} {{}}\ndelete table ip {TABLE}\n"
        f"table ip {TABLE} {{\n"
        " chain postrouting {\n"
        "  type nat hook postrouting priority srcnat; policy accept;\n"
        f"  ip saddr {NODE_NETWORK} ip daddr != {{ {NODE_NETWORK}, {POD_CIDR} }} masquerade\n"
        " }\n}\n"
    )


def make_node(node: Node) -> None:
    """The node's namespace and its cable, plugged in."""
    path = NAMESPACES / node.namespace
    if path.exists() and not _is_namespace(path):
        # The mount is gone with the last boot; where /run is no tmpfs the file is not.
        path.unlink()
    if not path.exists():
        _run(["ip", "netns", "add", node.namespace])
    if not _exists(cable(node)):
        _ip_batch([f"link add {cable(node)} type veth peer name eth0 netns {node.namespace}"])
    _ip_batch([f"link set {cable(node)} master {BRIDGE}", f"link set {cable(node)} up"])
    _ip_batch(
        [
            "link set lo up",
            f"address replace {node.address}/{PREFIX_LENGTH} dev eth0",
            "link set eth0 up",
            f"route replace default via {BRIDGE_ADDRESS}",
        ],
        namespace=node.namespace,
    )


def remove_node(node: Node) -> None:
    """Take the node's namespace away; its interfaces, routes and tables go with it."""
    if _exists(cable(node)):
        # Deleting one end deletes both at once; the namespace itself takes the kernel a moment.
        _ip_batch([f"link delete {cable(node)}"])
    _delete_namespace(NAMESPACES / node.namespace)


def remove_leftovers() -> None:
    """Everything of ours by its name, whether a cluster is known or not."""
    for path in sorted(NAMESPACES.glob("navarch-*")):
        _delete_namespace(path)
    for link in [*_links(CABLE_PREFIX), *([BRIDGE] if _exists(BRIDGE) else [])]:
        _ip_batch([f"link delete {link}"])
    _nft(f"table ip {TABLE} {{}}\ndelete table ip {TABLE}\n")


def set_cable(node: Node, *, plugged: bool) -> None:
    """Take the cable out, or put it in again."""
    if not node.namespace:
        raise CommandError(
            f"{node.name} is this machine itself: its cable cannot be cut. Make several nodes: navarch up --nodes 3"
        )
    if not _exists(cable(node)):
        raise CommandError(f"{node.name} is not running; start it with: navarch node start {node.name}")
    _ip_batch([f"link set {cable(node)} {'up' if plugged else 'down'}"])


def is_plugged(node: Node) -> bool:
    """Whether the machine's end of the node's cable is up."""
    try:
        flags = int(Path("/sys/class/net", cable(node), "flags").read_text(), 16)
    except OSError:
        return False
    return bool(flags & 1)


def host_addresses() -> dict[str, list[str]]:
    """The machine's IPv4 addresses by interface; loopback, and what navarch itself makes, are left out."""
    found: dict[str, list[str]] = {}
    links: list[dict[str, Any]] = json.loads(_run(["ip", "-json", "-4", "address"]) or "[]")
    for link in links:
        name = link.get("ifname", "")
        if name == "lo" or name.startswith(("navarch", "veth", CABLE_PREFIX)):
            continue
        addresses = [entry["local"] for entry in link.get("addr_info", ()) if entry.get("scope") == "global"]
        if addresses:
            found[name] = addresses
    return found


def _delete_namespace(path: Path) -> None:
    if path.exists() and _is_namespace(path):
        _run(["ip", "netns", "delete", path.name])
    path.unlink(missing_ok=True)


def _is_namespace(path: Path) -> bool:
    return path.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev


def _exists(link: str) -> bool:
    return Path("/sys/class/net", link).exists()


def _links(prefix: str) -> list[str]:
    return sorted(path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith(prefix))


def _ip_batch(commands: Iterable[str], *, namespace: str = "") -> None:
    inside = ["-netns", namespace] if namespace else []
    _run(["ip", *inside, "-batch", "-"], "".join(f"{command}\n" for command in commands))


def _nft(commands: str) -> None:
    _run(["nft", "-f", "-"], commands)


def _run(command: Sequence[str], text: str = "") -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_SECONDS, check=False)
    except FileNotFoundError as error:
        raise CommandError(f"{command[0]} is not installed: apt-get install iproute2 nftables") from error
    if done.returncode:
        raise CommandError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}\n{text.strip()}".strip())
    return done.stdout
