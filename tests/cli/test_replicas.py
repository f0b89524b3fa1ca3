"""`--read-replicas`: real processes on one port. What is written over one connection is read over any; who dies is replaced."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest

from navarch.cli import replicas
from navarch.cli.cluster import Cluster, CommandError, Node, load, with_replicas
from navarch.cli.main import main
from navarch.component.httpclient import HTTPClient
from navarch.component.pki import PKI, cluster_leaves
from navarch.component.processes import command_line, descendants
from navarch.storage.etcd.config import EtcdConfig
from tests.etcd import free_port

T = TypeVar("T")
CONNECTIONS, CONNECTIONS_LIMIT = 12, 100
PATIENCE_SECONDS = 60.0
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


class Server:
    """A server with read replicas, and connections to it."""

    def __init__(self, cluster: Cluster, replicas: int) -> None:
        self.cluster = cluster
        pki = PKI(cluster.pki_dir)
        pki.ensure(cluster_leaves(addresses=["127.0.0.1"], host_names=["localhost"]))
        self.tls = ssl.create_default_context(cafile=str(pki.certificate("ca")))
        self.tls.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
        command = [sys.executable, "-m", "navarch.cli.main", "server", "--data-dir", str(cluster.data_dir)]
        with (cluster.data_dir / "log").open("wb") as log:
            self.process = subprocess.Popen([*command, "--read-replicas", str(replicas)], stdout=log, stderr=log)

    def replicas(self) -> list[int]:
        """Process ids."""
        return [pid for pid in descendants([self.process.pid]) if "--replica-of" in command_line(pid)]

    def listening(self) -> set[int]:
        """Of the processes that take connections."""
        return {pid for pid in (self.process.pid, *self.replicas()) if _inodes(pid) & _sockets(self.cluster.port, "0A").keys()}

    def answering(self, port: int) -> int | None:
        """Who has taken the connection that comes from this port."""
        taken = [inode for inode, peer in _sockets(self.cluster.port, "01").items() if peer == port]
        return next((pid for pid in (self.process.pid, *self.replicas()) if _inodes(pid) & set(taken)), None)

    def client(self) -> HTTPClient:
        return HTTPClient(f"https://127.0.0.1:{self.cluster.port}", tls=self.tls)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)


def _sockets(port: int, state: str) -> dict[int, int]:
    """inode -> the peer's port, of sockets on a local port in a state."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == state and int(fields[1].partition(":")[2], 16) == port:
            found[int(fields[9])] = int(fields[2].partition(":")[2], 16)
    return found


def _inodes(pid: int) -> set[int]:
    found = set()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    except OSError:
        # It has just ended.
        pass
    return found


def until(condition: Callable[[], T]) -> T:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)
    return found


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    found = Cluster(tmp_path, nodes=(Node("a", "127.0.0.1"),))
    found.save()
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # A socket's path is short.
    run_dir = Path(tempfile.mkdtemp(prefix="navarch-"))
    cluster = Cluster(tmp_path_factory.mktemp("data"), run_dir, free_port(), (Node("a", "127.0.0.1"),))
    cluster.save()
    found = Server(cluster, 1)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.stop()
        shutil.rmtree(run_dir)


@pytest.fixture
def server(shared: Server) -> Server:
    """With its replica beside it."""
    until(lambda: len(shared.listening()) == 2)
    return shared


async def ask(client: HTTPClient, method: str, path: str, body: Any = None) -> Any:
    content = orjson.dumps(body) if body is not None else b""
    answer = await client.request(method, path, headers={"Content-Type": "application/json"}, body=content)
    return answer.status, orjson.loads(answer.body)


def port_of(client: HTTPClient) -> int:
    (connection,) = client._open
    return int(connection._transport.get_extra_info("sockname")[1])


