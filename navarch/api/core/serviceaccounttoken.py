"""Secrets that hold a service account's token: what marks them, and what the token claims.

Such a token never expires; it is good for as long as the Secret holds it. On which day one was last used, and since when one
that nobody uses is refused, is said by labels of the Secret (KEP-2799).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object

TYPE = "kubernetes.io/service-account-token"
NAME_ANNOTATION = "kubernetes.io/service-account.name"
UID_ANNOTATION = "kubernetes.io/service-account.uid"
TOKEN_KEY, CA_KEY, NAMESPACE_KEY = "token", "ca.crt", "namespace"
LAST_USED_LABEL = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE_LABEL = "kubernetes.io/legacy-token-invalid-since"
ISSUER = "kubernetes/serviceaccount"
NAMESPACE_CLAIM = "kubernetes.io/serviceaccount/namespace"
SECRET_CLAIM = "kubernetes.io/serviceaccount/secret.name"
ACCOUNT_CLAIM = "kubernetes.io/serviceaccount/service-account.name"
ACCOUNT_UID_CLAIM = "kubernetes.io/serviceaccount/service-account.uid"
# The ConfigMap that says since when uses are tracked.
TRACKING_NAMESPACE, TRACKING_NAME = "kube-system", "kube-apiserver-legacy-service-account-token-tracking"
TRACKING_KEY = "since"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def claims(account: Object, secret: Object) -> Object:
    """What the token of a ServiceAccount in a Secret says."""
    namespace, name = meta.namespace(account), meta.name(account)
    return {
        "iss": ISSUER,
        NAMESPACE_CLAIM: namespace,
        SECRET_CLAIM: meta.name(secret),
        ACCOUNT_CLAIM: name,
        ACCOUNT_UID_CLAIM: meta.uid(account),
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }


def is_referenced(account: Object, secret_name: str) -> bool:
    """Whether an account lists the Secret: its token was made for it then, not asked for by somebody."""
    return any(reference.get("name") == secret_name for reference in account.get("secrets") or ())


def format_day(moment: datetime) -> str:
    """The day in UTC, as labels have it."""
    return moment.astimezone(UTC).date().isoformat()


def parse_day(text: str) -> date | None:
    """The day that a label names; None if it names none."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def is_noted(secret: Object, now: datetime) -> bool:
    """Whether a use at `now` changes nothing about the label."""
    # Another server's clock may be a day ahead around midnight.
    return meta.labels(secret).get(LAST_USED_LABEL) in (format_day(now), format_day(now + timedelta(days=1)))
