"""Short ways to encrypt."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from navarch.storage.encryption import config
from navarch.storage.encryption.transformers import Transformers

SECRETS = "/registry/secrets/"
PREFIXES = {
    SECRETS: ("", "secrets"),
    "/registry/configmaps/": ("", "configmaps"),
    "/registry/leases/": ("coordination.k8s.io", "leases"),
    "/registry/deployments/": ("apps", "deployments"),
}


def provider(kind: str, *names: str) -> dict[str, Any]:
    """Each key is made of its name."""
    if kind == "identity":
        return {"identity": {}}
    keys = [{"name": name, "secret": base64.b64encode((name * 32)[:32].encode()).decode()} for name in names]
    return {kind: {"keys": keys}}


def configuration(*entries: tuple[Sequence[str], Sequence[dict[str, Any]]]) -> dict[str, Any]:
    found = [{"resources": list(resources), "providers": list(providers)} for resources, providers in entries]
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": found}


def transformers(*entries: tuple[Sequence[str], Sequence[dict[str, Any]]]) -> Transformers:
    return Transformers(config.parse(configuration(*entries)), PREFIXES)


def everything(*providers: dict[str, Any]) -> Transformers:
    return transformers((["*.*"], providers))


GCM_ONE, GCM_TWO = provider("aesgcm", "one"), provider("aesgcm", "two")
IDENTITY = provider("identity")
