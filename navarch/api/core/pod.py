"""Pod: containers that run together on one node.

What updates may change is in podupdate.py, what changes of the status may say in podstatus.py, resizes in podresize.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.core import (
    containerresources,
    podannotations,
    podprinter,
    podqos,
    podresize,
    podscheduling,
    podspec,
    podstatus,
    podupdate,
    podwarnings,
    volume,
)
from navarch.api.kind import Kind, SubresourceUpdate
from navarch.apimachinery import meta, remember
from navarch.apimachinery.errors import FieldError, Object, forbidden_field

DEFAULT_GRACE_SECONDS = 30
GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
    "lastProbeTime": None,
    "lastTransitionTime": None,
}


def default(pod: Object) -> Object:
    spec = pod.get("spec") or {}
    alike = volume.with_any_claims(spec)
    found = _with_defaults(alike)
    if alike is not spec:
        names = volume.claim_names(spec)
        found = remember.alike(found, (default, names), lambda: volume.with_claims_of(found, spec))
    pod["spec"] = found
    return pod


@remember.shared
def _with_defaults(spec: Object) -> Object:
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    podspec.default(spec)
    if spec["terminationGracePeriodSeconds"] < 0:
        # In a template it stays what it is, and is warned of.
        spec["terminationGracePeriodSeconds"] = 1
    host_network = bool(spec.get("hostNetwork"))
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            containerresources.default_requests(container["resources"])
            for port in (container.get("ports") or ()) if host_network else ():
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort", 0)
    if spec.get("resources"):
        containerresources.default_pod_level(spec)
    return spec


def prepare_create(pod: Object) -> Object:
    spec = podscheduling.with_label_keys(pod["spec"], meta.labels(pod))
    spec = podannotations.with_apparmor_fields(spec, meta.annotations(pod))
    status: Object = {"phase": "Pending", "qosClass": remember.of(spec, podqos.class_of, lambda: podqos.class_of(spec))}
    if spec.get("schedulingGates"):
        status["conditions"] = [{**GATED, "lastTransitionTime": pod["metadata"].get("creationTimestamp")}]
    return {**pod, "spec": spec, "status": status}


def validate_create(pod: Object) -> Iterator[FieldError]:
    spec = pod["spec"]
    if spec.get("ephemeralContainers"):
        yield forbidden_field("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        yield forbidden_field("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
    if pod["metadata"].get("annotations"):
        annotations = pod["metadata"]["annotations"]
        yield from podannotations.validate_seccomp_match(annotations, spec, "spec")
        yield from podannotations.validate_apparmor_match(annotations, spec, "spec")


def graceful_seconds(pod: Object) -> int | None:
    """Grace that a deletion gives when it asks for none; None where nothing runs."""
    if not pod["spec"].get("nodeName") or pod.get("status", {}).get("phase") in ("Failed", "Succeeded"):
        return None
    seconds = int(pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))
    return seconds if seconds >= 0 else 1


KIND = Kind(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    short_names=("po",),
    categories=("all",),
    subresources=(
        "status",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "log",
        "exec",
        "attach",
        "portforward",
        "proxy",
        "resize",
    ),
    default=default,
    validate=podupdate.validate,
    validate_create=validate_create,
    warnings=podwarnings.of_pod,
    early_warnings=podwarnings.before_it_is_prepared,
    status_warnings=podwarnings.of_status,
    validate_update=podupdate.validate_update,
    validate_status_update=podstatus.validate_update,
    prepare_create=prepare_create,
    prepare_status_update=podstatus.prepare_update,
    status_keeps_metadata=("deletionTimestamp", "ownerReferences"),
    subresource_updates={
        "ephemeralcontainers": SubresourceUpdate(podupdate.prepare_ephemeral, podupdate.validate_ephemeral),
        "resize": SubresourceUpdate(podresize.prepare, podresize.validate),
    },
    has_generation=True,
    graceful_seconds=graceful_seconds,
    selectable_fields={
        "spec.nodeName": lambda obj: obj["spec"].get("nodeName", ""),
        "spec.restartPolicy": lambda obj: obj["spec"].get("restartPolicy", ""),
        "spec.schedulerName": lambda obj: obj["spec"].get("schedulerName", ""),
        "spec.serviceAccountName": lambda obj: obj["spec"].get("serviceAccountName", ""),
        "spec.hostNetwork": lambda obj: str(bool(obj["spec"].get("hostNetwork"))).lower(),
        "status.phase": lambda obj: obj.get("status", {}).get("phase", ""),
        "status.podIP": lambda obj: obj.get("status", {}).get("podIP", ""),
        "status.podIPs": lambda obj: obj.get("status", {}).get("podIP", ""),
        "status.nominatedNodeName": lambda obj: obj.get("status", {}).get("nominatedNodeName", ""),
    },
    indexed_fields=("spec.nodeName",),
    returns_deleted=True,
    columns=podprinter.COLUMNS,
    row=podprinter.row,
    row_conditions=podprinter.row_conditions,
)