def test_what_one_connection_has_written_every_other_one_reads(server: Server) -> None:
    async def test() -> None:
        clients: list[HTTPClient] = []
        answering: set[int | None] = set()
        # The kernel gives each its share.
        while len(clients) < CONNECTIONS or not {server.process.pid, *server.replicas()} <= answering:
            assert len(clients) < CONNECTIONS_LIMIT
            clients.append(server.client())
            assert (await ask(clients[-1], "GET", "/version"))[0] == 200
            answering.add(server.answering(port_of(clients[-1])))
        for number in range(60):
            body = {"metadata": {"name": "shared"}, "data": {"number": str(number)}}
            writer = clients[number % len(clients)]
            if number:
                _, made = await ask(writer, "PUT", f"{CONFIGMAPS}/shared", body)
            else:
                _, made = await ask(writer, "POST", CONFIGMAPS, body)
            found = await asyncio.gather(*(ask(client, "GET", f"{CONFIGMAPS}/shared") for client in clients))
            assert found == [(200, made)] * len(clients)
        for client in clients:
            client.close()
            await client.wait_closed()

    asyncio.run(test())


def test_an_upgraded_connection_goes_through_a_replica(server: Server) -> None:
    import websockets

    async def test() -> None:
        url = f"wss://127.0.0.1:{server.cluster.port}{CONFIGMAPS}?watch=1"
        through: set[int | None] = set()
        while through != {server.process.pid, *server.replicas()}:
            async with websockets.connect(url, ssl=server.tls) as watching:
                first = orjson.loads(await watching.recv())
                assert first["type"] == "ADDED" and first["object"]["kind"] == "ConfigMap"
                through.add(server.answering(watching.local_address[1]))

    until(lambda: _has_configmap(server))
    asyncio.run(asyncio.wait_for(test(), PATIENCE_SECONDS))


def _has_configmap(server: Server) -> bool:
    async def test() -> bool:
        client = server.client()
        await ask(client, "POST", CONFIGMAPS, {"metadata": {"name": "first"}})
        status, _ = await ask(client, "GET", f"{CONFIGMAPS}/first")
        client.close()
        await client.wait_closed()
        return bool(status == 200)

    return asyncio.run(test())


def test_a_replica_that_dies_is_replaced_and_the_server_answers_meanwhile(server: Server) -> None:
    (before,) = server.replicas()
    os.kill(before, signal.SIGKILL)
    until(lambda: server.listening() == {server.process.pid})
    assert _has_configmap(server)
    until(lambda: len(server.listening()) == 2)
    (after,) = server.replicas()
    assert after != before


def test_where_the_server_is_killed_nobody_answers(server: Server) -> None:
    """The last one: nothing is left of it."""
    server.process.kill()
    server.process.wait()
    until(lambda: not _sockets(server.cluster.port, "0A"))


def test_a_replica_that_hangs_is_ended_and_replaced(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "LOOK_SECONDS", 0.02)
    hangs: set[int] = set()
    supervisor = replicas.Supervisor(replace(cluster, read_replicas=1), cluster.data_dir, 0, lambda: hangs)
    supervisor._command = ["sleep", "60"]

    def running() -> list[int]:
        return [pid for pid in descendants([os.getpid()]) if command_line(pid) == supervisor._command]

    async def other_than(before: list[int]) -> list[int]:
        while len(found := running()) != 1 or found == before:
            await asyncio.sleep(0.01)
        return found

    async def test() -> None:
        supervisor.start()
        first = await other_than([])
        hangs.update(first)
        second = await other_than(first)
        await supervisor.stop()
        assert first != second and running() == []

    asyncio.run(asyncio.wait_for(test(), PATIENCE_SECONDS))


# Options


def test_a_cluster_remembers_its_replicas(cluster: Cluster) -> None:
    with_replicas(cluster, 2).save()
    found = load(cluster.data_dir)
    assert found is not None and found.read_replicas == 2
    assert with_replicas(found, None).read_replicas == 2 and with_replicas(found, 0).read_replicas == 0


def test_etcd_has_servers_instead(cluster: Cluster) -> None:
    with pytest.raises(CommandError, match="with etcd every server answers reads"):
        with_replicas(replace(cluster, datastore=EtcdConfig(("10.0.0.1:2379",))), 1)


@pytest.mark.parametrize("count", ["-1", "17"])
def test_a_number_that_cannot_be_meant_is_refused(count: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", "--data-dir", str(cluster.data_dir), f"--read-replicas={count}"]) == 1
    assert f"--read-replicas must be from 0 to 16, not {count}" in capsys.readouterr().err
