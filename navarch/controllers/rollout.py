"""The arithmetic of a Deployment's rollout: which ReplicaSet is the new one, and how large each may be. Pure.

ReplicaSets are not changed here: `Sets` holds for each the size it is to have, beside the size that it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import orjson

from navarch.apimachinery import intstr, meta
from navarch.apimachinery.errors import Object
from navarch.component.clock import NAME_ALPHABET
from navarch.controllers.pods import created

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
ROLLBACK_TO = "deprecated.deployment.rollback.to"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
UNLIMITED_HISTORY = 2**31 - 1
REVISION_HISTORY_LIMIT = 2000
"""Characters."""
NOT_COPIED = frozenset(
    {
        LAST_APPLIED,
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        ROLLBACK_TO,
    }
)
"""Annotations that a Deployment and its sets have each for themselves."""


def template_hash(template: Object, collisions: int = 0) -> str:
    """A short name for a template; other every time it collided."""
    digest = hashlib.sha256(orjson.dumps([template, collisions], option=orjson.OPT_SORT_KEYS)).digest()
    number = int.from_bytes(digest[:4], "big")
    return "".join(NAME_ALPHABET[ord(digit) % len(NAME_ALPHABET)] for digit in str(number))


def without_hash(template: Object) -> Object:
    labels = (template.get("metadata") or meta.EMPTY).get("labels") or meta.EMPTY
    if HASH_LABEL not in labels:
        return template
    return meta.without_path(template, "metadata", "labels", HASH_LABEL)


def has_template(replicaset: Object, template: Object) -> bool:
    """Whether the set's pods are those that `template` describes."""
    return without_hash(replicaset["spec"]["template"]) == without_hash(template)


def replicas(obj: Object) -> int:
    return int(obj["spec"].get("replicas", 1))


def counted(obj: Object, field_name: str) -> int:
    """A number of an object's status."""
    return int((obj.get("status") or meta.EMPTY).get(field_name) or 0)


def revision(obj: Object) -> int:
    try:
        return int(meta.annotations(obj).get(REVISION, "0"))
    except ValueError:
        return 0


def is_rolling(deployment: Object) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def limits(deployment: Object) -> tuple[int, int]:
    """(max surge, max unavailable) in pods; both zero would allow no step, then one may be unavailable."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    total = replicas(deployment)
    surge = intstr.scaled(rolling.get("maxSurge", "25%"), total, True)
    unavailable = intstr.scaled(rolling.get("maxUnavailable", "25%"), total, False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, total)


def max_unavailable(deployment: Object) -> int:
    return limits(deployment)[1]


@dataclass(slots=True)
class Sets:
    """A Deployment's ReplicaSets with the sizes they are to have."""

    new: Object | None
    old: list[Object]
    """Oldest first."""
    sizes: dict[str, int] = field(default_factory=dict)
    """By uid."""
    resized: set[str] = field(default_factory=set)
    """Those whose size was decided upon, even if it is the same: their notes on the desired size are renewed."""

    def __post_init__(self) -> None:
        self.sizes = {meta.uid(item): replicas(item) for item in self.all}

    @property
    def all(self) -> list[Object]:
        return [*self.old, self.new] if self.new is not None else list(self.old)

    def size(self, item: Object) -> int:
        return self.sizes[meta.uid(item)]

    def total(self) -> int:
        return sum(self.sizes.values())

    def resize(self, item: Object, size: int) -> None:
        self.resized.add(meta.uid(item))
        self.sizes[meta.uid(item)] = size

    @property
    def is_changed(self) -> bool:
        return any(self.size(item) != replicas(item) for item in self.all)


def split(deployment: Object, replicasets: Iterable[Object]) -> Sets:
    """The set with the Deployment's template (the oldest of several), and the others."""
    ordered = sorted(replicasets, key=lambda item: (created(item), meta.name(item)))
    template = deployment["spec"]["template"]
    new = next((item for item in ordered if has_template(item, template)), None)
    return Sets(new, [item for item in ordered if item is not new])


