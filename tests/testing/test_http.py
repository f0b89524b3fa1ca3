"""The cluster over HTTP, for clients outside: in real time, or in time that stands still until it is told."""

from __future__ import annotations

import time

import pytest
from kubernetes import client, config

from navarch.testing import Cluster
from tests.testing.test_cluster import deployment, pod


def test_clients_outside_see_what_happens_inside() -> None:
    with Cluster(http=True, nodes=1) as cluster:
        core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
        cluster.apply(deployment(replicas=2))
        cluster.wait("deployment/web", "Available")
        found = core.list_namespaced_pod("default", label_selector="app=web").items
        assert [each.status.phase for each in found] == ["Running", "Running"]
        core.delete_namespaced_pod(found[0].metadata.name, "default")
        cluster.wait_until(lambda: {each["metadata"]["name"] for each in cluster.pods(ready=True)} - {found[0].metadata.name})
        assert cluster.url.startswith("https://127.0.0.1:")


def test_time_may_stand_still_for_them() -> None:
    with Cluster(http=True, nodes=1, time="held") as cluster:
        core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
        cluster.apply(pod("once", "Never", run_seconds="3600"))
        cluster.wait("pod/once", lambda found: found["status"]["phase"] == "Running")
        before = cluster.now
        time.sleep(0.05)
        assert cluster.now == before
        assert core.read_namespaced_pod("once", "default").status.phase == "Running"
        cluster.advance(hours=1)
        assert core.read_namespaced_pod("once", "default").status.phase == "Succeeded"


def test_without_http_there_is_no_url() -> None:
    with Cluster(nodes=0) as cluster, pytest.raises(ValueError, match="http=True"):
        cluster.url  # noqa: B018 - reading it is what is refused
    with pytest.raises(ValueError, match="virtual"):
        Cluster(http=True, time="virtual")
