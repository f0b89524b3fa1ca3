"""ValidatingAdmissionPolicies: what they are evaluated with, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission import evaluating
from navarch.apiserver.request import APIRequest
from navarch.storage.memory import MemoryBackend
from tests.apiserver.bench import ALICE, Bench, Reply, bench
from tests.apiserver.samples import sample

POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"
BINDINGS = "validatingadmissionpolicybindings.admissionregistration.k8s.io"
RULE: Object = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
CONFIG_MAPS = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
Hold = Callable[..., None]


@pytest.fixture
def hold(api: Bench) -> Iterator[Hold]:
    """Make a policy, bound."""
    made: list[tuple[str, str]] = []

    def hold(
        *expressions: str | Object,
        name: str = "policy",
        rule: Object | None = None,
        binding: Object | None = None,
        actions: tuple[str, ...] = ("Deny",),
        match: Object | None = None,
        **spec: Any,
    ) -> None:
        validations = [each if isinstance(each, dict) else {"expression": each} for each in expressions]
        constraints = {"resourceRules": [{**RULE, **(rule or {})}], **(match or {})}
        body = {"matchConstraints": constraints, "validations": validations, **spec}
        api.made(POLICIES, {"metadata": {"name": name}, "spec": body})
        made.append((POLICIES, name))
        bound = {"policyName": name, "validationActions": list(actions), **(binding or {})}
        api.made(BINDINGS, {"metadata": {"name": f"{name}-binding"}, "spec": bound})
        made.append((BINDINGS, f"{name}-binding"))

    yield hold
    for kind, name in reversed(made):
        api.delete(kind, name)


def config_map(name: str, data: dict[str, str] | None = None, **metadata: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "default", **metadata}, "data": data or {}}


def make(api: Bench, name: str, data: dict[str, str] | None = None, *, user: Any = None, **metadata: Any) -> Reply:
    api.delete("configmaps", name)
    options = {"user": user} if user else {}
    return api.post("configmaps", config_map(name, data, **metadata), **options)


def test_what_does_not_hold_is_refused_in_upstreams_words(api: Bench, hold: Hold) -> None:
    hold("size(object.data) < 2")
    assert make(api, "small", {"a": "1"}).status == 201
    reply = make(api, "large", {"a": "1", "b": "2"})
    said = "ValidatingAdmissionPolicy 'policy' with binding 'policy-binding' denied request: "
    said += "failed expression: size(object.data) < 2"
    assert (reply.status, reply.reason, reply.message) == (422, "Invalid", f'configmaps "large" is forbidden: {said}')
    assert reply.json["details"] == {"name": "large", "kind": "configmaps", "causes": [{"message": said}]}


@pytest.mark.parametrize(
    ("validation", "code", "reason", "said"),
    [
        ({"message": " told so "}, 422, "Invalid", "told so"),
        ({"messageExpression": "'got ' + object.data.a", "message": "unused"}, 422, "Invalid", "got 1"),
        ({"messageExpression": "string(object.data.missing)", "message": "instead"}, 422, "Invalid", "instead"),
        ({"messageExpression": "'a\\nb'"}, 422, "Invalid", "failed expression: false"),
        ({"reason": "Forbidden"}, 403, "Forbidden", "failed expression: false"),
        ({"reason": "RequestEntityTooLarge", "message": "m"}, 413, "RequestEntityTooLarge", "m"),
    ],
)
def test_messages_and_reasons_are_the_policys(
    api: Bench, hold: Hold, validation: Object, code: int, reason: str, said: str
) -> None:
    hold({"expression": "false", **validation})
    reply = make(api, "refused", {"a": "1"})
    assert (reply.status, reply.reason) == (code, reason)
    assert reply.message.endswith(f"denied request: {said}")


def test_a_failure_refuses_unless_failures_are_ignored(api: Bench, hold: Hold) -> None:
    hold("object.data.missing == 'x'")
    reply = make(api, "failing", {"a": "1"})
    assert reply.message.endswith(
        "denied request: expression 'object.data.missing == 'x'' resulted in error: no such key: missing"
    )
    api.delete(BINDINGS, "policy-binding")
    hold("object.data.missing == 'x'", name="ignoring", failurePolicy="Ignore")
    assert make(api, "failing").status == 201


def test_bindings_say_what_comes_of_it(api: Bench, hold: Hold) -> None:
    hold("false", name="warns", actions=("Warn", "Audit"))
    reply = make(api, "warned")
    text = "Validation failed for ValidatingAdmissionPolicy 'warns' with binding 'warns-binding': failed expression: false"
    assert (reply.status, reply.headers["warning"]) == (201, f'299 - "{text}"')


def test_a_policy_without_a_binding_holds_nowhere(api: Bench, hold: Hold) -> None:
    hold("false")
    api.delete(BINDINGS, "policy-binding")
    assert make(api, "free").status == 201


def test_a_binding_can_only_narrow(api: Bench, hold: Hold) -> None:
    selector = {"matchResources": {"objectSelector": {"matchLabels": {"strict": "yes"}}}}
    hold("false", binding=selector)
    assert make(api, "free").status == 201
    assert make(api, "strict", labels={"strict": "yes"}).status == 422


def test_rules_name_objects_and_leave_some_out(api: Bench, hold: Hold) -> None:
    excluded = {"excludeResourceRules": [{**RULE, "resourceNames": ["excluded"]}]}
    hold("false", name="all", match=excluded)
    assert make(api, "excluded").status == 201
    assert make(api, "other").status == 422
    api.delete(BINDINGS, "all-binding")
    hold("false", name="one", rule={"resourceNames": ["named"]})
    assert make(api, "other").status == 201
    assert make(api, "named").status == 422


def test_conditions_come_before_validations(api: Bench, hold: Hold) -> None:
    hold("false", matchConditions=[{"name": "bad", "expression": "object.metadata.name.startsWith('bad')"}])
    assert make(api, "good").status == 201
    assert make(api, "bad").status == 422


def test_variables_are_built_on_each_other_and_found_when_needed(api: Bench, hold: Hold) -> None:
    variables = [
        {"name": "count", "expression": "size(object.data)"},
        {"name": "double", "expression": "variables.count * 2"},
        {"name": "broken", "expression": "object.data.missing"},
    ]
    message = "'double is ' + string(variables.double)"
    hold({"expression": "variables.double < 3 || variables.broken == ''", "messageExpression": message}, variables=variables)
    assert make(api, "one", {"a": "1"}).status == 201
    failed = 'composited variable "broken" fails to evaluate: no such key: missing'
    assert failed in make(api, "two", {"a": "1", "b": "2"}).message
    assert make(api, "two", {"a": "1", "missing": "2"}).message.endswith("denied request: double is 4")


def test_expressions_see_the_request_its_user_and_its_namespace(api: Bench, hold: Hold) -> None:
    hold(
        "request.operation == 'CREATE' && request.resource.resource == 'configmaps' && !request.dryRun",
        "request.userInfo.username == 'alice' || 'system:masters' in request.userInfo.groups",
        "namespaceObject.metadata.name == 'default' && oldObject == null",
        "request.options.kind == 'CreateOptions'",
    )
    assert make(api, "seen").status == 201
    assert make(api, "seen", user=ALICE).status == 201


def test_the_authorizer_is_asked(api: Bench, hold: Hold) -> None:
    hold(
        "authorizer.group('').resource('secrets').namespace('default').check('create').allowed()",
        "authorizer.requestResource.check('delete').allowed() && authorizer.path('/healthz').check('get').allowed()",
        "authorizer.serviceAccount('default', 'default').group('apps').resource('deployments').check('list').allowed()",
    )
    assert make(api, "allowed").status == 201


def test_deletions_and_updates_are_held_against_policies(api: Bench, hold: Hold) -> None:
    make(api, "kept", {"a": "1"})
    hold("object != null || oldObject.data.a != '1'", rule={"operations": ["DELETE"]}, name="deletes")
    hold("object.data.a == oldObject.data.a", rule={"operations": ["UPDATE"]}, name="updates")
    assert api.delete("configmaps", "kept").status == 422
    assert api.patch("configmaps", "kept", {"data": {"a": "2"}}).status == 422
    assert api.patch("configmaps", "kept", {"data": {"b": "2"}}).status == 200


# Parameters


def test_parameters_are_objects_of_any_kind(api: Bench, hold: Hold) -> None:
    make(api, "limits", {"most": "1"})
    binding = {"paramRef": {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}}
    hold("size(object.data) <= int(params.data.most)", binding=binding, **CONFIG_MAPS)
    assert make(api, "one", {"a": "1"}).status == 201
    assert make(api, "two", {"a": "1", "b": "2"}).status == 422
    assert api.patch("configmaps", "limits", {"data": {"most": "2"}}).status == 200
    assert make(api, "two", {"a": "1", "b": "2"}).status == 201


def test_parameters_that_are_not_there_refuse_or_not(api: Bench, hold: Hold) -> None:
    missing = {"name": "missing", "parameterNotFoundAction": "Deny"}
    hold("false", binding={"paramRef": missing}, **CONFIG_MAPS)
    text = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    assert make(api, "refused").message.endswith(text)
    api.delete(BINDINGS, "policy-binding")
    hold("false", name="allowing", binding={"paramRef": {**missing, "parameterNotFoundAction": "Allow"}}, **CONFIG_MAPS)
    assert make(api, "fine").status == 201


def test_every_selected_parameter_counts(api: Bench, hold: Hold) -> None:
    for name, prefix in (("param-a", "a"), ("param-b", "ab")):
        make(api, name, {"prefix": prefix}, labels={"role": "param"})
    selector = {"selector": {"matchLabels": {"role": "param"}}, "parameterNotFoundAction": "Deny"}
    conditions = [{"name": "no-params", "expression": "!has(object.metadata.labels)"}]
    hold(
        {"expression": "object.data.v.startsWith(params.data.prefix)", "messageExpression": "'wants ' + params.data.prefix"},
        binding={"paramRef": selector},
        matchConditions=conditions,
        **CONFIG_MAPS,
    )
    assert make(api, "checked", {"v": "abc"}).status == 201
    assert make(api, "checked", {"v": "a"}).message.endswith("wants ab")


def test_custom_resources_are_parameters(api: Bench, hold: Hold) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "limits", "kind": "Limit"}
    spec = {"group": "params.example.com", "names": names, "scope": "Cluster", "versions": [version]}
    hold(
        "size(object.data) <= params.most",
        binding={"paramRef": {"name": "all", "parameterNotFoundAction": "Deny"}},
        paramKind={"apiVersion": "params.example.com/v1", "kind": "Limit"},
    )
    text = "failed to configure policy: failed to find resource referenced by paramKind: 'params.example.com/v1, Kind=Limit'"
    assert make(api, "early").message.endswith(f"ValidatingAdmissionPolicy 'policy' denied request: {text}")
    api.made(
        "customresourcedefinitions.apiextensions.k8s.io", {"metadata": {"name": "limits.params.example.com"}, "spec": spec}
    )
    limit = {"apiVersion": "params.example.com/v1", "kind": "Limit", "metadata": {"name": "all"}, "most": 1}
    assert api.call("POST", "/apis/params.example.com/v1/limits", limit).status == 201
    assert make(api, "one", {"a": "1"}).status == 201
    assert make(api, "two", {"a": "1", "b": "2"}).status == 422
    api.delete("customresourcedefinitions.apiextensions.k8s.io", "limits.params.example.com")


def test_equivalent_versions_are_seen_in_the_one_that_the_policy_knows(api: Bench, hold: Hold) -> None:
    rule = {"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["horizontalpodautoscalers"]}
    hold("!has(object.spec.metrics) && object.apiVersion == 'autoscaling/v1' && request.requestKind.version == 'v2'", rule=rule)
    scaler = sample(resource("horizontalpodautoscalers.v2.autoscaling"), "equivalent")
    assert api.call("POST", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", scaler).status == 201


# Costs


def test_a_costly_expression_holds_up_nobody(api: Bench, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    inline: list[bool] = []
    evaluate = evaluating.charge

    def noticed(program: Any, frame: Any, budget: evaluating.Budget) -> Any:
        inline.append(budget.inline is not None)
        return evaluate(program, frame, budget)

    monkeypatch.setattr(evaluating, "charge", noticed)
    names = ", ".join(f"'{number}'" for number in range(60))
    allowed = "authorizer.requestResource.check('create').allowed()"
    hold(f"{allowed} && [{names}].all(a, [{names}].all(b, a != b || a == b))")
    turns = 0

    async def others() -> Reply:
        nonlocal turns
        waiting = asyncio.ensure_future(api.client.create("configmaps", config_map("costly")))
        while not waiting.done():
            turns += 1
            await asyncio.sleep(0)
        return await waiting  # type: ignore[return-value]

    api.run(others())
    assert inline == [True, False]
    assert turns > 10


def test_what_costs_too_much_is_cut_off(api: Bench, hold: Hold) -> None:
    numbers = ", ".join(map(str, range(120)))
    loops = f"[{numbers}].all(a, [{numbers}].all(b, [{numbers}].all(c, a + b + c >= 0)))"
    hold(loops)
    reply = make(api, "endless")
    assert reply.message.endswith("resulted in error: operation cancelled: actual cost limit exceeded")
    assert reply.status == 422


def test_all_expressions_share_a_budget(api: Bench, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluating, "BUDGET", 50)
    hold(*["object.metadata.name == 'shared'"] * 40)
    assert make(api, "shared").message.endswith(
        "denied request: validation failed due to running out of cost budget, no further validation rules will be run"
    )


def test_audit_annotations_are_noted_on_the_request(hold: Hold, api: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: dict[str, str] = {}
    monkeypatch.setattr(APIRequest, "annotate", lambda self, key, value: noted.setdefault(key, value))
    annotations = [
        {"key": "size", "valueExpression": "'size ' + string(size(object.data))"},
        {"key": "none", "valueExpression": "null"},
    ]
    hold("false", name="notes", auditAnnotations=annotations, actions=("Audit",))
    assert make(api, "noted", {"a": "1"}).status == 201
    assert noted["notes/size"] == "size 1" and "notes/none" not in noted
    assert noted["validation.policy.admission.k8s.io/validation_failure"] == (
        '[{"message":"failed expression: false","policy":"notes","binding":"notes-binding","expressionIndex":0,'
        '"validationActions":["Audit"]}]'
    )


def test_policies_are_known_after_a_restart(tmp_path: Any) -> None:
    backend = MemoryBackend()
    with bench(tmp_path, backend) as first:
        spec = {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "false"}]}
        first.made(POLICIES, {"metadata": {"name": "kept"}, "spec": spec})
        binding = {"policyName": "kept", "validationActions": ["Deny"]}
        first.made(BINDINGS, {"metadata": {"name": "kept"}, "spec": binding})
        assert make(first, "refused").status == 422
