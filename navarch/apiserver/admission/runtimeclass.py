"""RuntimeClass: a pod that names a class gets the class's overhead and keeps to its nodes (KEP-688)."""

from __future__ import annotations

from collections.abc import Sequence

from navarch.api.core import pod as pods
from navarch.api.kind import Kind
from navarch.api.node import runtimeclass
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.storage.store import Store


class RuntimeClass(AdmissionPlugin):
    def __init__(self, store: Store) -> None:
        self._store = store

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is pods.KIND and operation == "CREATE" and not subresource

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        found = self._class(attributes, obj)
        if found is None:
            return obj
        spec = dict(obj["spec"])
        overhead = _overhead(found)
        if overhead:
            if spec.get("overhead") and spec["overhead"] != overhead:
                raise _refusal(attributes, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
            spec["overhead"] = overhead
        scheduling = found.get("scheduling") or {}
        selector = dict(spec.get("nodeSelector") or {})
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.setdefault(key, value) != value:
                text = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                raise _refusal(attributes, f"{text}pod.spec.nodeSelector[{key}] = {selector[key]}")
        if selector:
            spec["nodeSelector"] = selector
        if scheduling.get("tolerations"):
            spec["tolerations"] = merged(spec.get("tolerations") or (), scheduling["tolerations"])
        return {**obj, "spec": spec}

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        assert obj is not None
        found = self._class(attributes, obj)
        overhead, wanted = obj["spec"].get("overhead") or {}, _overhead(found) if found is not None else {}
        if wanted and overhead != wanted:
            raise _refusal(attributes, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        if overhead and not wanted:
            text = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise _refusal(attributes, text)

    def _class(self, attributes: Attributes, pod: Object) -> Object | None:
        name = pod["spec"].get("runtimeClassName")
        if name is None:
            return None
        kind = runtimeclass.KIND
        record = self._store.latest(kind.key_prefix, kind.key("", name))
        if record is None:
            raise _refusal(attributes, f'pod rejected: RuntimeClass "{name}" not found')
        return record.object()


def _refusal(attributes: Attributes, text: str) -> StatusError:
    return errors.forbidden("", "pods", attributes.name, text)


def _overhead(runtime_class: Object) -> Object:
    return (runtime_class.get("overhead") or {}).get("podFixed") or {}


def merged(first: Sequence[Object], second: Sequence[Object]) -> list[Object]:
    """Both lists of tolerations without those that another one covers; of equal ones the first stays."""
    both, kept = [*first, *second], list[Object]()
    for index, toleration in enumerate(both):
        if any(_covers(other, toleration) for other in kept):
            continue
        if any(other != toleration and _covers(other, toleration) for other in both[index + 1 :]):
            continue
        kept.append(toleration)
    return kept


def _covers(wide: Object, narrow: Object) -> bool:
    """Whether `wide` tolerates all that `narrow` does."""
    if wide == narrow:
        return True
    operator, effect = wide.get("operator") or "Equal", wide.get("effect", "")
    if narrow.get("key", "") != wide.get("key", "") and (wide.get("key") or operator != "Exists"):
        return False
    if narrow.get("effect", "") != effect and effect:
        return False
    limit, seconds = wide.get("tolerationSeconds"), narrow.get("tolerationSeconds")
    if effect == "NoExecute" and limit is not None and (seconds is None or seconds > limit):
        return False
    if operator == "Exists":
        return True
    if operator != "Equal":
        return False
    return narrow.get("operator") == "Equal" and narrow.get("value", "") == wide.get("value", "")
