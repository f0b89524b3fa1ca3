"""StatefulSet: pods with names of their own and an order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.apps import workload
from navarch.api.core import persistentvolumeclaim, podwarnings, volumewarnings
from navarch.api.core.nonnegative import nonnegative
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported, required

REVISION_HISTORY_LIMIT = 10
MANAGEMENT_POLICIES = ("OrderedReady", "Parallel")
UPDATE_STRATEGIES = ("RollingUpdate", "OnDelete")
CLAIM_POLICIES = ("Retain", "Delete")
UPDATABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def default(statefulset: Object) -> Object:
    spec = statefulset.setdefault("spec", {})
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    claims = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    claims.setdefault("whenDeleted", "Retain")
    claims.setdefault("whenScaled", "Retain")
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", REVISION_HISTORY_LIMIT)
    workload.default_template(spec)
    for claim in spec.get("volumeClaimTemplates") or ():
        claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        persistentvolumeclaim.default(claim)
        claim.setdefault("status", {}).setdefault("phase", "Pending")
    return statefulset


def validate(statefulset: Object) -> Iterator[FieldError]:
    spec = statefulset["spec"]
    yield from workload.validate_nonnegative(spec, "replicas", "minReadySeconds", "revisionHistoryLimit")
    yield from workload.validate_selector(spec, "statefulset")
    if not spec["podManagementPolicy"]:
        yield required("spec.podManagementPolicy")
    elif spec["podManagementPolicy"] not in MANAGEMENT_POLICIES:
        yield invalid_value("spec.podManagementPolicy", spec["podManagementPolicy"], _either(MANAGEMENT_POLICIES))
    strategy = spec["updateStrategy"]
    if not strategy["type"]:
        yield required("spec.updateStrategy")
    elif strategy["type"] not in UPDATE_STRATEGIES:
        yield invalid_value("spec.updateStrategy", strategy, _either(UPDATE_STRATEGIES))
    elif strategy["type"] == "OnDelete" and strategy.get("rollingUpdate"):
        text = "only allowed for updateStrategy 'RollingUpdate'"
        yield invalid_value("spec.updateStrategy.rollingUpdate", strategy["rollingUpdate"], text)
    elif strategy["type"] == "RollingUpdate":
        path = "spec.updateStrategy.rollingUpdate"
        if strategy["rollingUpdate"]["partition"] < 0:
            yield nonnegative(f"{path}.partition", strategy["rollingUpdate"]["partition"])
        unavailable = strategy["rollingUpdate"].get("maxUnavailable")
        if unavailable is not None:
            yield from workload.validate_int_or_percent(unavailable, f"{path}.maxUnavailable")
            if workload.is_zero(unavailable):
                yield invalid_value(f"{path}.maxUnavailable", unavailable, "cannot be 0")
            yield from workload.validate_at_most_all(unavailable, f"{path}.maxUnavailable")
    for field, policy in spec["persistentVolumeClaimRetentionPolicy"].items():
        if policy not in CLAIM_POLICIES:
            yield not_supported(f"spec.persistentVolumeClaimRetentionPolicy.{field}", policy, CLAIM_POLICIES)
    if (spec.get("ordinals") or {}).get("start", 0) < 0:
        yield nonnegative("spec.ordinals.start", spec["ordinals"]["start"])
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        if not (claim.get("metadata") or {}).get("name"):
            yield required(f"spec.volumeClaimTemplates[{index}].metadata.name")


def _either(choices: tuple[str, str]) -> str:
    return "must be '{}' or '{}'".format(*choices)


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status, parts = new.get("status") or {}, ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    yield from workload.validate_counts(status, "replicas", *parts, "observedGeneration", "collisionCount")
    yield from workload.validate_parts(status, *parts, of_ready="status.readyReplicas")
    yield from workload.validate_collisions(new, old)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = ({key: value for key, value in obj["spec"].items() if key not in UPDATABLE} for obj in (new, old))
    if now != before:
        allowed = ", ".join(f"'{field}'" for field in UPDATABLE[:-1])
        text = f"updates to statefulset spec for fields other than {allowed} and '{UPDATABLE[-1]}' are forbidden"
        yield forbidden_field("spec", text)


def prepare_create(statefulset: Object) -> Object:
    return {**statefulset, "status": {"replicas": 0, "availableReplicas": 0}}


def row(statefulset: Object, now: datetime) -> list[Any]:
    spec, status = statefulset["spec"], statefulset.get("status") or {}
    container_names, images = printing.containers(spec["template"].get("spec"))
    return [
        statefulset["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        printing.age(statefulset, now),
        container_names,
        images,
    ]


def warnings(statefulset: Object, old: Object | None) -> Iterator[str]:
    yield from podwarnings.of_spec(statefulset, old)
    spec = statefulset["spec"]
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        path = f"spec.volumeClaimTemplates[{index}]"
        yield from volumewarnings.claim_warnings(claim.get("spec") or {}, path if old is None else f"{path}.Spec")
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        yield ("spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended")


KIND = Kind(
    group="apps",
    version="v1",
    kind="StatefulSet",
    plural="statefulsets",
    short_names=("sts",),
    categories=("all",),
    subresources=("status", "scale"),
    default=default,
    validate=validate,
    warnings=warnings,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    validate_name=names.dns1123_label,
    prepare_create=prepare_create,
    has_generation=True,
    columns=(NAME, Column("Ready"), AGE, Column("Containers", priority=1), Column("Images", priority=1)),
    row=row,
)
