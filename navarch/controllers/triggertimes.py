"""When that happened for which endpoints are written: from it others measure how long it takes to be known everywhere.

Of all that changed since the last look it is the earliest; of a Service that is new, its creation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object

ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"


def compute(service: Object, pods: Iterable[Object], memory: dict[str, Any]) -> str:
    """The time, "" if nothing told of one; `pods` are those that the Service selects.

    `memory` keeps, by Service, what was seen last: (when it was created, pod -> when its readiness changed).
    """
    key = meta.key(service)
    known: tuple[str, dict[str, str]] | None = memory.get(key)
    created_before, pods_before = known if known is not None else ("", {})
    created = service["metadata"]["creationTimestamp"]
    # Times are written alike, with whole seconds: their texts have their order.
    told = {meta.name(pod): _ready_since(pod) for pod in pods}
    memory[key] = created, told
    if known is None:
        return str(created)
    news = [time for name, time in told.items() if time > pods_before.get(name, "")]
    if created > created_before:
        news.append(created)
    return min(news, default="")


def _ready_since(pod: Object) -> str:
    """When the pod became ready, or ceased to be."""
    return str((meta.condition(pod, "Ready") or meta.EMPTY).get("lastTransitionTime") or "")


def annotated(obj: Object, time: str) -> Object:
    """An object that is about to be written, with that time; an older one is not left on it."""
    annotations = {key: value for key, value in meta.annotations(obj).items() if key != ANNOTATION}
    if time:
        annotations[ANNOTATION] = time
    if annotations == meta.annotations(obj):
        return obj
    if annotations:
        return meta.set_path(obj, annotations, "metadata", "annotations")
    return meta.without_path(obj, "metadata", "annotations")
