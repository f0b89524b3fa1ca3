"""The store of one server: durable creates against etcd and beside reads, its longest commits, its start, memory, file.

    python bench/store.py [--quick] [--seconds 3] [--objects 50000] [--directory DIR]

Starts an etcd of its own (Debian: etcd-server) on free loopback ports and ends it. The same loop writes into both, one round
after the other, so that what else the machine and its disk do meets both. `--directory` is on the disk to measure.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

# Beside this file.
from etcd import CALL_TIMEOUT_SECONDS, Etcd

from navarch.component import garbage
from navarch.storage.changes import Change, Record
from navarch.storage.etcd import etcd_pb2 as pb
from navarch.storage.etcd.client import EtcdClient
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore

PREFIX = "/registry/configmaps/"
MEMORY = Path("/dev/shm")
ROUNDS = 5
VALUE_BYTES, OBJECT_BYTES = 1000, 3000
IN_FLIGHT = 64
CPU_LANES = 16
"""Of so many lanes one has its processor time measured."""
CHURNED_OBJECTS_PER_LANE = 125
CHURN_MEASURED = 6
READERS, WRITERS_BESIDE = 30, 16
# What a read costs the processor.
READ_SECONDS = 0.0001
LOAD_BATCH = 1000
WRITES_AFTER_START = 10_000
# As hard to compress as identifiers and hashes are.
PADDING = bytes(random.Random(1).choices(b"0123456789abcdef", k=2 * OBJECT_BYTES))
TICKS = os.sysconf("SC_CLK_TCK")

Write = Callable[[str, int], Awaitable[Any]]
"""Stores one object of a name and about so many bytes."""


OBJECT = (
    b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%b","namespace":"default",'
    b'"uid":"0a1b2c3d-0000-4000-8000-000000000000"%b},"data":{"text":"%b"}}'
)


def encoded(name: str, size_bytes: int, revision: int | None = None) -> bytes:
    """An object as somebody else has encoded it: it is not the encoder that is measured."""
    start = hash(name) % OBJECT_BYTES
    version = b"" if revision is None else b',"resourceVersion":"%d"' % revision
    return OBJECT % (name.encode(), version, PADDING[start : start + size_bytes])


class Local:
    """The store over SQLite, its commits timed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        backend = SQLiteBackend(path)
        self.commits: list[float] = []
        self.commits_cpu: list[float] = []
        """How long each took, and for how long of it this process, all its threads, was at work."""
        self.writes_cpu: list[float] = []
        """For how long there was work meanwhile that a write has to wait for."""
        self._append, self._forget = backend.append, backend.forget
        backend.append = self._timed  # type: ignore[method-assign, assignment]
        self.steps: list[float] = []
        self.steps_cpu: list[float] = []
        """Of compaction: how long each took, and for how long of it the processor was at work for it."""
        backend.forget = self._timed_step  # type: ignore[method-assign, assignment]
        checkpointer = backend._checkpointer
        self._gate, self._copy = checkpointer.gate, checkpointer._copy
        checkpointer._copy = self._timed_copy  # type: ignore[method-assign]
        self._loop_thread = threading.get_ident()
        self._beside_cpu = 0.0
        self.store = LocalStore(backend)

    def worked(self) -> float:
        """The processor's time for the event loop and, where that is done in other threads, for commits and what bars them."""
        return time.thread_time() + self._beside_cpu

    def _timed(self, changes: Any, *others: Any) -> None:
        began, cpu, mine = time.perf_counter(), time.process_time(), time.thread_time()
        self._append(changes, *others)
        self.commits.append(time.perf_counter() - began)
        self.commits_cpu.append(time.process_time() - cpu)
        if threading.get_ident() != self._loop_thread:
            self._beside_cpu += time.thread_time() - mine

    def _timed_step(self, *arguments: Any) -> None:
        began, cpu = time.perf_counter(), time.thread_time()
        self._forget(*arguments)
        self.steps.append(time.perf_counter() - began)
        self.steps_cpu.append(time.thread_time() - cpu)
        self._beside_cpu += self.steps_cpu[-1]

    def _timed_copy(self) -> None:
        cpu = time.thread_time()
        self._copy()
        # Also where it is the writer who holds it: rather too much than too little.
        if self._gate.locked():
            self._beside_cpu += time.thread_time() - cpu

    async def open(self) -> None:
        await self.store.load()
        self.store.start()

    async def write(self, name: str, size_bytes: int) -> None:
        """Create it, or replace what there is."""
        key = PREFIX + name
        base = self.store.latest(PREFIX, key)
        await self.store.put(PREFIX, key, lambda revision: encoded(name, size_bytes, revision), base)

    def file_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.path.parent.glob(f"{self.path.name}*"))


