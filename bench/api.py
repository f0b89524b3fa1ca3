"""What the API server does per second and what it costs: reads, writes, lists, watches, memory, start.

    python bench/api.py [--quick] [--seconds 3] [--pods 5000]

A server over SQLite in a process of its own, TLS with a client certificate as real clients have it. The load comes from this
process over raw sockets, its requests made beforehand. The baseline of the same run is a bare httptools server under the same
TLS that sends the very same bytes and does nothing for them. Trust ratios and CPU time, not single wall times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pickle
import random
import resource
import select
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMESPACE = "/api/v1/namespaces/default"
PODS = f"{NAMESPACE}/pods"
GET_BYTES, POD_BYTES = 4096, 3072
CONNECTIONS = (1, 8, 64)
LABEL_VALUES = 50
PAGE = 500
TIMEOUT_SECONDS = 60.0
IDLE_SECONDS = 20.0
RECEIVE_BYTES = 1 << 18
EVENT = b'"type":"ADDED"'
# As hard to compress as identifiers and hashes are.
PADDING = "".join(random.Random(1).choices("0123456789abcdef", k=8192))
JSON_TYPE = "application/json"
# Published measurements of Kubernetes 1.36 (kube-apiserver, etcd 3.5) on such a machine, from another run.
KUBERNETES_1_36: dict[str, dict[str, float]] = {
    "get/64": {"per_second": 3150, "cpu_us": 565},
    "list/1": {"cpu_us": 550_000},
    "post/1": {"per_second": 412},
    "post/64": {"per_second": 865, "cpu_us": 2140},
    "watch/100": {"writes_per_second": 420},
    "memory": {"rss_kb_per_object": 64},
}


# The servers, each in its own process


def serve(directory: Path) -> None:
    """The API server alone, on a free port."""
    import uvloop

    from navarch.component.pki import PKI

    pki = PKI(directory / "pki")

    async def run() -> None:
        began = time.monotonic()
        from navarch.apiserver.server import APIServer, APIServerConfig
        from navarch.component import garbage
        from navarch.storage.sqlite import SQLiteBackend
        from navarch.storage.store import LocalStore

        config = APIServerConfig(
            service_account_key_file=pki.service_account_key,
            certificate_file=pki.certificate("apiserver"),
            key_file=pki.key("apiserver"),
            client_ca_file=pki.certificate("ca"),
            bind_address="127.0.0.1",
            port=0,
        )
        server = APIServer(config, LocalStore(SQLiteBackend(directory / "navarch.db")))
        await server.start()
        await server.listen()
        garbage.settle()
        print(server.port, began, flush=True)
        await asyncio.Event().wait()

    uvloop.run(run())


class _Bare(asyncio.BufferedProtocol):
    """Sends what it was given for a request, nothing else; a watch is sent an event for each write."""

    def __init__(self, answers: dict[bytes, bytes], watchers: set[Any]) -> None:
        import httptools

        self._answers, self._watchers = answers, watchers
        self._parser = httptools.HttpRequestParser(self)
        self._buffer = bytearray(64 * 1024)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._watchers.discard(self._transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._parser.feed_data(memoryview(self._buffer)[:nbytes])

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_message_complete(self) -> None:
        method = self._parser.get_method()
        if method == b"GET":
            watched = b"watch=" in self._url
            if watched:
                self._watchers.add(self._transport)
            self._transport.write(self._answers[b"watch" if watched else self._url])
            return
        if method == b"POST":
            event = self._answers[b"event"]
            for watcher in self._watchers:
                watcher.write(event)
        self._transport.write(self._answers[method])


def serve_baseline(directory: Path) -> None:
    """The bare server, on a free port."""
    import uvloop

    from navarch.component.pki import PKI

    pki = PKI(directory / "pki")
    answers = pickle.loads((directory / "answers").read_bytes())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pki.certificate("apiserver"), pki.key("apiserver"))
    tls.load_verify_locations(pki.certificate("ca"))
    tls.verify_mode = ssl.CERT_OPTIONAL

    async def run() -> None:
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        watchers: set[Any] = set()
        listener = await loop.create_server(lambda: _Bare(answers, watchers), "127.0.0.1", 0, ssl=tls, backlog=2048)
        print(listener.sockets[0].getsockname()[1], began, flush=True)
        await asyncio.Event().wait()

    uvloop.run(run())


class Process:
    """A server under load."""

    def __init__(self, mode: str, directory: Path) -> None:
        self.spawned = time.monotonic()
        command = [sys.executable, __file__, mode, str(directory)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        port, self.began = self._process.stdout.readline().split()
        self.port = int(port)

    def cpu_seconds(self) -> float:
        """What all its threads have used."""
        found = 0
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            found += int((task / "schedstat").read_text().split()[0])
        return found / 1e9

    def rss_kb(self) -> int:
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith("VmRSS:")).split()[1])

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


# The load


class Connection:
    """One client's connection: a request at a time, or a watch."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        import socket

        plain = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = tls.wrap_socket(plain, server_hostname="localhost")
        self.socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLIN)
        self.sent_seconds = time.perf_counter()
        self.bytes = 0
        self._head = b""
        self._left = 0
        self._chunked = False
        self._tail = b""

    def send(self, request: bytes) -> None:
        self.sent_seconds = time.perf_counter()
        self.socket.send(request)

    def receive(self, expected: bytes) -> bool:
        """Take what has come; whether the answer is complete."""
        while True:
            try:
                data = self.socket.recv(RECEIVE_BYTES)
            except ssl.SSLWantReadError:
                return False
            if not data:
                raise SystemExit("the server closed a connection")
            self.bytes += len(data)
            if self._take(data, expected):
                return True

    def _take(self, data: bytes, expected: bytes) -> bool:
        if self._chunked:
            self._chunked = not data.endswith(b"\r\n0\r\n\r\n") and data != b"0\r\n\r\n"
            return not self._chunked
        if self._left:
            self._left -= len(data)
            return self._left == 0
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return False
        head, self._head = self._head, b""
        if head[9:12] != expected:
            raise SystemExit(f"unexpected answer: {head[:600]!r}")
        place = head.find(b"ontent-Length: ", 0, end)
        if place < 0:
            self._chunked = not head.endswith(b"\r\n0\r\n\r\n")
            return not self._chunked
        self._left = end + 4 + int(head[place + 15 : head.find(b"\r", place)]) - len(head)
        return self._left == 0

    def events(self) -> int:
        """Take what a watch has sent; how many objects were added."""
        found = 0
        while True:
            try:
                data = self.socket.recv(RECEIVE_BYTES)
            except ssl.SSLWantReadError:
                return found
            if not data:
                raise SystemExit("the server ended a watch")
            data = self._tail + data
            found += data.count(EVENT)
            self._tail = data[1 - len(EVENT) :]

    def some(self, end: bytes) -> bytes:
        """What comes until `end`."""
        answer = b""
        while not answer.endswith(end):
            self._poll.poll(TIMEOUT_SECONDS * 1000)
            try:
                answer += self.socket.recv(RECEIVE_BYTES)
            except ssl.SSLWantReadError:
                continue
        return answer

    def whole(self, request: bytes, expected: bytes = b"200") -> bytes:
        """Ask once; the answer, head and all."""
        self.send(request)
        answer = b""
        while True:
            self._poll.poll(TIMEOUT_SECONDS * 1000)
            try:
                data = self.socket.recv(RECEIVE_BYTES)
            except ssl.SSLWantReadError:
                continue
            answer += data
            if self._take(data, expected):
                return answer


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


