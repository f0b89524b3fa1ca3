"""What rbac.authorization.k8s.io takes and refuses, in Kubernetes' words, and how its objects are printed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.rules import made, on_create, on_update

GROUP = "rbac.authorization.k8s.io"
ROLES, CLUSTER_ROLES = f"roles.{GROUP}", f"clusterroles.{GROUP}"
BINDINGS, CLUSTER_BINDINGS = f"rolebindings.{GROUP}", f"clusterrolebindings.{GROUP}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVERYTHING: Object = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (ROLES, {"rules": None}),
        (ROLES, {"rules": [EVERYTHING, {**EVERYTHING, "resourceNames": ["a"]}]}),
        (ROLES, {"metadata": {"name": "system:Anything Goes"}}),
        (CLUSTER_ROLES, {"rules": [EVERYTHING]}),
        (CLUSTER_ROLES, {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}, {}]}}),
        (BINDINGS, {"subjects": None}),
        (BINDINGS, {"roleRef": {"kind": "ClusterRole", "name": "system:a"}}),
        (BINDINGS, {"subjects": [{"kind": "ServiceAccount", "name": "a"}]}),
        (CLUSTER_BINDINGS, {"subjects": [{"kind": "Group", "name": "system:masters"}]}),
    ],
)
def test_what_makes_sense_is_taken(name: str, change: Object) -> None:
    assert on_create(name, change) == []
    assert on_update(name, {"metadata": {"labels": {"a": "b"}}}, change) == []


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (ROLES, {"metadata": {"name": "a/b"}}, "metadata.name: Invalid value: \"a/b\": may not contain '/'"),
        (ROLES, {"metadata": {"name": ".."}}, "metadata.name: Invalid value: \"..\": may not be '..'"),
        (
            ROLES,
            {"rules": [{**EVERYTHING, "verbs": []}]},
            "rules[0].verbs: Required value: verbs must contain at least one value",
        ),
        (
            ROLES,
            {"rules": [{"verbs": ["get"]}]},
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group|"
            "rules[0].resources: Required value: resource rules must supply at least one resource",
        ),
        (
            ROLES,
            {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/a"]}]},
            'rules[0].nonResourceURLs: Invalid value: ["/a"]: namespaced rules cannot apply to non-resource URLs',
        ),
        (
            CLUSTER_ROLES,
            {"rules": [{**EVERYTHING, "nonResourceURLs": ["/a"]}]},
            'rules[0].nonResourceURLs: Invalid value: ["/a"]: rules cannot apply to both regular resources and non-resource '
            "URLs",
        ),
        (
            CLUSTER_ROLES,
            {"aggregationRule": {}},
            "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if "
            "aggregationRule is non-nil",
        ),
        (
            CLUSTER_ROLES,
            {"aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}]}},
            'aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator: Invalid value: "Near": not a valid selector '
            "operator",
        ),
        (
            BINDINGS,
            {"roleRef": {"kind": "Cluster", "name": "", "apiGroup": "a"}},
            'roleRef.apiGroup: Unsupported value: "a": supported values: "rbac.authorization.k8s.io"|'
            'roleRef.kind: Unsupported value: "Cluster": supported values: "Role", "ClusterRole"|roleRef.name: Required value',
        ),
        (BINDINGS, {"roleRef": {"name": "a%"}}, "roleRef.name: Invalid value: \"a%\": may not contain '%'"),
        (
            CLUSTER_BINDINGS,
            {"roleRef": {"kind": "Role"}},
            'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
        ),
        (
            BINDINGS,
            {"subjects": [{"kind": "User", "name": ""}, {"kind": "Group", "name": ""}, {"kind": "ServiceAccount", "name": ""}]},
            'subjects[0].name: Required value|subjects[0].name: Invalid value: "": user name cannot be empty|'
            'subjects[1].name: Required value|subjects[1].name: Invalid value: "": group name cannot be empty|'
            "subjects[2].name: Required value",
        ),
        (
            BINDINGS,
            {"subjects": [{"kind": "Robot", "name": "a"}]},
            'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
        ),
        (
            BINDINGS,
            {"subjects": [{"kind": "User", "name": "a", "apiGroup": "b"}]},
            'subjects[0].apiGroup: Unsupported value: "b": supported values: "rbac.authorization.k8s.io"',
        ),
        (
            BINDINGS,
            {"subjects": [{"kind": "ServiceAccount", "name": "a", "apiGroup": "b"}]},
            'subjects[0].apiGroup: Unsupported value: "b": supported values: ""',
        ),
        (CLUSTER_BINDINGS, {"subjects": [{"kind": "ServiceAccount", "name": "a"}]}, "subjects[0].namespace: Required value"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, change: Object, expected: str) -> None:
    assert on_create(name, change) == expected.split("|")


@pytest.mark.parametrize("name", [BINDINGS, CLUSTER_BINDINGS])
def test_a_binding_stays_with_its_role(name: str) -> None:
    kind = made(name)["roleRef"]["kind"]
    assert on_update(name, {"roleRef": {"name": "other"}}) == [
        f'roleRef: Invalid value: {{"APIGroup":"{GROUP}","Kind":"{kind}","Name":"other"}}: cannot change roleRef'
    ]
    assert on_update(name, {"subjects": None}) == []


def test_groups_are_filled_in() -> None:
    binding = made(BINDINGS, {"subjects": [{"kind": kind, "name": "a"} for kind in ("User", "Group", "ServiceAccount")]})
    assert binding["roleRef"]["apiGroup"] == GROUP
    assert [subject.get("apiGroup") for subject in binding["subjects"]] == [GROUP, GROUP, None]


def test_rows() -> None:
    subjects = [
        {"kind": "User", "name": "alice"},
        {"kind": "User", "name": "bob"},
        {"kind": "Group", "name": "people"},
        {"kind": "ServiceAccount", "name": "robot", "namespace": "default"},
        {"kind": "ServiceAccount", "name": "near"},
    ]
    kind = resource(BINDINGS)
    assert kind.row is not None
    cells = kind.row(made(BINDINGS, {"subjects": subjects}), NOW)
    assert dict(zip([column.name for column in kind.columns], cells, strict=True)) == {
        "Name": "sample",
        "Role": "Role/reader",
        "Age": "<unknown>",
        "Users": "alice, bob",
        "Groups": "people",
        "ServiceAccounts": "default/robot, near",
    }
