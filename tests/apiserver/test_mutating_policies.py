"""MutatingAdmissionPolicies: what expressions make of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.apiserver.bench import Bench, Reply
from tests.apiserver.samples import sample

POLICIES = "mutatingadmissionpolicies.admissionregistration.k8s.io"
BINDINGS = "mutatingadmissionpolicybindings.admissionregistration.k8s.io"
RULE: Object = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
Hold = Callable[..., None]


@pytest.fixture
def hold(api: Bench) -> Iterator[Hold]:
    """Make a policy, bound."""
    made: list[tuple[str, str]] = []

    def hold(*mutations: Object, name: str = "policy", rule: Object | None = None, **spec: Any) -> None:
        body = {
            "matchConstraints": {"resourceRules": [{**RULE, **(rule or {})}]},
            "mutations": list(mutations),
            "reinvocationPolicy": "Never",
            **spec,
        }
        binding = body.pop("binding", {})
        api.made(POLICIES, {"metadata": {"name": name}, "spec": body})
        made.append((POLICIES, name))
        api.made(BINDINGS, {"metadata": {"name": f"{name}-binding"}, "spec": {"policyName": name, **binding}})
        made.append((BINDINGS, f"{name}-binding"))

    yield hold
    for kind, name in reversed(made):
        api.delete(kind, name)


def apply(expression: str) -> Object:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patch(expression: str) -> Object:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def make(api: Bench, name: str, data: dict[str, str] | None = None) -> Reply:
    api.delete("configmaps", name)
    return api.post("configmaps", {"metadata": {"name": name, "namespace": "default"}, "data": data or {}})


def test_a_configuration_is_merged_into_the_object(api: Bench, hold: Hold) -> None:
    hold(apply("Object{metadata: Object.metadata{labels: {'seen': 'yes'}}, data: {'b': object.data.a + '!'}}"))
    made = make(api, "merged", {"a": "1"}).json
    assert (made["metadata"]["labels"], made["data"]) == ({"seen": "yes"}, {"a": "1", "b": "1!"})
    fields = [entry["fieldsV1"] for entry in made["metadata"].get("managedFields", [])]
    assert all("f:b" not in entry.get("f:data", {}) for entry in fields)


def test_lists_are_merged_by_their_keys_and_defaults_are_set(api: Bench, hold: Hold) -> None:
    container = "Object.spec.template.spec.initContainers{name: 'proxy', image: 'example.com/proxy'}"
    spec = f"Object.spec{{template: Object.spec.template{{spec: Object.spec.template.spec{{initContainers: [{container}]}}}}}}"
    hold(apply(f"Object{{spec: {spec}}}"), rule={"apiGroups": ["apps"], "resources": ["deployments"]})
    made = api.made("deployments.apps", sample(resource("deployments.apps"), "merged"))
    (added,) = made["spec"]["template"]["spec"]["initContainers"]
    assert (added["name"], added["terminationMessagePolicy"]) == ("proxy", "File")


def test_a_patch_is_applied(api: Bench, hold: Hold) -> None:
    escaped = "'/metadata/annotations/' + jsonpatch.escapeKey('example.com/key')"
    hold(
        patch(
            "[JSONPatch{op: 'test', path: '/data/a', value: '1'}, "
            "JSONPatch{op: 'add', path: '/metadata/annotations', value: {}}, "
            f"JSONPatch{{op: 'add', path: {escaped}, value: 'x'}}]"
        )
    )
    assert make(api, "patched", {"a": "1"}).json["metadata"]["annotations"] == {"example.com/key": "x"}
    # A test that fails leaves the object as it is.
    assert "annotations" not in make(api, "patched", {"a": "2"}).json["metadata"]


@pytest.mark.parametrize(
    ("mutation", "text"),
    [
        (apply("Object{data: {'b': object.data.missing}}"), "resulted in error: no such key: missing"),
        (
            apply("Object{metadata: Object.metadata{nonsense: 'x'}}"),
            "error applying patch: failed to convert patch object to typed object: "
            ".metadata.nonsense: field not declared in schema",
        ),
        (
            apply("Object{metadata: Object.wrong{labels: {'a': 'b'}}}"),
            'type mismatch: unexpected type name "Object.wrong", expected "Object.metadata", which matches field name path '
            "from root Object type",
        ),
        (patch("[JSONPatch{op: 'remove', path: '/data/missing'}]"), "JSONPath: "),
    ],
)
def test_what_cannot_be_done_refuses_unless_failures_are_ignored(api: Bench, hold: Hold, mutation: Object, text: str) -> None:
    hold(mutation)
    reply = make(api, "failing", {"a": "1"})
    assert (reply.status, reply.reason) == (403, "Invalid")
    assert reply.message.startswith("policy 'policy' with binding 'policy-binding' denied request: ") and text in reply.message
    api.delete(BINDINGS, "policy-binding")
    hold(mutation, name="ignoring", failurePolicy="Ignore")
    assert make(api, "failing").status == 201


def test_what_is_atomic_may_not_be_mutated(api: Bench, hold: Hold) -> None:
    container = "Object.spec.containers{name: 'main', args: ['a']}"
    hold(apply(f"Object{{spec: Object.spec{{containers: [{container}]}}}}"), rule={"resources": ["pods"]})
    pod = {"metadata": {"name": "atomic", "namespace": "default"}, "spec": {"containers": [{"name": "main", "image": "a"}]}}
    text = "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.containers[0].args"
    assert api.post("pods", pod).message.endswith(text)


def test_conditions_and_variables_and_parameters(api: Bench, hold: Hold) -> None:
    make(api, "defaults", {"colour": "blue"})
    hold(
        apply("Object{data: {'colour': variables.wanted}}"),
        variables=[{"name": "wanted", "expression": "params.data.colour + '-' + object.metadata.name"}],
        matchConditions=[{"name": "without", "expression": "!has(object.data) || !('colour' in object.data)"}],
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        binding={"paramRef": {"name": "defaults", "parameterNotFoundAction": "Deny"}},
    )
    assert make(api, "plain").json["data"] == {"colour": "blue-plain"}
    assert make(api, "coloured", {"colour": "red"}).json["data"] == {"colour": "red"}


def test_policies_that_want_it_see_what_later_ones_have_changed(api: Bench, hold: Hold) -> None:
    count = apply("Object{metadata: Object.metadata{annotations: {'count': string(size(object.data))}}}")
    hold(count, name="a-counts", reinvocationPolicy="IfNeeded")
    hold(apply("Object{data: {'added': 'x'}}"), name="b-adds")
    assert make(api, "again", {"a": "1"}).json["metadata"]["annotations"] == {"count": "2"}


def test_a_policy_that_is_not_bound_changes_nothing(api: Bench, hold: Hold) -> None:
    hold(apply("Object{data: {'b': 'x'}}"))
    api.delete(BINDINGS, "policy-binding")
    assert make(api, "unbound", {"a": "1"}).json["data"] == {"a": "1"}
