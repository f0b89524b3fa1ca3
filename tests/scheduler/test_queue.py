"""The scheduling queue: order, back-off, and what wakes a pod."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from navarch.scheduler.events import ASSIGNED_POD, NODE, Action, on
from navarch.scheduler.framework import Code, Status
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.queue import Queued, Rules, SchedulingQueue
from tests.scheduler.world import pod

HINTS = {"Fit": (on(ASSIGNED_POD, Action.DELETE),), "Taint": (on(NODE, Action.NODE_TAINT),), "Gates": ()}


def gate(pod: PodInfo) -> Status | None:
    return Status(Code.UNSCHEDULABLE, plugin="Gates") if pod.spec.get("schedulingGates") else None


def queue(**more: Any) -> SchedulingQueue:
    return SchedulingQueue(Rules(lambda pod, since: (-pod.priority, since), lambda pod, plugin: HINTS[plugin], gate, **more))


def info(name: str, **spec: Any) -> PodInfo:
    return PodInfo(pod(name, **spec))


def take(waiting: SchedulingQueue, now: float) -> Queued:
    found = waiting.pop(now)
    assert found is not None
    return found


def test_higher_priority_first_then_who_waits_longer() -> None:
    waiting = queue()
    for moment, item in enumerate((info("a"), info("b", priority=5), info("c"))):
        waiting.set(item, moment)
    assert [take(waiting, 9).info.name for _ in range(3)] == ["b", "a", "c"]
    assert waiting.pop(9) is None


def test_only_events_that_its_plugins_asked_for_wake_a_pod() -> None:
    waiting = queue()
    waiting.set(info("a"), 0)
    waiting.put_back(take(waiting, 0), {"Fit"}, 0)
    waiting.happened(NODE, Action.NODE_TAINT, {}, {})
    assert waiting.pop(5) is None
    waiting.happened(ASSIGNED_POD, Action.DELETE, {}, None)
    assert take(waiting, 5).attempts == 2


def test_a_pod_that_backs_off_comes_after_others_but_does_not_wait_idly() -> None:
    waiting = queue()
    waiting.set(info("a"), 0)
    waiting.put_back(take(waiting, 0), {"Fit"}, 0)
    waiting.happened(ASSIGNED_POD, Action.DELETE, {}, None)
    waiting.set(info("b"), 0.2)
    assert [take(waiting, 0.3).info.name for _ in range(2)] == ["b", "a"]


def test_after_an_error_the_back_off_is_kept_and_doubles() -> None:
    waiting = queue()
    waiting.set(info("a"), 0)
    waiting.put_back_failed(take(waiting, 0), 0)
    assert waiting.pop(0.9) is None
    assert waiting.next_wake() == 1
    waiting.put_back_failed(take(waiting, 1), 1)
    assert waiting.next_wake() == 3


def test_errors_and_verdicts_do_not_lengthen_each_others_back_off() -> None:
    waiting = queue()
    waiting.set(info("a"), 0)
    for now in (0, 300, 600):
        waiting.put_back(take(waiting, now + 1), {"Fit"}, now)
    queued = take(waiting, 901)
    assert waiting.backoff_seconds(queued) == 4
    waiting.put_back_failed(queued, 901)
    assert waiting.next_wake() == 902
    queued = take(waiting, 902)
    waiting.put_back(queued, {"Fit"}, 902)
    assert waiting.backoff_seconds(queued) == 8


def test_an_unschedulable_pod_is_tried_again_after_five_minutes() -> None:
    waiting = queue()
    waiting.set(info("a"), 0)
    waiting.put_back(take(waiting, 0), {"Fit"}, 0)
    assert waiting.next_wake() == 300
    assert waiting.pop(299) is None
    assert waiting.pop(301) is not None


def test_a_changed_pod_is_tried_again_and_a_gated_one_waits_for_its_gates() -> None:
    waiting = queue()
    waiting.set(info("a"), 0)
    waiting.put_back(take(waiting, 0), {"Fit"}, 0)
    waiting.set(info("a", cpu="1m"), 1)
    assert take(waiting, 2).info.requests == {"cpu": 1}
    gates: Object = {"schedulingGates": [{"name": "x"}]}
    waiting.set(info("g", **gates), 3)
    assert waiting.pop(4) is None
    waiting.set(info("g"), 5)
    assert take(waiting, 6).info.name == "g"


def test_a_deleted_pod_never_comes() -> None:
    waiting = queue()
    waiting.set(info("a"), 0)
    waiting.delete("a", 0)
    assert waiting.pop(1) is None
    assert len(waiting) == 0


def test_of_pods_that_are_alike_one_goes_ahead_and_the_next_follows_only_if_it_got_somewhere() -> None:
    waiting = queue()
    for name in ("a", "b", "c"):
        waiting.set(info(name), 0)
    for _ in range(3):
        waiting.put_back(take(waiting, 0), {"Fit"}, 0)
    waiting.happened(ASSIGNED_POD, Action.DELETE, {}, None)
    scout = take(waiting, 100)
    assert scout.info.name == "a"
    assert waiting.pop(100) is None
    waiting.put_back(scout, {"Fit"}, 100)
    assert waiting.pop(100) is None
    waiting.happened(ASSIGNED_POD, Action.DELETE, {}, None)
    scout = take(waiting, 200)
    waiting.placed(scout, 200)
    waiting.delete(scout.info.uid, 200)
    assert take(waiting, 200).info.name == "b"


def test_pods_that_a_closer_look_shows_to_be_hopeless_are_not_tried() -> None:
    looked: list[str] = []

    def may_fit(pod: PodInfo) -> bool:
        looked.append(pod.name)
        return False

    waiting = queue(may_fit=may_fit)
    for name in ("a", "b", "c"):
        waiting.set(info(name), 0)
    for _ in range(3):
        waiting.put_back(take(waiting, 0), {"Fit"}, 0)
    for _ in range(10):
        waiting.happened(ASSIGNED_POD, Action.DELETE, {}, None)
    assert waiting.pop(100) is None
    assert looked == ["a"]  # Once, for all of them and all that happened.


def test_plugins_that_look_at_each_pod_have_all_of_them_tried() -> None:
    waiting = queue(is_shared=lambda pod, plugins: False)
    for name in ("a", "b"):
        waiting.set(info(name), 0)
    for _ in range(2):
        waiting.put_back(take(waiting, 0), {"Fit"}, 0)
    waiting.happened(ASSIGNED_POD, Action.DELETE, {}, None)
    assert {take(waiting, 100).info.name for _ in range(2)} == {"a", "b"}


def test_what_happens_while_a_pod_is_decided_is_not_lost() -> None:
    waiting = queue()
    waiting.set(info("a"), 0)
    taken = take(waiting, 0)
    waiting.happened(ASSIGNED_POD, Action.DELETE, {}, None)
    waiting.put_back(taken, {"Fit"}, 0)
    assert waiting.next_wake() == 1
    assert take(waiting, 1).info.name == "a"
