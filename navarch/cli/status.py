"""`navarch status`: which processes run, whether the API answers, and what it says about the nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.cli import topology
from navarch.cli.cluster import Cluster
from navarch.cli.runtime import containerd_config
from navarch.component import processes
from navarch.component.processes import Process
from navarch.cri.containerd import Containerd

API_TIMEOUT_SECONDS = 5.0


def status(cluster: Cluster) -> int:
    """Print the state; the exit code is 0 if all of it runs and every node is Ready."""
    rows: list[tuple[str, ...]] = [("PROCESS", "STATE", "PID", "MEMORY", "UP")]
    server = processes.read(cluster.server_pid_file)
    rows.append(_row("server", server))
    found = [server]
    for node in cluster.nodes:
        process = processes.read(cluster.node_pid_file(node))
        runtime = Containerd(containerd_config(cluster, node)).running()
        rows.append(_row(node.name, process))
        rows.append(_row(f"{node.name} containerd", runtime))
        found += [process, runtime]
    _print(rows)
    nodes, problem = _nodes(cluster) if server is not None else ({}, "the server is not running: navarch up")
    print(f"\nAPI {cluster.server_url}: {problem or 'answers'}")
    ready = True
    if not problem:
        table: list[tuple[str, ...]] = [("NODE", "STATE", "ADDRESS", "PODS' NETWORK")]
        for node in cluster.nodes:
            obj = nodes.get(node.name)
            state = node_state(obj)
            if node.namespace and processes.read(cluster.node_pid_file(node)) is not None and not topology.is_plugged(node):
                state += ", cut off"
            ready = ready and state == "Ready"
            cidr = ((obj or {}).get("spec") or {}).get("podCIDR", "")
            table.append((node.name, state, node.address, cidr))
        _print(table)
    print(f"kubeconfig: {cluster.kubeconfig}")
    return 0 if all(found) and not problem and ready else 1


def node_state(node: Object | None) -> str:
    """As `kubectl get nodes` puts it."""
    if node is None:
        return "not registered"
    state = "Ready" if meta.is_condition_true(node, "Ready") else "NotReady"
    return f"{state},SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else state


def age(seconds: float) -> str:
    """A time span with its largest unit or two: 45s, 12m, 3h5m, 2d4h."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days}d{hours % 24}h"
    if hours:
        return f"{hours}h{minutes % 60}m"
    return f"{minutes}m" if minutes else f"{int(seconds)}s"


def _row(name: str, process: Process | None) -> tuple[str, ...]:
    if process is None:
        return name, "stopped", "-", "-", "-"
    return name, "running", str(process.pid), f"{process.resident_bytes // (1024 * 1024)} MiB", age(process.age_seconds)


def _print(rows: Iterable[tuple[str, ...]]) -> None:
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _nodes(cluster: Cluster) -> tuple[dict[str, Object], str]:
    try:
        return asyncio.run(_list_nodes(cluster)), ""
    except TimeoutError:
        return {}, f"does not answer within {API_TIMEOUT_SECONDS:.0f} s"
    except (OSError, StatusError) as error:
        return {}, f"does not answer: {error}"


async def _list_nodes(cluster: Cluster) -> dict[str, Object]:
    from navarch.client.client import Client
    from navarch.client.http import from_kubeconfig

    transport = from_kubeconfig(cluster.kubeconfig)
    try:
        async with asyncio.timeout(API_TIMEOUT_SECONDS):
            listed = await Client(transport).list("nodes")
    finally:
        await transport.close()
    return {meta.name(node): node for node in listed["items"]}
