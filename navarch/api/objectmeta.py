"""Rules of ObjectMeta that hold for every kind (k8s.io/apimachinery/pkg/api/validation)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from navarch.api.kind import Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, required, too_long

ANNOTATIONS_LIMIT_BYTES = 256 * 1024
GENERATED_NAME_SUFFIX_CHARACTERS = 5
GENERATED_NAME_BASE_LIMIT = 63 - GENERATED_NAME_SUFFIX_CHARACTERS
STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
IMMUTABLE = "field is immutable"


# `Kind.status_keeps_metadata` of kinds whose status is all that an update of it changes (metav1.ResetObjectMetaForStatus).
RESET_FOR_STATUS = ("labels", "annotations", "finalizers", "ownerReferences")


def immutable(path: str, new: Any, old: Any) -> Iterator[FieldError]:
    """What is wrong with an update of a field that may not change."""
    if new != old:
        yield invalid_value(path, new, IMMUTABLE)


def validate(kind: Kind, obj: Object) -> Iterator[FieldError]:
    """Name, namespace, labels, annotations, finalizers and owners of an object to be stored."""
    metadata = obj["metadata"]
    check = kind.validate_name or names.dns1123_subdomain
    generated = metadata.get("generateName", "")
    if generated and not metadata.get("name"):
        for text in check(generated.rstrip("-.") or "a"):
            yield invalid_value("metadata.generateName", generated, text)
    name = metadata.get("name", "")
    if not name:
        if generated:
            yield FieldError("InternalError", "metadata.name", "Internal error: name was not generated")
        else:
            yield required("metadata.name", "name or generateName is required")
    else:
        for text in check(name):
            yield invalid_value("metadata.name", name, text)
    namespace = metadata.get("namespace", "")
    if kind.namespaced:
        if not namespace:
            yield required("metadata.namespace")
        else:
            for text in names.dns1123_label(namespace):
                yield invalid_value("metadata.namespace", namespace, text)
    elif namespace:
        yield forbidden_field("metadata.namespace", "not allowed on this type")
    if metadata.get("generation", 0) < 0:
        yield invalid_value("metadata.generation", metadata["generation"], "must be greater than or equal to 0")
    if metadata.get("labels"):
        yield from validate_labels(metadata["labels"], "metadata.labels")
    if metadata.get("annotations"):
        yield from validate_annotations(metadata["annotations"], "metadata.annotations")
    if metadata.get("ownerReferences"):
        yield from _owners(metadata["ownerReferences"])
    finalizers = metadata.get("finalizers")
    if finalizers:
        yield from _finalizers(finalizers, must_be_qualified=not kind.any_finalizer)


def _finalizers(finalizers: list[str], *, must_be_qualified: bool) -> Iterator[FieldError]:
    for finalizer in finalizers:
        for text in names.qualified_name(finalizer):
            yield invalid_value("metadata.finalizers", finalizer, text)
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        yield invalid_value("metadata.finalizers", finalizers, text)
    for index, finalizer in enumerate(finalizers):
        if must_be_qualified and "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            yield invalid_value(f"metadata.finalizers[{index}]", finalizer, text)


def validate_labels(labels: Object, path: str) -> Iterator[FieldError]:
    """Keys and values of a label map."""
    for key, value in sorted(labels.items()):
        for text in names.qualified_name(key):
            yield invalid_value(path, key, text)
        for text in names.label_value(value):
            yield invalid_value(path, value, text)


def validate_annotations(annotations: Object, path: str) -> Iterator[FieldError]:
    """Keys and the size of an annotation map."""
    size = 0
    for key, value in sorted(annotations.items()):
        for text in names.qualified_name(key.lower()):
            yield invalid_value(path, key, text)
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_LIMIT_BYTES:
        yield too_long(path, ANNOTATIONS_LIMIT_BYTES)


def _owners(owners: Iterable[Object]) -> Iterator[FieldError]:
    controllers: list[str] = []
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        if not owner.get("apiVersion"):
            yield invalid_value(f"{path}.apiVersion", owner.get("apiVersion", ""), "version must not be empty")
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                yield invalid_value(f"{path}.{field}", owner.get(field, ""), "must not be empty")
        if owner.get("controller"):
            controllers.append(f"{owner.get('kind')}/{owner.get('name')}")
            if len(controllers) > 1:
                found = f'Found "true" in references for {controllers[0]} and {controllers[1]}'
                text = f"Only one reference can have Controller set to true. {found}"
                yield invalid_value("metadata.ownerReferences", list(owners), text)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    """What may not change about metadata."""
    now, before = new["metadata"], old["metadata"]
    for field in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if now.get(field) != before.get(field):
            yield invalid_value(f"metadata.{field}", now.get(field), IMMUTABLE)
    if now.get("generation", 0) < before.get("generation", 0):
        yield invalid_value("metadata.generation", now.get("generation", 0), "must not be decremented")
    if "deletionTimestamp" in before:
        added = [item for item in now.get("finalizers") or () if item not in (before.get("finalizers") or ())]
        if added:
            shown = ", ".join(f'"{item}"' for item in added)
            text = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}"
            yield forbidden_field("metadata.finalizers", text)
