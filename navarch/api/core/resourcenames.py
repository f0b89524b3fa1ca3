"""Names of resources (cpu, requests.storage, example.com/gpu): what each may be used for, and what amounts of it may be.

The rules are those of k8s.io/kubernetes/pkg/apis/core/helper and pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.apimachinery import names, quantity
from navarch.apimachinery.errors import FieldError, invalid_value

NATIVE_NAMESPACE = "kubernetes.io/"
REQUESTS_PREFIX = "requests."
HUGE_PAGES_PREFIX = "hugepages-"
CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
COUNTED = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
COMPUTE = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
QUOTA = frozenset(
    COUNTED
    | COMPUTE
    | {
        "ephemeral-storage",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.ephemeral-storage",
    }
)
STANDARD = QUOTA | {"storage"}


def is_huge_page(name: str) -> bool:
    return name.startswith(HUGE_PAGES_PREFIX)


def _is_quota_huge_page(name: str) -> bool:
    return is_huge_page(name) or name.startswith(REQUESTS_PREFIX + HUGE_PAGES_PREFIX)


def is_standard(name: str) -> bool:
    return name in STANDARD or _is_quota_huge_page(name)


def is_standard_for_containers(name: str) -> bool:
    return name in CONTAINER or is_huge_page(name)


def is_standard_for_quota(name: str) -> bool:
    return name in QUOTA or _is_quota_huge_page(name)


def is_native(name: str) -> bool:
    """Whether the name is Kubernetes' own: without a prefix, or with one under kubernetes.io."""
    return "/" not in name or NATIVE_NAMESPACE in name


def is_extended(name: str) -> bool:
    """Whether the name is somebody else's, such as a device's."""
    if is_native(name) or name.startswith(REQUESTS_PREFIX):
        return False
    return not list(names.qualified_name(REQUESTS_PREFIX + name))


def is_overcommit_allowed(name: str) -> bool:
    """Whether a request may be smaller than its limit."""
    return is_native(name) and not is_huge_page(name)


def is_integer(name: str) -> bool:
    return name in COUNTED or is_extended(name)


def validate_name(name: str, path: str) -> Iterator[FieldError]:
    """A resource of any kind."""
    problems = list(names.qualified_name(name))
    yield from (invalid_value(path, name, text) for text in problems)
    if not problems and "/" not in name and not is_standard(name):
        yield invalid_value(path, name, "must be a standard resource type or fully qualified")


def validate_container_name(name: str, path: str) -> Iterator[FieldError]:
    """A resource that containers ask for."""
    yield from validate_name(name, path)
    if "/" not in name:
        if not is_standard_for_containers(name):
            yield invalid_value(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        yield invalid_value(path, name, "doesn't follow extended resource name standard")


def validate_quota_name(name: str, path: str) -> Iterator[FieldError]:
    """A resource that a quota limits."""
    yield from validate_name(name, path)
    if "/" not in name and not is_standard_for_quota(name):
        yield invalid_value(path, name, "must be a standard resource for quota")


def validate_amount(name: str, amount: str, path: str) -> Iterator[FieldError]:
    """An amount of a resource: not negative, and whole where its pieces cannot be divided."""
    value = quantity.parse(amount)
    if value < 0:
        yield invalid_value(path, amount, "must be greater than or equal to 0")
    if is_integer(name) and value.denominator != 1:
        yield invalid_value(path, amount, "must be an integer")


def validate_basic_amount(amount: str, path: str) -> Iterator[FieldError]:
    """An amount of whatever it is, not negative."""
    if quantity.value(amount) < 0:
        yield invalid_value(path, quantity.value(amount), "must be a valid resource quantity")


def validate_positive_amount(amount: str, path: str) -> Iterator[FieldError]:
    if quantity.parse(amount) <= 0:
        yield invalid_value(path, amount, "must be greater than zero")
