"""The official Python client, over HTTPS with the kubeconfig that `up` wrote."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes import client, config, stream, watch

from tests.e2e.conftest import IMAGE, Cluster


@pytest.fixture
def core(cluster: Cluster) -> Iterator[client.CoreV1Api]:
    with config.new_client_from_config(str(cluster.data_dir / "kubeconfig")) as connection:
        yield client.CoreV1Api(connection)


def _pod(name: str) -> client.V1Pod:
    container = client.V1Container(name="main", image=IMAGE, command=["sh", "-c", "echo hello; sleep 1000"])
    spec = client.V1PodSpec(containers=[container], termination_grace_period_seconds=1)
    return client.V1Pod(metadata=client.V1ObjectMeta(name=name, labels={"app": name}), spec=spec)


def test_pods_are_made_watched_read_and_entered(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_pod(namespace, _pod("one"))
    assert made.status.phase == "Pending"
    watcher = watch.Watch()
    for event in watcher.stream(
        core.list_namespaced_pod, namespace, resource_version=made.metadata.resource_version, timeout_seconds=60
    ):
        if event["object"].status.phase == "Running":
            watcher.stop()
    assert core.read_namespaced_pod_log("one", namespace) == "hello\n"
    session = stream.stream(
        core.connect_get_namespaced_pod_exec,
        "one",
        namespace,
        command=["cat", "/etc/hostname"],
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    session.run_forever(timeout=30)
    # Reading everything forgets the exit code.
    assert session.returncode == 0
    assert session.read_all() == "one\n"
    # close() leaves the socket open where the server has closed first.
    session.sock.shutdown()
    core.patch_namespaced_pod("one", namespace, {"metadata": {"labels": {"seen": "yes"}}})
    listed = core.list_namespaced_pod(namespace, label_selector="seen=yes")
    assert [pod.metadata.name for pod in listed.items] == ["one"]


def test_errors_have_codes_reasons_and_causes(core: client.CoreV1Api, namespace: str) -> None:
    with pytest.raises(client.ApiException) as missing:
        core.read_namespaced_pod("absent", namespace)
    assert missing.value.status == 404 and '"reason":"NotFound"' in missing.value.body
    bad = _pod("Not_A_Name")
    with pytest.raises(client.ApiException) as invalid:
        core.create_namespaced_pod(namespace, bad)
    assert invalid.value.status == 422 and '"field":"metadata.name"' in invalid.value.body
    core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata={"name": "twice"}))
    with pytest.raises(client.ApiException) as again:
        core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata={"name": "twice"}))
    assert again.value.status == 409 and '"reason":"AlreadyExists"' in again.value.body
