"""The cluster over HTTP, for clients outside: in real time, or in time that stands still until it is told."""

from __future__ import annotations

import queue
import threading
import time

import pytest
import urllib3
from kubernetes import client, config, watch

from navarch.testing import Cluster
from tests.testing.test_cluster import deployment, pod

WAIT_SECONDS = 10.0


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


def named(cluster: Cluster, agent: str) -> client.CoreV1Api:
    api = config.new_client_from_config(str(cluster.kubeconfig))
    api.user_agent = f"{agent}/1.0 (linux)"
    api.configuration.retries = False
    return client.CoreV1Api(api)


def test_clients_outside_meet_faults() -> None:
    with Cluster(http=True, nodes=0) as cluster:
        operator, other = named(cluster, "operator"), named(cluster, "other")
        with cluster.do("fail-requests", code=500, share=1, of="operator", resource="pods"):
            with pytest.raises(client.ApiException, match="an error on the server has prevented") as refused:
                operator.list_namespaced_pod("default")
            assert refused.value.status == 500
            assert operator.list_namespace().items and other.list_namespaced_pod("default").items == []
            assert cluster.pods() == []
        with cluster.do("fail-requests", code=429, share=1, of="clients"), pytest.raises(client.ApiException) as refused:
            other.list_namespaced_pod("default")
        assert refused.value.status == 429
        with cluster.do("fail-requests", code=409, share=1):
            assert operator.list_namespaced_pod("default").items == []
            with pytest.raises(client.ApiException, match="the object has been modified"):
                operator.patch_namespace("default", {"metadata": {"labels": {"a": "b"}}})


def test_clients_outside_lose_answers_to_what_was_done() -> None:
    with Cluster(http=True, nodes=0, controllers=False, time="held") as cluster:
        operator = named(cluster, "operator")
        found = []

        def create() -> None:
            try:
                operator.create_namespaced_config_map("default", {"metadata": {"name": "a"}})
            except urllib3.exceptions.ProtocolError as error:
                found.append(error)

        with cluster.do("time-out-requests", when="after", share=1):
            thread = threading.Thread(target=create)
            thread.start()
            while not cluster.find("cm/a"):
                pass
            cluster.advance(seconds=11)
            thread.join()
        assert len(found) == 1


def test_watches_of_clients_outside_are_late_silent_and_broken_off() -> None:
    with Cluster(http=True, nodes=0, controllers=False, time="held") as cluster:
        operator = named(cluster, "operator")
        revision = operator.list_namespaced_config_map("default").metadata.resource_version
        events: queue.Queue[str] = queue.Queue()

        def follow() -> None:
            """Once more when the connection has been broken off."""
            for _ in range(2):
                try:
                    watching = watch.Watch().stream(operator.list_namespaced_config_map, "default", resource_version=revision)
                    for event in watching:
                        events.put(event["object"].metadata.name)
                except urllib3.exceptions.ProtocolError:
                    events.put("broken off")
                except client.ApiException as error:
                    events.put(str(error.status))

        def make(name: str) -> None:
            cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})

        thread = threading.Thread(target=follow)
        thread.start()
        make("a")
        assert events.get(timeout=WAIT_SECONDS) == "a"
        with cluster.do("delay-watches", by="30s", of="operator", resource="configmaps"):
            make("b")
            cluster.advance(seconds=29)
            assert events.empty()
            cluster.advance(seconds=2)
            assert events.get(timeout=WAIT_SECONDS) == "b"
        with cluster.do("stall-watches", of="operator"):
            make("c")
            # Not as long as a watch lasts, which begins anew then.
            cluster.advance(minutes=20)
            assert events.empty()
        assert events.get(timeout=WAIT_SECONDS) == "c"
        cluster.do("break-watches", of="operator", relist=True)
        assert [events.get(timeout=WAIT_SECONDS) for _ in range(2)] == ["broken off", "410"]
        thread.join()


def test_without_http_there_is_no_url() -> None:
    with Cluster(nodes=0) as cluster, pytest.raises(ValueError, match="http=True"):
        cluster.url  # noqa: B018 - reading it is what is refused
    with pytest.raises(ValueError, match="virtual"):
        Cluster(http=True, time="virtual")
