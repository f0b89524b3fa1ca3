"""The phase of a pod."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.kubelet import status
from navarch.kubelet.runtime_pod import RuntimePod
from navarch.kubelet.status import View, Waiting
from tests.kubelet.pods import NOW, SANDBOX, container, pod, ran, runtime, sidecar

ALWAYS, NEVER = {"restartPolicy": "Always"}, {"restartPolicy": "Never"}
ON_42 = {
    "restartPolicy": "Never",
    "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
}


def phase(a_pod: Object, state: RuntimePod, **view: Any) -> str:
    return str(status.make(a_pod, state, View(now=NOW, host_ip="10.0.0.1", **view))["phase"])


@pytest.mark.parametrize(
    ("policy", "codes", "expected"),
    [
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (0, 1), "Running"),
        ("Always", (0, 0), "Running"),
    ],
)
def test_containers_that_have_ended(policy: str, codes: tuple[int, int], expected: str) -> None:
    state = runtime(ran("a", "exited", code=codes[0]), ran("b", "exited", code=codes[1]))
    assert phase(pod(container("a"), container("b"), restartPolicy=policy), state) == expected


@pytest.mark.parametrize(
    ("policy", "own", "code", "expected"),
    [
        ("Always", NEVER, 0, "Succeeded"),
        ("Always", NEVER, 1, "Failed"),
        ("Never", ALWAYS, 0, "Running"),
        ("Never", ON_42, 42, "Running"),
        ("Never", ON_42, 1, "Failed"),
        ("Always", ON_42, 1, "Failed"),
    ],
)
def test_a_container_comes_back_by_its_own_policy(policy: str, own: Object, code: int, expected: str) -> None:
    assert phase(pod(container(**own), restartPolicy=policy), runtime(ran(state="exited", code=code))) == expected
    failed = "Failed" if expected == "Failed" else "Pending"
    initializing = pod(init=(container("i", **own),), restartPolicy=policy)
    assert phase(initializing, runtime(ran("i", "exited", code=code))) == failed


def test_a_container_that_waits_to_come_back_has_not_ended() -> None:
    waiting = {"c": Waiting("CrashLoopBackOff")}
    assert phase(pod(restartPolicy="OnFailure"), runtime(ran(state="exited", code=1)), waiting=waiting) == "Running"


def test_a_pod_succeeds_once_its_sidecars_have_ended_too() -> None:
    both = pod(init=(sidecar("s"),), restartPolicy="Never")
    assert phase(both, runtime(ran("s"), ran("c", "exited"))) == "Running"
    assert phase(both, runtime(ran("s", "exited", code=137), ran("c", "exited"))) == "Succeeded"


def test_a_failed_init_container_fails_a_pod_that_never_restarts() -> None:
    state = runtime(ran("i", "exited", code=1))
    assert phase(pod(init=(container("i"),), restartPolicy="Never"), state) == "Failed"
    assert phase(pod(init=(container("i"),)), state) == "Pending"


def test_a_pod_that_initializes_anew_in_another_sandbox_is_pending() -> None:
    both = pod(init=(container("i"),))
    old = ran(state="exited", code=1)
    sandboxes = (replace(SANDBOX, id="sandbox-1", attempt=1, created_at=2), replace(SANDBOX, ready=False))
    assert phase(both, runtime(ran("i", attempt=1, sandbox="sandbox-1"), old, sandboxes=sandboxes)) == "Pending"


def test_a_sidecar_that_comes_back_does_not_make_the_pod_pending() -> None:
    probed = pod(init=(sidecar("s", startupProbe={"tcpSocket": {"port": 1}}),))
    assert phase(probed, runtime(ran("s", attempt=1), ran())) == "Running"
    assert phase(probed, runtime(ran("s"))) == "Pending"