class Bare:
    """etcd itself, with the transaction that a create has to be, whoever makes it."""

    def __init__(self, client: EtcdClient) -> None:
        self.client = client

    async def write(self, name: str, size_bytes: int) -> None:
        key, value = (PREFIX + name).encode(), encoded(name, size_bytes)
        absent = pb.Compare(result=pb.Compare.EQUAL, target=pb.Compare.MOD, key=key, mod_revision=0)
        put = pb.RequestOp(request_put=pb.PutRequest(key=key, value=value))
        answer = await self.client.txn(pb.TxnRequest(compare=[absent], success=[put]), CALL_TIMEOUT_SECONDS)
        assert answer.succeeded


async def load_for(
    write: Write, mark: str, in_flight: int, seconds: float, size_bytes: int, local: Local | None = None
) -> list[float]:
    """Creates for a while, so many at once; how long each took. `local` notes for how long of it there was work for them."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def lane(number: int) -> None:
        # It takes microseconds to ask for, and each lane stands for all.
        measured = local if number % CPU_LANES == 0 else None
        count = 0
        while (began := time.perf_counter()) < until:
            worked = measured.worked() if measured is not None else 0.0
            await write(f"default/{mark}-{number}-{count}", size_bytes)
            took.append(time.perf_counter() - began)
            if measured is not None:
                measured.writes_cpu.append(measured.worked() - worked)
            count += 1

    await asyncio.gather(*(lane(number) for number in range(in_flight)))
    return took


def quantile_ms(seconds: list[float], share: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] * 1000


def times(prefix: str, seconds: list[float]) -> dict[str, float]:
    found = {f"{prefix}_p{int(share * 100)}": quantile_ms(seconds, share) for share in (0.5, 0.99)}
    return {**found, f"{prefix}_max": max(seconds) * 1000}


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def creates(local: Local, etcd: Etcd, in_flight: int, seconds: float) -> dict[str, float]:
    """Rounds of both, one after the other."""
    bare = Bare(EtcdClient(etcd.config))
    took: dict[str, list[float]] = {"store": [], "etcd": []}
    rates: dict[str, list[float]] = {"store": [], "etcd": []}
    cpu = {"store": 0.0, "etcd": 0.0}
    for number in range(ROUNDS):
        for name, write in (("etcd", bare.write), ("store", local.write)):
            cpu_before = time.process_time(), cpu_of(etcd.pid)
            found = await load_for(write, f"{in_flight}-{number}", in_flight, seconds, VALUE_BYTES)
            took[name] += found
            rates[name].append(len(found) / seconds)
            cpu[name] += time.process_time() - cpu_before[0]
            if name == "etcd":
                cpu[name] += cpu_of(etcd.pid) - cpu_before[1]
    await bare.client.close()
    figures: dict[str, float] = {}
    for name in took:
        key = f"{name}_{in_flight}"
        figures[f"{key}_per_second"] = statistics.median(rates[name])
        figures |= times(f"{key}_ms", took[name])
        figures[f"{key}_cpu_us"] = cpu[name] / len(took[name]) * 1e6
    ratio = statistics.median(a / b for a, b in zip(rates["store"], rates["etcd"], strict=True))
    return {**figures, f"ratio_{in_flight}": ratio}


# Under checkpoints and compaction


class Syncs:
    """What the disk alone does meanwhile: one page appended to a file and synced, again and again, from a thread."""

    def __init__(self, path: Path) -> None:
        self.took: list[float] = []
        self._path, self._ended = path, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Syncs:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with self._path.open("wb", buffering=0) as file:
            # Seldom, so that it measures the disk and is no load.
            while not self._ended.wait(0.02):
                began = time.perf_counter()
                file.write(bytes(4096))
                os.fdatasync(file.fileno())
                self.took.append(time.perf_counter() - began)


async def churn(path: Path, seconds: float, prefix: str = "churn") -> dict[str, float]:
    """The same objects written anew without end: the window is full after some seconds, and compacted from then on."""
    local = Local(path)
    await local.open()
    sizes, written, took = [], 0, []

    async def write(name: str, size_bytes: int) -> None:
        lane, count = (int(part) for part in name.rsplit("-", 2)[1:])
        await local.write(f"default/churn-{lane}-{count % CHURNED_OBJECTS_PER_LANE}", size_bytes)

    with Syncs(local.path.with_name("syncs")) as syncs:
        for _ in range(CHURN_MEASURED):
            found = await load_for(write, "churn", IN_FLIGHT, seconds, OBJECT_BYTES, local)
            took += found
            written += len(found) * OBJECT_BYTES
            sizes.append(local.file_bytes())
    await local.store.stop()
    figures = {"written_mb": written / 1e6, "per_second": len(took) / seconds / CHURN_MEASURED}
    figures |= times("ms", took) | times("cpu_ms", local.writes_cpu) | times("baseline_sync_ms", syncs.took)
    figures |= times("commit_ms", local.commits) | times("commit_cpu_ms", local.commits_cpu)
    if local.steps:
        figures |= times("compaction_step_ms", local.steps) | times("compaction_step_cpu_ms", local.steps_cpu)
    halves = max(sizes[: CHURN_MEASURED // 2]), max(sizes[CHURN_MEASURED // 2 :])
    figures |= {"file_mb": halves[1] / 1e6, "file_growth_ratio": halves[1] / halves[0]}
    return {f"{prefix}_{name}": value for name, value in figures.items()}


# Beside reads


async def beside_reads(path: Path, seconds: float) -> dict[str, float]:
    """Creates while the event loop always has requests to answer."""
    local = Local(path)
    await local.open()
    reads = 0

    async def read() -> None:
        nonlocal reads
        while True:
            done = time.thread_time() + READ_SECONDS
            while time.thread_time() < done:
                pass
            reads += 1
            await asyncio.sleep(0)

    reading = [asyncio.ensure_future(read()) for _ in range(READERS)]
    took = await load_for(local.write, "beside", WRITERS_BESIDE, seconds, VALUE_BYTES)
    figures = {"per_second": len(took) / seconds, "reads_per_second": reads / seconds}
    for task in reading:
        task.cancel()
    await asyncio.wait(reading)
    await local.store.stop()
    figures |= times("ms", took) | times("commit_ms", local.commits)
    return {f"beside_reads_{name}": value for name, value in figures.items()}


# Without a disk


async def in_memory(directory: Path, seconds: float) -> dict[str, float]:
    """The same load and churn in a file system in memory, where a sync is nothing: what is slow here is slow by ourselves.

    Or because others use the processor: `cpu_ms` counts only the time that it worked on what the write, or commit, waited for.
    """
    local = Local(directory / "navarch.db")
    await local.open()
    took: list[float] = []
    for number in range(ROUNDS):
        took += await load_for(local.write, f"shm-{number}", IN_FLIGHT, seconds, VALUE_BYTES, local)
    await local.store.stop()
    figures = {f"shm_{IN_FLIGHT}_per_second": len(took) / seconds / ROUNDS}
    figures |= times(f"shm_{IN_FLIGHT}_ms", took) | times(f"shm_{IN_FLIGHT}_cpu_ms", local.writes_cpu)
    figures |= times(f"shm_{IN_FLIGHT}_commit_ms", local.commits) | times(f"shm_{IN_FLIGHT}_commit_cpu_ms", local.commits_cpu)
    return figures | await churn(directory / "churn.db", seconds, "shm_churn")


# Start


def fill(path: Path, count: int) -> None:
    backend = SQLiteBackend(path)
    for first in range(1, count + 1, LOAD_BATCH):
        changes = []
        for revision in range(first, min(first + LOAD_BATCH, count + 1)):
            name = f"default/object-{revision}"
            record = Record(PREFIX + name, encoded(name, OBJECT_BYTES - 250, revision), revision, revision)
            changes.append(Change(record, None, False))
        backend.append(changes, first + 2 * LOAD_BATCH)
    # As it is when the window has passed.
    backend.forget((), count)
    backend.close()


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def start(path: Path) -> dict[str, float]:
    """In a process of its own: reading everything, then writing; with the collector's longest pause."""
    pauses: list[float] = []

    begun: list[float] = []

    def note(phase: str, details: Any) -> None:
        if phase == "start":
            begun.append(time.perf_counter())
        else:
            pauses.append(time.perf_counter() - begun.pop())

    gc.collect()
    before = rss_bytes()
    gc.callbacks.append(note)
    opened, cpu = time.perf_counter(), time.process_time()
    local = Local(path)
    await local.open()
    ready, cpu = time.perf_counter() - opened, time.process_time() - cpu
    count = len(local.store.collection(PREFIX).records)
    figures = {"start_objects": count, "start_ready_seconds": ready, "start_cpu_seconds": cpu}
    figures["start_rss_kb_per_object"] = (rss_bytes() - before) / count / 1e3
    figures["start_rss_mb_per_10000"] = figures["start_rss_kb_per_object"] * 10
    figures["start_gc_pause_ms"] = max(pauses, default=0.0) * 1000
    pauses.clear()

    async def lane(number: int) -> None:
        for index in range(WRITES_AFTER_START // IN_FLIGHT):
            await local.write(f"default/more-{number}-{index}", OBJECT_BYTES)

    before = rss_bytes()
    await asyncio.gather(*(lane(number) for number in range(IN_FLIGHT)))
    # With the window of changes that watches can start from, which shares the objects' bytes.
    figures["writes_rss_kb_per_object"] = (rss_bytes() - before) / (WRITES_AFTER_START // IN_FLIGHT * IN_FLIGHT) / 1e3
    figures["writes_gc_pause_ms"] = max(pauses, default=0.0) * 1000
    gc.callbacks.remove(note)
    await local.store.stop()
    return figures


def started(path: Path, count: int) -> dict[str, float]:
    fill(path, count)
    command = [sys.executable, __file__, "--start", str(path)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


async def run(directory: Path, seconds: float, objects: int) -> dict[str, Any]:
    etcd = Etcd(directory)
    try:
        figures: dict[str, Any] = {"etcd_version": await etcd.ready()}
        local = Local(directory / "navarch.db")
        await local.open()
        # As a server does before it serves.
        garbage.settle()
        for in_flight in (IN_FLIGHT, 1):
            figures |= await creates(local, etcd, in_flight, seconds)
        await local.store.stop()
    finally:
        etcd.stop()
    figures |= await churn(directory / "churn.db", seconds)
    figures |= await beside_reads(directory / "beside.db", seconds)
    with tempfile.TemporaryDirectory(prefix="navarch-bench-store-", dir=MEMORY) as memory:
        figures |= await in_memory(Path(memory), seconds)
    return figures | started(directory / "start.db", objects)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="only to see that it works")
    arguments.add_argument("--seconds", type=float, default=3.0, help="how long each round is")
    arguments.add_argument("--objects", type=int, default=50_000, help="of 3 kB each that a start reads")
    arguments.add_argument("--directory", type=Path, help="where to write (default: a new one for temporary files)")
    arguments.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.start is not None:
        print(json.dumps(uvloop.run(start(options.start))))
        return
    if options.quick:
        options.seconds, options.objects = 0.3, 5000
    directory = Path(tempfile.mkdtemp(prefix="navarch-bench-store-", dir=options.directory))
    try:
        figures = uvloop.run(run(directory, options.seconds, options.objects))
    finally:
        shutil.rmtree(directory)
    for name, value in figures.items():
        print(f"{name:30} {value}" if isinstance(value, str) else f"{name:30} {value:12.3f}")
    print(json.dumps({name: value if isinstance(value, str) else round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
