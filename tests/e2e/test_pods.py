"""Pods: what containers see and what users can do with them."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from tests.e2e.conftest import IMAGE, Cluster


def pod(name: str, *command: str, **spec: object) -> str:
    container = {"name": "main", "image": IMAGE, "command": list(command)}
    container |= spec.pop("container", {})  # type: ignore[arg-type]
    whole = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}, "annotations": {"note": "seen"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }
    return json.dumps(whole)


def running(cluster: Cluster, namespace: str, name: str) -> None:
    cluster.kubectl("wait", "-n", namespace, f"pod/{name}", "--for=condition=Ready", "--timeout=60s")


def test_environment_volumes_and_files_are_as_kubernetes_makes_them(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "configmap", "settings", "-n", namespace, "--from-literal=colour=blue", "--from-literal=size=9")
    cluster.kubectl("create", "secret", "generic", "keys", "-n", namespace, "--from-literal=password=s3cret")
    manifest = pod(
        "env",
        "sleep",
        "1000",
        container={
            "env": [
                {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                {"name": "BOTH", "value": "$(COLOUR)-$$(COLOUR)"},
            ],
            "envFrom": [{"prefix": "S_", "configMapRef": {"name": "settings"}}],
            "resources": {"limits": {"memory": "64Mi", "cpu": "200m"}},
            "volumeMounts": [
                {"name": "settings", "mountPath": "/settings"},
                {"name": "keys", "mountPath": "/keys", "readOnly": True},
                {"name": "info", "mountPath": "/info"},
            ],
        },
        volumes=[
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
            {
                "name": "info",
                "downwardAPI": {"items": [{"path": "note", "fieldRef": {"fieldPath": "metadata.annotations['note']"}}]},
            },
        ],
        hostAliases=[{"ip": "10.1.2.3", "hostnames": ["far.example"]}],
    )
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest)
    running(cluster, namespace, "env")
    seen = cluster.get("pod", "env", "-n", namespace)

    def inside(command: str) -> str:
        return cluster.kubectl("exec", "-n", namespace, "env", "--", "sh", "-c", command).strip()

    environment = dict(line.split("=", 1) for line in inside("env").splitlines())
    assert environment["COLOUR"] == environment["S_colour"] == "blue"
    assert environment["PASSWORD"] == "s3cret"
    assert environment["NODE"] == seen["spec"]["nodeName"]
    assert environment["IP"] == seen["status"]["podIP"]
    assert environment["LIMIT"] == "64"
    assert environment["BOTH"] == "blue-$(COLOUR)"
    assert environment["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert environment["HOSTNAME"] == "env"
    assert inside("cat /settings/colour /keys/password /info/note") == "blues3cretseen"
    assert inside("stat -L -c %a /keys/password") == "400"
    token = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert inside(f"cat {token}/namespace") == namespace
    assert inside(f"head -c 27 {token}/ca.crt") == "-----BEGIN CERTIFICATE-----"
    assert inside(f"cat {token}/token").count(".") == 2
    hosts = inside("cat /etc/hosts")
    assert f"{seen['status']['podIP']}\tenv" in hosts and "10.1.2.3\tfar.example" in hosts
    resolv = inside("cat /etc/resolv.conf")
    assert (
        "nameserver 10.96.0.10" in resolv and f"search {namespace}.svc.cluster.local svc.cluster.local cluster.local" in resolv
    )


def test_init_containers_run_first_and_containers_share_network_and_volumes(cluster: Cluster, namespace: str) -> None:
    manifest = pod(
        "shared",
        "sh",
        "-c",
        "mkdir -p /data/www && cp /data/made /data/www/index.html && exec httpd -f -p 8080 -h /data/www",
        container={"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
        initContainers=[
            {
                "name": "make",
                "image": IMAGE,
                "command": ["sh", "-c", "echo made by init > /data/made"],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
        ],
        volumes=[{"name": "data", "emptyDir": {}}],
    )
    both = json.loads(manifest)
    both["spec"]["containers"].append({"name": "other", "image": IMAGE, "command": ["sleep", "1000"]})
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(both))
    running(cluster, namespace, "shared")
    fetched = cluster.kubectl(
        "exec", "-n", namespace, "shared", "-c", "other", "--", "wget", "-q", "-O-", "http://127.0.0.1:8080/"
    )
    assert fetched.strip() == "made by init"


def test_logs_follow_previous_since_and_all_containers(cluster: Cluster, namespace: str) -> None:
    manifest = pod("noisy", "sh", "-c", "echo first; sleep 1; echo second; sleep 1000", restartPolicy="Always")
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest)
    running(cluster, namespace, "noisy")
    follower = cluster.popen("logs", "-n", namespace, "-f", "noisy", stdout=subprocess.PIPE)
    try:
        assert follower.stdout is not None
        assert [follower.stdout.readline(), follower.stdout.readline()] == [b"first\n", b"second\n"]
    finally:
        follower.kill()
        follower.communicate()
    assert cluster.kubectl("logs", "-n", namespace, "noisy", "--tail=1") == "second\n"
    assert "main] first" in cluster.kubectl("logs", "-n", namespace, "noisy", "--all-containers", "--prefix")
    assert cluster.kubectl("logs", "-n", namespace, "noisy", "--since=1h").startswith("first")
    again = pod("again", "sh", "-c", "echo life; sleep 1; exit 3")
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=again)
    cluster.wait("a restart", lambda: _restarts(cluster, namespace, "again") >= 1)
    assert cluster.kubectl("logs", "-n", namespace, "again", "-p") == "life\n"


def _restarts(cluster: Cluster, namespace: str, name: str) -> int:
    statuses = cluster.get("pod", name, "-n", namespace)["status"].get("containerStatuses") or [{}]
    return int(statuses[0].get("restartCount", 0))


def test_crashing_containers_back_off_and_say_why(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl(
        "apply", "-n", namespace, "-f", "-", stdin=pod("crash", "sh", "-c", "echo no > /dev/termination-log; exit 7")
    )

    def backing_off() -> object:
        status = (cluster.get("pod", "crash", "-n", namespace)["status"].get("containerStatuses") or [{}])[0]
        waiting = status.get("state", {}).get("waiting", {})
        return status if waiting.get("reason") == "CrashLoopBackOff" else None

    status = cluster.wait("CrashLoopBackOff", backing_off)
    assert status["restartCount"] >= 1
    last = status["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"], last["message"]) == (7, "Error", "no\n")
    assert status["state"]["waiting"]["message"].startswith("back-off 10s restarting failed container=main pod=crash_")
    assert "BackOff" in cluster.kubectl("describe", "pod", "crash", "-n", namespace)


def test_exec_attach_and_copy_carry_streams_and_exit_codes(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=pod("shell", "sh", "-c", "while true; do date; sleep 1; done"))
    running(cluster, namespace, "shell")
    echoed = cluster.kubectl("exec", "-i", "-n", namespace, "shell", "--", "cat", stdin="through\n", timeout=30)
    assert echoed == "through\n"
    failed = cluster.run("exec", "-n", namespace, "shell", "--", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (failed.returncode, failed.stdout) == (42, "out\n")
    assert failed.stderr.startswith("err\n") and "exit code 42" in failed.stderr
    source = tmp_path / "file"
    source.write_bytes(bytes(range(256)) * 4096)
    cluster.kubectl("cp", "-n", namespace, str(source), "shell:/tmp/copied")
    cluster.kubectl("cp", "-n", namespace, "shell:/tmp/copied", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    attached = cluster.popen("attach", "-n", namespace, "shell", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert attached.stdout is not None and b":" in attached.stdout.readline()
    finally:
        attached.kill()
        attached.communicate()


def test_port_forward_reaches_a_container(cluster: Cluster, namespace: str) -> None:
    serve = "mkdir /www; echo forwarded > /www/index.html; exec httpd -f -p 8080 -h /www"
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=pod("web", "sh", "-c", serve))
    running(cluster, namespace, "web")
    forward = cluster.popen("port-forward", "-n", namespace, "pod/web", ":8080", stdout=subprocess.PIPE)
    try:
        assert forward.stdout is not None
        port = forward.stdout.readline().decode().split(":")[1].split(" ")[0]
        for _ in range(3):
            answer = subprocess.run(
                ["curl", "-sS", f"http://127.0.0.1:{port}/"], capture_output=True, text=True, timeout=20, check=True
            )
            assert answer.stdout == "forwarded\n"
    finally:
        forward.kill()
        forward.communicate()


def test_missing_image_and_missing_configmap_wait_with_the_known_reasons(cluster: Cluster, namespace: str) -> None:
    absent = pod("absent", "true", container={"image": "navarch.local/absent:1", "imagePullPolicy": "Never"})
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=absent)
    unset = pod("unset", "true", container={"envFrom": [{"configMapRef": {"name": "nowhere"}}]})
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=unset)
    unmounted = pod(
        "unmounted",
        "true",
        container={"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        volumes=[{"name": "v", "configMap": {"name": "nowhere"}}],
    )
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=unmounted)

    def reason(name: str) -> str:
        statuses = cluster.get("pod", name, "-n", namespace)["status"].get("containerStatuses") or [{}]
        return str(statuses[0].get("state", {}).get("waiting", {}).get("reason", ""))

    cluster.wait("ErrImageNeverPull", lambda: reason("absent") == "ErrImageNeverPull")
    cluster.wait("CreateContainerConfigError", lambda: reason("unset") == "CreateContainerConfigError")
    cluster.wait("FailedMount", lambda: "FailedMount" in cluster.kubectl("get", "events", "-n", namespace))
    assert reason("unmounted") == "ContainerCreating"


def test_probes_decide_readiness_and_restart(cluster: Cluster, namespace: str) -> None:
    unready = pod(
        "unready",
        "sleep",
        "1000",
        container={"readinessProbe": {"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 1}},
    )
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=unready)
    alive = {"exec": {"command": ["test", "-e", "/alive"]}, "periodSeconds": 1, "failureThreshold": 2}
    dying = pod("dying", "sh", "-c", "touch /alive; sleep 3; rm /alive; sleep 1000", container={"livenessProbe": alive})
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=dying)
    cluster.wait("restart by the liveness probe", lambda: _restarts(cluster, namespace, "dying") >= 1)
    events = cluster.kubectl("get", "events", "-n", namespace)
    assert "Liveness probe failed" in events and "Readiness probe failed" in events
    assert "0/1" in cluster.kubectl("get", "pod", "unready", "-n", namespace)


def test_deletion_is_graceful(cluster: Cluster, namespace: str) -> None:
    slow = pod(
        "slow",
        "sh",
        "-c",
        "trap 'echo bye; sleep 2; exit 0' TERM; while true; do sleep 0.1; done",
        terminationGracePeriodSeconds=20,
    )
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=slow)
    running(cluster, namespace, "slow")
    began = time.monotonic()
    cluster.kubectl("delete", "pod", "slow", "-n", namespace, "--timeout=60s")
    assert 1.5 < time.monotonic() - began < 18
