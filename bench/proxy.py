"""Service rules: how long the kernel takes to know of one endpoint more, with many Services present.

    python bench/proxy.py [--services 1000] [--endpoints 10] [--changes 50]

Needs root; works in a network namespace of its own. A change is measured from the EndpointSlice to the kernel's answer. The
baseline is what a proxy does that knows no differences: loading the whole table again, by the same library.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from navarch.network import rules
from navarch.network.nftables import Nftables
from navarch.network.rules import Node, Plan
from navarch.network.table import Table

CLUSTER_CIDR = "10.244.0.0/16"
CLONE_NEWNET = 0x40000000
BASELINE_RUNS = 5


def service(index: int) -> dict[str, Any]:
    """Every tenth one has a node port, every twentieth session affinity."""
    node_port = {"nodePort": 30000 + index // 10} if index % 10 == 0 else {}
    return {
        "metadata": {"namespace": "bench", "name": f"s{index}"},
        "spec": {
            "type": "NodePort" if node_port else "ClusterIP",
            "clusterIP": f"10.96.{index // 250}.{index % 250 + 1}",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", **node_port}],
            "sessionAffinity": "ClientIP" if index % 20 == 1 else "None",
        },
    }


def slices(index: int, count: int) -> list[dict[str, Any]]:
    endpoints = [
        {"addresses": [f"10.244.{(index * 7 + n) % 200}.{n % 250 + 2}"], "nodeName": f"n{n % 3}", "conditions": {"ready": True}}
        for n in range(count)
    ]
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    return [{"addressType": "IPv4", "ports": ports, "endpoints": endpoints}]


def milliseconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def measure(services: int, endpoints: int, changes: int) -> dict[str, float]:
    node = Node("n0", CLUSTER_CIDR)
    table, nftables = Table(CLUSTER_CIDR), Nftables()
    plans: dict[int, Plan] = {}

    def plan(index: int, count: int) -> None:
        plans[index] = rules.plan(service(index), slices(index, count), node, plans.get(index))
        table.replace(str(index), plans[index].fragment)

    def plan_all() -> None:
        for index in range(services):
            plan(index, endpoints)

    planning = milliseconds(plan_all)
    whole = [milliseconds(lambda: nftables.run_now(table.everything())) for _ in range(BASELINE_RUNS)]

    def change(turn: int) -> None:
        # One endpoint comes, or goes again.
        plan(turn // 2 * 17 % services, endpoints + (turn + 1) % 2)
        nftables.run_now(table.changes())

    taken = [milliseconds(lambda turn=turn: change(turn)) for turn in range(changes)]  # type: ignore[misc]
    nftables.close()
    return {
        "services": services,
        "endpoints_per_service": endpoints,
        "elements": len(table),
        "plan_all_ms": round(planning, 1),
        "change_p50_ms": round(statistics.median(taken), 2),
        "change_p99_ms": round(percentile(taken, 0.99), 2),
        "change_max_ms": round(max(taken), 2),
        "baseline_reload_ms": round(statistics.median(whole), 1),
        "times_faster": round(statistics.median(whole) / statistics.median(taken), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--changes", type=int, default=50)
    options = parser.parse_args()
    libc = ctypes.CDLL("libc.so.6", use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise SystemExit(f"cannot make a network namespace ({os.strerror(ctypes.get_errno())}): run as root")
    figures = measure(options.services, options.endpoints, options.changes)
    print(f"{options.services} services with {options.endpoints} endpoints each: {figures['elements']} elements")
    print(f"one endpoint changed: median {figures['change_p50_ms']} ms, 99 % {figures['change_p99_ms']} ms (aim: 50 ms)")
    print(f"the whole table loaded again: {figures['baseline_reload_ms']} ms, {figures['times_faster']} times as long")
    print(json.dumps({"bench": "proxy", **figures}))


if __name__ == "__main__":
    main()
