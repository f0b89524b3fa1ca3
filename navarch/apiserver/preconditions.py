"""What a sent object's resourceVersion asks for: to be written over just that version of what is stored, or over any."""

from __future__ import annotations

import json

from navarch.api.kind import Kind
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object


def is_any_version(obj: Object) -> bool:
    """That it names no version; "0" is none."""
    return (obj.get("metadata") or {}).get("resourceVersion") in (None, "", "0")


def check_unversioned(obj: Object) -> None:
    """That a new object names no version. Raises 400: Kubernetes says 500, since only its storage looks at it."""
    version = obj["metadata"].get("resourceVersion") or "0"
    if _is_number(version) and int(version):
        raise errors.bad_request("resourceVersion should not be set on objects to be created")


def check_version(kind: Kind, obj: Object, name: str, current: str) -> None:
    """That an update of an object of that name is meant for its `current` version, or for any where its kind allows that.

    Raises 409, 422 where a version must be named, 400 (500 in Kubernetes) where it is no number.
    """
    version = obj["metadata"].get("resourceVersion") or "0"
    if version == current:
        return
    if not _is_number(version):
        raise errors.bad_request(f"strconv.ParseUint: parsing {json.dumps(version)}: invalid syntax")
    if int(version):
        raise errors.conflict(kind.group, kind.plural, name, errors.MODIFIED)
    if not kind.stored.allow_unconditional_update:
        problem = errors.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
        raise errors.invalid(kind.group, kind.kind, name, [problem])


def check_uid(kind: Kind, sent: Object, stored: Object) -> None:
    """Raises 409 if what is sent names the identity of another object than the stored one."""
    uid, own = (sent.get("metadata") or {}).get("uid"), stored["metadata"].get("uid")
    if uid and uid != own:
        text = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {own}"
        raise errors.conflict(kind.group, kind.plural, stored["metadata"]["name"], text)


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit()
