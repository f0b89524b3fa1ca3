"""Of which object, and of which version of it, a request wants to be: what its uid and its resourceVersion ask for."""

from __future__ import annotations

import json
from collections.abc import Iterator

from navarch.api.kind import Kind
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object

# Of these Kubernetes looks at preconditions before it comes to what all deletions have in common.
_ASKED_FIRST = frozenset({"namespaces", "customresourcedefinitions.apiextensions.k8s.io"})
_MEANING = {
    "UID": "The object might have been deleted and then recreated",
    "ResourceVersion": "The object might have been modified",
}


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
    check_identity(kind, stored, {"uid": (sent.get("metadata") or {}).get("uid")})


def check_identity(kind: Kind, obj: Object, wanted: Object) -> None:
    """That a stored object has the uid and the resourceVersion that are wanted, where they are. Raises 409."""
    for shown, sent, found in _mismatches(obj, wanted):
        text = f"Precondition failed: {shown} in precondition: {sent}, {shown} in object meta: {found}"
        raise errors.conflict(kind.group, kind.plural, obj["metadata"]["name"], text)


def check_deletion(kind: Kind, obj: Object, wanted: Object) -> None:
    """`check_identity` in the words of a deletion. Raises 409."""
    if kind.resource in _ASKED_FIRST:
        check_identity(kind, obj, wanted)
    for shown, sent, found in _mismatches(obj, wanted):
        text = f"the {shown} in the precondition ({sent}) does not match the {shown} in record ({found}). {_MEANING[shown]}"
        raise errors.conflict(kind.group, kind.kind, obj["metadata"]["name"], text)


def _mismatches(obj: Object, wanted: Object) -> Iterator[tuple[str, str, str]]:
    """(what, as it is wanted, as it is)."""
    for field, shown in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        sent, found = wanted.get(field), obj["metadata"].get(field)
        if sent and sent != found:
            yield shown, sent, found


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit()
