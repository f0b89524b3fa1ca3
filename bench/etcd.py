"""The store over etcd: durable creates against bare etcd clients, and how soon another server's watchers hear of a write.

Bare clients keep nothing and follow nothing: one is gRPC's own library for asyncio, the other what the store itself calls with.

At last two `navarch server` processes share it, with all defaults, and the one whose controllers lead is killed: until the
other one holds the Leases, and until its controllers have done something.

Starts an etcd of its own (Debian: etcd-server) on free loopback ports, in a temporary directory, and ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import uvloop
from grpc import aio

# Beside this file.
from startup import API, POLL_SECONDS, wait_for

from navarch.apiserver.server import APIServer, APIServerConfig
from navarch.cli import server as servercommand
from navarch.cli.cluster import Cluster, Node
from navarch.cli.progress import Reporter
from navarch.client.client import Client
from navarch.component import garbage, kubeconfig
from navarch.component.pki import PKI, cluster_leaves
from navarch.storage.etcd import etcd_pb2 as pb
from navarch.storage.etcd.client import EtcdClient, EtcdError
from navarch.storage.etcd.config import EtcdConfig, parse
from navarch.storage.etcd.store import EtcdStore

# As the store's own connections: a ping now and then, answers of any size.
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
PREFIX = "/registry/configmaps/"
IN_FLIGHT = 64
ROUNDS = 3
VALUE_BYTES = 1000
START_TIMEOUT_SECONDS = 20.0
CALL_TIMEOUT_SECONDS = 10.0
RENEWALS = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Etcd:
    """One member, as Debian's package has it."""

    def __init__(self, directory: Path) -> None:
        self.config = EtcdConfig((f"127.0.0.1:{free_port()}",))
        url, peer = f"http://{self.config.endpoints[0]}", f"http://127.0.0.1:{free_port()}"
        command = ["etcd", "--name", "bench", "--data-dir", str(directory / "etcd"), "--initial-cluster", f"bench={peer}"]
        command += ["--listen-client-urls", url, "--advertise-client-urls", url]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        with (directory / "etcd.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> str:
        """Wait for it; its version."""
        client, deadline = EtcdClient(self.config), time.monotonic() + START_TIMEOUT_SECONDS
        try:
            while True:
                try:
                    await client.revision()
                    return (await client.status()).version
                except EtcdError:
                    if time.monotonic() > deadline:
                        raise
                    await asyncio.sleep(0.05)
        finally:
            await client.close()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


def body(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": "0a1b2c3d-0000-4000-8000-000000000000"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"text": "x" * VALUE_BYTES}}


async def per_second(write: Callable[[str], Awaitable[Any]], mark: str, count: int) -> float:
    """Creates in a second, so many at once."""

    async def lane(number: int) -> None:
        for index in range(count // IN_FLIGHT):
            await write(f"default/{mark}-{number}-{index}")

    began = time.perf_counter()
    await asyncio.gather(*(lane(number) for number in range(IN_FLIGHT)))
    return count // IN_FLIGHT * IN_FLIGHT / (time.perf_counter() - began)


async def creates(config: EtcdConfig, count: int) -> dict[str, float]:
    """Rounds of both, one after the other, so that what else the machine does meets both."""
    bare, channel = EtcdClient(config), aio.insecure_channel(config.endpoints[0], options=CHANNEL_OPTIONS)
    txn = channel.unary_unary(
        "/etcdserverpb.KV/Txn",
        request_serializer=pb.TxnRequest.SerializeToString,
        response_deserializer=pb.TxnResponse.FromString,
    )

    def create(name: str) -> pb.TxnRequest:
        key = (PREFIX + name).encode()
        # What a create has to be, whoever makes it.
        absent = pb.Compare(result=pb.Compare.EQUAL, target=pb.Compare.MOD, key=key, mod_revision=0)
        put = pb.RequestOp(request_put=pb.PutRequest(key=key, value=orjson.dumps(body(name))))
        return pb.TxnRequest(compare=[absent], success=[put])

    async def put_grpc(name: str) -> None:
        assert (await txn(create(name), timeout=CALL_TIMEOUT_SECONDS)).succeeded

    async def put_bare(name: str) -> None:
        assert (await bare.txn(create(name), CALL_TIMEOUT_SECONDS)).succeeded

    async def put_stored(name: str) -> None:
        obj = body(name)

        def data(revision: int | None) -> bytes:
            if revision is not None:
                obj["metadata"]["resourceVersion"] = str(revision)
            return orjson.dumps(obj)

        await db.put(PREFIX, PREFIX + name, data, None, obj)

    rates: dict[str, list[float]] = {"grpc": [], "bare": [], "stored": []}
    cpu: dict[str, list[float]] = {name: [] for name in rates}

    async def timed(name: str, write: Callable[[str], Awaitable[Any]], number: int) -> None:
        began = time.process_time()
        rates[name].append(await per_second(write, f"{name}-{number}", count))
        cpu[name].append((time.process_time() - began) / count * 1e6)

    for number in range(ROUNDS):
        await timed("grpc", put_grpc, number)
        await timed("bare", put_bare, number)
        # Only now: while others write, its watch would take from their time, or bring what they wrote into its own.
        db = EtcdStore(EtcdClient(config))
        await db.load()
        db.start()
        await timed("stored", put_stored, number)
        await db.stop()
    await bare.close()
    await channel.close(None)

    def ratio(baseline: str) -> float:
        return statistics.median(a / b for a, b in zip(rates["stored"], rates[baseline], strict=True))

    return {
        "creates_per_second": statistics.median(rates["stored"]),
        "baseline_creates_per_second": statistics.median(rates["grpc"]),
        "creates_ratio": ratio("grpc"),
        "own_client_creates_per_second": statistics.median(rates["bare"]),
        "own_client_creates_ratio": ratio("bare"),
        "create_cpu_us": statistics.median(cpu["stored"]),
        "baseline_create_cpu_us": statistics.median(cpu["grpc"]),
        "own_client_create_cpu_us": statistics.median(cpu["bare"]),
    }


async def load(config: EtcdConfig) -> dict[str, float]:
    """Reading what the rounds have left."""
    db = EtcdStore(EtcdClient(config))
    began = time.perf_counter()
    await db.load()
    took = time.perf_counter() - began
    count = len(db.collection(PREFIX).records)
    await db.stop()
    return {"load_objects": count, "load_objects_per_second": count / took}


async def servers(config: EtcdConfig, directory: Path, count: int) -> dict[str, float]:
    """Two API servers over one etcd: watches of one, writes and reads of the other."""
    pki = PKI(directory / "pki")
    pki.ensure(())
    settings = APIServerConfig(service_account_key_file=pki.service_account_key)
    one, other = (APIServer(settings, EtcdStore(EtcdClient(config))) for _ in range(2))
    for server in (one, other):
        await server.start()
    writer, reader = Client(one.transport()), Client(other.transport())
    await writer.create("namespaces", {"metadata": {"name": "bench"}})
    seen: asyncio.Queue[float] = asyncio.Queue()

    async def watch() -> None:
        async for _ in reader.watch("configmaps", "bench", resourceVersion=str(one.store.revision)):
            seen.put_nowait(time.perf_counter())

    watching = asyncio.ensure_future(watch())
    told, acknowledged, read = [], [], []
    for index in range(count):
        began = time.perf_counter()
        await writer.create("configmaps", {"metadata": {"name": f"n{index}", "namespace": "bench"}, "data": {"a": "b"}})
        acknowledged.append(time.perf_counter() - began)
        told.append(await seen.get() - began)
        began = time.perf_counter()
        await reader.get("configmaps", f"n{index}", "bench")
        read.append(time.perf_counter() - began)
    watching.cancel()

    async def get(name: str) -> None:
        await reader.get("configmaps", "n0", "bench")

    reads = await per_second(get, "", 20 * count)
    await asyncio.gather(watching, return_exceptions=True)
    for server in (one, other):
        await server.stop()
    return {
        "watch_ms_p50": statistics.median(told) * 1000,
        "watch_ms_p99": sorted(told)[int(len(told) * 0.99) - 1] * 1000,
        "create_ms_p50": statistics.median(acknowledged) * 1000,
        "consistent_get_ms_p50": statistics.median(read) * 1000,
        "consistent_gets_per_second": reads,
    }


class Server:
    """`navarch server` in a process of its own, over an etcd."""

    def __init__(self, directory: Path, name: str, etcd: EtcdConfig) -> None:
        data_dir = directory / name
        data_dir.mkdir()
        # What servers must share.
        shutil.copytree(directory / "pki", data_dir / "pki")
        port = free_port()
        (data_dir / "kubeconfig").write_text(kubeconfig.render(data_dir / "pki", f"https://127.0.0.1:{port}"))
        self.api = API(data_dir / "kubeconfig")
        command = [sys.executable, __file__, "--serve", str(data_dir), "--port", str(port), "--datastore", etcd.url]
        with (directory / f"{name}.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def ready(self) -> None:
        wait_for("a server is ready", lambda: self.api.request("GET", "/readyz") == b"ok")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def serve(data_dir: Path, port: int, datastore: str) -> None:
    """As the `server` command does."""
    # The address is only told to others.
    nodes = (Node("bench", "192.0.2.1"),)
    cluster = Cluster(data_dir, data_dir / "run", port, nodes, datastore=parse(datastore))
    sys.exit(servercommand.main(cluster, Reporter(None)))


def hand_over(directory: Path, etcd: EtcdConfig) -> dict[str, float]:
    """The leader's process is killed: until the other one has taken the Leases, and until a client sees what it does."""
    names = ("kube-controller-manager", "kube-scheduler")
    deployments, replicasets = (f"/apis/apps/v1/namespaces/default/{kind}" for kind in ("deployments", "replicasets"))

    def leases(api: API, field: str) -> list[str]:
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
        return [api.request("GET", f"{path}/{name}")["spec"][field] for name in names]

    def differ(some: list[str], others: list[str]) -> bool:
        return all(a != b for a, b in zip(some, others, strict=True))

    def deploy(api: API, name: str) -> None:
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "example.com/main:1"}]}}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        api.request("POST", deployments, {"metadata": {"name": name}, "spec": spec})

    def has_acted(api: API, name: str) -> bool:
        return bool(api.request("GET", f"{replicasets}?labelSelector=app%3D{name}")["items"])

    PKI(directory / "pki").ensure(cluster_leaves(addresses=["127.0.0.1"], host_names=["localhost"]))
    with ExitStack() as stack:
        leader = Server(directory, "leader", etcd)
        stack.callback(leader.kill)
        leader.ready()
        wait_for("the first one leads", lambda: all(leases(leader.api, "holderIdentity")))
        before = leases(leader.api, "holderIdentity")
        other = Server(directory, "other", etcd)
        stack.callback(other.kill)
        other.ready()
        deploy(other.api, "before")
        wait_for("its controllers act", lambda: has_acted(other.api, "before"))
        # The other one has been there for a while: it has seen them renewed. Just after that they are good for longest.
        for _ in range(RENEWALS):
            renewed = leases(other.api, "renewTime")
            while not differ(leases(other.api, "renewTime"), renewed):
                time.sleep(POLL_SECONDS)
        assert leases(other.api, "holderIdentity") == before
        killed = datetime.now(UTC)
        leader.kill()
        deploy(other.api, "after")
        wait_for("the other one leads", lambda: differ(leases(other.api, "holderIdentity"), before))
        wait_for("the other one's controllers act", lambda: has_acted(other.api, "after"))
        acted = datetime.now(UTC)
        # A client is told later: the other one has its hands full then.
        leads = max(datetime.fromisoformat(text) for text in leases(other.api, "acquireTime"))
        return {
            "hand_over_leads_seconds": (leads - killed).total_seconds(),
            "hand_over_acts_seconds": (acted - killed).total_seconds(),
        }


async def run(creates_count: int, events: int) -> dict[str, Any]:
    directory = Path(tempfile.mkdtemp(prefix="navarch-bench-etcd-"))
    etcd = Etcd(directory)
    try:
        figures: dict[str, Any] = {"etcd_version": await etcd.ready()}
        # As a server does before it serves.
        garbage.settle()
        figures |= await creates(etcd.config, creates_count)
        figures |= await load(etcd.config)
        figures |= await servers(etcd.config, directory, events)
        return figures | await asyncio.to_thread(hand_over, directory, etcd.config)
    finally:
        etcd.stop()
        shutil.rmtree(directory)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--creates", type=int, default=3200, help="of each kind in each round")
    arguments.add_argument("--events", type=int, default=300, help="writes whose way to a watcher is timed")
    arguments.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments.add_argument("--datastore", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.serve is not None:
        serve(options.serve, options.port, options.datastore)
    figures = uvloop.run(run(options.creates, options.events))
    for name, value in figures.items():
        print(f"{name:30} {value}" if isinstance(value, str) else f"{name:30} {value:12.3f}")
    print(json.dumps({name: value if isinstance(value, str) else round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
