"""What a scheduler beside the API server says of pods, over the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from navarch.apimachinery.errors import Object
from tests.apiserver.bench import Bench, bench

PATH = "/navarch/v1/explain"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as api:
        yield api


def explain(namespace: str, name: str) -> Object:
    if name == "away":
        raise LookupError
    if name == "others":
        raise LookupError("the pod is another scheduler's: mine")
    return {"pod": {"namespace": namespace, "name": name}}


def test_without_a_scheduler_there_is_nothing_to_be_had(api: Bench) -> None:
    answer = api.call("GET", PATH, namespace="default", name="web")
    assert (answer.status, answer.reason, answer.message) == (
        503,
        "ServiceUnavailable",
        "no scheduler runs beside this API server",
    )


def test_the_scheduler_is_asked(api: Bench) -> None:
    api.server.pipeline.explain.explainer = explain
    assert api.call("GET", PATH, namespace="default", name="web").json == {"pod": {"namespace": "default", "name": "web"}}
    assert api.call("GET", PATH, namespace="default", name="away").status == 404
    other = api.call("GET", PATH, namespace="default", name="others")
    assert (other.status, other.message) == (400, "the pod is another scheduler's: mine")


def test_questions_that_make_no_sense_are_refused(api: Bench) -> None:
    api.server.pipeline.explain.explainer = explain
    assert api.call("GET", PATH, name="web").status == 400
    assert api.call("GET", PATH, namespace="default").status == 400
    assert api.call("POST", PATH, {}, namespace="default", name="web").status == 405
