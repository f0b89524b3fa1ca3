"""What is refused about pods and workloads, field by field, with the causes Kubernetes names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.apiserver.bench import Bench, bench
from tests.apiserver.samples import POD_SPEC, TEMPLATE, sample


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("api")) as found:
        yield found


def container(**fields: Any) -> Object:
    return {"containers": [{**POD_SPEC["containers"][0], **fields}]}


def volume(**source: Any) -> Object:
    return {**POD_SPEC, "volumes": [{"name": "v", **source}]}


HTTP = {"httpGet": {"port": 80}}
C = "spec.containers[0]"
SPREAD = "spec.topologySpreadConstraints[0]"
INVALID, REQUIRED, UNSUPPORTED, FORBIDDEN, DUPLICATE, MISSING = (
    f"FieldValue{name}" for name in ("Invalid", "Required", "NotSupported", "Forbidden", "Duplicate", "NotFound")
)


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ({}, (REQUIRED, "spec.containers")),
        ({"containers": [{}]}, (REQUIRED, f"{C}.name")),
        ({"containers": [{"name": "a"}]}, (REQUIRED, f"{C}.image")),
        (container(name="A"), (INVALID, f"{C}.name")),
        (container(image=" x"), (INVALID, f"{C}.image")),
        (container(imagePullPolicy="Sometimes"), (UNSUPPORTED, f"{C}.imagePullPolicy")),
        (container(terminationMessagePolicy="X"), (UNSUPPORTED, f"{C}.terminationMessagePolicy")),
        (container(ports=[{}]), (REQUIRED, f"{C}.ports[0].containerPort")),
        (container(ports=[{"containerPort": 70000}]), (INVALID, f"{C}.ports[0].containerPort")),
        (container(ports=[{"containerPort": 1, "protocol": "X"}]), (UNSUPPORTED, f"{C}.ports[0].protocol")),
        (container(ports=[{"containerPort": 1, "name": "UPPER"}]), (INVALID, f"{C}.ports[0].name")),
        (container(ports=[{"containerPort": 1, "hostPort": -1}]), (INVALID, f"{C}.ports[0].hostPort")),
        (container(env=[{"value": "x"}]), (REQUIRED, f"{C}.env[0].name")),
        (container(env=[{"name": "a=b"}]), (INVALID, f"{C}.env[0].name")),
        (container(env=[{"name": "A", "valueFrom": {}}]), (INVALID, f"{C}.env[0].valueFrom")),
        (
            container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]),
            (INVALID, f"{C}.env[0].valueFrom.fieldRef.fieldPath"),
        ),
        (
            container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]),
            (REQUIRED, f"{C}.env[0].valueFrom.secretKeyRef.key"),
        ),
        (container(envFrom=[{}]), (INVALID, f"{C}.envFrom")),
        (container(volumeMounts=[{"name": "none", "mountPath": "/x"}]), (MISSING, f"{C}.volumeMounts[0].name")),
        (container(volumeMounts=[{"name": "none"}]), (REQUIRED, f"{C}.volumeMounts[0].mountPath")),
        (container(resources={"limits": {"cpu": "-1"}}), (INVALID, f"{C}.resources.limits[cpu]")),
        (container(resources={"limits": {"disk": "1"}}), (INVALID, f"{C}.resources.limits[disk]")),
        (container(resources={"requests": {"cpu": 2}, "limits": {"cpu": 1}}), (INVALID, f"{C}.resources.requests")),
        (container(resources={"requests": {"example.com/gpu": "1"}}), (REQUIRED, f"{C}.resources.limits")),
        (container(resources={"limits": {"example.com/gpu": "500m"}}), (INVALID, f"{C}.resources.limits[example.com/gpu]")),
        (container(livenessProbe={}), (REQUIRED, f"{C}.livenessProbe")),
        (container(livenessProbe={**HTTP, "exec": {"command": ["x"]}}), (FORBIDDEN, f"{C}.livenessProbe.httpGet")),
        (container(livenessProbe={**HTTP, "successThreshold": 2}), (INVALID, f"{C}.livenessProbe.successThreshold")),
        (container(readinessProbe={**HTTP, "periodSeconds": -1}), (INVALID, f"{C}.readinessProbe.periodSeconds")),
        (container(readinessProbe={"httpGet": {}}), (INVALID, f"{C}.readinessProbe.httpGet.port")),
        (container(readinessProbe={"exec": {}}), (REQUIRED, f"{C}.readinessProbe.exec.command")),
        (container(readinessProbe={"tcpSocket": {"port": 0}}), (INVALID, f"{C}.readinessProbe.tcpSocket.port")),
        (container(startupProbe={"httpGet": {"port": 80, "scheme": "X"}}), (UNSUPPORTED, f"{C}.startupProbe.httpGet.scheme")),
        (container(lifecycle={"preStop": {}}), (REQUIRED, f"{C}.lifecycle.preStop")),
        (container(securityContext={"runAsUser": -1}), (INVALID, f"{C}.securityContext.runAsUser")),
        (container(workingDir="x", resizePolicy=[{"resourceName": "x", "restartPolicy": "NotRequired"}]),
         (UNSUPPORTED, f"{C}.resizePolicy")),
        (container(securityContext={"seccompProfile": {"type": "Localhost"}}),
         (REQUIRED, f"{C}.securityContext.seccompProfile.localhostProfile")),
        (container(securityContext={"privileged": True, "allowPrivilegeEscalation": False}), (INVALID, f"{C}.securityContext")),
        ({**POD_SPEC, "securityContext": {"fsGroup": 2**31}}, (INVALID, "spec.securityContext.fsGroup")),
        ({**POD_SPEC, "securityContext": {"supplementalGroups": [-1]}},
         (INVALID, "spec.securityContext.supplementalGroups[0]")),
        ({**POD_SPEC, "restartPolicy": "Sometimes"}, (UNSUPPORTED, "spec.restartPolicy")),
        ({**POD_SPEC, "dnsPolicy": "X"}, (UNSUPPORTED, "spec.dnsPolicy")),
        ({**POD_SPEC, "dnsPolicy": "None"}, (REQUIRED, "spec.dnsConfig")),
        ({**POD_SPEC, "dnsConfig": {"nameservers": ["x"]}}, (INVALID, "spec.dnsConfig.nameservers[0]")),
        ({**POD_SPEC, "activeDeadlineSeconds": 0}, (INVALID, "spec.activeDeadlineSeconds")),
        ({**POD_SPEC, "hostname": "A.b"}, (INVALID, "spec.hostname")),
        ({**POD_SPEC, "subdomain": "-"}, (INVALID, "spec.subdomain")),
        ({**POD_SPEC, "nodeName": "-"}, (INVALID, "spec.nodeName")),
        ({**POD_SPEC, "nodeSelector": {"a b": "c"}}, (INVALID, "spec.nodeSelector")),
        ({**POD_SPEC, "hostAliases": [{"ip": "x"}]}, (INVALID, "spec.hostAliases[0].ip")),
        ({**POD_SPEC, "tolerations": [{}]}, (INVALID, "spec.tolerations[0].operator")),
        ({**POD_SPEC, "tolerations": [{"key": "a", "operator": "X"}]}, (UNSUPPORTED, "spec.tolerations[0].operator")),
        ({**POD_SPEC, "tolerations": [{"key": "a", "effect": "X"}]}, (UNSUPPORTED, "spec.tolerations[0].effect")),
        ({**POD_SPEC, "tolerations": [{"key": "a", "tolerationSeconds": 1}]}, (INVALID, "spec.tolerations[0].effect")),
        ({**POD_SPEC, "schedulingGates": [{"name": "a b"}]}, (INVALID, "spec.schedulingGates[0]")),
        ({**POD_SPEC, "schedulingGates": [{"name": "a"}, {"name": "a"}]}, (DUPLICATE, "spec.schedulingGates[1]")),
        ({**POD_SPEC, "topologySpreadConstraints": [{"topologyKey": "a"}]}, (INVALID, f"{SPREAD}.maxSkew")),
        ({**POD_SPEC, "topologySpreadConstraints": [{"maxSkew": 1}]}, (REQUIRED, f"{SPREAD}.topologyKey")),
        ({**POD_SPEC, "hostNetwork": True, **container(ports=[{"containerPort": 1, "hostPort": 2}])},
         (INVALID, f"{C}.ports[0].hostPort")),
        (volume(name="A"), (INVALID, "spec.volumes[0].name")),
        (volume(emptyDir={}, hostPath={"path": "/x"}), (FORBIDDEN, "spec.volumes[0].hostPath")),
        (volume(hostPath={"path": "/a/../b"}), (INVALID, "spec.volumes[0].hostPath.path")),
        (volume(hostPath={"path": "/a", "type": "X"}), (UNSUPPORTED, "spec.volumes[0].hostPath.type")),
        (volume(configMap={}), (REQUIRED, "spec.volumes[0].configMap.name")),
        (volume(secret={}), (REQUIRED, "spec.volumes[0].secret.secretName")),
        (volume(secret={"secretName": "s", "defaultMode": 0o1000}), (INVALID, "spec.volumes[0].secret.defaultMode")),
        (volume(configMap={"name": "c", "items": [{"key": "k", "path": "../x"}]}),
         (INVALID, "spec.volumes[0].configMap.items[0].path")),
        (volume(projected={"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 5}}]}),
         (INVALID, "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds")),
        ({**POD_SPEC, "volumes": [{"name": "v"}, {"name": "v"}]}, (DUPLICATE, "spec.volumes[1].name")),
        ({**POD_SPEC, "initContainers": [{"name": "main", "image": "a"}]}, (DUPLICATE, "spec.initContainers[0].name")),
        ({**POD_SPEC, "initContainers": [{"name": "i", "image": "a", "readinessProbe": HTTP}]},
         (FORBIDDEN, "spec.initContainers[0].readinessProbe")),
        ({**POD_SPEC, "initContainers": [{"name": "i", "image": "a", "restartPolicy": "Seldom"}]},
         (UNSUPPORTED, "spec.initContainers[0].restartPolicy")),
        ({**POD_SPEC, "ephemeralContainers": [{"name": "e", "image": "a"}]}, (FORBIDDEN, "spec.ephemeralContainers")),
        (
            {**POD_SPEC, "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}},
            (REQUIRED, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"),
        ),
        (
            {**POD_SPEC, "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}},
            (REQUIRED, "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey"),
        ),
    ],
)  # fmt: skip
def test_pods_that_make_no_sense_are_refused(api: Bench, spec: Object, cause: tuple[str, str]) -> None:
    refused = api.post("pods", {**sample(resource("pods"), "refused"), "spec": spec})
    assert (refused.status, refused.reason) == (422, "Invalid"), refused.body
    assert cause in refused.causes, refused.causes
    assert refused.message.startswith('Pod "refused" is invalid: ')


def deployment(**spec: Any) -> Object:
    return {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE, **spec}


def rolling(**fields: Any) -> Object:
    return deployment(strategy={"rollingUpdate": fields})


JOB_TEMPLATE = {"spec": {**POD_SPEC, "restartPolicy": "Never"}}


@pytest.mark.parametrize(
    ("name", "spec", "cause"),
    [
        ("deployments.apps", deployment(replicas=-1), (INVALID, "spec.replicas")),
        ("deployments.apps", deployment(selector=None), (REQUIRED, "spec.selector")),
        ("deployments.apps", deployment(selector={}), (INVALID, "spec.selector")),
        ("deployments.apps", deployment(selector={"matchLabels": {"app": "x"}}), (INVALID, "spec.template.metadata.labels")),
        (
            "deployments.apps",
            deployment(selector={"matchExpressions": [{"key": "app", "operator": "In"}]}),
            (REQUIRED, "spec.selector.matchExpressions[0].values"),
        ),
        ("deployments.apps", deployment(minReadySeconds=-1), (INVALID, "spec.minReadySeconds")),
        (
            "deployments.apps",
            deployment(progressDeadlineSeconds=5, minReadySeconds=5),
            (INVALID, "spec.progressDeadlineSeconds"),
        ),
        ("deployments.apps", deployment(strategy={"type": "X"}), (UNSUPPORTED, "spec.strategy")),
        (
            "deployments.apps",
            deployment(strategy={"type": "Recreate", "rollingUpdate": {}}),
            (FORBIDDEN, "spec.strategy.rollingUpdate"),
        ),
        ("deployments.apps", rolling(maxSurge=0, maxUnavailable=0), (INVALID, "spec.strategy.rollingUpdate.maxUnavailable")),
        ("deployments.apps", rolling(maxSurge="x"), (INVALID, "spec.strategy.rollingUpdate.maxSurge")),
        ("deployments.apps", rolling(maxUnavailable="101%"), (INVALID, "spec.strategy.rollingUpdate.maxUnavailable")),
        (
            "deployments.apps",
            deployment(template={**TEMPLATE, "spec": {**POD_SPEC, "restartPolicy": "Never"}}),
            (UNSUPPORTED, "spec.template.spec.restartPolicy"),
        ),
        (
            "deployments.apps",
            deployment(template={"metadata": TEMPLATE["metadata"]}),
            (REQUIRED, "spec.template.spec.containers"),
        ),
        (
            "deployments.apps",
            deployment(template={**TEMPLATE, "metadata": {"labels": {"app": "web", "b": "c d"}}}),
            (INVALID, "spec.template.labels"),
        ),
        ("replicasets.apps", deployment(replicas=-1), (INVALID, "spec.replicas")),
        ("daemonsets.apps", deployment(updateStrategy={"type": "X"}), (UNSUPPORTED, "spec.updateStrategy")),
        ("replicationcontrollers", {"template": {"spec": POD_SPEC}}, (REQUIRED, "spec.selector")),
        ("jobs.batch", {"template": {"spec": POD_SPEC}}, (REQUIRED, "spec.template.spec.restartPolicy")),
        ("jobs.batch", {"template": JOB_TEMPLATE, "parallelism": -1}, (INVALID, "spec.parallelism")),
        ("jobs.batch", {"template": JOB_TEMPLATE, "completionMode": "X"}, (UNSUPPORTED, "spec.completionMode")),
        (
            "jobs.batch",
            {"template": JOB_TEMPLATE, "completionMode": "Indexed", "parallelism": 1},
            (REQUIRED, "spec.completions"),
        ),
        ("cronjobs.batch", {"schedule": "x", "jobTemplate": {"spec": {"template": JOB_TEMPLATE}}}, (INVALID, "spec.schedule")),
        ("poddisruptionbudgets.policy", {"minAvailable": 1, "maxUnavailable": 1}, (INVALID, "spec")),
        ("poddisruptionbudgets.policy", {"minAvailable": "half"}, (INVALID, "spec.minAvailable")),
        ("leases.coordination.k8s.io", {"leaseDurationSeconds": 0}, (INVALID, "spec.leaseDurationSeconds")),
        ("nodes", {"taints": [{"key": "a", "effect": "X"}]}, (UNSUPPORTED, "metadata.taints[0].effect")),
    ],
)
def test_workloads_that_make_no_sense_are_refused(api: Bench, name: str, spec: Object, cause: tuple[str, str]) -> None:
    refused = api.post(name, {**sample(resource(name), "refused"), "spec": spec})
    assert (refused.status, refused.reason) == (422, "Invalid"), refused.body
    assert cause in refused.causes, refused.causes


@pytest.mark.parametrize(
    ("metadata", "cause"),
    [
        ({"name": "A"}, (INVALID, "metadata.name")),
        ({"name": "a" * 254}, (INVALID, "metadata.name")),
        ({"name": ""}, (REQUIRED, "metadata.name")),
        ({"labels": {"a b": "c"}}, (INVALID, "metadata.labels")),
        ({"labels": {"a": "c d"}}, (INVALID, "metadata.labels")),
        ({"labels": {"a": "x" * 64}}, (INVALID, "metadata.labels")),
        ({"annotations": {"a b": "c"}}, (INVALID, "metadata.annotations")),
        ({"annotations": {"a": "x" * 262_145}}, ("FieldValueTooLong", "metadata.annotations")),
        ({"finalizers": ["plain"]}, (INVALID, "metadata.finalizers[0]")),
        ({"ownerReferences": [{"kind": "a", "name": "b", "uid": "c"}]}, (INVALID, "metadata.ownerReferences[0].apiVersion")),
        ({"ownerReferences": [{"apiVersion": "v1", "name": "b", "uid": "c"}]}, (INVALID, "metadata.ownerReferences[0].kind")),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "a", "name": n, "uid": n, "controller": True} for n in "ab"]},
            (INVALID, "metadata.ownerReferences"),
        ),
    ],
)
def test_metadata_that_makes_no_sense_is_refused(api: Bench, metadata: Object, cause: tuple[str, str]) -> None:
    made = sample(resource("configmaps"), "refused")
    refused = api.post("configmaps", {**made, "metadata": {**made["metadata"], **metadata}})
    assert (refused.status, refused.reason) == (422, "Invalid"), refused.body
    assert cause in refused.causes, refused.causes


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"nodeName": "other"}, "spec"),
        ({"restartPolicy": "Never"}, "spec"),
        ({"containers": [{"name": "other", "image": "a"}]}, "spec"),
        ({"tolerations": []}, "spec.tolerations"),
        ({"schedulingGates": [{"name": "example.com/new"}]}, "spec.schedulingGates[0].name"),
    ],
)
def test_little_of_a_pod_may_change(api: Bench, change: Object, field: str) -> None:
    if api.get("pods", "fixed").status == 404:
        made = sample(resource("pods"), "fixed")
        # Those that admission adds come back by themselves.
        api.made("pods", {**made, "spec": {**made["spec"], "tolerations": [{"key": "own", "operator": "Exists"}]}})
    refused = api.patch("pods", "fixed", {"spec": change})
    assert refused.status == 422 and field in [where for _, where in refused.causes], refused.body


def test_a_pods_image_may_change(api: Bench) -> None:
    api.made("pods", sample(resource("pods"), "imaged"))
    strategic = {"spec": {"containers": [{"name": "main", "image": "other:2"}]}}
    changed = api.patch("pods", "imaged", strategic, content_type="application/strategic-merge-patch+json")
    assert changed.status == 200 and changed.json["spec"]["containers"][0]["image"] == "other:2"


@pytest.mark.parametrize("name", ["deployments.apps", "replicasets.apps", "daemonsets.apps", "statefulsets.apps"])
def test_a_workloads_selector_stays(api: Bench, name: str) -> None:
    api.made(name, sample(resource(name), "selected"))
    labels = {"app": "web", "b": "c"}
    change = {"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}
    refused = api.patch(name, "selected", change)
    assert refused.status == 422 and "spec" in refused.causes[0][1]


@pytest.mark.parametrize("name", ["configmaps", "secrets"])
def test_what_is_immutable_stays(api: Bench, name: str) -> None:
    api.made(name, {**sample(resource(name), "frozen"), "immutable": True})
    assert api.patch(name, "frozen", {"data": {"z": "eA=="}}).causes == [(FORBIDDEN, "data")]
    assert api.patch(name, "frozen", {"immutable": False}).causes == [(FORBIDDEN, "immutable")]
    assert api.patch(name, "frozen", {"metadata": {"labels": {"a": "b"}}}).status == 200
