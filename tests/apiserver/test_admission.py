"""What admission adds to pods and refuses: service accounts, priorities, tolerations, namespaces."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.admission import runtimeclass
from navarch.apiserver.admission.certificates import Certificates
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.authorization import AuthorizerChain, Decision, Rules, Verdict
from navarch.apiserver.request import APIRequest, User
from navarch.apiserver.requestinfo import RequestInfo
from navarch.scheduler.podinfo import Toleration
from tests.apiserver.bench import ALICE, Bench
from tests.apiserver.certificaterequests import signing_request
from tests.apiserver.samples import pod, sample


def test_a_pod_runs_as_its_account_with_a_token_mounted(api: Bench) -> None:
    spec = api.made("pods", pod("account"))["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    token, root, downward = volume["projected"]["sources"]
    assert token == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    assert root["configMap"] == {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    assert downward["downwardAPI"]["items"][0]["path"] == "namespace"
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert mount == {
        "name": volume["name"],
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }


def test_no_token_where_pod_or_account_want_none(api: Bench) -> None:
    assert "volumes" not in api.made("pods", pod("tokenless", automountServiceAccountToken=False))["spec"]
    account = {**sample(resource("serviceaccounts"), "silent"), "automountServiceAccountToken": False}
    api.made("serviceaccounts", account)
    assert "volumes" not in api.made("pods", pod("silenced", serviceAccountName="silent"))["spec"]
    loud = pod("loud", serviceAccountName="silent", automountServiceAccountToken=True)
    assert api.made("pods", loud)["spec"]["volumes"]


def test_pods_of_an_account_are_alike_and_who_brings_the_volume_keeps_it(api: Bench) -> None:
    first, second = (api.made("pods", pod(name))["spec"]["volumes"] for name in ("alike", "likewise"))
    assert first == second
    # As whoever writes a pod from what another one has become.
    for name in (first[0]["name"], "kube-api-access-earlier"):
        spec = api.made("pods", pod(f"again-{len(name)}", volumes=[{"name": name, "emptyDir": {}}]))["spec"]
        assert [volume["name"] for volume in spec["volumes"]] == [name]
        assert [mount["name"] for mount in spec["containers"][0]["volumeMounts"]] == [name]


def test_a_container_that_mounts_there_itself_is_left_alone(api: Bench) -> None:
    mount = {"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    own = pod("own", volumes=[{"name": "own", "emptyDir": {}}])
    own["spec"]["containers"][0]["volumeMounts"] = [mount]
    assert api.made("pods", own)["spec"]["containers"][0]["volumeMounts"] == [mount]


def test_pull_secrets_come_from_the_account(api: Bench) -> None:
    account = {**sample(resource("serviceaccounts"), "pulling"), "imagePullSecrets": [{"name": "registry"}]}
    api.made("serviceaccounts", account)
    assert api.made("pods", pod("pulls", serviceAccountName="pulling"))["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_a_missing_account_is_forbidden(api: Bench) -> None:
    refused = api.post("pods", pod("nobody", serviceAccountName="nobody"))
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert refused.message == (
        'pods "nobody" is forbidden: error looking up service account default/nobody: serviceaccount "nobody" not found'
    )


def test_a_priority_class_becomes_a_number(api: Bench) -> None:
    spec = api.made("pods", pod("ordinary"))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    api.made("priorityclasses.scheduling.k8s.io", sample(resource("priorityclasses.scheduling.k8s.io"), "urgent"))
    assert api.made("pods", pod("urgent", priorityClassName="urgent"))["spec"]["priority"] == 1000
    unknown = api.post("pods", pod("unknown", priorityClassName="unknown"))
    assert unknown.status == 403 and "no PriorityClass with name unknown was found" in unknown.message
    forged = api.post("pods", pod("forged", priority=5))
    assert forged.status == 403 and "must not be provided in pod spec" in forged.message
    default = {**sample(resource("priorityclasses.scheduling.k8s.io"), "usual"), "value": 7, "globalDefault": True}
    api.made("priorityclasses.scheduling.k8s.io", default)
    spec = api.made("pods", pod("by-default"))["spec"]
    assert (spec["priority"], spec["priorityClassName"]) == (7, "usual")
    api.delete("priorityclasses.scheduling.k8s.io", "usual")


def test_pods_tolerate_lost_nodes_for_five_minutes(api: Bench) -> None:
    added = api.made("pods", pod("tolerant"))["spec"]["tolerations"]
    assert [(t["key"], t["effect"], t["tolerationSeconds"]) for t in added] == [
        ("node.kubernetes.io/not-ready", "NoExecute", 300),
        ("node.kubernetes.io/unreachable", "NoExecute", 300),
    ]
    everything = [{"operator": "Exists"}]
    assert api.made("pods", pod("stoic", tolerations=everything))["spec"]["tolerations"] == everything


def test_nothing_is_made_in_a_missing_namespace(api: Bench) -> None:
    refused = api.post("configmaps", sample(resource("configmaps"), "lost", "nowhere"))
    assert (refused.status, refused.message) == (404, 'namespaces "nowhere" not found')


def test_quality_of_service_is_computed(api: Bench) -> None:
    def made(name: str, resources: dict[str, object]) -> str:
        new = pod(name)
        new["spec"]["containers"][0]["resources"] = resources
        return str(api.made("pods", new)["status"]["qosClass"])

    assert made("qos-a", {}) == "BestEffort"
    assert made("qos-b", {"requests": {"cpu": "1"}}) == "Burstable"
    assert made("qos-c", {"limits": {"cpu": "1", "memory": "1Gi"}}) == "Guaranteed"
    assert (
        made("qos-d", {"limits": {"cpu": 1, "memory": "1024Mi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}) == "Guaranteed"
    )
    assert made("qos-e", {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "0.5"}}) == "Burstable"


def test_an_ingress_without_a_class_gets_the_newest_default(api: Bench) -> None:
    classes, ingresses = "ingressclasses.networking.k8s.io", "ingresses.networking.k8s.io"
    default = {"ingressclass.kubernetes.io/is-default-class": "true"}
    assert "ingressClassName" not in api.made(ingresses, sample(resource(ingresses), "none"))["spec"]
    for name, marks in (("zeta", default), ("alpha", default), ("plain", {})):
        api.made(classes, sample(resource(classes), name, annotations=marks))
    stamps = {name: api.get(classes, name).json["metadata"]["creationTimestamp"] for name in ("alpha", "zeta")}
    newest = max(sorted(stamps), key=lambda name: stamps[name])
    assert api.made(ingresses, sample(resource(ingresses), "bare"))["spec"]["ingressClassName"] == newest
    annotated = sample(resource(ingresses), "annotated", annotations={"kubernetes.io/ingress.class": ""})
    assert "ingressClassName" not in api.made(ingresses, annotated)["spec"]
    named = sample(resource(ingresses), "named")
    named["spec"]["ingressClassName"] = "plain"
    assert api.made(ingresses, named)["spec"]["ingressClassName"] == "plain"
    kept = api.patch(ingresses, "none", {"metadata": {"labels": {"a": "b"}}})
    assert "ingressClassName" not in kept.json["spec"], "only new ones get a class"
    api.call("DELETE", "/apis/networking.k8s.io/v1/ingressclasses")


RUNTIMES = "runtimeclasses.node.k8s.io"


def test_a_pod_of_a_class_gets_its_overhead_and_keeps_to_its_nodes(api: Bench) -> None:
    toleration = {"key": "sandboxed", "operator": "Exists", "effect": "NoSchedule"}
    scheduling = {"nodeSelector": {"runtime": "sandboxed"}, "tolerations": [toleration]}
    heavy = {**sample(resource(RUNTIMES), "heavy"), "overhead": {"podFixed": {"cpu": "100m"}}, "scheduling": scheduling}
    api.made(RUNTIMES, heavy)
    spec = api.made("pods", pod("sandboxed", runtimeClassName="heavy", nodeSelector={"disk": "ssd"}))["spec"]
    assert spec["overhead"] == {"cpu": "100m"}
    assert spec["nodeSelector"] == {"disk": "ssd", "runtime": "sandboxed"}
    assert toleration in spec["tolerations"] and len(spec["tolerations"]) == 3
    same = pod("same", runtimeClassName="heavy", overhead={"cpu": "100m"}, nodeSelector={"runtime": "sandboxed"})
    assert api.post("pods", same).status == 201
    api.made(RUNTIMES, sample(resource(RUNTIMES), "plain"))
    assert "overhead" not in api.made("pods", pod("plain-runtime", runtimeClassName="plain"))["spec"]


def test_a_pod_that_does_not_fit_its_class_is_forbidden(api: Bench) -> None:
    strict = {
        **sample(resource(RUNTIMES), "strict"),
        "overhead": {"podFixed": {"cpu": "1"}},
        "scheduling": {"nodeSelector": {"a": "b"}},
    }
    api.made(RUNTIMES, strict)
    api.made(RUNTIMES, sample(resource(RUNTIMES), "gone"))
    api.delete(RUNTIMES, "gone")
    for spec, expected in (
        ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
        ({"runtimeClassName": "gone"}, 'pod rejected: RuntimeClass "gone" not found'),
        (
            {"runtimeClassName": "strict", "overhead": {"cpu": "2"}},
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        ({"overhead": {"cpu": "2"}}, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"),
        (
            {"runtimeClassName": "strict", "nodeSelector": {"a": "c"}},
            "conflict: runtimeClass.scheduling.nodeSelector[a] = b; pod.spec.nodeSelector[a] = c",
        ),
    ):
        refused = api.post("pods", pod("misfit", **spec))
        assert (refused.status, refused.reason) == (403, "Forbidden"), refused.body
        assert refused.message == f'pods "misfit" is forbidden: {expected}'


TOLERATIONS = st.fixed_dictionaries(
    {"key": st.sampled_from(["", "a", "b"])},
    optional={
        "operator": st.sampled_from(["Exists", "Equal"]),
        "value": st.sampled_from(["", "x", "y"]),
        "effect": st.sampled_from(["", "NoSchedule", "NoExecute"]),
        "tolerationSeconds": st.sampled_from([0, 10]),
    },
)


@given(st.lists(TOLERATIONS, max_size=4), st.lists(TOLERATIONS, max_size=4))
def test_merged_tolerations_tolerate_the_same_with_no_more_of_them(first: list[Object], second: list[Object]) -> None:
    def tolerated(tolerations: list[Object]) -> set[tuple[str, str, str]]:
        known = [
            Toleration(t.get("key", ""), t.get("operator") or "Equal", t.get("value", ""), t.get("effect", ""))
            for t in tolerations
        ]
        taints = product(("a", "b", "c"), ("", "x", "y"), ("NoSchedule", "NoExecute"))
        return {taint for taint in taints if any(toleration.tolerates(*taint) for toleration in known)}

    both = runtimeclass.merged(first, second)
    assert tolerated(both) == tolerated([*first, *second])
    assert all(toleration in [*first, *second] for toleration in both) and len(both) <= len(first) + len(second)
    assert runtimeclass.merged(both, []) == both


CSR = "certificatesigningrequests.certificates.k8s.io"


def test_who_asks_for_a_certificate_is_written_down_and_cannot_be_forged(api: Bench) -> None:
    forged = sample(resource(CSR), "asked")
    forged["spec"] |= {"username": "admin", "groups": ["system:masters"], "uid": "1", "extra": {"a": ["b"]}}
    made = api.post(CSR, forged, user=ALICE).json["spec"]
    assert (made["username"], made["groups"]) == ("alice", ["people", "system:authenticated"])
    assert "uid" not in made and "extra" not in made
    renamed = api.patch(CSR, "asked", {"spec": {"username": "admin", "signerName": "a.b/c"}})
    assert renamed.status == 200 and renamed.json["spec"] == made


def test_conditions_of_requests_are_stamped(api: Bench) -> None:
    api.made(CSR, sample(resource(CSR), "stamped"))
    approved = {"type": "Approved", "status": "True", "reason": "Tested", "message": ""}
    first = api.patch(CSR, "stamped", {"status": {"conditions": [approved]}}, subresource="approval").json
    (condition,) = first["status"]["conditions"]
    assert condition["lastUpdateTime"] and condition["lastTransitionTime"]
    other = {"type": "Other", "status": "Unknown"}
    sent = {**first, "status": {"conditions": [condition, other]}}
    second = api.put(CSR, sent, "status").json["status"]["conditions"]
    assert second[0] == condition and second[1]["lastUpdateTime"]
    refused = api.put(CSR, {**first, "status": {}}, "approval")
    assert refused.status in (409, 422)


def test_nobody_gets_the_masters_group_by_a_request(api: Bench) -> None:
    wanted = sample(resource(CSR), "masterly")
    request = signing_request("eve", ["system:masters"])
    wanted["spec"] |= {"request": request, "signerName": "kubernetes.io/kube-apiserver-client"}
    refused = api.post(CSR, wanted)
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert refused.message == (
        f'{CSR} "masterly" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not '
        "allowed"
    )
    wanted["spec"]["signerName"] = "example.com/signer"
    assert api.post(CSR, wanted).status == 201


@pytest.mark.parametrize("allowed", ["example.com/signer", "example.com/*", "other.com/signer"])
@pytest.mark.parametrize(("subresource", "verb"), [("approval", "approve"), ("status", "sign")])
def test_only_those_who_may_approve_and_sign_do(allowed: str, subresource: str, verb: str) -> None:
    class Only:
        def authorize(self, user: User, info: RequestInfo) -> Verdict:
            asked = (info.verb, info.group, info.resource, info.name)
            fits = asked == (verb, "certificates.k8s.io", "signers", allowed)
            return Verdict(Decision.ALLOW if fits else Decision.NO_OPINION)

        def rules(self, user: User, namespace: str) -> Rules:
            return Rules()

    plugin, kind = Certificates(AuthorizerChain((Only(),))), resource(CSR)
    old = sample(kind, "asked")
    new = {**old, "status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    request = APIRequest(RequestInfo("", "update"), "PUT", {}, User("alice"))
    attributes = Attributes(request, kind, "UPDATE", "", "asked", subresource)
    if allowed.startswith("example.com"):
        asyncio.run(plugin.validate(attributes, new, old))
        return
    with pytest.raises(StatusError) as refused:
        asyncio.run(plugin.validate(attributes, new, old))
    assert refused.value.message == (
        f'{CSR} "asked" is forbidden: user not permitted to {verb} requests with signerName "example.com/signer"'
    )


def test_a_new_node_is_tainted_until_it_is_known_to_be_ready(api: Bench) -> None:
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    other = {"key": "dedicated", "effect": "NoExecute"}
    assert api.made("nodes", sample(resource("nodes"), "fresh"))["spec"]["taints"] == [taint]
    tainted = {"metadata": {"name": "tainted"}, "spec": {"taints": [{**taint, "value": "said"}]}}
    assert api.made("nodes", tainted)["spec"]["taints"] == [{**taint, "value": "said"}]
    elsewhere = {"metadata": {"name": "elsewhere"}, "spec": {"taints": [other]}}
    assert api.made("nodes", elsewhere)["spec"]["taints"] == [other, taint]


def test_nothing_is_bound_or_evicted_where_a_namespace_goes(api: Bench) -> None:
    api.made("namespaces", {"metadata": {"name": "going"}})
    api.made("serviceaccounts", {"metadata": {"name": "default", "namespace": "going"}})
    held = {**pod("held"), "metadata": {"name": "held"}}
    assert api.call("POST", "/api/v1/namespaces/going/pods", held).status == 201
    api.call("DELETE", "/api/v1/namespaces/going")
    for part, body in (
        ("pods/held/binding", {"metadata": {"name": "held"}, "target": {"kind": "Node", "name": "n"}}),
        ("pods/held/eviction", {"metadata": {"name": "held"}}),
        ("serviceaccounts/default/token", {}),
    ):
        reply = api.call("POST", f"/api/v1/namespaces/going/{part}", body)
        kind, name, _ = part.split("/")
        text = "unable to create new content in namespace going because it is being terminated"
        assert (reply.status, reply.message) == (403, f'{kind} "{name}" is forbidden: {text}'), part
        assert reply.json["details"]["causes"][0]["reason"] == "NamespaceTerminating"


MIRRORED = {"kubernetes.io/config.mirror": "hash"}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, ""),
        ({"serviceAccountName": "default"}, "a mirror pod may not reference service accounts"),
        ({"imagePullSecrets": [{"name": "s"}]}, "a mirror pod may not reference secrets"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "a mirror pod may not reference secrets"),
        (
            {"containers": [{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "s"}}]}]},
            "a mirror pod may not reference secrets",
        ),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
            "a mirror pod may not use ServiceAccountToken volume projections",
        ),
    ],
)
def test_a_mirror_pod_refers_to_nothing_that_its_kubelet_would_have_to_ask_for(api: Bench, spec: Object, problem: str) -> None:
    mirror = pod(f"mirror-{len(str(spec))}", nodeName="n", **spec)
    mirror["metadata"]["annotations"] = MIRRORED
    reply = api.post("pods", mirror)
    assert reply.status == (403 if problem else 201), reply.body
    if problem:
        assert reply.message == f'pods "{mirror["metadata"]["name"]}" is forbidden: {problem}'
    else:
        assert "serviceAccountName" not in reply.json["spec"]


SECRET_ENV = [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"volumes": [{"name": "v", "secret": {"secretName": "own"}}]}, ""),
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "other"}}]},
            'volume with secret.secretName="other" is not allowed because '
            "service account strict does not reference that secret",
        ),
        (
            {"initContainers": [{"name": "c", "image": "i", "env": SECRET_ENV}]},
            'init container c with envVar E referencing secret.secretName="other" is not allowed because '
            "service account strict does not reference that secret",
        ),
        (
            {"containers": [{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "other"}}]}]},
            'container c with envFrom referencing secret.secretName="other" is not allowed because '
            "service account strict does not reference that secret",
        ),
        (
            {"imagePullSecrets": [{"name": "pull"}, {"name": "other"}]},
            'imagePullSecrets[1].name="other" is not allowed because service account strict '
            "does not reference that imagePullSecret",
        ),
    ],
)
def test_an_account_may_keep_secrets_from_its_pods(api: Bench, spec: Object, problem: str) -> None:
    annotations = {"kubernetes.io/enforce-mountable-secrets": "true"}
    metadata = {"name": "strict", "namespace": "default", "annotations": annotations}
    api.post("serviceaccounts", {"metadata": metadata, "secrets": [{"name": "own"}], "imagePullSecrets": [{"name": "pull"}]})
    name = f"kept-from-{len(problem)}"
    reply = api.post("pods", pod(name, serviceAccountName="strict", **spec))
    assert reply.status == (403 if problem else 201), reply.body
    if problem:
        assert reply.message == f'pods "{name}" is forbidden: {problem}'
        return
    debugger = {"name": "debugger", "image": "i", "env": SECRET_ENV}
    change = {"spec": {"ephemeralContainers": [debugger]}}
    refused = api.patch("pods", name, change, subresource="ephemeralcontainers")
    assert refused.message == (
        f'pods "{name}" is forbidden: ephemeral container debugger with envVar E referencing secret.secretName="other" '
        "is not allowed because service account strict does not reference that secret"
    )


def test_whether_a_pod_preempts_is_for_its_class_to_say(api: Bench) -> None:
    polite = {**sample(resource("priorityclasses.scheduling.k8s.io"), "polite"), "value": 5, "preemptionPolicy": "Never"}
    api.made("priorityclasses.scheduling.k8s.io", polite)
    of_class = pod("of-polite", priorityClassName="polite", preemptionPolicy="Never")
    assert api.made("pods", of_class)["spec"]["preemptionPolicy"] == "Never"
    text = "the string value of PreemptionPolicy ({}) must not be provided in pod spec; "
    text += "priority admission controller computed {} from the given PriorityClass name"
    rude = pod("rude", priorityClassName="polite", preemptionPolicy="PreemptLowerPriority")
    assert api.post("pods", rude).message == f'pods "rude" is forbidden: {text.format("PreemptLowerPriority", "Never")}'
    reply = api.post("pods", pod("meek", preemptionPolicy="Never"))
    assert (reply.status, reply.message) == (
        403,
        f'pods "meek" is forbidden: {text.format("Never", "PreemptLowerPriority")}',
    )


def test_who_writes_a_pod_anew_need_not_say_what_admission_added(api: Bench) -> None:
    made = api.made("pods", pod("rewritten"))
    left_out = ("priority", "preemptionPolicy", "tolerations")
    spec = {field: value for field, value in made["spec"].items() if field not in left_out}
    reply = api.put("pods", {**made, "spec": spec})
    assert reply.status == 200, reply.body
    assert reply.json["spec"] == made["spec"]


def test_containers_that_are_alike_have_one_problem(api: Bench) -> None:
    api.made("namespaces", {"metadata": {"name": "limited"}})
    api.made("serviceaccounts", {"metadata": {"name": "default", "namespace": "limited"}})
    limits = [{"type": "Container", "max": {"cpu": "1"}}]
    api.made("limitranges", {"metadata": {"name": "l", "namespace": "limited"}, "spec": {"limits": limits}})
    containers = [{"name": name, "image": "i", "resources": {"limits": {"cpu": "2"}}} for name in ("a", "b")]
    alike = {"metadata": {"name": "alike", "namespace": "limited"}, "spec": {"containers": containers}}
    assert api.post("pods", alike).message == (
        'pods "alike" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
    )
