"""Take away the tokens that were once made for every account and that nobody uses (KEP-2799).

Once a day each is looked at. One that has not been used for long is marked, and the server refuses it from then on; if nobody
takes the mark away, it goes after as long again. Tokens that somebody asked for, which their account does not list, stay.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from navarch.api.core import secretreferences
from navarch.api.core import serviceaccounttoken as rules
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.controllers.config import ControllerConfig
from navarch.controllers.controller import Cluster, Controller, Watch
from navarch.controllers.serviceaccounttokens import ACCOUNTS, FIELD_SELECTOR, SECRETS

INTERVAL_SECONDS = 24 * 3600.0


def is_unused(secret: Object, before: datetime) -> bool:
    """Whether it was made, and its token was used, before a moment; a day that cannot be read may be any."""
    created = meta.parse_time(secret["metadata"]["creationTimestamp"])
    if created >= before or meta.being_deleted(secret):
        return False
    label = meta.labels(secret).get(rules.LAST_USED_LABEL)
    if label is None:
        return True
    used = rules.parse_day(label)
    return used is not None and used < before.date()


def is_made_for(account: Object | None, secret: Object) -> bool:
    """Whether a Secret is one that was made for its account, and not asked for by somebody."""
    if account is None or meta.annotations(secret).get(rules.UID_ANNOTATION, "") not in ("", meta.uid(account)):
        return False
    return rules.is_referenced(account, meta.name(secret))


def controller(config: ControllerConfig) -> Controller:
    """The controller that gives tokens `config.legacy_token_clean_up_seconds`, twice."""
    kept = timedelta(seconds=config.legacy_token_clean_up_seconds)

    async def reconcile(secret: Object, cluster: Cluster) -> float:
        before = cluster.now() - kept
        if is_unused(secret, before) and _is_left_over(secret, cluster) and await _is_tracked(cluster, before):
            await _clean(secret, cluster, before.date())
        return INTERVAL_SECONDS

    return Controller(
        "legacy-serviceaccount-token-cleaner-controller",
        SECRETS,
        reconcile,
        watches=tuple(Watch(resource, lambda old, new, informers: ()) for resource in (ACCOUNTS, "pods")),
        # Not whenever one changes: whoever takes the mark away has until the next day to use it.
        relevant=lambda old, new: old is None,
        field_selector=FIELD_SELECTOR,
    )


def _is_left_over(secret: Object, cluster: Cluster) -> bool:
    """Whether it was made for an account and no pod refers to it."""
    namespace = meta.namespace(secret)
    account = cluster.cached(ACCOUNTS, meta.annotations(secret).get(rules.NAME_ANNOTATION, ""), namespace)
    if not is_made_for(account, secret):
        return False
    pods = cluster.informer("pods").list(namespace)
    return not any(meta.name(secret) in secretreferences.names(pod["spec"]) for pod in pods)


async def _is_tracked(cluster: Cluster, since: datetime) -> bool:
    """Whether uses have been written down since then."""
    try:
        tracking = await cluster.client.get("configmaps", rules.TRACKING_NAME, rules.TRACKING_NAMESPACE)
    except StatusError as error:
        if error.is_not_found:
            return False
        raise
    day = rules.parse_day((tracking.get("data") or meta.EMPTY).get(rules.TRACKING_KEY, ""))
    # On the first day some may have been missed.
    return day is not None and datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC) <= since


async def _clean(secret: Object, cluster: Cluster, before: date) -> None:
    """Mark it, or delete it if its mark is from before that day."""
    marked = rules.parse_day(meta.labels(secret).get(rules.INVALID_SINCE_LABEL, ""))
    if marked is None:
        mark = {rules.INVALID_SINCE_LABEL: rules.format_day(cluster.now())}
        await cluster.patch(SECRETS, secret, {"metadata": {"uid": meta.uid(secret), "labels": mark}})
    elif marked < before:
        try:
            # Nobody has taken the mark away, or used the token, since it was looked at.
            await cluster.client.delete(
                SECRETS,
                meta.name(secret),
                meta.namespace(secret),
                uid=meta.uid(secret),
                resource_version=secret["metadata"]["resourceVersion"],
            )
        except StatusError as error:
            if not error.is_not_found and not error.is_conflict:
                raise
