"""What volumes are to the scheduler: which claims a pod uses, what a claim asks for, where a volume can be used. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from navarch.api.core.storageaccess import class_of
from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.scheduler.podinfo import NodeTerm, PodInfo, node_term

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
"""Annotation of a claim: the controller has finished binding it."""
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
"""Annotation of a volume whose claimRef no user has set: unbinding takes it away again."""
SELECTED_NODE = "volume.kubernetes.io/selected-node"
"""Annotation of a claim: the node for whose pods its volume is to be made."""
NO_PROVISIONER = "kubernetes.io/no-provisioner"
WAIT_FOR_FIRST_CONSUMER = "WaitForFirstConsumer"
READ_WRITE_ONCE_POD = "ReadWriteOncePod"

CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"
CLASSES = "storageclasses.storage.k8s.io"
CSI_NODES, CSI_DRIVERS = "csinodes.storage.k8s.io", "csidrivers.storage.k8s.io"
CAPACITIES = "csistoragecapacities.storage.k8s.io"
ATTACHMENTS = "volumeattachments.storage.k8s.io"


IN_TREE: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "awsElasticBlockStore": ("kubernetes.io/aws-ebs", "ebs.csi.aws.com", "volumeID"),
        "gcePersistentDisk": ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io", "pdName"),
        "azureDisk": ("kubernetes.io/azure-disk", "disk.csi.azure.com", "diskURI"),
        "azureFile": ("kubernetes.io/azure-file", "file.csi.azure.com", "shareName"),
        "cinder": ("kubernetes.io/cinder", "cinder.csi.openstack.org", "volumeID"),
        "vsphereVolume": ("kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com", "volumePath"),
        "portworxVolume": ("kubernetes.io/portworx-volume", "pxd.portworx.com", "volumeID"),
    }
)
"""Sources that drivers have taken over -> (plugin of old, CSI driver, field that tells volumes apart)."""
DRIVER_OF_PLUGIN: Mapping[str, str] = MappingProxyType({plugin: driver for plugin, driver, _ in IN_TREE.values()})
MIGRATED_PLUGINS = "storage.alpha.kubernetes.io/migrated-plugins"
"""Annotation of a CSINode: plugins of old whose volumes drivers serve there."""


class Disk(NamedTuple):
    """What is attached to a node."""

    driver: str
    handle: str
    plugin: str = ""
    """Of volumes of old: it is the driver's only on nodes where this plugin has been migrated."""


def disk(source: Mapping[str, Any]) -> Disk | None:
    """Of a persistent volume's spec, or of a pod's volume: what a CSI driver attaches; None if none does."""
    csi = source.get("csi")
    if csi is not None:
        # A pod's own volume has no handle, and is not attached.
        return Disk(csi.get("driver") or "", csi["volumeHandle"]) if csi.get("volumeHandle") else None
    for kind, (plugin, driver, field) in IN_TREE.items():
        found = source.get(kind)
        if found is not None:
            return Disk(driver, str(found.get(field) or ""), plugin)
    return None


class ClaimReference(NamedTuple):
    """A volume of a pod that is a claim."""

    name: str
    is_ephemeral: bool
    """Whether the claim is made for the pod, and named after it."""


def claim_references(pod: PodInfo) -> list[ClaimReference]:
    found: list[ClaimReference] = []
    if not pod.template.uses_claims:
        return found
    for volume in pod.spec["volumes"]:
        claim = volume.get("persistentVolumeClaim")
        if claim is not None:
            found.append(ClaimReference(claim.get("claimName") or "", False))
        elif volume.get("ephemeral") is not None:
            found.append(ClaimReference(f"{pod.name}-{volume['name']}", True))
    return found


def inline_disks(pod: PodInfo) -> Iterator[Disk]:
    """Disks that a pod names without a claim."""
    for volume in pod.template.own_volumes:
        found = disk(volume)
        if found is not None:
            yield found


def uses_claims(pod: PodInfo) -> bool:
    return pod.template.uses_claims


def names_claim(pod: PodInfo, claim: Object) -> bool:
    """Whether the pod uses that claim."""
    name = meta.name(claim)
    return pod.namespace == meta.namespace(claim) and any(reference.name == name for reference in claim_references(pod))


def not_made_for(claim: Object, pod: PodInfo) -> str:
    """What is wrong with a claim by the name of a pod's ephemeral volume that is not the pod's; "" if it is."""
    owner = meta.controller_of(claim)
    if owner is not None and owner["uid"] == pod.uid:
        return ""
    return f"PVC {meta.key(claim)} was not created for pod {pod.key} (pod is not owner)"


def missing_claim(name: str) -> str:
    return f'persistentvolumeclaim "{name}" not found'


def missing_class(name: str) -> str:
    return f'storageclass.storage.k8s.io "{name}" not found'


def volume_name(claim: Object) -> str:
    return str((claim.get("spec") or meta.EMPTY).get("volumeName") or "")


def is_fully_bound(claim: Object) -> bool:
    return bool(volume_name(claim)) and BIND_COMPLETED in meta.annotations(claim)


def requested_bytes(claim: Object) -> int | None:
    """How large a volume a claim wants; None: it does not say."""
    text = meta.get_path(claim, "spec", "resources", "requests", "storage")
    return None if text is None else quantity.value(text)


def capacity_bytes(volume: Object) -> int:
    return quantity.value(meta.get_path(volume, "spec", "capacity", "storage") or 0)


def access_modes(of: Object) -> frozenset[str]:
    return frozenset((of.get("spec") or meta.EMPTY).get("accessModes") or ())


def affinity_terms(volume: Object) -> tuple[NodeTerm, ...] | None:
    """Where a volume can be used: on nodes that meet one of these; None: on all."""
    required = meta.get_path(volume, "spec", "nodeAffinity", "required")
    return None if required is None else tuple(node_term(term) for term in required.get("nodeSelectorTerms") or ())


def is_delayed(claim: Object, storage_class: Object | None) -> bool:
    """Whether a claim is bound only when a pod that uses it is placed."""
    if storage_class is None:
        return False
    mode = storage_class.get("volumeBindingMode")
    if mode is None:
        raise ValueError(f'VolumeBindingMode not set for StorageClass "{class_of(claim)}"')
    return bool(mode == WAIT_FOR_FIRST_CONSUMER)


def is_reserved_for(volume: Object, claim: Object) -> bool:
    """Whether a volume's claimRef is this claim: bound to it, or to be bound to nothing else."""
    reference = (volume.get("spec") or meta.EMPTY).get("claimRef")
    if reference is None or (reference.get("namespace"), reference.get("name")) != (meta.namespace(claim), meta.name(claim)):
        return False
    return not reference.get("uid") or reference["uid"] == meta.uid(claim)


def reserved(volume: Object, claim: Object) -> Object:
    """The volume with the claim as its claimRef; the same object if it was so."""
    reference = (volume.get("spec") or meta.EMPTY).get("claimRef")
    if reference is not None and reference.get("uid") == meta.uid(claim):
        return volume
    if reference is None:
        # Nobody has asked for that; so it says that it may be undone.
        volume = meta.set_path(volume, "yes", "metadata", "annotations", BOUND_BY_CONTROLLER)
    found = {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": meta.namespace(claim),
        "name": meta.name(claim),
        "uid": meta.uid(claim),
        "resourceVersion": claim["metadata"].get("resourceVersion"),
    }
    return meta.set_path(volume, {key: value for key, value in found.items() if value}, "spec", "claimRef")
