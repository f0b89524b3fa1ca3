"""DefaultStorageClass: a claim that names no class gets the default one."""

from __future__ import annotations

from navarch.api.core import persistentvolumeclaim as claims
from navarch.api.core import storageaccess
from navarch.api.kind import Kind
from navarch.api.storage import storageclass
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.apiserver.admission.defaultclass import default_class
from navarch.storage.store import Store


class DefaultStorageClass(AdmissionPlugin):
    def __init__(self, store: Store) -> None:
        self._store = store

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is claims.KIND and operation == "CREATE" and not subresource

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        # The empty name is one, too: it asks for a volume without a class.
        if obj["spec"].get("storageClassName") is not None or storageaccess.BETA_CLASS_ANNOTATION in meta.annotations(obj):
            return obj
        name = default_class(self._store, storageclass.KIND, storageclass.is_default)
        return obj if name is None else meta.set_path(obj, name, "spec", "storageClassName")
