"""patch: JSON Patch, merge patch, strategic merge patch, over whatever the newest version of the object is; apply elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.apimachinery import errors, goformat, meta, patch
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.unmarshal import DecodeError
from navarch.apiserver import applying, body, fieldmanagement, options, preconditions
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.resources import Resources

JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
NO_OBJECT = "a patched object must be an object"
_OPERATION_FIELDS = frozenset(("op", "path", "from", "value"))


async def serve(resources: Resources, request: APIRequest, kind: Kind, subresource: str = "") -> ObjectAnswer:
    type_ = body.media_type(request.content_type)
    applies = type_ == applying.MEDIA_TYPE
    apply = _PATCHES.get(type_)
    if (apply is None and not applies) or type_ not in media_types(kind):
        raise errors.unsupported_media_type(type_, media_types(kind))
    options.check_writing(request, applies=applies)
    if apply is None:
        return await applying.serve(resources, request, kind, subresource)
    changes, repeated = parse(request, type_)
    schema = schemas.of(kind)
    about_managers = _is_about_managers(changes)

    def transform(stored: Object) -> Object:
        current = kind.from_stored(stored)
        if not about_managers:
            current = fieldmanagement.without_managers(current)
        try:
            patched = apply(current, changes, schema)
        except patch.PatchError as error:
            raise unapplicable(type_, error) from None
        if not isinstance(patched, dict):
            raise errors.bad_request(NO_OBJECT)
        if not isinstance(patched.get("metadata"), dict):
            patched = {**patched, "metadata": current["metadata"]}
        # What a strategic merge patch says of the kind does not count: it is merged into what is of the kind already.
        if type_ != STRATEGIC:
            _check_kind(type_, changes, patched, kind)
        # What is stored is right. With a status it may be shared (see Resources.change).
        base = current if subresource == "status" and kind.stored_as is None else None
        refuse = partial(undecodable, type_, changes, patched)
        new = body.decode_value(request, patched, kind, repeated, base=base, refuse=refuse)
        if meta.name(new) != request.info.name:
            raise errors.bad_request(
                f"the name of the object ({meta.name(new)}) does not match the name on the URL ({request.info.name})"
            )
        preconditions.check_version(kind, new, request.info.name, current["metadata"]["resourceVersion"])
        return resources.to_stored(kind, new)

    return await resources.change(request, kind, transform, subresource=subresource)


def parse(request: APIRequest, type_: str) -> tuple[Any, body.Repeated]:
    """The patch in a body, and what strict decoding has against it. Raises 400."""
    try:
        changes, repeated = body.parse(request)
    except StatusError as error:
        raise malformed(type_, error.message) if error.code == 400 else error from None
    if type_ == JSON_PATCH:
        repeated = body.Repeated(told=_odd_in_operations(changes, repeated.fields))
    return changes, repeated


def _is_about_managers(changes: Any) -> bool:
    """Whether a patch may mean metadata.managedFields, which are large: all other patches need not go through them."""
    if isinstance(changes, dict):
        metadata = changes.get("metadata")
        return isinstance(metadata, dict) and fieldmanagement.FIELD in metadata
    operations = [operation for operation in changes if isinstance(operation, dict)] if isinstance(changes, list) else []
    places = [operation.get(key) for operation in operations for key in ("path", "from")]
    return any(place in ("", "/metadata") or str(place).startswith(f"/metadata/{fieldmanagement.FIELD}") for place in places)


def _odd_in_operations(operations: Any, repeated: list[str]) -> list[str]:
    """What strict decoding has against the operations of a JSON Patch."""
    listed = enumerate(operations) if isinstance(operations, list) else ()
    unknown = [
        f"[{index}].{key}"
        for index, operation in listed
        if isinstance(operation, dict)
        for key in operation
        if key not in _OPERATION_FIELDS
    ]
    return [
        *(f'json patch duplicate field "{path}"' for path in repeated),
        *(f'json patch unknown field "{path}"' for path in unknown),
    ]


def _check_kind(type_: str, changes: Any, patched: Object, kind: Kind) -> None:
    """That it is still of the kind. Raises 422, and 400 of a kind that is defined."""
    try:
        body.check_kind(patched, kind)
    except StatusError as error:
        if kind.is_custom:
            raise
        raise undecodable(type_, changes, patched, DecodeError(error.message)) from None


def undecodable(type_: str, changes: Any, patched: Object, error: DecodeError) -> StatusError:
    """The answer to a patch that makes something else of an object than its kind; it names no kind, as in Kubernetes."""
    if type_ == STRATEGIC:
        problem = errors.invalid_value("patch", goformat.go_value(changes), error.converting)
    else:
        problem = errors.invalid_value("patch", orjson.dumps(patched).decode(), str(error))
    return errors.invalid("", "", "", [problem])


def unapplicable(type_: str, error: patch.PatchError) -> StatusError:
    """What a patch that cannot be applied is answered with."""
    if isinstance(error, patch.TooManyOperationsError):
        return errors.status_error(413, "RequestEntityTooLarge", str(error))
    if isinstance(error, patch.MalformedError):
        return malformed(type_, str(error))
    if type_ == JSON_PATCH or isinstance(error, patch.NotRetainedError):
        # Kubernetes does not say which operation did not apply.
        message = "the server rejected our request due to an error in our request"
        return errors.status_error(422, "Invalid", message, {})
    # What else is wrong with a strategic merge patch is a 500 in Kubernetes, though it is the client's mistake.
    return errors.bad_request(str(error))


def malformed(type_: str, text: str) -> StatusError:
    """The answer to a body that is no patch of its type."""
    return errors.bad_request(text if type_ == STRATEGIC else f"error decoding patch: {text}")


_PATCHES: dict[str, Callable[[Object, Any, Any], Any]] = {
    JSON_PATCH: lambda current, changes, schema: patch.json_patch(current, changes),
    "application/merge-patch+json": lambda current, changes, schema: patch.merge_patch(current, mapping(changes)),
    STRATEGIC: patch.strategic_merge_patch,
}
MEDIA_TYPES = (*_PATCHES, applying.MEDIA_TYPE)


_CUSTOM_MEDIA_TYPES = tuple(type_ for type_ in MEDIA_TYPES if type_ != STRATEGIC)


def media_types(kind: Kind) -> tuple[str, ...]:
    """Of the patches that there are of a kind."""
    return _CUSTOM_MEDIA_TYPES if kind.is_custom else MEDIA_TYPES


def mapping(changes: Any) -> Object:
    """A merge patch. Raises PatchError."""
    if changes is None:
        raise patch.PatchError("Invalid JSON Patch")
    if not isinstance(changes, dict):
        raise patch.MalformedError(goformat.not_into(changes, "map[string]interface {}"))
    return changes
