"""NamespaceLifecycle: nothing is made in a namespace that is missing or going away, and some namespaces stay."""

from __future__ import annotations

from navarch.api.core import namespace as namespaces
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.storage.store import Store

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle(AdmissionPlugin):
    # Nor is anything bound or evicted there, and no token issued: to the API these are creations like others.
    hears_of_parts = True

    def __init__(self, store: Store) -> None:
        self._store = store

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return operation == "CREATE" or (operation == "DELETE" and kind is namespaces.KIND)

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        # Before anything else is said about an object: without its namespace nothing else about it counts.
        if attributes.operation == "CREATE" and attributes.kind.namespaced and attributes.namespace:
            self._check_namespace(attributes)
        return obj

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        if attributes.operation == "DELETE" and attributes.kind is namespaces.KIND and attributes.name in IMMORTAL:
            raise errors.forbidden("", "namespaces", attributes.name, "this namespace may not be deleted")

    def _check_namespace(self, attributes: Attributes) -> None:
        kind, prefix = attributes.kind, namespaces.KIND.key_prefix
        record = self._store.latest(prefix, namespaces.KIND.key("", attributes.namespace))
        if record is None:
            raise errors.not_found("", "namespaces", attributes.namespace)
        if b'"deletionTimestamp"' in record.data and meta.being_deleted(record.object()):
            text = f"unable to create new content in namespace {attributes.namespace} because it is being terminated"
            error = errors.forbidden(kind.group, kind.plural, attributes.name, text)
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {attributes.namespace} is being terminated",
                "field": "metadata.namespace",
            }
            error.status["details"]["causes"] = [cause]
            raise error
