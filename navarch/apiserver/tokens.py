"""Service-account tokens: JSON Web Tokens bound to accounts, pods and secrets that must still exist.

Those that are asked for expire; those that Secrets hold do not (`legacytokens`).
"""

from __future__ import annotations

from pathlib import Path

from navarch.api import registry
from navarch.api.core import serviceaccounttoken
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.legacytokens import LegacyTokens
from navarch.apiserver.request import User
from navarch.component import clock
from navarch.component.jwt import InvalidToken, SigningKey
from navarch.component.metrics import Registry
from navarch.storage.store import Store

ISSUER = "https://kubernetes.default.svc.cluster.local"
EXPIRATION_MIN_SECONDS = 600
EXPIRATION_MAX_SECONDS = 1 << 32
CLOCK_SKEW_SECONDS = 10
# What is deleted counts as being there a little longer: servers' clocks differ.
DELETION_SKEW_SECONDS = 60
VERIFIED_LIMIT = 4096
NODE_NAME, NODE_UID = "authentication.kubernetes.io/node-name", "authentication.kubernetes.io/node-uid"


class TokenAuthority:
    """Makes and checks tokens with the cluster's service-account key (PEM, EC P-256)."""

    def __init__(
        self,
        store: Store,
        key_file: Path,
        metrics: Registry,
        issuer: str = ISSUER,
        audiences: tuple[str, ...] = (),
    ) -> None:
        self._store = store
        self.key = SigningKey(key_file)
        self.issuer = issuer
        self.audiences = audiences or (issuer,)
        self.legacy = LegacyTokens(store, metrics)
        self._verified: dict[str, Object] = {}

    def issue(self, account: Object, bound: Object | None, audiences: list[str], expiration_seconds: int) -> tuple[str, int]:
        """A token for a ServiceAccount, bound to a Pod or Secret if given. Returns it and when it expires (epoch)."""
        now = int(clock.time_seconds())
        private: Object = {
            "namespace": meta.namespace(account),
            "serviceaccount": {"name": meta.name(account), "uid": meta.uid(account)},
        }
        if bound is not None:
            private[bound["kind"].lower()] = {"name": meta.name(bound), "uid": meta.uid(bound)}
            node = (bound.get("spec") or {}).get("nodeName")
            if node:
                private["node"] = self._node(node)
        claims = {
            "aud": audiences or list(self.audiences),
            "exp": now + expiration_seconds,
            "iat": now,
            "nbf": now,
            "iss": self.issuer,
            "jti": clock.uid(),
            "kubernetes.io": private,
            "sub": f"system:serviceaccount:{meta.namespace(account)}:{meta.name(account)}",
        }
        return self.key.sign(claims), now + expiration_seconds

    def _node(self, name: str) -> Object:
        kind = registry.resource("nodes")
        record = self._store.get(kind.key_prefix, kind.key("", name))
        return {"name": name, "uid": meta.uid(record.object())} if record is not None else {"name": name}

    def authenticate(self, token: str) -> User:
        """The account a token stands for. Raises InvalidToken."""
        user, _ = self.verify(token, self.audiences)
        return user

    def verify(self, token: str, audiences: tuple[str, ...]) -> tuple[User, list[str]]:
        """Whom a token stands for that is genuine, timely, and whose objects exist; and for which of `audiences` it is meant.

        Raises InvalidToken, also if it is meant for none of them.
        """
        claims = self._claims(token)
        is_legacy = claims["iss"] == serviceaccounttoken.ISSUER
        meant = list(self.audiences) if is_legacy else claims["aud"]
        shared = [audience for audience in audiences if audience in meant]
        if not shared:
            shown, wanted = (" ".join(f'"{audience}"' for audience in each) for each in (meant, audiences))
            raise InvalidToken(f"token audiences [{shown}] is invalid for the target audiences [{wanted}]")
        if is_legacy:
            return self.legacy.check(token, claims), shared
        self._check_times(claims)
        self._check_bound(claims["kubernetes.io"])
        return self._user(claims), shared

    def must_be_noted(self, token: str) -> bool:
        """Whether a use of the token is something to write down."""
        try:
            claims = self._claims(token)
        except InvalidToken:
            return False
        return claims["iss"] == serviceaccounttoken.ISSUER and self.legacy.must_be_noted(claims)

    def _claims(self, token: str) -> Object:
        claims = self._verified.get(token)
        if claims is None:
            claims = self.key.claims(token)
            if claims is None or claims.get("iss") not in (self.issuer, serviceaccounttoken.ISSUER):
                raise InvalidToken("unknown")
            if len(self._verified) >= VERIFIED_LIMIT:
                self._verified.clear()
            self._verified[token] = claims
        return claims

    def _check_times(self, claims: Object) -> None:
        now = clock.time_seconds()
        if now >= claims["exp"] + CLOCK_SKEW_SECONDS:
            raise InvalidToken("service account token has expired")
        if now < claims["nbf"] - CLOCK_SKEW_SECONDS:
            raise InvalidToken("service account token is not valid yet")

    def _check_bound(self, private: Object) -> None:
        namespace, account = private["namespace"], private["serviceaccount"]
        if not self._is_there("serviceaccounts", namespace, account):
            raise InvalidToken(f"service account {namespace}/{account['name']} has been deleted")
        if not all(self._is_there(f"{kind}s", namespace, private[kind]) for kind in ("pod", "secret") if kind in private):
            raise InvalidToken("service account token has been invalidated")

    def _is_there(self, resource: str, namespace: str, reference: Object) -> bool:
        kind = registry.resource(resource)
        record = self._store.get(kind.key_prefix, kind.key(namespace, reference["name"]))
        if record is None or f'"uid":"{reference["uid"]}"'.encode() not in record.data:
            return False
        if b'"deletionTimestamp":"' not in record.data:
            return True
        deleted = record.object()["metadata"].get("deletionTimestamp")
        return deleted is None or clock.time_seconds() <= meta.parse_time(deleted).timestamp() + DELETION_SKEW_SECONDS

    @staticmethod
    def _user(claims: Object) -> User:
        private = claims["kubernetes.io"]
        extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
        if "pod" in private:
            extra["authentication.kubernetes.io/pod-name"] = [private["pod"]["name"]]
            extra["authentication.kubernetes.io/pod-uid"] = [private["pod"]["uid"]]
        if "node" in private:
            extra[NODE_NAME] = [private["node"]["name"]]
            if "uid" in private["node"]:
                extra[NODE_UID] = [private["node"]["uid"]]
        return User.of_account(private["namespace"], private["serviceaccount"]["name"], private["serviceaccount"]["uid"], extra)
