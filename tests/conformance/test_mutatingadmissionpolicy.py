"""MutatingAdmissionPolicies and their bindings as objects."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.world import Space

GROUP = "admissionregistration.k8s.io"
RULE = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}


@behaviour("MutatingAdmissionPolicy API")
def test_a_policy_does_every_verb(space: Space) -> None:
    configuration = {"expression": "Object{metadata: Object.metadata{labels: {'seen': 'true'}}}"}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"namespaceSelector": {"matchLabels": {space.name: "true"}}, "resourceRules": [RULE]},
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": configuration}],
        "reinvocationPolicy": "Never",
    }
    names = [f"e2e-policy-{space.name}-{number}" for number in range(3)]
    supports_api_operations(space, f"mutatingadmissionpolicies.{GROUP}", names, {"spec": spec})


@behaviour("MutatingAdmissionPolicyBinding API")
def test_a_binding_does_every_verb(space: Space) -> None:
    names = [f"e2e-binding-{space.name}-{number}" for number in range(3)]
    supports_api_operations(
        space, f"mutatingadmissionpolicybindings.{GROUP}", names, {"spec": {"policyName": f"no-such-{space.name}"}}
    )
