"""ServiceAccount: an identity for pods."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object

ENFORCE_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"


def row(account: Object, now: datetime) -> list[Any]:
    return [account["metadata"]["name"], len(account.get("secrets") or ()), printing.age(account, now)]


def warnings(account: Object, old: Object | None) -> Iterator[str]:
    if ENFORCE_MOUNTABLE in meta.annotations(account) and (old is None or ENFORCE_MOUNTABLE not in meta.annotations(old)):
        yield (
            f"metadata.annotations[{ENFORCE_MOUNTABLE}]: deprecated in v1.32+; "
            "prefer separate namespaces to isolate access to mounted secrets"
        )


KIND = Kind(
    group="",
    version="v1",
    kind="ServiceAccount",
    plural="serviceaccounts",
    short_names=("sa",),
    subresources=("token",),
    returns_deleted=True,
    warnings=warnings,
    columns=(NAME, Column("Secrets"), AGE),
    row=row,
)
