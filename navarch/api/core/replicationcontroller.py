"""ReplicationController: what ReplicaSet was before it; its selector is a plain map of labels."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.apps import replicaset, workload
from navarch.api.core import podspec, podwarnings
from navarch.api.core.nonnegative import nonnegative
from navarch.api.kind import Kind
from navarch.api.objectmeta import validate_labels
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required


def default(controller: Object) -> Object:
    spec = controller.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    workload.default_template(spec)
    labels = spec["template"]["metadata"].get("labels")
    if labels and not spec.get("selector"):
        spec["selector"] = dict(labels)
    if labels and not controller["metadata"].get("labels"):
        controller["metadata"]["labels"] = dict(labels)
    return controller


def validate(controller: Object) -> Iterator[FieldError]:
    spec = controller["spec"]
    yield from workload.validate_replicas(spec)
    yield from workload.validate_nonnegative(spec, "minReadySeconds")
    selector = spec.get("selector") or {}
    if not selector:
        yield required("spec.selector")
    yield from validate_labels(selector, "spec.selector")
    yield from podspec.validate_template(
        spec["template"], {"matchLabels": selector}, "spec.template", of="ReplicationController"
    )


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    for field in ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"):
        if status.get(field, 0) < 0:
            yield nonnegative(f"status.{field}", status[field])
    replicas, ready = status.get("replicas", 0), status.get("readyReplicas", 0)
    for field in ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"):
        if status.get(field, 0) > replicas:
            yield invalid_value(f"status.{field}", status.get(field, 0), "cannot be greater than status.replicas")
    available = status.get("availableReplicas", 0)
    if available > ready:
        yield invalid_value("status.availableReplicas", available, "cannot be greater than readyReplicas")


def row(controller: Object, now: datetime) -> list[Any]:
    spec, status = controller["spec"], controller.get("status") or {}
    container_names, images = printing.containers(spec["template"].get("spec"))
    return [
        controller["metadata"]["name"],
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        printing.age(controller, now),
        container_names,
        images,
        printing.labels(spec.get("selector")),
    ]


KIND = Kind(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    short_names=("rc",),
    categories=("all",),
    subresources=("status", "scale"),
    storage_prefix="controllers",
    default=default,
    validate=validate,
    warnings=podwarnings.of_workload,
    validate_status_update=validate_status_update,
    prepare_create=replicaset.prepare_create,
    has_generation=True,
    selectable_fields={"status.replicas": lambda obj: str((obj.get("status") or {}).get("replicas", 0))},
    columns=replicaset.COLUMNS,
    row=row,
)
