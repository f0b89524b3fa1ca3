"""Quality of service: who goes first when a node runs out of something (k8s.io/kubernetes/pkg/apis/core/helper/qos)."""

from __future__ import annotations

from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object

COMPUTE = ("cpu", "memory")


def class_of(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort, of a pod with this spec."""
    whole = spec.get("resources")
    if whole is not None:
        parts = [whole]
    else:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        parts = [container.get("resources") or meta.EMPTY for container in containers]
    guaranteed, asked = True, False
    for part in parts:
        requests, limits = part.get("requests") or meta.EMPTY, part.get("limits") or meta.EMPTY
        for name in COMPUTE:
            request, limit = requests.get(name), limits.get(name)
            asked = asked or _is_positive(limit) or _is_positive(request)
            # Since no request is over its limit, the sums are equal where all pairs are.
            if limit is None or request is None or not (_is_positive(limit) and quantity.is_equal(request, limit)):
                guaranteed = False
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _is_positive(amount: str | None) -> bool:
    return amount is not None and quantity.is_greater(amount, "0")
