"""CSIDriver: what a CSI driver can do, and what it wants of Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, duplicate, invalid_value, not_supported

FS_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
LIFECYCLE_MODES = ("Persistent", "Ephemeral")
UPDATE_PERIOD_MIN_SECONDS = 10
DISABLED_FIELDS = ("preventPodSchedulingIfMissing",)
"""Alpha (VolumeLimitScaling)."""
TOKEN_EXPIRATION_MIN_SECONDS, TOKEN_EXPIRATION_MAX_SECONDS = 600, 1 << 32


def default(driver: Object) -> Object:
    spec = driver.setdefault("spec", {})
    spec.setdefault("attachRequired", True)
    spec.setdefault("podInfoOnMount", False)
    spec.setdefault("storageCapacity", False)
    spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]
    spec.setdefault("requiresRepublish", False)
    spec.setdefault("seLinuxMount", False)
    return driver


def prepare_create(driver: Object) -> Object:
    """The driver without what belongs to features that are not enabled."""
    return {**driver, "spec": {field: value for field, value in driver["spec"].items() if field not in DISABLED_FIELDS}}


def prepare_update(new: Object, old: Object) -> Object:
    """A driver has no generation until its spec changes for the first time."""
    new = prepare_create(new)
    if new["spec"] == old["spec"]:
        return new
    return meta.set_path(new, old["metadata"].get("generation", 0) + 1, "metadata", "generation")


def validate(driver: Object) -> Iterator[FieldError]:
    spec = driver["spec"]
    if spec["fsGroupPolicy"] not in FS_GROUP_POLICIES:
        yield not_supported("spec.fsGroupPolicy", spec["fsGroupPolicy"], FS_GROUP_POLICIES)
    yield from _token_requests(spec.get("tokenRequests") or (), "spec.tokenRequests")
    for mode in spec["volumeLifecycleModes"]:
        if mode not in LIFECYCLE_MODES:
            yield not_supported("spec.volumeLifecycleModes", mode, LIFECYCLE_MODES)
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < UPDATE_PERIOD_MIN_SECONDS:
        text = f"must be greater than or equal to {UPDATE_PERIOD_MIN_SECONDS} seconds"
        yield invalid_value("spec.nodeAllocatableUpdatePeriodSeconds", period, text)
    in_secrets = spec.get("serviceAccountTokenInSecrets")
    if in_secrets is not None and not spec.get("tokenRequests"):
        text = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        yield invalid_value("spec.serviceAccountTokenInSecrets", in_secrets, text)


def _token_requests(requests: list[Object] | tuple[()], path: str) -> Iterator[FieldError]:
    audiences = set()
    for index, request in enumerate(requests):
        audience, seconds = request.get("audience", ""), request.get("expirationSeconds")
        if audience in audiences:
            yield duplicate(f"{path}[{index}].audience", audience)
            continue
        audiences.add(audience)
        where = f"{path}[{index}].expirationSeconds"
        if seconds is not None and seconds < TOKEN_EXPIRATION_MIN_SECONDS:
            yield invalid_value(where, seconds, "may not specify a duration less than 10 minutes")
        elif seconds is not None and seconds > TOKEN_EXPIRATION_MAX_SECONDS:
            yield invalid_value(where, seconds, "may not specify a duration larger than 2^32 seconds")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    for field, shown in (("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")):
        if new["spec"].get(field) != old["spec"].get(field):
            yield invalid_value(f"spec.{shown}", new["spec"].get(field), "field is immutable")


def row(driver: Object, now: datetime) -> list[Any]:
    spec = driver["spec"]
    tokens = spec.get("tokenRequests")
    return [
        driver["metadata"]["name"],
        spec.get("attachRequired", True),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        printing.UNSET if tokens is None else ",".join(token.get("audience", "") for token in tokens),
        bool(spec.get("requiresRepublish")),
        printing.joined(spec.get("volumeLifecycleModes") or ()),
        printing.age(driver, now),
    ]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="CSIDriver",
    plural="csidrivers",
    namespaced=False,
    default=default,
    validate=validate,
    validate_update=validate_update,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    allow_unconditional_update=False,
    returns_deleted=True,
    columns=(
        NAME,
        Column("AttachRequired", "boolean"),
        Column("PodInfoOnMount", "boolean"),
        Column("StorageCapacity", "boolean"),
        Column("TokenRequests"),
        Column("RequiresRepublish", "boolean"),
        Column("Modes"),
        AGE,
    ),
    row=row,
)
