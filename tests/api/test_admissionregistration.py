"""What admissionregistration.k8s.io takes and refuses, in Kubernetes' words, and how its objects are printed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.rules import made, merged, on_create, on_update
from tests.apiserver.samples import BODIES

GROUP = "admissionregistration.k8s.io"
VALIDATING, MUTATING = f"validatingwebhookconfigurations.{GROUP}", f"mutatingwebhookconfigurations.{GROUP}"
POLICIES, BINDINGS = f"validatingadmissionpolicies.{GROUP}", f"validatingadmissionpolicybindings.{GROUP}"
MUTATIONS, MUTATION_BINDINGS = f"mutatingadmissionpolicies.{GROUP}", f"mutatingadmissionpolicybindings.{GROUP}"
WEBHOOKS = (VALIDATING, MUTATING)
ALL = (*WEBHOOKS, POLICIES, BINDINGS, MUTATIONS, MUTATION_BINDINGS)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMP: Object = {"creationTimestamp": "2026-01-01T00:00:00Z"}
HOOK: Object = BODIES[VALIDATING]["webhooks"][0]
RULE: Object = HOOK["rules"][0]
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
VERSION = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end "
    "with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
FORM = "; desired format: https://host[/path]"


def hook(**change: Any) -> Object:
    return {"webhooks": [merged(HOOK, change)]}


def reached(url: str | None = None, **service: Any) -> Object:
    """A hook with another client config."""
    if url is not None:
        return hook(clientConfig={"service": None, "url": url})
    return hook(clientConfig={"service": service})


def rule(**change: Any) -> Object:
    return hook(rules=[{**RULE, **change}])


def matched(**change: Any) -> Object:
    """A policy with other constraints."""
    return {"spec": {"matchConstraints": change}}


def policy_rule(**change: Any) -> Object:
    return matched(resourceRules=[{**RULE, **change}])


def validation(**fields: Any) -> Object:
    return {"spec": {"validations": [{"expression": "true", **fields}]}}


def audit(**fields: Any) -> Object:
    return {"spec": {"auditAnnotations": [{"key": "key", "valueExpression": "'x'", **fields}]}}


def param_kind(api_version: str, kind: str = "Widget") -> Object:
    return {"spec": {"paramKind": {"apiVersion": api_version, "kind": kind}}}


def param_ref(**fields: Any) -> Object:
    return {"spec": {"paramRef": {"parameterNotFoundAction": "Deny", **fields}}}


def mutation(**fields: Any) -> Object:
    return {"spec": {"mutations": [fields]}}


def conditions(*found: Object) -> Object:
    return hook(matchConditions=list(found))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((name, {}) for name in ALL),
        *((name, {"webhooks": None}) for name in WEBHOOKS),
        (VALIDATING, {"webhooks": [HOOK, {**HOOK, "name": "others.example.com"}]}),
        (VALIDATING, hook(timeoutSeconds=30, sideEffects="NoneOnDryRun", failurePolicy="Ignore", matchPolicy="Exact")),
        (VALIDATING, hook(admissionReviewVersions=["v2", "v1beta1"])),
        (VALIDATING, hook(rules=None)),
        (VALIDATING, rule(resources=["*", "pods/status", "*/scale", "deployments/*"], operations=["*"], scope="Cluster")),
        # Upstream looks only at the last one that is no subresource.
        (VALIDATING, rule(resources=["pods", "*"])),
        (VALIDATING, reached("https://example.com:8443/a/b")),
        (VALIDATING, reached(path="/a/b.c/")),
        (VALIDATING, reached(path="/")),
        (VALIDATING, conditions({"name": "a", "expression": "true"}, {"name": "example.com/b", "expression": "true"})),
        (MUTATING, hook(reinvocationPolicy="IfNeeded")),
        (POLICIES, {"spec": {"validations": None, **audit()["spec"]}}),
        (POLICIES, validation(message="no", reason="Forbidden", messageExpression="'a\\n'")),
        (POLICIES, param_kind("v1", "ConfigMap")),
        (POLICIES, {"spec": {"variables": [{"name": "a_1", "expression": "1"}]}}),
        (POLICIES, policy_rule(resourceNames=["a", "b"])),
        (POLICIES, policy_rule(operations=["DELETE"])),
        (BINDINGS, {"spec": {"validationActions": ["Warn", "Audit"]}}),
        (BINDINGS, param_ref(name="a", namespace="default")),
        (BINDINGS, param_ref(selector={})),
        (BINDINGS, {"spec": {"matchResources": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}}),
        (MUTATIONS, mutation(patchType="ApplyConfiguration", applyConfiguration={"expression": "Object{}"})),
        (MUTATIONS, matched(excludeResourceRules=[{**RULE, "operations": ["DELETE"]}])),
    ],
)
def test_what_makes_sense_is_taken(name: str, change: Object) -> None:
    assert on_create(name, change) == []
    assert on_update(name, {"metadata": {"labels": {"a": "b"}}}, change) == []


SERVICE = "webhooks[0].clientConfig.service"
URL = "webhooks[0].clientConfig.url"
RULES = "webhooks[0].rules[0]"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (hook(name=""), "webhooks[0].name: Required value"),
        (hook(name="A.b.c"), f'webhooks[0].name: Invalid value: "A.b.c": {SUBDOMAIN}'),
        (
            hook(name="a.b"),
            'webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments separated by dots',
        ),
        ({"webhooks": [HOOK, HOOK]}, 'webhooks[1].name: Duplicate value: "checks.example.com"'),
        (hook(failurePolicy="X"), 'webhooks[0].failurePolicy: Unsupported value: "X": supported values: "Fail", "Ignore"'),
        (hook(matchPolicy="X"), 'webhooks[0].matchPolicy: Unsupported value: "X": supported values: "Equivalent", "Exact"'),
        (hook(sideEffects=None), "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"),
        (
            hook(sideEffects="Some"),
            'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
        ),
        *(
            (
                hook(timeoutSeconds=seconds),
                f"webhooks[0].timeoutSeconds: Invalid value: {seconds}: the timeout value must be between 1 and 30 seconds",
            )
            for seconds in (0, 31)
        ),
        (
            hook(objectSelector={"matchExpressions": [{"key": "a", "operator": "Near"}]}),
            'webhooks[0].objectSelector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
        ),
        (
            hook(namespaceSelector={"matchExpressions": [{"key": "a", "operator": "In"}]}),
            "webhooks[0].namespaceSelector.matchExpressions[0].values: Required value: must be specified when `operator` is "
            "'In' or 'NotIn'",
        ),
        (
            hook(admissionReviewVersions=None),
            "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
        ),
        (
            hook(admissionReviewVersions=["v1", "v1"]),
            'webhooks[0].admissionReviewVersions[1]: Invalid value: "v1": duplicate version',
        ),
        (
            hook(admissionReviewVersions=["v1", "1"]),
            f'webhooks[0].admissionReviewVersions[1]: Invalid value: "1": {VERSION}',
        ),
        (
            hook(admissionReviewVersions=["v2"]),
            'webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1',
        ),
        (rule(operations=[]), f"{RULES}.operations: Required value"),
        (
            rule(operations=["*", "CREATE"]),
            f'{RULES}.operations: Invalid value: ["*","CREATE"]: if \'*\' is present, must not specify other operations',
        ),
        (
            rule(operations=["PATCH"]),
            f'{RULES}.operations[0]: Unsupported value: "PATCH": supported values: "*", "CONNECT", "CREATE", "DELETE", '
            '"UPDATE"',
        ),
        (rule(apiGroups=[]), f"{RULES}.apiGroups: Required value"),
        (
            rule(apiGroups=["*", "apps"]),
            f'{RULES}.apiGroups: Invalid value: ["*","apps"]: if \'*\' is present, must not specify other API groups',
        ),
        (rule(apiVersions=None), f"{RULES}.apiVersions: Required value"),
        (rule(apiVersions=["v1", ""]), f"{RULES}.apiVersions[1]: Required value"),
        (
            rule(apiVersions=["*", "v1"]),
            f'{RULES}.apiVersions: Invalid value: ["*","v1"]: if \'*\' is present, must not specify other API versions',
        ),
        (rule(resources=[]), f"{RULES}.resources: Required value"),
        (rule(resources=["a", ""]), f"{RULES}.resources[1]: Required value"),
        (
            rule(resources=["a/*", "a/b"]),
            f"{RULES}.resources[1]: Invalid value: \"a/b\": if 'a/*' is present, must not specify a/b",
        ),
        (
            rule(resources=["*/b", "a/b"]),
            f"{RULES}.resources[1]: Invalid value: \"a/b\": if '*/b' is present, must not specify a/b",
        ),
        (
            rule(resources=["*/*", "a"]),
            f'{RULES}.resources: Invalid value: ["*/*","a"]: if \'*/*\' is present, must not specify other resources',
        ),
        (
            rule(resources=["*", "a"]),
            f'{RULES}.resources: Invalid value: ["*","a"]: if \'*\' is present, must not specify other resources without '
            "subresources",
        ),
        (rule(scope="All"), f'{RULES}.scope: Unsupported value: "All": supported values: "*", "Cluster", "Namespaced"'),
        (
            hook(clientConfig={"url": "https://a"}),
            "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
        ),
        (
            hook(clientConfig={"service": None}),
            "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
        ),
        (reached("http://a"), f"{URL}: Invalid value: \"http\": 'https' is the only allowed URL scheme{FORM}"),
        (reached("https:///a"), f'{URL}: Invalid value: "": host must be provided{FORM}'),
        (reached("https://u:p@a"), f'{URL}: Invalid value: "u:p": user information is not permitted in the URL'),
        (reached("https://a#b"), f'{URL}: Invalid value: "b": fragments are not permitted in the URL'),
        (reached("https://a?b=c"), f'{URL}: Invalid value: "b=c": query parameters are not permitted in the URL'),
        (
            reached("https://a b"),
            f'{URL}: Required value: url must be a valid URL: parse "https://a b": invalid character " " in host name{FORM}',
        ),
        # Upstream takes the two for each other.
        (reached(namespace=""), f"{SERVICE}.name: Required value: service name is required"),
        (reached(name=""), f"{SERVICE}.namespace: Required value: service namespace is required"),
        (reached(port=0), f"{SERVICE}.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive"),
        (reached(path="//"), f'{SERVICE}.path: Invalid value: "//": segment[0] may not be empty'),
        (reached(path="/a//b"), f'{SERVICE}.path: Invalid value: "/a//b": segment[1] may not be empty'),
        (reached(path="/a/B"), f'{SERVICE}.path: Invalid value: "/a/B": segment[1]: {SUBDOMAIN}'),
        (reached(path="aa"), f"{SERVICE}.path: Invalid value: \"aa\": must start with a '/'"),
        (conditions({"name": "", "expression": "true"}), "webhooks[0].matchConditions[0].name: Required value"),
        (conditions({"name": "a", "expression": " "}), "webhooks[0].matchConditions[0].expression: Required value"),
        (
            conditions({"name": "a b", "expression": "true"}),
            f'webhooks[0].matchConditions[0].name: Invalid value: "a b": {NAME_PART}',
        ),
        (
            conditions({"name": "a", "expression": "true"}, {"name": "a", "expression": "false"}),
            'webhooks[0].matchConditions[1].name: Duplicate value: "a"',
        ),
        (
            conditions(*({"name": f"a{index}", "expression": "true"} for index in range(65))),
            "webhooks[0].matchConditions: Too many: 65: must have at most 64 items",
        ),
    ],
)
@pytest.mark.parametrize("name", WEBHOOKS, ids=["validating", "mutating"])
def test_each_rule_on_webhooks(name: str, change: Object, expected: str) -> None:
    assert on_create(name, change) == [expected]
    assert on_update(name, change) == [expected]


CONSTRAINTS = "spec.matchConstraints"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"spec": {"failurePolicy": "X"}}, 'spec.failurePolicy: Unsupported value: "X": supported values: "Fail", "Ignore"'),
        ({"spec": {"matchConstraints": None}}, f"{CONSTRAINTS}: Required value"),
        (matched(resourceRules=[]), f"{CONSTRAINTS}.resourceRules: Required value"),
        (
            matched(matchPolicy="X"),
            f'{CONSTRAINTS}.matchPolicy: Unsupported value: "X": supported values: "Equivalent", "Exact"',
        ),
        (
            matched(objectSelector={"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]}),
            f'{CONSTRAINTS}.objectSelector.matchExpressions[0].values[0]: Invalid value: "b c": a valid label must be an empty '
            "string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
            "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
            "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
        (
            policy_rule(resourceNames=["a/b"]),
            f"{CONSTRAINTS}.resourceRules[0].resourceNames[0]: Invalid value: \"a/b\": may not contain '/'",
        ),
        (
            policy_rule(resourceNames=["a", "a"]),
            f'{CONSTRAINTS}.resourceRules[0].resourceNames[1]: Duplicate value: "a"',
        ),
        (
            matched(excludeResourceRules=[{**RULE, "scope": "X"}]),
            f'{CONSTRAINTS}.excludeResourceRules[0].scope: Unsupported value: "X": supported values: "*", "Cluster", '
            '"Namespaced"',
        ),
        (param_kind(""), "spec.paramKind.apiVersion: Required value"),
        (param_kind("a/b/c"), 'spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c'),
        (param_kind("a/"), 'spec.paramKind.apiVersion: Invalid value: "a/": version must be specified'),
        (param_kind("a/1"), f'spec.paramKind.apiVersion: Invalid value: "1": {VERSION}'),
        (param_kind("A/v1"), f'spec.paramKind.apiVersion: Invalid value: "A": {SUBDOMAIN}'),
        (param_kind("v1", ""), "spec.paramKind.kind: Required value"),
        (
            param_kind("v1", "A_b"),
            f'spec.paramKind.kind: Invalid value: "A_b": may have mixed case, but should otherwise match: {VERSION}',
        ),
        (
            {"spec": {"variables": [{"name": " ", "expression": "1"}]}},
            "spec.variables[0].name: Required value: name is not specified",
        ),
        (
            {"spec": {"variables": [{"name": "in", "expression": "1"}]}},
            'spec.variables[0].name: Invalid value: "in": name is not a valid CEL identifier',
        ),
        (
            {"spec": {"variables": [{"name": "a-b", "expression": "1"}]}},
            'spec.variables[0].name: Invalid value: "a-b": name is not a valid CEL identifier',
        ),
        (
            {"spec": {"variables": [{"name": "a", "expression": ""}]}},
            "spec.variables[0].expression: Required value: expression is not specified",
        ),
        (
            {"spec": {"matchConditions": [{"name": "", "expression": "true"}]}},
            "spec.matchConditions[0].name: Required value",
        ),
    ],
)
@pytest.mark.parametrize("name", [POLICIES, MUTATIONS], ids=["validating", "mutating"])
def test_each_rule_on_policies(name: str, change: Object, expected: str) -> None:
    assert on_create(name, change) == [expected]
    assert on_update(name, change) == [expected]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (validation(expression=" "), ["spec.validations[0].expression: Required value: expression is not specified"]),
        (
            validation(messageExpression=" "),
            ['spec.validations[0].messageExpression: Invalid value: " ": must be non-empty if specified'],
        ),
        (
            validation(message=" "),
            ['spec.validations[0].message: Invalid value: " ": message must be non-empty if specified'],
        ),
        (
            validation(message="a\nb"),
            ['spec.validations[0].message: Invalid value: "a\\nb": message must not contain line breaks'],
        ),
        (
            validation(reason="Gone"),
            [
                'spec.validations[0].reason: Unsupported value: "Gone": supported values: "Forbidden", "Invalid", '
                '"RequestEntityTooLarge"'
            ],
        ),
        (
            {"spec": {"validations": None}},
            [
                "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
                "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
            ],
        ),
        (audit(key="a b"), [f'spec.auditAnnotations[0].key: Invalid value: "sample/a b": {NAME_PART}']),
        (
            audit(valueExpression=" "),
            ["spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not specified"],
        ),
        (
            audit(valueExpression="a" * 5121),
            ["spec.auditAnnotations[0].valueExpression: Required value: must not exceed 5120 bytes in length"],
        ),
        (
            {"spec": {"auditAnnotations": audit()["spec"]["auditAnnotations"] * 2}},
            ['spec.auditAnnotations[1].key: Duplicate value: "key"'],
        ),
    ],
)
def test_each_rule_on_validations(change: Object, expected: list[str]) -> None:
    assert on_create(POLICIES, change) == expected


def test_there_are_not_too_many_audit_annotations() -> None:
    many = [{"key": f"k{index}", "valueExpression": "'x'"} for index in range(21)]
    (message,) = on_create(POLICIES, {"spec": {"auditAnnotations": many}})
    assert message.startswith('spec.auditAnnotations: Invalid value: [{"Key":"k0","ValueExpression":"\'x\'"},')
    assert message.endswith(": must not have more than 20 auditAnnotations")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"spec": {"mutations": None}}, ["spec.mutations: Required value: mutations must contain at least one item"]),
        ({"spec": {"reinvocationPolicy": None}}, ["spec.reinvocationPolicy: Required value"]),
        (
            {"spec": {"reinvocationPolicy": "X"}},
            ['spec.reinvocationPolicy: Unsupported value: "X": supported values: "IfNeeded", "Never"'],
        ),
        (mutation(), ["spec.mutations[0].patchType: Required value"]),
        (
            mutation(patchType="X"),
            ['spec.mutations[0].patchType: Unsupported value: "X": supported values: "ApplyConfiguration", "JSONPatch"'],
        ),
        (
            mutation(patchType="JSONPatch", applyConfiguration={"expression": "true"}),
            [
                "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
                'spec.mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when '
                "patchType "
                "is JSONPatch",
            ],
        ),
        (
            mutation(
                patchType="ApplyConfiguration", jsonPatch={"expression": "true"}, applyConfiguration={"expression": "Object{}"}
            ),
            [
                'spec.mutations[0].jsonPatch: Invalid value: "{jsonPatch}": must not be specified when patchType is '
                "ApplyConfiguration",
            ],
        ),
        (
            mutation(patchType="JSONPatch", jsonPatch={"expression": " "}),
            ["spec.mutations[0].jsonPatch.expression: Required value"],
        ),
        (
            policy_rule(operations=["DELETE"]),
            [
                'spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", '
                '"CONNECT", "CREATE", "UPDATE"'
            ],
        ),
    ],
)
def test_each_rule_on_mutations(change: Object, expected: list[str]) -> None:
    assert on_create(MUTATIONS, change) == expected


EXCLUSIVE = "Forbidden: name and selector are mutually exclusive"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"spec": {"policyName": ""}}, ["spec.policyName: Required value"]),
        ({"spec": {"policyName": "A"}}, [f'spec.policyName: Invalid value: "A": {SUBDOMAIN}']),
        (param_ref(), ["spec.paramRef: Required value: one of name or selector must be specified"]),
        (
            param_ref(name="a", selector={}),
            [f"spec.paramRef.name: {EXCLUSIVE}", f"spec.paramRef.selector: {EXCLUSIVE}"],
        ),
        (param_ref(name="a/b"), ["spec.paramRef.name: Invalid value: \"a/b\": may not contain '/'"]),
        (
            param_ref(selector={"matchExpressions": [{"key": "a", "operator": "X"}]}),
            ['spec.paramRef.selector.matchExpressions[0].operator: Invalid value: "X": not a valid selector operator'],
        ),
        (param_ref(name="a", parameterNotFoundAction=None), ["spec.paramRef.parameterNotFoundAction: Required value"]),
        (
            param_ref(name="a", parameterNotFoundAction="X"),
            ['spec.paramRef.parameterNotFoundAction: Unsupported value: "X": supported values: "Deny", "Allow"'],
        ),
        (
            {"spec": {"matchResources": {"resourceRules": [{**RULE, "apiGroups": []}]}}},
            ["spec.matchResources.resourceRules[0].apiGroups: Required value"],
        ),
    ],
)
@pytest.mark.parametrize("name", [BINDINGS, MUTATION_BINDINGS], ids=["validating", "mutating"])
def test_each_rule_on_bindings(name: str, change: Object, expected: list[str]) -> None:
    assert on_create(name, change) == expected
    assert on_update(name, change) == expected


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        (None, ["spec.validationActions: Required value: at least one validation action is required"]),
        (["X"], ['spec.validationActions[0]: Unsupported value: "X": supported values: "Audit", "Deny", "Warn"']),
        (["Deny", "Deny"], ['spec.validationActions[1]: Duplicate value: "Deny"']),
        (
            ["Deny", "Warn"],
            [
                'spec.validationActions: Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn (repeating the '
                "same "
                "validation failure information in the API response and headers serves no purpose)"
            ],
        ),
    ],
)
def test_each_rule_on_actions(actions: list[str] | None, expected: list[str]) -> None:
    assert on_create(BINDINGS, {"spec": {"validationActions": actions}}) == expected


def test_a_mutation_is_not_bound_to_deletions() -> None:
    found = on_create(MUTATION_BINDINGS, {"spec": {"matchResources": {"resourceRules": [{**RULE, "operations": ["DELETE"]}]}}})
    assert found == [
        'spec.matchResources.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", '
        '"CREATE", "UPDATE"'
    ]


def test_defaults() -> None:
    found = made(VALIDATING)["webhooks"][0]
    defaults = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
    assert found.items() >= {**defaults, "timeoutSeconds": 10}.items()
    assert "reinvocationPolicy" not in found and found["clientConfig"]["service"]["port"] == 443
    assert found["rules"][0]["scope"] == "*"
    assert made(MUTATING)["webhooks"][0] == {**found, "reinvocationPolicy": "Never"}
    constraints = {**defaults, "resourceRules": [{**RULE, "scope": "*"}]}
    constraints.pop("failurePolicy")
    for name in (POLICIES, MUTATIONS):
        spec = made(name)["spec"]
        assert (spec["failurePolicy"], spec["matchConstraints"]) == ("Fail", constraints)
    for name in (BINDINGS, MUTATION_BINDINGS):
        assert "matchResources" not in made(name)["spec"]
        bound = made(name, {"spec": {"matchResources": {"resourceRules": [RULE]}}})
        assert bound["spec"]["matchResources"] == constraints


def test_type_checks_and_conditions_of_a_policy_are_whole() -> None:
    status = {"typeChecking": {"expressionWarnings": [{"fieldRef": " ", "warning": ""}]}, "conditions": [{"type": "A"}]}
    assert on_update(POLICIES, {"status": status}, subresource="status") == [
        "status.typeChecking.expressionWarnings[0].warning: Required value",
        "status.typeChecking.expressionWarnings[0].fieldRef: Required value",
        'status.conditions[0].status: Unsupported value: "": supported values: "False", "True", "Unknown"',
        "status.conditions[0].lastTransitionTime: Required value: must be set",
        "status.conditions[0].reason: Required value: must be set",
    ]


@pytest.mark.parametrize("name", ALL)
def test_reserved_names_are_warned_of(name: str) -> None:
    kind, obj = resource(name), made(name, {"metadata": {"name": "a.static.k8s.io"}})
    assert list(kind.warnings(obj, None)) == [
        'metadata.name: names ending with ".static.k8s.io" are reserved for static manifest-based configurations and cannot be '
        "managed via the API"
    ]
    assert not list(kind.warnings(made(name), None))


SELECTED = {"matchLabels": {"b": "1", "a": "2"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["x", "y"]}]}


@pytest.mark.parametrize(
    ("name", "change", "heads", "cells"),
    [
        (VALIDATING, {}, ["Webhooks"], [1]),
        (MUTATING, {"webhooks": None}, ["Webhooks"], [0]),
        (POLICIES, {}, ["Validations", "ParamKind"], [1, "<unset>"]),
        (POLICIES, param_kind("example.com/v1"), ["Validations", "ParamKind"], [1, "example.com/v1/Widget"]),
        (MUTATIONS, param_kind("v1", "ConfigMap"), ["Mutations", "ParamKind"], [1, "v1/ConfigMap"]),
        (BINDINGS, {}, ["PolicyName", "ParamRef"], ["few-replicas", "<unset>"]),
        (BINDINGS, param_ref(name="a"), ["PolicyName", "ParamRef"], ["few-replicas", "*/a"]),
        (MUTATION_BINDINGS, param_ref(name="a", namespace="b"), ["PolicyName", "ParamRef"], ["one-replica", "b/a"]),
        (
            MUTATION_BINDINGS,
            param_ref(selector=SELECTED),
            ["PolicyName", "ParamRef"],
            [
                "one-replica",
                "&LabelSelector{MatchLabels:map[string]string{a: 2,b: 1,},MatchExpressions:[]LabelSelectorRequirement{"
                "LabelSelectorRequirement{Key:c,Operator:In,Values:[x y],},},}",
            ],
        ),
    ],
)
def test_how_it_is_printed(name: str, change: Object, heads: list[str], cells: list[Any]) -> None:
    kind, obj = resource(name), made(name, {**change, "metadata": STAMP})
    assert [column.name for column in kind.columns] == ["Name", *heads, "Age"]
    assert kind.row is not None
    assert kind.row(obj, NOW) == ["sample", *cells, "0s"]


def compiled(name: str, spec: Object) -> list[str]:
    """What is said of a policy's or webhook's expressions."""
    return on_create(name, {"spec": spec} if "policies" in name else hook(**spec))


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        (
            VALIDATING,
            {"matchConditions": [{"name": "a", "expression": " params.a"}, {"name": "b", "expression": "1"}]},
            [
                'webhooks[0].matchConditions[0].expression: Invalid value: "params.a": compilation failed: ERROR: <input>:1:1: '
                "undeclared reference to 'params' (in container '')\n | params.a\n | ^",
                'webhooks[0].matchConditions[1].expression: Invalid value: "1": must evaluate to bool but got int',
            ],
        ),
        (VALIDATING, {"matchConditions": [{"name": "a", "expression": "authorizer.path('/x').check('get').allowed()"}]}, []),
        (
            POLICIES,
            {
                "variables": [
                    {"name": "n", "expression": "size(object.spec.x)"},
                    {"name": "m", "expression": "variables.n + 1"},
                ],
                "validations": [
                    {
                        "expression": "variables.m > 2 && request.userInfo.groups.exists(g, g == 'a')",
                        "messageExpression": "string(variables.n) + namespaceObject.metadata.name",
                    }
                ],
                "auditAnnotations": [{"key": "key", "valueExpression": "variables.m > 2 ? string(variables.m) : null"}],
            },
            [
                'spec.auditAnnotations[0].valueExpression: Invalid value: "variables.m > 2 ? string(variables.m) : null": '
                "compilation failed: ERROR: <input>:1:17: found no matching overload for '_?_:_' applied to "
                "'(bool, string, null)'\n | variables.m > 2 ? string(variables.m) : null\n | ................^"
            ],
        ),
        (
            POLICIES,
            {
                "variables": [{"name": "n", "expression": "variables.m"}, {"name": "m", "expression": "1"}],
                "validations": [{"expression": "variables.m == 'a'", "messageExpression": "authorizer"}],
            },
            [
                'spec.variables[0].expression: Invalid value: "variables.m": compilation failed: ERROR: <input>:1:10: '
                "undefined field 'm'\n | variables.m\n | .........^",
                "spec.validations[0].expression: Invalid value: \"variables.m == 'a'\": compilation failed: ERROR: "
                "<input>:1:13: found no matching overload for '_==_' applied to '(int, string)'\n | variables.m == 'a'\n "
                "| ............^",
                'spec.validations[0].messageExpression: Invalid value: "authorizer": compilation failed: ERROR: <input>:1:1: '
                "undeclared reference to 'authorizer' (in container '')\n | authorizer\n | ^",
            ],
        ),
        (
            POLICIES,
            {
                "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                "matchConditions": [{"name": "a", "expression": "params.data.a == 'b'"}],
                "validations": [{"expression": "object.spec.x"}, {"expression": "request.dryRun"}],
                "auditAnnotations": [{"key": "key", "valueExpression": " 1"}],
            },
            [
                'spec.validations[0].expression: Invalid value: "object.spec.x": must evaluate to bool but got dyn',
                'spec.auditAnnotations[0].valueExpression: Invalid value: " 1": must evaluate to one of [string null_type] but '
                "got int",
            ],
        ),
        (
            MUTATIONS,
            {
                "mutations": [
                    {
                        "patchType": "ApplyConfiguration",
                        "applyConfiguration": {
                            "expression": "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'a'}]}}"
                        },
                    },
                    {
                        "patchType": "JSONPatch",
                        "jsonPatch": {
                            "expression": "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('a/b'), value: 1}]"
                        },
                    },
                    {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 1}]"}},
                    {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "object"}},
                ]
            },
            [
                'spec.mutations[2].jsonPatch.expression: Invalid value: "[JSONPatch{op: 1}]": compilation failed: ERROR: '
                "<input>:1:14: expected type of field 'op' is 'string' but provided type is 'int'\n | [JSONPatch{op: 1}]\n "
                "| .............^",
                'spec.mutations[3].applyConfiguration.expression: Invalid value: "object": must evaluate to Object but got dyn',
            ],
        ),
    ],
)
def test_expressions_are_compiled(name: str, spec: Object, expected: list[str]) -> None:
    assert compiled(name, spec) == expected
