"""What other API servers need to know to trust this one: whose client certificates, and which headers that say who asks.

They read it from a ConfigMap (kube-apiserver's cluster authentication trust controller). What is there beside it, such as the
authorities of other servers, is kept.
"""

from __future__ import annotations

import logging
from pathlib import Path

import orjson

from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.component import clock

logger = logging.getLogger(__name__)

NAMESPACE, NAME = "kube-system", "extension-apiserver-authentication"
FRONT_PROXY_CLIENT = "front-proxy-client"
RECONCILE_SECONDS = 60.0
_END = "-----END CERTIFICATE-----"


def wanted(client_ca: str, front_proxy_ca: str) -> dict[str, str]:
    """The data of the ConfigMap, as far as this server has something to say."""
    data = {"client-ca-file": client_ca} if client_ca else {}
    if front_proxy_ca:
        lists = {
            "requestheader-allowed-names": [FRONT_PROXY_CLIENT],
            "requestheader-extra-headers-prefix": ["X-Remote-Extra-"],
            "requestheader-group-headers": ["X-Remote-Group"],
            "requestheader-uid-headers": ["X-Remote-Uid"],
            "requestheader-username-headers": ["X-Remote-User"],
        }
        data |= {key: orjson.dumps(values).decode() for key, values in lists.items()}
        data["requestheader-client-ca-file"] = front_proxy_ca
    return data


def combined(present: dict[str, str], mine: dict[str, str]) -> dict[str, str]:
    """What is there already with what this server says; of authorities both."""
    found = {**present, **mine}
    for key in mine:
        if key.endswith("-ca-file"):
            found[key] = "".join(dict.fromkeys([*_certificates(present.get(key, "")), *_certificates(mine[key])]))
    return found


def _certificates(bundle: str) -> list[str]:
    return [f"{part.strip()}\n{_END}\n" for part in bundle.split(_END) if part.strip()]


class Trust:
    """Keeps the ConfigMap."""

    def __init__(self, client: Client, client_ca_file: Path | None, front_proxy_ca_file: Path | None) -> None:
        self._client = client
        self._files = client_ca_file, front_proxy_ca_file

    async def run(self) -> None:
        """Keep it as it should be, until cancelled."""
        while True:
            try:
                await self.reconcile()
            except (StatusError, OSError) as error:
                logger.error("the ConfigMap %s/%s is not as it should be: %s", NAMESPACE, NAME, error)
            await clock.sleep(RECONCILE_SECONDS)

    async def reconcile(self) -> None:
        """Make it, or mend it. Raises StatusError, OSError."""
        client_ca, front_proxy_ca = (file.read_text() if file is not None else "" for file in self._files)
        mine = wanted(client_ca, front_proxy_ca)
        if not mine:
            return
        try:
            present = await self._client.get("configmaps", NAME, NAMESPACE)
        except StatusError as error:
            if not error.is_not_found:
                raise
            made: Object = {"metadata": {"name": NAME, "namespace": NAMESPACE}, "data": combined({}, mine)}
            await self._client.create("configmaps", made)
            return
        data = combined(present.get("data") or {}, mine)
        if data != (present.get("data") or {}):
            await self._client.update("configmaps", {**present, "data": data})
