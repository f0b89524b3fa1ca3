"""MutatingAdmissionPolicyBinding: where a policy holds, and with which parameters."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.admissionregistration import matching, policies
from navarch.api.admissionregistration.mutatingadmissionpolicy import OPERATIONS
from navarch.api.kind import Kind
from navarch.apimachinery.errors import FieldError, Object


def validate(binding: Object) -> Iterator[FieldError]:
    spec = binding["spec"]
    yield from policies.validate_binding(spec)
    if spec.get("matchResources") is not None:
        yield from policies.only_operations(spec["matchResources"], "spec.matchResources", OPERATIONS)


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingAdmissionPolicyBinding",
    plural="mutatingadmissionpolicybindings",
    namespaced=False,
    categories=("api-extensions",),
    default=policies.default_binding,
    validate=validate,
    warnings=matching.warnings,
    allow_unconditional_update=False,
    has_generation=True,
    columns=policies.BINDING_COLUMNS,
    row=policies.binding_row,
)
