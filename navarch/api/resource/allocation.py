"""AllocationResult: the devices that a claim was given, and how they are configured."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.core import nodeselector
from navarch.api.resource import deviceconfiguration, devicetaint
from navarch.api.resource.deviceclaim import REQUESTS_LIMIT, RequestNames, request_reference
from navarch.api.resource.devicenames import validate_driver, validate_label, validate_pool, validate_uid
from navarch.api.resource.fieldlists import each, each_once
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, not_supported, required

RESULTS_LIMIT = 32
CONFIGURATIONS_LIMIT = 2 * deviceconfiguration.CONFIGURATIONS_LIMIT
"""Of the class and of the claim."""
SOURCES = ("FromClaim", "FromClass")

DeviceID = tuple[str, str, str, str]
"""Driver, pool, device and share; "" is no share."""


def device_id(of: Object) -> DeviceID:
    """Of a result, or of what is reported of a device."""
    return of.get("driver", ""), of.get("pool", ""), of.get("device", ""), of.get("shareID") or ""


def results(allocation: Object | None) -> list[Object]:
    return ((allocation or meta.EMPTY).get("devices") or meta.EMPTY).get("results") or []


def devices(allocation: Object | None) -> frozenset[DeviceID]:
    return frozenset(device_id(result) for result in results(allocation))


def admin_access(allocation: Object | None) -> int | None:
    """The index of the first result with access to a device that others use, or None."""
    return next((index for index, result in enumerate(results(allocation)) if result.get("adminAccess")), None)


def with_defaults(allocation: Object) -> Object:
    """The allocation, its tolerations complete."""
    allocation = {"devices": {}, **allocation}
    found = results(allocation)
    if not any(result.get("tolerations") for result in found):
        return allocation
    completed = [
        {**result, "tolerations": devicetaint.with_operators(result["tolerations"])} if result.get("tolerations") else result
        for result in found
    ]
    return meta.set_path(allocation, completed, "devices", "results")


def validate(allocation: Object, known: RequestNames, path: str) -> Iterator[FieldError]:
    """A new allocation; what was allocated before is never looked at again."""
    reference = request_reference(known)

    def result(item: Object, where: str) -> Iterator[FieldError]:
        yield from reference(item.get("request", ""), f"{where}.request")
        yield from validate_driver(item.get("driver", ""), f"{where}.driver")
        yield from validate_pool(item.get("pool", ""), f"{where}.pool")
        yield from validate_label(item.get("device", ""), f"{where}.device")
        yield from devicetaint.validate_binding_conditions(item, where)
        yield from each(item.get("tolerations") or (), None, devicetaint.validate_toleration, f"{where}.tolerations")
        if item.get("shareID") is not None:
            yield from validate_uid(item["shareID"], f"{where}.shareID")

    def configuration(item: Object, where: str) -> Iterator[FieldError]:
        source = item.get("source", "")
        if not source:
            yield required(f"{where}.source")
        elif source not in SOURCES:
            yield not_supported(f"{where}.source", source, SOURCES)
        yield from each_once(item.get("requests") or (), REQUESTS_LIMIT, reference, f"{where}.requests")
        yield from deviceconfiguration.validate(item, where)

    given = allocation.get("devices") or {}
    yield from each(given.get("results") or (), RESULTS_LIMIT, result, f"{path}.devices.results")
    yield from each(given.get("config") or (), CONFIGURATIONS_LIMIT, configuration, f"{path}.devices.config")
    if allocation.get("nodeSelector") is not None:
        yield from nodeselector.validate(allocation["nodeSelector"], f"{path}.nodeSelector")
