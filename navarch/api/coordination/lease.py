"""Lease: who holds something, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported

DISABLED_FIELDS = ("preferredHolder", "strategy")
"""Beta, not enabled by default (CoordinatedLeaderElection)."""
STRATEGIES = ("OldestEmulationVersion",)


def prepare_create(lease: Object) -> Object:
    """The lease without what belongs to features that are not enabled."""
    return prepare_update(lease, {})


def prepare_update(new: Object, old: Object) -> Object:
    """What is there already stays (as of a cluster that had the feature)."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if not any(field in spec and field not in before for field in DISABLED_FIELDS):
        return new
    kept = {field: value for field, value in spec.items() if field not in DISABLED_FIELDS or field in before}
    return {**new, "spec": kept}


def validate(lease: Object) -> Iterator[FieldError]:
    spec = lease.get("spec") or {}
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        yield invalid_value("spec.leaseDurationSeconds", duration, "must be greater than 0")
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        yield invalid_value("spec.leaseTransitions", transitions, "must be greater than or equal to 0")

    strategy = spec.get("strategy")
    if strategy is not None:
        yield from _strategy(strategy)
    if spec.get("preferredHolder") and not strategy:
        yield forbidden_field("spec.preferredHolder", "may only be specified if `strategy` is defined")


def _strategy(strategy: str) -> Iterator[FieldError]:
    """How the next holder is chosen: in one of Kubernetes' own ways, or somebody else's."""
    path = "spec.strategy.strategy"
    if "/" in strategy:
        yield from (invalid_value(path, strategy, text) for text in names.qualified_name(strategy))
    elif strategy not in STRATEGIES:
        yield not_supported(path, strategy, STRATEGIES)


def is_renewal(new: Object, old: Object) -> bool:
    """Whether nothing but the renewal time differs."""

    def rest(lease: Object) -> Object:
        metadata = {k: v for k, v in lease["metadata"].items() if k not in ("resourceVersion", "managedFields")}
        return {"metadata": metadata, "spec": {k: v for k, v in (lease.get("spec") or {}).items() if k != "renewTime"}}

    return rest(new) == rest(old)


def row(lease: Object, now: datetime) -> list[Any]:
    holder = (lease.get("spec") or {}).get("holderIdentity", "")
    return [lease["metadata"]["name"], holder, printing.age(lease, now)]


KIND = Kind(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    validate=validate,
    is_lazy_update=is_renewal,
    allow_create_on_update=True,
    allow_unconditional_update=False,
    columns=(NAME, Column("Holder"), AGE),
    row=row,
)
