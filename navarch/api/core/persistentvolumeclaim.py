"""PersistentVolumeClaim: somebody's wish for storage, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import internalform, labelselector, printing
from navarch.api.core import resourcenames, storageaccess, volumewarnings
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta, names, quantity
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported, required

RESIZE_STATUSES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
)
SNAPSHOT = ("VolumeSnapshot", "snapshot.storage.k8s.io")
UPDATABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
NOT_TO_NIL = "update to nil is forbidden when status.currentVolumeAttributesClassName is not nil"
NOT_TO_EMPTY = "update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil"


def default(claim: Object) -> Object:
    claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    return claim


# The data a volume begins with has two fields (KEP-1495): the older `dataSource` takes claims and snapshots only.


def prepare_create(claim: Object) -> Object:
    return {**claim, "spec": _with_data_source(claim["spec"], {}), "status": {"phase": "Pending"}}


def prepare_update(new: Object, old: Object) -> Object:
    return {**new, "spec": _with_data_source(new["spec"], old["spec"])}


def _with_data_source(spec: Object, before: Object) -> Object:
    spec = dict(spec)
    reference = spec.get("dataSourceRef")
    if reference is not None and reference.get("namespace") and before.get("dataSourceRef") is None:
        # Data from other namespaces are not offered; upstream's feature is alpha.
        del spec["dataSourceRef"]
        reference = None
    source = spec.get("dataSource")
    in_use = before.get("dataSource") is not None or before.get("dataSourceRef") is not None
    if source is not None and reference is None:
        if in_use or _is_claim_or_snapshot(source):
            spec["dataSourceRef"] = dict(source)
        else:
            del spec["dataSource"]
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {field: value for field, value in reference.items() if field != "namespace"}
    return spec


def _is_claim_or_snapshot(source: Object) -> bool:
    identity = source.get("kind", ""), source.get("apiGroup") or ""
    return identity in (("PersistentVolumeClaim", ""), SNAPSHOT)


def validate(claim: Object) -> Iterator[FieldError]:
    yield from validate_spec(claim["spec"], "spec")


def validate_spec(spec: Object, path: str) -> Iterator[FieldError]:
    """The spec of a claim, or of a template of claims."""
    if not spec.get("accessModes"):
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    if spec.get("selector") is not None:
        yield from labelselector.validate(spec["selector"], f"{path}.selector")
    yield from storageaccess.validate_access_modes(spec.get("accessModes") or (), f"{path}.accessModes")
    wanted = requested(spec)
    where = f"{path}.resources[storage]"
    if wanted is None:
        yield required(where)
    elif quantity.parse(wanted) <= 0:
        yield from resourcenames.validate_positive_amount(wanted, where)
    yield from storageaccess.validate_class_name(spec.get("storageClassName"), f"{path}.storageClassName")
    yield from storageaccess.validate_volume_mode(spec.get("volumeMode"), f"{path}.volumeMode")
    for field in ("dataSource", "dataSourceRef"):
        if spec.get(field) is not None:
            yield from _data_source(spec[field], f"{path}.{field}")
    yield from _data_sources_agree(spec, path)
    yield from storageaccess.validate_class_name(spec.get("volumeAttributesClassName"), f"{path}.volumeAttributesClassName")


def requested(spec: Object) -> str | None:
    """How much storage is asked for."""
    amount = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    return None if amount is None else str(amount)


def _data_source(source: Object, path: str) -> Iterator[FieldError]:
    group, kind = source.get("apiGroup") or "", source.get("kind", "")
    for field in ("name", "kind"):
        if not source.get(field):
            yield required(f"{path}.{field}")
    if not group and kind != "PersistentVolumeClaim":
        yield invalid_value(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
    if group:
        yield from (invalid_value(f"{path}.apiGroup", group, text) for text in names.dns1123_subdomain(group))
    if source.get("namespace"):
        namespace = source["namespace"]
        yield from (invalid_value(f"{path}.namespace", namespace, text) for text in names.dns1123_label(namespace))


def _data_sources_agree(spec: Object, path: str) -> Iterator[FieldError]:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is None or reference is None:
        return
    if reference.get("namespace"):
        yield invalid_value(path, f"{path}.dataSource", "may not be specified when dataSourceRef.namespace is specified")
    elif any(source.get(field) != reference.get(field) for field in ("apiGroup", "kind", "name")):
        yield invalid_value(path, f"{path}.dataSource", "must match dataSourceRef")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = new["spec"], old["spec"]
    class_now, class_before = (meta.annotations(obj).get(storageaccess.BETA_CLASS_ANNOTATION) for obj in (new, old))
    named = now.get("storageClassName")
    moves_class = before.get("storageClassName") is None and named is not None and class_before in (None, named)
    keeps_annotation = class_now == class_before or (class_now is None and class_before == named and moves_class)
    if not keeps_annotation:
        where = f"metadata.annotations.{storageaccess.BETA_CLASS_ANNOTATION}"
        yield invalid_value(where, class_now or "", "field is immutable")
    bound = (new.get("status") or {}).get("phase") == "Bound"
    compared, compared_before = _compared(now, before, bound, moves_class)
    if _by_value(compared) != _by_value(compared_before):
        definition = f"{internalform.CORE}PersistentVolumeClaimSpec"
        difference = internalform.difference(compared_before, compared, definition)
        yield forbidden_field("spec", f"{UPDATABLE}\n{difference}")
    size_now, size_before = (quantity.parse(requested(spec) or "0") for spec in (now, before))
    capacity = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
    if size_now < size_before and size_now <= quantity.parse(capacity):
        # An expansion that failed may be taken back, down to what there is (KEP-1790).
        yield forbidden_field("spec.resources.requests.storage", "field can not be less than status.capacity")
    if now.get("volumeMode") != before.get("volumeMode"):
        yield invalid_value("volumeMode", now.get("volumeMode"), "field is immutable")
    attributes_class = now.get("volumeAttributesClassName")
    taken_back = not attributes_class and attributes_class != before.get("volumeAttributesClassName")
    if taken_back and (old.get("status") or {}).get("currentVolumeAttributesClassName") is not None:
        # One that was never applied may be (KEP-3751).
        yield forbidden_field("spec.volumeAttributesClassName", NOT_TO_NIL if attributes_class is None else NOT_TO_EMPTY)


def _compared(now: Object, before: Object, bound: bool, moves_class: bool) -> tuple[Object, Object]:
    """Both specs, with what an update may change as it is in one of them."""
    compared, compared_before = {**now}, {**before}
    if not before.get("volumeName"):
        _take(compared_before, now, "volumeName")
    if moves_class:
        _take(compared, before, "storageClassName")
    if bound:
        _take(compared, before, "volumeAttributesClassName")
        requests = (now.get("resources") or {}).get("requests")
        if requests is not None:
            requests = {**requests, "storage": requested(before) or "0"}
            compared["resources"] = {**now["resources"], "requests": requests}
    return compared, compared_before


def _take(spec: Object, other: Object, field: str) -> None:
    """Set a field of `spec` to what it is in `other`."""
    if field in other:
        spec[field] = other[field]
    else:
        spec.pop(field, None)


def _by_value(spec: Object) -> Object:
    """`spec` with the values of amounts, which may be written differently."""
    resources = {
        side: {name: quantity.parse(amount) for name, amount in amounts.items()}
        for side, amounts in (spec.get("resources") or {}).items()
    }
    return {**spec, "resources": resources}


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    for name, amount in sorted((status.get("capacity") or {}).items()):
        yield from resourcenames.validate_basic_amount(amount, f"status.capacity[{name}]")
    path = "status.allocatedResourceStatus"
    for name, state in sorted((status.get("allocatedResourceStatuses") or {}).items()):
        yield from _resource_key(name, path)
        if state not in RESIZE_STATUSES:
            yield not_supported(path, name, RESIZE_STATUSES)
    path = "status.allocatedResources"
    for name, amount in sorted((status.get("allocatedResources") or {}).items()):
        problems = list(_resource_key(name, path)) or list(resourcenames.validate_basic_amount(amount, f"{path}[{name}]"))
        yield from problems


def _resource_key(name: str, path: str) -> Iterator[FieldError]:
    problems = list(names.qualified_name(name))
    yield from (invalid_value(path, name, text) for text in problems)
    if not problems and resourcenames.is_native(name) and name != "storage":
        yield not_supported(path, name, ("storage",))


def row(claim: Object, now: datetime) -> list[Any]:
    spec, status = claim["spec"], claim.get("status") or {}
    bound = bool(spec.get("volumeName"))
    attributes_class = spec.get("volumeAttributesClassName")
    return [
        claim["metadata"]["name"],
        "Terminating" if meta.being_deleted(claim) else status.get("phase", ""),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        storageaccess.abbreviated(status.get("accessModes")) if bound else "",
        storageaccess.class_of(claim),
        printing.UNSET if attributes_class is None else attributes_class,
        printing.age(claim, now),
        spec.get("volumeMode") or printing.UNSET,
    ]


def warnings(claim: Object, old: Object | None) -> Iterator[str]:
    yield from storageaccess.class_warnings(claim)
    yield from volumewarnings.claim_warnings(claim["spec"], "spec")


KIND = Kind(
    group="",
    version="v1",
    kind="PersistentVolumeClaim",
    plural="persistentvolumeclaims",
    short_names=("pvc",),
    subresources=("status",),
    default=default,
    validate=validate,
    warnings=warnings,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    returns_deleted=True,
    columns=(
        NAME,
        Column("Status"),
        Column("Volume"),
        Column("Capacity"),
        Column("Access Modes"),
        Column("StorageClass"),
        Column("VolumeAttributesClass"),
        AGE,
        Column("VolumeMode", priority=1),
    ),
    row=row,
)
