"""Workloads: rollouts, scaling, replacing, jobs, draining, the shop."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from typing import Any

from tests.e2e.conftest import EXAMPLES, IMAGE, Cluster
from tests.e2e.test_services import web


def test_a_deployment_is_scaled_changed_undone_and_restarted(cluster: Cluster, namespace: str) -> None:
    def kubectl(*words: str) -> str:
        return cluster.kubectl(*words, "-n", namespace)

    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=web("web", 1))
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("scale", "deployment", "web", "--replicas=3")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("set", "env", "deployment/web", "COLOUR=green")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    history = kubectl("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    template = cluster.get("deployment", "web", "-n", namespace)["spec"]["template"]["spec"]
    assert "env" not in template["containers"][0]
    kubectl("rollout", "restart", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("wait", "deployment/web", "--for=condition=Available", "--timeout=30s")
    described = kubectl("describe", "deployment", "web")
    assert "ScalingReplicaSet" in described and "NewReplicaSetAvailable" in described
    # Pods from before the restart may still be going.
    pods = [pod["metadata"] for pod in cluster.get("pods", "-n", namespace, "-l", "app=web")["items"]]
    victim = next(metadata["name"] for metadata in pods if "deletionTimestamp" not in metadata)
    kubectl("delete", "pod", victim)
    pods = cluster.wait_ready(namespace, "app=web", 3)
    assert victim not in {pod["metadata"]["name"] for pod in pods}


def test_a_rolling_update_fails_no_request(cluster: Cluster, namespace: str) -> None:
    manifest = json.loads(web("web", 3))
    pod = manifest["spec"]["template"]["spec"]
    pod["topologySpreadConstraints"] = []
    # What every rollout without errors needs: stay up while endpoints and rules are told.
    pod["containers"][0]["lifecycle"] = {"preStop": {"sleep": {"seconds": 2}}}
    pod["terminationGracePeriodSeconds"] = 10
    manifest["spec"]["strategy"] = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))
    cluster.kubectl("expose", "deployment", "web", "-n", namespace, "--port=80", "--target-port=8080", "--type=NodePort")
    cluster.wait_ready(namespace, "app=web", 3)
    port = cluster.get("service", "web", "-n", namespace)["spec"]["ports"][0]["nodePort"]
    host = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    url = f"http://{host}:{port}/cgi-bin/who"

    def fetch() -> int:
        return subprocess.run(
            ["curl", "-sS", "-m", "5", "-f", "-o", "/dev/null", url], capture_output=True, check=False
        ).returncode

    cluster.wait("the first answer", lambda: fetch() == 0)
    stop, results = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            results.append(fetch())

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        cluster.kubectl("set", "env", "deployment/web", "VERSION=2", "-n", namespace)
        cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=90s")
    finally:
        stop.set()
        asking.join()
    assert results and set(results) == {0}


def test_a_job_completes_and_a_daemonset_covers_every_node(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "job", "sum", "-n", namespace, f"--image={IMAGE}", "--", "sh", "-c", "echo $((6*7))")
    cluster.kubectl("wait", "job/sum", "-n", namespace, "--for=condition=Complete", "--timeout=60s")
    assert cluster.kubectl("logs", "job/sum", "-n", namespace) == "42\n"
    labels = {"app": "agent"}
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "a", "image": IMAGE, "command": ["sleep", "1000"]}],
        },
    }
    spec = {"selector": {"matchLabels": labels}, "template": template}
    daemons = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": spec}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(daemons))
    pods = cluster.wait_ready(namespace, "app=agent", 3)
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 3


def test_a_node_is_cordoned_and_drained(cluster: Cluster, namespace: str) -> None:
    manifest = json.loads(web("web", 3))
    manifest["spec"]["template"]["spec"]["topologySpreadConstraints"] = []
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))
    cluster.kubectl("create", "pdb", "web", "-n", namespace, "--selector=app=web", "--min-available=2")
    node = cluster.wait_ready(namespace, "app=web", 3)[0]["spec"]["nodeName"]
    try:
        drained = cluster.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s")
        assert "drained" in drained
        assert "SchedulingDisabled" in cluster.kubectl("get", "node", node)
        pods = cluster.wait_ready(namespace, "app=web", 3)
        assert node not in {pod["spec"]["nodeName"] for pod in pods}
    finally:
        cluster.kubectl("uncordon", node)


def test_the_shop_opens(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", str(EXAMPLES / "shop"))
    cluster.kubectl("wait", "-n", namespace, "deployment", "--all", "--for=condition=Available", "--timeout=90s")
    listed = cluster.kubectl("get", "all,nodes,events", "-A", "-o", "wide")
    assert "deployment.apps" in listed and "service/" in listed
    services = cluster.get("services", "-n", namespace)["items"]
    port = next(p["nodePort"] for s in services for p in s["spec"]["ports"] if p.get("nodePort"))
    host = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]

    def fetch() -> str:
        done = subprocess.run(
            ["curl", "-sS", "-m", "5", "-f", f"http://{host}:{port}/"], capture_output=True, text=True, check=False
        )
        return done.stdout if done.returncode == 0 else ""

    assert cluster.wait("the shop's page", fetch)
    for kind in ("deployments", "services", "pods", "nodes", "configmaps"):
        assert cluster.kubectl("describe", kind, "-n", namespace)


def test_the_control_plane_may_rest(cluster: Cluster, namespace: str) -> None:
    """Pods and Services go on without it, and it comes back to the same cluster."""
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=web("web", 2))
    cluster.kubectl("expose", "deployment", "web", "-n", namespace, "--port=80", "--target-port=8080", "--type=NodePort")
    before = cluster.wait_ready(namespace, "app=web", 2)
    port = cluster.get("service", "web", "-n", namespace)["spec"]["ports"][0]["nodePort"]
    host = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    command = ["curl", "-sS", "-m", "5", "-f", "-o", "/dev/null", f"http://{host}:{port}/cgi-bin/who"]
    cluster.wait("an answer", lambda: subprocess.run(command, check=False).returncode == 0)
    pid = int((cluster.run_dir / "server.pid").read_text().split()[0])
    subprocess.run(["kill", "-9", str(pid)], check=True)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        subprocess.run(command, check=True)
    cluster.navarch("up")
    after = cluster.wait_ready(namespace, "app=web", 2)

    def identity(pods: list[Any]) -> list[tuple[str, str, str]]:
        return sorted(
            (p["metadata"]["uid"], p["status"]["podIP"], p["status"]["containerStatuses"][0]["containerID"]) for p in pods
        )

    assert identity(before) == identity(after)
