"""How fast a cluster starts and runs pods, and what it costs when idle. See README.md for the keys of the last line."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

PORT = 16443
PODS = 20
REPLICAS = 50
POLL_SECONDS = 0.005
TIMEOUT_SECONDS = 120.0
IMAGE = "navarch.local/demo:1"
THIRD_PARTY = "uvloop, httptools, orjson, ssl, sqlite3, numpy"
KUBERNETES_1_36 = {
    "api_ready_seconds": 3.4,
    "node_ready_seconds": 4.7,
    "pod_running_ms_median": 547,
    "deployment_50_ready_seconds": 8.9,
    "idle_control_plane_rss_mb": 521,
    "idle_node_rss_mb": 206,
    "idle_cpu_percent": 4.3,
}


class API:
    """The cluster as a client sees it, by its kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        import base64

        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.url = cluster["server"]
        self.tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            pair.flush()
            self.tls.load_cert_chain(pair.name)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, context=self.tls, timeout=TIMEOUT_SECONDS) as answer:
            text = answer.read()
            return json.loads(text) if text.startswith(b"{") else text

    def watch(self, path: str) -> Iterator[Any]:
        request = urllib.request.Request(f"{self.url}{path}")
        with urllib.request.urlopen(request, context=self.tls, timeout=TIMEOUT_SECONDS) as answer:
            for line in answer:
                yield json.loads(line)


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except (OSError, urllib.error.HTTPError):
            pass
        time.sleep(POLL_SECONDS)
    raise SystemExit(f"not within {TIMEOUT_SECONDS:.0f} s: {what}")


def navarch(*words: str, data_dir: Path) -> list[str]:
    return [sys.executable, "-m", "navarch.cli.main", *words, "--data-dir", str(data_dir)]


def start(data_dir: Path, run_dir: Path) -> tuple[dict[str, float], API]:
    """Start the cluster once to make everything it needs, stop it, then start it again and measure."""
    up = navarch("up", "--run-dir", str(run_dir), "--port", str(PORT), data_dir=data_dir)
    subprocess.run(up, check=True)
    subprocess.run(navarch("down", data_dir=data_dir), check=True, stdout=subprocess.DEVNULL)
    api = API(data_dir / "kubeconfig")
    began = time.monotonic()
    process = subprocess.Popen(up, stdout=subprocess.PIPE, text=True)
    wait_for("API ready", lambda: api.request("GET", "/readyz") == b"ok")
    api_ready = time.monotonic() - began
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    took = time.monotonic() - began
    if process.returncode != 0:
        raise SystemExit(f"navarch up failed: {said}")
    # The Node may say Ready from the run before; the kubelet itself tells when it is so again.
    ready = [float(line.split()[0]) for line in said.splitlines() if line.endswith("node is Ready")]
    return {"api_ready_seconds": api_ready, "node_ready_seconds": max(ready), "up_seconds": took}, api


def pods(api: API) -> dict[str, float]:
    """Create → Running of pods one after another."""
    taken = []
    wait_for("service account", lambda: bool(api.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")))
    for index in range(PODS):
        name = f"bench-{index}"
        version = api.request("GET", "/api/v1/namespaces/default/pods?limit=1")["metadata"]["resourceVersion"]
        path = f"/api/v1/namespaces/default/pods?watch=1&resourceVersion={version}&fieldSelector=metadata.name={name}"
        events = api.watch(path)
        container = {"name": "c", "image": IMAGE, "command": ["sleep", "3600"]}
        spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
        began = time.monotonic()
        api.request("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": name}, "spec": spec})
        for event in events:
            if event["object"].get("status", {}).get("phase") == "Running":
                break
        taken.append((time.monotonic() - began) * 1000)
        api.request("DELETE", f"/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds=0")
    wait_for("pods gone", lambda: not api.request("GET", "/api/v1/namespaces/default/pods")["items"])
    taken.sort()
    return {"pod_running_ms_median": statistics.median(taken), "pod_running_ms_p90": taken[int(len(taken) * 0.9) - 1]}


