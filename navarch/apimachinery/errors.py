"""Errors of the API: `StatusError` (a `metav1.Status` to be raised) and `FieldError` (what a validator finds).

Codes, reasons and wording are those of the Kubernetes API (k8s.io/apimachinery/pkg/api/errors and util/validation/field), since
clients compare them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""An API object, as its JSON is."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field."""

    reason: str
    """The cause's reason: ``FieldValueInvalid``, ``FieldValueRequired``, …"""
    field: str
    """Path of the field, e.g. ``spec.containers[0].name``."""
    body: str
    """What is wrong, without the path."""

    @property
    def message(self) -> str:
        return f"{self.field}: {self.body}"

    def at(self, prefix: str) -> FieldError:
        """The same error, seen from an object that holds this one at `prefix`."""
        joint = "" if self.field.startswith("[") or not self.field else "."
        return FieldError(self.reason, f"{prefix}{joint}{self.field}", self.body)


def _shown(value: Any) -> str:
    """`value` as Go's %#v / JSON shows it in field errors."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, "Required value" + (f": {detail}" if detail else ""))


def invalid_value(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", field, f"Invalid value: {_shown(value)}: {detail}")


def invalid_unshown(field: str, detail: str) -> FieldError:
    """The same without the value."""
    return FieldError("FieldValueInvalid", field, f"Invalid value: {detail}")


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """`supported` is listed in its order; a set has none and is sorted."""
    ordered = sorted(supported) if isinstance(supported, Set) else supported
    choices = ", ".join(json.dumps(choice) for choice in ordered)
    return FieldError("FieldValueNotSupported", field, f"Unsupported value: {_shown(value)}: supported values: {choices}")


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, f"Forbidden: {detail}")


def duplicate(field: str, value: Any, detail: str = "") -> FieldError:
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {_shown(value)}" + (f": {detail}" if detail else ""))


def not_found_value(field: str, value: Any, detail: str = "") -> FieldError:
    return FieldError("FieldValueNotFound", field, f"Not found: {_shown(value)}" + (f": {detail}" if detail else ""))


def too_long(field: str, limit: int) -> FieldError:
    unit = "byte" if limit == 1 else "bytes"
    return FieldError("FieldValueTooLong", field, f"Too long: may not be more than {limit} {unit}")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    unit = "item" if limit == 1 else "items"
    return FieldError("FieldValueTooMany", field, f"Too many: {actual}: must have at most {limit} {unit}")


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueTypeInvalid", field, f"Invalid value: {_shown(value)}: {detail}")


class StatusError(Exception):
    """An answer of the API that is not success. `status` is the whole `metav1.Status` object."""

    def __init__(self, status: Object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status.get("message", ""))
        self.status = status
        self.headers = dict(headers or {})
        """Response headers that go with it, e.g. Retry-After."""

    @property
    def code(self) -> int:
        return int(self.status.get("code", 500))

    @property
    def reason(self) -> str:
        return str(self.status.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.status.get("message", ""))

    @property
    def causes(self) -> list[Object]:
        return list((self.status.get("details") or {}).get("causes") or ())

    @property
    def is_not_found(self) -> bool:
        return self.reason == "NotFound"

    @property
    def is_conflict(self) -> bool:
        return self.reason == "Conflict"

    @property
    def is_invalid(self) -> bool:
        """As also of a patch that names the uid of an object that is another one by now."""
        return self.reason == "Invalid"

    @property
    def is_already_exists(self) -> bool:
        return self.reason == "AlreadyExists"


def status_error(
    code: int, reason: str, message: str, details: Object | None = None, headers: Mapping[str, str] | None = None
) -> StatusError:
    """Any failure."""
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    if reason:
        status["reason"] = reason
    if details is not None:
        status["details"] = details
    status["code"] = code
    return StatusError(status, headers)


def qualified(group: str, resource: str) -> str:
    """``deployments.apps``; of the core group ``pods``."""
    return f"{resource}.{group}" if group else resource


def _details(group: str, kind: str, name: str = "", **more: Any) -> Object:
    details: Object = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    details.update(more)
    return details


def not_found(group: str, resource: str, name: str) -> StatusError:
    return status_error(404, "NotFound", f'{qualified(group, resource)} "{name}" not found', _details(group, resource, name))


class PageNotFound(StatusError):
    """For a path that is nothing's at all, which HTTP answers in plain text and not with a Status."""


def no_such_path() -> StatusError:
    """For a path or resource that the server does not serve."""
    return status_error(404, "NotFound", "the server could not find the requested resource", {})


def page_not_found() -> PageNotFound:
    return PageNotFound(no_such_path().status)


