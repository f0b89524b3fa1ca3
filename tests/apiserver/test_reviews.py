"""Reviews: questions about who somebody is and what they may do, answered at once."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from navarch.apiserver.authorization import Authenticated, AuthorizerChain, PublicPaths, SystemMasters
from navarch.apiserver.request import ANONYMOUS, User
from tests.api.tables import said
from tests.apiserver.bench import ADMIN, ALICE, Bench, Certificate

AUTHORIZATION = "/apis/authorization.k8s.io/v1"
SUBJECT_REVIEWS = f"{AUTHORIZATION}/subjectaccessreviews"
SELF_REVIEWS = f"{AUTHORIZATION}/selfsubjectaccessreviews"
LOCAL_REVIEWS = f"{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews"
RULES_REVIEWS = f"{AUTHORIZATION}/selfsubjectrulesreviews"
ALL_RESOURCES = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
ALL_PATHS = {"verbs": ["*"], "nonResourceURLs": ["*"]}


@pytest.mark.parametrize("user", [ADMIN, ALICE], ids=["administrator", "anybody"])
def test_a_rules_review_tells_what_somebody_may_do(api: Bench, user: Certificate) -> None:
    reply = api.call("POST", RULES_REVIEWS, {"spec": {"namespace": "default"}}, user=user)
    review = reply.json
    status = review.pop("status")
    assert review == {"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {}, "spec": {}}
    assert reply.status == 201 and status["incomplete"] is False
    assert status["resourceRules"] == [ALL_RESOURCES]
    assert status["nonResourceRules"].count(ALL_PATHS) == 1


def test_who_has_not_authenticated_may_see_what_is_public() -> None:
    chain = AuthorizerChain((SystemMasters(), PublicPaths(), Authenticated()))
    rules = chain.rules(User(ANONYMOUS, ("system:unauthenticated",)), "default")
    assert rules.resources == ()
    (public,) = rules.paths
    assert {"/healthz", "/livez", "/livez/*", "/readyz", "/version"} <= set(public["nonResourceURLs"])


def test_a_rules_review_is_of_a_namespace(api: Bench) -> None:
    refused = api.call("POST", RULES_REVIEWS, {"spec": {}})
    assert (refused.status, refused.json["message"]) == (400, "no namespace on request")


def test_access_reviews_tell_what_is_allowed(api: Bench) -> None:
    attributes = {"verb": "get", "resource": "pods", "namespace": "default"}
    for user, allowed in (("alice", True), ("system:anonymous", False)):
        reply = api.call("POST", SUBJECT_REVIEWS, {"spec": {"user": user, "resourceAttributes": attributes}})
        assert reply.json["status"]["allowed"] is allowed


PODS = {"verb": "list", "resource": "pods", "namespace": "default"}
HEALTH = {"path": "/healthz", "verb": "get"}
HEALTH_SHOWN = '{"Path":"/healthz","Verb":"get"}'
NOBODY = 'spec.user: Invalid value: "": at least one of user or group must be specified'
NEITHER = (
    "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
)
BOTH = f"spec.nonResourceAttributes: Invalid value: {HEALTH_SHOWN}: cannot be specified in combination with resourceAttributes"
SELECTORS = "spec.resourceAttributes"


def selecting(**selectors: Object) -> Object:
    return {"spec": {"resourceAttributes": {**PODS, **selectors}}}


@pytest.mark.parametrize(
    ("path", "review", "expected"),
    [
        (SUBJECT_REVIEWS, {}, [NEITHER, NOBODY]),
        (SUBJECT_REVIEWS, {"spec": {"groups": ["a"], "resourceAttributes": PODS, "nonResourceAttributes": HEALTH}}, [BOTH]),
        (SELF_REVIEWS, {"spec": {}}, [NEITHER]),
        (SELF_REVIEWS, {"spec": {"resourceAttributes": PODS, "nonResourceAttributes": HEALTH}}, [BOTH]),
        (
            LOCAL_REVIEWS,
            {"spec": {"user": "a", "resourceAttributes": {**PODS, "namespace": "other"}}},
            ['spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace'],
        ),
        (
            LOCAL_REVIEWS,
            {"spec": {"user": "a", "nonResourceAttributes": HEALTH}},
            [f"spec.nonResourceAttributes: Invalid value: {HEALTH_SHOWN}: disallowed on this kind of request"],
        ),
        (
            SELF_REVIEWS,
            selecting(fieldSelector={"rawSelector": "a=b", "requirements": [{"key": "", "operator": "In"}]}),
            [
                f'{SELECTORS}.fieldSelector.rawSelector: Invalid value: "a=b": '
                "may not specified at the same time as requirements",
                f"{SELECTORS}.fieldSelector.requirements[0].key: Required value: must be specified",
                f"{SELECTORS}.fieldSelector.requirements[0].values: Required value: "
                "must be specified when `operator` is 'In' or 'NotIn'",
            ],
        ),
        (
            SELF_REVIEWS,
            selecting(labelSelector={}),
            [
                f"{SELECTORS}.labelSelector.requirements: Required value: "
                f"when {SELECTORS}.labelSelector is specified, requirements or rawSelector is required"
            ],
        ),
    ],
)
def test_what_makes_no_sense_is_refused(api: Bench, path: str, review: Object, expected: list[str]) -> None:
    reply = api.call("POST", path, review)
    assert said(reply) == expected
    shown = expected[0] if len(expected) == 1 else f"[{', '.join(expected)}]"
    assert reply.message == f'.authorization.k8s.io "" is invalid: {shown}'
    assert set(reply.json["details"]) == {"group", "causes"}


@pytest.mark.parametrize("path", [SUBJECT_REVIEWS, SELF_REVIEWS, LOCAL_REVIEWS])
def test_a_review_has_no_name(api: Bench, path: str) -> None:
    spec = {"user": "alice"} if path != SELF_REVIEWS else {}
    reply = api.call("POST", path, {"metadata": {"name": "mine"}, "spec": {**spec, "resourceAttributes": PODS}})
    (cause,) = reply.json["details"]["causes"]
    namespace = '"namespace":"default",' if path == LOCAL_REVIEWS else ""
    assert cause["message"].startswith(f'Invalid value: {{"name":"mine",{namespace}"managedFields":[{{"manager":')
    assert cause["message"].endswith(": must be empty except for namespace" if namespace else ": must be empty")


def test_a_local_review_is_of_the_namespace_of_its_path(api: Bench) -> None:
    spec = {"user": "alice", "resourceAttributes": PODS}
    made = api.call("POST", LOCAL_REVIEWS, {"spec": spec}).json
    assert made["metadata"]["namespace"] == "default" and made["status"]["allowed"] is True
    refused = api.call("POST", LOCAL_REVIEWS, {"metadata": {"namespace": "other"}, "spec": spec})
    text = "the namespace of the provided object does not match the namespace sent on the request"
    assert (refused.status, refused.message) == (400, text)
    assert api.call("POST", f"{AUTHORIZATION}/localsubjectaccessreviews", {"spec": spec}).status == 404
    assert api.call("POST", f"{AUTHORIZATION}/namespaces/default/subjectaccessreviews", {"spec": spec}).status == 404


def test_a_review_says_who_asked_what(api: Bench) -> None:
    made = api.call("POST", SELF_REVIEWS, {"spec": {"nonResourceAttributes": HEALTH}}, fieldManager="me").json
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("me", "Update")
    assert entry["fieldsV1"]["f:spec"] == {"f:nonResourceAttributes": {".": {}, "f:path": {}, "f:verb": {}}}


def requirements(*operators: str) -> Object:
    values: Object = {"In": ["a"], "NotIn": ["a"]}
    found = [{"key": "a", "operator": operator, "values": values.get(operator, [])} for operator in operators]
    return {"requirements": found}


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ({"fieldSelector": {"rawSelector": "a=b"}, "labelSelector": {"rawSelector": "a in (b)"}}, None),
        ({"fieldSelector": requirements("In", "NotIn"), "labelSelector": requirements("In", "Exists")}, None),
        ({"fieldSelector": {"rawSelector": "a"}}, f"{SELECTORS}.fieldSelector ignored due to parse error"),
        ({"fieldSelector": requirements("In", "Exists")}, f"{SELECTORS}.fieldSelector partially ignored due to parse error"),
        (
            {"fieldSelector": requirements("Near"), "labelSelector": requirements("Near", "In")},
            f"{SELECTORS}.fieldSelector ignored due to parse error; "
            f"{SELECTORS}.labelSelector partially ignored due to parse error",
        ),
    ],
)
def test_selectors_that_are_not_understood_are_told_of(api: Bench, selectors: Object, expected: str | None) -> None:
    status = api.call("POST", SELF_REVIEWS, selecting(**selectors)).json["status"]
    assert status["allowed"] is True
    assert status.get("evaluationError") == expected


def test_a_token_review_needs_a_token(api: Bench) -> None:
    reply = api.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {}})
    assert (reply.status, reply.reason) == (400, "BadRequest")
    assert reply.message == "token is required for TokenReview in authentication"


def test_who_one_is_was_found_out_just_now(api: Bench) -> None:
    me = api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {"metadata": {"name": "mine"}}).json
    assert list(me["metadata"]) == ["creationTimestamp"]
    assert me["status"]["userInfo"]["username"]
