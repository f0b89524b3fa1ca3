"""PodResizeValidator: no pod on a node is resized to what its node can never give (KEP-1287)."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.core import node as nodes
from navarch.api.core import pod as pods
from navarch.api.core import podresources
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, quantity
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.storage.store import Store

OS_LABEL = "kubernetes.io/os"
MEASURES = {"cpu": quantity.milli, "memory": quantity.value}


class PodResizeValidator(AdmissionPlugin):
    def __init__(self, store: Store) -> None:
        self._store = store

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is pods.KIND and operation == "UPDATE" and subresource == "resize"

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        assert obj is not None and old is not None
        name = obj["spec"].get("nodeName")
        if not name or obj["spec"] == old["spec"]:
            return
        record = self._store.latest(nodes.KIND.key_prefix, nodes.KIND.key("", name))
        if record is None:
            raise _refused(obj, f'node "{name}" not found')
        node = self._store.decoded(record)
        lacking = list(_lacking(obj, node))
        if lacking:
            text = f"Node didn't have enough allocatable resources: {'; '.join(lacking)}"
            raise _refused(obj, text, "NodeCapacity")
        system = meta.labels(node).get(OS_LABEL, "")
        if system != "linux":
            text = f'pod resize is only supported on linux nodes, node "{name}" is "{system}"'
            raise _refused(obj, text, "UnsupportedPlatform")


def _lacking(pod: Object, node: Object) -> Iterator[str]:
    """Of what the pod asks for more than its node has for all pods together."""
    requests = podresources.requests(pod, use_status=False)
    allocatable = (node.get("status") or meta.EMPTY).get("allocatable") or meta.EMPTY
    for name, measure in MEASURES.items():
        wanted, most = (measure(amounts.get(name, "0")) for amounts in (requests, allocatable))
        if wanted > most:
            yield f"{name}, requested: {wanted}, allocatable: {most}"


def _refused(pod: Object, text: str, cause: str = "") -> StatusError:
    error = errors.forbidden("", pods.KIND.plural, meta.name(pod), text)
    if cause:
        # By this clients know that trying again is of no use.
        error.status["details"]["causes"] = [{"reason": cause}]
    return error