def deployment(api: API) -> dict[str, float]:
    """A Deployment of many pods until all are available."""
    labels = {"app": "bench"}
    container = {"name": "c", "image": IMAGE, "command": ["sleep", "3600"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
    spec = {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    began = time.monotonic()
    api.request("POST", path, {"metadata": {"name": "bench"}, "spec": spec})
    # By a watch, as `kubectl rollout status` waits: a client that polls takes the processor from what it measures.
    for event in api.watch(f"{path}?watch=1&fieldSelector=metadata.name=bench"):
        if event["object"].get("status", {}).get("availableReplicas") == REPLICAS:
            break
    took = time.monotonic() - began
    api.request("DELETE", f"{path}/bench?propagationPolicy=Background")
    wait_for("pods gone", lambda: not api.request("GET", "/api/v1/namespaces/default/pods")["items"])
    return {"deployment_50_ready_seconds": took}


def idle(run_dir: Path, seconds: float) -> dict[str, float]:
    """Memory, CPU and writes of the processes while nothing happens."""
    server = int((run_dir / "server.pid").read_text().split()[0])
    nodes = [int(file.read_text().split()[0]) for file in (run_dir / "nodes").glob("*/node.pid")]
    time.sleep(10)  # let what the benchmark did before come to rest
    ticks, written = _cpu_ticks([server, *nodes]), _written([server, *nodes])
    time.sleep(seconds)
    used = (_cpu_ticks([server, *nodes]) - ticks) / os.sysconf("SC_CLK_TCK")
    wrote = _written([server, *nodes]) - written
    return {
        "idle_control_plane_rss_mb": _rss_mb(server),
        "idle_node_rss_mb": sum(map(_rss_mb, nodes)),
        "idle_cpu_percent": used / seconds * 100,
        "idle_written_bytes_per_second": wrote / seconds,
    }


def _cpu_ticks(pids: list[int]) -> int:
    return sum(sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) for pid in pids)


def _written(pids: list[int]) -> int:
    return sum(int(_field(f"/proc/{pid}/io", "write_bytes")) for pid in pids)


def _rss_mb(pid: int) -> float:
    return int(_field(f"/proc/{pid}/status", "VmRSS").split()[0]) / 1024


def _field(file: str, name: str) -> str:
    return next(line.partition(":")[2].strip() for line in Path(file).read_text().splitlines() if line.startswith(name + ":"))


def baseline(run_dir: Path) -> dict[str, float]:
    """What Python and the runtime cost without us."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", f"import {THIRD_PARTY}"], check=True)
    imports = time.monotonic() - began
    sockets = list((run_dir / "nodes").glob("*/containerd.sock"))
    # Where `reset` looks for what is left: below the node's own cgroup.
    cgroup = f"/navarch/{sockets[0].parent.name}/baseline"
    taken = []
    for index in range(10):
        began = time.monotonic()
        command = ["ctr", "-a", str(sockets[0]), "-n", "k8s.io", "run", "--rm", "--cgroup", cgroup]
        command += [IMAGE, f"baseline-{index}", "true"]
        subprocess.run(command, check=True, capture_output=True)
        taken.append((time.monotonic() - began) * 1000)
    return {"baseline_python_imports_seconds": imports, "baseline_runtime_ms_median": statistics.median(taken)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--idle-seconds", type=float, default=60.0)
    options = arguments.parse_args()
    data_dir, run_dir = Path(tempfile.mkdtemp(prefix="navarch-bench-")), Path(tempfile.mkdtemp(prefix="nvb-", dir="/run"))
    figures: dict[str, Any] = {}
    try:
        measured, api = start(data_dir, run_dir)
        figures |= measured
        figures |= idle(run_dir, options.idle_seconds)
        figures |= pods(api)
        figures |= deployment(api)
        figures |= baseline(run_dir)
    finally:
        subprocess.run(navarch("reset", "--yes", data_dir=data_dir), check=False, stdout=subprocess.DEVNULL)
        shutil.rmtree(data_dir, ignore_errors=True)
        shutil.rmtree(run_dir, ignore_errors=True)
    for name, value in figures.items():
        reference = KUBERNETES_1_36.get(name)
        print(f"{name:34} {value:10.3f}" + (f"   (Kubernetes 1.36: {reference})" if reference is not None else ""))
    print(json.dumps({**{name: round(value, 4) for name, value in figures.items()}, "kubernetes_1_36": KUBERNETES_1_36}))


if __name__ == "__main__":
    main()
