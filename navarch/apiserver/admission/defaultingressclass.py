"""DefaultIngressClass: an Ingress that names no class gets the one that is marked as default."""

from __future__ import annotations

from navarch.api.kind import Kind
from navarch.api.networking import ingress, ingressclass
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.apiserver.admission.defaultclass import default_class
from navarch.storage.store import Store


def _is_default(ingress_class: Object) -> bool:
    return meta.annotations(ingress_class).get(ingressclass.DEFAULT_ANNOTATION) == "true"


class DefaultIngressClass(AdmissionPlugin):
    def __init__(self, store: Store) -> None:
        self._store = store

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is ingress.KIND and operation == "CREATE" and not subresource

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        if "ingressClassName" in obj["spec"] or ingress.CLASS_ANNOTATION in meta.annotations(obj):
            return obj
        name = default_class(self._store, ingressclass.KIND, _is_default)
        return meta.set_path(obj, name, "spec", "ingressClassName") if name else obj