class Client:
    """Many connections to one server."""

    def __init__(self, process: Process, directory: Path) -> None:
        from navarch.component.pki import PKI

        pki = PKI(directory / "pki")
        self.process = process
        self.tls = ssl.create_default_context(cafile=str(pki.certificate("ca")))
        self.tls.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
        self._connections: list[Connection] = []

    def connections(self, count: int) -> list[Connection]:
        """So many; those that the server may have closed, since nothing was asked for long, are made anew."""
        now = time.perf_counter()
        for place in range(count):
            if place == len(self._connections):
                self._connections.append(Connection(self.process.port, self.tls))
            elif now - self._connections[place].sent_seconds > IDLE_SECONDS:
                self._connections[place].socket.close()
                self._connections[place] = Connection(self.process.port, self.tls)
        return self._connections[:count]

    def measure(
        self,
        count: int,
        request: Callable[[int], bytes],
        *,
        seconds: float = 0.0,
        limit: int = 0,
        expected: bytes = b"200",
    ) -> dict[str, float]:
        """`count` connections ask, each again as soon as it has its answer, for `seconds` or `limit` requests."""
        connections = self.connections(count)
        poll, by_fd = select.epoll(), {}
        taken: list[float] = []
        number = 0
        before, began = self.process.cpu_seconds(), time.perf_counter()
        for connection in connections:
            by_fd[connection.socket.fileno()] = connection
            poll.register(connection.socket.fileno(), select.EPOLLIN)
            connection.send(request(number))
            number += 1
        waiting, clock = len(connections), time.perf_counter
        until = began + seconds if seconds else began + TIMEOUT_SECONDS
        while waiting:
            ready = poll.poll(TIMEOUT_SECONDS)
            if not ready:
                raise SystemExit(f"no answer within {TIMEOUT_SECONDS:.0f} s")
            for fd, _ in ready:
                connection = by_fd[fd]
                if not connection.receive(expected):
                    continue
                now = clock()
                taken.append(now - connection.sent_seconds)
                if now < until and (not limit or number < limit):
                    connection.send(request(number))
                    number += 1
                else:
                    waiting -= 1
        took = time.perf_counter() - began
        poll.close()
        return {
            "per_second": len(taken) / took,
            "p50_ms": statistics.median(taken) * 1000,
            "p99_ms": percentile(taken, 0.99) * 1000,
            "cpu_us": (self.process.cpu_seconds() - before) / len(taken) * 1e6,
        }

    def close(self) -> None:
        for connection in self._connections:
            connection.socket.close()
        self._connections.clear()