def already_exists(group: str, resource: str, name: str) -> StatusError:
    message = f'{qualified(group, resource)} "{name}" already exists'
    return status_error(409, "AlreadyExists", message, _details(group, resource, name))


def conflict(group: str, resource: str, name: str, detail: str) -> StatusError:
    message = f'Operation cannot be fulfilled on {qualified(group, resource)} "{name}": {detail}'
    return status_error(409, "Conflict", message, _details(group, resource, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422: `errors` become the message and the causes."""
    messages = list(dict.fromkeys(error.message for error in errors))
    text = messages[0] if len(messages) == 1 else "[" + ", ".join(messages) + "]"
    causes = [{"reason": error.reason, "message": error.body, "field": error.field} for error in errors]
    return status_error(
        422, "Invalid", f'{qualified(group, kind)} "{name}" is invalid: {text}', _details(group, kind, name, causes=causes)
    )


def bad_request(message: str) -> StatusError:
    return status_error(400, "BadRequest", message)


def unauthorized(message: str = "Unauthorized") -> StatusError:
    return status_error(401, "Unauthorized", message)


def forbidden(group: str, resource: str, name: str, detail: str) -> StatusError:
    if not resource:
        return status_error(403, "Forbidden", f"forbidden: {detail}", {})
    quoted = f' "{name}"' if name else ""
    message = f"{qualified(group, resource)}{quoted} is forbidden: {detail}"
    return status_error(403, "Forbidden", message, _details(group, resource, name))


def method_not_supported(group: str, resource: str, action: str) -> StatusError:
    message = f"{action} is not supported on resources of kind {json.dumps(qualified(group, resource))}"
    return status_error(405, "MethodNotAllowed", message, _details(group, resource))


def method_not_allowed() -> StatusError:
    message = "the server does not allow this method on the requested resource"
    return status_error(405, "MethodNotAllowed", message, {})


def not_acceptable(offered: Sequence[str]) -> StatusError:
    message = f"only the following media types are accepted: {', '.join(offered)}"
    return status_error(406, "NotAcceptable", message)


def not_acceptable_form(form: str, found: str, go_type: str) -> StatusError:
    """What was found is no object of which there is such a form."""
    return status_error(406, "NotAcceptable", f"you requested {form}, but the requested object is {found} ({go_type})")


def unsupported_media_type(sent: str, accepted: Sequence[str]) -> StatusError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    del sent  # Kubernetes does not repeat it.
    return status_error(415, "UnsupportedMediaType", message)


def request_entity_too_large(limit_bytes: int) -> StatusError:
    return status_error(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit_bytes}")


def expired(message: str) -> StatusError:
    return status_error(410, "Expired", message)


def gone(message: str) -> StatusError:
    return status_error(410, "Gone", message)


def too_many_requests(message: str, retry_after_seconds: int = 1, causes: Sequence[Object] = ()) -> StatusError:
    details: Object = {"retryAfterSeconds": retry_after_seconds} if retry_after_seconds else {}
    if causes:
        details["causes"] = list(causes)
    headers = {"Retry-After": str(retry_after_seconds)} if retry_after_seconds else None
    return status_error(429, "TooManyRequests", message, details, headers)


def internal_error(message: str) -> StatusError:
    details = {"causes": [{"message": message}]}
    return status_error(500, "InternalError", f"Internal error occurred: {message}", details)


def server_timeout(group: str, resource: str, action: str, retry_after_seconds: int = 0) -> StatusError:
    message = (
        f"The {action} operation against {qualified(group, resource)} could not be completed at this time, please try again."
    )
    return status_error(500, "ServerTimeout", message, _details(group, resource, retryAfterSeconds=retry_after_seconds))


def timeout(message: str, retry_after_seconds: int = 0) -> StatusError:
    return status_error(504, "Timeout", f"Timeout: {message}", {"retryAfterSeconds": retry_after_seconds})


def too_large_resource_version(version: int, current: int) -> StatusError:
    error = timeout(f"Too large resource version: {version}, current: {current}", 1)
    error.status["details"]["causes"] = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return error


def generate_name_conflict(group: str, resource: str, name: str) -> StatusError:
    """No free name was found for a `generateName`; trying again may help."""
    problem = "the server was not able to generate a unique name for the object"
    message = f'{qualified(group, resource)} "{name}" already exists, {problem}'
    details = _details(group, resource, name, retryAfterSeconds=1)
    return status_error(409, "AlreadyExists", message, details, {"Retry-After": "1"})


def service_unavailable(message: str) -> StatusError:
    return status_error(503, "ServiceUnavailable", message)
