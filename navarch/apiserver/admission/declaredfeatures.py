"""NodeDeclaredFeatureValidator: a pod on a node changes only as far as the node says that it can follow (KEP-5328).

Of what nodes declare in 1.36, changes ask for one thing: pod-level resources that change while the pod runs (KEP-5419).
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.api.core import node as nodes
from navarch.api.core import pod as pods
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, quantity
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.storage.store import Store

POD_LEVEL_RESIZE = "InPlacePodLevelResourcesVerticalScaling"


def required_features(new: Object, old: Object) -> list[str]:
    """What a node must declare so that a pod on it may be changed so, in the order of their names."""
    return [] if _amounts(new["spec"]) == _amounts(old["spec"]) else [POD_LEVEL_RESIZE]


def _amounts(spec: Object) -> Mapping[str, Mapping[str, object]] | None:
    """The pod's own resources; however an amount is written, it is the same."""
    resources = spec.get("resources")
    if resources is None:
        return None
    return {
        side: {name: quantity.parse(amount) for name, amount in (resources.get(side) or meta.EMPTY).items()}
        for side in ("requests", "limits")
    }


class NodeDeclaredFeatureValidator(AdmissionPlugin):
    def __init__(self, store: Store) -> None:
        self._store = store

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is pods.KIND and operation == "UPDATE" and subresource in ("", "resize")

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        assert obj is not None and old is not None
        name = obj["spec"].get("nodeName")
        if not name or obj["spec"] is old["spec"]:
            return
        required = required_features(obj, old)
        if not required:
            return
        record = self._store.latest(nodes.KIND.key_prefix, nodes.KIND.key("", name))
        if record is None:
            raise _refused(obj, f'node "{name}" not found')
        declared = (record.object().get("status") or meta.EMPTY).get("declaredFeatures") or ()
        missing = [feature for feature in required if feature not in declared]
        if missing:
            text = f'pod update requires features {", ".join(missing)} which are not available on node "{name}"'
            raise _refused(obj, text)


def _refused(pod: Object, text: str) -> errors.StatusError:
    return errors.forbidden("", pods.KIND.plural, meta.name(pod), text)
