"""How many devices of each class a claim may get at most, as quotas count them."""

from __future__ import annotations

from collections import Counter

from navarch.api.resource.allocation import RESULTS_LIMIT
from navarch.apimachinery.errors import Object


def by_class(spec: Object) -> Counter[str]:
    """Class -> devices, of a claim's spec. Of alternatives each class counts with the largest: one of them is taken."""
    found: Counter[str] = Counter()
    for request in (spec.get("devices") or {}).get("requests") or ():
        most: Counter[str] = Counter()
        for alternative in request.get("firstAvailable") or [request.get("exactly") or {}]:
            most |= Counter({alternative.get("deviceClassName", ""): _devices(alternative)})
        found += most
    return found


def _devices(request: Object) -> int:
    match request.get("allocationMode"):
        case "ExactCount":
            return int(request.get("count", 0))
        case "All":
            # How many there are shows only when they are allocated.
            return RESULTS_LIMIT
    return 0
