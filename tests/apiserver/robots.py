"""Service accounts with a token in a Secret, for tests of such tokens."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

from navarch.api.core import serviceaccounttoken
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.component.jwt import SigningKey
from tests.apiserver.bench import Bench

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
SELF_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
LAST_USED, INVALID_SINCE = "kubernetes.io/legacy-token-last-used", "kubernetes.io/legacy-token-invalid-since"


def today(later: timedelta = timedelta()) -> str:
    return serviceaccounttoken.format_day(clock.now() + later)


class Robot:
    """An account with a Secret, and a token in it."""

    def __init__(self, api: Bench, name: str, labels: Object | None = None, **changed: Any) -> None:
        self.api, self.name, self.key = api, name, SigningKey(api.server.config.service_account_key_file)
        self.account = api.made("serviceaccounts", {"metadata": {"name": name, "namespace": "default"}})
        named = {"metadata": {"name": f"{name}-token", "namespace": "default"}}
        claims = {**serviceaccounttoken.claims(self.account, named), **changed}
        self.token = self.key.sign({name: value for name, value in claims.items() if value is not None})
        annotations = {"kubernetes.io/service-account.name": name}
        metadata = {**named["metadata"], "annotations": annotations, "labels": labels or {}}
        data = {"token": base64.b64encode(self.token.encode()).decode()}
        api.made("secrets", {"metadata": metadata, "type": "kubernetes.io/service-account-token", "data": data})

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def ask(self) -> Any:
        return self.api.call("POST", SELF_REVIEWS, {}, user=None, headers=self.headers)

    def review(self, **spec: Any) -> Object:
        status: Object = self.api.call("POST", REVIEWS, {"spec": {"token": self.token, **spec}}).json["status"]
        return status

    def label(self, name: str = LAST_USED) -> str | None:
        return meta.labels(self.api.get("secrets", f"{self.name}-token").json).get(name)

    def change(self, patch: Object) -> None:
        assert self.api.patch("secrets", f"{self.name}-token", patch).status == 200

    def list_it(self) -> None:
        self.api.patch("serviceaccounts", self.name, {"secrets": [{"name": f"{self.name}-token"}]})
