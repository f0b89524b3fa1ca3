"""Policies are told what is wrong with their expressions, once for each generation."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from navarch.controllers import validatingadmissionpolicystatus
from navarch.controllers.validatingadmissionpolicystatus import POLICIES, plan
from tests.controllers.world import on_bench
from tests.fakeapi import run


def policy(expression: str, group: str = "apps", plural: str = "deployments", **metadata: Any) -> Object:
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "resources": [plural], "operations": ["*"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "checked", "generation": 1, **metadata},
        "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}]},
    }


def test_a_policy_is_checked_once_for_each_generation() -> None:
    status = plan(policy("object.spec.replicas > 0"), [])
    assert status == {"observedGeneration": 1, "typeChecking": {}}
    assert plan({**policy("true"), "status": status}, []) is None
    again = plan({**policy("object.wrong", generation=2), "status": status}, [])
    assert again is not None and again["typeChecking"]["expressionWarnings"][0]["fieldRef"] == "spec.validations[0].expression"


def test_custom_resources_have_types_too() -> None:
    spec_schema = {"type": "object", "properties": {"size": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"spec": spec_schema}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "boxes", "kind": "Box", "singular": "box", "listKind": "BoxList"}
    definition = {
        "metadata": {"name": "boxes.example.com", "uid": "1"},
        "spec": {"group": "example.com", "names": names, "scope": "Namespaced", "versions": [version]},
        "status": {"acceptedNames": names, "conditions": [{"type": "Established", "status": "True"}]},
    }
    fine, wrong = (
        plan(policy(f"object.spec.{field} > 1", "example.com", "boxes"), [definition]) for field in ("size", "weight")
    )
    assert fine is not None and fine["typeChecking"] == {}
    assert wrong is not None
    assert wrong["typeChecking"]["expressionWarnings"][0]["warning"].startswith("example.com/v1, Kind=Box: ERROR")


def test_what_is_wrong_is_told_on_the_policy() -> None:
    async def test() -> None:
        async with on_bench(validatingadmissionpolicystatus.CONTROLLER) as found:
            found.api.put(policy("object.wrong"))

            def told() -> list[Object]:
                status: Object = (found.api.one(POLICIES, "checked") or {}).get("status") or {}
                warnings: list[Object] = (status.get("typeChecking") or {}).get("expressionWarnings") or []
                return warnings

            await found.until(lambda: told())
            assert "undefined field 'wrong'" in told()[0]["warning"]

    run(test)
