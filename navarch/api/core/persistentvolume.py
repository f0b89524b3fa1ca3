"""PersistentVolume: a piece of storage that claims can be bound to."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import internalform, printing
from navarch.api.core import (
    nodelabels,
    nodeselector,
    persistentvolumesource,
    resourcenames,
    storageaccess,
    volumesource,
    volumewarnings,
)
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported, required

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
INLINE = "may not be specified in the context of inline volumes"
_REMOVED = ("cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd")
NOT_NULLABLE = "update from non-nil value to nil is forbidden"


def default(volume: Object) -> Object:
    default_spec(volume.setdefault("spec", {}))
    return volume


def default_spec(spec: Object) -> None:
    """Fill in what a volume leaves open. Changes `spec`."""
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    volumesource.default(spec)


def prepare_create(volume: Object) -> Object:
    created = volume["metadata"]["creationTimestamp"]
    return {**volume, "status": {"phase": "Pending", "lastPhaseTransitionTime": created}}


def stamp_status_update(new: Object, old: Object, now: str) -> Object:
    """When the phase changed last, unless whoever changes it says so himself (KEP-3762)."""
    status, before = new.get("status") or {}, old.get("status") or {}
    said, was = status.get("lastPhaseTransitionTime"), before.get("lastPhaseTransitionTime")
    if status.get("phase") != before.get("phase"):
        moment = now if said is None or said == was else said
    else:
        moment = was if said is None else said
    return meta.set_path(new, moment, "status", "lastPhaseTransitionTime") if moment is not None else new


def validate(volume: Object) -> Iterator[FieldError]:
    spec, path = volume["spec"], "spec"
    if not spec.get("accessModes"):
        yield required(f"{path}.accessModes")
    yield from storageaccess.validate_access_modes(spec.get("accessModes") or (), f"{path}.accessModes")
    yield from _capacity(spec.get("capacity") or {}, f"{path}.capacity")
    if spec["persistentVolumeReclaimPolicy"] not in RECLAIM_POLICIES:
        where = f"{path}.persistentVolumeReclaimPolicy"
        yield not_supported(where, spec["persistentVolumeReclaimPolicy"], RECLAIM_POLICIES)
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        yield from _node_affinity(affinity, f"{path}.nodeAffinity")
    yield from persistentvolumesource.validate(spec, path, meta.name(volume))
    if spec.get("local") is not None and affinity is None:
        yield required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    if _is_root(spec.get("hostPath")) and spec["persistentVolumeReclaimPolicy"] == "Recycle":
        yield forbidden_field(f"{path}.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'")
    yield from storageaccess.validate_class_name(spec.get("storageClassName"), f"{path}.storageClassName")
    yield from storageaccess.validate_volume_mode(spec.get("volumeMode"), f"{path}.volumeMode")
    yield from _attributes_class(spec, path)


def _capacity(capacity: Object, path: str) -> Iterator[FieldError]:
    if not capacity:
        yield required(path)
    if set(capacity) != {"storage"}:
        yield not_supported(path, capacity, ("storage",))
    for name, amount in sorted(capacity.items()):
        yield from resourcenames.validate_basic_amount(amount, f"{path}[{name}]")
        yield from resourcenames.validate_positive_amount(amount, f"{path}[{name}]")


def _node_affinity(affinity: Object, path: str) -> Iterator[FieldError]:
    if affinity.get("required") is None:
        yield required(f"{path}.required", "must specify required node constraints")
    else:
        yield from nodeselector.validate(affinity["required"], f"{path}.required")


def _is_root(source: Object | None) -> bool:
    return bool(source and source.get("path")) and posixpath.normpath(source["path"]).strip("/") == ""  # type: ignore[index]


def _attributes_class(spec: Object, path: str) -> Iterator[FieldError]:
    name = spec.get("volumeAttributesClassName")
    if name is None:
        return
    if not name:
        yield required(f"{path}.volumeAttributesClassName", "an empty string is disallowed")
    yield from storageaccess.validate_class_name(name, f"{path}.volumeAttributesClassName")
    if spec.get("csi") is None:
        yield required(f"{path}.csi", "has to be specified when using volumeAttributesClassName")


def validate_inline(spec: Object, path: str) -> Iterator[FieldError]:
    """The spec of a volume that a VolumeAttachment brings along instead of naming one."""
    for field in ("claimRef", "capacity"):
        if spec.get(field):
            yield forbidden_field(f"{path}.{field}", INLINE)
    if spec.get("csi") is None:
        yield required(f"{path}.csi", "has to be specified in the context of inline volumes")
    if not spec.get("accessModes"):
        yield required(f"{path}.accessModes")
    yield from storageaccess.validate_access_modes(spec.get("accessModes") or (), f"{path}.accessModes")
    if spec.get("persistentVolumeReclaimPolicy", "Retain") != "Retain":
        yield forbidden_field(f"{path}.persistentVolumeReclaimPolicy", "may only be Retain in the context of inline volumes")
    if spec.get("nodeAffinity") is not None:
        yield forbidden_field(f"{path}.nodeAffinity", INLINE)
    yield from persistentvolumesource.validate(spec, path, "")
    if spec.get("storageClassName"):
        yield forbidden_field(f"{path}.storageClassName", INLINE)
    if spec.get("volumeMode", "Filesystem") != "Filesystem":
        text = "may not specify volumeMode other than Filesystem in the context of inline volumes"
        yield forbidden_field(f"{path}.volumeMode", text)
    yield from _attributes_class(spec, path)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = new["spec"], old["spec"]
    source, source_before = _source(now, before), _source(before, before)
    if source != source_before:
        definition = f"{internalform.CORE}PersistentVolumeSpec"
        difference = internalform.difference(source_before, source, definition, only=persistentvolumesource.KINDS)
        text = f"spec.persistentvolumesource is immutable after creation\n{difference}"
        yield forbidden_field("spec.persistentvolumesource", text)
    if now.get("volumeMode") != before.get("volumeMode"):
        yield invalid_value("volumeMode", now.get("volumeMode"), "field is immutable")
    if before.get("nodeAffinity") is not None and now.get("nodeAffinity") != before["nodeAffinity"]:
        yield invalid_value("nodeAffinity", now.get("nodeAffinity"), "field is immutable")
    if before.get("volumeAttributesClassName") is not None and now.get("volumeAttributesClassName") is None:
        yield forbidden_field("spec.volumeAttributesClassName", NOT_NULLABLE)


def _source(spec: Object, before: Object) -> Object:
    """Where the storage is, without the secret for expansion that may be added later."""
    found = {kind: spec[kind] for kind in persistentvolumesource.KINDS if spec.get(kind) is not None}
    if "csi" in found and (before.get("csi") or {}).get("controllerExpandSecretRef") is None:
        found["csi"] = {key: value for key, value in found["csi"].items() if key != "controllerExpandSecretRef"}
    return found


def row(volume: Object, now: datetime) -> list[Any]:
    spec, status = volume["spec"], volume.get("status") or {}
    claim = spec.get("claimRef")
    attributes_class = spec.get("volumeAttributesClassName")
    return [
        volume["metadata"]["name"],
        (spec.get("capacity") or {}).get("storage", "0"),
        storageaccess.abbreviated(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if meta.being_deleted(volume) else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        storageaccess.class_of(volume),
        printing.UNSET if attributes_class is None else attributes_class,
        status.get("reason", ""),
        printing.age(volume, now),
        spec.get("volumeMode") or printing.UNSET,
    ]


def warnings(volume: Object, old: Object | None) -> Iterator[str]:
    yield from storageaccess.class_warnings(volume)
    spec = volume["spec"]
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach "
            "is to use dynamic provisioning."
        )
    required_affinity = (spec.get("nodeAffinity") or meta.EMPTY).get("required") or meta.EMPTY
    for index, term in enumerate(required_affinity.get("nodeSelectorTerms") or ()):
        path = f"spec.nodeAffinity.required.nodeSelectorTerms[{index}].matchExpressions"
        yield from nodelabels.expression_warnings(term.get("matchExpressions") or (), path)
    yield from volumewarnings.removed(spec, "spec", _REMOVED)


KIND = Kind(
    group="",
    version="v1",
    kind="PersistentVolume",
    plural="persistentvolumes",
    namespaced=False,
    short_names=("pv",),
    subresources=("status",),
    default=default,
    validate=validate,
    warnings=warnings,
    validate_update=validate_update,
    prepare_create=prepare_create,
    stamp_status_update=stamp_status_update,
    returns_deleted=True,
    columns=(
        NAME,
        Column("Capacity"),
        Column("Access Modes"),
        Column("Reclaim Policy"),
        Column("Status"),
        Column("Claim"),
        Column("StorageClass"),
        Column("VolumeAttributesClass"),
        Column("Reason"),
        AGE,
        Column("VolumeMode", priority=1),
    ),
    row=row,
)
