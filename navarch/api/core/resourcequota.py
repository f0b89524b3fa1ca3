"""ResourceQuota: how much of everything a namespace may use, and how much it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core import resourcenames
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required

POD_SCOPES = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
)
CLAIM_SCOPE = "VolumeAttributesClass"
SCOPES = (*POD_SCOPES, CLAIM_SCOPE)
CONFLICTING = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
# Of these a pod either is or is not: there is nothing to choose among.
_ONLY_EXIST = frozenset(SCOPES) - {"PriorityClass", CLAIM_SCOPE}
_NOT_EXIST = (
    "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def validate(quota: Object) -> Iterator[FieldError]:
    spec = quota.get("spec") or {}
    yield from _amounts(spec.get("hard") or {}, "spec.hard")
    yield from _scopes(spec)
    yield from _scope_selector(spec)


def _amounts(amounts: Object, path: str) -> Iterator[FieldError]:
    for name, amount in sorted(amounts.items()):
        yield from resourcenames.validate_quota_name(name, f"{path}[{name}]")
        yield from resourcenames.validate_amount(name, amount, f"{path}[{name}]")


def is_valid_for(scope: str, name: str) -> bool:
    """Whether a scope can narrow down the use of a resource."""
    if scope == "BestEffort":
        return name == "pods"
    if scope == CLAIM_SCOPE:
        return name in ("persistentvolumeclaims", "requests.storage")
    return scope not in POD_SCOPES or name == "pods" or name in resourcenames.COMPUTE


def _misapplied(scope: str, hard: Iterable[str]) -> int:
    return sum(resourcenames.is_standard_for_quota(name) and not is_valid_for(scope, name) for name in hard)


def _conflicts(scopes: set[str], path: str, shown: Any) -> Iterator[FieldError]:
    for pair in CONFLICTING:
        if pair <= scopes:
            yield invalid_value(path, shown, "conflicting scopes")


def _scopes(spec: Object) -> Iterator[FieldError]:
    scopes, path = spec.get("scopes") or [], "spec.scopes"
    for scope in scopes:
        if scope not in SCOPES:
            yield invalid_value(path, scopes, "unsupported scope")
        for _ in range(_misapplied(scope, spec.get("hard") or ())):
            yield invalid_value(path, scopes, "unsupported scope applied to resource")
    yield from _conflicts(set(scopes), path, scopes)


def _scope_selector(spec: Object) -> Iterator[FieldError]:
    selector = spec.get("scopeSelector")
    if selector is None:
        return
    path, seen = "spec.scopeSelector.matchExpressions", set()
    for expression in selector.get("matchExpressions") or ():
        scope, operator = expression.get("scopeName", ""), expression.get("operator", "")
        values = expression.get("values") or []
        if scope not in SCOPES:
            yield invalid_value(f"{path}.scopeName", scope, "unsupported scope")
        for _ in range(_misapplied(scope, spec.get("hard") or ())):
            yield invalid_value(path, selector, "unsupported scope applied to resource")
        if scope in _ONLY_EXIST and operator != "Exists":
            yield invalid_value(f"{path}.operator", operator, _NOT_EXIST)
        if operator in ("In", "NotIn"):
            if not values:
                text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                yield required(f"{path}.values", text)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                yield invalid_value(f"{path}.values", values, text)
        else:
            yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")
        seen.add(scope)
    yield from _conflicts(seen, path, spec.get("scopes") or [])


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = ((quota.get("spec") or {}).get("scopes") or [] for quota in (new, old))
    if set(now) != set(before):
        yield invalid_value("spec.scopes", now, "field is immutable")


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    for field in ("hard", "used"):
        yield from _amounts(status.get(field) or {}, f"status.{field}")


def row(quota: Object, now: datetime) -> list[Any]:
    status = quota.get("status") or {}
    used = status.get("used") or {}
    shown: dict[bool, list[str]] = {False: [], True: []}
    for name, hard in sorted((status.get("hard") or {}).items()):
        shown[name.startswith("limits.")].append(f"{name}: {used.get(name, '0')}/{hard}")
    return [quota["metadata"]["name"], ", ".join(shown[False]), ", ".join(shown[True]), printing.age(quota, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="ResourceQuota",
    plural="resourcequotas",
    short_names=("quota",),
    subresources=("status",),
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    returns_deleted=True,
    columns=(
        NAME,
        Column("Request", description="Request represents a minimum amount of cpu/memory that a container may consume."),
        Column(
            "Limit",
            description="Limits control the maximum amount of cpu/memory that a container may use "
            "independent of contention on the node.",
        ),
        AGE,
    ),
    row=row,
)
