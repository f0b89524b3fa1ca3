"""DefaultIngressClass: an Ingress that names no class gets the one that is marked as default."""

from __future__ import annotations

from navarch.api.networking import ingress, ingressclass
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import Attributes
from navarch.storage.store import Store


class DefaultIngressClass:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        if attributes.kind is not ingress.KIND or attributes.operation != "CREATE" or attributes.subresource:
            return obj
        if "ingressClassName" in obj["spec"] or ingress.CLASS_ANNOTATION in meta.annotations(obj):
            return obj
        name = self._default()
        return meta.set_path(obj, name, "spec", "ingressClassName") if name else obj

    def _default(self) -> str:
        """The name of the newest class that is marked; of several as new the first by name."""
        records = self._store.collection(ingressclass.KIND.key_prefix).range(ingressclass.KIND.key_prefix)
        marked = [
            found["metadata"]
            for found in (record.object() for record in records)
            if meta.annotations(found).get(ingressclass.DEFAULT_ANNOTATION) == "true"
        ]
        # `max` keeps the first of equals, and records come by name.
        return str(max(marked, key=lambda metadata: str(metadata["creationTimestamp"]))["name"]) if marked else ""

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        return
