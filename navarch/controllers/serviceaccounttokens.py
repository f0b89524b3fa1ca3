"""Fill in the Secrets that ask for a service account's token, and take those away whose account has gone.

Such a Secret names its account; it gets a token, the authority by which to know the server, and its namespace. Where an
account lists a Secret that has gone, it is taken from the list.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from navarch.api.core import serviceaccounttoken as rules
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.informer import Informers
from navarch.component.jwt import SigningKey
from navarch.controllers.config import ControllerConfig
from navarch.controllers.controller import Cluster, Controller, Watch

SECRETS, ACCOUNTS = "secrets", "serviceaccounts"
FIELD_SELECTOR = f"type={rules.TYPE}"
RETRIES_LIMIT = 10
BY_ACCOUNT = "account"

Sign = Callable[[Object], str]
"""(claims) -> token"""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a Secret said of its account when it was last seen."""

    secret_uid: str
    account: str
    account_uid: str


def of_account(secret: Object) -> Iterable[str]:
    """Index of token Secrets by the key of the account that they name."""
    name = meta.annotations(secret).get(rules.NAME_ANNOTATION)
    return (f"{meta.namespace(secret)}/{name}",) if name else ()


def completed(secret: Object, account: Object, root_ca_pem: str, sign: Sign) -> Object | None:
    """The Secret with what it lacks; None if that is nothing. `sign` is only called for a token that is missing."""
    data, more = secret.get("data") or meta.EMPTY, {}
    authority = _encoded(root_ca_pem)
    if root_ca_pem and data.get(rules.CA_KEY) != authority:
        more[rules.CA_KEY] = authority
    if not data.get(rules.NAMESPACE_KEY):
        more[rules.NAMESPACE_KEY] = _encoded(meta.namespace(secret))
    if not data.get(rules.TOKEN_KEY):
        more[rules.TOKEN_KEY] = _encoded(sign(rules.claims(account, secret)))
    if not more:
        return None
    names = {rules.NAME_ANNOTATION: meta.name(account), rules.UID_ANNOTATION: meta.uid(account)}
    metadata = {**secret["metadata"], "annotations": {**meta.annotations(secret), **names}}
    return {**secret, "metadata": metadata, "data": {**data, **more}}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _controller(root_ca_pem: str, sign: Sign) -> Controller:
    async def reconcile(secret: Object, cluster: Cluster) -> None:
        key, seen = meta.key(secret), _reference(secret)
        before = cluster.memory.get(key)
        if before is not None and before.secret_uid != seen.secret_uid:
            await gone(key, cluster)
        cluster.memory[key] = seen
        account = await _account(secret, seen, cluster)
        if account is None:
            await cluster.delete(SECRETS, secret)
            return
        wanted = completed(secret, account, root_ca_pem, sign)
        if wanted is not None:
            await cluster.update(SECRETS, wanted)

    return Controller(
        "serviceaccount-token-controller",
        SECRETS,
        reconcile,
        gone=gone,
        watches=(Watch(ACCOUNTS, _secrets_of_lost),),
        indexers={BY_ACCOUNT: of_account},
        field_selector=FIELD_SELECTOR,
        retries_limit=RETRIES_LIMIT,
    )


def _reference(secret: Object) -> Reference:
    annotations = meta.annotations(secret)
    return Reference(meta.uid(secret), annotations.get(rules.NAME_ANNOTATION, ""), annotations.get(rules.UID_ANNOTATION, ""))


async def _account(secret: Object, named: Reference, cluster: Cluster) -> Object | None:
    """The account that the Secret names, if there is that very one."""
    namespace = meta.namespace(secret)
    account = cluster.cached(ACCOUNTS, named.account, namespace)
    if account is not None and named.account_uid in ("", meta.uid(account)):
        return account
    # The cache may not know of it yet, and a Secret that goes by mistake does not come back.
    try:
        account = await cluster.client.get(ACCOUNTS, named.account, namespace)
    except StatusError as error:
        if error.is_not_found:
            return None
        raise
    return account if named.account_uid in ("", meta.uid(account)) else None


async def gone(key: str, cluster: Cluster) -> None:
    """The Secret has gone: its account lists it no more."""
    before, namespace, name = cluster.memory.get(key), *key.split("/")
    account = cluster.cached(ACCOUNTS, before.account, namespace) if before is not None else None
    if before is not None and account is not None and before.account_uid in ("", meta.uid(account)):

        def without(current: Object) -> Object | None:
            if before.account_uid not in ("", meta.uid(current)) or not rules.is_referenced(current, name):
                return None
            return {**current, "secrets": [item for item in current["secrets"] if item.get("name") != name]}

        try:
            await cluster.client.modify(ACCOUNTS, before.account, namespace, without)
        except StatusError as error:
            if not error.is_not_found:
                raise
    cluster.memory.pop(key, None)


def _secrets_of_lost(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    if new is None and old is not None:
        tokens = informers.selected(SECRETS, FIELD_SELECTOR).by_index(BY_ACCOUNT, meta.key(old))
        yield from (meta.key(secret) for secret in tokens)


def controllers(config: ControllerConfig) -> tuple[Controller, ...]:
    """None without a key to sign tokens with."""
    if config.service_account_key_file is None:
        return ()
    return (_controller(config.root_ca_pem, SigningKey(config.service_account_key_file).sign),)
