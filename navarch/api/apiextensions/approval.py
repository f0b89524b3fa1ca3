"""Groups that belong to Kubernetes: definitions in them say who approved them (KEP-1111)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from navarch.apimachinery import gourl

ANNOTATION = "api-approved.kubernetes.io"
_SEE = "see https://github.com/kubernetes/enhancements/pull/1111"


class Approval(Enum):
    """What the annotation says; the value is the reason of the condition that tells it."""

    INVALID = "InvalidAnnotation"
    APPROVED = "ApprovedAnnotation"
    BYPASSED = "UnapprovedAnnotation"
    MISSING = "MissingAnnotation"


def is_protected(group: str) -> bool:
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def approval(annotations: Mapping[str, str]) -> tuple[Approval, str]:
    """What the annotations say of an approval, and in words."""
    said = annotations.get(ANNOTATION, "")
    if not said:
        return Approval.MISSING, f'protected groups must have approval annotation "{ANNOTATION}", {_SEE}'
    if said.startswith("unapproved"):
        return Approval.BYPASSED, f'not approved: "{said}"'
    try:
        found = gourl.parse(said)
    except ValueError:
        found = gourl.URL()
    if found.scheme and found.host:
        return Approval.APPROVED, f"approved in {said}"
    wanted = 'with either a URL or a reason starting with "unapproved"'
    return Approval.INVALID, f'protected groups must have approval annotation "{ANNOTATION}" {wanted}, {_SEE}'
