"""What flowcontrol.apiserver.k8s.io takes and refuses, in Kubernetes' words, and how its objects are printed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.api.flowcontrol import builtin
from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.rules import made, merged, on_create, on_update

SCHEMAS = "flowschemas.flowcontrol.apiserver.k8s.io"
LEVELS = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALICE: Object = {"kind": "User", "user": {"name": "alice"}}
PATHS: Object = {"verbs": ["get"], "nonResourceURLs": ["/healthz"]}
RESOURCES: Object = {"verbs": ["*"], "apiGroups": ["apps"], "resources": ["deployments"], "namespaces": ["default"]}
VERBS = '"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"'


def rules(**rule: Any) -> Object:
    return {"spec": {"rules": [{"subjects": [ALICE], **rule}]}}


def paths(**change: Any) -> Object:
    return rules(nonResourceRules=[{**PATHS, **change}])


def resources(**change: Any) -> Object:
    return rules(resourceRules=[{**RESOURCES, **change}])


def subject(**fields: Any) -> Object:
    return {"spec": {"rules": [{"subjects": [fields], "nonResourceRules": [PATHS]}]}}


def level(**limited: Any) -> Object:
    return {"spec": {"limited": limited}}


def queuing(**fields: Any) -> Object:
    return level(limitResponse={"type": "Queue", "queuing": fields})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (SCHEMAS, {"spec": {"rules": None}}),
        (SCHEMAS, {"spec": {"distinguisherMethod": {"type": "ByUser"}, "matchingPrecedence": 10000}}),
        (SCHEMAS, resources()),
        (SCHEMAS, resources(namespaces=None, clusterScope=True)),
        (SCHEMAS, resources(apiGroups=["*"], resources=["*"], namespaces=["*"])),
        (SCHEMAS, paths(nonResourceURLs=["*"])),
        (SCHEMAS, paths(nonResourceURLs=["/", "/a/*"])),
        (SCHEMAS, subject(kind="ServiceAccount", serviceAccount={"name": "*", "namespace": "default"})),
        (LEVELS, level(nominalConcurrencyShares=0, lendablePercent=100, borrowingLimitPercent=500)),
        (LEVELS, queuing()),
        *((SCHEMAS, {"metadata": {"name": name}, "spec": {**spec, "x": None}}) for name, spec in builtin.SCHEMAS.items()),
    ],
)
def test_what_makes_sense_is_taken(name: str, change: Object) -> None:
    assert on_create(name, change) == []


@pytest.mark.parametrize("name", builtin.LEVELS)
def test_built_in_levels_keep_to_the_rules(name: str) -> None:
    spec = builtin.LEVELS[name]
    change = {"metadata": {"name": name}, "spec": {"limited": None, **spec}}
    assert on_create(LEVELS, change) == []
    assert made(LEVELS, change)["spec"] == spec, "nothing of it is left to defaults"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"spec": {"matchingPrecedence": -1}}, "spec.matchingPrecedence: Invalid value: -1: must be a positive value"),
        (
            {"spec": {"matchingPrecedence": 10001}},
            "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
        ),
        (
            {"spec": {"matchingPrecedence": 1}},
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        (
            {"spec": {"distinguisherMethod": {"type": "ByMood"}}},
            'spec.distinguisherMethod.type: Unsupported value: {"Type":"ByMood"}: supported values: "ByNamespace", "ByUser"',
        ),
        (
            {"spec": {"priorityLevelConfiguration": None}},
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
        ),
        (
            {"spec": {"rules": [{"nonResourceRules": [PATHS]}]}},
            "spec.rules[0].subjects: Required value: subjects must contain at least one value",
        ),
        (
            rules(),
            "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
        ),
        (
            subject(kind="Robot"),
            'spec.rules[0].subjects[0].kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User"',
        ),
        (
            subject(kind="User"),
            "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
        ),
        (
            subject(kind="Group", group={}, user={"name": "a"}),
            "spec.rules[0].subjects[0].group.name: Required value|"
            "spec.rules[0].subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'",
        ),
        (
            subject(kind="User", user={"name": "a"}, serviceAccount={"name": "a", "namespace": "b"}),
            "spec.rules[0].subjects[0].serviceAccount: Forbidden: serviceAccount is forbidden when subject kind is not "
            "'ServiceAccount'",
        ),
        (
            subject(kind="ServiceAccount", serviceAccount={"name": "a"}),
            "spec.rules[0].subjects[0].serviceAccount.namespace: Required value: must specify namespace for service account",
        ),
        (
            subject(kind="ServiceAccount", serviceAccount={"name": "a", "namespace": "a.b"}),
            'spec.rules[0].subjects[0].serviceAccount.namespace: Invalid value: "a.b": must not contain dots',
        ),
        (
            paths(verbs=[]),
            "spec.rules[0].nonResourceRules[0].verbs: Required value: verbs must contain at least one value",
        ),
        (
            paths(verbs=["*", "get"]),
            'spec.rules[0].nonResourceRules[0].verbs: Invalid value: ["*","get"]: if \'*\' is present, must not specify other '
            "verbs",
        ),
        (
            paths(verbs=["fly"]),
            f'spec.rules[0].nonResourceRules[0].verbs: Unsupported value: ["fly"]: supported values: {VERBS}',
        ),
        (
            paths(nonResourceURLs=[]),
            "spec.rules[0].nonResourceRules[0].nonResourceURLs: Required value: nonResourceURLs must contain at least one "
            "value",
        ),
        (
            paths(nonResourceURLs=["*", "/"]),
            'spec.rules[0].nonResourceRules[0].nonResourceURLs: Invalid value: ["*","/"]: if \'*\' is present, must not '
            "specify other non-resource URLs",
        ),
        (
            resources(apiGroups=[]),
            "spec.rules[0].resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group",
        ),
        (
            resources(resources=["*", "a"]),
            'spec.rules[0].resourceRules[0].resources: Invalid value: ["*","a"]: if \'*\' is present, must not specify other '
            "resources",
        ),
        (
            resources(namespaces=[]),
            "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply "
            "at least one namespace",
        ),
        (
            resources(namespaces=["a.b"]),
            "spec.rules[0].resourceRules[0].namespaces[0]: Invalid value: \"a.b\": each member of this list must be '*' or a "
            "DNS-1123 label; must not contain dots",
        ),
    ],
)
def test_schemas_that_make_no_sense_are_refused(change: Object, expected: str) -> None:
    assert on_create(SCHEMAS, change) == expected.split("|")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "must not be empty"),
        ("a", "must start with slash"),
        ("/a b", "must not contain white-space"),
        ("//a", "must not contain double slash"),
        ("/a*", "wildcard can only do suffix matching"),
        ("/*/*", "wildcard can only do suffix matching"),
    ],
)
def test_paths_have_a_form(url: str, expected: str) -> None:
    where = "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]"
    assert on_create(SCHEMAS, paths(nonResourceURLs=[url])) == [f'{where}: Invalid value: "{url}": {expected}']


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"spec": {"type": "Exempt", "limited": None}},
            "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'",
        ),
        ({"spec": {"type": "Some"}}, 'spec.type: Unsupported value: "Some": supported values: "Exempt", "Limited"'),
        ({"spec": {"limited": None}}, "spec.limited: Required value: must not be empty when type is Limited"),
        ({"spec": {"exempt": {}}}, "spec.exempt: Forbidden: must be nil if the type is not Exempt"),
        (
            level(nominalConcurrencyShares=-1),
            "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
        ),
        (
            level(lendablePercent=101),
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
        ),
        (
            level(borrowingLimitPercent=-1),
            "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
        ),
        (
            level(limitResponse={"type": "Shrug"}),
            'spec.limited.limitResponse.type: Unsupported value: "Shrug": supported values: "Queue", "Reject"',
        ),
        (
            level(limitResponse={"type": "Queue"}),
            "spec.limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type is Limited",
        ),
        (
            level(limitResponse={"type": "Reject", "queuing": {}}),
            "spec.limited.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited",
        ),
        (
            queuing(queueLengthLimit=-1),
            "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive",
        ),
        (
            queuing(queues=-1, handSize=-1),
            "spec.limited.limitResponse.queuing.queues: Invalid value: -1: must be positive|"
            "spec.limited.limitResponse.queuing.handSize: Invalid value: -1: must be positive",
        ),
        (
            queuing(queues=10_000_001, handSize=1),
            "spec.limited.limitResponse.queuing.queues: Invalid value: 10000001: must not be greater than 10000000",
        ),
        (
            queuing(queues=4),
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)",
        ),
        (
            queuing(queues=128, handSize=9),
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 9: required entropy bits of deckSize 128 and handSize "
            "9 should not be greater than 60",
        ),
    ],
)
def test_levels_that_make_no_sense_are_refused(change: Object, expected: str) -> None:
    assert on_create(LEVELS, change) == expected.split("|")


def test_the_mandatory_ones_are_fixed_but_for_the_shares_of_the_exempt() -> None:
    exempt = {"metadata": {"name": "exempt"}, "spec": {"limited": None, **builtin.LEVELS["exempt"]}}
    assert on_update(LEVELS, {"spec": {"exempt": {"nominalConcurrencyShares": 5}}}, exempt) == []
    (problem, *_) = on_update(LEVELS, {"spec": {"limited": {"limitResponse": {"type": "Reject"}}}}, exempt)[-1:]
    assert problem.endswith("spec of 'exempt' except the 'spec.exempt' field must equal the fixed value")
    rest = {"metadata": {"name": "catch-all"}, "spec": builtin.LEVELS["catch-all"]}
    (problem,) = on_update(LEVELS, {"spec": {"limited": {"lendablePercent": 5}}}, rest)
    assert problem == (
        'spec: Invalid value: {"Type":"Limited","Limited":{"NominalConcurrencyShares":5,"LimitResponse":{"Type":"Reject",'
        '"Queuing":null},"LendablePercent":5,"BorrowingLimitPercent":null},"Exempt":null}: '
        "spec of 'catch-all' must equal the fixed value"
    )
    rest = {"metadata": {"name": "catch-all"}, "spec": builtin.SCHEMAS["catch-all"]}
    (problem,) = on_update(SCHEMAS, {"spec": {"matchingPrecedence": 5}}, rest)
    assert problem.startswith('spec: Invalid value: {"PriorityLevelConfiguration":{"Name":"catch-all"},"MatchingPrecedence":5,')
    assert problem.endswith("spec of 'catch-all' must equal the fixed value")


@pytest.mark.parametrize("name", [SCHEMAS, LEVELS])
def test_conditions_have_a_type_of_their_own(name: str) -> None:
    conditions = [{"type": "A"}, {"type": "A"}, {}]
    assert on_update(name, {"status": {"conditions": conditions}}, subresource="status") == [
        'status.conditions[1].type: Duplicate value: "A"',
        "status.conditions[2].type: Required value: must not be empty",
    ]


def test_defaults() -> None:
    assert made(SCHEMAS)["spec"]["matchingPrecedence"] == 1000
    assert made(LEVELS, queuing(queues=0))["spec"]["limited"] == {
        "nominalConcurrencyShares": 30,
        "lendablePercent": 0,
        "limitResponse": {"type": "Queue", "queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50}},
    }


def test_rows() -> None:
    def shown(name: str, change: Object) -> list[Any]:
        kind = resource(name)
        assert kind.row is not None
        return kind.row(merged(made(name), change), NOW)

    dangling = {"status": {"conditions": [{"type": "Dangling", "status": "True"}]}}
    by_user = {"spec": {"distinguisherMethod": {"type": "ByUser"}}}
    assert shown(SCHEMAS, {}) == ["sample", "global-default", 1000, "<none>", "<unknown>", "?"]
    assert shown(SCHEMAS, dangling | by_user) == ["sample", "global-default", 1000, "ByUser", "<unknown>", "True"]
    assert shown(LEVELS, {}) == ["sample", "Limited", 30, "<none>", "<none>", "<none>", "<unknown>"]
    assert shown(LEVELS, {"spec": builtin.LEVELS["system"]}) == ["sample", "Limited", 30, 64, 6, 50, "<unknown>"]
    exempt = {"spec": {"limited": None, **builtin.LEVELS["exempt"]}}
    assert shown(LEVELS, exempt) == ["sample", "Exempt", "<none>", "<none>", "<none>", "<none>", "<unknown>"]
