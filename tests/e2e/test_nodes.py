"""Nodes that stop, are cut off and come back."""

from __future__ import annotations

import json

from tests.e2e.conftest import Cluster
from tests.e2e.test_services import web


def _ready(cluster: Cluster, node: str) -> str:
    conditions = cluster.get("node", node)["status"]["conditions"]
    return next(c["status"] for c in conditions if c["type"] == "Ready")


def test_the_pods_of_a_dead_node_are_replaced_and_leave_the_service(cluster: Cluster, namespace: str) -> None:
    manifest = json.loads(web("web", 3))
    pod = manifest["spec"]["template"]["spec"]
    pod["topologySpreadConstraints"][0]["whenUnsatisfiable"] = "ScheduleAnyway"
    # Five minutes by default; nobody wants to wait that long here.
    pod["tolerations"] = [
        {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}
        for taint in ("not-ready", "unreachable")
    ]
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))
    cluster.kubectl("expose", "deployment", "web", "-n", namespace, "--port=80", "--target-port=8080")
    pods = cluster.wait_ready(namespace, "app=web", 3)
    lost = next(pod for pod in pods if pod["spec"]["nodeName"] == "node-3")
    cluster.navarch("node", "stop", "node-3")
    try:
        cluster.wait("NotReady", lambda: _ready(cluster, "node-3") == "Unknown", timeout=90)

        def endpoints() -> set[str]:
            slices = cluster.get("endpointslices", "-n", namespace, "-l", "kubernetes.io/service-name=web")["items"]
            return {e["addresses"][0] for s in slices for e in s.get("endpoints") or () if e["conditions"].get("ready")}

        cluster.wait("the lost endpoint leaves", lambda: lost["status"]["podIP"] not in endpoints())

        def replaced() -> bool:
            found = cluster.get("pods", "-n", namespace, "-l", "app=web")["items"]
            fine = [p for p in found if p["spec"].get("nodeName") != "node-3" and p["status"]["phase"] == "Running"]
            return len(fine) == 3

        cluster.wait("three pods elsewhere", replaced)
    finally:
        cluster.navarch("node", "start", "node-3")
    cluster.wait("Ready again", lambda: _ready(cluster, "node-3") == "True")
    cluster.wait_ready(namespace, "app=web", 3)


def test_a_node_that_was_cut_off_comes_back_with_its_pods(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=web("web", 3))
    before = {p["metadata"]["uid"]: p["status"]["podIP"] for p in cluster.wait_ready(namespace, "app=web", 3)}
    cluster.navarch("node", "cut", "node-2")
    try:
        cluster.wait("Unknown", lambda: _ready(cluster, "node-2") == "Unknown", timeout=90)
    finally:
        cluster.navarch("node", "heal", "node-2")
    cluster.wait("Ready again", lambda: _ready(cluster, "node-2") == "True")
    after = {p["metadata"]["uid"]: p["status"]["podIP"] for p in cluster.wait_ready(namespace, "app=web", 3)}
    assert after == before
