"""ValidatingAdmissionPolicyBinding: where a policy holds, with which parameters, and what comes of a failure."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.admissionregistration import matching, policies
from navarch.api.kind import Kind
from navarch.apimachinery.errors import FieldError, Object, duplicate, invalid_value, required

ACTIONS = ("Audit", "Deny", "Warn")


def validate(binding: Object) -> Iterator[FieldError]:
    spec = binding["spec"]
    yield from policies.validate_binding(spec)
    yield from _actions(spec.get("validationActions") or [], "spec.validationActions")


def _actions(actions: list[str], path: str) -> Iterator[FieldError]:
    seen = set()
    for index, action in enumerate(actions):
        yield from matching.choice(action, f"{path}[{index}]", ACTIONS)
        if action in seen:
            yield duplicate(f"{path}[{index}]", action)
        seen.add(action)
    if {"Deny", "Warn"} <= seen:
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
            "headers serves no purpose)"
        )
        yield invalid_value(path, actions, text)
    if not actions:
        yield required(path, "at least one validation action is required")


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingAdmissionPolicyBinding",
    plural="validatingadmissionpolicybindings",
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
