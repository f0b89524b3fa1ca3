"""How a cluster's objects are kept, as options say it and as the cluster remembers it: encryption, and how much history."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from navarch.storage.encryption.transformers import Rule, Transformers
    from navarch.storage.history import Retention

# What `--encrypt-secrets` makes, in the data directory.
OWN_FILE = "encryption.yaml"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"([0-9]{1,9})([smhd])\Z", re.ASCII)
_NAMES = {
    "encryption_file": "encryptionProviderConfig",
    "retention_seconds": "historyRetentionSeconds",
    "max_bytes": "historyMaxBytes",
    "durable_leases": "durableLeases",
    "encryption_reload": "encryptionProviderConfigAutomaticReload",
}


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """None stands for the default."""

    encryption_file: str | None = None
    """An EncryptionConfiguration; a name without a slash is in the data directory. None: nothing is encrypted."""
    retention_seconds: int | None = None
    """So long after it was replaced, a version of an object is kept."""
    max_bytes: int | None = None
    """So much all earlier versions may take."""
    durable_leases: bool | None = None
    """Whether renewals of Leases are on disk before they are acknowledged, as all else is."""
    encryption_reload: bool | None = None
    """Whether that file is taken over while the server runs, whenever it has changed."""

    def over(self, known: StoreSettings) -> StoreSettings:
        """What is said here, and for the rest what was known before. Raises ValueError for what does not go together."""
        said = {name: getattr(self, name) for name in _NAMES if getattr(self, name) is not None}
        found = replace(known, **said)
        if found.encryption_file:
            return found
        if self.encryption_reload:
            raise ValueError("--encryption-provider-config-automatic-reload must be set with --encryption-provider-config")
        return replace(found, encryption_file=None, encryption_reload=None)

    def at_rest(self) -> dict[str, Any]:
        return {shown: getattr(self, name) for name, shown in _NAMES.items() if getattr(self, name) is not None}

    @property
    def retention(self) -> Retention:
        from navarch.storage.history import Retention

        default = Retention()
        days = default.days if self.retention_seconds is None else self.retention_seconds / _SECONDS["d"]
        return Retention(default.bytes if self.max_bytes is None else self.max_bytes, days)


DEFAULTS = StoreSettings()


def from_rest(content: dict[str, Any]) -> StoreSettings:
    return StoreSettings(**{name: content.get(shown) for name, shown in _NAMES.items()})


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--encryption-provider-config",
        metavar="FILE",
        help='an EncryptionConfiguration (apiserver.config.k8s.io/v1): what is encrypted at rest, and how ("": no more)',
    )
    command.add_argument(
        "--encryption-provider-config-automatic-reload",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="take that file over whenever it has changed, without a restart (default: the next start does)",
    )
    command.add_argument(
        "--encrypt-secrets", action="store_true", help="encrypt Secrets at rest, with a key in the data directory"
    )
    command.add_argument(
        "--history-retention",
        metavar="TIME",
        help="how long earlier versions of objects are kept, such as 12h or 30d (default: 7d)",
    )
    command.add_argument(
        "--history-max-bytes", metavar="SIZE", help="how much all of them may take, such as 256Mi (default: 64Mi)"
    )

    command.add_argument(
        "--durable-leases",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="have renewals of Leases on disk before they are acknowledged (default: a crash may lose the last minute of them)",
    )


def parsed(options: argparse.Namespace) -> StoreSettings:
    """Raises ValueError, with a text for people, for what cannot be meant."""
    file = options.encryption_provider_config
    if options.encrypt_secrets:
        if file is not None:
            raise ValueError("--encrypt-secrets makes a file of its own: leave out --encryption-provider-config")
        file = OWN_FILE
    elif file:
        file = str(Path(file).absolute())
    return StoreSettings(
        file,
        _seconds(options.history_retention),
        _bytes(options.history_max_bytes),
        options.durable_leases,
        options.encryption_provider_config_automatic_reload,
    )


def transformers(settings: StoreSettings, data_dir: Path) -> Transformers:
    """Raises ConfigError."""
    from navarch.storage.encryption.transformers import PLAIN

    if settings.encryption_file is None:
        return PLAIN
    from navarch.storage.encryption import config

    return by_rules(config.load(data_dir / settings.encryption_file))


def by_rules(rules: list[Rule]) -> Transformers:
    """Of the objects that this server knows, and custom resources'."""
    from navarch.api import registry
    from navarch.storage.encryption.transformers import Transformers

    prefixes = {kind.key_prefix: (kind.group, kind.plural) for kind in registry.kinds() if kind.stored_as is None}
    return Transformers(rules, prefixes)


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    span = _SPAN.match(text)
    if span is None:
        raise ValueError(f"--history-retention: {text!r} is no time, such as 12h or 30d")
    return int(span[1]) * _SECONDS[span[2]]


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    from navarch.apimachinery import quantity

    try:
        found = quantity.value(text)
    except ValueError:
        found = -1
    if found < 0:
        raise ValueError(f"--history-max-bytes: {text!r} is no size, such as 256Mi")
    return found
