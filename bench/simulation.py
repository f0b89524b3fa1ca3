"""A cluster in a test: how fast it is there, what it weighs, how fast its time passes.

    python bench/simulation.py [--quick] [--largest]

The baseline of the same run is what Python and the third-party libraries cost without us.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

THIRD_PARTY = "uvloop, httptools, orjson, ssl, numpy, cryptography.x509"
ROUNDS = 5
FIXTURES = 50
REPLICAS = 500
"""Of one of the Deployments of a large cluster."""


def testserver(*options: str) -> float:
    """From starting the process to the first answered request, in seconds."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "kubeconfig"
        command = [sys.executable, "-m", "navarch.cli.main", "testserver", "--kubeconfig", str(file), *options]
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while not file.exists():
                time.sleep(0.002)
            config = yaml.safe_load(file.read_text())
            url = config["clusters"][0]["cluster"]["server"]
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with urllib.request.urlopen(f"{url}/version", context=context, timeout=30) as answer:
                answer.read()
            return time.monotonic() - began
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def deployment(replicas: int, name: str = "bench") -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "registry.example/main:1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def fixtures(count: int) -> dict[str, float]:
    """Start of one more cluster in a warm process; what many weigh."""
    from navarch.testing import Cluster

    with Cluster():
        pass
    before, taken, clusters = _rss_mb(), [], []
    for seed in range(count):
        began = time.perf_counter()
        cluster = Cluster(seed=seed)
        cluster.start()
        taken.append((time.perf_counter() - began) * 1000)
        clusters.append(cluster)
    grown = _rss_mb() - before
    for cluster in clusters:
        cluster.stop()
    return {"fixture_ms_median": statistics.median(taken), "fixtures_rss_mb": before + grown, "fixture_rss_mb": grown / count}


def life(nodes: int, pods: int, hours: float) -> dict[str, float]:
    """Pods placed and running; then so much time, with a rolling update and a node that fails in each hour."""
    from navarch.testing import Cluster

    with Cluster(nodes=nodes) as cluster:
        began = time.perf_counter()
        cluster.apply(deployment(pods))
        cluster.wait("deployment/bench", lambda found: found["status"].get("availableReplicas") == pods, timeout=3600)
        placed = time.perf_counter() - began
        began = time.perf_counter()
        for hour in range(max(1, int(hours))):
            node = cluster.nodes[f"node-{hour % nodes + 1}"]
            node.crash()
            cluster.advance(minutes=20)
            node.boot()
            template = {"metadata": {"annotations": {"hour": str(hour)}}}
            cluster.patch("deployment/bench", {"spec": {"template": template}})
            cluster.advance(minutes=40)
        assert len(cluster.pods("app=bench", ready=True)) == pods
        lived = time.perf_counter() - began
    return {"placed_per_second": pods / placed, "life_seconds_per_day": lived * 24 / max(1, int(hours))}


LIFE = """
name: a day of a large cluster
nodes: {nodes}
for: {hours}h
caches: shared
objects:
- repeat: {deployments}
  object:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {{name: "web-{{n}}"}}
    spec:
      replicas: {replicas}
      selector: {{matchLabels: {{app: "web-{{n}}"}}}}
      template:
        metadata: {{labels: {{app: "web-{{n}}"}}}}
        spec: {{containers: [{{name: main, image: "registry.example/web:1", resources: {{requests: {{cpu: 100m}}}}}}]}}
timeline:
{updates}
- {{times: {failures}, do: crash, node: any, for: 15m}}
expect: [{{pods: all, ready: {pods}}}]
"""


def large(nodes: int, pods: int, hours: int, deployments: int = 100) -> dict[str, float]:
    """Days of a large cluster: in each hour a workload is updated, and one node in a hundred fails."""
    from navarch.component import garbage
    from navarch.simulation import runner, scenario

    updates = [f"- {{at: {hour}h, do: restart, object: deployment/web-{hour % deployments + 1}}}" for hour in range(1, hours)]
    text = LIFE.format(
        nodes=nodes,
        hours=hours,
        deployments=deployments,
        replicas=pods // deployments,
        pods=pods // deployments * deployments,
        updates="\n".join(updates),
        failures=round(nodes * 0.01 * hours),
    )
    garbage.settle()
    record = runner.run(scenario.parse(text), runner.Options())
    assert not record.failures, record.failures[:5]
    name = f"life_{nodes}_nodes_{pods}_pods"
    return {
        f"{name}_seconds": record.real_seconds,
        f"{name}_changes": record.changes,
        f"{name}_changes_per_second": record.changes / record.real_seconds,
    }


def placed(nodes: int, pods: int) -> dict[str, float]:
    """So many pods, of Deployments as large as they are in life, placed and running."""
    from navarch.component import garbage
    from navarch.testing import Cluster

    garbage.settle()
    with Cluster(nodes=nodes, checkers=False) as cluster:
        began, worked = time.perf_counter(), time.process_time()
        workloads = pods // REPLICAS
        cluster.apply([deployment(REPLICAS, f"bench-{number}") for number in range(workloads)])

        def available() -> bool:
            return all(found["status"].get("availableReplicas") == REPLICAS for found in cluster.list("deployments"))

        cluster.wait_until(available, timeout=24 * 3600)
        name = f"placed_{nodes}_nodes_{workloads * REPLICAS}_pods"
        return {
            f"{name}_seconds": time.perf_counter() - began,
            f"{name}_cpu_seconds": time.process_time() - worked,
            f"{name}_rss_mb": _rss_mb(),
        }


def baseline() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", f"import {THIRD_PARTY}"], check=True)
    return time.monotonic() - began


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--quick", action="store_true", help="a short run, to try it")
    arguments.add_argument("--largest", action="store_true", help="also 10,000 nodes with 100,000 pods: long, and some GB")
    options = arguments.parse_args()
    rounds, count = (1, 5) if options.quick else (ROUNDS, FIXTURES)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    figures = {
        "baseline_python_imports_seconds": statistics.median(baseline() for _ in range(rounds)),
        "testserver_api_only_seconds": statistics.median(testserver("--api-only") for _ in range(rounds)),
        "testserver_seconds": statistics.median(testserver() for _ in range(rounds)),
        **fixtures(count),
        **life(*((5, 50, 1) if options.quick else (20, 200, 6))),
        **large(*((10, 100, 2) if options.quick else (1000, 10_000, 24))),
    }
    if options.largest:
        figures |= placed(10_000, 100_000)
    for name, value in figures.items():
        print(f"{name:44} {value:10.3f}")
    print(json.dumps({"bench": "simulation", **{name: round(value, 4) for name, value in figures.items()}}))


if __name__ == "__main__":
    main()
