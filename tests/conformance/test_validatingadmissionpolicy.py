"""ValidatingAdmissionPolicies and their bindings as objects."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.objects import condition_of
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
