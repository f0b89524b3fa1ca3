"""Webhook configurations as objects."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import is_discovered
from tests.conformance.world import Space

GROUP = "admissionregistration.k8s.io"


@behaviour("Admission webhook, discovery document")
def test_webhook_configurations_are_discovered(space: Space) -> None:
    is_discovered(space, f"mutatingwebhookconfigurations.{GROUP}")
    is_discovered(space, f"validatingwebhookconfigurations.{GROUP}")
