"""StorageObjectInUseProtection: volumes, claims and classes of attributes stay until nobody uses them.

Here they only get the finalizer; the storage protection controllers take it away.
"""

from __future__ import annotations

from navarch.api.core import persistentvolume, persistentvolumeclaim
from navarch.api.kind import Kind
from navarch.api.storage import volumeattributesclass
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes

FINALIZERS = {
    persistentvolume.KIND: "kubernetes.io/pv-protection",
    persistentvolumeclaim.KIND: "kubernetes.io/pvc-protection",
    volumeattributesclass.KIND: "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection(AdmissionPlugin):
    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind in FINALIZERS and operation == "CREATE" and not subresource

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        finalizer = FINALIZERS[attributes.kind]
        present = obj["metadata"].get("finalizers") or []
        if finalizer in present:
            return obj
        return meta.set_path(obj, [*present, finalizer], "metadata", "finalizers")
