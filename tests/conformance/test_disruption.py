"""PodDisruptionBudgets and evictions."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import condition, is_ready, pod, workload
from tests.conformance.world import Space

BUDGETS = "poddisruptionbudgets.policy"
LABELS = {"foo": "bar"}


def budget(name: str = "foo", labels: Object | None = None, **spec: Any) -> Object:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {"selector": {"matchLabels": LABELS}, **spec}}


def make_pods(space: Space, count: int) -> None:
    for number in range(count):
        space.create("pods", pod(f"pod-{number}", LABELS))
    space.world.until(lambda: sum(map(is_ready, space.list("pods"))) == count)


def until_looked_at(space: Space, name: str = "foo") -> Object:
    return space.until_true(
        BUDGETS, name, lambda found: found["status"].get("observedGeneration", 0) == found["metadata"]["generation"]
    )


def evict(space: Space, name: str, code: int) -> Object:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": space.name}}
    found: Object = space.ask("POST", space.path("pods", name, "eviction"), eviction, code=code)
    return found


@behaviour("PodDisruptionBudget: create, update, patch, and delete object")
def test_a_budget_is_made_updated_patched_and_deleted(space: Space) -> None:
    space.create(BUDGETS, budget(minAvailable=1))
    assert space.get(BUDGETS, "foo")["spec"]["minAvailable"] == 1
    until_looked_at(space)
    updated = space.change(BUDGETS, "foo", lambda found: found["spec"].update(minAvailable="50%"))
    assert updated["spec"]["minAvailable"] == "50%"
    until_looked_at(space)
    patch = {"spec": {"minAvailable": 3}}
    assert space.patch(BUDGETS, "foo", patch)["spec"]["minAvailable"] == 3
    until_looked_at(space)
    space.delete(BUDGETS, "foo")
    assert space.find(BUDGETS, "foo") is None


@behaviour("PodDisruptionBudget: list and delete collection")
def test_budgets_are_listed_over_namespaces_and_deleted_together(space: Space) -> None:
    mark, other = f"special-label={space.name}", space.world.space()
    labels = {"special-label": space.name}
    space.create(BUDGETS, budget("foo", labels, minAvailable=1))
    space.create(BUDGETS, budget("foo2", minAvailable=1))
    other.create(BUDGETS, budget("foo", labels, minAvailable=1))
    assert len(space.world.everywhere.list(BUDGETS, mark)) == 2
    assert len(space.list(BUDGETS)) == 2
    space.delete_all(BUDGETS)
    assert space.list(BUDGETS) == []
    assert len(other.list(BUDGETS)) == 1


@behaviour("PodDisruptionBudget: Status updates")
def test_a_budget_says_how_many_may_go(space: Space) -> None:
    space.create(BUDGETS, budget(minAvailable=1))
    make_pods(space, 3)
    found = space.until_true(BUDGETS, "foo", lambda found: found["status"].get("disruptionsAllowed", 0) > 0)
    assert {
        key: found["status"][key] for key in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    } == {
        "disruptionsAllowed": 2,
        "currentHealthy": 3,
        "desiredHealthy": 1,
        "expectedPods": 3,
    }


@behaviour("PodDisruptionBudget: update and patch status")
def test_a_budgets_status_is_updated_and_patched(space: Space) -> None:
    space.create(BUDGETS, budget(minAvailable=1))
    until_looked_at(space)
    make_pods(space, 1)
    space.until_true(BUDGETS, "foo", lambda found: found["status"].get("currentHealthy") == 1)
    since = space.get(BUDGETS, "foo")["metadata"]["resourceVersion"]
    disrupted = {"pod-0": "2030-01-01T00:00:00Z"}
    updated = space.change(BUDGETS, "foo", lambda found: found["status"].update(disruptedPods=disrupted), "status")
    assert updated["status"]["disruptedPods"] == disrupted
    patched = space.patch(BUDGETS, "foo", {"status": {"disruptedPods": None}}, "status")
    assert "disruptedPods" not in patched["status"]
    assert any(obj["status"].get("disruptedPods") == disrupted for _, obj in space.events(BUDGETS, since=since))


@behaviour("PodDisruptionBudget: block an eviction until the PDB is updated to allow it")
def test_an_eviction_waits_until_the_budget_allows_it(space: Space) -> None:
    def healthy(count: int) -> list[str]:
        """Names of the pods, once the budget knows so many of them."""
        space.until_true(
            BUDGETS,
            "foo",
            lambda found: (
                found["status"]["currentHealthy"] == count
                and found["status"].get("observedGeneration") == found["metadata"]["generation"]
            ),
        )
        return [each["metadata"]["name"] for each in space.list("pods") if is_ready(each)]

    def is_refused(name: str) -> None:
        refused = evict(space, name, 429)
        assert (refused["reason"], refused["details"]["causes"][0]["reason"]) == ("TooManyRequests", "DisruptionBudget")

    space.create(BUDGETS, budget(minAvailable=3))
    space.create("replicasets.apps", workload("rs", 3, LABELS))
    first, *_ = healthy(3)
    is_refused(first)
    space.change(BUDGETS, "foo", lambda found: found["spec"].update(minAvailable=2))
    healthy(3)
    since = space.get("pods", first)["metadata"]["resourceVersion"]
    evict(space, first, 201)
    space.until_gone("pods", first)
    seen = [
        condition(obj, "DisruptionTarget") for _, obj in space.events("pods", since=since) if obj["metadata"]["name"] == first
    ]
    assert any(found.get("reason") == "EvictionByEvictionAPI" for found in seen)
    space.patch(BUDGETS, "foo", {"spec": {"minAvailable": 3}})
    second, *_ = healthy(3)
    is_refused(second)
    space.delete(BUDGETS, "foo")
    evict(space, second, 201)
    space.until_gone("pods", second)
