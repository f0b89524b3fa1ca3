"""DeviceClaim: which devices are asked for, what must hold between them, and how they are configured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from navarch.api.resource import deviceconfiguration, deviceselector, devicetaint
from navarch.api.resource.devicenames import validate_class, validate_fully_qualified, validate_label
from navarch.api.resource.fieldlists import Check, each, each_once
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required

REQUESTS_LIMIT = 32
CONSTRAINTS_LIMIT = 32
SUBREQUESTS_LIMIT = 8
ALLOCATION_MODES = ("All", "ExactCount")
NULL = "null"
_ONE_REQUEST = "exactly one of `exactly` or `firstAvailable` is required"
_ONE_ATTRIBUTE = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
_NOT_A_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
RequestNames = Mapping[str, frozenset[str]]
"""Of each request the names of its subrequests."""


def default(claim: Object) -> None:
    """Of a claim that nobody else holds."""
    for request in claim.get("requests") or ():
        exactly = request.get("exactly")
        for wanted in (*([exactly] if exactly is not None else ()), *(request.get("firstAvailable") or ())):
            _default_request(wanted)


def _default_request(request: Object) -> None:
    if not request.get("allocationMode"):
        request["allocationMode"] = "ExactCount"
    if request["allocationMode"] == "ExactCount" and not request.get("count"):
        request["count"] = 1
    if request.get("tolerations"):
        request["tolerations"] = devicetaint.with_operators(request["tolerations"])


def request_names(claim: Object) -> RequestNames:
    return {
        request.get("name", ""): frozenset(sub.get("name", "") for sub in request.get("firstAvailable") or ())
        for request in claim.get("requests") or ()
    }


def validate(claim: Object, path: str) -> Iterator[FieldError]:
    known = request_names(claim)

    def constraint(item: Object, where: str) -> Iterator[FieldError]:
        yield from each_once(item.get("requests") or (), REQUESTS_LIMIT, request_reference(known), f"{where}.requests")
        yield from _attribute(item, where)

    def configuration(item: Object, where: str) -> Iterator[FieldError]:
        yield from each_once(item.get("requests") or (), REQUESTS_LIMIT, request_reference(known), f"{where}.requests")
        yield from deviceconfiguration.validate(item, where)

    yield from each_once(claim.get("requests") or (), REQUESTS_LIMIT, _request, f"{path}.requests", _name)
    yield from each(claim.get("constraints") or (), CONSTRAINTS_LIMIT, constraint, f"{path}.constraints")
    limit = deviceconfiguration.CONFIGURATIONS_LIMIT
    yield from each(claim.get("config") or (), limit, configuration, f"{path}.config")


def _name(item: Object) -> str:
    return str(item.get("name", ""))


def _request(request: Object, path: str) -> Iterator[FieldError]:
    yield from validate_label(_name(request), f"{path}.name")
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable")
    if exactly is None and not alternatives:
        yield required(path, _ONE_REQUEST)
    elif exactly is not None and alternatives:
        yield invalid_value(path, NULL, f"{_ONE_REQUEST}, but multiple fields are set")
    elif alternatives:
        yield from each_once(alternatives, SUBREQUESTS_LIMIT, _subrequest, f"{path}.firstAvailable", _name)
    else:
        yield from _wanted(exactly or {}, f"{path}.exactly")


def _subrequest(request: Object, path: str) -> Iterator[FieldError]:
    yield from validate_label(_name(request), f"{path}.name")
    yield from _wanted(request, path)


def _wanted(request: Object, path: str) -> Iterator[FieldError]:
    yield from validate_class(request.get("deviceClassName", ""), f"{path}.deviceClassName")
    selectors = request.get("selectors") or ()
    yield from each(selectors, deviceselector.SELECTORS_LIMIT, deviceselector.validate, f"{path}.selectors")
    mode, count = request.get("allocationMode", ""), request.get("count", 0)
    if mode not in ALLOCATION_MODES:
        yield not_supported(f"{path}.allocationMode", mode, ALLOCATION_MODES)
    elif mode == "All" and count:
        yield invalid_value(f"{path}.count", count, "must not be specified when allocationMode is 'All'")
    elif mode == "ExactCount" and count <= 0:
        yield invalid_value(f"{path}.count", count, "must be greater than zero")
    yield from each(request.get("tolerations") or (), None, devicetaint.validate_toleration, f"{path}.tolerations")


def _attribute(constraint: Object, path: str) -> Iterator[FieldError]:
    for field in ("matchAttribute", "distinctAttribute"):
        if constraint.get(field) is not None:
            yield from validate_fully_qualified(constraint[field], f"{path}.{field}")
            return
    # The words are upstream's, though none is set.
    yield required(path, _ONE_ATTRIBUTE)


def request_reference(known: RequestNames) -> Check:
    """The check of names that stand for a request or, after a slash, for one of its alternatives."""

    def check(name: str, path: str) -> Iterator[FieldError]:
        request, *rest = name.split("/")
        if len(rest) > 1:
            yield invalid_value(path, name, _NOT_A_REQUEST)
            return
        for segment in (request, *rest):
            yield from validate_label(segment, path)
        if request not in known or any(segment not in known[request] for segment in rest):
            yield invalid_value(path, name, _NOT_A_REQUEST)

    return check


def admin_access(claim: Object) -> int | None:
    """The index of the first request for access to devices that others use, or None."""
    for index, request in enumerate(claim.get("requests") or ()):
        if (request.get("exactly") or meta.EMPTY).get("adminAccess"):
            return index
    return None
