"""patch: JSON Patch, merge patch, strategic merge patch, over whatever the newest version of the object is; apply elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, patch
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver import applying, body, fieldmanagement, options, preconditions
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.resources import Resources


async def serve(resources: Resources, request: APIRequest, kind: Kind, subresource: str = "") -> ObjectAnswer:
    type_ = body.media_type(request.content_type)
    applies = type_ == applying.MEDIA_TYPE
    apply = _PATCHES.get(type_)
    if (apply is None and not applies) or type_ not in media_types(kind):
        raise errors.unsupported_media_type(type_, media_types(kind))
    options.check_writing(request, applies=applies)
    if apply is None:
        return await applying.serve(resources, request, kind, subresource)
    changes, repeated = body.parse(request)
    schema = schemas.of(kind)
    about_managers = _is_about_managers(changes)

    def transform(stored: Object) -> Object:
        current = kind.from_stored(stored)
        if not about_managers:
            current = fieldmanagement.without_managers(current)
        try:
            patched = apply(current, changes, schema)
        except patch.PatchError as error:
            raise _unapplicable(type_, error) from None
        if not isinstance(patched, dict):
            raise errors.bad_request("a patched object must be an object")
        if not isinstance(patched.get("metadata"), dict):
            patched = {**patched, "metadata": current["metadata"]}
        body.check_kind(patched, kind)
        # What is stored is right. With a status it may be shared (see Resources.change).
        base = current if subresource == "status" and kind.stored_as is None else None
        new = body.decode_value(request, patched, kind, repeated, base=base)
        if meta.name(new) != request.info.name:
            raise errors.bad_request(
                f"the name of the object ({meta.name(new)}) does not match the name on the URL ({request.info.name})"
            )
        preconditions.check_version(kind, new, request.info.name, current["metadata"]["resourceVersion"])
        return resources.to_stored(kind, new)

    return await resources.change(request, kind, transform, subresource=subresource)


def _is_about_managers(changes: Any) -> bool:
    """Whether a patch may mean metadata.managedFields, which are large: all other patches need not go through them."""
    if isinstance(changes, dict):
        metadata = changes.get("metadata")
        return isinstance(metadata, dict) and fieldmanagement.FIELD in metadata
    operations = [operation for operation in changes if isinstance(operation, dict)] if isinstance(changes, list) else []
    places = [operation.get(key) for operation in operations for key in ("path", "from")]
    return any(place in ("", "/metadata") or str(place).startswith(f"/metadata/{fieldmanagement.FIELD}") for place in places)


def _unapplicable(type_: str, error: patch.PatchError) -> StatusError:
    """What a patch that cannot be applied is answered with."""
    if isinstance(error, patch.TooManyOperationsError):
        return errors.status_error(413, "RequestEntityTooLarge", str(error))
    if type_ == "application/json-patch+json" and not isinstance(error, patch.MalformedError):
        # Kubernetes does not say which operation did not apply.
        message = "the server rejected our request due to an error in our request"
        return errors.status_error(422, "Invalid", message, {})
    return errors.bad_request(str(error))


_PATCHES: dict[str, Callable[[Object, Any, Any], Any]] = {
    "application/json-patch+json": lambda current, changes, schema: patch.json_patch(current, changes),
    "application/merge-patch+json": lambda current, changes, schema: patch.merge_patch(current, _mapping(changes)),
    "application/strategic-merge-patch+json": patch.strategic_merge_patch,
}
MEDIA_TYPES = (*_PATCHES, applying.MEDIA_TYPE)


_CUSTOM_MEDIA_TYPES = tuple(type_ for type_ in MEDIA_TYPES if type_ != "application/strategic-merge-patch+json")


def media_types(kind: Kind) -> tuple[str, ...]:
    """Of the patches that there are of a kind."""
    return _CUSTOM_MEDIA_TYPES if kind.is_custom else MEDIA_TYPES


def _mapping(changes: Any) -> Object:
    if not isinstance(changes, dict):
        raise patch.PatchError("a merge patch must be an object")
    return changes
