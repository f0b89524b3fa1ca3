"""TokenReview and SelfSubjectReview: who is this? Answered at once, never stored."""

from __future__ import annotations

from navarch.api.kind import Kind

TOKEN_REVIEW = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="TokenReview",
    plural="tokenreviews",
    namespaced=False,
    verbs=("create",),
)
SELF_SUBJECT_REVIEW = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="SelfSubjectReview",
    plural="selfsubjectreviews",
    namespaced=False,
    verbs=("create",),
)
