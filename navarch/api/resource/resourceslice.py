"""ResourceSlice: some of the devices of a driver's pool, and which nodes can use them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core import nodeselector
from navarch.api.internalform import RESOURCE, internal, invalid_internal
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.objectmeta import IMMUTABLE
from navarch.api.resource import device as devices
from navarch.api.resource.deviceclaim import NULL
from navarch.api.resource.devicenames import validate_driver, validate_node, validate_pool
from navarch.api.resource.fieldlists import each_once
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required

DEVICES_LIMIT = 128
DEVICES_LIMIT_ADVANCED = 64
"""Where a device has taints or takes of counters."""
COUNTER_SETS_LIMIT = 8
_ONE_OF = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_TRUE = "must be either unset or set to true"


def prepare(resource_slice: Object) -> Object:
    """The slice without what belongs to features that are not enabled."""
    found = resource_slice["spec"].get("devices")
    if not found:
        return resource_slice
    return meta.set_path(resource_slice, [devices.without_disabled_fields(device) for device in found], "spec", "devices")


def prepare_update(new: Object, old: Object) -> Object:
    return prepare(new)


def validate_create(resource_slice: Object) -> Iterator[FieldError]:
    spec = resource_slice["spec"]
    yield from _pool(spec)
    yield from _nodes(spec)
    yield from _devices(spec, {})


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    spec, before = new["spec"], old["spec"]
    yield from _pool(spec)
    for now, was, path in (
        (spec["pool"].get("name", ""), before["pool"].get("name", ""), "spec.pool.name"),
        (spec.get("driver", ""), before.get("driver", ""), "spec.driver"),
        (spec.get("nodeName"), before.get("nodeName"), "spec.nodeName"),
    ):
        if now != was:
            yield invalid_value(path, NULL if now is None else now, IMMUTABLE)
    yield from _nodes(spec)
    yield from _devices(spec, {device.get("name", ""): device for device in reversed(before.get("devices") or ())})


def _pool(spec: Object) -> Iterator[FieldError]:
    yield from validate_driver(spec.get("driver", ""), "spec.driver")
    pool = spec["pool"]
    yield from validate_pool(pool.get("name", ""), "spec.pool.name")
    count, generation = pool.get("resourceSliceCount", 0), pool.get("generation", 0)
    if count <= 0:
        yield invalid_value("spec.pool.resourceSliceCount", count, "must be greater than zero")
    if generation < 0:
        yield invalid_value("spec.pool.generation", generation, "must be greater than or equal to zero")


def _nodes(spec: Object) -> Iterator[FieldError]:
    name, selector = spec.get("nodeName"), spec.get("nodeSelector")
    chosen = []
    if name:
        chosen.append("`nodeName`")
        yield from validate_node(name, "spec.nodeName")
    elif name is not None:
        yield invalid_value("spec.nodeName", name, "must be either unset or set to a non-empty string")
    if selector is not None:
        chosen.append("`nodeSelector`")
        yield from nodeselector.validate(selector, "spec.nodeSelector")
        terms = selector.get("nodeSelectorTerms")
        if len(terms or ()) != 1:
            shown = internal({"nodeSelector": selector}, f"{RESOURCE}ResourceSliceSpec")["NodeSelector"]["NodeSelectorTerms"]
            text = "must have exactly one node selector term"
            yield invalid_internal("spec.nodeSelector.nodeSelectorTerms", shown, text)
    for field in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(field):
            chosen.append(f"`{field}`")
        elif spec.get(field) is not None:
            yield invalid_value(f"spec.{field}", spec[field], _TRUE)
    if not chosen:
        yield required("spec", _ONE_OF)
    elif len(chosen) > 1:
        yield invalid_value("spec", f"{{{', '.join(chosen)}}}", f"{_ONE_OF}, but multiple fields are set")


def _devices(spec: Object, before: dict[str, Object]) -> Iterator[FieldError]:
    found, counters = spec.get("devices"), spec.get("sharedCounters")
    if found is not None and counters is not None:
        yield invalid_value("spec", "", "only one of `sharedCounters` or `devices` is allowed")
    advanced = any(device.get("taints") or device.get("consumesCounters") for device in found or ())
    chooses_nodes = bool(spec.get("perDeviceNodeSelection"))

    def check(device: Object, path: str) -> Iterator[FieldError]:
        yield from devices.validate(device, before.get(device.get("name", "")), path, chooses_nodes=chooses_nodes)

    def counter_set(item: Object, path: str) -> Iterator[FieldError]:
        yield from devices.validate_counters(item, "name", path)

    limit = DEVICES_LIMIT_ADVANCED if advanced else DEVICES_LIMIT
    yield from each_once(found or (), limit, check, "spec.devices", _name)
    yield from each_once(counters or (), COUNTER_SETS_LIMIT, counter_set, "spec.sharedCounters", _name)


def _name(item: Object) -> str:
    return str(item.get("name", ""))


def warnings(resource_slice: Object, old: Object | None) -> Iterator[str]:
    driver = resource_slice["spec"].get("driver", "")
    if driver != driver.lower():
        yield f'spec.driver: driver names should be lowercase; "{driver}" contains uppercase characters'


def row(resource_slice: Object, now: datetime) -> list[Any]:
    spec = resource_slice["spec"]
    return [
        resource_slice["metadata"]["name"],
        spec.get("nodeName") or "",
        spec.get("driver", ""),
        spec["pool"].get("name", ""),
        printing.age(resource_slice, now),
    ]


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceSlice",
    plural="resourceslices",
    namespaced=False,
    prepare_create=prepare,
    prepare_update=prepare_update,
    validate_create=validate_create,
    validate_update=validate_update,
    warnings=warnings,
    has_generation=True,
    unselectable="field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}",
    selectable_fields={
        "spec.driver": lambda obj: obj["spec"].get("driver", ""),
        "spec.nodeName": lambda obj: obj["spec"].get("nodeName") or "",
    },
    returns_deleted=True,
    columns=(NAME, Column("Node"), Column("Driver"), Column("Pool"), AGE),
    row=row,
)
