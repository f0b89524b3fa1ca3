"""How much of a device's capacity a request takes, by the device's own rules (KEP-5075). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from navarch.apimachinery import meta, quantity
from navarch.scheduler.devicepools import Device


def wanted(device: Device, requests: Mapping[str, str]) -> dict[str, Fraction] | None:
    """Capacity -> what is taken of it; None if the device has not what is asked, or gives no such amounts."""
    if any(name not in device.capacity for name in requests):
        return None
    found = {}
    for name, entry in (device.device.get("capacity") or {}).items():
        policy = entry.get("requestPolicy") or meta.EMPTY
        asked = quantity.parse(requests[name]) if name in requests else None
        amount = _rounded(asked, device.capacity[name], policy)
        if amount is None or amount > device.capacity[name]:
            return None
        found[name] = amount
    return found


def _rounded(asked: Fraction | None, whole: Fraction, policy: Mapping[str, Any]) -> Fraction | None:
    """The least amount the policy has that is no less than `asked`; None if there is none."""
    if asked is None:
        return quantity.parse(policy["default"]) if policy.get("default") is not None else whole
    values, span = policy.get("validValues"), policy.get("validRange")
    if values:
        return min((value for value in map(quantity.parse, values) if value >= asked), default=None)
    if span is None or span.get("min") is None:
        return asked
    least, step, most = quantity.parse(span["min"]), span.get("step"), span.get("max")
    amount = max(asked, least)
    if step is not None:
        size = quantity.parse(step)
        amount = least + -(-(amount - least) // size) * size
    return None if most is not None and amount > quantity.parse(most) else amount
