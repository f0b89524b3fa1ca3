"""What an access review must say to be answered (k8s.io/kubernetes/pkg/apis/authorization/validation)."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api import labelselector
from navarch.api.internalform import invalid_struct
from navarch.api.schemas import OBJECT_META
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, required

_NON_RESOURCE = "io.k8s.api.authorization.v1.NonResourceAttributes"


def validate_self(review: Object) -> Iterator[FieldError]:
    """Of a SelfSubjectAccessReview."""
    yield from _spec(review.get("spec") or {}, names_somebody=False)
    yield from _metadata(review["metadata"], "must be empty")


def validate(review: Object) -> Iterator[FieldError]:
    """Of a SubjectAccessReview."""
    yield from _spec(review.get("spec") or {}, names_somebody=True)
    yield from _metadata(review["metadata"], "must be empty")


def validate_local(review: Object) -> Iterator[FieldError]:
    """Of a LocalSubjectAccessReview."""
    spec, metadata = review.get("spec") or {}, review["metadata"]
    yield from _spec(spec, names_somebody=True)
    yield from _metadata(metadata, "must be empty except for namespace", may_have=("namespace",))
    resource, plain = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and resource.get("namespace", "") != metadata.get("namespace", ""):
        namespace = resource.get("namespace", "")
        yield invalid_value("spec.resourceAttributes.namespace", namespace, "must match metadata.namespace")
    if plain is not None:
        yield invalid_struct("spec.nonResourceAttributes", plain, _NON_RESOURCE, "disallowed on this kind of request")


def _metadata(metadata: Object, text: str, may_have: tuple[str, ...] = ()) -> Iterator[FieldError]:
    if any(value for field, value in metadata.items() if field not in ("managedFields", *may_have)):
        yield invalid_struct("metadata", metadata, OBJECT_META, text)


def _spec(spec: Object, *, names_somebody: bool) -> Iterator[FieldError]:
    resource, plain = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and plain is not None:
        text = "cannot be specified in combination with resourceAttributes"
        yield invalid_struct("spec.nonResourceAttributes", plain, _NON_RESOURCE, text)
    if resource is None and plain is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        yield invalid_value("spec.resourceAttributes", None, text)
    if names_somebody and not spec.get("user") and not spec.get("groups"):
        yield invalid_value("spec.user", "", "at least one of user or group must be specified")
    for field, check in (("fieldSelector", _field_requirement), ("labelSelector", _label_requirement)):
        selector, path = (resource or {}).get(field), f"spec.resourceAttributes.{field}"
        if selector is None:
            continue
        raw, requirements = selector.get("rawSelector", ""), selector.get("requirements") or ()
        if raw and requirements:
            yield invalid_value(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")
        if not raw and not requirements:
            yield required(f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required")
        for index, requirement in enumerate(requirements):
            yield from check(requirement, f"{path}.requirements[{index}]")


# Operators that are unknown here may be known to whoever decides.


def _label_requirement(requirement: Object, path: str) -> Iterator[FieldError]:
    yield from labelselector.validate_requirement(requirement, path, any_operator=True)


def _field_requirement(requirement: Object, path: str) -> Iterator[FieldError]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    if not requirement.get("key"):
        yield required(f"{path}.key", "must be specified")
    if operator in ("In", "NotIn") and not values:
        yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist") and values:
        yield forbidden_field(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
