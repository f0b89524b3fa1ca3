"""Takes over what the encryption file says whenever it has changed (--encryption-provider-config-automatic-reload).

The file is read once a minute, as by kube-apiserver. Where what is there now cannot be used, that is logged and counted, what
was there before stays in force, and the next look tries again.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from navarch.component import clock, metrics
from navarch.storage.backend import StorageError
from navarch.storage.encryption import config
from navarch.storage.encryption.config import ConfigError
from navarch.storage.encryption.transformers import Rule, Transformers

logger = logging.getLogger(__name__)

POLL_SECONDS = 60.0

_PREFIX = "apiserver_encryption_config_controller"
_RELOADS = metrics.default.counter(
    f"{_PREFIX}_automatic_reloads_total",
    "Total number of reload successes and failures of encryption configuration split by apiserver identity.",
    "status",
    "apiserver_id_hash",
)
_LAST_RELOAD = metrics.default.gauge(
    f"{_PREFIX}_automatic_reload_last_timestamp_seconds",
    "Timestamp of the last successful or failed automatic reload of encryption configuration split by apiserver identity.",
    "status",
    "apiserver_id_hash",
)
_LAST_CONFIG = metrics.default.gauge(
    f"{_PREFIX}_last_config_info",
    "Information about the last applied encryption configuration with hash as label, split by apiserver identity.",
    "apiserver_id_hash",
    "hash",
)


class Encrypting(Protocol):
    """A store whose values can be encrypted otherwise from now on."""

    async def reencrypt(self, transformers: Transformers) -> None:
        """Raises StorageError; what was in force before may be then, or what is new, and it can be tried again."""


class Reloader:
    """Looks after one file. To be made before the store is opened by it: changes from now on count. Raises ConfigError."""

    def __init__(self, path: Path, transformers: Callable[[list[Rule]], Transformers]) -> None:
        self._path = path
        self._transformers = transformers
        self._server = _digest(_identity().encode())
        self._set(_digest(config.read(path)))

    async def run(self, store: Encrypting) -> None:
        while True:
            await clock.sleep(POLL_SECONDS)
            await self.look(store)

    async def look(self, store: Encrypting) -> None:
        """Take the file over if it has changed."""
        try:
            content = config.read(self._path)
            digest = _digest(content)
            if digest == self._hash:
                return
            await store.reencrypt(self._transformers(config.rules(self._path, content)))
        except (ConfigError, StorageError) as error:
            logger.error("error processing encryption config file %s: %s", self._path, error)
            self._count("failure")
            return
        self._set(digest)
        logger.info("loaded new encryption config content from %s", self._path)
        self._count("success")

    def _set(self, digest: str) -> None:
        self._hash = digest
        _LAST_CONFIG.values = {labels: value for labels, value in _LAST_CONFIG.values.items() if labels[0] != self._server}
        _LAST_CONFIG.set(1, self._server, digest)

    def _count(self, status: str) -> None:
        _RELOADS.add(1, status, self._server)
        _LAST_RELOAD.set(clock.time_seconds(), status, self._server)


def _identity() -> str:
    """As a kube-apiserver on this machine would call itself."""
    digest = hashlib.sha256(socket.gethostname().encode()).digest()[:16]
    return "apiserver-" + base64.b32encode(digest).decode().rstrip("=").lower()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
