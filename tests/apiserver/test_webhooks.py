"""Admission webhooks: whom they are asked about, what they are told, what their answers do, what becomes of failures."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from navarch.apiserver.resources import versioned
from navarch.component.httpserver import Response
from navarch.storage.sqlite import SQLiteBackend
from tests.apiserver.bench import ALICE, APPLY, STRATEGIC, Bench, Reply, bench
from tests.apiserver.hooks import (
    MUTATING,
    RULE,
    VALIDATING,
    HookServer,
    add,
    after,
    allow,
    configuration,
    deny,
    patched,
)
from tests.apiserver.samples import sample
from tests.apiserver.test_proxy import own_address
from tests.apiserver.test_validating_policies import BINDINGS, POLICIES
from tests.component.test_metrics import parsed

PODS = {"resources": ["pods"]}
Register = Callable[..., Object]


@pytest.fixture(scope="module")
def server(api: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HookServer]:
    found = HookServer(api.run, tmp_path_factory.mktemp("hooks"))
    yield found
    found.close()


@pytest.fixture
def hooks(server: HookServer) -> HookServer:
    server.answers.clear()
    server.asked.clear()
    server.queries.clear()
    return server


@pytest.fixture
def register(api: Bench) -> Iterator[Register]:
    made: list[tuple[str, str]] = []

    def register(kind: str, name: str, *found: Object) -> Object:
        made.append((kind, name))
        return api.made(kind, configuration(name, *found))

    yield register
    for kind, name in made:
        api.delete(kind, name)


def config_map(name: str, **data: str) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


def make(api: Bench, name: str, *, data: dict[str, str] | None = None, **options: Any) -> Reply:
    return api.post("configmaps", config_map(name, **(data or {})), **options)


# What is told


def test_a_review_says_all_about_a_request(api: Bench, hooks: HookServer, register: Register) -> None:
    hooks.answers["/"] = allow
    register(VALIDATING, "told", hooks.hook("told", "/", {"operations": ["*"]}))
    assert make(api, "told", data={"a": "1"}, user=ALICE, fieldManager="tests").status == 201
    (asked,) = hooks.about("/")
    kind, place = {"group": "", "version": "v1", "kind": "ConfigMap"}, {"group": "", "version": "v1", "resource": "configmaps"}
    assert (asked["kind"], asked["requestKind"], asked["resource"], asked["requestResource"]) == (kind, kind, place, place)
    assert (asked["name"], asked["namespace"], asked["operation"], asked["dryRun"]) == ("told", "default", "CREATE", False)
    assert asked["userInfo"] == {"username": "alice", "groups": ["people", "system:authenticated"]}
    assert asked["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "tests"}
    assert (asked["object"]["data"], asked["object"]["kind"], asked["oldObject"]) == ({"a": "1"}, "ConfigMap", None)
    assert hooks.queries == ["timeout=10s"]
    api.patch("configmaps", "told", {"data": {"a": "2"}})
    changed = hooks.about("/")[1]
    assert (changed["operation"], changed["object"]["data"], changed["oldObject"]["data"]) == ("UPDATE", {"a": "2"}, {"a": "1"})
    api.delete("configmaps", "told", {"gracePeriodSeconds": 0})
    gone = hooks.about("/")[2]
    assert (gone["operation"], gone["object"], gone["oldObject"]["data"]) == ("DELETE", None, {"a": "2"})
    assert gone["options"] == {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 0}


def test_equivalent_versions_are_told_in_the_one_that_the_webhook_knows(
    api: Bench, hooks: HookServer, register: Register
) -> None:
    hooks.answers["/"] = patched(add("/spec/maxReplicas", 7))
    rule = {"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["horizontalpodautoscalers"]}
    register(MUTATING, "older", hooks.hook("older", "/", rule))
    scaler = sample(resource("horizontalpodautoscalers.v2.autoscaling"), "equivalent")
    made = api.call("POST", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", scaler).json
    assert (made["spec"]["maxReplicas"], made["apiVersion"]) == (7, "autoscaling/v2")
    (asked,) = hooks.about("/")
    assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v1", "v2")
    assert (asked["resource"]["version"], asked["requestResource"]["version"]) == ("v1", "v2")
    assert asked["object"]["apiVersion"] == "autoscaling/v1"


def test_an_exact_webhook_does_not_hear_of_other_versions(api: Bench, hooks: HookServer, register: Register) -> None:
    rule = {"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["horizontalpodautoscalers"]}
    register(VALIDATING, "exact", hooks.hook("exact", "/", rule, matchPolicy="Exact"))
    scaler = sample(resource("horizontalpodautoscalers.v2.autoscaling"), "exact")
    assert api.call("POST", "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", scaler).status == 201


@pytest.mark.parametrize(
    ("rule", "is_asked"),
    [
        ({}, True),
        ({"operations": ["*"]}, True),
        ({"operations": ["UPDATE", "DELETE"]}, False),
        ({"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}, True),
        ({"resources": ["*"]}, True),
        ({"resources": ["configmaps/*"]}, True),
        ({"resources": ["configmaps/status"]}, False),
        ({"resources": ["secrets"]}, False),
        ({"apiGroups": ["apps"]}, False),
        ({"apiVersions": ["v2"]}, False),
        ({"scope": "Namespaced"}, True),
        ({"scope": "Cluster"}, False),
    ],
)
def test_rules_choose_requests(api: Bench, hooks: HookServer, register: Register, rule: Object, is_asked: bool) -> None:
    hooks.answers["/"] = allow
    register(VALIDATING, "chosen", hooks.hook("chosen", "/", rule))
    assert make(api, "chosen").status == 201
    assert len(hooks.asked) == is_asked
    api.delete("configmaps", "chosen")


def test_selectors_choose_namespaces_and_objects(api: Bench, hooks: HookServer, register: Register) -> None:
    hooks.answers["/namespace"] = hooks.answers["/object"] = deny()
    api.made("namespaces", {"metadata": {"name": "chosen", "labels": {"hooked": "yes"}}})
    selector = {"matchLabels": {"hooked": "yes"}}
    register(VALIDATING, "by-namespace", hooks.hook("namespace", "/namespace", namespaceSelector=selector))
    register(VALIDATING, "by-object", hooks.hook("object", "/object", {"operations": ["*"]}, objectSelector=selector))
    assert make(api, "unchosen").status == 201 and hooks.asked == []
    elsewhere = {"metadata": {"name": "a", "namespace": "chosen"}}
    assert "namespace.example.com" in api.post("configmaps", elsewhere).message
    labelled = {"metadata": {"name": "labelled", "namespace": "default", "labels": {"hooked": "yes"}}}
    assert "object.example.com" in api.post("configmaps", labelled).message
    # What gets the label is selected, and what had it.
    label = {"metadata": {"labels": {"hooked": "yes"}}}
    assert api.patch("configmaps", "unchosen", label).status == 400


def test_a_namespace_is_selected_by_its_own_labels(api: Bench, hooks: HookServer, register: Register) -> None:
    hooks.answers["/"] = deny()
    selector = {"matchLabels": {"refused": "yes"}}
    register(VALIDATING, "namespaces", hooks.hook("own", "/", {"resources": ["namespaces"]}, namespaceSelector=selector))
    assert api.post("namespaces", {"metadata": {"name": "fine"}}).status == 201
    assert api.post("namespaces", {"metadata": {"name": "bad", "labels": {"refused": "yes"}}}).status == 400


def test_conditions_choose_requests(api: Bench, hooks: HookServer, register: Register) -> None:
    hooks.answers["/"] = deny()
    conditions = [
        {"name": "not-alice", "expression": "request.userInfo.username != 'alice'"},
        {"name": "named", "expression": "object.metadata.name.startsWith('seen-') && !has(object.data)"},
        {"name": "may", "expression": "authorizer.requestResource.check('delete').allowed()"},
    ]
    register(VALIDATING, "conditions", hooks.hook("conditions", "/", matchConditions=conditions))
    assert make(api, "seen-by-nobody", user=ALICE).status == 201
    assert make(api, "unseen").status == 201
    assert make(api, "seen-by-all").status == 400
    assert len(hooks.asked) == 1


def test_a_condition_without_a_value_refuses_unless_failures_are_ignored(
    api: Bench, hooks: HookServer, register: Register
) -> None:
    conditions = [{"name": "broken", "expression": "object.data.missing == 'x'"}]
    register(VALIDATING, "broken", hooks.hook("broken", "/", matchConditions=conditions))
    reply = make(api, "broken", data={"a": "1"})
    wanted = (
        "configmaps \"broken\" is forbidden: expression 'object.data.missing == 'x'' resulted in error: no such key: missing"
    )
    assert (reply.status, reply.message) == (403, wanted)
    api.delete(VALIDATING, "broken")
    register(VALIDATING, "ignored", hooks.hook("broken", "/", matchConditions=conditions, failurePolicy="Ignore"))
    assert make(api, "ignored", data={"a": "1"}).status == 201
    # Another that does not hold decides.
    decided = [*conditions, {"name": "no", "expression": "false"}]
    register(VALIDATING, "decided", hooks.hook("decided", "/", matchConditions=decided))
    assert make(api, "decided", data={"a": "1"}).status == 201


def test_configurations_themselves_are_exempt(api: Bench, hooks: HookServer, register: Register) -> None:
    hooks.answers["/"] = deny()
    everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    register(VALIDATING, "everything", hooks.hook("everything", "/", everything))
    register(MUTATING, "everything", hooks.hook("everything", "/", everything))
    assert make(api, "locked-out").status == 400
    register(VALIDATING, "exempt", hooks.hook("exempt", "/"))
    assert api.delete(VALIDATING, "exempt").status == 200
    assert api.delete(MUTATING, "everything").status == 200


# What answers do


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        ({"message": "not like this"}, 400, ": not like this"),
        ({"reason": "Because"}, 400, ": Because"),
        ({}, 400, " without explanation"),
        ({"message": "teapot", "code": 418}, 418, ": teapot"),
        ({"message": "fine?", "code": 200, "status": "Success"}, 400, ": fine?"),
    ],
)
def test_a_refusal_is_told_in_the_webhooks_words(
    api: Bench, hooks: HookServer, register: Register, status: Object, code: int, message: str
) -> None:
    hooks.answers["/"] = lambda _: {"allowed": False, "status": status}
    register(VALIDATING, "refuses", hooks.hook("refuses", "/"))
    reply = make(api, "refused")
    wanted = f'admission webhook "refuses.example.com" denied the request{message}'
    assert (reply.status, reply.message, reply.json["status"]) == (code, wanted, "Failure")
    assert api.get("configmaps", "refused").status == 404


def test_warnings_come_with_answers_and_with_refusals(api: Bench, hooks: HookServer, register: Register) -> None:
    hooks.answers["/"] = lambda asked: {"allowed": asked["name"] == "warned", "warnings": ['mind the "gap"', "and more"]}
    register(VALIDATING, "warns", hooks.hook("warns", "/"))
    assert make(api, "warned").headers["warning"] == '299 - "and more"'
    assert make(api, "refused").headers["warning"] == '299 - "mind the \\"gap\\"", 299 - "and more"'


def test_patches_are_applied_in_the_order_of_names(api: Bench, hooks: HookServer, register: Register) -> None:
    hooks.answers["/first"] = patched(add("/data/first", "1"))
    hooks.answers["/second"] = patched({"op": "test", "path": "/data/first", "value": "1"}, add("/data/second", "2"))
    register(MUTATING, "b", hooks.hook("second", "/second"))
    register(MUTATING, "a", hooks.hook("first", "/first"))
    hooks.answers["/last"] = allow
    register(VALIDATING, "a", hooks.hook("last", "/last"))
    made = make(api, "ordered", data={"zero": "0"}).json
    assert made["data"] == {"zero": "0", "first": "1", "second": "2"}
    assert hooks.about("/last")[0]["object"]["data"] == made["data"]


def test_what_a_webhook_adds_is_defaulted_pruned_and_validated(api: Bench, hooks: HookServer, register: Register) -> None:
    container = {"name": "added", "image": "example.com/added"}
    hooks.answers["/"] = patched(add("/spec/initContainers", [container]), add("/spec/nonsense", 1))
    register(MUTATING, "pods", hooks.hook("pods", "/", PODS))
    own = {"name": "own", "image": "example.com/own"}
    pod = {"metadata": {"name": "defaulted", "namespace": "default"}, "spec": {"containers": [own]}}
    made = api.made("pods", pod)
    assert made["spec"]["initContainers"][0]["terminationMessagePolicy"] == "File"
    assert "nonsense" not in made["spec"]
    # In-tree plugins see what was added: the account's token is mounted there, too.
    assert made["spec"]["initContainers"][0]["volumeMounts"][0]["mountPath"].endswith("serviceaccount")
    hooks.answers["/"] = patched(add("/spec/restartPolicy", "Sometimes"))
    assert api.post("pods", {**pod, "metadata": {"name": "bad", "namespace": "default"}}).causes == [
        ("FieldValueNotSupported", "spec.restartPolicy")
    ]


def test_status_and_spec_stay_apart_whatever_webhooks_want(api: Bench, hooks: HookServer, register: Register) -> None:
    deployment = sample(resource("deployments.apps"), "apart")
    hooks.answers["/"] = patched(add("/status", {"replicas": 9}))
    apps = {"apiGroups": ["apps"], "operations": ["*"], "resources": ["deployments", "deployments/status"]}
    register(MUTATING, "apart", hooks.hook("apart", "/", apps))
    assert "replicas" not in api.made("deployments.apps", deployment)["status"]
    hooks.answers["/"] = patched(add("/spec/replicas", 5), add("/status/replicas", 3))
    before = api.get("deployments.apps", "apart").json
    told = api.patch("deployments.apps", "apart", {"status": {"observedGeneration": 1}}, subresource="status").json
    assert (told["spec"]["replicas"], told["status"]["replicas"]) == (before["spec"]["replicas"], 3)
    hooks.answers["/"] = patched(add("/spec/replicas", 6))
    changed = api.patch("deployments.apps", "apart", {"metadata": {"labels": {"a": "b"}}}).json
    assert (changed["spec"]["replicas"], changed["metadata"]["generation"]) == (6, before["metadata"]["generation"] + 1)


def test_a_part_of_a_pod_stays_the_part_that_is_written(api: Bench, hooks: HookServer, register: Register) -> None:
    pod = {"metadata": {"name": "debugged", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    api.made("pods", pod)
    added = {"name": "hooked", "image": "b"}
    hooks.answers["/"] = patched(add("/spec/ephemeralContainers/-", added), add("/spec/containers/0/image", "c"))
    rule = {"operations": ["UPDATE"], "resources": ["pods/ephemeralcontainers"]}
    register(MUTATING, "debugs", hooks.hook("debugs", "/", rule))
    path = "/api/v1/namespaces/default/pods/debugged/ephemeralcontainers"
    patch = {"spec": {"ephemeralContainers": [{"name": "asked", "image": "d"}]}}
    spec = api.call("PATCH", path, patch, content_type=STRATEGIC).json["spec"]
    assert [container["name"] for container in spec["ephemeralContainers"]] == ["asked", "hooked"]
    assert spec["containers"][0]["image"] == "a"


def test_a_scale_is_told_as_one_and_may_be_changed(api: Bench, hooks: HookServer, register: Register) -> None:
    api.made("deployments.apps", sample(resource("deployments.apps"), "scaled"))
    hooks.answers["/"] = patched(add("/spec/replicas", 4))
    rule = {"apiGroups": ["apps"], "operations": ["UPDATE"], "resources": ["deployments/scale"]}
    register(MUTATING, "scale", hooks.hook("scale", "/", rule))
    scaled = api.patch("deployments.apps", "scaled", {"spec": {"replicas": 2}}, subresource="scale").json
    assert scaled["spec"]["replicas"] == 4
    (asked,) = hooks.about("/")
    assert (asked["kind"], asked["subResource"]) == ({"group": "autoscaling", "version": "v1", "kind": "Scale"}, "scale")
    assert (asked["object"]["kind"], asked["object"]["spec"]["replicas"]) == ("Scale", 2)


def test_evictions_bindings_and_connections_can_be_refused(api: Bench, hooks: HookServer, register: Register) -> None:
    pod = {"metadata": {"name": "kept", "namespace": "default"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    api.made("pods", pod)
    hooks.answers["/"] = deny("hands off")
    below = ["pods/eviction", "pods/binding", "pods/attach"]
    register(VALIDATING, "below", hooks.hook("below", "/", {"operations": ["CREATE", "CONNECT"], "resources": below}))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "kept"}}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "kept"}, "target": {"kind": "Node", "name": "a"}}
    path = "/api/v1/namespaces/default/pods/kept"
    replies = [
        api.call("POST", f"{path}/eviction", eviction),
        api.call("POST", f"{path}/binding", binding),
        api.call("POST", f"{path}/attach", stdin="true", container="a"),
    ]
    assert [reply.message.endswith("denied the request: hands off") for reply in replies] == [True] * 3
    kinds = [(asked["operation"], asked["kind"]["kind"], asked["object"]["kind"]) for asked in hooks.about("/")]
    assert kinds == [
        ("CREATE", "Eviction", "Eviction"),
        ("CREATE", "Binding", "Binding"),
        ("CONNECT", "PodAttachOptions", "PodAttachOptions"),
    ]
    options = {"kind": "PodAttachOptions", "apiVersion": "v1", "stdin": True, "container": "a"}
    assert hooks.about("/")[2]["object"] == options
    assert api.get("pods", "kept").status == 200
    # Nobody hears of an eviction as a deletion, or of a binding as a change.
    api.delete(VALIDATING, "below")
    register(VALIDATING, "pod", hooks.hook("pod", "/", {"operations": ["UPDATE", "DELETE"], "resources": ["pods"]}))
    assert api.call("POST", f"{path}/eviction", eviction).status == 201


def test_webhooks_that_want_it_see_what_later_ones_have_changed(api: Bench, hooks: HookServer, register: Register) -> None:
    def count(asked: Object) -> Object:
        labels = asked["object"]["metadata"].get("labels") or {}
        return {**patched(add("/metadata/labels", {**labels, "seen": str(len(asked["object"]["data"]))}))(asked)}

    hooks.answers["/count"] = count
    hooks.answers["/add"] = patched(add("/data/added", "x"))
    hooks.answers["/never"] = allow
    register(MUTATING, "a", hooks.hook("count", "/count", reinvocationPolicy="IfNeeded"))
    register(MUTATING, "b", hooks.hook("add", "/add"))
    register(MUTATING, "c", hooks.hook("never", "/never"))
    made = make(api, "again", data={"a": "1"}).json
    assert made["metadata"]["labels"] == {"seen": "2"}
    assert [path for path, _ in hooks.asked] == ["/count", "/add", "/never", "/count"]


def test_a_dry_run_is_told_only_to_those_without_side_effects(api: Bench, hooks: HookServer, register: Register) -> None:
    hooks.answers["/"] = patched(add("/data", {"added": "x"}))
    register(MUTATING, "dry", hooks.hook("dry", "/"))
    assert make(api, "dry", dryRun="All").json["data"] == {"added": "x"}
    assert hooks.asked[0][1]["dryRun"] is True
    assert api.get("configmaps", "dry").status == 404
    # Such were stored by servers of old.
    stored = api.get(MUTATING, "dry").json
    stored["webhooks"][0]["sideEffects"] = "NoneOnDryRun"
    assert api.put(MUTATING, stored).status == 200
    assert make(api, "dry", dryRun="All").status == 201


def test_an_applied_object_is_changed_too(api: Bench, hooks: HookServer, register: Register) -> None:
    hooks.answers["/"] = patched(add("/data/hook", "x"))
    register(MUTATING, "applied", hooks.hook("applied", "/", {"operations": ["CREATE", "UPDATE"]}))
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"mine": "1"}}
    options = {"content_type": APPLY, "fieldManager": "me"}
    made = api.patch("configmaps", "applied", body, **options).json
    assert made["data"] == {"mine": "1", "hook": "x"}
    again = api.patch("configmaps", "applied", {**body, "data": {"mine": "2"}}, **options).json
    assert again["data"] == {"mine": "2", "hook": "x"}
    (entry,) = again["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {"f:data": {"f:mine": {}}}


POST_OF_CONFIGMAPS = {("verb", "POST"), ("resource", "configmaps")}

# What becomes of failures


def test_a_webhook_that_cannot_be_reached_refuses_or_is_ignored(api: Bench, hooks: HookServer, register: Register) -> None:
    nowhere = {"clientConfig": {"url": "https://127.0.0.1:1/hook", "caBundle": hooks.bundle}}
    register(VALIDATING, "nowhere", {**hooks.hook("nowhere", "/"), **nowhere})
    reply = make(api, "unreachable")
    text = (
        'Internal error occurred: failed calling webhook "nowhere.example.com": failed to call webhook: '
        'Post "https://127.0.0.1:1/hook?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused'
    )
    assert (reply.status, reply.reason, reply.message) == (500, "InternalError", text)
    api.delete(VALIDATING, "nowhere")
    register(VALIDATING, "ignored", {**hooks.hook("nowhere", "/", failurePolicy="Ignore"), **nowhere})
    assert make(api, "unreachable").status == 201
    metrics = api.call("GET", "/metrics").body.decode()
    assert 'apiserver_admission_webhook_fail_open_count{name="nowhere.example.com",type="validating"} 1' in metrics
    rejection = (
        'apiserver_admission_webhook_rejection_count{name="nowhere.example.com",type="validating",operation="CREATE",'
        'error_type="calling_webhook_error",rejection_code="503"} 1'
    )
    assert rejection in metrics
    sums = {name: value for (name, labels), value in parsed(metrics.encode()).items() if set(labels) >= POST_OF_CONFIGMAPS}
    assert sums["apiserver_request_sli_duration_seconds_sum"] < sums["apiserver_request_duration_seconds_sum"]


def test_a_certificate_that_nobody_vouches_for_is_refused(api: Bench, hooks: HookServer, register: Register) -> None:
    config = {"url": hooks.config("/")["url"]}
    register(VALIDATING, "unknown", {**hooks.hook("unknown", "/"), "clientConfig": config})
    reply = make(api, "untrusted")
    assert reply.status == 500 and "tls: failed to verify certificate: x509: " in reply.message
    assert hooks.asked == []


def test_a_slow_webhook_is_not_waited_for(api: Bench, hooks: HookServer, register: Register) -> None:
    hooks.answers["/"] = after(3, allow)
    register(VALIDATING, "slow", hooks.hook("slow", "/", timeoutSeconds=1))
    reply = make(api, "slow")
    assert reply.status == 500
    assert reply.message.endswith('/?timeout=1s": context deadline exceeded')


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Response(200, body=b"nonsense"), "failed to call webhook: couldn't get version/kind; json parse error: "),
        (Response(404, body=b"not here"), "failed to call webhook: the server could not find the requested resource"),
        (
            Response(500, body=b"oh no\n"),
            'failed to call webhook: an error on the server ("oh no") has prevented the request from succeeding',
        ),
        (
            Response(200, body=b'{"response":{}}'),
            "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, "
            "got /, Kind=",
        ),
        ({"allowed": True, "uid": "other"}, "received invalid webhook response: expected response.uid="),
        (
            {"allowed": True, "patch": "W10="},
            "received invalid webhook response: webhook returned response.patch but not response.patchType",
        ),
        (
            {"allowed": True, "patchType": "JSONPatch"},
            "received invalid webhook response: webhook returned response.patchType but not response.patch",
        ),
        ({"allowed": True, "patchType": "Merge", "patch": "e30="}, 'unsupported patch type "Merge"'),
        ({"allowed": True, "patchType": "JSONPatch", "patch": "e30="}, "received undecodable patch in webhook response: "),
        ({"allowed": "yes"}, "received invalid webhook response: json: cannot unmarshal"),
    ],
)
def test_what_is_no_answer_is_a_failed_call(api: Bench, hooks: HookServer, register: Register, answer: Any, text: str) -> None:
    hooks.answers["/"] = lambda _: answer
    register(MUTATING, "wrong", hooks.hook("wrong", "/"))
    reply = make(api, "wrong")
    assert (reply.status, reply.reason) == (500, "InternalError")
    assert reply.message.startswith(f'Internal error occurred: failed calling webhook "wrong.example.com": {text}')
    assert api.get("configmaps", "wrong").status == 404


def test_a_validating_webhook_may_not_patch(api: Bench, hooks: HookServer, register: Register) -> None:
    hooks.answers["/"] = patched(add("/data", {}))
    register(VALIDATING, "patches", hooks.hook("patches", "/"))
    assert make(api, "patches").message.endswith("validating webhook may not return response.patch")


def test_an_answer_has_a_limit(api: Bench, hooks: HookServer, register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("navarch.apiserver.admission.webhooks.ANSWER_LIMIT_BYTES", 1000)
    hooks.answers["/"] = lambda _: {"allowed": True, "warnings": ["x" * 2000]}
    register(VALIDATING, "large", hooks.hook("large", "/"))
    assert make(api, "large").message.endswith("the answer is larger than 1000 bytes")


def test_what_is_deleted_cannot_be_patched(api: Bench, hooks: HookServer, register: Register) -> None:
    make(api, "stays")
    hooks.answers["/"] = patched(add("/data", {}))
    register(MUTATING, "deletes", hooks.hook("deletes", "/", {"operations": ["DELETE"]}))
    text = (
        'Internal error occurred: admission webhook "deletes.example.com" attempted to modify the object, which is not '
        "supported for this operation"
    )
    assert api.delete("configmaps", "stays").message == text
    assert api.get("configmaps", "stays").status == 200


def test_a_closed_connection_is_replaced(api: Bench, hooks: HookServer, register: Register, tmp_path: Path) -> None:
    first = HookServer(api.run, tmp_path)
    first.answers["/"] = allow
    register(VALIDATING, "replaced", first.hook("replaced", "/"))
    assert make(api, "before").status == 201
    first.close()
    assert make(api, "between").status == 500


def test_a_webhook_behind_a_service_is_reached_at_an_endpoint(api: Bench, register: Register, tmp_path: Path) -> None:
    served = HookServer(api.run, tmp_path, own_address())
    served.answers["/hooks/x"] = deny("from the pod")
    try:
        metadata = {"name": "hook", "namespace": "default"}
        api.made("services", {"metadata": metadata, "spec": {"ports": [{"port": 443, "name": "https"}]}})
        service = {"namespace": "default", "name": "hook", "path": "/hooks/x"}
        hook = {**served.hook("service", "/"), "clientConfig": {"service": service, "caBundle": served.bundle}}
        register(VALIDATING, "service", hook)
        called = 'failed to call webhook: Post "https://hook.default.svc:443/hooks/x?timeout=10s"'
        assert called in make(api, "behind").message
        subset = {"addresses": [{"ip": served.address}], "ports": [{"name": "https", "port": served.port}]}
        api.made("endpoints", {"metadata": metadata, "subsets": [subset]})
        assert make(api, "behind").message.endswith("denied the request: from the pod")
    finally:
        served.close()


def test_components_of_this_process_are_told_of_too(api: Bench, hooks: HookServer, register: Register) -> None:
    hooks.answers["/"] = patched(add("/data", {"hook": "x"}))
    register(MUTATING, "inside", hooks.hook("inside", "/"))
    made = api.run(api.client.create("configmaps", config_map("inside")))
    assert made["data"] == {"hook": "x"}


def test_validating_webhooks_are_asked_at_once(api: Bench, hooks: HookServer, register: Register) -> None:
    waiting: list[str] = []
    all_here = asyncio.Event()

    def answer(asked: Object) -> Any:
        async def meet() -> Object:
            waiting.append(asked["uid"])
            if len(waiting) == 3:
                all_here.set()
            await all_here.wait()
            return {"allowed": True}

        return meet()

    hooks.answers["/"] = answer
    register(VALIDATING, "together", *(hooks.hook(f"hook-{number}", "/") for number in range(3)))
    assert make(api, "together").status == 201


def test_configurations_are_known_after_a_restart(tmp_path: Path) -> None:
    with bench(tmp_path, SQLiteBackend(tmp_path / "db")) as first:
        hook = {
            "name": "a.example.com",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [RULE],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        first.made(VALIDATING, configuration("known", hook))
    with bench(tmp_path, SQLiteBackend(tmp_path / "db")) as second:
        assert "failed calling webhook" in make(second, "refused").message


def test_older_reviews_are_spoken_with_webhooks_that_know_no_others(api: Bench, hooks: HookServer, register: Register) -> None:
    versions: list[str] = []

    def answer(asked: Object) -> Response:
        operations = base64.b64encode(orjson.dumps([add("/data/older", "x")])).decode()
        versions.append(str(asked["kind"]["version"]))
        # Neither uid nor patchType were asked for then.
        response = {"allowed": True, "patch": operations}
        return Response(200, body=orjson.dumps({"response": response}))

    hooks.answers["/"] = answer
    register(MUTATING, "older", hooks.hook("older", "/", admissionReviewVersions=["v1beta1"]))
    assert make(api, "older", data={"a": "1"}).json["data"] == {"a": "1", "older": "x"}
    assert versions == ["v1"]


def test_what_other_programs_have_stored_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    strange = {"metadata": {"name": "strange"}, "webhooks": [{"name": "a.example.com"}], "spec": 7}
    kinds = (MUTATING, VALIDATING, POLICIES, BINDINGS)
    with bench(tmp_path) as api:
        for kind in map(resource, kinds):
            obj = {"apiVersion": kind.api_version, "kind": kind.kind, **strange}
            api.run(api.store.put(kind.key_prefix, kind.key("", "strange"), versioned(obj), None, obj))
        assert make(api, "served").status == 201
    assert sum("cannot be followed" in record.message for record in caplog.records) == len(kinds)
