"""A cluster of three nodes on this machine, made once, and the real kubectl to use it with."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

POLL_SECONDS = 0.1
TIMEOUT_SECONDS = 90.0
PORT = 17443
IMAGE = "navarch.local/demo:1"
EXAMPLES = Path(__file__).parents[2] / "examples"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in item.nodeid.split("/"):
            item.add_marker(pytest.mark.e2e)


def newest_kubectl() -> str:
    """The newest kubectl on this machine, also among those that a dispatcher keeps beside it."""
    candidates: dict[tuple[int, int], str] = {}
    found = shutil.which("kubectl")
    if found is None:
        pytest.fail("no kubectl on PATH")
    beside = Path(os.path.realpath(found)).parent.glob("kubectl*")
    for path in [Path(found), *beside]:
        answer = subprocess.run([path, "version", "--client", "-o", "json"], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            version = json.loads(answer.stdout)["clientVersion"]
            number = (int(version["major"]), int(re.sub(r"\D", "", version["minor"])))
            candidates.setdefault(number, str(path))
    return candidates[max(candidates)]


class Cluster:
    """A running cluster, as its user sees it."""

    def __init__(self, data_dir: Path, run_dir: Path, port: int = PORT) -> None:
        self.data_dir, self.run_dir, self.port = data_dir, run_dir, port
        self.kubectl_path = newest_kubectl()
        home = data_dir / "home"
        home.mkdir(exist_ok=True)
        self.environment = {**os.environ, "KUBECONFIG": str(data_dir / "kubeconfig"), "HOME": str(home)}

    def navarch(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "navarch.cli.main", *words, "--data-dir", str(self.data_dir)]
        if words[0] == "up":
            command += ["--run-dir", str(self.run_dir), "--port", str(self.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"navarch {' '.join(words)}: {done.stdout}{done.stderr}")
        return done

    def run(self, *words: str, stdin: str | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """kubectl, whatever comes of it."""
        return subprocess.run(
            [self.kubectl_path, *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
            check=False,
        )

    def kubectl(self, *words: str, stdin: str | None = None, timeout: float = 120) -> str:
        """kubectl's output; it must succeed."""
        done = self.run(*words, stdin=stdin, timeout=timeout)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([self.kubectl_path, *words], env=self.environment, **options)

    def get(self, *words: str) -> Any:
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def wait(self, what: str, condition: Callable[[], Any], timeout: float = TIMEOUT_SECONDS) -> Any:
        """Until `condition` yields something true, which is returned."""
        deadline = time.monotonic() + timeout
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                events = self.run("get", "events", "-A", "--sort-by=.lastTimestamp").stdout[-3000:]
                raise AssertionError(
                    f"not within {timeout:.0f} s: {what}\n{self.run('get', 'pods', '-A', '-o', 'wide').stdout}{events}"
                )
            time.sleep(POLL_SECONDS)  # between two looks at another process

    def wait_ready(self, namespace: str, selector: str, count: int) -> list[Any]:
        def ready() -> list[Any] | None:
            pods = self.get("pods", "-n", namespace, "-l", selector)["items"]
            fine = [
                p
                for p in pods
                if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", ()))
            ]
            return fine if len(fine) == len(pods) == count else None

        return self.wait(f"{count} ready pods {selector} in {namespace}", ready)

    def logs_are_clean(self) -> None:
        """No traceback in any log of a navarch process."""
        for file in (self.data_dir / "log").glob("*.log"):
            text = file.read_text(errors="replace")
            assert "Traceback" not in text, f"{file}:\n{text[text.index('Traceback') - 500 :][:4000]}"


def make_cluster(nodes: int, port: int) -> Iterator[Cluster]:
    data_dir = Path(tempfile.mkdtemp(prefix="navarch-e2e-", dir="/var/lib"))
    run_dir = Path(tempfile.mkdtemp(prefix="nv-", dir="/run"))
    cluster = Cluster(data_dir, run_dir, port)
    try:
        cluster.navarch("up", *(["--nodes", str(nodes)] if nodes > 1 else []))
        yield cluster
        cluster.logs_are_clean()
    finally:
        kept = os.environ.get("NAVARCH_E2E_LOGS")
        if kept:
            shutil.copytree(data_dir / "log", Path(kept) / data_dir.name, dirs_exist_ok=True)
        cluster.navarch("reset", "--yes", check=False)
        shutil.rmtree(data_dir, ignore_errors=True)
        shutil.rmtree(run_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes, for everything that does not end the cluster."""
    yield from make_cluster(3, PORT)


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:50].strip("-")
    cluster.kubectl("create", "namespace", name)
    cluster.wait("default service account", lambda: cluster.run("get", "sa", "default", "-n", name).returncode == 0)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=true", "--timeout=90s")
