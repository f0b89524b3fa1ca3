"""ValidatingWebhookConfiguration: who is asked about requests before they are carried out."""

from __future__ import annotations

from navarch.api.admissionregistration import matching, webhooks
from navarch.api.kind import Kind

KIND = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingWebhookConfiguration",
    plural="validatingwebhookconfigurations",
    namespaced=False,
    categories=("api-extensions",),
    default=webhooks.default,
    validate=webhooks.validate,
    warnings=matching.warnings,
    allow_unconditional_update=False,
    spec_fields=("webhooks",),
    has_generation=True,
    columns=webhooks.COLUMNS,
    row=webhooks.row,
)
