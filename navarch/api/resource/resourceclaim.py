"""ResourceClaim: devices that pods want, which of them were given, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.internalform import RESOURCE, invalid_struct
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.objectmeta import IMMUTABLE, RESET_FOR_STATUS
from navarch.api.resource import allocation, deviceclaim, devicestatus
from navarch.api.resource.fieldlists import each_once
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, required

CONSUMERS_LIMIT = 256


def default(claim: Object) -> Object:
    deviceclaim.default(claim["spec"].setdefault("devices", {}))
    return claim


def prepare_status_update(new: Object, old: Object) -> Object:
    """What is reported of devices goes with them."""
    status = new.get("status") or {}
    if status.get("allocation") is not None:
        status = {**status, "allocation": allocation.with_defaults(status["allocation"])}
    if status.get("devices") is not None:
        before = allocation.devices((old.get("status") or meta.EMPTY).get("allocation"))
        gone = before - allocation.devices(status.get("allocation"))
        kept = [device for device in status["devices"] if allocation.device_id(device) not in gone]
        status = {**status, "devices": kept} if kept else {key: value for key, value in status.items() if key != "devices"}
    return {**new, "status": status}


def validate_create(claim: Object) -> Iterator[FieldError]:
    yield from deviceclaim.validate(claim["spec"]["devices"], "spec.devices")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new["spec"] != old["spec"]:
        yield invalid_struct("spec", new["spec"], f"{RESOURCE}ResourceClaimSpec", IMMUTABLE)


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status, before = new.get("status") or {}, old.get("status") or {}
    reserved, allocated = status.get("reservedFor") or (), status.get("allocation")
    yield from each_once(reserved, CONSUMERS_LIMIT, _consumer, "status.reservedFor", lambda item: item.get("uid", ""))
    yield from devicestatus.validate(status.get("devices") or (), allocation.devices(allocated), "status.devices")
    if reserved and allocated is None:
        yield forbidden_field("status.reservedFor", "may not be specified when `allocated` is not set")
    elif meta.being_deleted(new) and any(consumer not in (before.get("reservedFor") or ()) for consumer in reserved):
        text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        yield forbidden_field("status.reservedFor", text)
    if allocated is None:
        return
    if before.get("allocation") is None:
        known = deviceclaim.request_names(new["spec"]["devices"])
        yield from allocation.validate(allocated, known, "status.allocation")
    elif allocated != before["allocation"]:
        yield invalid_struct("status.allocation", allocated, f"{RESOURCE}AllocationResult", IMMUTABLE)


def _consumer(consumer: Object, path: str) -> Iterator[FieldError]:
    for field in ("resource", "name", "uid"):
        if not consumer.get(field):
            yield required(f"{path}.{field}")


def _state(claim: Object) -> str:
    status = claim.get("status") or meta.EMPTY
    states = ["deleted"] if meta.being_deleted(claim) else []
    if status.get("allocation") is not None:
        states += ["allocated", "reserved"] if status.get("reservedFor") else ["allocated"]
    elif not states:
        states.append("pending")
    return ",".join(states)


def row(claim: Object, now: datetime) -> list[Any]:
    return [claim["metadata"]["name"], _state(claim), printing.age(claim, now)]


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaim",
    plural="resourceclaims",
    subresources=("status",),
    default=default,
    validate_create=validate_create,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    prepare_status_update=prepare_status_update,
    status_keeps_metadata=RESET_FOR_STATUS,
    returns_deleted=True,
    columns=(NAME, Column("State"), AGE),
    row=row,
)
