"""Pods that failed."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.objects import pod
from tests.conformance.world import Space


@behaviour("Kubelet, failed pod, delete")
def test_a_pod_that_always_fails_can_be_deleted(space: Space) -> None:
    space.create("pods", pod("bin-false", image="fails", restartPolicy="Never"))
    space.until_true("pods", "bin-false", lambda found: found["status"]["phase"] == "Failed")
    space.delete("pods", "bin-false")
    space.until_gone("pods", "bin-false")
