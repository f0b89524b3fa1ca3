"""PodTemplate: a pod to be made from, kept by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.apps import workload
from navarch.api.core import podspec, podwarnings
from navarch.api.kind import NAME, Column, Kind
from navarch.apimachinery.errors import FieldError, Object


def default(template: Object) -> Object:
    workload.default_template(template)
    return template


def validate(template: Object) -> Iterator[FieldError]:
    yield from podspec.validate_pod_template(template["template"], "template")


def row(template: Object, now: datetime) -> list[Any]:
    pod = template["template"]
    container_names, images = printing.containers(pod.get("spec"))
    return [
        template["metadata"]["name"],
        container_names,
        images,
        printing.labels((pod.get("metadata") or {}).get("labels")),
    ]


def warnings(template: Object, old: Object | None) -> Iterator[str]:
    if old is None or template["template"] != old["template"]:
        yield from podwarnings.of_template(template["template"], "template")


KIND = Kind(
    group="",
    version="v1",
    kind="PodTemplate",
    plural="podtemplates",
    default=default,
    validate=validate,
    warnings=warnings,
    has_generation=True,
    spec_fields=("template",),
    returns_deleted=True,
    columns=(NAME, Column("Containers"), Column("Images"), Column("Pod Labels")),
    row=row,
)