def initial_size(deployment: Object, sets: Sets) -> int:
    """How large the new set may be now."""
    wanted = replicas(deployment)
    if not is_rolling(deployment):
        return wanted
    surge, _ = limits(deployment)
    present = sets.size(sets.new) if sets.new is not None else 0
    room = wanted + surge - sets.total()
    return present if room <= 0 else present + min(room, wanted - present)


def roll(deployment: Object, sets: Sets) -> None:
    """One step of a rolling update: grow the new set if there is room, else shrink old ones as far as availability allows."""
    assert sets.new is not None
    wanted = replicas(deployment)
    if sets.size(sets.new) != wanted:
        size = wanted if sets.size(sets.new) > wanted else initial_size(deployment, sets)
        if size != sets.size(sets.new):
            sets.resize(sets.new, size)
            return
    active = [item for item in sets.old if sets.size(item) > 0]
    if not active:
        return
    at_least = wanted - max_unavailable(deployment)
    unavailable_new = sets.size(sets.new) - counted(sets.new, "availableReplicas")
    limit = sets.total() - at_least - unavailable_new
    if limit > 0:
        _drop_unhealthy(sets, active, limit)
        _drop_available(sets, active, at_least)


def _drop_unhealthy(sets: Sets, active: Sequence[Object], limit: int) -> None:
    """Pods of old sets that don't work may go at once: nothing becomes less available by it."""
    for item in active:
        unhealthy = sets.size(item) - counted(item, "availableReplicas")
        if limit > 0 and unhealthy > 0:
            count = min(limit, unhealthy)
            sets.resize(item, sets.size(item) - count)
            limit -= count


def _drop_available(sets: Sets, active: Sequence[Object], at_least: int) -> None:
    spare = sum(counted(item, "availableReplicas") for item in sets.all) - at_least
    for item in active:
        if spare > 0 and sets.size(item) > 0:
            count = min(sets.size(item), spare)
            sets.resize(item, sets.size(item) - count)
            spare -= count


def scale(deployment: Object, sets: Sets) -> None:
    """Bring a Deployment to another size without rolling: the one active set, or each in proportion to its size."""
    wanted = replicas(deployment)
    only = _active_or_latest(sets)
    if only is not None:
        sets.resize(only, wanted)
        return
    if sets.new is not None and _is_saturated(deployment, sets.new):
        for item in sets.old:
            if sets.size(item) > 0:
                sets.resize(item, 0)
        return
    if is_rolling(deployment):
        _scale_proportionally(deployment, sets)


def _active_or_latest(sets: Sets) -> Object | None:
    active = [item for item in sets.all if sets.size(item) > 0]
    if len(active) == 1:
        return active[0]
    if active:
        return None
    return sets.new if sets.new is not None else (sets.old[-1] if sets.old else None)


def _is_saturated(deployment: Object, new: Object) -> bool:
    wanted = replicas(deployment)
    noted = meta.annotations(new).get(DESIRED_REPLICAS)
    return replicas(new) == wanted and noted == str(wanted) and counted(new, "availableReplicas") == wanted


def _scale_proportionally(deployment: Object, sets: Sets) -> None:
    wanted = replicas(deployment)
    allowed = wanted + limits(deployment)[0] if wanted > 0 else 0
    active = [item for item in sets.all if sets.size(item) > 0]
    missing = allowed - sum(sets.size(item) for item in active)
    # What cannot be divided goes to the largest; of equals to the newest when growing, the oldest when shrinking.
    sign = -1 if missing > 0 else 1
    active.sort(key=lambda item: (-sets.size(item), sign * created(item).timestamp()))
    sizes, added = [], 0
    for item in active:
        share = _proportion(item, deployment, missing, added)
        sizes.append(sets.size(item) + share)
        added += share
    if sizes and missing != 0:
        sizes[0] = max(sizes[0] + missing - added, 0)
    for item, size in zip(active, sizes, strict=True):
        sets.resize(item, size)


