"""Whatever happens to the process or to its disk, nothing acknowledged is lost (`make crash-test` is the long form)."""

from __future__ import annotations

import asyncio
import os
import random
import resource as limits
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.client.client import Client
from navarch.client.http import HTTPTransport
from navarch.component.pki import PKI, cluster_leaves
from navarch.storage import sqlitefile
from navarch.storage.backend import StorageError
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore
from tests.apiserver.bench import Bench, bench
from tests.apiserver.samples import sample
from tests.etcd import free_port
from tests.storage.crashing import crash
from tests.storage.stores import opened, put, run, value_of

KILLS, SERVER_KILLS = 30, 3
LANES = 16
DISK_BYTES = 12_000_000


def test_a_store_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    survivor = crash(tmp_path / "navarch.db", KILLS, seed)
    assert survivor.writes > KILLS and survivor.seen and survivor.looked_back


# A whole server

SERVER = """
import asyncio, sys
from pathlib import Path
from navarch.apiserver.server import APIServer, APIServerConfig
from navarch.component.pki import PKI
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore

async def main() -> None:
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    pki = PKI(directory / "pki")
    config = APIServerConfig(
        service_account_key_file=pki.service_account_key, certificate_file=pki.certificate("apiserver"),
        key_file=pki.key("apiserver"), client_ca_file=pki.certificate("ca"), bind_address="127.0.0.1", port=port,
    )
    server = APIServer(config, LocalStore(SQLiteBackend(directory / "navarch.db")))
    await server.start()
    await server.listen()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Clients:
    """Who writes and watches, across all lives of the server."""

    def __init__(self, directory: Path, port: int) -> None:
        pki = PKI(directory / "pki")
        self._tls = ssl.create_default_context(cafile=str(pki.certificate("ca")))
        self._tls.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
        self._url = f"https://127.0.0.1:{port}"
        self.acknowledged: dict[str, tuple[int, str]] = {}
        self.seen: dict[int, str] = {}
        self.listed = 0

    async def life(self, number: int, process: subprocess.Popen[bytes], writes: int) -> None:
        """Load, until the server is killed."""
        transport = HTTPTransport(self._url, tls=self._tls)
        client = Client(transport)
        started = int((await client.list("configmaps", "default"))["metadata"]["resourceVersion"])
        assert started >= max([self.listed, *self.seen, *(at for at, _ in self.acknowledged.values())])
        self.listed = self.listed or started
        lanes = [asyncio.ensure_future(self._write(client, number, lane)) for lane in range(LANES)]
        watching = asyncio.ensure_future(self._watch(client))
        before = len(self.acknowledged)
        while len(self.acknowledged) < before + writes:
            assert process.poll() is None
            await asyncio.sleep(0.001)
        process.kill()
        for result in await asyncio.gather(watching, *lanes, return_exceptions=True):
            # What a watcher makes of an event is an AssertionError; anything else is the server's end.
            assert isinstance(result, ConnectionError | None), repr(result)
        await transport.close()

    async def _write(self, client: Client, life: int, lane: int) -> None:
        count = 0
        while True:
            name, text = f"n{life}-{lane}-{count}", f"{life}-{lane}-{count}" * 50
            made = await client.create("configmaps", {"metadata": {"name": name}, "data": {"text": text}}, "default")
            self.acknowledged[name] = int(made["metadata"]["resourceVersion"]), text
            count += 1

    async def _watch(self, client: Client) -> None:
        async for event in client.watch("configmaps", "default", resourceVersion=str(max(self.seen, default=self.listed))):
            revision = int(event.object["metadata"]["resourceVersion"])
            assert event.type == "ADDED" and revision > max(self.seen, default=self.listed)
            self.seen[revision] = event.object["metadata"]["name"]

    async def check(self) -> None:
        transport = HTTPTransport(self._url, tls=self._tls)
        client = Client(transport)
        listed = await client.list("configmaps", "default")
        found = {
            item["metadata"]["name"]: (int(item["metadata"]["resourceVersion"]), item["data"].get("text"))
            for item in listed["items"]
            if item["metadata"]["name"].startswith("n")
        }
        assert {name: found.get(name) for name in self.acknowledged} == self.acknowledged
        assert all(len(text or "") >= 50 for _, text in found.values())
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                watching = asyncio.ensure_future(self._watch(client))
                while set(self.seen.values()) < set(found):
                    await asyncio.sleep(0.001)
                watching.cancel()
        assert self.seen == {revision: name for name, (revision, _) in found.items()}
        await transport.close()


def started(directory: Path, port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", SERVER, directory, str(port)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return process


def ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_an_api_server_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    PKI(tmp_path / "pki").ensure(cluster_leaves(addresses=(), host_names=()))
    port = free_port()
    clients = Clients(tmp_path, port)
    for number in range(SERVER_KILLS):
        process = started(tmp_path, port)
        try:
            asyncio.run(clients.life(number, process, 100 + 57 * number))
        finally:
            ended(process)
    process = started(tmp_path, port)
    try:
        asyncio.run(clients.check())
    finally:
        ended(process)
    assert list(sqlitefile.check(tmp_path / "navarch.db")) == []


# A disk that fails


def filled_until_refused(api: Bench, first: int) -> tuple[list[str], Any]:
    """Names of what was acknowledged, and the answer that was none."""
    made: list[str] = []
    while True:
        name = f"n{first + len(made)}"
        body = {**sample(resource("configmaps"), name), "data": {"a": "x" * 100_000}}
        reply = api.post("configmaps", body)
        if reply.status != 201:
            return made, reply
        made.append(name)
        assert len(made) < 1000


def names(api: Bench) -> set[str]:
    return {item["metadata"]["name"] for item in api.list("configmaps", "default").json["items"]} - {"kube-root-ca.crt"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 file system on a loop device."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    image, mount = tmp_path / "disk", tmp_path / "small"
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    mount.mkdir()
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.root
def test_a_disk_that_is_full_and_has_room_again_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    database = small_disk / "navarch.db"
    made: list[str] = []
    with bench(tmp_path, SQLiteBackend(database)) as api:
        for ballast in (small_disk / f"ballast-{number}" for number in range(2)):
            ballast.write_bytes(b"x" * 1_000_000)
        for number in range(2):
            more, refused = filled_until_refused(api, len(made))
            made += more
            assert (refused.status, refused.json["kind"], refused.json["code"]) == (507, "Status", 507)
            assert "no space left" in refused.message
            assert names(api) == set(made), "reads go on"
            assert api.get("configmaps", made[0]).status == 200
            (small_disk / f"ballast-{number}").unlink()
            name = f"after-{number}"
            assert api.post("configmaps", sample(resource("configmaps"), name)).status == 201, "writes are taken again"
            made.append(name)
    assert list(sqlitefile.check(database)) == []
    with bench(tmp_path, SQLiteBackend(database)) as api:
        assert names(api) == set(made)


def test_an_error_of_the_disk_is_told_and_passes(tmp_path: Path) -> None:
    """No file may grow any more: what the kernel says then is no full disk."""
    before = limits.getrlimit(limits.RLIMIT_FSIZE)
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        size = max((tmp_path / name).stat().st_size for name in ("navarch.db", "navarch.db-wal"))
        limits.setrlimit(limits.RLIMIT_FSIZE, (size + 300_000, before[1]))
        try:
            made, refused = filled_until_refused(api, 0)
            assert (refused.status, refused.reason) == (500, "InternalError") and "cannot write to" in refused.message
            assert names(api) == set(made)
        finally:
            limits.setrlimit(limits.RLIMIT_FSIZE, before)
        assert api.post("configmaps", sample(resource("configmaps"), "after")).status == 201
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        assert names(api) == {*made, "after"}


def test_a_file_that_has_become_read_only_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        backend = SQLiteBackend(tmp_path / "navarch.db")
        async with opened(LocalStore(backend)) as db:
            await put(db, "a/1", 1)
            backend._connection.execute("PRAGMA query_only = 1")
            with pytest.raises(StorageError, match=r"cannot write to .*readonly"):
                await put(db, "a/1", 2)
            assert db.problem and value_of(db.latest("/registry/configmaps/", "/registry/configmaps/a/1")) == 1
            backend._connection.execute("PRAGMA query_only = 0")
            await put(db, "a/1", 3)
            assert not db.problem

    run(test)


@pytest.mark.root
def test_a_file_system_that_is_read_only_is_refused_at_the_start(small_disk: Path) -> None:
    with closing(SQLiteBackend(small_disk / "navarch.db")):
        pass
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StorageError, match=r"navarch\.db.*Read-only file system"):
        SQLiteBackend(small_disk / "navarch.db")
