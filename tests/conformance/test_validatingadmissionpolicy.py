"""ValidatingAdmissionPolicies and their bindings, as objects and as what they do."""

from __future__ import annotations

from typing import Any

from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.objects import condition_of, workload
from tests.conformance.world import Space

GROUP = "admissionregistration.k8s.io"
RULE = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}


@behaviour("ValidatingAdmissionPolicy API")
def test_a_policy_does_every_verb(space: Space) -> None:
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"namespaceSelector": {"matchLabels": {space.name: "true"}}, "resourceRules": [RULE]},
        "validations": [{"expression": "object.spec.replicas > 1", "messageExpression": "'wants replicas > 1'"}],
    }
    names = [f"e2e-policy-{space.name}-{number}" for number in range(3)]
    statuses = {"status": [condition_of("PatchStatusFailed"), condition_of("StatusUpdateFailed")]}
    supports_api_operations(
        space, f"validatingadmissionpolicies.{GROUP}", names, {"spec": spec}, statuses=statuses, annotates=False
    )


@behaviour("ValidatingadmissionPolicyBinding API")
def test_a_binding_does_every_verb(space: Space) -> None:
    names = [f"e2e-binding-{space.name}-{number}" for number in range(3)]
    body = {"spec": {"policyName": f"no-such-{space.name}", "validationActions": ["Deny"]}}
    supports_api_operations(space, f"validatingadmissionpolicybindings.{GROUP}", names, body)


def holds(space: Space, **spec: Any) -> None:
    """A policy about what is made in the space, bound."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": space.name}}
    constraints = {"namespaceSelector": selector, "resourceRules": [RULE]}
    policy = {"matchConstraints": constraints, "failurePolicy": "Fail", **spec}
    space.create(f"validatingadmissionpolicies.{GROUP}", {"metadata": {"name": space.name}, "spec": policy})
    binding = {"policyName": space.name, "validationActions": ["Deny"]}
    space.create(f"validatingadmissionpolicybindings.{GROUP}", {"metadata": {"name": space.name}, "spec": binding})


@behaviour("ValidatingAdmissionPolicy")
def test_a_deployment_is_validated(space: Space) -> None:
    message = "'wants replicas > 1, got ' + string(object.spec.replicas)"
    validation = {"expression": "object.spec.replicas > 1", "messageExpression": message}
    named = {
        "expression": "namespaceObject.metadata.name == '" + space.name + "'",
        "message": "Internal error! Other namespace",
    }
    holds(space, validations=[validation, named])
    refused = space.create("deployments.apps", workload("replicated", 1), code=422)
    assert refused["message"].endswith("denied request: wants replicas > 1, got 1")
    space.create("deployments.apps", workload("replicated", 2))


@behaviour("ValidatingAdmissionPolicy")
def test_expressions_refer_to_variables(space: Space) -> None:
    variables = [
        {"name": "replicas", "expression": "object.spec.replicas"},
        {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
    ]
    validations = [
        {"expression": "variables.replicas > 1"},
        {"expression": "variables.oddReplicas"},
    ]
    holds(space, variables=variables, validations=validations)
    refused = space.create("deployments.apps", workload("replicated", 1), code=422)
    assert refused["message"].endswith("denied request: failed expression: variables.replicas > 1")
    refused = space.create("deployments.apps", workload("replicated", 2), code=422)
    assert refused["message"].endswith("denied request: failed expression: variables.oddReplicas")
    space.create("deployments.apps", workload("replicated", 3))
