"""DefaultTolerationSeconds: pods stay for five minutes on a node that is not ready or not reachable."""

from __future__ import annotations

from navarch.api.core import pod as pods
from navarch.api.kind import Kind
from navarch.apimachinery import remember
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes

TOLERATION_SECONDS = 300
TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(AdmissionPlugin):
    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is pods.KIND and operation in ("CREATE", "UPDATE") and not subresource

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        spec = obj["spec"]
        return {**obj, "spec": remember.changed(spec, _tolerating, lambda: _tolerating(spec))}


def _tolerating(spec: Object) -> Object:
    present = spec.get("tolerations") or []
    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS}
        for key in TAINTS
        if not any(_covers(toleration, key) for toleration in present)
    ]
    return {**spec, "tolerations": [*present, *added]} if added else spec


def _covers(toleration: Object, key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")
