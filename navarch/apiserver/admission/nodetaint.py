"""TaintNodesByCondition: a node is tainted as not ready from its first moment, until the node controller knows better.

Otherwise pods could be placed on it before anybody has looked at its conditions.
"""

from __future__ import annotations

from navarch.api.core import node as nodes
from navarch.api.kind import Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes

TAINT = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition(AdmissionPlugin):
    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is nodes.KIND and operation == "CREATE" and not subresource

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        present = (obj.get("spec") or meta.EMPTY).get("taints") or []
        if any(all(taint.get(field) == value for field, value in TAINT.items()) for taint in present):
            return obj
        return meta.set_path(obj, [*present, TAINT], "spec", "taints")
