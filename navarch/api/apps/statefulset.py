"""StatefulSet: pods with names of their own and an order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.apps import workload
from navarch.api.core import persistentvolumeclaim, podwarnings, volumewarnings
from navarch.api.core.nonnegative import nonnegative
from navarch.api.internalform import invalid_struct
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported, required

REVISION_HISTORY_LIMIT = 10
_APPS = "io.k8s.api.apps.v1."
_UNAVAILABLE = ("updateStrategy", "rollingUpdate", "maxUnavailable")
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
    if "type" not in strategy:
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        strategy["rollingUpdate"].setdefault("partition", 0)
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
    if not spec["podManagementPolicy"]:
        yield required("spec.podManagementPolicy")
    elif spec["podManagementPolicy"] not in MANAGEMENT_POLICIES:
        yield invalid_value("spec.podManagementPolicy", spec["podManagementPolicy"], _either(MANAGEMENT_POLICIES))
    yield from _strategy(spec["updateStrategy"])
    for field in ("whenDeleted", "whenScaled"):
        policy = spec["persistentVolumeClaimRetentionPolicy"][field]
        if policy not in CLAIM_POLICIES:
            yield not_supported(f"spec.persistentVolumeClaimRetentionPolicy.{field}", policy, CLAIM_POLICIES)
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        path = f"spec.volumeClaimTemplates[{index}]"
        if not meta.get_path(claim, "metadata", "name"):
            yield required(f"{path}.metadata.name")
        yield from persistentvolumeclaim.validate_spec(claim.get("spec") or {}, f"{path}.spec")
    yield from workload.validate_nonnegative(spec, "replicas", "minReadySeconds")
    if (spec.get("ordinals") or {}).get("start", 0) < 0:
        yield nonnegative("spec.ordinals.start", spec["ordinals"]["start"])
    yield from workload.validate_selector(spec, "statefulset", of="StatefulSet", template=_with_claims(spec))


def _with_claims(spec: Object) -> Object:
    """The template of the pods, with a volume for each template of claims."""
    template: Object = spec["template"]
    claimed = dict.fromkeys(meta.get_path(claim, "metadata", "name") for claim in spec.get("volumeClaimTemplates") or ())
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claimed if name]
    if not volumes:
        return template
    volumes += [volume for volume in template["spec"].get("volumes") or () if volume.get("name") not in claimed]
    return {**template, "spec": {**template["spec"], "volumes": volumes}}


def _strategy(strategy: Object) -> Iterator[FieldError]:
    path, rolling = "spec.updateStrategy.rollingUpdate", strategy.get("rollingUpdate")
    if not strategy["type"]:
        yield required("spec.updateStrategy")
    elif strategy["type"] not in UPDATE_STRATEGIES:
        yield invalid_struct("spec.updateStrategy", strategy, f"{_APPS}StatefulSetUpdateStrategy", _either(UPDATE_STRATEGIES))
    elif strategy["type"] == "OnDelete" and rolling is not None:
        text = "only allowed for updateStrategy 'RollingUpdate'"
        yield invalid_struct(path, rolling, f"{_APPS}RollingUpdateStatefulSetStrategy", text)
    elif strategy["type"] == "RollingUpdate" and rolling is not None:
        if rolling["partition"] < 0:
            yield nonnegative(f"{path}.partition", rolling["partition"])
        unavailable = rolling.get("maxUnavailable")
        if unavailable is not None:
            yield from workload.validate_int_or_percent(unavailable, f"{path}.maxUnavailable")
            if workload.is_zero(unavailable):
                yield invalid_value(f"{path}.maxUnavailable", unavailable, "cannot be 0")
            yield from workload.validate_at_most_all(unavailable, f"{path}.maxUnavailable")


def validate_create(statefulset: Object) -> Iterator[FieldError]:
    """What sets that are older may lack."""
    service = statefulset["spec"].get("serviceName")
    if service:
        yield from (invalid_value("spec.serviceName", service, text) for text in names.dns1123_label(service))


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
    return {**_one_by_one(statefulset), "status": {"replicas": 0, "availableReplicas": 0}}


def prepare_update(new: Object, old: Object) -> Object:
    return new if meta.get_path(old["spec"], *_UNAVAILABLE) is not None else _one_by_one(new)


def _one_by_one(statefulset: Object) -> Object:
    """Without how many may be updated at once: the feature gate MaxUnavailableStatefulSet is off."""
    rolling = meta.get_path(statefulset["spec"], *_UNAVAILABLE[:-1])
    if rolling is None or "maxUnavailable" not in rolling:
        return statefulset
    return meta.set_path(statefulset, meta.without_path(rolling, _UNAVAILABLE[-1]), "spec", *_UNAVAILABLE[:-1])


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
    validate_create=validate_create,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    has_generation=True,
    columns=(NAME, Column("Ready"), AGE, Column("Containers", priority=1), Column("Images", priority=1)),
    row=row,
)