def _proportion(item: Object, deployment: Object, missing: int, added: int) -> int:
    if replicas(item) == 0 or missing in (0, added):
        return 0
    share = _fraction(item, deployment)
    return min(share, missing - added) if missing > 0 else max(share, missing - added)


def _fraction(item: Object, deployment: Object) -> int:
    wanted = replicas(deployment)
    if wanted == 0:
        return -replicas(item)
    most = wanted + limits(deployment)[0]
    noted = meta.annotations(item).get(MAX_REPLICAS, "")
    before = int(noted) if noted.isdigit() and int(noted) > 0 else counted(deployment, "replicas")
    if before <= 0:
        return 0
    # Half is rounded up, in integers.
    return (2 * replicas(item) * most + before) // (2 * before) - replicas(item)


def is_scaling(deployment: Object, sets: Sets) -> bool:
    """Whether an active set was sized for another number of replicas than is asked for now."""
    for item in sets.all:
        noted = meta.annotations(item).get(DESIRED_REPLICAS)
        if sets.size(item) > 0 and noted is not None and noted != str(replicas(deployment)):
            return True
    return False


def size_notes(deployment: Object) -> dict[str, str]:
    """The annotations that tell for which size a set was sized."""
    wanted = replicas(deployment)
    return {DESIRED_REPLICAS: str(wanted), MAX_REPLICAS: str(wanted + limits(deployment)[0])}


def new_annotations(deployment: Object, sets: Sets) -> dict[str, str]:
    """What the new set is to be annotated with: the Deployment's annotations, and its revision."""
    present = dict(meta.annotations(sets.new)) if sets.new is not None else {}
    copied = {key: value for key, value in meta.annotations(deployment).items() if key not in NOT_COPIED}
    result = present | copied
    number = max((revision(item) for item in sets.old), default=0) + 1
    before = present.get(REVISION)
    if before is None or revision_number(before) < number:
        result[REVISION] = str(number)
        if before is not None:
            # It was rolled back to: the numbers it had are remembered.
            result[REVISION_HISTORY] = _with_revision(present.get(REVISION_HISTORY, ""), before)
    return result


def _with_revision(history: str, number: str) -> str:
    """`history` with one number more; the oldest are forgotten where it grows too long."""
    known = [item for item in history.split(",") if item]
    while known and len(",".join([*known, number])) > REVISION_HISTORY_LIMIT:
        known = known[1:]
    return ",".join([*known, number])


def revision_number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def new_replicaset(deployment: Object, sets: Sets, collisions: int) -> Object:
    """The ReplicaSet for the Deployment's present template."""
    template = deployment["spec"]["template"]
    hashed = template_hash(template, collisions)
    template = meta.set_path(template, hashed, "metadata", "labels", HASH_LABEL)
    selector = meta.set_path(deployment["spec"]["selector"], hashed, "matchLabels", HASH_LABEL)
    spec: Object = {"replicas": initial_size(deployment, sets), "selector": selector, "template": template}
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta.name(deployment)}-{hashed}",
            "namespace": meta.namespace(deployment),
            "labels": dict(template["metadata"]["labels"]),
            "annotations": new_annotations(deployment, sets) | size_notes(deployment),
            "ownerReferences": [meta.owner_reference(deployment)],
        },
        "spec": spec,
    }


def outdated(deployment: Object, sets: Sets) -> list[Object]:
    """Old sets beyond the history that is kept, which nothing uses any more; oldest revision first."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == UNLIMITED_HISTORY:
        return []
    alive = sorted((item for item in sets.old if not meta.being_deleted(item)), key=revision)
    return [
        item
        for item in alive[: max(len(alive) - limit, 0)]
        if not counted(item, "replicas")
        and replicas(item) == 0
        and item["metadata"].get("generation", 0) <= counted(item, "observedGeneration")
    ]
