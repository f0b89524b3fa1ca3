"""ResourceClaimTemplate: what the claims are like that are made for each pod that names it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.internalform import RESOURCE, invalid_struct
from navarch.api.kind import AGE, NAME, Kind
from navarch.api.objectmeta import IMMUTABLE, validate_annotations, validate_labels
from navarch.api.resource import deviceclaim
from navarch.apimachinery.errors import FieldError, Object, forbidden_field

# In the order of Go's type, with the names that an error gives them.
_METADATA_FORBIDDEN = {
    **{field: field for field in ("name", "generateName", "namespace", "selfLink")},
    "uid": "uID",
    **{field: field for field in ("resourceVersion", "generation", "creationTimestamp", "deletionTimestamp")},
    **{field: field for field in ("deletionGracePeriodSeconds", "ownerReferences", "finalizers", "managedFields")},
}


def default(template: Object) -> Object:
    spec = template["spec"]
    spec.setdefault("metadata", {})
    deviceclaim.default(spec["spec"].setdefault("devices", {}))
    return template


def validate_create(template: Object) -> Iterator[FieldError]:
    yield from _metadata(template["spec"].get("metadata") or {}, "spec.metadata")
    yield from deviceclaim.validate(template["spec"]["spec"]["devices"], "spec.spec.devices")


def _metadata(metadata: Object, path: str) -> Iterator[FieldError]:
    """Labels and annotations, and nothing else."""
    yield from validate_annotations(metadata.get("annotations") or {}, f"{path}.annotations")
    yield from validate_labels(metadata.get("labels") or {}, f"{path}.labels")
    for field, shown in _METADATA_FORBIDDEN.items():
        if metadata.get(field):
            yield forbidden_field(f"{path}.{shown}", "cannot be set")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    spec = new["spec"]
    if spec != old["spec"]:
        yield invalid_struct("spec", spec, f"{RESOURCE}ResourceClaimTemplateSpec", IMMUTABLE)


def row(template: Object, now: datetime) -> list[Any]:
    return [template["metadata"]["name"], printing.age(template, now)]


KIND = Kind(
    group="resource.k8s.io",
    version="v1",
    kind="ResourceClaimTemplate",
    plural="resourceclaimtemplates",
    default=default,
    validate_create=validate_create,
    validate_update=validate_update,
    returns_deleted=True,
    columns=(NAME, AGE),
    row=row,
)
