"""Expressions of policies held against the types of what they are about."""

from __future__ import annotations

from typing import Any

from navarch.api import registry
from navarch.api.admissionregistration import typechecking
from navarch.apimachinery.errors import Object


def policy(*validations: Object, rules: list[Object] | None = None, **spec: Any) -> Object:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["*"]}
    constraints = {"resourceRules": [rule] if rules is None else rules}
    return {"metadata": {"name": "a"}, "spec": {"matchConstraints": constraints, "validations": list(validations), **spec}}


def warnings(found: Object) -> list[tuple[str, str]]:
    return [(warning["fieldRef"], warning["warning"]) for warning in typechecking.warnings(found, registry.kinds())]


def test_fields_and_types_are_checked() -> None:
    good = {
        "expression": "object.spec.replicas > 1 && object.metadata.name == 'a'",
        "messageExpression": "object.spec.paused ? '' : 'a'",
    }
    assert warnings(policy(good)) == []
    (missing,) = warnings(policy(good, {"expression": "object.spec.wrong > 1"}))
    assert missing[0] == "spec.validations[1].expression"
    text = "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'wrong'\n | object.spec.wrong > 1\n | ...........^\n"
    assert missing[1] == text
    ((field, text),) = warnings(policy({"expression": "object.spec.replicas == 'one'"}))
    assert "found no matching overload for '_==_' applied to '(int, string)'" in text
    ((field, _),) = warnings(policy({"expression": "true", "messageExpression": "object.nonsense"}))
    assert field == "spec.validations[0].messageExpression"


def test_variables_and_parameters_have_types_too() -> None:
    variables = [{"name": "count", "expression": "object.spec.replicas"}]
    spec = {"variables": variables, "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
    assert warnings(policy({"expression": "variables.count < int(params.data['most'])"}, **spec)) == []
    ((_, text),) = warnings(policy({"expression": "variables.count < 'x' || params.missing == ''"}, **spec))
    assert "'_<_' applied to '(int, string)'" in text and "undefined field 'missing'" in text


def test_each_kind_that_is_named_is_checked_and_wildcards_are_not() -> None:
    expression = {"expression": "object.spec.replicas > 1"}
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments", "daemonsets", "deployments/scale"]}
    ((_, text),) = warnings(policy(expression, rules=[rule]))
    assert text.startswith("apps/v1, Kind=DaemonSet: ERROR") and "Deployment" not in text
    assert warnings(policy(expression, rules=[{**rule, "apiGroups": ["*"]}, {**rule, "resources": ["*"]}])) == []


def test_every_kind_has_a_type() -> None:
    for kind in registry.kinds():
        rule = {"apiGroups": [kind.group], "apiVersions": [kind.version], "resources": [kind.plural]}
        assert warnings(policy({"expression": "has(object.metadata.name) && object.kind == 'x'"}, rules=[rule])) == []
