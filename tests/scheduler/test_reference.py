"""The columns decide as a scheduler does that looks at one node at a time, through any history of changes.

One set of vectors is asked after every change, so it is held against the reference also where it has only followed the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from navarch.apimachinery.errors import Object
from navarch.scheduler import vectors
from navarch.scheduler.cycle import schedule
from navarch.scheduler.framework import Reuse
from navarch.scheduler.plugins.nodeunschedulable import NodeUnschedulable
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.runtime import Framework
from navarch.scheduler.snapshot import Snapshot
from navarch.scheduler.vectors import Templates
from tests.scheduler import reference
from tests.scheduler.reference import HOST, ZONE, World
from tests.scheduler.world import framework, node, pod, service

KEYS, VALUES = ("disk", "tier"), ("1", "2", "x")
EFFECTS = ("NoSchedule", "NoExecute", "PreferNoSchedule")
NAMES = ("a", "b", "c", "d", "e")
SPACES = ("default", "other")
COLORS = ("red", "blue")
MEGABYTE = 1024 * 1024
numbers = count()

taints = st.lists(
    st.fixed_dictionaries({"key": st.sampled_from(KEYS), "value": st.sampled_from(VALUES), "effect": st.sampled_from(EFFECTS)}),
    max_size=2,
)
tolerations = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"key": st.sampled_from(KEYS), "value": st.sampled_from(VALUES)}, optional={"effect": st.sampled_from(EFFECTS)}
        ),
        st.fixed_dictionaries({"operator": st.just("Exists")}, optional={"key": st.sampled_from(KEYS)}),
    ),
    max_size=2,
)
expressions = st.one_of(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(KEYS),
            "operator": st.sampled_from(("In", "NotIn")),
            "values": st.lists(st.sampled_from(VALUES), min_size=1, max_size=2),
        }
    ),
    st.fixed_dictionaries({"key": st.sampled_from(KEYS), "operator": st.sampled_from(("Exists", "DoesNotExist"))}),
    st.fixed_dictionaries(
        {"key": st.sampled_from(KEYS), "operator": st.sampled_from(("Gt", "Lt")), "values": st.sampled_from((["1"], ["2"]))}
    ),
)
node_terms = st.fixed_dictionaries({"matchExpressions": st.lists(expressions, min_size=1, max_size=2)})
node_affinities = st.fixed_dictionaries(
    {},
    optional={
        "requiredDuringSchedulingIgnoredDuringExecution": st.fixed_dictionaries(
            {"nodeSelectorTerms": st.lists(node_terms, min_size=1, max_size=2)}
        ),
        "preferredDuringSchedulingIgnoredDuringExecution": st.lists(
            st.fixed_dictionaries({"weight": st.integers(1, 100), "preference": node_terms | st.just({})}),
            min_size=1,
            max_size=2,
        ),
    },
)
selectors = st.sampled_from(COLORS).map(lambda color: {"matchLabels": {"color": color}})
pod_terms = st.fixed_dictionaries(
    {"labelSelector": selectors, "topologyKey": st.sampled_from((HOST, ZONE))},
    optional={
        "namespaces": st.lists(st.sampled_from(SPACES), min_size=1, max_size=2, unique=True),
        "namespaceSelector": st.sampled_from(({}, {"matchLabels": {"team": "x"}})),
    },
)
pod_affinities = st.fixed_dictionaries(
    {},
    optional={
        "requiredDuringSchedulingIgnoredDuringExecution": st.lists(pod_terms, min_size=1, max_size=2),
        "preferredDuringSchedulingIgnoredDuringExecution": st.lists(
            st.fixed_dictionaries({"weight": st.integers(1, 100), "podAffinityTerm": pod_terms}), min_size=1, max_size=2
        ),
    },
)
affinities = st.fixed_dictionaries(
    {}, optional={"nodeAffinity": node_affinities, "podAffinity": pod_affinities, "podAntiAffinity": pod_affinities}
)


@st.composite
def spreads(draw: Any) -> list[Object]:
    found = []
    for key in draw(st.lists(st.sampled_from((HOST, ZONE)), min_size=1, max_size=2, unique=True)):
        when = draw(st.sampled_from(("DoNotSchedule", "ScheduleAnyway")))
        constraint: Object = {"topologyKey": key, "whenUnsatisfiable": when, "maxSkew": draw(st.integers(1, 3))}
        constraint["labelSelector"] = draw(selectors) if draw(st.integers(0, 4)) else {}
        if when == "DoNotSchedule" and draw(st.booleans()):
            constraint["minDomains"] = draw(st.integers(1, 3))
        constraint["nodeAffinityPolicy"] = draw(st.sampled_from(("Honor", "Ignore")))
        constraint["nodeTaintsPolicy"] = draw(st.sampled_from(("Honor", "Ignore")))
        found.append(constraint)
    return found


@st.composite
def pods(draw: Any, small: bool = False) -> Object:
    """`small`: many have room on a node, so that it is other rules which decide."""
    spec: Object = {}
    for field, values in (("tolerations", tolerations), ("affinity", affinities), ("topologySpreadConstraints", spreads())):
        if draw(st.integers(0, 1 if small else 2)) == 0:
            spec[field] = draw(values)
    if draw(st.integers(0, 4)) == 0:
        spec["nodeSelector"] = {draw(st.sampled_from(KEYS)): draw(st.sampled_from(VALUES))}
    found = pod(
        cpu=draw(st.sampled_from(("", "100m", "333m") if small else ("", "100m", "333m", "1", "1500m"))),
        memory=draw(st.sampled_from(("", "100Mi") if small else ("", "1Gi", "1500M", "2Gi"))),
        labels={"color": draw(st.sampled_from(COLORS))} if draw(st.integers(0, 3)) else {},
        namespace=draw(st.sampled_from(SPACES)),
        **spec,
    )
    (container,) = found["spec"]["containers"]
    if draw(st.integers(0, 5)) == 0:
        container["ports"] = [{"hostPort": 80, "hostIP": draw(st.sampled_from(("", "10.0.0.1")))}]
    if draw(st.integers(0, 5)) == 0:
        container["resources"]["requests"]["example.com/gpu"] = draw(st.sampled_from(("0", "1", "2")))
    return found


@st.composite
def nodes(draw: Any, name: str) -> Object:
    found = dict(draw(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))))
    if draw(st.integers(0, 4)):
        found[ZONE] = draw(st.sampled_from(("z1", "z2")))
    more: Object = {"taints": draw(taints)} if draw(st.booleans()) else {}
    if draw(st.integers(0, 6)) == 0:
        more["unschedulable"] = True
    if draw(st.integers(0, 2)) == 0:
        more["images"] = [{"names": ["i:latest"], "sizeBytes": draw(st.integers(1, 1200)) * MEGABYTE}]
    if draw(st.integers(0, 2)) == 0:
        more["extended"] = {"example.com/gpu": "2"}
    size = {"cpu": draw(st.sampled_from(("1", "2", "3"))), "memory": draw(st.sampled_from(("2Gi", "4Gi", "5G")))}
    item = node(name, labels=found, pods=draw(st.sampled_from(("2", "10"))), **size, **more)
    if draw(st.integers(0, 6)) == 0:
        del item["metadata"]["labels"][HOST]
    return item


@st.composite
def roomy_nodes(draw: Any, name: str) -> Object:
    found = {ZONE: draw(st.sampled_from(("z1", "z2", "z3")))} if draw(st.integers(0, 6)) else {}
    found |= draw(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)))
    more: Object = {"taints": draw(taints)} if draw(st.integers(0, 3)) == 0 else {}
    return node(name, labels=found, cpu=draw(st.sampled_from(("1", "4"))), pods=draw(st.sampled_from(("4", "20"))), **more)


class Twins:
    """A cluster both ways: as plain objects, and as columns with vectors that are never thrown away."""

    def __init__(self) -> None:
        self.world = World(services=[service({"color": "red"})], namespaces={"default": {"team": "x"}, "other": {"team": "y"}})
        self.snapshot = Snapshot()
        for name, found in self.world.namespaces.items():
            self.snapshot.set_namespace(name, found)
        self.plugins: Framework = framework(self.snapshot, None, *self.world.services)
        self.templates = Templates(self.snapshot)

    def change(self, draw: Any, templates: Sequence[Object], kinds: Sequence[str]) -> None:
        name = draw(st.sampled_from(NAMES))
        match draw(st.sampled_from(kinds)):
            case "node":
                self.world.nodes[name] = draw(nodes(name))
                self.snapshot.set_node(self.world.nodes[name])
            case "resize" if name in self.world.nodes:
                before = self.world.nodes[name]
                status = {**before["status"], "allocatable": {**before["status"]["allocatable"], "cpu": "2500m"}}
                self.world.nodes[name] = {**before, "status": status}
                self.snapshot.set_node(self.world.nodes[name])
            case "remove":
                self.world.nodes.pop(name, None)
                self.snapshot.remove_node(name)
            case "pod":
                item = another(draw(st.sampled_from(templates)))
                self.world.pods.setdefault(name, []).append(item)
                self.snapshot.add_pod(PodInfo(item), name)
            case "unplace" if self.world.on(name):
                self.snapshot.remove_pod(self.world.pods[name].pop()["metadata"]["uid"])

    def compare(self, item: Object) -> None:
        """Feasible nodes, reasons, and the scores of every plugin."""
        expected = {n for n, candidate in self.world.nodes.items() if not reference.rejections(self.world, item, candidate)}
        info = PodInfo(item)
        kept = self.templates.of(self.plugins, info)
        found = {n for n, row in self.snapshot.rows.items() if kept.feasible.hits[row]}
        assert found == expected
        if not expected:
            assert kept.fit().message == reference.message(self.world, item)
            return
        chosen = sorted(expected)
        table = reference.scores(self.world, item, [self.world.nodes[n] for n in chosen])
        kept.scores.best(info)
        rows = [self.snapshot.rows[n] for n in chosen]
        for score in kept.scores.parts:
            name = score.plugin.name
            said = [0] * len(rows) if score.is_silent else score.final[rows].tolist()
            if name == "DynamicResources":
                assert score.is_silent  # These pods have no claims.
                continue
            assert (name, said) == (name, [value * reference.WEIGHTS[name] for value in table[name]])
        totals = [sum(table[name][i] * weight for name, weight in reference.WEIGHTS.items()) for i in range(len(rows))]
        assert kept.scores.totals()[rows].tolist() == totals
        assert sorted(kept.scores.best(info)) == sorted(
            row for row, total in zip(rows, totals, strict=True) if total == max(totals)
        )


def another(item: Object) -> Object:
    """One more pod of the same template."""
    name = f"pod-{next(numbers)}"
    return {**item, "metadata": {**item["metadata"], "name": name, "uid": name}}


def _spread(key: str, when: str, skew: int = 1) -> Object:
    constraint = {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": when}
    return {"topologySpreadConstraints": [{**constraint, "labelSelector": {"matchLabels": {"color": "red"}}}]}


def _near(kind: str, key: str, *, weight: int = 0) -> Object:
    term = {"labelSelector": {"matchLabels": {"color": "red"}}, "topologyKey": key}
    if not weight:
        return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    wish = {"weight": weight, "podAffinityTerm": term}
    return {"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}}


RELATED: Sequence[Object] = (
    {},
    _spread(ZONE, "DoNotSchedule"),
    _spread(ZONE, "DoNotSchedule", 2),
    _spread(HOST, "DoNotSchedule"),
    _spread(ZONE, "ScheduleAnyway"),
    _spread(HOST, "ScheduleAnyway"),
    _near("podAffinity", ZONE),
    _near("podAffinity", HOST),
    _near("podAntiAffinity", ZONE),
    _near("podAntiAffinity", HOST),
    _near("podAffinity", ZONE, weight=3),
    _near("podAntiAffinity", ZONE, weight=5),
    _near("podAntiAffinity", HOST, weight=7),
)
"""Pods that care where others of their colour are."""
ANYTHING = ("node", "remove", "resize", "pod", "pod", "pod", "unplace")
PODS_ONLY = ("pod", "pod", "pod", "unplace", "unplace", "resize")
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_columns_equal_the_reference(data: st.DataObject) -> None:
    twins = Twins()
    templates = [data.draw(pods()) for _ in range(3)]
    for _ in range(data.draw(st.integers(4, 12))):
        twins.change(data.draw, templates, ANYTHING)
        twins.compare(data.draw(st.sampled_from(templates)))


@pytest.mark.parametrize("single_rows", [0, vectors.SINGLE_ROWS], ids=["as columns", "one by one"])
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_vectors_that_only_follow_pods_equal_the_reference(single_rows: int, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "SINGLE_ROWS", single_rows)
        _follow_pods(data)


def _follow_pods(data: st.DataObject) -> None:
    twins = Twins()
    for name in NAMES:
        twins.world.nodes[name] = data.draw(roomy_nodes(name))
        twins.snapshot.set_node(twins.world.nodes[name])
    related = [
        pod(cpu="100m", labels={"color": data.draw(st.sampled_from(("red", "red", "blue")))}, **spec)
        for spec in data.draw(st.lists(st.sampled_from(RELATED), min_size=2, max_size=3, unique_by=id))
    ]
    templates = [*related, data.draw(pods(small=True))]
    for item in templates:
        twins.compare(item)
    layout = twins.snapshot.layout
    for _ in range(data.draw(st.integers(4, 16))):
        twins.change(data.draw, templates, PODS_ONLY)
        for item in templates:
            twins.compare(item)
    assert twins.snapshot.layout == layout


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_of_nodes_that_one_plugin_leaves_to_each_pod_the_best_is_taken(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NodeUnschedulable, "reuse", lambda plugin, pod: Reuse.NEVER)
        twins = Twins()
        for name in NAMES:
            item = data.draw(roomy_nodes(name))
            twins.world.nodes[name] = {**item, "spec": {**item["spec"], "unschedulable": data.draw(st.booleans())}}
            twins.snapshot.set_node(twins.world.nodes[name])
        templates = [data.draw(pods(small=True)) for _ in range(2)]
        for _ in range(data.draw(st.integers(2, 8))):
            twins.change(data.draw, templates, PODS_ONLY)
            item = data.draw(st.sampled_from(templates))
            decision = schedule(twins.plugins, twins.templates, PodInfo(item), Random(data.draw(st.integers(0, 9))))
            possible = [n for n, there in twins.world.nodes.items() if not reference.rejections(twins.world, item, there)]
            if not possible:
                assert (decision.node, decision.fit.message) == ("", reference.message(twins.world, item))
                continue
            table = reference.scores(twins.world, item, [twins.world.nodes[n] for n in possible])
            totals = [sum(table[name][i] * weight for name, weight in reference.WEIGHTS.items()) for i in range(len(possible))]
            assert decision.node in [n for n, total in zip(possible, totals, strict=True) if total == max(totals)]


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_columns_that_followed_changes_equal_those_built_from_what_is_there(data: st.DataObject) -> None:
    twins = Twins()
    templates = [data.draw(pods()) for _ in range(3)]
    for _ in range(data.draw(st.integers(1, 16))):
        twins.change(data.draw, templates, ANYTHING)
    fresh = Snapshot()
    for item in twins.world.nodes.values():
        fresh.set_node(item)
    for name, there in twins.world.pods.items():
        for item in there:
            fresh.add_pod(PodInfo(item), name)
    for name, row in fresh.rows.items():
        other = twins.snapshot.rows[name]
        for resource, column in fresh.resources.items():
            known = twins.snapshot.resources[resource]
            assert fresh.allocatable[row, column] == twins.snapshot.allocatable[other, known]
            assert fresh.requested[row, column] == twins.snapshot.requested[other, known]
        assert (fresh.non_zero[row] == twins.snapshot.non_zero[other]).all()
        assert fresh.lowest_priority[row] == twins.snapshot.lowest_priority[other]
        assert fresh.pods[row].keys() == twins.snapshot.pods[other].keys()
        assert fresh.taint_sets[fresh.taint_codes[row]] == twins.snapshot.taint_sets[twins.snapshot.taint_codes[other]]
    by_class = {
        group: {fresh.names[row]: count for row, count in found.counts.items()} for group, found in fresh._classes.items()
    }
    assert by_class == {
        group: {twins.snapshot.names[row]: count for row, count in found.counts.items()}
        for group, found in twins.snapshot._classes.items()
    }
    assert np.array_equal(sorted(fresh.rows), sorted(twins.snapshot.rows))
