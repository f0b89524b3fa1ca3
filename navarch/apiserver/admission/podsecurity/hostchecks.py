"""Checks of what a pod has of its node: namespaces, ports, paths, and volumes of all kinds."""

from __future__ import annotations

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.podsecurity.check import (
    Annotations,
    Check,
    Violation,
    containers,
    named,
    names,
    part,
    plural,
    quoted,
    setters,
)
from navarch.apiserver.admission.podsecurity.levels import BASELINE, RESTRICTED

UNRESTRICTED_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
RESTRICTED_VOLUMES = (
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
)


def host_namespaces(annotations: Annotations, spec: Object) -> Violation | None:
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def host_path_volumes(annotations: Annotations, spec: Object) -> Violation | None:
    bad = names(volume for volume in spec.get("volumes") or () if volume.get("hostPath") is not None)
    return Violation("hostPath volumes", f"{plural('volume', 'volumes', len(bad))} {quoted(bad)}") if bad else None


def host_ports(annotations: Annotations, spec: Object) -> Violation | None:
    bad: list[str] = []
    ports: set[str] = set()
    for container in containers(spec):
        found = {str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")}
        if found:
            bad += names([container])
            ports |= found
    if not bad:
        return None
    uses = f"{plural('uses', 'use', len(bad))} {plural('hostPort', 'hostPorts', len(ports))}"
    return Violation("hostPort", f"{named(bad)} {uses} {', '.join(sorted(ports))}")


def host_probes_and_lifecycle(annotations: Annotations, spec: Object) -> Violation | None:
    bad: set[str] = set()
    hosts: set[str] = set()
    for container in containers(spec):
        lifecycle = container.get("lifecycle") or meta.EMPTY
        handlers = [container.get(probe) for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [lifecycle.get(hook) for hook in ("postStart", "preStop")]
        found = {
            action["host"]
            for handler in handlers
            if handler
            for action in (handler.get("httpGet"), handler.get("tcpSocket"))
            if action and action.get("host")
        }
        if found:
            bad.update(names([container]))
            hosts |= found
    if not bad:
        return None
    what = plural("probe or lifecycle host", "probe or lifecycle hosts", len(hosts))
    detail = f"{named(sorted(bad))} {plural('uses', 'use', len(bad))} {what} {quoted(sorted(hosts))}"
    return Violation("probe or lifecycle host", detail)


def windows_host_process(annotations: Annotations, spec: Object) -> Violation | None:
    def is_bad(holder: Object) -> bool:
        return bool((part(holder, "windowsOptions") or meta.EMPTY).get("hostProcess"))

    who = setters(is_bad(spec), names(filter(is_bad, containers(spec))))
    return Violation("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true") if who else None


def restricted_volumes(annotations: Annotations, spec: Object) -> Violation | None:
    bad: list[str] = []
    types: set[str] = set()
    for volume in spec.get("volumes") or ():
        sources = {field for field, value in volume.items() if value is not None}
        if not sources & UNRESTRICTED_VOLUMES:
            bad += names([volume])
            types.add(next((source for source in RESTRICTED_VOLUMES if source in sources), "unknown"))
    if not bad:
        return None
    what = plural("restricted volume type", "restricted volume types", len(types))
    who = f"{plural('volume', 'volumes', len(bad))} {quoted(bad)} {plural('uses', 'use', len(bad))}"
    return Violation("restricted volume types", f"{who} {what} {quoted(sorted(types))}")


CHECKS = (
    Check("hostNamespaces", BASELINE, ((0, host_namespaces),)),
    Check("hostPathVolumes", BASELINE, ((0, host_path_volumes),)),
    Check("hostPorts", BASELINE, ((0, host_ports),)),
    Check("hostProbesAndHostLifecycle", BASELINE, ((34, host_probes_and_lifecycle),)),
    Check("windowsHostProcess", BASELINE, ((0, windows_host_process),)),
    Check("restrictedVolumes", RESTRICTED, ((0, restricted_volumes),), overrides="hostPathVolumes"),
)
