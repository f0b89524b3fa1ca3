"""QoS classes and what the kernel is told."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from navarch.kubelet import resources
from navarch.kubelet.resources import PodLimits
from tests.kubelet.pods import container, pod, sidecar

GIB = 2**30


def asking(name: str = "c", requests: Object | None = None, limits: Object | None = None) -> Object:
    return container(name, resources={"requests": requests or {}, "limits": limits or {}})


@pytest.mark.parametrize(
    ("requests", "limits", "qos"),
    [
        ({}, {}, "BestEffort"),
        ({"cpu": "0"}, {}, "BestEffort"),
        ({"cpu": "1"}, {}, "Burstable"),
        ({}, {"cpu": "1"}, "Burstable"),
        ({"cpu": "1", "memory": "1Gi"}, {"cpu": "1000m", "memory": "1Gi"}, "Guaranteed"),
        ({}, {"cpu": "1", "memory": "1Gi"}, "Guaranteed"),
        ({"cpu": "500m", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"}, "Burstable"),
        ({"ephemeral-storage": "1Gi"}, {}, "BestEffort"),
    ],
)
def test_the_qos_class_follows_from_requests_and_limits(requests: Object, limits: Object, qos: str) -> None:
    assert resources.qos_class(pod(asking(requests=requests, limits=limits))) == qos


def test_one_container_without_limits_makes_a_pod_burstable() -> None:
    full = {"cpu": "1", "memory": "1Gi"}
    assert resources.qos_class(pod(asking("a", limits=full), asking("b"))) == "Burstable"
    assert resources.qos_class(pod(asking("a", limits=full), init=(asking("i"),))) == "Burstable"


def test_shares_and_quota() -> None:
    assert [resources.shares_of(milli) for milli in (0, 1, 250, 1000, 10**9)] == [2, 2, 256, 1024, 262144]
    assert [resources.quota_of(milli) for milli in (0, 1, 500, 2000)] == [0, 1000, 50_000, 200_000]


def test_the_oom_score_follows_from_class_and_request() -> None:
    full = {"cpu": "1", "memory": "1Gi"}

    def score(spec: Object, **of_pod: int) -> int:
        return resources.oom_score(pod(spec, **of_pod), spec, 4 * GIB)

    assert score(asking(limits=full)) == -997
    assert score(asking()) == 1000
    assert score(asking(requests={"memory": "1Gi"})) == 750
    assert score(asking(requests={"memory": "4Gi"})) == 3
    assert score(asking(requests={"cpu": "1"})) == 999
    assert score(asking(), priority=2_000_001_000) == -997


def test_a_sidecar_is_no_likelier_to_be_killed_than_what_it_serves() -> None:
    main, side = asking(requests={"memory": "2Gi"}), {**sidecar("s"), "resources": {"requests": {"memory": "64Mi"}}}
    assert resources.oom_score(pod(main, init=(side,)), side, 4 * GIB) == 500


def test_a_container_gets_what_it_asks_for() -> None:
    spec = asking(requests={"cpu": "250m"}, limits={"cpu": "500m", "memory": "64Mi"})
    found = resources.container_resources(pod(spec), spec, 4 * GIB)
    assert (found.cpu_shares, found.cpu_quota, found.cpu_period) == (256, 50_000, 100_000)
    assert found.memory_limit_in_bytes == 64 * 2**20
    assert resources.container_resources(pod(asking()), asking(), GIB).cpu_quota == 0


def test_a_container_without_a_limit_has_the_pods() -> None:
    whole = {"limits": {"cpu": "1", "memory": "1Gi"}}
    found = resources.container_resources(pod(asking(), resources=whole), asking(), 4 * GIB)
    assert (found.cpu_quota, found.memory_limit_in_bytes) == (100_000, GIB)
    spec = asking(limits={"memory": "64Mi"})
    found = resources.container_resources(pod(spec, resources=whole), spec, 4 * GIB)
    assert (found.cpu_quota, found.memory_limit_in_bytes) == (100_000, 64 * 2**20)


def test_the_pods_limits_are_sums_where_all_are_limited() -> None:
    two = pod(asking("a", limits={"cpu": "1", "memory": "1Gi"}), asking("b", {"cpu": "250m"}, {"cpu": "500m"}))
    assert resources.pod_limits(two) == PodLimits(cpu_shares=1280, cpu_quota_microseconds=150_000, memory_bytes=0)


def test_init_containers_count_with_their_greatest_need_and_sidecars_all_along() -> None:
    side = {**sidecar("s"), "resources": {"requests": {"cpu": "100m"}}}
    both = pod(asking(requests={"cpu": "200m"}), init=(side, asking("i", {"cpu": "1"})))
    assert resources.pod_request(both, "cpu") == 1100
    assert resources.pod_request(pod(asking(requests={"cpu": "2"}), init=(side,)), "cpu") == 2100
    assert resources.pod_request(pod(asking(requests={"cpu": "1"}), overhead={"cpu": "50m"}), "cpu") == 1050
    assert resources.pod_request(pod(asking(), overhead={"cpu": "50m"}), "cpu") == 50
    # Who has no limit has none for what is beside the containers either.
    assert resources.pod_limits(pod(asking(), overhead={"cpu": "50m"})).cpu_quota_microseconds == 0
