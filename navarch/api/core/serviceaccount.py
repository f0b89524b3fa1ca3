"""ServiceAccount: an identity for pods."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery.errors import Object


def row(account: Object, now: datetime) -> list[Any]:
    return [account["metadata"]["name"], len(account.get("secrets") or ()), printing.age(account, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="ServiceAccount",
    plural="serviceaccounts",
    short_names=("sa",),
    subresources=("token",),
    returns_deleted=True,
    columns=(NAME, Column("Secrets"), AGE),
    row=row,
)
