"""What must be kept to by what says where a pod may run."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from tests.api.core.podchanges import LABEL, NAME, spec
from tests.api.rules import made, on_create

VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
REQUIRED_TERMS = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED_TERMS = "preferredDuringSchedulingIgnoredDuringExecution"


def affinity(kind: str, term: Object, *, weight: int | None = None) -> Object:
    if kind == "nodeAffinity":
        if weight is None:
            return spec(affinity={kind: {REQUIRED_TERMS: {"nodeSelectorTerms": [term]}}})
        return spec(affinity={kind: {PREFERRED_TERMS: [{"weight": weight, "preference": term}]}})
    if weight is None:
        return spec(affinity={kind: {REQUIRED_TERMS: [term]}})
    return spec(affinity={kind: {PREFERRED_TERMS: [{"weight": weight, "podAffinityTerm": term}]}})


def spread(**fields: Any) -> Object:
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    return spec(topologySpreadConstraints=[{**constraint, **fields}])


SCHEDULING: list[tuple[Object, list[str]]] = [
    (spec(nodeSelector={"a b": "c"}), [f'spec.nodeSelector: Invalid value: "a b": {NAME}']),
    (
        spec(affinity={"nodeAffinity": {REQUIRED_TERMS: {}}}),
        [
            f"spec.affinity.nodeAffinity.{REQUIRED_TERMS}.nodeSelectorTerms: Required value: must have at least one node "
            "selector term"
        ],
    ),
    (
        affinity("nodeAffinity", {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1", "2"]}]}),
        [
            f"spec.affinity.nodeAffinity.{REQUIRED_TERMS}.nodeSelectorTerms[0].matchExpressions[0].values: Required value: "
            "must be specified single value when `operator` is 'Lt' or 'Gt'"
        ],
    ),
    (
        affinity("nodeAffinity", {}, weight=0),
        [f"spec.affinity.nodeAffinity.{PREFERRED_TERMS}[0].weight: Invalid value: 0: must be in the range 1-100"],
    ),
    (
        affinity("podAffinity", {"labelSelector": {}}),
        [
            f"spec.affinity.podAffinity.{REQUIRED_TERMS}[0].topologyKey: Required value: can not be empty",
            f'spec.affinity.podAffinity.{REQUIRED_TERMS}[0].topologyKey: Invalid value: "": name part must be non-empty',
            f'spec.affinity.podAffinity.{REQUIRED_TERMS}[0].topologyKey: Invalid value: "": {NAME}',
        ],
    ),
    (
        affinity("podAntiAffinity", {"topologyKey": "zone", "namespaces": ["A"]}, weight=1),
        [f'spec.affinity.podAntiAffinity.{PREFERRED_TERMS}[0].podAffinityTerm.namespace: Invalid value: "A": {LABEL}'],
    ),
    (
        affinity("podAffinity", {"topologyKey": "zone", "matchLabelKeys": ["a"]}),
        [
            f"spec.affinity.podAffinity.{REQUIRED_TERMS}[0].matchLabelKeys: Forbidden: must not be specified when "
            "labelSelector is not set"
        ],
    ),
    (
        affinity(
            "podAffinity", {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"]}
        ),
        [
            f'spec.affinity.podAffinity.{REQUIRED_TERMS}[0].matchLabelKeys[0]: Invalid value: "a": exists in both '
            "matchLabelKeys and mismatchLabelKeys"
        ],
    ),
    (
        {
            "metadata": {"labels": {"a": "1"}},
            **affinity(
                "podAffinity", {"topologyKey": "z", "labelSelector": {"matchLabels": {"a": "1"}}, "matchLabelKeys": ["a"]}
            ),
        },
        [
            f'spec.affinity.podAffinity.{REQUIRED_TERMS}[0][0]: Invalid value: "a": exists in both matchLabelKeys and '
            "labelSelector"
        ],
    ),
    (spread(maxSkew=0), ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"]),
    (spread(topologyKey=""), ["spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty"]),
    (
        spread(whenUnsatisfiable=""),
        [
            'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "": supported values: "DoNotSchedule", '
            '"ScheduleAnyway"'
        ],
    ),
    (
        spread(whenUnsatisfiable="ScheduleAnyway", minDomains=1),
        [
            "spec.topologySpreadConstraints[0].minDomains: Invalid value: 1: can only use minDomains if "
            "whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"
        ],
    ),
    (spread(minDomains=0), ["spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero"]),
    (
        spread(nodeTaintsPolicy="x"),
        ['spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: "x": supported values: "Honor", "Ignore"'],
    ),
    (
        spec(topologySpreadConstraints=spread()["spec"]["topologySpreadConstraints"] * 2),
        ['spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{zone, DoNotSchedule}"'],
    ),
    (
        spec(tolerations=[{}]),
        [
            'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match '
            'all values and all keys"'
        ],
    ),
    (
        spec(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
        ["spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'"],
    ),
    (
        spec(tolerations=[{"key": "a", "value": "b c"}]),
        [f'spec.tolerations[0].operator: Invalid value: "b c": {VALUE}'],
    ),
    (
        spec(tolerations=[{"key": "a", "operator": "Lt", "value": "1"}]),
        ['spec.tolerations[0].operator: Unsupported value: "Lt": supported values: "Equal", "Exists", "Lt", "Gt"'],
    ),
    (
        spec(tolerations=[{"key": "a", "operator": "x"}]),
        ['spec.tolerations[0].operator: Unsupported value: "x": supported values: "Equal", "Exists"'],
    ),
    (
        spec(tolerations=[{"key": "a", "effect": "x"}]),
        ['spec.tolerations[0].effect: Unsupported value: "x": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'],
    ),
    (
        spec(tolerations=[{"key": "a", "tolerationSeconds": 1}]),
        ["spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set"],
    ),
    (
        spec(schedulingGates=[{"name": "a b"}, {"name": "a b"}]),
        [
            f'spec.schedulingGates[0]: Invalid value: "a b": {NAME}',
            f'spec.schedulingGates[1]: Invalid value: "a b": {NAME}',
            'spec.schedulingGates[1]: Duplicate value: "a b"',
        ],
    ),
    (
        spec(schedulingGates=[{"name": "a"}], nodeName="n"),
        ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
    ),
    (
        spec(readinessGates=[{"conditionType": "a b"}]),
        [f'spec.readinessGates[0].conditionType: Invalid value: "a b": {NAME}'],
    ),
    (
        spec(preemptionPolicy="x"),
        ['spec.preemptionPolicy: Unsupported value: "x": supported values: "PreemptLowerPriority", "Never"'],
    ),
]


@pytest.mark.parametrize(("change", "expected"), SCHEDULING)
def test_each_rule_of_scheduling_says_what_upstream_says(change: Object, expected: list[str]) -> None:
    assert on_create("pods", change) == expected


def test_labels_of_the_pod_are_merged_into_its_selectors() -> None:
    term = {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["a", "none"], "mismatchLabelKeys": ["b"]}
    pod = made("pods", {"metadata": {"labels": {"a": "1", "b": "2"}}, **affinity("podAntiAffinity", term, weight=1)})
    merged = pod["spec"]["affinity"]["podAntiAffinity"][PREFERRED_TERMS][0]["podAffinityTerm"]["labelSelector"]
    assert merged["matchExpressions"] == [
        {"key": "a", "operator": "In", "values": ["1"]},
        {"key": "b", "operator": "NotIn", "values": ["2"]},
    ]
