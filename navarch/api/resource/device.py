"""Device: one device of a ResourceSlice, its attributes and capacity, and the nodes it is on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from navarch.api.core import nodeselector
from navarch.api.internalform import RESOURCE, invalid_struct
from navarch.api.resource import capacity, devicetaint
from navarch.api.resource.deviceclaim import NULL
from navarch.api.resource.devicenames import QUALIFIED_LIMIT, validate_label, validate_node, validate_qualified
from navarch.api.resource.fieldlists import anything, each, each_entry, each_once
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required, too_long

ATTRIBUTES_AND_CAPACITIES_LIMIT = 32
ATTRIBUTES_LIMIT = 48
ATTRIBUTE_VALUE_LIMIT_BYTES = 64
CONSUMED_COUNTER_SETS_LIMIT = 2
COUNTERS_LIMIT = 32
VALUE_FIELDS = ("bool", "int", "string", "version")
LIST_FIELDS = ("bools", "ints", "strings", "versions")
"""Of attributes; alpha (DRAListTypeAttributes)."""
DISABLED_FIELDS = ("nodeAllocatableResourceMappings",)
"""Alpha (DRANodeAllocatableResources)."""
_NUMBER, _WORD = r"(0|[1-9]\d*)", r"[0-9a-zA-Z-]+"
_PRERELEASE = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_SEMVER_RE = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRERELEASE}(\.{_PRERELEASE})*)?(\+{_WORD}(\.{_WORD})*)?\Z", re.ASCII
)
_ONE_OF_NODES = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the "
    "ResourceSlice spec"
)
_NO_NODES = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice "
    "spec"
)


def without_disabled_fields(device: Object) -> Object:
    """The device without what belongs to features that are not enabled."""
    kept = {field: value for field, value in device.items() if field not in DISABLED_FIELDS}
    if kept.get("attributes"):
        kept["attributes"] = {
            name: {field: value for field, value in attribute.items() if field not in LIST_FIELDS}
            for name, attribute in kept["attributes"].items()
        }
    return kept


def validate(device: Object, old: Object | None, path: str, *, chooses_nodes: bool) -> Iterator[FieldError]:
    """`old` is the device of this name as it was; taints that have not changed are not looked at again."""
    yield from validate_label(device.get("name", ""), f"{path}.name")
    attributes, capacities = device.get("attributes") or {}, device.get("capacity") or {}
    if len(attributes) + len(capacities) > ATTRIBUTES_AND_CAPACITIES_LIMIT:
        text = f"the total number of attributes and capacities must not exceed {ATTRIBUTES_AND_CAPACITIES_LIMIT}"
        yield invalid_value(path, len(attributes) + len(capacities), text)
    if len(attributes) > ATTRIBUTES_LIMIT:
        text = f"the total number of attribute values must not exceed {ATTRIBUTES_LIMIT}"
        yield invalid_value(path, len(attributes), text)
    yield from each_entry(attributes, None, QUALIFIED_LIMIT, validate_qualified, _attribute, f"{path}.attributes")
    check = capacity.validate_shared if device.get("allowMultipleAllocations") else capacity.validate_exclusive
    yield from each_entry(capacities, None, QUALIFIED_LIMIT, validate_qualified, check, f"{path}.capacity")
    taints = device.get("taints") or ()
    if old is None or taints != (old.get("taints") or ()):
        yield from each(taints, devicetaint.TAINTS_LIMIT, devicetaint.validate, f"{path}.taints")
    consumed, where = device.get("consumesCounters") or (), f"{path}.consumesCounters"
    yield from each_once(consumed, CONSUMED_COUNTER_SETS_LIMIT, _consumption, where, lambda item: item.get("counterSet", ""))
    if chooses_nodes:
        yield from _nodes(device, path)
    elif any(device.get(field) is not None for field in ("nodeName", "nodeSelector", "allNodes")):
        yield invalid_value(path, NULL, _NO_NODES)
    yield from devicetaint.validate_binding_conditions(device, path)


def _attribute(attribute: Object, path: str) -> Iterator[FieldError]:
    text, version = attribute.get("string"), attribute.get("version")
    if text is not None and len(text.encode()) > ATTRIBUTE_VALUE_LIMIT_BYTES:
        yield too_long(f"{path}.string", ATTRIBUTE_VALUE_LIMIT_BYTES)
    if version is not None:
        if not _SEMVER_RE.match(version):
            yield invalid_value(f"{path}.version", version, "must be a string compatible with semver.org spec 2.0.0")
        if len(version.encode()) > ATTRIBUTE_VALUE_LIMIT_BYTES:
            yield too_long(f"{path}.version", ATTRIBUTE_VALUE_LIMIT_BYTES)
    present = sum(attribute.get(field) is not None for field in VALUE_FIELDS)
    if not present:
        yield invalid_value(path, "", "exactly one value must be specified")
    elif present > 1:
        yield invalid_struct(path, attribute, f"{RESOURCE}DeviceAttribute", "exactly one value must be specified")


def _consumption(consumption: Object, path: str) -> Iterator[FieldError]:
    yield from validate_counters(consumption, "counterSet", path)


def validate_counters(of: Object, name_field: str, path: str) -> Iterator[FieldError]:
    """A named set of counters: one that devices share, or what a device takes of it."""
    name, counters = of.get(name_field, ""), of.get("counters") or {}
    if not name:
        yield required(f"{path}.{name_field}")
    else:
        yield from validate_label(name, f"{path}.{name_field}")
    if not counters:
        yield required(f"{path}.counters")
    else:
        limit = names.DNS1123_LABEL_LIMIT
        yield from each_entry(counters, COUNTERS_LIMIT, limit, validate_label, anything, f"{path}.counters")


def _nodes(device: Object, path: str) -> Iterator[FieldError]:
    name, selector, everywhere = (device.get(field) for field in ("nodeName", "nodeSelector", "allNodes"))
    chosen = []
    if name:
        chosen.append("`nodeName`")
        yield from validate_node(name, f"{path}.nodeName")
    elif name is not None:
        yield invalid_value(f"{path}.nodeName", name, "must not be empty")
    if selector is not None:
        chosen.append("`nodeSelector`")
        yield from nodeselector.validate(selector, f"{path}.nodeSelector")
    if everywhere:
        chosen.append("`allNodes`")
    elif everywhere is not None:
        yield invalid_value(f"{path}.allNodes", everywhere, "must be either unset or set to true")
    if not chosen:
        yield required(path, _ONE_OF_NODES)
    elif len(chosen) > 1:
        yield invalid_value(path, f"{{{', '.join(chosen)}}}", _ONE_OF_NODES)
