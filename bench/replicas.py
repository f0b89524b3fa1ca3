"""What read replicas add: gets and watch events per second with one process, and with others that follow it.

    python bench/replicas.py [--quick] [--seconds 3] [--replicas 1]

The same load as bench/api.py has, over as many connections; the kernel gives each process its share of them. On a machine of
two cores the client takes part of one, so that what comes of it is told in CPU: that of all servers together for each request,
what share of a core the busiest one used, and what rate there would be if that had all of a core (and the others, too).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

# Beside this file.
from api import PODS, Bench, Client, encoded, pod, request

CONNECTIONS = 64
WATCHERS = 400
"""As many as make the writes that they watch the lesser part of the work."""
POD_BYTES = 3072


def serve(directory: Path, port: int, leader: Path | None) -> None:
    """One process, on a port that it shares; with `leader` a replica."""
    import uvloop

    from navarch.component.pki import PKI

    pki = PKI(directory / "pki")

    async def run() -> None:
        from navarch.apiserver.replication import FEED
        from navarch.apiserver.server import APIServer, APIServerConfig
        from navarch.storage.replica.store import ReplicaStore
        from navarch.storage.sqlite import SQLiteBackend
        from navarch.storage.store import LocalStore, Store

        config = APIServerConfig(
            service_account_key_file=pki.service_account_key,
            certificate_file=pki.certificate("apiserver"),
            key_file=pki.key("apiserver"),
            client_ca_file=pki.certificate("ca"),
            bind_address="127.0.0.1",
            port=port,
            shares_port=True,
            leader=leader,
        )
        store: Store = LocalStore(SQLiteBackend(directory / "navarch.db")) if leader is None else ReplicaStore(leader / FEED)
        server = APIServer(config, store)
        await server.listen()
        if leader is None:
            await server.serve_replicas(directory / "sockets")
        print(server.port, flush=True)
        await asyncio.Event().wait()

    uvloop.run(run())


class Servers:
    """A leader and its replicas under load: to the clients one server."""

    def __init__(self, directory: Path, replicas: int) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        self.port = 0
        self.port = self._start(directory)
        for _ in range(replicas):
            self._start(directory, "--leader", str(directory / "sockets"))

    def _start(self, directory: Path, *options: str) -> int:
        command = [sys.executable, __file__, "--serve", str(directory), "--port", str(self.port), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        assert process.stdout is not None
        return int(process.stdout.readline())

    def cpu_seconds_each(self) -> list[float]:
        found = []
        for process in self._processes:
            tasks = Path(f"/proc/{process.pid}/task").iterdir()
            found.append(sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9)
        return found

    def cpu_seconds(self) -> float:
        return sum(self.cpu_seconds_each())

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait()


@contextmanager
def running(directory: Path, replicas: int) -> Iterator[Servers]:
    servers = Servers(directory, replicas)
    try:
        yield servers
    finally:
        servers.stop()


def beside(servers: Servers, measure: Callable[[], dict[str, float]], rate: str) -> dict[str, float]:
    """A measurement (of as many things as it says, or as its rate tells), with what the busiest process used, and could do."""
    before, began = servers.cpu_seconds_each(), time.perf_counter()
    found = measure()
    took, after = time.perf_counter() - began, servers.cpu_seconds_each()
    busiest = max(b - a for a, b in zip(before, after, strict=True))
    full = found.get("events", found[rate] * took) / busiest
    return {**found, "rate": found[rate], "busiest_core": busiest / took, "rate_at_full_core": full}


def measured(directory: Path, replicas: int, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    with running(directory, replicas) as servers:
        client = Client(servers, directory)  # type: ignore[arg-type]
        bench = Bench(client, options)
        bench.prepare()
        found = {}

        def load(asked: bytes, seconds: float, expected: bytes = b"200") -> dict[str, float]:
            return client.measure(CONNECTIONS, lambda _: asked, seconds=seconds, expected=expected)

        for name, query in (("get", ""), ("get, any version", "?resourceVersion=0")):
            asked = request("GET", f"{PODS}/get{query}")
            load(asked, 0.3)
            found[name] = beside(servers, partial(load, asked, options.seconds), "per_second")
        revision = json.loads(_body(client, request("GET", f"{PODS}?limit=1")))["metadata"]["resourceVersion"]
        found["watch"] = beside(servers, lambda: bench.fan_out(WATCHERS, bench.padding, revision), "events_per_second")
        # Last: what is written fills the store.
        made = encoded({**pod("x", bench.padding), "metadata": {"generateName": "made-"}})
        posted = request("POST", PODS, made)
        found["post"] = beside(servers, partial(load, posted, options.seconds, b"201"), "per_second")
        client.close()
        return found


def _body(client: Client, asked: bytes) -> bytes:
    return client.connections(1)[0].whole(asked).partition(b"\r\n\r\n")[2]


def show(results: dict[str, dict[str, dict[str, float]]]) -> None:
    print(f"{'':24}{'/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}{'busiest core':>14}{'/s at a full core':>19}")
    for name, found in results.items():
        for what, figures in found.items():
            cost = figures.get("cpu_us", figures.get("cpu_us_per_event", 0.0))
            line = f"{what + ' ' + name:24}{figures['rate']:10.0f}{figures['p50_ms']:9.2f}{figures['p99_ms']:9.2f}{cost:9.1f}"
            print(line + f"{figures['busiest_core']:14.2f}{figures['rate_at_full_core']:19.0f}")


def run(options: argparse.Namespace) -> None:
    from navarch.component.pki import PKI, cluster_leaves

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    results: dict[str, Any] = {}
    for replicas in (0, options.replicas):
        directory = Path(tempfile.mkdtemp(prefix="navarch-bench-"))
        try:
            PKI(directory / "pki").ensure(cluster_leaves(addresses=["127.0.0.1"], host_names=["localhost"]))
            results[f"+{replicas}"] = measured(directory, replicas, options)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    show(results)
    print(json.dumps({"bench": "replicas", **results}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run, to try it")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement of single requests")
    parser.add_argument("--replicas", type=int, default=1, help="how many follow")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--leader", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port, options.leader)
        return
    options.delays, options.events = 20, 240_000
    if options.quick:
        options.seconds, options.events = 0.5, 10_000
    run(options)


if __name__ == "__main__":
    main()
