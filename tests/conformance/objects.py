"""What most behaviours are shown with: pods, and workloads of them."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object

IMAGE = "registry.example/httpd:1"
BUILT_IN = (
    ("", "v1", "namespaces"),
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "v1", "apiservices"),
    ("apps", "v1", "deployments"),
    ("authentication.k8s.io", "v1", "tokenreviews"),
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
    ("autoscaling", "v1", "horizontalpodautoscalers"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
    ("batch", "v1", "jobs"),
    ("certificates.k8s.io", "v1", "certificatesigningrequests"),
    ("coordination.k8s.io", "v1", "leases"),
    ("discovery.k8s.io", "v1", "endpointslices"),
    ("events.k8s.io", "v1", "events"),
    ("networking.k8s.io", "v1", "ingresses"),
    ("node.k8s.io", "v1", "runtimeclasses"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("scheduling.k8s.io", "v1", "priorityclasses"),
    ("storage.k8s.io", "v1", "csinodes"),
)
"""Group, version and a resource of what every cluster serves."""


def container(image: str = IMAGE, **fields: Any) -> Object:
    return {"name": "main", "image": image, **fields}


def pod(name: str, labels: Object | None = None, image: str = IMAGE, **spec: Any) -> Object:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {"containers": [container(image)], **spec}}


def template(labels: Object, image: str = IMAGE, **spec: Any) -> Object:
    return {"metadata": {"labels": labels}, "spec": {"containers": [container(image)], **spec}}


def workload(name: str, replicas: int | None = 1, labels: Object | None = None, image: str = IMAGE, **spec: Any) -> Object:
    """A Deployment, ReplicaSet, StatefulSet or (with `replicas` None) DaemonSet."""
    labels = labels or {"name": name}
    counted = {} if replicas is None else {"replicas": replicas}
    spec = {**counted, "selector": {"matchLabels": labels}, "template": template(labels, image), **spec}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def replication_controller(name: str, replicas: int = 1, labels: Object | None = None, image: str = IMAGE) -> Object:
    labels = labels or {"name": name}
    spec = {"replicas": replicas, "selector": labels, "template": template(labels, image)}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def condition(obj: Object, type_: str) -> Object:
    """The condition of that type, or nothing."""
    for found in (obj.get("status") or {}).get("conditions") or ():
        if found["type"] == type_:
            return dict(found)
    return {}


def condition_of(type_: str) -> Object:
    """A status with one condition, to be written."""
    added = {"type": type_, "status": "False", "reason": "E2E", "message": "Set by an e2e test"}
    return {"status": {"conditions": [{**added, "lastTransitionTime": "2030-01-01T00:00:00Z"}]}}


def is_ready(pod: Object) -> bool:
    return condition(pod, "Ready").get("status") == "True"
