"""A real etcd of the tests' own: on free loopback ports, with its own data, ended by its pid."""

from __future__ import annotations

import base64
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from navarch.component.pki import PKI
from navarch.storage.encryption.transformers import PLAIN, Transformers
from navarch.storage.etcd.client import EtcdClient
from navarch.storage.etcd.config import EtcdConfig
from navarch.storage.etcd.store import EtcdStore

START_TIMEOUT_SECONDS = 20.0
# So that the only member is its leader at once.
ELECTION = ("--heartbeat-interval", "10", "--election-timeout", "100")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Etcd:
    """One member that is a cluster. Started when made; `close` when done."""

    def __init__(self, directory: Path, *, pki: PKI | None = None, options: Sequence[str] = ()) -> None:
        """With `pki` it speaks TLS with the API server's certificate, and wants a certificate of the cluster's CA."""
        self.directory = directory
        self._options = options
        self._pki = pki
        self.endpoint = f"127.0.0.1:{free_port()}"
        self._peer = f"http://127.0.0.1:{free_port()}"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def config(self) -> EtcdConfig:
        if self._pki is None:
            return EtcdConfig((self.endpoint,))
        return EtcdConfig(
            (self.endpoint,), True, self._pki.certificate("ca"), self._pki.certificate("admin"), self._pki.key("admin")
        )

    def start(self) -> None:
        url = f"{'http' if self._pki is None else 'https'}://{self.endpoint}"
        command = ["etcd", "--name", "test", "--data-dir", str(self.directory / "data"), *ELECTION, *self._options]
        command += ["--listen-client-urls", url, "--advertise-client-urls", url]
        command += ["--listen-peer-urls", self._peer, "--initial-advertise-peer-urls", self._peer]
        command += ["--initial-cluster", f"test={self._peer}"]
        if self._pki is not None:
            command += ["--cert-file", str(self._pki.certificate("apiserver")), "--key-file", str(self._pki.key("apiserver"))]
            command += ["--client-cert-auth", "--trusted-ca-file", str(self._pki.certificate("ca"))]
        with (self.directory / "etcd.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._is_healthy(f"{url}/health"):
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError((self.directory / "etcd.log").read_text())
            time.sleep(0.01)

    def _is_healthy(self, url: str) -> bool:
        tls = None
        if self._pki is not None:
            tls = ssl.create_default_context(cafile=str(self._pki.certificate("ca")))
            tls.load_cert_chain(self._pki.certificate("admin"), self._pki.key("admin"))
        try:
            with urllib.request.urlopen(url, timeout=1, context=tls) as answer:
                return b"true" in answer.read()
        except OSError:
            return False

    def stop(self) -> None:
        """As a restart of the machine does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It answers nobody, and breaks off nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        # The signal is sent at once, but its threads may still answer for a moment.
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            continue

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait()
            self.process = None

    close = kill

    # What stores are made of

    def client(self) -> EtcdClient:
        return EtcdClient(self.config)

    def store(self, transformers: Transformers = PLAIN) -> EtcdStore:
        """Another server's store, not loaded yet."""
        return EtcdStore(self.client(), transformers)

    # As somebody else would do it: over etcd's JSON gateway

    def clear(self) -> None:
        """Delete everything there is. Revisions go on."""
        everything = base64.b64encode(b"\0").decode()
        self._ask("kv/deleterange", {"key": everything, "range_end": everything})

    def write(self, key: str, value: bytes) -> None:
        encoded = base64.b64encode(key.encode()).decode()
        self._ask("kv/put", {"key": encoded, "value": base64.b64encode(value).decode()})

    def read(self, key: str) -> bytes:
        """What is stored, byte for byte."""
        (found,) = self._ask("kv/range", {"key": base64.b64encode(key.encode()).decode()})["kvs"]
        return base64.b64decode(found["value"])

    def compact(self) -> int:
        """Forget everything that is past; returns the revision that is left."""
        answer = self._ask("kv/range", {"key": base64.b64encode(b"x").decode()})
        revision = int(answer["header"]["revision"])
        try:
            self._ask("kv/compaction", {"revision": revision})
        except urllib.error.HTTPError as error:
            # Done before.
            with error:
                assert b"compacted" in error.read()
        return revision

    def _ask(self, path: str, body: Any) -> Any:
        with urllib.request.urlopen(f"http://{self.endpoint}/v3/{path}", orjson.dumps(body), timeout=5) as answer:
            return orjson.loads(answer.read())
