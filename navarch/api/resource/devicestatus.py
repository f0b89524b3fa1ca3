"""AllocatedDeviceStatus: what a driver reports of a device that a claim was given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from navarch.api import conditions
from navarch.api.internalform import invalid_internal, shown_internal
from navarch.api.resource.allocation import DeviceID, device_id
from navarch.api.resource.deviceconfiguration import validate_parameters
from navarch.api.resource.devicenames import validate_driver, validate_label, validate_pool, validate_uid
from navarch.api.resource.fieldlists import each_once
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, too_long, too_many

CONDITIONS_LIMIT = 8
DATA_LIMIT_BYTES = 10 * 1024
ADDRESSES_LIMIT = 16
INTERFACE_NAME_LIMIT_BYTES = 256
HARDWARE_ADDRESS_LIMIT_BYTES = 128


def validate(reported: Sequence[Object], allocated: Set[DeviceID], path: str) -> Iterator[FieldError]:
    """`allocated` are the devices that anything may be reported of."""
    for index, device in enumerate(reported):
        yield from _device(device, allocated, f"{path}[{index}]")
    seen: set[DeviceID] = set()
    for index, device in enumerate(reported):
        if device_id(device) in seen:
            yield shown_internal("FieldValueDuplicate", f"{path}[{index}]", "Duplicate value", _shown(device))
        seen.add(device_id(device))


def _shown(device: Object) -> Object:
    return dict(zip(("Driver", "Pool", "Device", "ShareID"), device_id(device), strict=True))


def _device(device: Object, allocated: Set[DeviceID], path: str) -> Iterator[FieldError]:
    yield from validate_driver(device.get("driver", ""), f"{path}.driver")
    yield from validate_pool(device.get("pool", ""), f"{path}.pool")
    yield from validate_label(device.get("device", ""), f"{path}.device")
    if device.get("shareID") is not None:
        yield from validate_uid(device["shareID"], f"{path}.shareID")
    if device_id(device) not in allocated:
        yield invalid_internal(path, _shown(device), "must be an allocated device in the claim")
    found = device.get("conditions") or ()
    if len(found) > CONDITIONS_LIMIT:
        yield too_many(f"{path}.conditions", len(found), CONDITIONS_LIMIT)
    yield from conditions.validate(found, f"{path}.conditions")
    if device.get("data") is not None:
        yield from validate_parameters(device["data"], DATA_LIMIT_BYTES, f"{path}.data")
    if device.get("networkData") is not None:
        yield from _network(device["networkData"], f"{path}.networkData")


def _network(data: Object, path: str) -> Iterator[FieldError]:
    for field, limit in (("interfaceName", INTERFACE_NAME_LIMIT_BYTES), ("hardwareAddress", HARDWARE_ADDRESS_LIMIT_BYTES)):
        if len(data.get(field, "").encode()) > limit:
            yield too_long(f"{path}.{field}", limit)
    yield from each_once(data.get("ips") or (), ADDRESSES_LIMIT, _address, f"{path}.ips")


def _address(address: str, path: str) -> Iterator[FieldError]:
    yield from (invalid_value(path, address, text) for text in names.interface_address(address))
