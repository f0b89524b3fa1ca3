"""Services and names: from pods, from nodes, from outside, across nodes."""

from __future__ import annotations

import json
import subprocess

from tests.e2e.conftest import IMAGE, Cluster

# Answers with the server's pod name and the client's address as the server sees it.
SCRIPT = """#!/bin/sh
echo "Content-Type: text/plain"
echo
echo "$HOSTNAME $REMOTE_ADDR" | tr -d "[]" | sed "s/::ffff://"
"""
WHO = (
    f"mkdir -p /www/cgi-bin; printf %s '{SCRIPT}' > /www/cgi-bin/who; chmod +x /www/cgi-bin/who; exec httpd -f -p 8080 -h /www"
)


def web(name: str, replicas: int) -> str:
    labels = {"app": name}
    container = {
        "name": "web",
        "image": IMAGE,
        "command": ["sh", "-c", WHO],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/cgi-bin/who", "port": "http"}, "periodSeconds": 1},
    }
    # One on each node, so that every path is walked.
    spread = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": labels},
        }
    ]
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "topologySpreadConstraints": spread, "terminationGracePeriodSeconds": 1},
    }
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
        }
    )


def client(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("run", "client", "-n", namespace, f"--image={IMAGE}", "--command", "--", "sleep", "10000")
    cluster.kubectl("wait", "-n", namespace, "pod/client", "--for=condition=Ready", "--timeout=60s")


def test_services_answer_on_every_address_and_name(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=web("web", 3))
    cluster.kubectl("expose", "deployment", "web", "-n", namespace, "--port=80", "--target-port=http", "--type=NodePort")
    headless = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "peers"},
        "spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 8080}]},
    }
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(headless))
    client(cluster, namespace)
    pods = cluster.wait_ready(namespace, "app=web", 3)
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 3
    service = cluster.get("service", "web", "-n", namespace)
    address, node_port = service["spec"]["clusterIP"], service["spec"]["ports"][0]["nodePort"]

    def fetch(host: str) -> str:
        done = cluster.run("exec", "-n", namespace, "client", "--", "wget", "-q", "-O-", f"http://{host}/cgi-bin/who")
        return done.stdout.strip() if done.returncode == 0 else ""

    for host in (address, "web", f"web.{namespace}", f"web.{namespace}.svc.cluster.local", "peers:8080"):
        cluster.wait(f"an answer from {host}", lambda host=host: fetch(host), timeout=20)
    answered = {fetch(address).split(" ")[0] for _ in range(40)}
    assert answered == {pod["metadata"]["name"] for pod in pods}

    # Pod to pod, on whatever node: the server sees the client's own address.
    own = cluster.get("pod", "client", "-n", namespace)["status"]["podIP"]
    for pod in pods:
        assert fetch(f"{pod['status']['podIP']}:8080") == f"{pod['metadata']['name']} {own}"
    assert all(fetch(address).endswith(f" {own}") for _ in range(6))

    # Node port, from outside, on every node.
    for node in cluster.get("nodes")["items"]:
        host = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
        done = subprocess.run(
            ["curl", "-sS", "-m", "5", f"http://{host}:{node_port}/cgi-bin/who"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and done.stdout.startswith("web-"), done


def test_pods_and_services_are_reached_through_the_api_server(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=web("web", 2))
    cluster.kubectl("expose", "deployment", "web", "-n", namespace, "--port=80", "--target-port=http", "--name=front")
    pods = {pod["metadata"]["name"] for pod in cluster.wait_ready(namespace, "app=web", 2)}
    base = f"/api/v1/namespaces/{namespace}"

    def who(path: str) -> str:
        done = cluster.run("get", "--raw", f"{base}/{path}/proxy/cgi-bin/who")
        return done.stdout.split(" ")[0] if done.returncode == 0 else ""

    for name in pods:
        assert who(f"pods/{name}") == who(f"pods/http:{name}:8080") == name
    cluster.wait("the Service's endpoints", lambda: who("services/front:80"), timeout=20)
    assert {who("services/front:80") for _ in range(20)} == pods
    refused = cluster.run("get", "--raw", f"{base}/pods/{next(iter(pods))}:9/proxy/")
    assert "connect: connection refused" in refused.stderr
    health = cluster.kubectl("get", "--raw", "/api/v1/nodes/node-2/proxy/healthz")
    assert health.strip() == "ok"


def test_names_resolve_as_the_dns_specification_says(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=web("web", 2))
    cluster.kubectl("create", "service", "clusterip", "web", "-n", namespace, "--tcp=80:8080")
    cluster.kubectl("create", "service", "externalname", "outside", "-n", namespace, "--external-name=far.example")
    client(cluster, namespace)
    pods = cluster.wait_ready(namespace, "app=web", 2)
    address = cluster.get("service", "web", "-n", namespace)["spec"]["clusterIP"]

    def lookup(*words: str) -> str:
        return cluster.run("exec", "-n", namespace, "client", "--", "nslookup", *words).stdout

    name = f"web.{namespace}.svc.cluster.local"
    cluster.wait("the Service's name", lambda: address in lookup(name), timeout=20)
    assert name in lookup(address)
    dashed = pods[0]["status"]["podIP"].replace(".", "-")
    assert pods[0]["status"]["podIP"] in lookup(f"{dashed}.{namespace}.pod.cluster.local")
    assert "far.example" in lookup("-type=cname", f"outside.{namespace}.svc.cluster.local")
    assert "NXDOMAIN" in lookup(f"absent.{namespace}.svc.cluster.local")


def test_endpoints_follow_readiness(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=web("web", 2))
    cluster.kubectl("expose", "deployment", "web", "-n", namespace, "--port=80", "--target-port=8080")
    pods = cluster.wait_ready(namespace, "app=web", 2)

    def ready() -> set[str]:
        slices = cluster.get("endpointslices", "-n", namespace, "-l", "kubernetes.io/service-name=web")["items"]
        return {e["addresses"][0] for s in slices for e in s.get("endpoints") or () if e["conditions"].get("ready")}

    cluster.wait("both ready", lambda: ready() == {pod["status"]["podIP"] for pod in pods})
    name = pods[0]["metadata"]["name"]
    cluster.kubectl("exec", "-n", namespace, name, "--", "rm", "/www/cgi-bin/who")
    cluster.wait("one left", lambda: ready() == {pods[1]["status"]["podIP"]})
    assert (
        cluster.get("endpoints", "web", "-n", namespace)["subsets"][0]["notReadyAddresses"][0]["ip"]
        == pods[0]["status"]["podIP"]
    )
