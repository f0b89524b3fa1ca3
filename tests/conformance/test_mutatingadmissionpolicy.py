"""MutatingAdmissionPolicies and their bindings, as objects and as what they do."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.objects import workload
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


def mutated(space: Space, name: str, mutation: Object) -> Object:
    """A Deployment made in the space, under a policy that changes it."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": space.name}}
    policy = {
        "matchConstraints": {"namespaceSelector": selector, "resourceRules": [RULE]},
        "mutations": [mutation],
        "reinvocationPolicy": "Never",
    }
    space.create(f"mutatingadmissionpolicies.{GROUP}", {"metadata": {"name": space.name}, "spec": policy})
    space.create(
        f"mutatingadmissionpolicybindings.{GROUP}", {"metadata": {"name": space.name}, "spec": {"policyName": space.name}}
    )
    return space.create("deployments.apps", workload(name))


@behaviour("MutatingAdmissionPolicy")
def test_a_deployment_is_mutated(space: Space) -> None:
    expression = (
        "Object{spec: Object.spec{replicas: object.spec.replicas + 1}, metadata: Object.metadata{labels: {'e2e': 'x'}}}"
    )
    made = mutated(space, "replicated", {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
    assert (made["spec"]["replicas"], made["metadata"]["labels"]["e2e"]) == (2, "x")


@behaviour("MutatingAdmissionPolicy")
def test_annotations_are_added_to_a_deployment(space: Space) -> None:
    annotations = "Object.metadata{annotations: {'my-foo-annotation': 'myAnnotationValue'}}"
    configuration = {"expression": f"Object{{metadata: {annotations}}}"}
    made = mutated(space, "annotated", {"patchType": "ApplyConfiguration", "applyConfiguration": configuration})
    assert made["metadata"]["annotations"]["my-foo-annotation"] == "myAnnotationValue"
