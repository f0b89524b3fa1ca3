"""When that happened which changed endpoints: the earliest that is new since the last look."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.controllers import triggertimes
from navarch.controllers.triggertimes import ANNOTATION


def at(minute: int) -> str:
    return f"2026-01-01T00:{minute:02}:00Z"


def service(made: int = 0) -> Object:
    return {"metadata": {"name": "web", "namespace": "default", "creationTimestamp": at(made)}}


def pod(name: str, turned: str = "") -> Object:
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": turned}] if turned else []
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


def test_a_service_that_nobody_has_looked_at_is_as_old_as_it_is() -> None:
    assert triggertimes.compute(service(5), [pod("a", at(2)), pod("b", at(7)), pod("c")], {}) == at(5)


@pytest.mark.parametrize(
    ("pods", "made", "expected"),
    [
        ([pod("a", at(2)), pod("b", at(3))], 0, ""),
        ([pod("a", at(2)), pod("b", at(9))], 0, at(9)),
        ([pod("a", at(8)), pod("b", at(9))], 0, at(8)),
        ([pod("a", at(2)), pod("b", at(3)), pod("c", at(1))], 0, at(1)),
        ([pod("a", at(1)), pod("b", at(3))], 0, ""),
        ([pod("a", at(2)), pod("b")], 0, ""),
        ([pod("a", at(2))], 0, ""),
        ([pod("a", at(9))], 6, at(6)),
    ],
    ids=[
        *("nothing", "one pod", "the earlier of two", "a new pod", "a clock that goes back", "not ready any more"),
        *("a pod that goes", "the service is another"),
    ],
)
def test_the_earliest_of_what_has_moved_on_counts(pods: list[Object], made: int, expected: str) -> None:
    memory: dict[str, Any] = {}
    triggertimes.compute(service(), [pod("a", at(2)), pod("b", at(3))], memory)
    assert triggertimes.compute(service(made), pods, memory) == expected


def test_an_annotation_is_set_or_taken_away_beside_others() -> None:
    plain: Object = {"metadata": {"name": "a"}}
    assert triggertimes.annotated(plain, "") is plain
    stamped = triggertimes.annotated(plain, at(1))
    assert stamped == {"metadata": {"name": "a", "annotations": {ANNOTATION: at(1)}}}
    assert triggertimes.annotated(stamped, "") == plain
    assert triggertimes.annotated(stamped, at(1)) is stamped
    other = {"metadata": {"name": "a", "annotations": {"x": "y", ANNOTATION: at(1)}}}
    assert triggertimes.annotated(other, "") == {"metadata": {"name": "a", "annotations": {"x": "y"}}}
