"""What the kinds that make pods from a template share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from navarch.api import internalform, labelselector, printing
from navarch.api.core import podspec
from navarch.api.core.nonnegative import nonnegative
from navarch.apimachinery import intstr
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required


def default_template(spec: Object) -> None:
    """Defaults of `spec.template`. Changes `spec`."""
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    template["spec"] = podspec.with_defaults(template.get("spec") or {})


def validate_counts(status: Object, *fields: str) -> Iterator[FieldError]:
    """Numbers in a status, none of them negative."""
    for field in fields:
        if status.get(field, 0) < 0:
            yield nonnegative(f"status.{field}", status[field])


def validate_parts(status: Object, *fields: str, of_ready: str = "readyReplicas") -> Iterator[FieldError]:
    """Counts of replicas, none greater than the whole, nor those available than those ready."""
    for field in fields:
        if status.get(field, 0) > status.get("replicas", 0):
            yield invalid_value(f"status.{field}", status.get(field, 0), "cannot be greater than status.replicas")
    available = status.get("availableReplicas", 0)
    if available > status.get("readyReplicas", 0):
        yield invalid_value("status.availableReplicas", available, f"cannot be greater than {of_ready}")


def validate_collisions(new: Object, old: Object) -> Iterator[FieldError]:
    """How often a name was taken already: that is never forgotten."""
    now, before = ((obj.get("status") or {}).get("collisionCount") for obj in (new, old))
    if before is not None and (now is None or now < before):
        yield invalid_value("status.collisionCount", now or 0, "cannot be decremented")


def validate_replicas(spec: Object, field: str = "replicas") -> Iterator[FieldError]:
    if spec.get(field, 0) < 0:
        yield nonnegative(f"spec.{field}", spec[field])


def validate_nonnegative(spec: Object, *fields: str) -> Iterator[FieldError]:
    for field in fields:
        if spec.get(field) is not None and spec[field] < 0:
            yield nonnegative(f"spec.{field}", spec[field])


def validate_selector(
    spec: Object, kind: str, *, of: str = "ReplicaSet", template: Object | None = None
) -> Iterator[FieldError]:
    """`spec.selector` and that the template matches it, or that which stands for it."""
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
        yield invalid_value(
            "spec.template.metadata.labels",
            (spec["template"].get("metadata") or {}).get("labels") or None,
            "`selector` does not match template `labels`",
        )
    else:
        yield from labelselector.validate(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            yield invalid_value("spec.selector", selector, f"empty selector is invalid for {kind}")
    yield from podspec.validate_template(template or spec["template"], selector, "spec.template", of=of)


def validate_selector_unchanged(new: Object, old: Object) -> Iterator[FieldError]:
    if new["spec"].get("selector") != old["spec"].get("selector"):
        yield invalid_value("spec.selector", new["spec"].get("selector"), "field is immutable")


def validate_int_or_percent(value: int | str, path: str) -> Iterator[FieldError]:
    """A count or a percentage, not negative."""
    if isinstance(value, str):
        if not intstr.is_percent(value):
            text = "a valid percent string must be a numeric string followed by an ending '%'"
            yield invalid_value(path, value, f"{text} (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')")
    elif value < 0:
        yield nonnegative(path, value)


def unsupported_strategy(path: str, strategy: Object, kind: str, supported: Iterable[str]) -> FieldError:
    """That updates are not made like that."""
    choices = ", ".join(f'"{choice}"' for choice in supported)
    shown = internalform.internal(strategy, f"io.k8s.api.apps.v1.{kind}")
    text = f"supported values: {choices}"
    return internalform.shown_internal("FieldValueNotSupported", path, "Unsupported value", shown, text)


def validate_at_most_all(value: int | str, path: str) -> Iterator[FieldError]:
    """A percentage, if it is one, of no more than everything."""
    if intstr.is_percent(value) and intstr.scaled(value, 100, False) > 100:
        yield invalid_value(path, value, "must not be greater than 100%")


def is_zero(value: int | str) -> bool:
    text = str(value).removesuffix("%") if intstr.is_percent(value) else str(value)
    return re.fullmatch("[+-]?[0-9]+", text, re.ASCII) is None or int(text) == 0


def wide_cells(spec: Object) -> list[Any]:
    """Containers, images and selector, for wide output."""
    container_names, images = printing.containers(spec["template"].get("spec"))
    return [container_names, images, printing.selector(spec.get("selector"))]
