"""When faults have stopped, everything becomes what it is asked to be: workloads, nodes, pods, endpoints, namespaces.

A workload that cannot (it asks for more than there is, its containers crash) says so itself, by the annotation
``simulation.navarch.local/converges: "false"`` on it or its pods' template.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.simulation.behaviour import CONVERGES
from navarch.simulation.checkers.checker import Checker

FINAL = ("Succeeded", "Failed")


class Convergence(Checker):
    """Holds statuses against specs, and against the pods that there are."""

    name = "convergence"
    resources = ("nodes",)

    def settled(self) -> None:
        pods: dict[str, list[Object]] = {}
        for pod in self.state.objects("pods"):
            owner = meta.controller_of(pod)
            pods.setdefault(owner["uid"] if owner is not None else "", []).append(pod)
            self._say(pod, _of_pod(pod))
        for resource, rule in (
            ("deployments.apps", _of_deployment),
            ("replicasets.apps", _of_replicas),
            ("replicationcontrollers", _of_replicas),
            ("statefulsets.apps", _of_replicas),
            ("daemonsets.apps", _of_daemonset),
            ("jobs.batch", _of_job),
        ):
            for obj in self.state.objects(resource):
                self._say(obj, rule(obj, pods.get(meta.uid(obj), [])))
        for node in self.state.objects("nodes"):
            self._say(node, _of_node(node, self.state.cluster.nodes.keys()))
        for namespace in self.state.objects("namespaces"):
            self._say(namespace, ("it is still being deleted",) if meta.being_deleted(namespace) else ())
        self._endpoints()

    def _say(self, obj: Object, problems: Iterator[str] | tuple[str, ...]) -> None:
        template = meta.get_path(obj, "spec", "template", "metadata", "annotations") or {}
        if "false" in (meta.annotations(obj).get(CONVERGES), template.get(CONVERGES)):
            return
        for problem in problems:
            self.report(f"{obj['kind']} {meta.key(obj)}", problem)

    def _endpoints(self) -> None:
        """The ready addresses of each Service that selects are those of its ready pods."""
        told: dict[str, set[str]] = {}
        for slice_ in self.state.objects("endpointslices.discovery.k8s.io"):
            name = meta.labels(slice_).get("kubernetes.io/service-name", "")
            found = told.setdefault(f"{meta.namespace(slice_)}/{name}", set())
            for endpoint in slice_.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready"):
                    found.update(endpoint["addresses"])
        for service in self.state.objects("services"):
            selector = (service.get("spec") or {}).get("selector")
            if not selector or service["spec"].get("publishNotReadyAddresses"):
                continue
            there = {
                pod["status"]["podIP"]
                for pod in self.state.objects("pods", meta.namespace(service))
                if selector.items() <= meta.labels(pod).items()
                and meta.is_condition_true(pod, "Ready")
                and not meta.being_deleted(pod)
            }
            has = told.get(meta.key(service), set())
            if has != there:
                self._say(service, (f"its ready endpoints are {sorted(has)}, its ready pods {sorted(there)}",))


def _of_pod(pod: Object) -> Iterator[str]:
    status: Object = pod.get("status") or {}
    if meta.being_deleted(pod):
        yield "it is still being deleted"
    elif status.get("phase") in FINAL:
        return
    elif not pod["spec"].get("nodeName"):
        scheduled = meta.condition(pod, "PodScheduled") or {}
        yield f"it is not scheduled: {scheduled.get('message') or 'nobody says why'}"
    elif not meta.is_condition_true(pod, "Ready"):
        owner = meta.controller_of(pod)
        if owner is None or owner["kind"] != "Job":
            yield f"it is {status.get('phase')} and not ready"


def _current(obj: Object) -> Iterator[str]:
    seen = (obj.get("status") or {}).get("observedGeneration", 0)
    generation = obj["metadata"].get("generation", 0)
    if seen < generation:
        yield f"its generation is {generation}, and its controller has seen {seen}"


def _of_deployment(deployment: Object, pods: list[Object]) -> Iterator[str]:
    yield from _current(deployment)
    wanted, status = deployment["spec"].get("replicas", 1), deployment.get("status") or {}
    if deployment["spec"].get("paused"):
        return
    for what in ("replicas", "updatedReplicas", "availableReplicas"):
        if status.get(what, 0) != wanted:
            yield f"{what} is {status.get(what, 0)} where {wanted} are wanted"


def _of_replicas(obj: Object, pods: list[Object]) -> Iterator[str]:
    yield from _current(obj)
    wanted, status = obj["spec"].get("replicas", 1), obj.get("status") or {}
    active = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in FINAL and not meta.being_deleted(pod)]
    if len(active) != wanted:
        yield f"it has {len(active)} pods where {wanted} are wanted"
    if status.get("replicas", 0) != len(active):
        yield f"its status tells of {status.get('replicas', 0)} pods where there are {len(active)}"


def _of_daemonset(daemonset: Object, pods: list[Object]) -> Iterator[str]:
    yield from _current(daemonset)
    status: Object = daemonset.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    for what in ("currentNumberScheduled", "numberReady", "updatedNumberScheduled"):
        if status.get(what, 0) != wanted:
            yield f"{what} is {status.get(what, 0)} where {wanted} are wanted"


def _of_job(job: Object, pods: list[Object]) -> Iterator[str]:
    spec, status = job["spec"], job.get("status") or {}
    has_ended = meta.is_condition_true(job, "Complete") or meta.is_condition_true(job, "Failed")
    active = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in FINAL and not meta.being_deleted(pod)]
    if has_ended and active:
        yield f"it has ended, and has {len(active)} pods that run"
    if not has_ended and not spec.get("suspend") and not active:
        yield "it has not ended, and nothing runs"
    wanted = spec.get("completions")
    is_complete = meta.is_condition_true(job, "Complete") and not spec.get("successPolicy")
    if is_complete and wanted is not None and status.get("succeeded", 0) != wanted:
        yield f"it is complete with {status.get('succeeded', 0)} of {wanted} completions"
    if status.get("active", 0) != len(active):
        yield f"its status tells of {status.get('active', 0)} active pods where there are {len(active)}"


def _of_node(node: Object, simulated: Collection[str]) -> Iterator[str]:
    if meta.name(node) not in simulated:
        return
    if not meta.is_condition_true(node, "Ready"):
        yield "it is not ready"
    for taint in (node.get("spec") or {}).get("taints") or ():
        if taint["key"] in ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"):
            yield f"it still has the taint {taint['key']}"
