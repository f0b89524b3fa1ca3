"""What admission adds to pods and refuses: service accounts, priorities, tolerations, namespaces."""

from __future__ import annotations

from navarch.api.registry import resource
from tests.apiserver.bench import Bench
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
