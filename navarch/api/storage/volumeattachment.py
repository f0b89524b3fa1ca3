"""VolumeAttachment: a volume that is to be attached to a node, and whether it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core import persistentvolume
from navarch.api.core.volumesource import validate_csi_driver_name
from navarch.api.internalform import invalid_struct
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.objectmeta import IMMUTABLE
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, required, too_long

METADATA_LIMIT_BYTES = 256 * 1024
MESSAGE_LIMIT_BYTES = 1024
ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


def default(attachment: Object) -> Object:
    inline = (attachment.get("spec", {}).get("source") or {}).get("inlineVolumeSpec")
    if inline is not None:
        persistentvolume.default_spec(inline)
    return attachment


def prepare_create(attachment: Object) -> Object:
    return {**attachment, "status": {"attached": False}}


def prepare_status_update(new: Object, old: Object) -> Object:
    # Whoever reports on an attachment changes nothing else of it.
    metadata = dict(old["metadata"])
    if "managedFields" in new["metadata"]:
        metadata["managedFields"] = new["metadata"]["managedFields"]
    return {**new, "metadata": metadata}


def validate(attachment: Object) -> Iterator[FieldError]:
    spec = attachment.get("spec") or {}
    attacher, node = spec.get("attacher", ""), spec.get("nodeName", "")
    if not attacher:
        yield required("spec.attacher")
    yield from _source(spec.get("source") or {}, "spec.source")
    yield from (invalid_value("spec.nodeName", node, text) for text in names.dns1123_subdomain(node))
    yield from _status(attachment.get("status") or {})


def validate_create(attachment: Object) -> Iterator[FieldError]:
    """What v1 asks of new ones besides: the same may be told twice."""
    spec = attachment.get("spec") or {}
    yield from validate_csi_driver_name(spec.get("attacher", ""), "spec.attacher")
    volume = (spec.get("source") or {}).get("persistentVolumeName")
    if volume is not None:
        path = "spec.source.persistentVolumeName"
        yield from (invalid_value(path, volume, text) for text in names.dns1123_subdomain(volume))


def _source(source: Object, path: str) -> Iterator[FieldError]:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and name is None:
        yield required(path, ONE_SOURCE)
    elif inline is not None and name is not None:
        yield forbidden_field(path, ONE_SOURCE)
    elif name == "":
        yield required(f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName")
    elif inline is not None:
        yield from persistentvolume.validate_inline(inline, f"{path}.inlineVolumeSpec")


def _status(status: Object) -> Iterator[FieldError]:
    metadata = status.get("attachmentMetadata") or {}
    if sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items()) > METADATA_LIMIT_BYTES:
        yield too_long("status.attachmentMetadata", METADATA_LIMIT_BYTES)
    for field in ("attachError", "detachError"):
        error = status.get(field) or {}
        if len(error.get("message", "").encode()) > MESSAGE_LIMIT_BYTES:
            yield too_long(f"status.{field}.message", METADATA_LIMIT_BYTES)
        if error.get("errorCode") is not None and error["errorCode"] < 0:
            text = "must be between 0 and 2147483647, inclusive"
            yield invalid_value(f"status.{field}.errorCode", error["errorCode"], text)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new.get("spec") != old.get("spec"):
        yield invalid_struct("spec", new.get("spec") or {}, "io.k8s.api.storage.v1.VolumeAttachmentSpec", IMMUTABLE)


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from _status(new.get("status") or {})


def row(attachment: Object, now: datetime) -> list[Any]:
    spec = attachment.get("spec") or {}
    return [
        attachment["metadata"]["name"],
        spec.get("attacher", ""),
        (spec.get("source") or {}).get("persistentVolumeName") or "",
        spec.get("nodeName", ""),
        bool((attachment.get("status") or {}).get("attached")),
        printing.age(attachment, now),
    ]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttachment",
    plural="volumeattachments",
    namespaced=False,
    subresources=("status",),
    default=default,
    validate=validate,
    validate_create=validate_create,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    prepare_create=prepare_create,
    prepare_status_update=prepare_status_update,
    allow_unconditional_update=False,
    returns_deleted=True,
    columns=(
        NAME,
        Column("Attacher", format="name"),
        Column("PV"),
        Column("Node"),
        Column("Attached", "boolean"),
        AGE,
    ),
    row=row,
)
