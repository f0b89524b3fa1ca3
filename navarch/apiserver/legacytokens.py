"""Tokens of service accounts that Secrets hold: who may still use them, and what is written down of their use (KEP-2799).

A Secret's label says on which day its token was last used; a ConfigMap says since when that is tracked. Uses are found out
while a request is on its way, and written down beside it.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging

from navarch.api import registry
from navarch.api.core import serviceaccounttoken as rules
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.request import User
from navarch.client.client import Client
from navarch.component import clock
from navarch.component.jwt import InvalidToken
from navarch.component.metrics import Registry
from navarch.storage.store import Store

logger = logging.getLogger(__name__)

GENERATED = (
    "Use tokens from the TokenRequest API or manually created secret-based tokens "
    "instead of auto-generated secret-based tokens."
)
NEEDED_CLAIMS = {
    "sub": "sub",
    rules.NAMESPACE_CLAIM: "namespace",
    rules.SECRET_CLAIM: "secretName",
    rules.ACCOUNT_CLAIM: "serviceAccountName",
    rules.ACCOUNT_UID_CLAIM: "serviceAccountUID",
}
# Servers that do not track, and take the ConfigMap away, are not fought more often than this.
CREATION_INTERVAL_SECONDS = 1800.0
RECONCILE_SECONDS = 60.0


class LegacyTokens:
    """Checks such tokens by the Secrets and accounts that are there, and notes which are used."""

    def __init__(self, store: Store, metrics: Registry) -> None:
        self._store = store
        self._unwritten: dict[tuple[str, str], str] = {}
        """(namespace, name) -> uid of Secrets whose tokens were used."""
        self._wakeup = asyncio.Event()
        self._all = metrics.counter("serviceaccount_legacy_tokens_total", "Cumulative legacy service account tokens used")
        self._generated = metrics.counter(
            "serviceaccount_legacy_auto_token_uses_total", "Cumulative auto-generated legacy tokens used"
        )
        self._manual = metrics.counter(
            "serviceaccount_legacy_manual_token_uses_total", "Cumulative manually created legacy tokens used"
        )
        self._invalid = metrics.counter(
            "serviceaccount_invalid_legacy_auto_token_uses_total", "Cumulative invalid auto-generated legacy tokens used"
        )
        for counter in (self._all, self._generated, self._manual, self._invalid):
            counter.set(0)

    def check(self, token: str, claims: Object) -> User:
        """Whom a genuine token stands for. Raises InvalidToken."""
        self._all.add(1)
        namespace, name, uid = _account(claims)
        secret = self._secret(claims)
        if secret is None or meta.being_deleted(secret):
            raise InvalidToken("Token has been invalidated")
        held = base64.b64decode((secret.get("data") or meta.EMPTY).get(rules.TOKEN_KEY) or "")
        if not hmac.compare_digest(held, token.encode()):
            raise InvalidToken("Token does not match server's copy")
        account = self._get("serviceaccounts", namespace, name)
        if account is None:
            raise InvalidToken(f'serviceaccounts "{name}" not found')
        if meta.being_deleted(account):
            raise InvalidToken(f"ServiceAccount {namespace}/{name} has been deleted")
        if meta.uid(account) != uid:
            raise InvalidToken(f"ServiceAccount UID ({meta.uid(account)}) does not match claim ({uid})")
        self._note(secret)
        if meta.labels(secret).get(rules.INVALID_SINCE_LABEL):
            self._invalid.add(1)
            raise InvalidToken(
                f"the token in secret {meta.key(secret)} for service account {namespace}/{name} has been marked invalid. "
                "Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the "
                f"'{rules.INVALID_SINCE_LABEL}' label from the secret to temporarily allow use of this token"
            )
        is_generated = rules.is_referenced(account, meta.name(secret))
        (self._generated if is_generated else self._manual).add(1)
        return User.of_account(namespace, name, uid, warnings=(GENERATED,) if is_generated else ())

    def must_be_noted(self, claims: Object) -> bool:
        """Whether a use of a genuine token changes its Secret's label."""
        secret = self._secret(claims)
        return secret is not None and not rules.is_noted(secret, clock.now())

    def _note(self, secret: Object) -> None:
        if not rules.is_noted(secret, clock.now()):
            self._unwritten[meta.namespace(secret), meta.name(secret)] = meta.uid(secret)
            self._wakeup.set()

    def _secret(self, claims: Object) -> Object | None:
        return self._get("secrets", str(claims.get(rules.NAMESPACE_CLAIM)), str(claims.get(rules.SECRET_CLAIM)))

    def _get(self, resource: str, namespace: str, name: str) -> Object | None:
        kind = registry.resource(resource)
        record = self._store.get(kind.key_prefix, kind.key(namespace, name))
        return self._store.decoded(record) if record is not None else None

    async def run(self, client: Client) -> None:
        """Write down which tokens were used, until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self._unwritten:
                (namespace, name), uid = next(iter(self._unwritten.items()))
                patch = {"metadata": {"uid": uid, "labels": {rules.LAST_USED_LABEL: rules.format_day(clock.now())}}}
                try:
                    await client.patch("secrets", name, patch, namespace)
                except StatusError as error:
                    # The next use tries again.
                    text = "Failed to label legacy service account token %s/%s with last-used date: %s"
                    logger.error(text, namespace, name, error.message)
                # Not before: what uses it meanwhile asks for no more.
                del self._unwritten[namespace, name]


def _account(claims: Object) -> tuple[str, str, str]:
    """Namespace, name and uid of the account. Raises InvalidToken for claims that are missing or do not fit each other."""
    for claim, called in NEEDED_CLAIMS.items():
        if not claims.get(claim):
            raise InvalidToken(f"{called} claim is missing")
    namespace, name = claims[rules.NAMESPACE_CLAIM], claims[rules.ACCOUNT_CLAIM]
    if claims["sub"] != f"system:serviceaccount:{namespace}:{name}":
        raise InvalidToken("sub claim is invalid")
    return namespace, name, claims[rules.ACCOUNT_UID_CLAIM]


class Tracking:
    """Keeps the ConfigMap that says since when uses are written down."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._created = -CREATION_INTERVAL_SECONDS
        """When it was made here, by the monotonic clock."""

    async def run(self) -> None:
        """Keep it as it should be, until cancelled."""
        while True:
            try:
                await self.reconcile()
            except StatusError as error:
                logger.error("the ConfigMap %s is not as it should be: %s", rules.TRACKING_NAME, error.message)
            await clock.sleep(RECONCILE_SECONDS)

    async def reconcile(self) -> None:
        """Make it, or mend it. Raises StatusError."""
        data = {rules.TRACKING_KEY: rules.format_day(clock.now())}
        try:
            present = await self._client.get("configmaps", rules.TRACKING_NAME, rules.TRACKING_NAMESPACE)
        except StatusError as error:
            if not error.is_not_found:
                raise
            if clock.monotonic() >= self._created + CREATION_INTERVAL_SECONDS:
                metadata = {"name": rules.TRACKING_NAME, "namespace": rules.TRACKING_NAMESPACE}
                await self._client.create("configmaps", {"metadata": metadata, "data": data})
                self._created = clock.monotonic()
            return
        before = present.get("data") or {}
        if rules.parse_day(before.get(rules.TRACKING_KEY, "")) is None:
            await self._client.update("configmaps", {**present, "data": {**before, **data}})
