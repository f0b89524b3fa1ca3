"""What is to be done for a pod."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.kubelet import actions
from navarch.kubelet.actions import Plan
from navarch.kubelet.probes import ContainerProbes
from navarch.kubelet.runtime_pod import Container
from tests.kubelet.pods import NOTHING, SANDBOX, container, pod, ran, runtime, sidecar

DEAD = replace(SANDBOX, ready=False)


def names(plan: Plan) -> list[str]:
    return [start.name for start in plan.start]


def test_a_new_pod_gets_a_sandbox_and_all_its_containers() -> None:
    plan = actions.compute(pod(container("a"), container("b")), NOTHING, {})
    assert plan.create_sandbox and plan.attempt == 0 and not plan.sandbox_changed and not plan.kill_pod
    assert names(plan) == ["a", "b"]


def test_nothing_is_done_for_a_pod_that_runs() -> None:
    assert actions.compute(pod(), runtime(ran()), {}).nothing


def test_only_the_first_init_container_comes_with_a_new_sandbox() -> None:
    plan = actions.compute(pod(init=(container("i"), container("j"))), NOTHING, {})
    assert plan.create_sandbox and names(plan) == ["i"] and plan.start[0].kind == "init"


def test_init_containers_run_one_after_the_other() -> None:
    both = pod(init=(container("i"), container("j")))
    assert actions.compute(both, runtime(ran("i")), {}).nothing
    assert names(actions.compute(both, runtime(ran("i", "exited")), {})) == ["j"]
    assert names(actions.compute(both, runtime(ran("i", "exited"), ran("j", "exited")), {})) == ["c"]


def test_a_failed_init_container_runs_again_unless_the_pod_never_restarts() -> None:
    failed = runtime(ran("i", "exited", code=1))
    assert names(actions.compute(pod(init=(container("i"),)), failed, {})) == ["i"]
    assert names(actions.compute(pod(init=(container("i"),), restartPolicy="OnFailure"), failed, {})) == ["i"]
    assert actions.compute(pod(init=(container("i"),), restartPolicy="Never"), failed, {}).kill_pod


def test_init_containers_are_not_run_again_once_the_others_have_begun() -> None:
    assert actions.compute(pod(init=(container("i"),)), runtime(ran("i", "exited", code=1), ran()), {}).nothing
    assert actions.compute(pod(init=(container("i"),)), runtime(ran()), {}).nothing


def test_what_comes_after_a_sidecar_waits_until_it_has_started() -> None:
    probed = pod(init=(sidecar("s", startupProbe={}), container("i")))
    state = runtime(ran("s"))
    assert actions.compute(probed, state, {}).nothing
    started = {"s-0": ContainerProbes({"startup": "success"})}
    assert names(actions.compute(probed, state, started)) == ["i"]
    unprobed = pod(init=(sidecar("s"),))
    assert names(actions.compute(unprobed, state, {})) == ["c"]


def test_a_sidecar_that_ends_comes_back_while_the_pod_runs() -> None:
    both = pod(init=(sidecar("s"),), restartPolicy="Never")
    assert names(actions.compute(both, runtime(ran("s", "exited"), ran()), {})) == ["s"]
    # Once the containers are done it is ended with the pod, and not started again.
    assert actions.compute(both, runtime(ran("s"), ran("c", "exited")), {}).kill_pod
    plan = actions.compute(both, runtime(ran("s", "exited"), ran("c", "exited")), {})
    assert plan.kill_pod and not plan.start


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_the_restart_policy_decides_who_comes_back(policy: str, code: int, again: bool) -> None:
    plan = actions.compute(pod(restartPolicy=policy), runtime(ran("c", "exited", code=code)), {})
    assert (names(plan) == ["c"]) == again
    assert plan.kill_pod != again
    if again:
        assert plan.start[0].after is not None


def test_containers_may_have_restart_rules_of_their_own() -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    ruled = pod(container(restartPolicy="Never", restartPolicyRules=rules), restartPolicy="Never")
    assert names(actions.compute(ruled, runtime(ran("c", "exited", code=42)), {})) == ["c"]
    assert actions.compute(ruled, runtime(ran("c", "exited", code=41)), {}).kill_pod


def test_a_dead_sandbox_is_replaced_with_everything_in_it() -> None:
    state = runtime(ran(), ran("i", "exited"), sandboxes=(DEAD,))
    plan = actions.compute(pod(init=(container("i"),)), state, {})
    assert plan.create_sandbox and plan.attempt == 1 and plan.sandbox_changed and plan.kill_pod
    assert names(plan) == ["i"]


def test_a_finished_pod_gets_no_new_sandbox() -> None:
    done = runtime(ran("c", "exited"), sandboxes=(DEAD,))
    for policy in ("OnFailure", "Never"):
        assert actions.compute(pod(restartPolicy=policy), done, {}).nothing
    plan = actions.compute(pod(container("c"), container("d"), restartPolicy="OnFailure"), done, {})
    assert plan.create_sandbox and names(plan) == ["d"]


def test_old_runs_in_an_older_sandbox_do_not_count_as_running() -> None:
    new = replace(SANDBOX, id="sandbox-1", attempt=1, created_at=9)
    state = runtime(ran("c", "exited", sandbox="sandbox-0"), sandboxes=(new, DEAD))
    plan = actions.compute(pod(), state, {})
    assert plan.sandbox == new and names(plan) == ["c"] and not plan.create_sandbox


def test_a_pod_without_an_address_gets_a_new_sandbox_unless_it_has_the_hosts() -> None:
    plan = actions.compute(pod(), runtime(sandboxes=(replace(SANDBOX, ips=()),)), {})
    assert plan.create_sandbox and plan.attempt == 1
    host = replace(SANDBOX, ips=(), host_network=True)
    assert not actions.compute(pod(hostNetwork=True), runtime(ran(), sandboxes=(host,)), {}).create_sandbox


def test_failed_probes_end_a_container_and_it_comes_back() -> None:
    failed = {"c-0": ContainerProbes({"liveness": "failure"})}
    plan = actions.compute(pod(), runtime(ran()), failed)
    assert [(kill.message, kill.reason) for kill in plan.kill] == [
        ("Container c failed liveness probe, will be restarted", "LivenessProbe")
    ]
    assert names(plan) == ["c"]
    failed = {"c-0": ContainerProbes({"startup": "failure"})}
    both = pod(container("c"), container("d"), restartPolicy="Never")
    plan = actions.compute(both, runtime(ran(), ran("d")), failed)
    assert plan.kill[0].message == "Container c failed startup probe" and not plan.start
    # Where nothing else is left, all that the pod has goes.
    assert actions.compute(pod(restartPolicy="Never"), runtime(ran()), failed).kill_pod


def test_a_sidecar_that_fails_its_probe_comes_back_without_the_others() -> None:
    both = pod(init=(sidecar("s"),), restartPolicy="Never")
    plan = actions.compute(both, runtime(ran("s"), ran()), {"s-0": ContainerProbes({"liveness": "failure"})})
    assert [(kill.message, kill.reason) for kill in plan.kill] == [("Init container s failed liveness probe", "LivenessProbe")]
    assert names(plan) == ["s"]


def test_a_container_of_unknown_state_is_ended_before_it_comes_back() -> None:
    plan = actions.compute(pod(), runtime(ran(state="unknown")), {})
    assert [kill.message for kill in plan.kill] == ['Container is in "unknown" state, try killing it before restart']
    initializing = pod(init=(container("i"),))
    plan = actions.compute(initializing, runtime(ran("i", "unknown")), {})
    assert [kill.message for kill in plan.kill] == ['Init container is in "unknown" state, try killing it before restart']
    assert names(plan) == ["i"]
    initializing["spec"]["restartPolicy"] = "Never"
    assert actions.compute(initializing, runtime(ran("i", "unknown")), {}).kill_pod


def test_init_containers_are_done_once_a_later_one_was_started() -> None:
    three = pod(init=(container("i"), sidecar("s"), container("j")))
    assert actions.compute(three, runtime(ran("s"), ran("j")), {}).nothing
    # A sidecar that comes back holds nobody up.
    plan = actions.compute(three, runtime(ran("s", "exited"), ran("j", "exited", code=1)), {})
    assert names(plan) == ["s", "j"]


def test_a_container_that_was_made_but_never_ran_is_made_again() -> None:
    plan = actions.compute(pod(), runtime(ran("c", "created")), {})
    assert plan.start[0].remove_first == "c-0" and plan.start[0].after is None


def test_ephemeral_containers_are_started_once() -> None:
    extra = pod(ephemeralContainers=[container("e")])
    plan = actions.compute(extra, runtime(ran()), {})
    assert [(start.name, start.kind) for start in plan.start] == [("e", "ephemeral")]
    assert actions.compute(extra, runtime(ran(), ran("e", "exited", code=1)), {}).nothing


def test_the_time_to_end_is_the_deletions_else_the_probes_else_the_pods() -> None:
    probed = container(livenessProbe={"terminationGracePeriodSeconds": 3})
    a_pod = pod(probed, terminationGracePeriodSeconds=60)
    kill = actions.Kill(ran(), probed, "", "LivenessProbe")
    assert actions.grace_seconds(a_pod, ran(), None) == 60
    assert actions.grace_seconds(a_pod, ran(), kill) == 3
    deleted = {**a_pod, "metadata": {**a_pod["metadata"], "deletionGracePeriodSeconds": 7}}
    assert actions.grace_seconds(deleted, ran(), kill) == 7
    recorded = ran(annotations={"io.kubernetes.pod.terminationGracePeriod": "11"})
    assert actions.grace_seconds(None, recorded, None) == 11
    assert actions.grace_seconds(None, ran(), None) == 30


STATES = st.sampled_from(["created", "running", "exited", "unknown"])


@given(
    states=st.lists(st.tuples(st.sampled_from(["i", "s", "c", "d"]), STATES, st.integers(0, 1)), max_size=6),
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    ready=st.booleans(),
)
def test_a_plan_always_makes_sense(states: list[tuple[str, str, int]], policy: str, ready: bool) -> None:
    runs: list[Container] = [ran(name, state, attempt=i, code=code) for i, (name, state, code) in enumerate(states)]  # type: ignore[arg-type]
    state = runtime(*runs, sandboxes=(replace(SANDBOX, ready=ready),))
    plan = actions.compute(
        pod(container("c"), container("d"), init=(container("i"), sidecar("s")), restartPolicy=policy), state, {}
    )
    assert len(set(names(plan))) == len(plan.start), "nothing is started twice"
    killed = {kill.container.id for kill in plan.kill}
    for start in plan.start:
        latest = next((run for run in state.containers if run.name == start.name), None)
        alive = latest is not None and latest.state == "running" and ready
        assert not alive or latest.id in killed, "what runs is not started again"  # type: ignore[union-attr]
    if plan.start and not plan.create_sandbox:
        assert plan.sandbox is not None and plan.sandbox.ready
