"""Deployments: rollouts, scaling, rollback, pause, deadlines."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.controllers import deployment as controller
from navarch.controllers import deploymentstatus, replicaset, rollback, rollout
from tests.controllers.world import events, kubelet, on_bench, pods, template, workload
from tests.fakeapi import Bench

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def deployment(**spec: Any) -> Object:
    defaults = {"progressDeadlineSeconds": 600, "revisionHistoryLimit": 10, "strategy": {"type": "RollingUpdate"}}
    found = workload("Deployment", **{**defaults, **spec})
    return meta.set_path(meta.set_path(found, "deployment-uid", "metadata", "uid"), 1, "metadata", "generation")


def made(owner: Object, image: str, size: int, *, available: int = 0, age: int = 100, **annotations: str) -> Object:
    """A ReplicaSet of `owner`."""
    found = rollout.new_replicaset(meta.set_path(owner, template(image), "spec", "template"), rollout.Sets(None, []), 0)
    metadata = {
        **found["metadata"],
        "uid": f"uid-{image}",
        "creationTimestamp": meta.format_time(NOW - timedelta(seconds=age)),
        "annotations": {**found["metadata"]["annotations"], **annotations},
    }
    spec = {**found["spec"], "replicas": size}
    return {**found, "metadata": metadata, "spec": spec, "status": {"replicas": size, "availableReplicas": available}}


def sizes(plan: controller.Plan) -> dict[str, int]:
    return {item["spec"]["template"]["spec"]["containers"][0]["image"]: plan.sets.size(item) for item in plan.sets.all}


def test_the_first_plan_creates_a_replicaset_with_hash_and_revision() -> None:
    todo = controller.plan(deployment(), [], [], NOW)
    assert todo.create is not None
    hashed = todo.create["metadata"]["labels"]["pod-template-hash"]
    assert meta.name(todo.create) == f"web-{hashed}"
    assert todo.create["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": hashed}
    assert todo.create["spec"]["replicas"] == 3
    assert todo.revision == "1"
    assert todo.events == [f"Scaled up replica set web-{hashed} from 0 to 3"]


def test_the_hash_depends_on_template_and_collisions_only() -> None:
    assert rollout.template_hash(template()) == rollout.template_hash(template())
    assert rollout.template_hash(template()) != rollout.template_hash(template(), 1)
    assert set(rollout.template_hash(template())) <= set(clock.NAME_ALPHABET)


@pytest.mark.parametrize(
    ("surge", "unavailable", "expected"), [("25%", "25%", (1, 0)), (0, "25%", (0, 1)), (0, 0, (0, 1)), ("50%", "50%", (2, 1))]
)
def test_limits_round_surge_up_and_unavailable_down(surge: Any, unavailable: Any, expected: tuple[int, int]) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    assert rollout.limits(deployment(strategy=strategy)) == expected


def test_a_rolling_update_grows_first_and_shrinks_only_what_availability_allows() -> None:
    owner = deployment(template=template("nginx:2"))
    old = made(owner, "nginx:1", 3, available=3)
    new = made(owner, "nginx:2", 1, age=10)
    todo = controller.plan(owner, [old, new], [], NOW)
    assert sizes(todo) == {"nginx:1": 3, "nginx:2": 1}  # 4 pods is all that surge allows, and 3 must stay available.
    todo = controller.plan(owner, [old, {**new, "status": {"replicas": 1, "availableReplicas": 1}}], [], NOW)
    assert sizes(todo) == {"nginx:1": 2, "nginx:2": 1}


def test_old_pods_that_do_not_work_go_at_once() -> None:
    owner = deployment(template=template("nginx:3"))
    broken = made(owner, "nginx:2", 1, age=50)
    good = made(owner, "nginx:1", 3, available=3)
    new = made(owner, "nginx:3", 0, age=10)
    todo = controller.plan(owner, [broken, good, new], [], NOW)
    assert sizes(todo) == {"nginx:1": 3, "nginx:2": 0, "nginx:3": 0}


def test_scaling_in_the_middle_of_a_rollout_is_proportional() -> None:
    owner = deployment(replicas=20, template=template("nginx:2"), strategy={"type": "RollingUpdate"})
    noted = {rollout.DESIRED_REPLICAS: "10", rollout.MAX_REPLICAS: "13"}
    old = made(owner, "nginx:1", 8, available=8, **noted)
    new = made(owner, "nginx:2", 5, age=10, **noted)
    todo = controller.plan(owner, [old, new], [], NOW)
    assert not todo.rolling
    assert sum(sizes(todo).values()) == 25
    assert sizes(todo) == {"nginx:1": 15, "nginx:2": 10}
    notes = [meta.annotations(item)[rollout.DESIRED_REPLICAS] for item in todo.update]
    assert notes == ["20", "20"]


def test_going_back_to_an_old_template_reuses_its_replicaset_with_a_new_revision() -> None:
    owner = deployment(template=template("nginx:1"))
    first = made(owner, "nginx:1", 0, **{rollout.REVISION: "1"})
    second = made(owner, "nginx:2", 3, available=3, age=10, **{rollout.REVISION: "2"})
    todo = controller.plan(owner, [first, second], [], NOW)
    assert todo.create is None
    changed = next(item for item in todo.update if meta.uid(item) == "uid-nginx:1")
    assert meta.annotations(changed)[rollout.REVISION] == "3"
    assert meta.annotations(changed)[rollout.REVISION_HISTORY] == "1"
    assert todo.revision == "3"


def test_an_annotation_asks_to_go_back_to_a_revision() -> None:
    def asked(number: str, image: str = "nginx:3") -> rollback.Rollback:
        owner = deployment(template=template(image))
        owner["metadata"]["annotations"] = {rollout.ROLLBACK_TO: number, "cause": "edit", rollout.REVISION: "3"}
        sets = [made(owner, f"nginx:{n}", 1, **{rollout.REVISION: str(n), "cause": f"create {n}"}) for n in (1, 2, 3)]
        wanted = rollback.revision_wanted(owner)
        assert wanted is not None
        return rollback.plan(owner, rollout.split(owner, sets), wanted)

    found = asked("1")
    assert found.deployment["spec"]["template"] == template("nginx:1")
    assert meta.annotations(found.deployment) == {rollout.REVISION: "3", "cause": "create 1"}
    assert (found.reason, found.message) == ("DeploymentRollback", 'Rolled back deployment "web" to revision 1')
    assert asked("0").message == 'Rolled back deployment "web" to revision 2'
    assert asked("7").message == "Unable to find the revision to rollback to."
    unchanged = asked("3")
    assert unchanged.reason == "DeploymentRollbackTemplateUnchanged"
    assert meta.annotations(unchanged.deployment) == {rollout.REVISION: "3", "cause": "edit"}
    assert rollback.plan(deployment(), rollout.Sets(None, []), 0).message == "Unable to find last revision."


def test_going_back_is_told_and_asked_for_only_once() -> None:
    async def main() -> None:
        async with on_bench(controller.CONTROLLER, replicaset.CONTROLLER) as found:
            kubelet(found)
            found.api.put(deployment())
            await _rolled_out(found, "nginx:1", 3)
            await found.client.patch("deployments.apps", "web", {"spec": {"template": template("nginx:2")}}, "default")
            await _rolled_out(found, "nginx:2", 3)
            patch = {"metadata": {"annotations": {rollout.ROLLBACK_TO: "0"}}}
            await found.client.patch("deployments.apps", "web", patch, "default")
            current = await _rolled_out(found, "nginx:1", 3)
            assert rollout.ROLLBACK_TO not in meta.annotations(current)
            assert events(found, "DeploymentRollback") == ['Rolled back deployment "web" to revision 1']

    asyncio.run(main())


def test_recreate_waits_until_old_pods_have_gone() -> None:
    owner = deployment(template=template("nginx:2"), strategy={"type": "Recreate"})
    old = made(owner, "nginx:1", 3, available=3)
    assert sizes(controller.plan(owner, [old], [], NOW)) == {"nginx:1": 0}
    gone = meta.set_path(old, 0, "spec", "replicas")
    running = {"metadata": {}, "status": {"phase": "Running"}}
    assert controller.plan(owner, [gone], [running], NOW).create is None
    assert controller.plan(owner, [gone], [], NOW).create is not None


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    owner = deployment(template=template("nginx:2"), paused=True, replicas=5)
    todo = controller.plan(owner, [made(owner, "nginx:1", 3, available=3)], [], NOW)
    assert todo.create is None
    assert sizes(todo) == {"nginx:1": 5}
    assert todo.note is not None
    assert todo.note["reason"] == "DeploymentPaused"


def test_history_beyond_its_limit_is_deleted_oldest_first() -> None:
    owner = deployment(template=template("nginx:4"), revisionHistoryLimit=1)
    olds = [made(owner, f"nginx:{n}", 0, **{rollout.REVISION: str(n)}) for n in (1, 2, 3)]
    new = made(owner, "nginx:4", 3, available=3, **{rollout.REVISION: "4"})
    owner["status"] = {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
    todo = controller.plan(owner, [*olds, new], [], NOW)
    assert [meta.uid(item) for item in todo.delete] == ["uid-nginx:1", "uid-nginx:2"]


def test_a_rollout_without_progress_times_out() -> None:
    owner = deployment(progressDeadlineSeconds=60)
    stamp = meta.format_time(NOW - timedelta(seconds=61))
    progressing = {
        "type": "Progressing",
        "status": "True",
        "reason": "ReplicaSetUpdated",
        "lastUpdateTime": stamp,
        "lastTransitionTime": stamp,
    }
    owner["status"] = {"replicas": 3, "updatedReplicas": 3, "conditions": [progressing]}
    sets = rollout.split(owner, [made(owner, "nginx:1", 3)])
    status = deploymentstatus.compute(owner, sets, None, rolling=True, now=NOW)
    condition = meta.find(status["conditions"], "type", "Progressing")
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert condition["message"].endswith("has timed out progressing.")


def test_pods_that_nobody_made_yet_are_unavailable() -> None:
    owner = deployment()
    starved = meta.set_path(made(owner, "nginx:1", 3), {}, "status")
    counts = deploymentstatus.counts(owner, rollout.split(owner, [starved]))
    assert (counts.get("replicas", 0), counts["unavailableReplicas"]) == (0, 3)


def test_only_so_much_of_the_numbers_that_a_revision_had_is_remembered() -> None:
    owner = deployment()
    history = ",".join(str(number) for number in range(1000, 1400))
    noted = {rollout.REVISION: "1400", rollout.REVISION_HISTORY: history}
    old, new = made(owner, "nginx:2", 3, **{rollout.REVISION: "1401"}), made(owner, "nginx:1", 0, **noted)
    after = rollout.new_annotations(owner, rollout.split(owner, [old, new]))[rollout.REVISION_HISTORY]
    assert history == ",".join(["1000", after.removesuffix(",1400")])


def test_who_waits_for_progress_is_told_that_there_is_no_new_replicaset() -> None:
    async def after_two_tries(owner: Object) -> tuple[Object, str]:
        tries = 0

        def refuse(method: str, path: str, body: Any) -> Exception | None:
            nonlocal tries
            if method != "POST" or not path.endswith("/replicasets"):
                return None
            tries += 1
            return errors.forbidden("apps", "replicasets", "", "exceeded quota")

        async with on_bench(controller.CONTROLLER) as found:
            found.api.refuse = refuse
            found.api.put(owner)
            await found.until(lambda: tries >= 2)
            text = (await found.until(lambda: events(found, "ReplicaSetCreateError")))[0]
            return _current(found).get("status") or {}, text

    status, text = asyncio.run(after_two_tries(deployment()))
    assert text.startswith('Failed to create new replica set "web-')
    assert [(item["reason"], item["message"]) for item in status["conditions"]] == [("ReplicaSetCreateError", text)]
    assert asyncio.run(after_two_tries(deployment(progressDeadlineSeconds=2**31 - 1)))[0] == {}


async def _rolled_out(found: Bench, image: str, size: int) -> Object:
    def done() -> Object | None:
        current = found.api.objects["deployments.apps"]["default/web"]
        images = [pod["spec"]["containers"][0]["image"] for pod in pods(found)]
        complete = deploymentstatus.is_complete(current, current.get("status") or {})
        return current if complete and images == [image] * size else None

    result: Object = await found.until(done)
    return result


def test_a_deployment_is_rolled_out_updated_rolled_back_and_scaled() -> None:
    async def main() -> None:
        async with on_bench(controller.CONTROLLER, replicaset.CONTROLLER) as found:
            kubelet(found)
            owner = deployment()
            del owner["metadata"]["uid"]
            found.api.put(owner)
            current = await _rolled_out(found, "nginx:1", 3)
            assert meta.annotations(current)[rollout.REVISION] == "1"
            assert meta.condition(current, "Available")["reason"] == "MinimumReplicasAvailable"  # type: ignore[index]
            await found.until(
                lambda: (c := meta.condition(_current(found), "Progressing")) and c["reason"] == "NewReplicaSetAvailable"
            )
            await found.client.patch("deployments.apps", "web", {"spec": {"template": template("nginx:2")}}, "default")
            current = await _rolled_out(found, "nginx:2", 3)
            assert meta.annotations(current)[rollout.REVISION] == "2"
            await found.client.patch("deployments.apps", "web", {"spec": {"template": template("nginx:1")}}, "default")
            current = await _rolled_out(found, "nginx:1", 3)
            assert meta.annotations(current)[rollout.REVISION] == "3"
            assert len(found.api.all("replicasets.apps")) == 2
            await found.client.patch("deployments.apps", "web", {"spec": {"replicas": 5}}, "default")
            await _rolled_out(found, "nginx:1", 5)
            await found.client.patch("deployments.apps", "web", {"spec": {"replicas": 1}}, "default")
            await _rolled_out(found, "nginx:1", 1)
            await found.until(lambda: any("from 5 to 1" in text for text in events(found, "ScalingReplicaSet")))

    asyncio.run(main())


def _current(found: Bench) -> Object:
    return found.api.objects["deployments.apps"]["default/web"]


def test_recreate_never_runs_two_versions_at_once() -> None:
    async def main() -> None:
        async with on_bench(controller.CONTROLLER, replicaset.CONTROLLER) as found:
            kubelet(found)
            seen: list[set[str]] = []
            found.informers.get("pods").add_handler(
                lambda old, new: seen.append({pod["spec"]["containers"][0]["image"] for pod in found.api.all("pods")})
            )
            found.api.put(deployment(strategy={"type": "Recreate"}))
            await _rolled_out(found, "nginx:1", 3)
            await found.client.patch("deployments.apps", "web", {"spec": {"template": template("nginx:2")}}, "default")
            await _rolled_out(found, "nginx:2", 3)
            assert {"nginx:1", "nginx:2"} not in seen

    asyncio.run(main())
