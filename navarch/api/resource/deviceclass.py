"""DeviceClass: devices that are chosen and configured alike, by a name for users to ask for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core import resourcenames
from navarch.api.kind import AGE, NAME, Kind
from navarch.api.resource import deviceconfiguration, deviceselector
from navarch.api.resource.fieldlists import each
from navarch.apimachinery.errors import FieldError, Object, invalid_value


def validate(device_class: Object) -> Iterator[FieldError]:
    spec = device_class["spec"]
    selectors, configurations = spec.get("selectors") or (), spec.get("config") or ()
    yield from each(selectors, deviceselector.SELECTORS_LIMIT, deviceselector.validate, "spec.selectors")
    yield from each(configurations, deviceconfiguration.CONFIGURATIONS_LIMIT, deviceconfiguration.validate, "spec.config")
    extended = spec.get("extendedResourceName")
    if extended is not None and not resourcenames.is_extended(extended):
        yield invalid_value("spec.extendedResourceName", extended, "must be a valid extended resource name")


def extended_resource(device_class: Object | None) -> str:
    """The extended resource that a class names; "" if it names none, or is not there."""
    return "" if device_class is None else device_class["spec"].get("extendedResourceName") or ""


def row(device_class: Object, now: datetime) -> list[Any]:
    return [device_class["metadata"]["name"], printing.age(device_class, now)]


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="DeviceClass",
    plural="deviceclasses",
    namespaced=False,
    validate=validate,
    has_generation=True,
    returns_deleted=True,
    columns=(NAME, AGE),
    row=row,
)
