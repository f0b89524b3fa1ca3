"""`navarch testserver`, as a process, with clients outside."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KUBECTL = shutil.which("kubectl")
TIMEOUT_SECONDS = 30.0


@contextmanager
def served(kubeconfig: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "navarch.cli.main", "testserver", "--kubeconfig", str(kubeconfig), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not kubeconfig.exists():
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.01)
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_SECONDS)


def kubectl(kubeconfig: Path, *words: str) -> str:
    assert KUBECTL is not None
    # A cache of what another server serves must not be asked.
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "KUBECACHEDIR": str(kubeconfig.parent / "cache")}
    return subprocess.run([KUBECTL, *words], env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl on this machine")
def test_kubectl_runs_a_deployment_to_the_end(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    with served(file, "--nodes", "2") as process:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        kubectl(file, "create", "deployment", "web", "--image=registry.example/web:1", "--replicas=3")
        assert "successfully rolled out" in kubectl(file, "rollout", "status", "deployment/web", "--timeout=30s")
        nodes = kubectl(file, "get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split()
        assert sorted(set(nodes)) == ["node-1", "node-2"]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 0 and out.startswith("https://127.0.0.1:") and not err
    assert not file.exists()


@pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl on this machine")
def test_who_has_been_given_a_certificate_is_known_by_it(tmp_path: Path) -> None:
    file, key_file, certificate_file = (tmp_path / name for name in ("kubeconfig", "user.key", "user.crt"))
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    wanted = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    request = base64.b64encode(wanted.public_bytes(serialization.Encoding.PEM)).decode()
    spec = {"request": request, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}
    manifest = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "spec": spec}
    (tmp_path / "csr.json").write_text(json.dumps({**manifest, "metadata": {"name": "somebody"}}))
    with served(file, "--nodes", "0"):
        kubectl(file, "create", "-f", str(tmp_path / "csr.json"))
        kubectl(file, "certificate", "approve", "somebody")
        kubectl(file, "wait", "csr/somebody", "--for=jsonpath={.status.certificate}", "--timeout=30s")
        issued = kubectl(file, "get", "csr", "somebody", "-o", "jsonpath={.status.certificate}")
        certificate_file.write_bytes(base64.b64decode(issued))
        shown = (f"--client-certificate={certificate_file}", f"--client-key={key_file}")
        kubectl(file, "config", "set-credentials", "somebody", *shown)
        assert "somebody" in kubectl(file, "auth", "whoami", "--user=somebody")


def test_the_api_alone(tmp_path: Path) -> None:
    from kubernetes import client, config

    file = tmp_path / "kubeconfig"
    with served(file, "--api-only"):
        core = client.CoreV1Api(config.new_client_from_config(str(file)))
        assert core.list_node().items == []
        container = client.V1Container(name="main", image="registry.example/main:1")
        pod = client.V1Pod(metadata=client.V1ObjectMeta(name="a"), spec=client.V1PodSpec(containers=[container]))
        assert core.create_namespaced_pod("default", pod).status.phase == "Pending"


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "navarch.cli.main", "testserver", "--kubeconfig", str(tmp_path / "k"), "--port", port]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    assert run.returncode == 1 and port in run.stderr and "Traceback" not in run.stderr
    assert not (tmp_path / "k").exists()


def test_a_port_that_none_can_be_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "navarch.cli.main", "testserver", "--kubeconfig", str(tmp_path / "k"), "--port", "99999"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    assert (run.returncode, run.stderr) == (1, "navarch: --port: 99999 is not between 0 and 65535\n")
