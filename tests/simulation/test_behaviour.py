"""What pods say of what they do."""

from __future__ import annotations

import math
from typing import Any

import pytest

from navarch.simulation.behaviour import PREFIX, Behaviour, BehaviourError, check, of

CONTAINER = {"name": "main"}


def pod(owner: str = "", **said: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"annotations": {PREFIX + key.replace("_", "-"): value for key, value in said.items()}}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner, "controller": True}]
    return {"metadata": metadata}


def test_without_a_word_containers_run_for_ever_and_jobs_end_well() -> None:
    assert of(pod(), CONTAINER) == Behaviour()
    assert of(pod(), CONTAINER).run_seconds == math.inf
    assert (of(pod("Job"), CONTAINER).run_seconds, of(pod("Job"), CONTAINER).exit_code) == (1.0, 0)
    assert of(pod(), CONTAINER, is_init=True).run_seconds == 1.0
    # That it does not become what it is asked to be is no behaviour.
    assert of(pod(converges="false"), CONTAINER) == of(pod(), CONTAINER)


def test_a_containers_own_word_counts_more_than_its_pods() -> None:
    said = pod(run_seconds="90", exit_code="1")
    said["metadata"]["annotations"][f"{PREFIX}run-seconds.main"] = "forever"
    said["metadata"]["annotations"][f"{PREFIX}exit-code.other"] = "9"
    found = of(said, CONTAINER)
    assert (found.run_seconds, found.exit_code) == (math.inf, 1)
    assert of(said, {"name": "other"}).exit_code == 9


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"run_second": "1"}, "run-second: unknown; there are exit-code"),
        ({"run_seconds": "-1"}, "'-1'"),
        ({"exit_code": "x"}, "'x'"),
    ],
)
def test_nonsense_is_refused(said: dict[str, str], text: str) -> None:
    with pytest.raises(BehaviourError, match=text):
        of(pod(**said), CONTAINER)


def test_what_is_said_of_a_container_that_is_not_there_is_refused() -> None:
    made = pod()
    made["metadata"]["annotations"][f"{PREFIX}exit-code.mian"] = "9"
    made["spec"] = {"initContainers": [{"name": "first"}], "containers": [CONTAINER]}
    with pytest.raises(BehaviourError, match=r"exit-code\.mian: the pod has no container 'mian'; the nearest is 'main'"):
        check(made)


def test_no_container_ends_with_such_a_code() -> None:
    with pytest.raises(BehaviourError, match="exit-code: 999 is not between 0 and 255"):
        of(pod(exit_code="999"), CONTAINER)
