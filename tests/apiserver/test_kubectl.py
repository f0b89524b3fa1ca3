"""The real kubectl against the real server: what people type, and what they get for mistakes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from navarch.api import registry
from tests.apiserver.https import HTTPSServer
from tests.apiserver.samples import sample

TIMEOUT_SECONDS = 30
MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: config, namespace: kubectl}
data: {a: "1"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: kubectl}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: "registry.example/web:1", ports: [{containerPort: 80}]}
      - {name: side, image: "registry.example/side:1"}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: kubectl}
spec:
  selector: {app: web}
  ports: [{port: 80}]
"""


def versions() -> dict[tuple[int, ...], str]:
    """Every kubectl on PATH and beside it, by version."""
    found: dict[tuple[int, ...], str] = {}
    first = shutil.which("kubectl")
    for path in sorted(Path(os.path.realpath(first)).parent.glob("kubectl*")) if first else ():
        numbered = re.search(r"kubectl\.(\d+)\.(\d+)$", path.name)
        found[tuple(map(int, numbered.groups())) if numbered else (0,)] = str(path)
    return found


KUBECTLS = versions()


class Kubectl:
    def __init__(self, program: str, kubeconfig: Path, home: Path) -> None:
        self._program = program
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(home)}
        self._home = home

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, *words],
            input=stdin,
            capture_output=True,
            text=True,
            env=self._environment,
            cwd=self._home,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """What goes on until it is ended."""
        return subprocess.Popen(
            [self._program, *words], stdout=subprocess.PIPE, text=True, env=self._environment, cwd=self._home
        )

    def __call__(self, *words: str, stdin: str = "") -> str:
        """Output of what must succeed."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def fails(self, *words: str, stdin: str = "") -> str:
        """The error of what must fail."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode != 0, f"kubectl {' '.join(words)} succeeded: {done.stdout}"
        return done.stderr.strip()

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "-o", "json"))