def request(
    method: str, path: str, body: bytes = b"", type_: str = JSON_TYPE, *, accept: str = JSON_TYPE, **headers: str
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "User-Agent: bench", f"Accept: {accept}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        lines += [f"Content-Type: {type_}", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def pod(name: str, padding: int = 0, **labels: str) -> dict[str, Any]:
    """A pod as a Deployment's are."""
    mounts = [{"name": f"volume-{number}", "mountPath": f"/var/lib/data/{number}"} for number in range(3)]
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    container = {
        "name": "main",
        "image": "registry.example/team/service:1.2.3",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": f"SETTING_{number}", "value": f"value-{number}"} for number in range(6)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": mounts,
        "readinessProbe": probe,
    }
    metadata = {"name": name, "labels": {"app": "bench", **labels}, "annotations": {"padding": PADDING[:padding]}}
    volumes = [{"name": mount["name"], "emptyDir": {}} for mount in mounts]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], "volumes": volumes}}


class Templates:
    """Requests that differ in a number of constant width, cut at it."""

    def __init__(self, make: Callable[[str], bytes]) -> None:
        self._parts = make("0000000").split(b"0000000")

    def __call__(self, number: int) -> bytes:
        return (b"%07d" % number).join(self._parts)


def posted(padding: int, prefix: str = "pod") -> Templates:
    def make(number: str) -> bytes:
        made = pod(f"{prefix}-{number}", padding, shard=f"s{number}")
        return request("POST", PODS, encoded(made))

    return Templates(make)


def numbered(template: Callable[[int], bytes], start: int) -> Callable[[int], bytes]:
    return lambda number: template(start + number)


# What is measured


