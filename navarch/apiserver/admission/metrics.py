"""What is counted of webhooks and policies, under kube-apiserver's names (k8s.io/apiserver/pkg/admission/metrics)."""

from __future__ import annotations

from navarch.apiserver.admission.chain import Attributes
from navarch.component.metrics import Registry

DURATION_BUCKETS_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25)
CHECK_BUCKETS_SECONDS = (0.0000005, 0.001, 0.01, 0.1, 1.0)


class WebhookMetrics:
    """Of both kinds of webhooks; type is ``admit`` or ``validating``."""

    def __init__(self, registry: Registry) -> None:
        self._durations = registry.histogram(
            "apiserver_admission_webhook_admission_duration_seconds",
            "Admission webhook latency histogram in seconds, identified by name and broken out for each operation and API "
            "resource and type (validate or admit).",
            *("name", "type", "operation", "rejected"),
            buckets=DURATION_BUCKETS_SECONDS,
        )
        self._requests = registry.counter(
            "apiserver_admission_webhook_request_total",
            "Admission webhook request total, identified by name and broken out for each admission type (validating or "
            "mutating) and operation. "
            "Additional labels specify whether the request was rejected or not and an HTTP status code.",
            *("name", "type", "operation", "code", "rejected"),
        )
        self._rejections = registry.counter(
            "apiserver_admission_webhook_rejection_count",
            "Admission webhook rejection count, identified by name and broken out for each admission type (validating or "
            "admit) and operation. Additional labels specify an error type and optionally a non-zero rejection code.",
            *("name", "type", "operation", "error_type", "rejection_code"),
        )
        self._failed_open = registry.counter(
            "apiserver_admission_webhook_fail_open_count",
            "Admission webhook fail open count, identified by name and broken out for each admission type (validating or "
            "admit).",
            *("name", "type"),
        )
        self._excluded = registry.counter(
            "apiserver_admission_match_condition_exclusions_total",
            "Admission match condition evaluation exclusions count, identified by name of resource containing the match "
            "condition and broken out for each kind containing matchConditions, operation and admission type.",
            *("name", "kind", "type", "operation"),
        )

    def asked(self, name: str, type_: str, operation: str, code: int, rejected: bool, seconds: float) -> None:
        verdict = "true" if rejected else "false"
        self._durations.observe(seconds, name, type_, operation, verdict)
        self._requests.add(1, name, type_, operation, str(min(code, 600)), verdict)

    def rejected(self, name: str, type_: str, operation: str, error_type: str, code: int) -> None:
        self._rejections.add(1, name, type_, operation, error_type, str(min(code, 600)))

    def failed_open(self, name: str, type_: str) -> None:
        self._failed_open.add(1, name, type_)

    def excluded(self, name: str, type_: str, operation: str) -> None:
        self._excluded.add(1, name, "webhook", type_, operation)


class PolicyMetrics:
    """Of ``validating`` or ``mutating`` admission policies."""

    def __init__(self, registry: Registry, type_: str) -> None:
        labels = ("policy", "policy_binding", "error_type", "enforcement_action")[: 4 if type_ == "validating" else 3]
        self._has_actions = type_ == "validating"
        self._checks = registry.counter(
            f"apiserver_{type_}_admission_policy_check_total",
            f"{type_.title()} admission policy check total, labeled by policy and further identified by binding.",
            *labels,
        )
        self._durations = registry.histogram(
            f"apiserver_{type_}_admission_policy_check_duration_seconds",
            f"{type_.title()} admission latency for individual {type_} expressions in seconds, labeled by policy and further "
            "including binding and error type.",
            *labels,
            buckets=CHECK_BUCKETS_SECONDS,
        )

    def checked(self, policy: str, binding: str, failed: bool, action: str, seconds: float) -> None:
        error = "invalid_error" if failed else "no_error"
        labels = (policy, binding, error, action) if self._has_actions else (policy, binding, error)
        self._checks.add(1, *labels)
        self._durations.observe(seconds, *labels)


class PodSecurityMetrics:
    """Of the Pod Security Standards (k8s.io/pod-security-admission/metrics)."""

    def __init__(self, registry: Registry) -> None:
        about = ("request_operation", "resource", "subresource")
        self._evaluations = registry.counter(
            "pod_security_evaluations_total",
            "Number of policy evaluations that occurred, not counting ignored or exempt requests.",
            *("decision", "policy_level", "policy_version", "mode"),
            *about,
        )
        self._exemptions = registry.counter(
            "pod_security_exemptions_total",
            "Number of exempt requests, not counting ignored or out of scope requests.",
            *about,
        )
        self._errors = registry.counter(
            "pod_security_errors_total",
            "Number of errors preventing normal evaluation. Non-fatal errors may result in the latest restricted profile being "
            "used for evaluation.",
            *("fatal", *about),
        )
        self._free: dict[tuple[str, str], tuple[str, ...]] = {}
        """The labels of what was done to pods of which nothing is asked: most of what is counted."""

    def freed(self, attributes: Attributes) -> None:
        """A pod is not looked at, as nothing is asked of it."""
        action = attributes.operation, attributes.subresource
        labels = self._free.get(action)
        if labels is None:
            labels = self._free[action] = ("allow", "privileged", "latest", "enforce", *_about(attributes))
        self._evaluations.add(1, *labels)

    def evaluated(self, attributes: Attributes, level: str, version: str, mode: str, allows: bool) -> None:
        self._evaluations.add(1, "allow" if allows else "deny", level, version, mode, *_about(attributes))

    def exempted(self, attributes: Attributes) -> None:
        self._exemptions.add(1, *_about(attributes))

    def failed(self, attributes: Attributes, is_fatal: bool) -> None:
        self._errors.add(1, "true" if is_fatal else "false", *_about(attributes))


def _about(attributes: Attributes) -> tuple[str, str, str]:
    resource = "pod" if attributes.kind.resource == "pods" else "controller"
    return attributes.operation.lower(), resource, attributes.subresource
