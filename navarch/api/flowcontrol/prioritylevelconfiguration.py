"""PriorityLevelConfiguration: how many requests of a level may run at once, and what becomes of the others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.flowcontrol import builtin
from navarch.api.flowcontrol.flowschema import validate_status_update
from navarch.api.internalform import invalid_struct
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.objectmeta import RESET_FOR_STATUS
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported, required

_SPEC = "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec"
TYPES = ("Exempt", "Limited")
RESPONSES = ("Queue", "Reject")
SHARES = 30
QUEUES, HAND_SIZE, QUEUE_LENGTH_LIMIT = 64, 8, 50
QUEUES_LIMIT = 10_000_000
HASH_BITS = 60
EXEMPT = "exempt"


def default(level: Object) -> Object:
    spec = level.setdefault("spec", {})
    spec.setdefault("type", "")
    exempt, limited = spec.get("exempt"), spec.get("limited")
    if exempt is not None:
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)
    if limited is not None:
        limited.setdefault("nominalConcurrencyShares", SHARES)
        limited.setdefault("lendablePercent", 0)
        queuing = limited.setdefault("limitResponse", {"type": ""}).get("queuing")
        if queuing is not None:
            for field, value in (("queues", QUEUES), ("handSize", HAND_SIZE), ("queueLengthLimit", QUEUE_LENGTH_LIMIT)):
                queuing[field] = queuing.get(field) or value
    return level


def prepare_create(level: Object) -> Object:
    return {**level, "status": {}}


def validate(level: Object) -> Iterator[FieldError]:
    name, spec = meta.name(level), level["spec"]
    type_, exempt, limited = spec["type"], spec.get("exempt"), spec.get("limited")
    if (name == EXEMPT) != (type_ == "Exempt"):
        yield invalid_value("spec.type", type_, "type must be 'Exempt' if and only if name is 'exempt'")
    if type_ == "Exempt":
        if limited is not None:
            yield forbidden_field("spec.limited", "must be nil if the type is not Limited")
        if exempt is not None:
            yield from _shares(exempt, "spec.exempt")
    elif type_ == "Limited":
        if exempt is not None:
            yield forbidden_field("spec.exempt", "must be nil if the type is not Exempt")
        if limited is None:
            yield required("spec.limited", "must not be empty when type is Limited")
        else:
            yield from _limited(limited, "spec.limited")
    else:
        yield not_supported("spec.type", type_, TYPES)
    yield from _fixed(name, spec)


def _fixed(name: str, spec: Object) -> Iterator[FieldError]:
    wanted = builtin.MANDATORY_LEVELS.get(name)
    if wanted is None:
        return
    if name == EXEMPT:
        if {**spec, "exempt": None} != {**wanted, "exempt": None}:
            text = f"spec of '{name}' except the 'spec.exempt' field must equal the fixed value"
            yield invalid_struct("spec", spec, _SPEC, text)
    elif spec != wanted:
        yield invalid_struct("spec", spec, _SPEC, f"spec of '{name}' must equal the fixed value")


def _shares(config: Object, path: str) -> Iterator[FieldError]:
    shares, percent = config["nominalConcurrencyShares"], config["lendablePercent"]
    if shares < 0:
        yield invalid_value(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer")
    if not 0 <= percent <= 100:
        yield invalid_value(f"{path}.lendablePercent", percent, "must be between 0 and 100, inclusive")


def _limited(limited: Object, path: str) -> Iterator[FieldError]:
    response, where = limited["limitResponse"], f"{path}.limitResponse"
    type_, queuing = response["type"], response.get("queuing")
    yield from _shares(limited, path)
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        text = "if specified, must be a non-negative integer"
        yield invalid_value(f"{path}.borrowingLimitPercent", borrowing, text)
    if type_ == "Reject":
        if queuing is not None:
            yield forbidden_field(f"{where}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif type_ != "Queue":
        yield not_supported(f"{where}.type", type_, RESPONSES)
    elif queuing is None:
        yield required(f"{where}.queuing", "must not be empty if limited.limitResponse.type is Limited")
    else:
        yield from _queuing(queuing, f"{where}.queuing")


def _queuing(queuing: Object, path: str) -> Iterator[FieldError]:
    queues, hand, length = queuing["queues"], queuing["handSize"], queuing["queueLengthLimit"]
    if length <= 0:
        yield invalid_value(f"{path}.queueLengthLimit", length, "must be positive")
    if queues <= 0:
        yield invalid_value(f"{path}.queues", queues, "must be positive")
    elif queues > QUEUES_LIMIT:
        yield invalid_value(f"{path}.queues", queues, f"must not be greater than {QUEUES_LIMIT}")
    if hand <= 0:
        yield invalid_value(f"{path}.handSize", hand, "must be positive")
    elif hand > queues:
        yield invalid_value(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif math.ceil(math.log2(queues) * hand) > HASH_BITS:
        text = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        yield invalid_value(f"{path}.handSize", hand, text)


def row(level: Object, now: datetime) -> list[Any]:
    spec = level["spec"]
    limited = spec.get("limited") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    return [
        meta.name(level),
        spec["type"],
        limited.get("nominalConcurrencyShares", printing.NONE),
        *(queuing.get(field, printing.NONE) for field in ("queues", "handSize", "queueLengthLimit")),
        printing.age(level, now),
    ]


KIND = Kind(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    namespaced=False,
    subresources=("status",),
    default=default,
    prepare_create=prepare_create,
    status_keeps_metadata=RESET_FOR_STATUS,
    validate=validate,
    validate_status_update=validate_status_update,
    has_generation=True,
    columns=(
        NAME,
        Column("Type"),
        Column("NominalConcurrencyShares"),
        Column("Queues"),
        Column("HandSize"),
        Column("QueueLengthLimit"),
        AGE,
    ),
    row=row,
)
