"""Objects and a pretended kubelet, for tests of controllers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.controllers.controller import Controller, Runner
from tests.fakeapi import Bench, bench


def on_bench(*controllers: Controller) -> AbstractAsyncContextManager[Bench]:
    """A bench on which these controllers run."""

    def start(controller: Controller) -> Callable[[Bench], Runner]:
        return lambda found: Runner(controller, found.client, found.informers)

    return bench(*(start(controller) for controller in controllers))


def template(image: str = "nginx:1", labels: Object | None = None, **spec: Any) -> Object:
    return {"metadata": {"labels": labels or {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}], **spec}}


def workload(kind: str, name: str = "web", api_version: str = "apps/v1", **spec: Any) -> Object:
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template(), **spec}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def node(name: str = "node-1", ready: str = "True", address: str = "10.0.0.1", **spec: Any) -> Object:
    status = {
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "addresses": [{"type": "InternalIP", "address": address}],
        "conditions": [{"type": "Ready", "status": ready}],
    }
    labels = {"kubernetes.io/hostname": name}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def pods(found: Bench, active: bool = True) -> list[Object]:
    return [pod for pod in found.api.all("pods") if not active or not meta.being_deleted(pod)]


def make_ready(found: Bench, pod: Object, node_name: str = "node-1", ip: str = "10.244.0.5") -> Object:
    """As the kubelet reports a pod that works."""
    pod = meta.set_path(pod, node_name, "spec", "nodeName")
    stamp = clock.timestamp()
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": stamp}]
    status = {"phase": "Running", "conditions": conditions, "podIP": ip, "podIPs": [{"ip": ip}], "startTime": stamp}
    return found.api.change("pods", meta.key(pod), spec=pod["spec"], status=status)


def finish(found: Bench, pod: Object, phase: str = "Succeeded", exit_code: int = 0) -> Object:
    """As the kubelet reports a pod whose containers have ended."""
    ended = {"exitCode": exit_code, "finishedAt": clock.timestamp(), "reason": "Completed" if not exit_code else "Error"}
    statuses = [{"name": c["name"], "state": {"terminated": ended}, "restartCount": 0} for c in pod["spec"]["containers"]]
    return found.api.change("pods", meta.key(pod), status={"phase": phase, "containerStatuses": statuses})


def kubelet(found: Bench) -> None:
    """Make every new pod ready and take away every pod that is being deleted, from now on."""

    def changed(old: Object | None, new: Object | None) -> None:
        if new is None:
            return
        current = found.api.one("pods", meta.key(new))
        if current is None or meta.uid(current) != meta.uid(new):
            return
        if meta.being_deleted(current):
            if not current["metadata"].get("finalizers"):
                found.api.remove("pods", meta.key(current))
        elif (current.get("status") or {}).get("phase", "Pending") == "Pending":
            make_ready(found, current)

    found.informers.get("pods").add_handler(changed)


def events(found: Bench, reason: str) -> list[str]:
    return [event["message"] for event in found.api.all("events") if event["reason"] == reason]
