"""LimitRanger: pods get the requests and limits that their namespace's LimitRanges give.

They must keep within these, and so must claims on storage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from navarch.api.core import limitrange, podresources
from navarch.api.core import persistentvolumeclaim as claims
from navarch.api.core import pod as pods
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, quantity
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.apiserver.admission.presence import Presence
from navarch.storage.store import Store

ANNOTATION = "kubernetes.io/limit-ranger"

Amounts = Mapping[str, str]


class LimitRanger(AdmissionPlugin):
    def __init__(self, store: Store) -> None:
        self._store = store
        self._presence = Presence(store, limitrange.KIND, self.changed)

    def _limit_ranges(self, namespace: str) -> list[Object]:
        prefix = limitrange.KIND.key_prefix
        return [record.object() for record in self._store.collection(prefix).range(f"{prefix}{namespace}/")]

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        if not self._presence.is_any:
            return False
        if kind is claims.KIND:
            return operation in ("CREATE", "UPDATE") and not subresource
        # What a pod may use changes only by being resized.
        return kind is pods.KIND and (operation, subresource) in (("CREATE", ""), ("UPDATE", "resize"))

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        if attributes.kind is not pods.KIND or attributes.operation != "CREATE":
            return obj
        for limit_range in self._limit_ranges(attributes.namespace):
            obj = with_defaults(obj, limit_range)
        return obj

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        kind = attributes.kind
        if obj is None or (old is not None and meta.being_deleted(old)):
            return
        for limit_range in self._limit_ranges(attributes.namespace):
            # Containers that are alike have one and the same problem.
            problems = list(dict.fromkeys((_of_pod if kind is pods.KIND else _of_claim)(limit_range, obj)))
            if problems:
                text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
                raise errors.forbidden("", kind.plural, meta.name(obj), text)


def with_defaults(pod: Object, limit_range: Object) -> Object:
    """The pod with what a LimitRange gives containers that leave it open, and a note of it."""
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for limit in limit_range["spec"].get("limits") or ():
        if limit.get("type") == "Container":
            requests |= limit.get("defaultRequest") or {}
            limits |= limit.get("default") or {}
    if not limits and not requests:
        return pod
    spec, notes = dict(pod["spec"]), []
    for field, called in (("containers", "container"), ("initContainers", "init container")):
        if not spec.get(field):
            continue
        containers = []
        for container in spec[field]:
            resources, name = dict(container.get("resources") or {}), container.get("name", "")
            for side, given, word in (("requests", requests, "request"), ("limits", limits, "limit")):
                present = resources.get(side) or {}
                added = sorted(given.keys() - present.keys())
                if added:
                    resources[side] = {**present, **{resource: given[resource] for resource in added}}
                    notes.append(f"{', '.join(added)} {word} for {called} {name}")
            containers.append({**container, "resources": resources})
        spec[field] = containers
    if not notes:
        return pod
    note = "LimitRanger plugin set: " + "; ".join(notes)
    return meta.set_path({**pod, "spec": spec}, {**meta.annotations(pod), ANNOTATION: note}, "metadata", "annotations")


def _of_pod(limit_range: Object, pod: Object) -> Iterator[str]:
    for limit in limit_range["spec"].get("limits") or ():
        if limit.get("type") == "Container":
            for field in ("containers", "initContainers"):
                for container in pod["spec"].get(field) or ():
                    resources = container.get("resources") or meta.EMPTY
                    yield from _within(limit, resources.get("requests") or meta.EMPTY, resources.get("limits") or meta.EMPTY)
        elif limit.get("type") == "Pod":
            requests, limits = (of(pod, use_status=False) for of in (podresources.requests, podresources.limits))
            yield from _within(limit, requests, limits)


def _of_claim(limit_range: Object, claim: Object) -> Iterator[str]:
    requests: Amounts = (claim["spec"].get("resources") or meta.EMPTY).get("requests") or meta.EMPTY
    for limit in limit_range["spec"].get("limits") or ():
        if limit.get("type") == "PersistentVolumeClaim":
            for name, least in sorted((limit.get("min") or meta.EMPTY).items()):
                yield from _minimum("PersistentVolumeClaim", name, least, requests.get(name), None)
            for name, most in sorted((limit.get("max") or meta.EMPTY).items()):
                told, asked = f"maximum {name} usage per PersistentVolumeClaim is {most}", requests.get(name)
                if asked is None:
                    yield f"{told}.  No request is specified"
                elif quantity.parse(asked) > quantity.parse(most):
                    yield f"{told}, but request is {asked}"


def _within(limit: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    """What is wrong with requests and limits under one entry of a LimitRange."""
    type_ = limit["type"]
    for name, least in sorted((limit.get("min") or meta.EMPTY).items()):
        yield from _minimum(type_, name, least, requests.get(name), limits.get(name))
    for name, most in sorted((limit.get("max") or meta.EMPTY).items()):
        yield from _maximum(type_, name, most, requests.get(name), limits.get(name))
    for name, ratio in sorted((limit.get("maxLimitRequestRatio") or meta.EMPTY).items()):
        yield from _ratio(type_, name, ratio, requests.get(name), limits.get(name))


def _minimum(type_: str, name: str, least: str, request: str | None, limit: str | None) -> Iterator[str]:
    told = f"minimum {name} usage per {type_} is {least}"
    if request is None:
        yield f"{told}.  No request is specified"
    elif quantity.parse(request) < quantity.parse(least):
        yield f"{told}, but request is {request}"
    elif limit is not None and quantity.parse(limit) < quantity.parse(least):
        yield f"{told}, but limit is {limit}"


def _maximum(type_: str, name: str, most: str, request: str | None, limit: str | None) -> Iterator[str]:
    told = f"maximum {name} usage per {type_} is {most}"
    if limit is None:
        yield f"{told}.  No limit is specified"
    elif quantity.parse(limit) > quantity.parse(most):
        yield f"{told}, but limit is {limit}"
    elif request is not None and quantity.parse(request) > quantity.parse(most):
        yield f"{told}, but request is {request}"


def _ratio(type_: str, name: str, most: str, request: str | None, limit: str | None) -> Iterator[str]:
    told = f"{name} max limit to request ratio per {type_} is {most}, but "
    if request is None or not quantity.parse(request):
        yield f"{told}no request is specified or request is 0"
    elif limit is None or not quantity.parse(limit):
        yield f"{told}no limit is specified or limit is 0"
    elif quantity.parse(limit) / quantity.parse(request) > quantity.parse(most):
        yield f"{told}provided ratio is {float(quantity.parse(limit) / quantity.parse(request)):f}"
