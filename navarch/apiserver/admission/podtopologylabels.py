"""PodTopologyLabels: pods are labelled with the zone and the region of their node (KEP-4742)."""

from __future__ import annotations

from collections.abc import Mapping

from navarch.api.core import node as nodes
from navarch.api.core import pod as pods
from navarch.api.kind import Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.storage.changes import Record
from navarch.storage.store import Store

LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
NODES_REMEMBERED = 65_536


class PodTopologyLabels(AdmissionPlugin):
    """A pod is labelled when it is bound, or made on a node; what somebody else says of it stays."""

    hears_of_parts = True

    def __init__(self, store: Store) -> None:
        self._store = store
        # Binding is what is done most; nodes change seldom.
        self._known: dict[str, tuple[Record, Mapping[str, str]]] = {}

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is pods.KIND and operation == "CREATE" and subresource in ("", "binding")

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        if attributes.subresource:
            target = obj.get("target") or meta.EMPTY
            name = target.get("name") if target.get("kind") == "Node" else None
        else:
            name = obj["spec"].get("nodeName")
        labels = self._labels(name) if name else None
        if not labels:
            return obj
        metadata = obj.get("metadata") or {}
        return {**obj, "metadata": {**metadata, "labels": {**labels, **(metadata.get("labels") or {})}}}

    def _labels(self, name: str) -> Mapping[str, str]:
        """Those of a node that its pods have too."""
        record = self._store.latest(nodes.KIND.key_prefix, nodes.KIND.key("", name))
        if record is None:
            return {}
        known = self._known.get(name)
        if known is None or known[0] is not record:
            if len(self._known) >= NODES_REMEMBERED:
                self._known.clear()
            labels = meta.labels(record.object())
            known = self._known[name] = record, {label: labels[label] for label in LABELS if label in labels}
        return known[1]