@pytest.fixture(scope="module")
def kubectl(https_server: HTTPSServer, kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    if not KUBECTLS:
        pytest.skip("there is no kubectl on PATH")
    found = Kubectl(KUBECTLS[max(KUBECTLS)], kubeconfig, tmp_path_factory.mktemp("home"))
    found("create", "namespace", "kubectl")
    https_server.ask("POST", "/api/v1/namespaces/kubectl/serviceaccounts", {"metadata": {"name": "default"}})
    assert "created" in found("apply", "-f", "-", stdin=MANIFEST)
    return found


def test_apply_is_a_three_way_merge(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", stdin=MANIFEST).count("unchanged") == 3
    kubectl("label", "deployment", "web", "-n", "kubectl", "kept=yes")
    kubectl("scale", "deployment", "web", "-n", "kubectl", "--replicas=5")
    changed = MANIFEST.replace("web:1", "web:2").replace("  replicas: 2\n", "")
    changed = changed.replace('\n      - {name: side, image: "registry.example/side:1"}', "")
    difference = kubectl.run("diff", "-f", "-", stdin=changed)
    assert difference.returncode == 1 and "registry.example/web:2" in difference.stdout
    assert "deployment.apps/web configured" in kubectl("apply", "-f", "-", stdin=changed)
    web = kubectl.json("get", "deployment", "web", "-n", "kubectl")
    assert [c["image"] for c in web["spec"]["template"]["spec"]["containers"]] == ["registry.example/web:2"]
    assert web["metadata"]["labels"] == {"kept": "yes"}
    assert web["spec"]["replicas"] == 1, "what the last manifest had and this one has not is unset, and defaulted"
    kubectl("apply", "-f", "-", stdin=MANIFEST)
    assert kubectl.json("get", "deployment", "web", "-n", "kubectl")["spec"]["replicas"] == 2


def test_get_prints_what_people_know(kubectl: Kubectl) -> None:
    lines = kubectl("get", "deployments,services", "-n", "kubectl").splitlines()
    assert lines[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert re.match(r"deployment\.apps/web +0/2 +0 +0 +\d+s", lines[1])
    assert lines[3].split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert re.match(r"service/web +ClusterIP +10\.96\.\d+\.\d+ +<none> +80/TCP +\d+s", lines[4])
    wide = kubectl("get", "deployment", "web", "-n", "kubectl", "-o", "wide")
    assert "CONTAINERS" in wide and "registry.example/web:1,registry.example/side:1" in wide and "app=web" in wide
    path = "-o=jsonpath={.spec.template.spec.containers[*].name}"
    assert kubectl("get", "deployment", "web", "-n", "kubectl", path) == "main side"
    columns = "-o=custom-columns=N:.metadata.name,R:.spec.replicas"
    assert kubectl("get", "deploy", "-n", "kubectl", columns).split() == ["N", "R", "web", "2"]
    assert "kind: ConfigMap" in kubectl("get", "cm", "config", "-n", "kubectl", "-o", "yaml")
    assert kubectl("get", "cm", "-A", "-o", "name", "--field-selector", "metadata.name=config") == "configmap/config\n"
    assert "LABELS" in kubectl("get", "ns", "--show-labels") and "app=web" in kubectl("get", "deploy", "-A", "-o", "wide")
    for resource in ("all", "nodes", "events", "pods", "secrets", "leases", "endpointslices", "pdb", "priorityclasses", "sa"):
        kubectl("get", resource, "-A", "-o", "wide")


def test_get_pages_through_long_lists(kubectl: Kubectl) -> None:
    found = kubectl("get", "namespaces", "--chunk-size=1", "-o", "name").split()
    assert {"namespace/default", "namespace/kubectl"} <= set(found)
    assert kubectl("get", "namespaces", "--chunk-size=1", "--sort-by=.metadata.name").startswith("NAME")


def test_objects_are_changed_in_every_way(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "changed", "-n", "kubectl", "--from-literal=a=1")
    kubectl("annotate", "configmap", "changed", "-n", "kubectl", "note=x")
    kubectl("annotate", "configmap", "changed", "-n", "kubectl", "note=y", "--overwrite")
    kubectl("label", "configmap", "changed", "-n", "kubectl", "tier=gold")
    kubectl("label", "configmap", "changed", "-n", "kubectl", "tier-")
    kubectl("patch", "configmap", "changed", "-n", "kubectl", "--type=merge", "-p", '{"data":{"b":"2"}}')
    operations = '[{"op":"add","path":"/data/c","value":"3"}]'
    kubectl("patch", "configmap", "changed", "-n", "kubectl", "--type=json", "-p", operations)
    kubectl("patch", "configmap", "changed", "-n", "kubectl", "-p", '{"data":{"d":"4"}}')
    found = kubectl.json("get", "configmap", "changed", "-n", "kubectl")
    assert found["data"] == {"a": "1", "b": "2", "c": "3", "d": "4"}
    assert found["metadata"]["annotations"] == {"note": "y"} and "labels" not in found["metadata"]
    replaced = json.dumps({**found, "data": {"z": "before"}})
    kubectl("replace", "-f", "-", stdin=replaced)
    kubectl._environment["KUBE_EDITOR"] = "sed -i s/before/after/"
    assert "edited" in kubectl("edit", "configmap", "changed", "-n", "kubectl")
    assert kubectl.json("get", "configmap", "changed", "-n", "kubectl")["data"] == {"z": "after"}
    assert "deleted" in kubectl("delete", "configmap", "changed", "-n", "kubectl")


def test_images_resources_and_rollouts_are_set(kubectl: Kubectl) -> None:
    kubectl("set", "image", "deployment/web", "-n", "kubectl", "main=registry.example/web:3")
    kubectl("set", "env", "deployment/web", "-n", "kubectl", "A=1")
    kubectl("set", "resources", "deployment/web", "-n", "kubectl", "-c=main", "--limits=cpu=200m,memory=64Mi")
    kubectl("rollout", "restart", "deployment/web", "-n", "kubectl")
    kubectl("rollout", "pause", "deployment/web", "-n", "kubectl")
    main, _ = kubectl.json("get", "deployment", "web", "-n", "kubectl")["spec"]["template"]["spec"]["containers"]
    assert (main["image"], main["env"]) == ("registry.example/web:3", [{"name": "A", "value": "1"}])
    assert main["resources"]["limits"] == {"cpu": "200m", "memory": "64Mi"}
    kubectl("rollout", "resume", "deployment/web", "-n", "kubectl")
    kubectl("apply", "-f", "-", stdin=MANIFEST)


@pytest.mark.parametrize(
    "words",
    [
        ("configmap", "made", "--from-literal=a=b"),
        ("secret", "generic", "made", "--from-literal=a=b"),
        ("secret", "docker-registry", "made-too", "--docker-server=x", "--docker-username=a", "--docker-password=b"),
        ("serviceaccount", "made"),
        ("deployment", "made", "--image=registry.example/a", "--replicas=3"),
        ("service", "clusterip", "made", "--tcp=80:8080"),
        ("service", "nodeport", "made-np", "--tcp=80"),
        ("service", "externalname", "made-ext", "--external-name=example.com"),
        ("service", "clusterip", "made-headless", "--clusterip=None"),
        ("job", "made", "--image=registry.example/a", "--", "true"),
        ("cronjob", "made", "--image=registry.example/a", "--schedule=*/5 * * * *"),
        ("poddisruptionbudget", "made", "--selector=app=made", "--min-available=50%"),
        ("priorityclass", "made", "--value=100"),
        ("token", "made"),
    ],
    ids=lambda words: words[0] + "-" + words[1],
)
def test_create_makes_each_kind(kubectl: Kubectl, words: tuple[str, ...]) -> None:
    assert kubectl("create", "-n", "kubectl", *words)


def test_certificates_are_approved_and_denied(kubectl: Kubectl) -> None:
    for name in ("good", "bad"):
        manifest = sample(registry.resource("certificatesigningrequests.certificates.k8s.io"), name)
        kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    assert "certificatesigningrequest.certificates.k8s.io/good approved" in kubectl("certificate", "approve", "good")
    assert "certificatesigningrequest.certificates.k8s.io/bad denied" in kubectl("certificate", "deny", "bad")
    lines = [line.split() for line in kubectl("get", "csr").splitlines()]
    assert lines[0] == ["NAME", "AGE", "SIGNERNAME", "REQUESTOR", "REQUESTEDDURATION", "CONDITION"]
    shown = {line[0]: line[2:] for line in lines[1:]}
    assert shown["good"] == ["example.com/signer", "kubernetes-admin", "<none>", "Approved"]
    assert shown["bad"] == ["example.com/signer", "kubernetes-admin", "<none>", "Denied"]
    assert "Common Name:    alice" in kubectl("describe", "csr", "good")
    assert 'certificate signing request "bad" is already Denied' in kubectl.fails("certificate", "approve", "bad")


def test_run_expose_and_describe(kubectl: Kubectl) -> None:
    kubectl("run", "single", "-n", "kubectl", "--image=registry.example/single", "--port=80", "--labels=app=single")
    kubectl("expose", "pod", "single", "-n", "kubectl", "--port=8080", "--target-port=80")
    described = kubectl("describe", "pod", "single", "-n", "kubectl")
    assert "registry.example/single" in described and "QoS Class:" in described and "Status:           Pending" in described
    for words in (("service", "single"), ("deployment", "web"), ("configmap", "config")):
        assert "Name:" in kubectl("describe", *words, "-n", "kubectl")
    assert kubectl("delete", "pod", "single", "-n", "kubectl", "--grace-period=0", "--force")


def test_watches_and_waits_end_when_told(kubectl: Kubectl) -> None:
    condition = "--for=jsonpath={.data.a}=1"
    assert "condition met" in kubectl("wait", "configmap/config", "-n", "kubectl", condition, "--timeout=5s")
    kubectl("create", "configmap", "short", "-n", "kubectl")
    watching = subprocess.Popen(
        [kubectl._program, "get", "configmap", "short", "-n", "kubectl", "-w", "-o", "name"],
        stdout=subprocess.PIPE,
        text=True,
        env=kubectl._environment,
    )
    assert watching.stdout is not None
    try:
        assert watching.stdout.readline() == "configmap/short\n"
        kubectl("label", "configmap", "short", "-n", "kubectl", "a=b")
        assert watching.stdout.readline() == "configmap/short\n"
    finally:
        watching.kill()
        watching.wait()
        watching.stdout.close()
    waiting = kubectl("delete", "configmap", "short", "-n", "kubectl", "--wait")
    assert "deleted" in waiting
    assert "timed out" in kubectl.fails(
        "wait", "deployment/web", "-n", "kubectl", "--for=condition=Available", "--timeout=0.1s"
    )


def test_what_the_server_has_is_explained(kubectl: Kubectl) -> None:
    explained = kubectl("explain", "deployment.spec.strategy.rollingUpdate.maxSurge")
    assert "maximum number of pods" in explained
    assert "ENUM:\n    ClusterFirst\n    ClusterFirstWithHostNet\n    Default\n    None\n" in kubectl(
        "explain", "pod.spec.dnsPolicy"
    )
    recursive = kubectl("explain", "pods", "--recursive")
    assert "FIELDS:" in recursive and "imagePullPolicy\t<string>\n      enum: Always, IfNotPresent, Never\n" in recursive
    listed = kubectl("api-resources")
    assert re.search(r"deployments +deploy +apps/v1 +true +Deployment", listed)
    assert kubectl("api-versions").splitlines() == sorted(kubectl("api-versions").splitlines())
    assert "Username    kubernetes-admin" in kubectl("auth", "whoami")
    assert kubectl("auth", "can-i", "delete", "pods").strip() == "yes"
    assert kubectl("auth", "can-i", "--list").split()[:8] == [
        "Resources",
        "Non-Resource",
        "URLs",
        "Resource",
        "Names",
        "Verbs",
        "*.*",
        "[]",
    ]
    assert kubectl.run("auth", "can-i", "get", "pods", "--as=nobody").returncode in (0, 1)
    assert json.loads(kubectl("get", "--raw", "/version"))["minor"] == "36"
    assert kubectl("get", "--raw", "/readyz") == "ok"
    assert "Server Version: v1.36.0" in kubectl("version")
    assert "is running at" in kubectl("cluster-info")


POD = """
apiVersion: v1
kind: Pod
metadata: {name: refused, namespace: kubectl}
spec: {containers: [{name: main, image: a}]}
"""
DEPLOYMENT = MANIFEST.split("---\n")[1].replace("name: web,", "name: refused,")


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (
            "a: b: c",
            "error: error parsing STDIN: error converting YAML to JSON: yaml: mapping values are not allowed",
        ),
        ('{"apiVersion": "v1",', "error: error parsing STDIN: "),
        (POD.replace("kind: Pod", "kind: Pood"), 'no matches for kind "Pood" in version "v1"'),
        (POD.replace("apiVersion: v1", "apiVersion: apps/v2"), 'no matches for kind "Pod" in version "apps/v2"'),
        (POD.replace("kind: Pod\n", ""), "error validating data: kind not set"),
        (
            POD.replace("name: refused", "name: Refused_"),
            'The Pod "Refused_" is invalid: metadata.name: Invalid value: "Refused_": a lowercase RFC 1123 subdomain must '
            "consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character "
            "(e.g. 'example.com', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        (POD.replace("containers: [{name: main, image: a}]", ""), "spec.containers: Required value"),
        (POD.replace("image: a", "imagee: a"), 'strict decoding error: unknown field "spec.containers[0].imagee"'),
        (
            POD.replace("image: a", "image: 1"),
            "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string",
        ),
        (
            POD.replace("image: a", "image: a, ports: x"),
            "json: cannot unmarshal string into Go struct field Container.spec.containers.ports of type []v1.ContainerPort",
        ),
        (
            POD.replace("[{name: main, image: a}]", "[{name: main, image: a}, {name: main, image: b}]"),
            'The Pod "refused" is invalid: spec.containers[1].name: Duplicate value: "main"',
        ),
        (
            POD.replace("image: a", "image: a, resources: {limits: {cpu: lots}}"),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            POD.replace("image: a", "image: a, resources: {requests: {cpu: 2}, limits: {cpu: 1}}"),
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (POD.replace("namespace: kubectl", "namespace: nowhere"), 'namespaces "nowhere" not found'),
        (
            DEPLOYMENT.replace("replicas: 2", "replicas: -2"),
            'The Deployment "refused" is invalid: spec.replicas: Invalid value: -2: must be greater than or equal to 0',
        ),
        (
            DEPLOYMENT.replace("metadata: {labels: {app: web}}", "metadata: {labels: {app: other}}"),
            'The Deployment "refused" is invalid: spec.template.metadata.labels: Invalid value: {"app":"other"}: `selector` '
            "does not match template `labels`",
        ),
        (DEPLOYMENT.replace("selector: {matchLabels: {app: web}}", ""), "spec.selector: Required value"),
        (
            DEPLOYMENT.replace("replicas: 2", "replicas: 2, strategy: {type: Sudden}").replace(
                "  replicas: 2, ", "  replicas: 2\n  "
            ),
            'spec.strategy: Unsupported value: {"Type":"Sudden","RollingUpdate":null}: '
            'supported values: "Recreate", "RollingUpdate"',
        ),
    ],
    ids=lambda value: None if "\n" in value else value[:30],
)
def test_mistakes_are_answered_in_kubernetes_words(kubectl: Kubectl, manifest: str, expected: str) -> None:
    assert expected in kubectl.fails("create", "-f", "-", stdin=manifest)


# What kubectl puts before what the server says.
SELECTED = 'Unable to find "/v1, Resource=pods" that match label selector "{}", field selector "{}": '


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("get", "pod", "none"), 'Error from server (NotFound): pods "none" not found'),
        (("get", "widgets"), 'error: the server doesn\'t have a resource type "widgets"'),
        (("get", "pods", "-l", "a=b=c"), SELECTED.format("a=b=c", "") + "found '=', expected: ',' or 'end of string'"),
        (
            ("get", "pods", "--field-selector", "spec.x=1"),
            SELECTED.format("", "spec.x=1") + "field label not supported: spec.x",
        ),
        (("create", "namespace", "kubectl"), 'Error from server (AlreadyExists): namespaces "kubectl" already exists'),
        (("create", "namespace", "a.b"), 'metadata.name: Invalid value: "a.b": must not contain dots'),
        (("delete", "namespace", "kube-system"), 'namespaces "kube-system" is forbidden: this namespace may not be deleted'),
        (("delete", "configmap", "none"), 'Error from server (NotFound): configmaps "none" not found'),
        (("scale", "deployment", "none", "--replicas=1"), 'deployments.apps "none" not found'),
        (("label", "configmap", "kube", "a=b"), 'configmaps "kube" not found'),
        (("get", "--raw", "/none"), "Error from server (NotFound): the server could not find the requested resource"),
        (("logs", "none"), 'error: error from server (NotFound): pods "none" not found in namespace "default"'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_commands_are_answered_in_kubernetes_words(kubectl: Kubectl, words: tuple[str, ...], expected: str) -> None:
    assert expected in kubectl.fails(*words)


def test_a_body_over_the_limit_is_refused(kubectl: Kubectl, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_text("x" * 1_100_000)
    refused = kubectl.fails("create", "configmap", "large", f"--from-file={large}")
    assert "Too long: may not be more than 1048576 bytes" in refused
    large.write_text("x" * 4_000_000)
    refused = kubectl.fails("create", "configmap", "large", f"--from-file={large}")
    assert "Request entity too large: limit is 3145728" in refused


@pytest.mark.parametrize("version", sorted(KUBECTLS), ids=lambda version: ".".join(map(str, version)))
def test_every_kubectl_here_validates_and_maps(
    https_server: HTTPSServer, kubectl: Kubectl, kubeconfig: Path, tmp_path: Path, version: tuple[int, ...]
) -> None:
    old = Kubectl(KUBECTLS[version], kubeconfig, tmp_path)
    mistaken = POD.replace("apiVersion: v1", "apiVersion: apps/v2")
    assert 'no matches for kind "Pod" in version "apps/v2"' in old.fails("apply", "-f", "-", stdin=mistaken)
    mistaken = POD.replace("image: a", "imagee: a")
    assert 'unknown field "spec.containers[0].imagee"' in old.fails("apply", "-f", "-", stdin=mistaken)
    assert "List of ports to expose" in old("explain", "pods.spec.containers.ports")


WEB = MANIFEST.split("---\n")[1]


def managers_of(kubectl: Kubectl, name: str) -> list[tuple[str, str]]:
    found = kubectl.json("get", "deployment", name, "-n", "kubectl", "--show-managed-fields")
    return [(entry["manager"], entry["operation"]) for entry in found["metadata"]["managedFields"]]


def test_apply_on_the_server_minds_who_manages_what(kubectl: Kubectl) -> None:
    manifest = WEB.replace("name: web,", "name: server,")
    applying = ("apply", "--server-side", "-f", "-")
    assert kubectl(*applying, stdin=manifest) == "deployment.apps/server serverside-applied\n"
    assert kubectl(*applying, stdin=manifest) == "deployment.apps/server serverside-applied\n"
    kubectl("scale", "deployment", "server", "-n", "kubectl", "--replicas=5")
    told = kubectl.fails(*applying, stdin=manifest)
    scaler = r'"kubectl[.\d]*" with subresource "scale" using apps/v1'
    assert re.match(rf"error: Apply failed with 1 conflict: conflict with {scaler}: \.spec\.replicas\n", told)
    other = manifest.replace("  replicas: 2\n", "")
    assert "serverside-applied" in kubectl(*applying, stdin=other)
    other = other.replace("web:1", "web:2").replace("side:1", "side:2")
    assert kubectl.fails(*applying, "--field-manager=other", stdin=other).splitlines()[:3] == [
        'error: Apply failed with 2 conflicts: conflicts with "kubectl":',
        '- .spec.template.spec.containers[name="main"].image',
        '- .spec.template.spec.containers[name="side"].image',
    ]
    kubectl(*applying, "--force-conflicts", stdin=manifest)
    found = kubectl.json("get", "deployment", "server", "-n", "kubectl", "--show-managed-fields")
    assert found["spec"]["replicas"] == 2 and managers_of(kubectl, "server") == [("kubectl", "Apply")]
    changed = manifest.replace("web:1", "web:3")
    difference = kubectl.run("diff", "--server-side", "-f", "-", stdin=changed)
    assert difference.returncode == 1 and "+      - image: registry.example/web:3" in difference.stdout
    assert kubectl.run("diff", "--server-side", "-f", "-", stdin=manifest).returncode == 0
    assert "server dry run" in kubectl(*applying, "--dry-run=server", stdin=changed)
    wrong = kubectl.fails(*applying, "--validate=false", stdin=manifest.replace("replicas:", "replica:"))
    assert wrong.endswith("(kubectl/server; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema")


def test_what_was_applied_by_the_client_is_taken_over_by_the_server(kubectl: Kubectl) -> None:
    manifest = WEB.replace("name: web,", "name: moving,")
    kubectl("apply", "-f", "-", stdin=manifest)
    assert managers_of(kubectl, "moving") == [("kubectl-client-side-apply", "Update")]
    kubectl("apply", "--server-side", "-f", "-", stdin=manifest.replace("web:1", "web:2").split("\n      - {name: side")[0])
    assert ("kubectl", "Apply") in managers_of(kubectl, "moving")
    assert ("kubectl-client-side-apply", "Update") not in managers_of(kubectl, "moving")
    found = kubectl.json("get", "deployment", "moving", "-n", "kubectl")
    assert [item["image"] for item in found["spec"]["template"]["spec"]["containers"]] == ["registry.example/web:2"]
    applied = json.loads(found["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])
    assert [item["image"] for item in applied["spec"]["template"]["spec"]["containers"]] == ["registry.example/web:2"]
    # And back again.
    assert "configured" in kubectl("apply", "-f", "-", stdin=manifest)
    kubectl("delete", "deployment", "moving", "-n", "kubectl")


def test_as_somebody_else(kubectl: Kubectl) -> None:
    review = kubectl.json("auth", "whoami", "--as=jane", "--as-group=a, b", "--as-group=c", "--as-uid=7")
    assert review["status"]["userInfo"] == {"username": "jane", "uid": "7", "groups": ["a, b", "c", "system:authenticated"]}
    assert kubectl("auth", "can-i", "list", "pods", "--as=jane") == "yes\n"
    assert "system:anonymous" in kubectl.fails("get", "pods", "--as=system:anonymous")