class Bench:
    """All measurements against one server. What was asked, and the bytes of the answers, are kept for the baseline."""

    def __init__(self, client: Client, options: argparse.Namespace) -> None:
        self.client, self.options = client, options
        self.results: dict[str, dict[str, float]] = {}
        self.answers: dict[bytes, bytes] = {}
        self.replays: dict[str, Callable[[Bench], dict[str, float]]] = {}
        self.padding = 0
        self._next = 0

    def _take(self, count: int) -> int:
        start, self._next = self._next, self._next + count
        return start

    def _measure(self, name: str, count: int, make: Callable[[int], bytes], **how: Any) -> None:
        def run(bench: Bench) -> dict[str, float]:
            return bench.client.measure(count, make, **how)

        key = f"{name}/{count}"
        self.results[key], self.replays[key] = run(self), run

    def _ask(self, asked: bytes, expected: bytes = b"200") -> bytes:
        return self.client.connections(1)[0].whole(asked, expected)

    def _create(self, path: str, obj: Any) -> bytes:
        return self._ask(request("POST", path, encoded(obj)), b"201")

    def prepare(self) -> None:
        """The account that pods need, and how much padding makes one as large as it shall be."""
        self._create(f"{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}})
        size = len(self._create(PODS, pod("sized-0000000", shard="s0000000")).partition(b"\r\n\r\n")[2])
        self.padding = max(0, POD_BYTES - size)
        self._create(PODS, pod("get", max(0, GET_BYTES - size), shard="s0000000"))
        self._ask(request("DELETE", f"{PODS}/sized-0000000?gracePeriodSeconds=0"))

    def reads(self) -> None:
        url = f"{PODS}/get"
        asked = request("GET", url)
        self.answers[url.encode()] = self._ask(asked)
        for count in CONNECTIONS:
            self._measure("get", count, lambda _: asked, seconds=self.options.seconds)

    def writes(self) -> None:
        template = posted(self.padding)
        self.answers[b"POST"] = self._ask(template(self._take(1)), b"201")
        for count in CONNECTIONS:
            start = self._take(1_000_000)
            self._measure("post", count, numbered(template, start), seconds=self.options.seconds, expected=b"201")
        names = [f"target-{number}" for number in range(max(CONNECTIONS))]
        made = {name: self._created(pod(name, self.padding, shard="s0")) for name in names}
        self._changes("put", names, lambda name, labels: _replaced(made[name], labels))
        self._changes("patch", names, _merged)
        self._changes("apply", names, _applied)
        self._deletes()

    def _created(self, obj: Any) -> Any:
        return json.loads(self._create(PODS, obj).partition(b"\r\n\r\n")[2])

    def _changes(self, verb: str, names: list[str], make: Callable[[str, dict[str, str]], bytes]) -> None:
        """One change after another of as many pods as there are connections."""
        templates = [Templates(lambda number, name=name: make(name, {"shard": f"s{number}"})) for name in names]  # type: ignore[misc]
        self.answers[b"PUT" if verb == "put" else b"PATCH"] = self._ask(templates[0](9_999_999))
        for count in CONNECTIONS:
            self._measure(verb, count, lambda n, count=count: templates[n % count](n), seconds=self.options.seconds)  # type: ignore[misc]

    def _deletes(self) -> None:
        template, limit = posted(self.padding, "gone"), int(1000 * self.options.seconds)
        deleted = Templates(lambda number: request("DELETE", f"{PODS}/gone-{number}?gracePeriodSeconds=0"))
        for count in CONNECTIONS:
            start = self._take(limit)
            self.client.measure(64, numbered(template, start), limit=limit, expected=b"201")
            self.answers[b"DELETE"] = self._ask(deleted(start))
            self._measure("delete", count, numbered(deleted, start + 1), limit=limit - 1)

    def fill(self) -> None:
        """As many pods as are to be listed, in a namespace of their own; what memory each takes."""
        path = "/api/v1/namespaces/listed"
        self._create("/api/v1/namespaces", {"metadata": {"name": "listed"}})
        self._create(f"{path}/serviceaccounts", {"metadata": {"name": "default"}})
        made = (pod(f"pod-{n:07}", self.padding, shard=f"s{n % LABEL_VALUES:07}") for n in range(self.options.pods))
        requests = [request("POST", f"{path}/pods", encoded(obj)) for obj in made]
        before = self.client.process.rss_kb()
        self.client.measure(64, requests.__getitem__, limit=len(requests), expected=b"201")
        self.results["memory"] = {"rss_kb_per_object": (self.client.process.rss_kb() - before) / len(requests)}

    def lists(self) -> None:
        path = "/api/v1/namespaces/listed/pods"
        first = json.loads(self._ask(request("GET", f"{path}?limit={PAGE}")).partition(b"\r\n\r\n")[2])
        asked = {
            "list": request("GET", path),
            "list_page": request("GET", f"{path}?limit={PAGE}&continue={first['metadata'].get('continue', '')}"),
            "list_label": request("GET", f"{path}?labelSelector=shard%3Ds0000007"),
            # The parameter only tells the baseline which bytes are meant.
            "list_gzip": request("GET", f"{path}?form=gzip", Accept_Encoding="gzip"),
            "list_protobuf": request("GET", f"{path}?form=protobuf", accept="application/vnd.kubernetes.protobuf"),
        }
        for name, sent in asked.items():
            self.answers[sent.split(b" ", 2)[1]] = self._ask(sent)
            times = self.options.lists * (10 if name in ("list_page", "list_label") else 1)
            for count in (1, 8) if name in ("list", "list_page", "list_label") else (1,):
                self._measure(name, count, lambda _, sent=sent: sent, limit=times * count)  # type: ignore[misc]

    def watches(self) -> None:
        self._capture_event()
        for count in self.options.watchers:
            key = f"watch/{count}"
            self.results[key] = self.fan_out(count, self.padding, self._revision())
            self.replays[key] = lambda bench, count=count: bench.fan_out(count, self.padding, "1")  # type: ignore[misc]

    def _revision(self) -> str:
        body = self._ask(request("GET", f"{PODS}?limit=1")).partition(b"\r\n\r\n")[2]
        return str(json.loads(body)["metadata"]["resourceVersion"])

    def _capture_event(self) -> None:
        watcher = Connection(self.client.process.port, self.client.tls)
        watcher.send(request("GET", f"{PODS}?watch=1&resourceVersion={self._revision()}"))
        self.answers[b"watch"] = watcher.some(b"\r\n\r\n")
        self._ask(posted(self.padding, "seen")(self._take(1)), b"201")
        self.answers[b"event"] = watcher.some(b"\n\r\n")
        watcher.socket.close()

    def fan_out(self, count: int, padding: int, revision: str) -> dict[str, float]:
        """Pods are created while many watch: one at a time for the delay, then as fast as they go."""
        asked = request("GET", f"{PODS}?watch=1&resourceVersion={revision}")
        watchers = [Connection(self.client.process.port, self.client.tls) for _ in range(count)]
        for watcher in watchers:
            watcher.send(asked)
        for watcher in watchers:
            watcher.some(b"\r\n\r\n")
        crowd = Crowd(watchers, self.client, posted(padding, "seen"))
        delays = crowd.delays(self._take(self.options.delays), self.options.delays)
        # Each of the writers has more than one.
        writes = max(4 * max(CONNECTIONS), self.options.events // count)
        figures = crowd.throughput(self._take(writes), writes)
        for watcher in watchers:
            watcher.socket.close()
        figures["events"] = len(delays) + writes * count
        return {"p50_ms": statistics.median(delays) * 1000, "p99_ms": percentile(delays, 0.99) * 1000, **figures}


def encoded(obj: Any) -> bytes:
    """As Go's clients send it."""
    return json.dumps(obj, separators=(",", ":")).encode()


def _replaced(obj: Any, labels: dict[str, str]) -> bytes:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return request("PUT", f"{PODS}/{metadata['name']}", encoded({**obj, "metadata": {**metadata, "labels": labels}}))


def _merged(name: str, labels: dict[str, str]) -> bytes:
    return request("PATCH", f"{PODS}/{name}", encoded({"metadata": {"labels": labels}}), "application/merge-patch+json")


def _applied(name: str, labels: dict[str, str]) -> bytes:
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}}
    return request("PATCH", f"{PODS}/{name}?fieldManager=bench&force=true", encoded(obj), "application/apply-patch+yaml")


