"""Jobs: completions, failures, indexes, deadlines, suspension, and that every pod is counted once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import jobindexes, jobplan, jobpolicies, jobtally
from tests.controllers.cluster import Cluster, cluster

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = meta.format_time(NOW - timedelta(seconds=100))


def job(status: Object | None = None, image: str = "work", restart: str = "Never", **spec: Any) -> Object:
    template = {"metadata": {}, "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": image}]}}
    spec = {"template": template, **spec}
    metadata = {"name": "sum", "namespace": "default"}
    found: Object = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    return found if status is None else {**found, "status": status}


def pod(
    uid: str, phase: str = "Running", *, age: int = 50, code: int = 1, index: int | None = None, finalizer: bool = True
) -> Object:
    stamp = meta.format_time(NOW - timedelta(seconds=age))
    metadata: Object = {"name": uid, "namespace": "default", "uid": uid, "creationTimestamp": stamp}
    if finalizer:
        metadata["finalizers"] = [jobtally.FINALIZER]
    if index is not None:
        metadata["annotations"] = {jobindexes.ANNOTATION: str(index)}
    ended = {"terminated": {"exitCode": code, "finishedAt": stamp}} if phase in ("Failed", "Succeeded") else {}
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase, "containerStatuses": [{"name": "c", "state": ended}]}}


def plan(owner: Object, *pods: Object) -> jobplan.Plan:
    return jobplan.plan(owner, pods, NOW)


def test_indexes_are_written_as_runs() -> None:
    assert jobindexes.write([7, 1, 2, 4, 5, 6, 9]) == "1,2,4-7,9"
    assert jobindexes.parse("1,2,4-7,9", 100) == {1, 2, 4, 5, 6, 7, 9}
    assert jobindexes.parse("0-5", 3) == {0, 1, 2}


@pytest.mark.parametrize("text", ["", "x", "-1", "²", "9" * 5000])
def test_what_is_no_index_is_none(text: str) -> None:
    assert jobindexes.parse(f"{text},3", 5) == {3}
    stray = pod("a", "Succeeded", index=0)
    stray["metadata"]["annotations"][jobindexes.ANNOTATION] = text
    todo = plan(job({"startTime": STAMP}, completions=1, completionMode="Indexed"), stray)
    assert todo.create == [0] and "succeeded" not in todo.status


def test_a_pod_that_was_noted_as_failed_and_then_ends_well_is_counted_once() -> None:
    noted = {"startTime": STAMP, "succeeded": 1, "failed": 1, "uncountedTerminatedPods": {"failed": ["told-to-go"]}}
    owner = job(noted, completions=2, parallelism=2, backoffLimit=100)
    todo = plan(owner, pod("told-to-go", "Succeeded"))
    assert not meta.is_condition_true({"status": todo.status}, "SuccessCriteriaMet")
    assert todo.status.get("uncountedTerminatedPods", {}).get("succeeded", []) == []
    assert len(todo.create) == 1


def test_as_many_pods_run_as_parallelism_and_open_completions_allow() -> None:
    owner = job({}, completions=5, parallelism=3)
    assert len(plan(owner).create) == 3
    done = job({"succeeded": 4, "startTime": STAMP}, completions=5, parallelism=3)
    assert len(plan(done).create) == 1


def test_a_finished_pod_is_noted_before_it_is_let_go_and_counted_after() -> None:
    todo = plan(job({"startTime": STAMP}, completions=2, parallelism=1), pod("a", "Succeeded"))
    assert todo.status["uncountedTerminatedPods"] == {"succeeded": ["a"]}
    assert "succeeded" not in todo.status
    todo = plan(job(todo.status, completions=2, parallelism=1), pod("a", "Succeeded"))
    assert "succeeded" not in todo.status
    todo = plan(job(todo.status, completions=2, parallelism=1), pod("a", "Succeeded", finalizer=False))
    assert todo.status["succeeded"] == 1
    assert todo.status["uncountedTerminatedPods"] == {}
    again = plan(job(todo.status, completions=2, parallelism=1), pod("a", "Succeeded", finalizer=False))
    assert again.status["succeeded"] == 1


def test_a_job_completes_when_all_pods_are_counted() -> None:
    owner = job({"startTime": STAMP, "uncountedTerminatedPods": {"succeeded": ["a"]}}, completions=1, parallelism=1)
    waiting = plan(owner, pod("a", "Succeeded"))
    assert [item["type"] for item in waiting.status["conditions"]] == ["SuccessCriteriaMet"]
    done = plan(job(waiting.status, completions=1, parallelism=1), pod("a", "Succeeded", finalizer=False))
    complete = meta.find(done.status["conditions"], "type", "Complete")
    assert complete is not None
    assert (complete["reason"], complete["message"]) == ("CompletionsReached", "Reached expected number of succeeded pods")
    assert done.status["completionTime"]


def test_failures_delay_the_next_pod_longer_each_time() -> None:
    owner = job({"startTime": STAMP}, completions=1, parallelism=1, backoffLimit=6)
    assert plan(owner, pod("a", "Failed", age=4)).after_seconds == 6
    assert plan(owner, pod("b", "Failed", age=100), pod("a", "Failed", age=4)).after_seconds == 16
    assert plan(owner, pod("a", "Failed", age=11)).create == [None]


def test_pods_that_are_deleted_delay_the_next_one_too_and_are_remembered_when_gone() -> None:
    owner = job({"startTime": STAMP}, completions=1, parallelism=1)
    deleted = pod("a")
    deleted["metadata"] |= {
        "deletionTimestamp": meta.format_time(NOW + timedelta(seconds=26)),
        "deletionGracePeriodSeconds": 30,
    }
    todo = plan(owner, deleted)
    assert (todo.create, todo.after_seconds) == ([], 6)
    after = jobplan.plan(job(todo.status, completions=1, parallelism=1), [], NOW, todo.backoff)
    assert (after.create, after.after_seconds, after.status["failed"]) == ([], 6, 1)


def test_pods_that_have_come_the_least_far_go_first_whatever_their_cost() -> None:
    owner = job({"startTime": STAMP}, completions=2, parallelism=1)
    cheap, pending = pod("cheap"), pod("pending", "Pending")
    cheap["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
    young = pod("young", age=10)
    assert [meta.uid(item) for item in plan(owner, cheap, pending, young).discard] == ["pending", "young"]


def test_when_a_job_fails_so_do_its_running_pods_at_once() -> None:
    owner = job({"startTime": STAMP}, completions=1, parallelism=2, activeDeadlineSeconds=60, podReplacementPolicy="Failed")
    todo = plan(owner, pod("a"), pod("b", "Pending"))
    assert todo.status["uncountedTerminatedPods"] == {"failed": ["a", "b"]}
    assert [meta.uid(item) for item in todo.release] == ["a", "b"]
    assert (todo.status.get("active"), todo.status["terminating"]) == (None, 2)


def test_too_many_successes_are_told() -> None:
    todo = plan(job({"startTime": STAMP, "succeeded": 3}, completions=2, parallelism=2))
    assert [reason for _, reason, _ in todo.events] == ["TooManySucceededPods", "Completed"]


def test_a_job_that_is_deleted_lets_go_of_its_pods() -> None:
    owner = job({"startTime": STAMP}, completions=2, parallelism=1, podReplacementPolicy="Failed")
    owner["metadata"]["deletionTimestamp"] = STAMP
    todo = plan(owner, pod("a"), pod("b", "Failed"))
    assert [meta.uid(item) for item in todo.release] == ["a", "b"]
    assert (todo.status["uncountedTerminatedPods"], todo.create) == ({"failed": ["b"]}, [])


def test_too_many_failures_fail_the_job() -> None:
    owner = job({"startTime": STAMP, "failed": 2}, completions=1, parallelism=1, backoffLimit=2)
    todo = plan(owner, pod("c", "Failed"), pod("d"))
    (target,) = todo.status["conditions"]
    assert (target["type"], target["reason"]) == ("FailureTarget", "BackoffLimitExceeded")
    assert [meta.uid(item) for item in todo.delete] == ["d"]


def test_a_job_that_runs_too_long_fails() -> None:
    owner = job({"startTime": STAMP}, completions=1, parallelism=1, activeDeadlineSeconds=60)
    (target,) = plan(owner, pod("a")).status["conditions"]
    assert (target["reason"], target["message"]) == ("DeadlineExceeded", "Job was active longer than specified deadline")
    early = job({"startTime": STAMP}, completions=1, parallelism=1, activeDeadlineSeconds=160)
    assert plan(early, pod("a")).after_seconds == 60


def test_indexed_jobs_give_each_pod_its_index_and_no_index_two_pods() -> None:
    owner = job({"startTime": STAMP}, completions=4, parallelism=4, completionMode="Indexed")
    todo = plan(owner, pod("a", index=1), pod("b", index=1, age=10), pod("c", "Succeeded", index=3))
    assert [meta.uid(item) for item in todo.discard] == ["b"]
    assert todo.create == []
    assert todo.status["completedIndexes"] == "3"
    # Who succeeded is told by the indexes alone.
    assert todo.status["uncountedTerminatedPods"] == {}
    assert plan(owner, pod("a", index=1), pod("c", "Succeeded", index=3)).create == [0, 2]


def test_pods_without_a_valid_index_count_for_nothing() -> None:
    owner = job({"startTime": STAMP}, completions=2, parallelism=2, completionMode="Indexed", backoffLimit=0)
    todo = plan(owner, pod("a", "Failed", index=2), pod("b", index=0), pod("c", index=1))
    assert (todo.status["uncountedTerminatedPods"], "conditions" in todo.status) == ({}, False)
    assert [meta.uid(item) for item in todo.release] == ["a"]


def test_each_index_may_have_its_own_limit_of_failures() -> None:
    owner = job(
        {"startTime": STAMP},
        completions=2,
        parallelism=2,
        completionMode="Indexed",
        backoffLimitPerIndex=0,
        backoffLimit=2**31 - 1,
    )
    todo = plan(owner, pod("a", "Failed", index=0), pod("b", "Succeeded", index=1))
    assert todo.status["failedIndexes"] == "0"
    assert todo.status["conditions"][0]["reason"] == "FailedIndexes"


def test_an_index_that_failed_keeps_its_pod_and_its_place_until_it_is_tried_again() -> None:
    spec: dict[str, Any] = {"completions": 3, "parallelism": 1, "completionMode": "Indexed", "backoffLimitPerIndex": 2}
    failed = pod("a", "Failed", index=0, age=4)
    failed["metadata"]["annotations"][jobindexes.FAILURES_ANNOTATION] = "1"
    todo = plan(job({"startTime": STAMP}, **spec), failed)
    assert (todo.create, todo.release, todo.after_seconds) == ([], [], 16)
    assert todo.status["uncountedTerminatedPods"] == {}
    later = jobplan.plan(job(todo.status, **spec), [failed], NOW + timedelta(seconds=17))
    assert (later.create, later.replaced) == ([0], {0: failed})
    again = jobplan.plan(job(later.status, **spec), [failed, pod("b", index=0)], NOW + timedelta(seconds=18))
    assert again.status["uncountedTerminatedPods"] == {"failed": ["a"]}


@pytest.mark.parametrize(("code", "expected"), [(42, "FailJob"), (1, "Count"), (7, "Ignore")])
def test_the_failure_policy_judges_exit_codes(code: int, expected: str) -> None:
    rules = [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}},
    ]
    owner = job({}, podFailurePolicy={"rules": rules})
    assert jobpolicies.failure_action(owner, pod("a", "Failed", code=code))[0] == expected


def test_the_failure_policy_names_the_first_condition_of_the_pod_that_matches() -> None:
    patterns = [{"type": "DisruptionTarget", "status": "True"}, {"type": "ConfigIssue", "status": "True"}]
    owner = job({}, podFailurePolicy={"rules": [{"action": "FailJob", "onPodConditions": patterns}]})
    failed = pod("a", "Failed")
    failed["status"]["conditions"] = [{"type": name, "status": "True"} for name in ("ConfigIssue", "DisruptionTarget")]
    message = "Pod default/a has condition ConfigIssue matching FailJob rule at index 0"
    assert jobpolicies.failure_action(owner, failed) == ("FailJob", message)


def test_a_success_policy_ends_a_job_early() -> None:
    owner = job(
        {"startTime": STAMP},
        completions=3,
        parallelism=3,
        completionMode="Indexed",
        successPolicy={"rules": [{"succeededIndexes": "0"}]},
    )
    todo = plan(owner, pod("a", "Succeeded", index=0), pod("b", index=1))
    assert todo.status["conditions"][0]["reason"] == "SuccessPolicy"
    assert [meta.uid(item) for item in todo.delete] == ["b"]
    # The others have not failed: they are let go uncounted.
    assert [meta.uid(item) for item in todo.release] == ["a", "b"]
    assert todo.status["uncountedTerminatedPods"] == {}


def test_suspending_removes_pods_and_resuming_starts_anew() -> None:
    owner = job({"startTime": STAMP}, completions=1, parallelism=1, suspend=True)
    todo = plan(owner, pod("a"))
    assert [meta.uid(item) for item in todo.discard] == ["a"]
    assert "startTime" not in todo.status
    assert todo.status["conditions"][0]["reason"] == "JobSuspended"
    resumed = plan(job(todo.status, completions=1, parallelism=1, suspend=False))
    assert resumed.create == [None]
    assert resumed.status["conditions"][0]["reason"] == "JobResumed"


def _status(found: Cluster) -> Object:
    status: Object = (found.one("jobs.batch", "default/sum") or {}).get("status") or {}
    return status


def _ended(found: Cluster, type_: str) -> Object | None:
    return meta.condition(found.one("jobs.batch", "default/sum") or {}, type_)


def test_a_job_runs_to_completion_and_its_pods_stay_without_finalizer(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await found.add_node("node-1", "10.0.0.1")
            await found.client.create("jobs.batch", job(completions=10, parallelism=4))
            await found.until(lambda: _ended(found, "Complete"))
            assert _status(found)["succeeded"] == 10
            assert len(found.all("pods")) == 10
            assert not any(jobtally.has_finalizer(item) for item in found.all("pods"))

    asyncio.run(main())


def test_an_indexed_job_with_failing_pods_fails(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            found.failing.add("broken")
            await found.add_node("node-1", "10.0.0.1")
            owner = job(completions=3, parallelism=3, completionMode="Indexed", backoffLimit=1, image="broken")
            await found.client.create("jobs.batch", owner)
            failed = await found.until(lambda: _ended(found, "Failed"))
            assert failed["reason"] == "BackoffLimitExceeded"
            assert _status(found)["failed"] == 3
            env = found.all("pods")[0]["spec"]["containers"][0]["env"]
            assert env[0]["name"] == "JOB_COMPLETION_INDEX"

    asyncio.run(main())


def test_failures_of_one_cluster_are_nothing_to_another_in_the_same_process(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()

    async def main() -> None:
        async with cluster(one) as found:
            found.failing.add("broken")
            await found.add_node("node-1", "10.0.0.1")
            await found.client.create("jobs.batch", job(backoffLimit=6, image="broken"))
            await found.until(lambda: _status(found).get("failed"))
        async with cluster(other) as found:
            found.stuck.add("work")
            await found.client.create("jobs.batch", job())
            await found.until(lambda: _status(found).get("startTime"))
            assert _status(found)["active"] == 1, "its pod does not wait"

    asyncio.run(main())


def test_an_adopted_pod_counts(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "work"}]}
            metadata = {"name": "orphan", "namespace": "default", "labels": {"app": "sum"}}
            await found.client.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
            owner = job(completions=1, manualSelector=True, selector={"matchLabels": {"app": "sum"}})
            owner["spec"]["template"]["metadata"]["labels"] = {"app": "sum"}
            await found.client.create("jobs.batch", owner)
            await found.until(lambda: jobtally.has_finalizer(found.one("pods", "default/orphan") or {"metadata": {}}))
            await found.add_node("node-1", "10.0.0.1")
            await found.until(lambda: _ended(found, "Complete"))
            assert [meta.name(item) for item in found.all("pods")] == ["orphan"]

    asyncio.run(main())


def test_deleting_a_job_takes_running_pods_along(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            found.stuck.add("work")
            await found.add_node("node-1", "10.0.0.1")
            await found.client.create("jobs.batch", job(completions=2, parallelism=2))
            await found.until(lambda: _status(found).get("active") == 2)
            await found.client.delete("jobs.batch", "sum", "default", propagation_policy="Background")
            await found.until(lambda: not found.all("pods") and not found.all("jobs.batch"))
            await found.client.create("jobs.batch", job(completions=2, parallelism=2))
            await found.until(lambda: _status(found).get("active") == 2)
            await found.client.delete("jobs.batch", "sum", "default", propagation_policy="Foreground")
            await found.until(lambda: not found.all("pods") and not found.all("jobs.batch"))

    asyncio.run(main())


def test_a_finished_job_goes_after_its_time_to_live(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await found.add_node("node-1", "10.0.0.1")
            await found.client.create("jobs.batch", job(ttlSecondsAfterFinished=0))
            await found.until(lambda: found.all("jobs.batch"))
            await found.until(lambda: not found.all("jobs.batch") and not found.all("pods"))

    asyncio.run(main())
