"""scale, binding, eviction, token, finalize."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from navarch.apiserver.subresources import eviction
from tests.api.tables import said
from tests.apiserver.bench import JSON_PATCH, MERGE, STRATEGIC, Bench
from tests.apiserver.samples import pod, sample

SCALED = pytest.mark.parametrize("name", ["deployments.apps", "replicasets.apps", "replicationcontrollers"])


@SCALED
def test_scale_shows_and_changes_the_replicas(api: Bench, name: str) -> None:
    made = api.made(name, {**sample(resource(name), "scaled")})
    scale = api.get(name, "scaled", subresource="scale").json
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == ("Scale", "autoscaling/v1", {"replicas": 1})
    assert scale["status"] == {"replicas": 0, "selector": "app=web"}
    assert scale["metadata"]["uid"] == made["metadata"]["uid"]
    put = api.put(name, {**scale, "spec": {"replicas": 4}}, "scale")
    assert put.status == 200 and put.json["spec"]["replicas"] == 4
    now = api.get(name, "scaled").json
    assert now["spec"]["replicas"] == 4 and now["metadata"]["generation"] == 2
    for replicas, type_ in ((5, MERGE), (6, STRATEGIC)):
        patched = api.patch(name, "scaled", {"spec": {"replicas": replicas}}, subresource="scale", content_type=type_)
        assert patched.json["spec"]["replicas"] == replicas
    change = [{"op": "replace", "path": "/spec/replicas", "value": 0}]
    assert api.patch(name, "scaled", change, subresource="scale", content_type=JSON_PATCH).json["spec"] == {"replicas": 0}
    assert api.put(name, scale, "scale").status == 409


def test_a_scale_is_of_what_the_url_names(api: Bench) -> None:
    made = api.made("deployments.apps", sample(resource("deployments.apps"), "meant"))
    path = "/apis/apps/v1/namespaces/default/deployments/meant/scale"
    for metadata, status, message in (
        ({}, 400, "the name of the object (meant based on URL) was undeterminable: name must be provided"),
        ({"name": "other"}, 400, "the name of the object (other) does not match the name on the URL (meant)"),
        ({"name": "meant", "namespace": "other"}, 400, OTHER_NAMESPACE),
        ({"name": "meant", "uid": "x"}, 409, f"UID in precondition: x, UID in object meta: {made['metadata']['uid']}"),
    ):
        reply = api.call("PUT", path, {"metadata": metadata, "spec": {"replicas": 3}})
        assert reply.status == status and message in reply.message
    assert api.get("deployments.apps", "meant").json["spec"]["replicas"] == 1


@SCALED
@pytest.mark.parametrize(
    ("spec", "status"),
    [({"replicas": -1}, 422), ({"replicas": "many"}, 400), ({"replicas": True}, 400), ({"replicas": 2**40}, 400)],
)
def test_scales_that_make_no_sense_are_refused(api: Bench, name: str, spec: Object, status: int) -> None:
    if api.get(name, "refusing").status == 404:
        api.made(name, sample(resource(name), "refusing"))
    body = {"metadata": {"name": "refusing", "namespace": "default"}, "spec": spec}
    assert api.put(name, body, "scale").status == status
    assert api.patch(name, "refusing", {"spec": spec}, subresource="scale").status == 422
    assert api.get(name, "refusing").json["spec"]["replicas"] == 1


def test_scale_bodies_of_any_form_are_answered(api: Bench) -> None:
    api.made("deployments.apps", sample(resource("deployments.apps"), "formless"))
    path = "/apis/apps/v1/namespaces/default/deployments/formless/scale"
    for body in ([], "x", 1, None, {"spec": []}, {"metadata": 3}, {"kind": "Pod"}):
        assert api.call("PUT", path, body).status == 400, body
        assert api.call("PATCH", path, body, content_type="text/plain").status == 415
        assert body == [] or api.call("PATCH", path, body, content_type=JSON_PATCH).status == 400
    assert api.call("PATCH", path, [1], content_type=MERGE).status == 400
    assert api.call("DELETE", path).status == 405
    assert api.get("deployments.apps", "no-such", subresource="scale").status == 404


# Binding


TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def test_a_scale_is_printed_as_such(api: Bench) -> None:
    api.made("deployments.apps", sample(resource("deployments.apps"), "printed"))
    found = api.get("deployments.apps", "printed", subresource="scale", headers=TABLE).json
    assert [column["name"] for column in found["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert found["rows"][0]["cells"][:3] == ["printed", 1, 0]


@pytest.mark.parametrize("path", ["serviceaccounts/default/token", "pods/any/eviction", "pods/any/binding", "bindings"])
def test_what_is_only_posted_has_no_table(api: Bench, path: str) -> None:
    reply = api.call("POST", f"/api/v1/namespaces/default/{path}", {}, headers=TABLE)
    assert (reply.status, reply.reason) == (406, "NotAcceptable")


OTHER_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"


def bind(api: Bench, pod_name: str, target: Any = None, **metadata: Any) -> Any:
    target = {"kind": "Node", "name": "node-1"} if target is None else target
    body = {"target": target, "metadata": {"name": pod_name, **metadata}}
    return api.call("POST", f"/api/v1/namespaces/default/pods/{pod_name}/binding", body)


def test_a_binding_places_a_pod_once(api: Bench) -> None:
    made = api.made("pods", pod("to-bind"))
    bound = bind(api, "to-bind", annotations={"placed-by": "test"})
    assert (bound.status, bound.json["status"]) == (201, "Success")
    now = api.get("pods", "to-bind").json
    assert now["spec"]["nodeName"] == "node-1" and now["metadata"]["annotations"] == {"placed-by": "test"}
    (condition,) = now["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    assert now["metadata"]["uid"] == made["metadata"]["uid"]
    assert now["metadata"]["generation"] == made["metadata"]["generation"] == 1
    again = bind(api, "to-bind")
    assert (again.status, again.reason) == (409, "Conflict")
    assert 'pod to-bind is already assigned to node "node-1"' in again.message


def test_bindings_that_do_not_fit_are_refused(api: Bench) -> None:
    api.made("pods", pod("unfit"))
    assert bind(api, "unfit", {"kind": "Node"}).status == 422
    assert bind(api, "unfit", {"kind": "Pod", "name": "x"}).status == 422
    assert bind(api, "unfit", {}).status == 422
    assert bind(api, "unfit", "x").status == 400
    for name in ("other", ""):
        elsewhere = bind(api, "unfit", name=name)
        assert (elsewhere.status, elsewhere.message) == (400, "name in URL does not match name in Binding object")
    assert bind(api, "unfit", namespace="other").message == OTHER_NAMESPACE
    assert bind(api, "unfit", {"kind": "Minion", "name": "x"}).status == 422
    assert bind(api, "unfit", uid="another").status == 409
    elsewhen = bind(api, "unfit", resourceVersion="1")
    assert elsewhen.status == 409
    assert 'pods "unfit": Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in' in elsewhen.message
    assert bind(api, "missing").status == 404
    api.made("pods", pod("gated", schedulingGates=[{"name": "example.com/wait"}]))
    assert bind(api, "gated").status == 409
    assert "nodeName" not in api.get("pods", "unfit").json["spec"]


ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


def test_pods_are_labelled_with_where_their_node_is(api: Bench) -> None:
    def labels(name: str, **metadata: Any) -> Any:
        made = pod(name)
        made["metadata"]["labels"] = {"app": "web", REGION: "mine"}
        api.made("pods", made)
        assert bind(api, name, {"kind": metadata.pop("kind", "Node"), "name": "placed"}, **metadata).status == 201
        return api.get("pods", name).json["metadata"]["labels"]

    node = sample(resource("nodes"), "placed", labels={ZONE: "z", REGION: "r", "other": "x"})
    api.made("nodes", node)
    assert labels("to-node") == {"app": "web", ZONE: "z", REGION: "r"}
    assert labels("to-said", labels={ZONE: "said", "more": "a"}) == {"app": "web", ZONE: "z", REGION: "r", "more": "a"}
    assert labels("to-unsaid", kind="") == {"app": "web", REGION: "mine"}
    direct = pod("direct", nodeName="placed")
    direct["metadata"]["labels"] = {REGION: "mine"}
    assert api.made("pods", direct)["metadata"]["labels"] == {REGION: "r", ZONE: "z"}
    api.patch("nodes", "placed", {"metadata": {"labels": {ZONE: "moved"}}})
    assert labels("to-moved")[ZONE] == "moved"
    refused = bind(api, api.made("pods", pod("mislabelled"))["metadata"]["name"], labels={"a b": "c"})
    assert refused.status == 422


# Eviction


@pytest.fixture
def ready_pod(api: Bench, request: pytest.FixtureRequest) -> str:
    name = f"evicted-{abs(hash(request.node.name)) % 10**8}"
    made = pod(name)
    made["metadata"]["labels"] = {"app": "web", "of": name}
    api.made("pods", made)
    bind(api, name)
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    api.patch("pods", name, {"status": status}, subresource="status")
    return name


def evict(api: Bench, name: str, **options: Any) -> Any:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}, **options}
    return api.call("POST", f"/api/v1/namespaces/default/pods/{name}/eviction", body)


def budget(api: Bench, name: str, **status: Any) -> None:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"of": name}}}
    api.made("poddisruptionbudgets.policy", {**sample(resource("poddisruptionbudgets.policy"), name), "spec": spec})
    whole = {"currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 1, "disruptionsAllowed": 0, **status}
    assert api.patch("poddisruptionbudgets.policy", name, {"status": whole}, subresource="status").status == 200


def test_without_a_budget_an_eviction_is_a_deletion(api: Bench, ready_pod: str) -> None:
    assert evict(api, ready_pod, deleteOptions={"dryRun": ["All"]}).status == 201
    assert "deletionTimestamp" not in api.get("pods", ready_pod).json["metadata"]
    assert evict(api, ready_pod, deleteOptions={"gracePeriodSeconds": 7}).status == 201
    assert api.get("pods", ready_pod).json["metadata"]["deletionGracePeriodSeconds"] == 7
    assert evict(api, "missing").status == 404
    for metadata in ({}, {"name": "other"}):
        elsewhere = evict(api, ready_pod, metadata=metadata)
        assert (elsewhere.status, elsewhere.message) == (400, "name in URL does not match name in Eviction object")
    assert evict(api, ready_pod, metadata={"name": ready_pod, "namespace": "other"}).message == OTHER_NAMESPACE


def test_an_evicted_pod_says_why_it_goes(api: Bench, ready_pod: str) -> None:
    before = api.patch("pods", ready_pod, {"metadata": {"finalizers": ["example.com/held"]}}).json["metadata"]
    for wrong in ({"uid": "00000000-0000-4000-8000-000000000000"}, {"resourceVersion": "1"}):
        refused = evict(api, ready_pod, deleteOptions={"preconditions": wrong})
        assert (refused.status, refused.reason) == (409, "Conflict")
    assert api.get("pods", ready_pod).json["metadata"]["resourceVersion"] == before["resourceVersion"]
    meant = {"uid": before["uid"], "resourceVersion": before["resourceVersion"]}
    assert evict(api, ready_pod, deleteOptions={"preconditions": meant}).status == 201
    after = api.get("pods", ready_pod).json
    assert "deletionTimestamp" in after["metadata"]
    (found,) = [each for each in after["status"]["conditions"] if each["type"] == "DisruptionTarget"]
    assert (found["status"], found["reason"], found["message"]) == ("True", "EvictionByEvictionAPI", "Eviction API: evicting")


def test_a_spent_budget_refuses_with_too_many_requests(api: Bench, ready_pod: str) -> None:
    budget(api, ready_pod, currentHealthy=1, desiredHealthy=1, observedGeneration=1)
    refused = evict(api, ready_pod)
    assert (refused.status, refused.reason) == (429, "TooManyRequests")
    assert refused.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert refused.causes == [("DisruptionBudget", None)]
    assert "deletionTimestamp" not in api.get("pods", ready_pod).json["metadata"]


def test_an_eviction_spends_one_disruption(api: Bench, ready_pod: str) -> None:
    budget(api, ready_pod, currentHealthy=2, desiredHealthy=1, disruptionsAllowed=1, observedGeneration=1)
    assert evict(api, ready_pod, deleteOptions={"dryRun": ["All"]}).status == 201
    assert evict(api, ready_pod).status == 201
    status = api.get("poddisruptionbudgets.policy", ready_pod).json["status"]
    assert status["disruptionsAllowed"] == 0 and list(status["disruptedPods"]) == [ready_pod]


def test_a_budget_not_looked_at_yet_asks_to_try_again(api: Bench, ready_pod: str) -> None:
    budget(api, ready_pod, disruptionsAllowed=1)
    refused = evict(api, ready_pod)
    assert refused.status == 429 and refused.headers["retry-after"] == "10"


def test_pods_that_are_not_ready_need_no_healthy_budget(api: Bench, ready_pod: str) -> None:
    budget(api, ready_pod, currentHealthy=1, desiredHealthy=1, observedGeneration=1)
    unready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    api.patch("pods", ready_pod, unready, subresource="status")
    assert evict(api, ready_pod).status == 201


@pytest.mark.parametrize(
    ("phase", "cause"),
    [
        ("Pending", "The disruption budget {} needs 1 healthy pods and has 1 currently"),
        ("Running", "The disruption budget {} is still being processed by the server."),
    ],
)
def test_a_pod_that_becomes_ready_meanwhile_is_not_evicted_as_one_that_is_not(
    api: Bench, ready_pod: str, monkeypatch: pytest.MonkeyPatch, phase: str, cause: str
) -> None:
    budget(api, ready_pod, currentHealthy=1, desiredHealthy=1, observedGeneration=1)

    def status(phase: str, ready: str) -> Object:
        return {"status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}}

    api.patch("pods", ready_pod, status(phase, "False"), subresource="status")
    mark = eviction._mark

    async def mark_later(*arguments: Any) -> Object:
        monkeypatch.setattr(eviction, "_mark", mark)
        await api.client.patch("pods", ready_pod, status("Running", "True"), "default", subresource="status")
        return await mark(*arguments)

    monkeypatch.setattr(eviction, "_mark", mark_later)
    refused = evict(api, ready_pod)
    assert (refused.status, refused.json["details"]["causes"][0]["message"]) == (429, cause.format(ready_pod))
    metadata = api.get("pods", ready_pod).json["metadata"]
    assert "deletionTimestamp" not in metadata


@pytest.mark.parametrize(
    "body", [[], "x", {"kind": "Pod"}, {"deleteOptions": 3}, {"metadata": []}, {"metadata": {"name": "other"}}]
)
def test_evictions_of_another_form_are_refused(api: Bench, ready_pod: str, body: Any) -> None:
    assert api.call("POST", f"/api/v1/namespaces/default/pods/{ready_pod}/eviction", body).status == 400
    assert api.call("GET", f"/api/v1/namespaces/default/pods/{ready_pod}/eviction").status == 405


# Token


def token(api: Bench, spec: Any, account: str = "default") -> Any:
    return api.call("POST", f"/api/v1/namespaces/default/serviceaccounts/{account}/token", {"spec": spec})


def test_a_token_stands_for_its_account(api: Bench) -> None:
    answer = token(api, {"expirationSeconds": 600})
    assert answer.status == 201 and answer.json["spec"]["expirationSeconds"] == 600
    headers = {"authorization": f"Bearer {answer.json['status']['token']}"}
    me = api.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, user=None, headers=headers)
    info = me.json["status"]["userInfo"]
    assert info["username"] == "system:serviceaccount:default:default"
    assert info["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    assert info["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")


def test_a_token_is_of_the_account_that_the_url_names(api: Bench) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    reply = api.call("POST", path, {"metadata": {"name": "other"}, "spec": {}})
    assert said(reply) == ['metadata.name: Invalid value: "other": must match the service account name if specified']
    reply = api.call("POST", path, {"metadata": {"namespace": "other"}, "spec": {}})
    assert (reply.status, reply.message) == (400, OTHER_NAMESPACE)


@pytest.mark.parametrize(
    ("subresource", "methods"),
    [("log", "POST PUT PATCH DELETE"), *((name, "PUT PATCH DELETE") for name in ("exec", "attach", "portforward"))],
)
def test_what_is_read_or_connected_to_is_not_written(api: Bench, subresource: str, methods: str) -> None:
    for method in methods.split():
        reply = api.call(method, f"/api/v1/namespaces/default/pods/any/{subresource}", {})
        assert (reply.status, reply.reason) == (405, "MethodNotAllowed"), method


def test_a_token_bound_to_a_pod_names_its_node(api: Bench) -> None:
    node = api.made("nodes", {"metadata": {"name": "node-of-token"}})
    for name in ("node-of-token", "node-without-object"):
        made = api.made("pods", {**pod(f"on-{name}"), "spec": {**pod("x")["spec"], "nodeName": name}})
        reference = {"kind": "Pod", "apiVersion": "v1", "name": f"on-{name}", "uid": made["metadata"]["uid"]}
        review = {"spec": {"token": token(api, {"boundObjectRef": reference}).json["status"]["token"]}}
        user = api.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review).json["status"]["user"]
        assert user["extra"]["authentication.kubernetes.io/node-name"] == [name]
        uid = user["extra"].get("authentication.kubernetes.io/node-uid")
        assert uid == ([node["metadata"]["uid"]] if name == "node-of-token" else None)


def test_a_bound_token_dies_with_its_pod(api: Bench) -> None:
    made = api.made("pods", pod("with-token"))
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "with-token", "uid": made["metadata"]["uid"]}
    answer = token(api, {"boundObjectRef": reference})
    headers = {"authorization": f"Bearer {answer.json['status']['token']}"}
    review = {"spec": {"token": answer.json["status"]["token"]}}
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    assert api.call("POST", reviews, review).json["status"]["authenticated"] is True
    assert api.call("GET", "/api/v1/namespaces/default/pods", user=None, headers=headers).status == 200
    api.delete("pods", "with-token")
    assert "authenticated" not in api.call("POST", reviews, review).json["status"]
    refused = api.call("GET", "/api/v1/namespaces/default/pods", user=None, headers=headers)
    assert (refused.status, refused.reason, refused.message) == (401, "Unauthorized", "Unauthorized")


def test_a_token_for_another_audience_is_none_for_the_server(api: Bench) -> None:
    answer = token(api, {"audiences": ["vault"]})
    headers = {"authorization": f"Bearer {answer.json['status']['token']}"}
    assert api.call("GET", "/api", user=None, headers=headers).status == 401
    review = {"spec": {"token": answer.json["status"]["token"], "audiences": ["vault", "other"]}}
    status = api.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review).json["status"]
    assert status["authenticated"] and status["audiences"] == ["vault"]


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"expirationSeconds": 5}, 422),
        ({"expirationSeconds": 2**33}, 422),
        ({"expirationSeconds": "x"}, 400),
        ({"audiences": "x"}, 400),
        ({"boundObjectRef": {"kind": "Node", "name": "n"}}, 400),
        ({"boundObjectRef": {"kind": "Pod", "name": "missing"}}, 404),
        ({"boundObjectRef": "x"}, 400),
        ("x", 400),
    ],
)
def test_token_requests_that_make_no_sense_are_refused(api: Bench, spec: Any, status: int) -> None:
    assert token(api, spec).status == status
    assert token(api, {}, "missing").status == 404


@pytest.mark.parametrize(
    "bearer",
    ["", "x", "a.b.c", "a.b", "....", "e30.e30.e30", "eyJhbGciOiJub25lIn0.e30.", "\x00", "é.é.é", "W10.W10.W10", "MQ.MQ.MQ"],
)
def test_tokens_that_are_none_are_refused(api: Bench, bearer: str) -> None:
    reply = api.call("GET", "/api/v1/pods", user=None, headers={"authorization": f"Bearer {bearer}"})
    assert (reply.status, reply.reason) == (401, "Unauthorized")
    encoded = {"sec-websocket-protocol": f"base64url.bearer.authorization.k8s.io.{bearer}, v5.channel.k8s.io"}
    assert api.call("GET", "/api/v1/pods", user=None, headers=encoded).status == 401
    review = api.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": bearer}})
    assert review.status == (201 if bearer else 400)
    assert not bearer or "authenticated" not in review.json["status"]


# Finalize


def test_a_namespace_goes_when_its_finalizers_have_gone(api: Bench) -> None:
    api.namespace("ending")
    assert api.delete("namespaces", "ending").json["status"]["phase"] == "Terminating"
    terminating = api.get("namespaces", "ending").json
    refused = api.post("configmaps", sample(resource("configmaps"), "late", "ending"))
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert refused.message == (
        'configmaps "late" is forbidden: unable to create new content in namespace ending because it is being terminated'
    )
    assert refused.causes == [("NamespaceTerminating", "metadata.namespace")]
    kept = api.put("namespaces", {**terminating, "spec": {}})
    assert kept.json["spec"]["finalizers"] == ["kubernetes"]
    path = "/api/v1/namespaces/ending/finalize"
    for metadata, status, message in (
        ({}, 400, "the name of the object (ending based on URL) was undeterminable: name must be provided"),
        ({"name": "other"}, 400, "the name of the object (other) does not match the name on the URL (ending)"),
        ({"name": "ending", "uid": "x"}, 409, "UID in precondition: x, UID in object meta: "),
    ):
        reply = api.call("PUT", path, {"metadata": metadata, "spec": {"finalizers": []}})
        assert reply.status == status and message in reply.message
    assert api.put("namespaces", {**terminating, "spec": {"finalizers": []}}, "finalize").status == 200
    assert api.get("namespaces", "ending").status == 404
    assert api.call("GET", "/api/v1/namespaces/default/finalize").status == 405


def test_some_namespaces_stay(api: Bench) -> None:
    for name in ("default", "kube-system"):
        refused = api.delete("namespaces", name)
        assert (refused.status, refused.message) == (
            403,
            f'namespaces "{name}" is forbidden: this namespace may not be deleted',
        )