class Crowd:
    """Many who watch the same, and those who write what they watch."""

    def __init__(self, watchers: list[Connection], client: Client, template: Templates) -> None:
        self._watchers = {watcher.socket.fileno(): watcher for watcher in watchers}
        self._process, self._template = client.process, template
        self._writers = {connection.socket.fileno(): connection for connection in client.connections(max(CONNECTIONS))}
        self._poll = select.epoll()
        for fd in (*self._watchers, *self._writers):
            self._poll.register(fd, select.EPOLLIN)

    def _ready(self) -> list[int]:
        ready = self._poll.poll(TIMEOUT_SECONDS)
        if not ready:
            raise SystemExit(f"nothing came within {TIMEOUT_SECONDS:.0f} s")
        return [fd for fd, _ in ready]

    def delays(self, start: int, writes: int) -> list[float]:
        """From sending each write to each watcher's having its event, in seconds; one write at a time."""
        found = []
        writer = next(iter(self._writers.values()))
        for number in range(start, start + writes):
            writer.send(self._template(number))
            seen, answered = 0, False
            while seen < len(self._watchers) or not answered:
                for fd in self._ready():
                    if fd in self._writers:
                        answered = writer.receive(b"201") or answered
                        continue
                    events = self._watchers[fd].events()
                    found += [time.perf_counter() - writer.sent_seconds] * events
                    seen += events
        return found

    def throughput(self, start: int, writes: int) -> dict[str, float]:
        """As many writes as go."""
        expected = writes * len(self._watchers)
        numbers = iter(range(start, start + writes))
        done = seen = 0
        written = 0.0
        before, began = self._process.cpu_seconds(), time.perf_counter()
        for writer in self._writers.values():
            writer.send(self._template(next(numbers)))
        while done < writes or seen < expected:
            for fd in self._ready():
                if fd in self._watchers:
                    seen += self._watchers[fd].events()
                elif self._writers[fd].receive(b"201"):
                    done += 1
                    written = time.perf_counter() - began
                    if (number := next(numbers, None)) is not None:
                        self._writers[fd].send(self._template(number))
        return {
            "events_per_second": seen / (time.perf_counter() - began),
            "writes_per_second": done / written,
            "cpu_us_per_event": (self._process.cpu_seconds() - before) / seen * 1e6,
        }


