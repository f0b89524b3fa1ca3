"""MutatingWebhookConfiguration: who may change objects before they are stored."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api.admissionregistration import matching, webhooks
from navarch.api.kind import Kind
from navarch.apimachinery.errors import FieldError, Object


def default(configuration: Object) -> Object:
    for hook in configuration.get("webhooks") or ():
        hook.setdefault("reinvocationPolicy", "Never")
    return webhooks.default(configuration)


def validate(configuration: Object) -> Iterator[FieldError]:
    yield from webhooks.validate(configuration, _reinvocation)


def _reinvocation(hook: Object, path: str) -> Iterator[FieldError]:
    yield from matching.choice(hook["reinvocationPolicy"], f"{path}.reinvocationPolicy", matching.REINVOCATION_POLICIES)


KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingWebhookConfiguration",
    plural="mutatingwebhookconfigurations",
    namespaced=False,
    categories=("api-extensions",),
    default=default,
    validate=validate,
    warnings=matching.warnings,
    allow_unconditional_update=False,
    spec_fields=("webhooks",),
    has_generation=True,
    columns=webhooks.COLUMNS,
    row=webhooks.row,
)
