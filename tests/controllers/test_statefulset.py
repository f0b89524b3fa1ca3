"""StatefulSets: order, identity, updates. The pure rules."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import history, statefulset
from navarch.controllers.statefulset import Revisions
from tests.controllers.cluster import cluster
from tests.controllers.world import template, workload

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = meta.format_time(NOW - timedelta(seconds=100))


def owner(image: str = "nginx:1", **spec: Any) -> Object:
    found = workload("StatefulSet", "db", template=template(image), serviceName="db", **spec)
    return meta.set_path(found, "owner", "metadata", "uid")


OLD = history.new_revision(owner("nginx:1"), 1, 0)
NEW = history.new_revision(owner("nginx:2"), 2, 0)
SAME = Revisions(OLD, OLD)
CHANGING = Revisions(OLD, NEW)


def test_pods_are_labelled_with_the_name_of_their_revision_and_revisions_with_their_hash() -> None:
    assert meta.labels(OLD)["controller.kubernetes.io/hash"] == meta.name(OLD).removeprefix("db-")
    assert meta.labels(pod(0, OLD))["controller-revision-hash"] == meta.name(OLD)


def pod(number: int, revision: Object = OLD, *, ready: bool = True, phase: str = "Running", deleted: bool = False) -> Object:
    made = statefulset.new_pod(owner(), number, revision)
    made["metadata"] |= {"uid": f"u{number}", "creationTimestamp": STAMP}
    if deleted:
        made["metadata"]["deletionTimestamp"] = STAMP
    conditions = [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": STAMP}]
    return {**made, "status": {"phase": phase, "conditions": conditions}}


def plan(item: Object, pods: list[Object], revisions: Revisions = SAME) -> tuple[list[int], list[str]]:
    todo = statefulset.plan(item, pods, revisions, NOW)
    return [number for number, _ in todo.create], [meta.name(item) for item in todo.delete]


def test_pods_come_one_after_the_other_when_those_before_are_ready() -> None:
    assert plan(owner(), []) == ([0], [])
    assert plan(owner(), [pod(0, ready=False)]) == ([], [])
    assert plan(owner(), [pod(0)]) == ([1], [])
    assert plan(owner(), [pod(0), pod(2)]) == ([1], [])
    assert plan(owner(), [pod(0), pod(1), pod(2)]) == ([], [])


def test_parallel_pods_come_at_once() -> None:
    assert plan(owner(podManagementPolicy="Parallel"), [pod(1, ready=False)]) == ([0, 2], [])


def test_pods_have_a_name_a_host_name_and_labels_of_their_own() -> None:
    made = pod(1)
    assert made["metadata"]["name"] == "db-1"
    assert (made["spec"]["hostname"], made["spec"]["subdomain"]) == ("db-1", "db")
    labels = made["metadata"]["labels"]
    assert labels["statefulset.kubernetes.io/pod-name"] == "db-1"
    assert labels["apps.kubernetes.io/pod-index"] == "1"
    assert labels[history.HASH_LABEL] == history.hash_of(OLD)


def test_scaling_down_takes_the_highest_first_one_at_a_time() -> None:
    all_pods = [pod(number) for number in range(5)]
    assert plan(owner(), all_pods) == ([], ["db-4"])
    assert plan(owner(), [*all_pods[:4], pod(4, deleted=True)]) == ([], [])
    assert plan(owner(podManagementPolicy="Parallel"), all_pods) == ([], ["db-4", "db-3"])
    assert plan(owner(ordinals={"start": 2}), [pod(2), pod(3), pod(4), pod(0)]) == ([], ["db-0"])


def test_parallel_pods_are_updated_while_others_still_go() -> None:
    parallel = owner(podManagementPolicy="Parallel", replicas=2)
    assert plan(parallel, [pod(0), pod(1), pod(2, deleted=True)], CHANGING) == ([], ["db-1"])
    assert plan(owner(replicas=2), [pod(0), pod(1), pod(2, deleted=True)], CHANGING) == ([], [])


def test_finished_pods_are_made_anew() -> None:
    assert plan(owner(), [pod(0), pod(1, phase="Failed"), pod(2)]) == ([], ["db-1"])


def test_updates_go_from_the_highest_down_and_wait_for_each() -> None:
    assert plan(owner(), [pod(0), pod(1), pod(2)], CHANGING) == ([], ["db-2"])
    assert plan(owner(), [pod(0), pod(1), pod(2, deleted=True)], CHANGING) == ([], [])
    assert plan(owner(), [pod(0), pod(1), pod(2, NEW, ready=False)], CHANGING) == ([], [])
    assert plan(owner(), [pod(0), pod(1), pod(2, NEW)], CHANGING) == ([], ["db-1"])
    assert plan(owner(updateStrategy={"type": "OnDelete"}), [pod(0), pod(1), pod(2)], CHANGING) == ([], [])


def test_pods_below_the_partition_keep_the_old_revision() -> None:
    parted = owner(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    assert plan(parted, [pod(0), pod(1), pod(2, NEW)], CHANGING) == ([], [])
    (_, revision) = statefulset.plan(parted, [pod(0), pod(2, NEW)], CHANGING, NOW).create[0]
    assert revision is OLD
    (_, revision) = statefulset.plan(parted, [pod(0), pod(1)], CHANGING, NOW).create[0]
    assert revision is NEW


def test_a_pod_that_is_lost_during_an_update_comes_back_as_it_was_unless_it_is_its_turn() -> None:
    (_, revision) = statefulset.plan(owner(), [pod(0), pod(2)], CHANGING, NOW).create[0]
    assert revision is OLD
    (_, revision) = statefulset.plan(owner(), [pod(0), pod(2, NEW)], CHANGING, NOW).create[0]
    assert revision is NEW
    (_, revision) = statefulset.plan(owner(), [pod(0), pod(1)], CHANGING, NOW).create[0]
    assert revision is NEW


def test_status_tells_when_an_update_is_through() -> None:
    middle = statefulset.status(owner(), [pod(0), pod(1), pod(2, NEW)], CHANGING, NOW)
    assert (middle["currentReplicas"], middle["updatedReplicas"], middle["collisionCount"]) == (2, 1, 0)
    assert statefulset.status(owner(), [pod(0), pod(1, phase="Failed")], SAME, NOW)["replicas"] == 2
    assert middle["currentRevision"] == meta.name(OLD)
    done = statefulset.status(owner(), [pod(number, NEW) for number in range(3)], CHANGING, NOW)
    assert done["currentRevision"] == done["updateRevision"] == meta.name(NEW)
    assert (done["replicas"], done["readyReplicas"], done["availableReplicas"], done["currentReplicas"]) == (3, 3, 3, 3)


def test_a_set_comes_up_in_order_is_updated_backwards_and_shrinks(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await found.add_node("node-1", "10.0.0.1")
            heard: list[tuple[str, str]] = []

            def note(old: Object | None, new: Object | None) -> None:
                if old is None and new is not None:
                    heard.append(("came", meta.name(new)))
                elif new is None and old is not None:
                    heard.append(("went", meta.name(old)))

            found.informers.get("pods").add_handler(note)
            await found.client.create("statefulsets.apps", workload("StatefulSet", "db", serviceName="db"))

            def status() -> Object:
                current: Object = found.one("statefulsets.apps", "default/db") or {}
                is_seen = (current.get("status") or {}).get("observedGeneration") == (current.get("metadata") or {}).get(
                    "generation"
                )
                return dict(current.get("status") or {}) if is_seen else {}

            await found.until(lambda: status().get("readyReplicas") == 3)
            assert heard == [("came", "db-0"), ("came", "db-1"), ("came", "db-2")]
            heard.clear()
            await found.client.patch("statefulsets.apps", "db", {"spec": {"template": template("nginx:2")}}, "default")
            await found.until(lambda: status().get("updatedReplicas") == 3 == status().get("currentReplicas"))
            assert heard == [(what, f"db-{number}") for number in (2, 1, 0) for what in ("went", "came")]
            heard.clear()
            await found.until(lambda: status().get("readyReplicas") == 3)
            await found.client.patch("statefulsets.apps", "db", {"spec": {"replicas": 1}}, "default")
            await found.until(lambda: status().get("replicas") == 1)
            assert heard == [("went", "db-2"), ("went", "db-1")]

    asyncio.run(main())
