"""PersistentVolumeClaimResize: a claim grows only where its storage class allows that.

That it must be bound to do so is a rule of the kind itself.
"""

from __future__ import annotations

from navarch.api.core import persistentvolumeclaim as claims
from navarch.api.core import storageaccess
from navarch.api.core.persistentvolumeclaim import requested
from navarch.api.kind import Kind
from navarch.api.storage import storageclass
from navarch.apimachinery import errors, meta, quantity
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.storage.store import Store

NOT_ALLOWED = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"


class PersistentVolumeClaimResize(AdmissionPlugin):
    def __init__(self, store: Store) -> None:
        self._store = store

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is claims.KIND and operation == "UPDATE" and not subresource

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        assert obj is not None and old is not None
        now, before = (quantity.parse(requested(claim["spec"]) or "0") for claim in (obj, old))
        if now <= before:
            return
        if not self._may_grow(obj, old):
            raise errors.forbidden("", claims.KIND.plural, meta.name(obj), NOT_ALLOWED)

    def _may_grow(self, new: Object, old: Object) -> bool:
        name, kind = storageaccess.class_of(new), storageclass.KIND
        if not name or name != storageaccess.class_of(old):
            return False
        record = self._store.latest(kind.key_prefix, kind.key("", name))
        return record is not None and bool(record.object().get("allowVolumeExpansion"))