@contextmanager
def running(mode: str, directory: Path) -> Iterator[Process]:
    process = Process(mode, directory)
    try:
        yield process
    finally:
        process.stop()


def started(directory: Path, process: Process) -> dict[str, float]:
    """How long until the first request was answered."""
    client = Client(process, directory)
    client.connections(1)[0].whole(request("GET", "/version"))
    now = time.monotonic()
    client.close()
    return {"process_ms": (now - process.spawned) * 1000, "server_ms": (now - float(process.began)) * 1000}


def table(results: dict[str, dict[str, float]], baseline: dict[str, dict[str, float]]) -> None:
    """Print the figures, one line for each."""
    print(f"{'':18}{'/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>10} |{'bare /s':>10}{'CPU us':>10} | Kubernetes 1.36*")
    for key, found in results.items():
        bare, other = baseline.get(key, {}), KUBERNETES_1_36.get(key)
        rate, cost = ("events_per_second", "cpu_us_per_event") if key.startswith("watch") else ("per_second", "cpu_us")
        if rate in found:
            line = f"{key:18}{found[rate]:10.0f}{found['p50_ms']:9.2f}{found['p99_ms']:9.2f}{found[cost]:10.1f}"
            line += f" |{bare.get(rate, 0):10.0f}{bare.get(cost, 0):10.1f} |"
        else:
            line = f"{key:18}" + ", ".join(f"{name} {value:.1f}" for name, value in found.items())
        print(line + (" " + ", ".join(f"{name} {value}" for name, value in other.items()) if other else ""))
    print("* published measurements of another run on such a machine; watch/N: /s and CPU are of events delivered")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a short run, to try it")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement of single requests")
    parser.add_argument("--pods", type=int, default=5000, help="how many are listed")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve-baseline", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    if options.serve_baseline:
        serve_baseline(options.serve_baseline)
    options.lists, options.delays, options.events, options.watchers = 10, 20, 60_000, (100, 1000)
    if options.quick:
        options.seconds, options.pods, options.lists, options.watchers = min(options.seconds, 0.5), 1000, 3, (100,)
        options.events = 10_000
    run(options)


def run(options: argparse.Namespace) -> None:
    from navarch.component.pki import PKI, cluster_leaves

    # A thousand watchers are as many files, here and in the servers.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    directory = Path(tempfile.mkdtemp(prefix="navarch-bench-"))
    baseline: dict[str, dict[str, float]] = {}
    try:
        PKI(directory / "pki").ensure(cluster_leaves(addresses=["127.0.0.1"], host_names=["localhost"]))
        with running("--serve", directory) as process:
            start = started(directory, process)
            bench = Bench(Client(process, directory), options)
            bench.results["start"] = start
            for part in (bench.prepare, bench.reads, bench.fill, bench.lists, bench.writes, bench.watches):
                part()
        (directory / "answers").write_bytes(pickle.dumps(bench.answers))
        with running("--serve-baseline", directory) as process:
            bare = Bench(Client(process, directory), options)
            for key, replay in bench.replays.items():
                baseline[key] = replay(bare)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    table(bench.results, baseline)
    print(
        json.dumps(
            {"bench": "api", **_rounded(bench.results), "baseline": _rounded(baseline), "kubernetes_1_36": KUBERNETES_1_36}
        )
    )


def _rounded(figures: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {key: {name: round(value, 2) for name, value in found.items()} for key, found in figures.items()}


if __name__ == "__main__":
    main()
