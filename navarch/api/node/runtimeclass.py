"""RuntimeClass: by which of its nodes' container runtimes a pod is run, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core import nodelabels
from navarch.api.core.containerresources import round_amounts
from navarch.api.core.podscheduling import validate_tolerations
from navarch.api.core.podspec import validate_overhead
from navarch.api.internalform import CORE, internal, shown_internal
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.objectmeta import immutable, validate_labels
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value

_TOLERATION = f"{CORE}Toleration"


def default(runtime_class: Object) -> Object:
    round_amounts((runtime_class.get("overhead") or {}).get("podFixed"))
    return runtime_class


def validate(runtime_class: Object) -> Iterator[FieldError]:
    handler, scheduling = runtime_class["handler"], runtime_class.get("scheduling") or {}
    yield from (invalid_value("handler", handler, text) for text in names.dns1123_label(handler))
    # As if it were the limits of a container.
    yield from validate_overhead((runtime_class.get("overhead") or {}).get("podFixed") or {}, "overhead")
    yield from validate_labels(scheduling.get("nodeSelector") or {}, "scheduling.nodeSelector")
    yield from _tolerations(scheduling.get("tolerations") or (), "scheduling.tolerations")


def _tolerations(tolerations: Sequence[Object], path: str) -> Iterator[FieldError]:
    yield from validate_tolerations(tolerations, path)
    seen = set()
    for index, toleration in enumerate(tolerations):
        key = tuple(toleration.get(field, "") for field in ("key", "operator", "value", "effect"))
        if key in seen:
            yield shown_internal(
                "FieldValueDuplicate", f"{path}[{index}]", "Duplicate value", internal(toleration, _TOLERATION)
            )
        seen.add(key)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from immutable("handler", new["handler"], old["handler"])


def row(runtime_class: Object, now: datetime) -> list[Any]:
    return [runtime_class["metadata"]["name"], runtime_class["handler"], printing.age(runtime_class, now)]


def warnings(runtime_class: Object, old: Object | None) -> Iterator[str]:
    for key in nodelabels.keys((runtime_class.get("scheduling") or {}).get("nodeSelector") or ()):
        yield f"scheduling.nodeSelector: {nodelabels.DEPRECATED[key]}"


KIND = Kind(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    namespaced=False,
    default=default,
    validate=validate,
    warnings=warnings,
    validate_update=validate_update,
    allow_create_on_update=True,
    allow_unconditional_update=False,
    columns=(NAME, Column("Handler"), AGE),
    row=row,
)
