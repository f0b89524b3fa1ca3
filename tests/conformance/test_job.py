"""Jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.kubelets import Program
from tests.conformance.lifecycles import controller_of
from tests.conformance.objects import condition, template
from tests.conformance.world import Space

JOBS = "jobs.batch"
INDEX = "batch.kubernetes.io/job-completion-index"


def job(name: str, image: str, parallelism: int = 2, completions: int = 4, restart: str = "Never", **spec: Any) -> Object:
    pods = template({"job": name}, image, restartPolicy=restart)
    return {
        "metadata": {"name": name},
        "spec": {"parallelism": parallelism, "completions": completions, "template": pods, **spec},
    }


def index_of(pod: Object) -> int:
    return int(pod["metadata"]["annotations"][INDEX])


@pytest.fixture
def program(space: Space) -> Callable[[Program], str]:
    """Makes an image of what a container is to do."""

    def make(program: Program) -> str:
        image = f"program-{space.name}"
        space.world.cluster.programs[image] = program
        return image

    return make


def until_complete(space: Space, name: str) -> Object:
    return space.until_true(JOBS, name, lambda found: condition(found, "Complete").get("status") == "True")


def until_failed(space: Space, name: str) -> Object:
    return space.until_true(JOBS, name, lambda found: condition(found, "Failed").get("status") == "True")


def until_active(space: Space, name: str, count: int) -> list[Object]:
    space.until_true(JOBS, name, lambda found: found["status"].get("active", 0) == found["status"].get("ready", 0) == count)
    return space.list("pods", f"batch.kubernetes.io/job-name={name}")


@behaviour("Jobs, completion after task failure")
def test_tasks_that_fail_once_are_run_again(space: Space, program: Callable[[Program], str]) -> None:
    attempts: list[str] = []

    def fails_at_first(pod: Object) -> int:
        attempts.append(pod["metadata"]["uid"])
        return 1 if len(attempts) <= 2 else 0

    space.create(JOBS, job("fail-once", program(fails_at_first), backoffLimit=6))
    found = until_complete(space, "fail-once")
    assert (found["status"]["succeeded"], found["status"]["failed"]) == (4, 2)


@behaviour("Ensure Pods of an Indexed Job get a unique index.")
def test_pods_of_an_indexed_job_have_each_an_index(space: Space) -> None:
    space.create(JOBS, job("indexed-job", "succeeds", completionMode="Indexed"))
    found = until_complete(space, "indexed-job")
    pods = space.list("pods", "job=indexed-job")
    assert sorted(map(index_of, pods)) == [0, 1, 2, 3]
    assert sorted(each["spec"]["hostname"] for each in pods) == [f"indexed-job-{number}" for number in range(4)]
    for each in pods:
        (variable,) = [item for item in each["spec"]["containers"][0]["env"] if item["name"] == "JOB_COMPLETION_INDEX"]
        assert variable["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.labels['{INDEX}']"
        assert each["metadata"]["labels"][INDEX] == str(index_of(each))
    assert found["status"]["completedIndexes"] == "0-3"


@behaviour("Jobs, active pods, graceful termination")
def test_a_jobs_pods_go_with_it(space: Space) -> None:
    space.create(JOBS, job("foo", "registry.example/pause:1"))
    assert len(until_active(space, "foo", 2)) == 2
    space.delete(JOBS, "foo", propagationPolicy="Foreground")
    space.until_gone(JOBS, "foo")
    assert space.list("pods") == []


@behaviour("Jobs, orphan pods, re-adoption")
def test_a_jobs_orphan_is_adopted_again_and_a_stranger_released(space: Space) -> None:
    space.create(JOBS, job("adopt-release", "registry.example/pause:1"))
    first = until_active(space, "adopt-release", 2)[0]["metadata"]["name"]
    space.patch("pods", first, {"metadata": {"ownerReferences": None}})
    space.until_true("pods", first, lambda found: controller_of(found) == "adopt-release")
    labels = space.get("pods", first)["metadata"]["labels"]
    space.patch("pods", first, {"metadata": {"labels": dict.fromkeys(labels)}})
    space.until_true("pods", first, lambda found: not controller_of(found))


@behaviour("Jobs, apply changes to status")
def test_a_jobs_status_is_patched_updated_and_read(space: Space) -> None:
    space.create(JOBS, job("suspend-false-to-true", "registry.example/pause:1"))
    until_active(space, "suspend-false-to-true", 2)
    added = {"type": "CustomConditionType", "status": "True", "lastTransitionTime": "2030-01-01T00:00:00Z"}
    patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"conditions": [added]}}
    patched = space.patch(JOBS, "suspend-false-to-true", patch, "status")
    assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
    assert condition(patched, "CustomConditionType") == added

    def change(found: Object) -> None:
        found["status"]["conditions"][0]["lastTransitionTime"] = "2030-01-02T00:00:00Z"

    updated = space.change(JOBS, "suspend-false-to-true", change, "status")
    assert condition(updated, "CustomConditionType")["lastTransitionTime"] == "2030-01-02T00:00:00Z"
    read = space.get(JOBS, "suspend-false-to-true", "status")
    assert condition(read, "CustomConditionType")["lastTransitionTime"] == "2030-01-02T00:00:00Z"


@behaviour("Jobs, manage lifecycle")
def test_a_suspended_job_is_patched_updated_listed_and_deleted(space: Space) -> None:
    mark = f"e2e-job-label={space.name}"
    made = job("e2e-job", "registry.example/pause:1", suspend=True)
    made["metadata"]["labels"] = {"e2e-job-label": space.name}
    space.create(JOBS, made)
    patch = {"metadata": {"labels": {"e2e-e2e-job": "patched"}}}
    assert space.patch(JOBS, "e2e-job", patch)["metadata"]["labels"]["e2e-e2e-job"] == "patched"

    def change(found: Object) -> None:
        found["spec"]["suspend"] = False
        found["metadata"]["annotations"] = {"updated": "true"}

    with space.watching(JOBS, mark) as watch:
        space.change(JOBS, "e2e-job", change)
        watch.until("MODIFIED", condition=lambda obj: obj["metadata"].get("annotations") and not obj["spec"]["suspend"])
    until_active(space, "e2e-job", 2)
    (listed,) = space.world.everywhere.list(JOBS, mark)
    assert listed["metadata"]["annotations"]["updated"] == "true"
    space.delete_all(JOBS, mark, propagationPolicy="Foreground")
    space.until_count(JOBS, 0, mark)
    assert space.list("pods") == []


# Pod failure policies


@behaviour("Verify Pod Failure policy allows to fail job early on exit code.")
def test_an_exit_code_fails_the_job_at_once(space: Space) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [1]}}
    made = job("pod-failure-failjob", "fails", 1, 2, backoffLimit=100, podFailurePolicy={"rules": [rule]})
    space.create(JOBS, made)
    found = until_failed(space, "pod-failure-failjob")
    assert condition(found, "Failed")["reason"] == "PodFailurePolicy"
    assert found["status"]["failed"] == 1


@behaviour("Ensure pod failure policy allows to ignore failure matching on the DisruptionTarget condition")
def test_failures_by_eviction_are_ignored(space: Space, program: Callable[[Program], str]) -> None:
    evicted: set[int] = set()

    def runs_until_evicted(pod: Object) -> int | None:
        return 0 if index_of(pod) in evicted else None

    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "NotIn", "values": [0]}},
    ]
    image = program(runs_until_evicted)
    policy = {"rules": rules}
    made = job("pod-failure-ignore", image, completionMode="Indexed", backoffLimit=0, podFailurePolicy=policy)
    space.create(JOBS, made)
    for _ in range(2):
        for each in until_active(space, "pod-failure-ignore", 2):
            if each["status"]["phase"] == "Running":
                evicted.add(index_of(each))
                name = each["metadata"]["name"]
                eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": space.name}}
                space.ask("POST", space.path("pods", name, "eviction"), eviction, code=201)
    found = until_complete(space, "pod-failure-ignore")
    assert found["status"]["completedIndexes"] == "0-3"


# Back-off for each index


def odd_fail(pod: Object) -> int:
    return index_of(pod) % 2


@behaviour("Ensure that all indexes are executed for an indexed job with backoffLimitPerIndex despite some failing")
def test_all_indexes_are_run_though_some_fail(space: Space, program: Callable[[Program], str]) -> None:
    space.create(JOBS, job("with-backofflimitperindex", program(odd_fail), completionMode="Indexed", backoffLimitPerIndex=1))
    status = until_failed(space, "with-backofflimitperindex")["status"]
    assert (status["failedIndexes"], status["completedIndexes"]) == ("1,3", "0,2")
    assert (status["failed"], status["succeeded"]) == (4, 2)


@behaviour("Terminate job execution when the maxFailedIndexes is exceeded")
def test_too_many_failed_indexes_end_the_job(space: Space) -> None:
    since = space.get("namespaces", space.name)["metadata"]["resourceVersion"]
    made = job("max-failed", "fails", 1, completionMode="Indexed", backoffLimitPerIndex=0, maxFailedIndexes=0)
    space.create(JOBS, made)
    found = until_failed(space, "max-failed")
    for type_ in ("FailureTarget", "Failed"):
        assert condition(found, type_)["reason"] == "MaxFailedIndexesExceeded"
    assert (found["status"]["failedIndexes"], found["status"]["failed"]) == ("0", 1)
    seen = [obj for _, obj in space.events(JOBS, since=since)]
    assert any(condition(obj, "FailureTarget") and not condition(obj, "Failed") for obj in seen)


@behaviour("Mark indexes as failed when the FailIndex action is matched in podFailurePolicy")
def test_a_failure_policy_fails_an_index_without_another_try(space: Space, program: Callable[[Program], str]) -> None:
    def zero_fails_for_good(pod: Object) -> int:
        return 42 if index_of(pod) == 0 else 0

    rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}
    made = job(
        "failindex",
        program(zero_fails_for_good),
        2,
        2,
        completionMode="Indexed",
        backoffLimitPerIndex=1,
        podFailurePolicy={"rules": [rule]},
    )
    space.create(JOBS, made)
    status = until_failed(space, "failindex")["status"]
    assert (status["failedIndexes"], status["completedIndexes"]) == ("0", "1")
    assert (status["failed"], status["succeeded"]) == (1, 1)


# Success policies


def succeeds_early(space: Space, name: str, image: str, succeeded: str, *rules: Object) -> None:
    space.create(JOBS, job(name, image, 2, 2, completionMode="Indexed", successPolicy={"rules": list(rules)}))
    found = until_complete(space, name)
    for type_ in ("SuccessCriteriaMet", "Complete"):
        assert condition(found, type_)["reason"] == "SuccessPolicy"
    assert found["status"]["completedIndexes"] == succeeded
    space.until_true(JOBS, name, lambda found: not found["status"].get("active"))


def only_the_first_succeeds(pod: Object) -> int | None:
    return 0 if index_of(pod) == 0 else None


@behaviour("Ensure that job with successPolicy succeeded when all indexes succeeded")
def test_a_success_policy_is_met_by_all_indexes(space: Space) -> None:
    succeeds_early(space, "all-indexes", "succeeds", "0,1", {"succeededIndexes": "0,1"})


@behaviour("Ensure that job with successPolicy succeededIndexes rule succeeded even when some indexes remain pending")
def test_a_success_policy_is_met_by_named_indexes(space: Space, program: Callable[[Program], str]) -> None:
    succeeds_early(space, "succeeded-indexes", program(only_the_first_succeeds), "0", {"succeededIndexes": "0"})


@behaviour("Ensure that job with successPolicy succeededCount rule succeeded even when some indexes remain pending")
def test_a_success_policy_is_met_by_a_count(space: Space, program: Callable[[Program], str]) -> None:
    succeeds_early(space, "succeeded-count", program(only_the_first_succeeds), "0", {"succeededCount": 1})
