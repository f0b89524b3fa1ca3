"""Which stage comes next, when, and what it asks for."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery.errors import Object
from navarch.simulation.stages import definition, lifecycle
from navarch.simulation.stages.definition import ChangeFinalizers, StageDefinition
from navarch.simulation.stages.functions import FUNCTIONS
from navarch.simulation.stages.gotemplate import TemplateError
from navarch.simulation.stages.lifecycle import Change, Event, Removal

NOW = 1_893_456_000.0  # 2030-01-01T00:00:00Z


def stage(name: str = "one", kind: str = "Pod", **spec: Any) -> StageDefinition:
    spec.setdefault("selector", {})
    spec = {"resourceRef": {"kind": kind, "apiGroup": "apps/v1" if kind == "Deployment" else "v1"}, **spec}
    obj = {"apiVersion": definition.API_VERSION, "kind": definition.KIND, "metadata": {"name": name}, "spec": spec}
    return definition.of_objects([obj])[0]


def pod(annotations: dict[str, str] | None = None, **more: Any) -> Object:
    metadata = {"name": "web", "labels": {"app": "web"}, "annotations": annotations or {}, "resourceVersion": "7"}
    return {"metadata": metadata, "spec": {"containers": [{"name": "main"}]}, **more}


@pytest.mark.parametrize(
    ("operator", "values", "key", "meets"),
    [
        ("In", ["web", "db"], ".metadata.labels.app", True),
        ("In", ["db"], ".metadata.labels.app", False),
        ("NotIn", ["db"], ".metadata.labels.app", True),
        ("NotIn", ["web"], ".metadata.labels.none", True),
        ("In", ["web"], ".metadata.none[]", False),
        ("NotIn", ["web"], ".metadata.none[]", True),
        ("Exists", [], ".metadata.labels.app", True),
        ("Exists", [], ".metadata.labels.none", False),
        ("DoesNotExist", [], ".metadata.none[]", True),
        ("In", ["3"], ".spec.containers | length + 2", True),
        ("In", ["true"], ".spec | has(\"containers\")", True),
        ("In", ["b"], '"a", "b"', True),
    ],
)  # fmt: skip
def test_expressions_select(operator: str, values: list[str], key: str, meets: bool) -> None:
    expression = {"key": key, "operator": operator, "values": values}
    assert bool(lifecycle.matching([stage(selector={"matchExpressions": [expression]})], pod())) is meets


def test_labels_and_annotations_select_and_no_selector_selects_nothing() -> None:
    labels, notes = stage(selector={"matchLabels": {"app": "web"}}), stage(selector={"matchAnnotations": {"a": "b"}})
    everything, nothing = stage(selector={}), stage(selector=None)
    assert lifecycle.matching([labels, notes, everything, nothing], pod()) == [labels, everything]
    assert lifecycle.matching([labels, notes, everything, nothing], pod({"a": "b"})) == [labels, notes, everything]


def drawn(*weights: Any) -> Counter[str]:
    stages = [
        stage(f"s{index}", weight=weight)
        if isinstance(weight, int)
        else stage(f"s{index}", weight=1, weightFrom={"expressionFrom": f".metadata.annotations.{weight}"})
        for index, weight in enumerate(weights)
    ]
    chance, obj = random.Random(1), pod({"two": "2", "many": "0x10", "none": "0", "bad": "x", "empty": ""})
    return Counter(found.name for _ in range(400) if (found := lifecycle.choose(stages, obj, chance)) is not None)


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ((1, 3), {"s0": 0.25, "s1": 0.75}),
        ((0, 3), {"s1": 1.0}),
        ((0, 0), {"s0": 0.5, "s1": 0.5}),
        ((0,), {"s0": 1.0}),
        ((2, "two"), {"s0": 0.5, "s1": 0.5}),
        ((16, "many"), {"s0": 0.5, "s1": 0.5}),
        ((1, "none"), {"s0": 1.0}),
        ((1, "missing"), {"s0": 0.5, "s1": 0.5}),
        ((0, "bad"), {"s0": 1.0}),
        ((1, "bad"), {"s0": 1.0}),
        (("bad", "empty"), {"s0": 0.5, "s1": 0.5}),
        ((), {}),
    ],
)
def test_weights_are_shares(weights: tuple[Any, ...], shares: dict[str, float]) -> None:
    found = drawn(*weights)
    assert set(found) == set(shares)
    assert all(found[name] / 400 == pytest.approx(share, abs=0.08) for name, share in shares.items())


@pytest.mark.parametrize(
    ("delay", "annotation", "least", "most"),
    [
        (None, "", 0.0, 0.0),
        ({"durationMilliseconds": 1500}, "", 1.5, 1.5),
        ({"durationMilliseconds": 1000, "jitterDurationMilliseconds": 5000}, "", 1.0, 5.0),
        ({"durationMilliseconds": 5000, "jitterDurationMilliseconds": 1000}, "", 1.0, 1.0),
        ({"durationMilliseconds": 1000, "durationFrom": {"expressionFrom": ".metadata.annotations.d"}}, "2m", 120.0, 120.0),
        ({"durationMilliseconds": 1000, "durationFrom": {"expressionFrom": ".metadata.annotations.d"}}, "odd", 1.0, 1.0),
        ({"durationMilliseconds": 1000, "durationFrom": {"expressionFrom": ".metadata.annotations.d"}}, "", 0.0, 0.0),
        ({"durationMilliseconds": 1000, "durationFrom": {"expressionFrom": ".metadata.annotations.none"}}, "", 1.0, 1.0),
        ({"durationFrom": {"expressionFrom": ".metadata.annotations.d"}}, "2030-01-01T00:00:30Z", 30.0, 30.0),
        ({"durationFrom": {"expressionFrom": ".metadata.annotations.d"}}, "2029-12-31T00:00:30Z", 0.0, 0.0),
        ({"durationMilliseconds": 1000, "jitterDurationFrom": {"expressionFrom": ".metadata.annotations.d"}}, "3s", 1.0, 3.0),
    ],
)
def test_delays(delay: Any, annotation: str, least: float, most: float) -> None:
    found = [
        lifecycle.delay_seconds(stage(delay=delay), pod({"d": annotation}), NOW, random.Random(seed)) for seed in range(50)
    ]
    assert least <= min(found) <= max(found) <= most
    assert (min(found) == max(found)) is (least == most)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("1h30m", 5400.0), ("-1.5s", -1.5), ("1.s", 1.0), (".5m", 30.0), ("3us2ns", 0.000003002), ("+2ms", 0.002)],
)
def test_durations_of_go(text: str, seconds: float) -> None:
    assert lifecycle.go_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "1x", "1h 2m", "--1s", "+", "1h30"])
def test_what_is_no_duration(text: str) -> None:
    assert lifecycle.go_duration(text) is None


NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(st.lists(NAMES, unique=True), st.lists(NAMES, unique=True), st.lists(NAMES, unique=True), st.booleans())
def test_finalizers(before: list[str], add: list[str], remove: list[str], empty: bool) -> None:
    after = lifecycle.changed_finalizers(before, ChangeFinalizers(tuple(add), tuple(remove), empty))
    kept = set() if empty else set(before) - set(remove)
    assert set(after) == kept | set(add) and len(after) == len(set(after))
    assert [each for each in after if each in kept] == [each for each in before if each in kept]


def test_what_a_stage_asks_for_comes_in_order() -> None:
    found = stage(
        next={
            "event": {"reason": "Gone", "message": "{{ .metadata.name }} is gone"},
            "finalizers": {"add": [{"value": "b"}]},
            "statusTemplate": "phase: {{ .metadata.labels.app }}",
            "patches": [
                {"root": "metadata", "template": "labels: {a: b}", "type": "merge"},
                {"root": "spec", "template": "- {op: add, path: /x, value: 1}", "type": "json"},
            ],
        }
    )
    assert list(lifecycle.doings(found, pod(), FUNCTIONS)) == [
        Event("Normal", "Gone", "web is gone"),
        Change({"metadata": {"finalizers": ["b"], "resourceVersion": "7"}}, "merge", ""),
        Change({"status": {"phase": "web"}}, "strategic", "status"),
        Change({"metadata": {"labels": {"a": "b"}}}, "merge", ""),
        Change([{"op": "add", "path": "/spec/x", "value": 1}], "json", ""),
    ]


def test_after_the_deletion_nothing_is_patched() -> None:
    found = stage(next={"delete": True, "statusTemplate": "phase: x"})
    assert list(lifecycle.doings(found, pod(), FUNCTIONS)) == [Removal()]


def test_other_kinds_are_merged() -> None:
    (change,) = lifecycle.doings(stage(kind="Deployment", next={"statusTemplate": "replicas: 1"}), pod(), FUNCTIONS)
    assert isinstance(change, Change) and change.type == "merge"


@pytest.mark.parametrize("template", ["a: [", '{{ fail "no" }}'])
def test_a_template_that_makes_nothing_says_so(template: str) -> None:
    with pytest.raises(TemplateError):
        list(lifecycle.doings(stage(next={"statusTemplate": template}), pod(), FUNCTIONS))
