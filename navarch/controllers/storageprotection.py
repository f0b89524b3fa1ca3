"""Let volumes, claims and classes of attributes go once nobody uses them any more.

The API server gives each of them a finalizer; here it is taken away from those that are being deleted and not in use, and given
to those that were made without it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.informer import Informers
from navarch.controllers.controller import Cluster, Controller, Watch

VOLUMES, CLAIMS, CLASSES = "persistentvolumes", "persistentvolumeclaims", "volumeattributesclasses.storage.k8s.io"

InUse = Callable[[Object, Cluster], Awaitable[bool]]


def _protection(resource: str, finalizer: str, in_use: InUse) -> Callable[[Object, Cluster], Awaitable[None]]:
    async def reconcile(obj: Object, cluster: Cluster) -> None:
        present = obj["metadata"].get("finalizers") or []
        if not meta.being_deleted(obj):
            if finalizer not in present:
                await _write(cluster, obj, [*present, finalizer])
        elif finalizer in present and not await in_use(obj, cluster):
            await _write(cluster, obj, [item for item in present if item != finalizer])

    async def _write(cluster: Cluster, obj: Object, finalizers: list[str]) -> None:
        # The revision makes sure that these are all the finalizers there are.
        version = obj["metadata"]["resourceVersion"]
        metadata = {"finalizers": finalizers or None, "uid": meta.uid(obj), "resourceVersion": version}
        await cluster.patch(resource, obj, {"metadata": metadata})

    return reconcile


# Claims: used by pods that have a node


def claims_of(pod: Object) -> Iterable[str]:
    """Names of the claims that keep a pod's volumes; of those made for the pod only until it has been shut down."""
    shut_down = meta.being_deleted(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim") is not None:
            yield volume["persistentVolumeClaim"].get("claimName", "")
        elif volume.get("ephemeral") is not None and not shut_down:
            yield f"{meta.name(pod)}-{volume['name']}"


def uses(pod: Object, claim: Object) -> bool:
    # No kubelet starts a pod whose claim is being deleted: one without a node does not count.
    return bool(pod["spec"].get("nodeName")) and meta.name(claim) in claims_of(pod)


async def _claim_in_use(claim: Object, cluster: Cluster) -> bool:
    namespace = meta.namespace(claim)
    if any(uses(pod, claim) for pod in cluster.informer("pods").list(namespace)):
        return True
    # The cache may not know the newest pods.
    live = await cluster.client.list("pods", namespace)
    return any(uses(pod, claim) for pod in live["items"])


def _claims_of_changed(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    pod = new if new is not None else old
    assert pod is not None
    before = set(claims_of(old)) if old is not None else set()
    after = set(claims_of(new)) if new is not None else set()
    freed = before - after
    if new is not None and not new["spec"].get("nodeName"):
        freed |= after
    yield from (f"{meta.namespace(pod)}/{name}" for name in sorted(freed))


# Volumes and classes


async def _volume_in_use(volume: Object, cluster: Cluster) -> bool:
    return (volume.get("status") or {}).get("phase") == "Bound"


def classes_of(obj: Object) -> set[str]:
    """The classes of attributes that a volume or claim has, had, or is to have."""
    spec, status = obj["spec"], obj.get("status") or {}
    target = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    found = (spec.get("volumeAttributesClassName"), status.get("currentVolumeAttributesClassName"), target)
    return {name for name in found if name}


async def _class_in_use(attributes_class: Object, cluster: Cluster) -> bool:
    name = meta.name(attributes_class)
    return any(name in classes_of(obj) for resource in (VOLUMES, CLAIMS) for obj in cluster.informer(resource).list())


def _classes_of_changed(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    before = classes_of(old) if old is not None else set()
    after = classes_of(new) if new is not None else set()
    return sorted(before - after)


CLAIM_PROTECTION = Controller(
    "pvc-protection-controller",
    CLAIMS,
    _protection(CLAIMS, "kubernetes.io/pvc-protection", _claim_in_use),
    watches=(Watch("pods", _claims_of_changed),),
)
VOLUME_PROTECTION = Controller(
    "pv-protection-controller", VOLUMES, _protection(VOLUMES, "kubernetes.io/pv-protection", _volume_in_use)
)
CLASS_PROTECTION = Controller(
    "vac-protection-controller",
    CLASSES,
    _protection(CLASSES, "kubernetes.io/vac-protection", _class_in_use),
    watches=(Watch(VOLUMES, _classes_of_changed), Watch(CLAIMS, _classes_of_changed)),
)
