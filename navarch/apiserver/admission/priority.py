"""Priority: a pod's class becomes its number, and says whether it preempts others."""

from __future__ import annotations

from navarch.api.core import pod as pods
from navarch.api.kind import Kind
from navarch.api.scheduling import priorityclass
from navarch.apimachinery import errors, remember
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.storage.store import Store

FOUND = ("priority", "preemptionPolicy")


class Priority(AdmissionPlugin):
    def __init__(self, store: Store) -> None:
        self._store = store

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return kind is priorityclass.KIND or (kind is pods.KIND and operation in ("CREATE", "UPDATE") and not subresource)

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        if attributes.kind is not pods.KIND:
            return obj
        spec = obj["spec"]
        if old is not None:
            # Whoever writes a pod anew need not say again what was found out here.
            kept = {field: old["spec"][field] for field in FOUND if field not in spec and field in old["spec"]}
            return {**obj, "spec": {**spec, **kept}} if kept else obj
        chosen = self._class(spec.get("priorityClassName", ""), attributes)
        name, value, policy = "", 0, "PreemptLowerPriority"
        if chosen is not None:
            name, value, policy = chosen["metadata"]["name"], chosen["value"], chosen.get("preemptionPolicy", policy)
        if spec.get("priority") is not None and spec["priority"] != value:
            text = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            text += f"priority admission controller computed {value} from the given PriorityClass name"
            raise errors.forbidden("", "pods", attributes.name, text)
        if spec.get("preemptionPolicy", policy) != policy:
            text = f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
            text += f"priority admission controller computed {policy} from the given PriorityClass name"
            raise errors.forbidden("", "pods", attributes.name, text)
        ranked = remember.changed(spec, (_ranked, name, value, policy), lambda: _ranked(spec, name, value, policy))
        return {**obj, "spec": ranked}

    def _class(self, name: str, attributes: Attributes) -> Object | None:
        kind = priorityclass.KIND
        if name:
            record = self._store.latest(kind.key_prefix, kind.key("", name))
            if record is None:
                raise errors.forbidden("", "pods", attributes.name, f"no PriorityClass with name {name} was found")
            return record.object()
        return self._default()

    def _default(self) -> Object | None:
        kind = priorityclass.KIND
        candidates = [
            record.object()
            for record in self._store.collection(kind.key_prefix).records.values()
            if b'"globalDefault":true' in record.data
        ]
        defaults = [found for found in candidates if found.get("globalDefault")]
        return min(defaults, key=lambda found: int(found["value"])) if defaults else None

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        if attributes.kind is not priorityclass.KIND or obj is None or not obj.get("globalDefault"):
            return
        present = self._default()
        name = obj["metadata"]["name"]
        if present is not None and (old is None or present["metadata"]["name"] != name):
            text = f"PriorityClass {present['metadata']['name']} is already marked as default. Only one default can exist"
            raise errors.forbidden(attributes.kind.group, attributes.kind.plural, name, text)


def _ranked(spec: Object, name: str, value: int, policy: str) -> Object:
    """A pod's spec with what the class of that name gives it; "" is none."""
    named = {"priorityClassName": name} if name else {}
    return {**spec, **named, "priority": value, "preemptionPolicy": policy}
