"""PodTopologyLabels: a pod that is bound to a node is labelled with the node's zone and region (KEP-4742).

So a container may learn by the downward API where it runs.
"""

from __future__ import annotations

from navarch.api.core import node as nodes
from navarch.api.core import nodelabels
from navarch.api.core import pod as pods
from navarch.api.kind import Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.storage.store import Store

NODES_KNOWN = 16_384
MARK = b'"topology.kubernetes.io/'


class PodTopologyLabels(AdmissionPlugin):
    hears_of_parts = True

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[int, Object]] = {}
        """Labels of nodes, by name, and the revision at which a node had them."""

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is pods.KIND and operation == "CREATE" and subresource in ("", "binding")

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        if attributes.subresource == "binding":
            target = obj.get("target") or meta.EMPTY
            node = target.get("name") if target.get("kind") == "Node" else None
        else:
            node = obj["spec"].get("nodeName")
        found = self._labels(node) if node else {}
        metadata = obj.get("metadata") or {}
        return {**obj, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **found}}} if found else obj

    def _labels(self, node: str) -> Object:
        """Where that node is; nothing of one that nobody knows."""
        record = self._store.latest(nodes.KIND.key_prefix, nodes.KIND.key("", node))
        # Most nodes say nothing of it, and every pod is bound once: no node is decoded for that.
        if record is None or MARK not in record.data:
            return {}
        revision, labels = self._known.get(node, (0, {}))
        if revision != record.revision:
            if len(self._known) >= NODES_KNOWN:
                self._known.clear()
            labels = nodelabels.topology(meta.labels(self._store.decoded(record)))
            self._known[node] = record.revision, labels
        return labels
