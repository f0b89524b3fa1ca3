"""The real kubectl, whose pods run at kubelets that pretend."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from tests.apiserver.test_kubectl import KUBECTLS, Kubectl
from tests.conformance import behaviour
from tests.conformance.backends import Backend
from tests.conformance.objects import replication_controller, workload
from tests.conformance.realtime import RealTime

HTTPD, BUSYBOX, AGNHOST, NAUTILUS = (f"registry.example/{name}:1" for name in ("httpd", "busybox", "agnhost", "nautilus"))
TIMEOUT_SECONDS = 20.0


@pytest.fixture(scope="module")
def everywhere(real: RealTime, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    if not KUBECTLS:
        pytest.skip("there is no kubectl on PATH")
    home = tmp_path_factory.mktemp("home")
    return Kubectl(KUBECTLS[max(KUBECTLS)], real.write_kubeconfig(home / "config"), home)


@pytest.fixture
def kubectl(everywhere: Kubectl, real: RealTime, request: pytest.FixtureRequest) -> Kubectl:
    """In a namespace of its own."""
    name = re.sub("[^a-z]+", "-", request.node.name.removeprefix("test_"))[:40].strip("-")
    everywhere("create", "namespace", name)
    everywhere("config", "set-context", "--current", f"--namespace={name}")
    real.until(lambda: real.kubelets.one("serviceaccounts", f"{name}/default"))
    return everywhere


def until_running(kubectl: Kubectl, *words: str) -> None:
    kubectl("wait", "--for=condition=Ready", f"--timeout={TIMEOUT_SECONDS}s", "pod", *words)


def running_controller(kubectl: Kubectl, name: str, port: int) -> list[str]:
    """The names of its pods, of which there is one, once it runs."""
    controller = replication_controller(name, 1, {"app": name}, AGNHOST)
    controller["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"name": "agnhost", "containerPort": port}]
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "ReplicationController", **controller}))
    kubectl("wait", "--for=jsonpath={.status.readyReplicas}=1", f"--timeout={TIMEOUT_SECONDS}s", "rc", name)
    return kubectl("get", "pods", "-l", f"app={name}", "-o", "jsonpath={.items[*].metadata.name}").split()


@behaviour("Kubectl, check version v1")
def test_api_versions_has_v1(everywhere: Kubectl) -> None:
    assert "v1" in everywhere("api-versions").split()


@behaviour("Kubectl, version")
def test_version_tells_of_client_and_server(everywhere: Kubectl) -> None:
    shown = everywhere("version")
    assert re.search(r"^Client Version: v\d", shown, re.MULTILINE) and re.search(r"^Server Version: v\d", shown, re.MULTILINE)
    server = everywhere.json("version")["serverVersion"]
    assert all(server[field] for field in ("major", "minor", "gitVersion", "buildDate", "platform"))


@behaviour("Kubectl, cluster info")
def test_cluster_info_has_the_control_plane(everywhere: Kubectl, real: RealTime) -> None:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", everywhere("cluster-info"))
    assert f"Kubernetes control plane is running at {real.url}" in plain


@behaviour("Kubectl, diff Deployment")
def test_diff_finds_another_image(kubectl: Kubectl) -> None:
    deployment: Object = {"apiVersion": "apps/v1", "kind": "Deployment", **workload("httpd-deployment", 1, image=HTTPD)}
    kubectl("create", "-f", "-", stdin=json.dumps(deployment))
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = BUSYBOX
    found = kubectl.run("diff", "-f", "-", stdin=json.dumps(deployment))
    assert found.returncode == 1
    assert re.search(rf"^- .*image: {HTTPD}$", found.stdout, re.MULTILINE)
    assert re.search(rf"^\+ .*image: {BUSYBOX}$", found.stdout, re.MULTILINE)


@behaviour("Kubectl, run pod")
def test_run_makes_a_pod(kubectl: Kubectl) -> None:
    kubectl("run", "e2e-test-httpd-pod", "--restart=Never", f"--image={HTTPD}")
    spec = kubectl.json("get", "pod", "e2e-test-httpd-pod")["spec"]
    assert [each["image"] for each in spec["containers"]] == [HTTPD] and spec["restartPolicy"] == "Never"


@behaviour("Kubectl, server-side dry-run Pod")
def test_a_dry_run_changes_nothing(kubectl: Kubectl) -> None:
    kubectl("run", "e2e-test-httpd-pod", f"--image={HTTPD}", "--labels=run=e2e-test-httpd-pod")
    patch = {"spec": {"containers": [{"name": "e2e-test-httpd-pod", "image": BUSYBOX}]}}
    told = kubectl("patch", "pod", "e2e-test-httpd-pod", "-p", json.dumps(patch), "--dry-run=server", "-o", "json")
    assert json.loads(told)["spec"]["containers"][0]["image"] == BUSYBOX
    assert kubectl.json("get", "pod", "e2e-test-httpd-pod")["spec"]["containers"][0]["image"] == HTTPD


@behaviour("Kubectl, replace")
def test_replace_changes_the_image(kubectl: Kubectl) -> None:
    kubectl("run", "e2e-test-httpd-pod", f"--image={HTTPD}", "--labels=run=e2e-test-httpd-pod")
    until_running(kubectl, "-l", "run=e2e-test-httpd-pod")
    pod = kubectl.json("get", "pod", "e2e-test-httpd-pod")
    pod["spec"]["containers"][0]["image"] = BUSYBOX
    kubectl("replace", "-f", "-", stdin=json.dumps(pod))
    replaced = kubectl.json("get", "pod", "e2e-test-httpd-pod")
    assert [each["image"] for each in replaced["spec"]["containers"]] == [BUSYBOX]
    kubectl("replace", "--force", "-f", "-", stdin=json.dumps(pod))
    assert kubectl.json("get", "pod", "e2e-test-httpd-pod")["metadata"]["uid"] != pod["metadata"]["uid"]


@behaviour("Kubectl, label update")
def test_label_adds_and_removes(kubectl: Kubectl) -> None:
    kubectl("run", "pause", "--image=registry.example/pause:1")
    until_running(kubectl, "pause")
    kubectl("label", "pods", "pause", "testing-label=testing-label-value")
    assert "testing-label-value" in kubectl("get", "pod", "pause", "-L", "testing-label")
    assert kubectl("get", "pods", "-l", "testing-label=testing-label-value", "-o", "name") == "pod/pause\n"
    kubectl("label", "pods", "pause", "testing-label-")
    assert "testing-label-value" not in kubectl("get", "pod", "pause", "-L", "testing-label")
    assert kubectl("get", "pods", "-l", "testing-label", "-o", "name") == ""


@behaviour("Kubectl, patch to annotate")
def test_patch_annotates_pods(kubectl: Kubectl) -> None:
    pods = running_controller(kubectl, "agnhost-primary", 6379)
    for name in pods:
        kubectl("patch", "pod", name, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    found = kubectl.json("get", "pods", "-l", "app=agnhost-primary")["items"]
    assert [each["metadata"]["annotations"]["x"] for each in found] == ["y"] * len(pods)


@behaviour("Kubectl, create service, replication controller")
def test_expose_makes_services(kubectl: Kubectl) -> None:
    running_controller(kubectl, "agnhost-primary", 6379)
    for source, name, port in (("rc agnhost-primary", "rm2", 1234), ("service rm2", "rm3", 2345)):
        kubectl("expose", *source.split(), f"--name={name}", f"--port={port}", "--target-port=6379")
        kubectl("wait", "--for=jsonpath={.subsets[0].addresses}", f"--timeout={TIMEOUT_SECONDS}s", "endpoints", name)
        (exposed,) = kubectl.json("get", "service", name)["spec"]["ports"]
        assert (exposed["port"], exposed["targetPort"]) == (port, 6379)
        (slice_,) = kubectl.json("get", "endpointslices", "-l", f"kubernetes.io/service-name={name}")["items"]
        assert [each["port"] for each in slice_["ports"]] == [6379] and len(slice_["endpoints"]) == 1


@pytest.fixture
def nautilus(real: RealTime) -> Iterator[Backend]:
    """What every pod of that image serves."""
    with contextlib.closing(Backend('{"image": "nautilus.jpg"}', "application/json")) as backend:
        real.kubelets.addresses[NAUTILUS] = backend.address
        yield backend


def demo(kubectl: Kubectl, backend: Backend) -> None:
    """A controller of two pods."""
    controller = replication_controller("update-demo-nautilus", 2, {"name": "update-demo"}, NAUTILUS)
    controller["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": backend.port}]
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "ReplicationController", **controller}))


def until_all_serve(kubectl: Kubectl, real: RealTime, count: int) -> None:
    """Until there are so many, each with its container running its image and its data to be had."""

    def found() -> list[Object]:
        items: list[Object] = kubectl.json("get", "pods", "-l", "name=update-demo")["items"]
        running = [
            item for item in items if (item["status"].get("containerStatuses") or [{}])[0].get("state", {}).get("running")
        ]
        return items if len(items) == len(running) == count else []

    for pod in real.until(found):
        assert [status["image"] for status in pod["status"]["containerStatuses"]] == [NAUTILUS]
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/proxy/data.json"
        assert json.loads(kubectl("get", "--raw", path)) == {"image": "nautilus.jpg"}


@behaviour("Kubectl, replication controller")
def test_a_controller_is_made_and_stopped(kubectl: Kubectl, real: RealTime, nautilus: Backend) -> None:
    demo(kubectl, nautilus)
    until_all_serve(kubectl, real, 2)
    kubectl("delete", "--grace-period=0", "--force", "rc", "update-demo-nautilus")
    assert kubectl("get", "rc,svc", "-l", "name=update-demo", "--no-headers") == ""
    real.until(lambda: not kubectl("get", "pods", "-l", "name=update-demo", "--no-headers"))


@behaviour("Kubectl, scale replication controller")
def test_a_controller_is_scaled(kubectl: Kubectl, real: RealTime, nautilus: Backend) -> None:
    demo(kubectl, nautilus)
    until_all_serve(kubectl, real, 2)
    for replicas in (1, 2):
        kubectl("scale", "rc", "update-demo-nautilus", f"--replicas={replicas}", "--timeout=5m")
        until_all_serve(kubectl, real, replicas)


def describes(shown: str, *expected: tuple[str, str]) -> None:
    """Each of these fields has its value in it."""
    for field, value in expected:
        line = rf"^\s*{re.escape(field)}.*{re.escape(value)}" if value else rf"^\s*{re.escape(field)}"
        assert re.search(line, shown, re.MULTILINE), (field, value, shown)


@behaviour("Kubectl, describe pod or rc")
def test_describe_tells_what_matters(kubectl: Kubectl) -> None:
    (pod,) = running_controller(kubectl, "agnhost-primary", 6379)
    kubectl("expose", "rc", "agnhost-primary", "--port=6379")
    namespace = kubectl.json("get", "pod", pod)["metadata"]["namespace"]
    common = (("Name:", "agnhost-primary"), ("Namespace:", namespace), ("Labels:", ""))
    inside = (("Image:", AGNHOST), ("State:", "Running"), ("Controlled By:", "ReplicationController/agnhost-primary"))
    describes(kubectl("describe", "pod", pod), *common, ("Annotations:", ""), ("Status:", "Running"), ("IP:", ""), *inside)
    states = (("Selector:", "app=agnhost-primary"), ("Replicas:", "1 current"), ("Pods Status:", "1 Running"))
    shown = kubectl("describe", "rc", "agnhost-primary")
    describes(shown, *common, *states, ("Pod Template:", ""), ("Image:", AGNHOST), ("Events:", ""))
    service = (("Selector:", "app=agnhost-primary"), ("Type:", "ClusterIP"), ("IP:", ""), ("Port:", "<unset>"))
    shown = kubectl("describe", "service", "agnhost-primary")
    describes(shown, *common, *service, ("Endpoints:", ""), ("Session Affinity:", "None"))
    node = kubectl.json("get", "pod", pod)["spec"]["nodeName"]
    states = (("Conditions:", ""), ("Addresses:", ""), ("Capacity:", ""), ("Non-terminated Pods:", ""))
    describes(kubectl("describe", "node", node), ("Name:", node), ("Labels:", ""), ("CreationTimestamp:", ""), *states)
    describes(kubectl("describe", "namespace", namespace), ("Name:", namespace), ("Status:", "Active"), ("Labels:", ""))


@contextlib.contextmanager
def proxy(kubectl: Kubectl, *words: str) -> Iterator[str]:
    """`kubectl proxy`, and its first line."""
    process = kubectl.start("proxy", *words)
    try:
        assert process.stdout is not None
        yield process.stdout.readline()
    finally:
        process.terminate()
        process.communicate()


def versions(connection: http.client.HTTPConnection) -> Any:
    connection.request("GET", "/api/")
    versions = json.load(connection.getresponse())["versions"]
    connection.close()
    return versions


@behaviour("Kubectl, proxy port zero")
def test_proxy_finds_a_port(everywhere: Kubectl) -> None:
    with proxy(everywhere, "-p", "0", "--disable-filter") as told:
        served = re.search(r"Starting to serve on 127\.0\.0\.1:(\d+)", told)
        assert served, told
        assert versions(http.client.HTTPConnection("127.0.0.1", int(served[1]), timeout=TIMEOUT_SECONDS))


@behaviour("Kubectl, proxy socket")
def test_proxy_listens_on_a_socket(everywhere: Kubectl, tmp_path: Path) -> None:
    path = tmp_path / "test"
    with proxy(everywhere, f"--unix-socket={path}") as told:
        assert "Starting to serve on" in told
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(TIMEOUT_SECONDS)
        connection.sock.connect(str(path))
        assert versions(connection)
