"""Where etcd is, as `--datastore` names it: ``etcd://HOST[:PORT],HOST[:PORT]…``, or ``etcds://`` for TLS.

Nothing of gRPC is loaded for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PORT = 2379
EXAMPLE = "etcds://10.0.0.1:2379,10.0.0.2:2379"

# A name, an IPv4 address, or an IPv6 address in brackets; a port.
_ENDPOINT = re.compile(r"(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class EtcdConfig:
    """Where etcd is. Files are PEM."""

    endpoints: tuple[str, ...]
    """``host:port``, any members of the cluster."""
    tls: bool = False
    ca_file: Path | None = None
    """Who has signed the members' certificates; None: one of those that the system trusts anyway."""
    certificate_file: Path | None = None
    key_file: Path | None = None

    @property
    def url(self) -> str:
        return f"{'etcds' if self.tls else 'etcd'}://{','.join(self.endpoints)}"


def parse(
    url: str, ca_file: Path | None = None, certificate_file: Path | None = None, key_file: Path | None = None
) -> EtcdConfig:
    """Raises ValueError, with a text for people, for what cannot be meant; also for files that are not there or not PEM."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("etcd", "etcds"):
        raise ValueError(f"the datastore {url!r} must begin with etcd:// or, for TLS, etcds://, such as {EXAMPLE}")
    endpoints = tuple(_endpoint(url, text) for text in rest.rstrip("/").split(","))
    if len(set(endpoints)) != len(endpoints):
        raise ValueError(f"the datastore {url!r} names an endpoint twice")
    config = EtcdConfig(endpoints, scheme == "etcds", ca_file, certificate_file, key_file)
    _check_files(config)
    return config


def _endpoint(url: str, text: str) -> str:
    found = _ENDPOINT.match(text)
    if found is None or not 0 < int(found["port"] or PORT) < 65536:
        raise ValueError(f"the datastore {url!r} does not say where etcd is: {text!r} is not HOST:PORT, such as {EXAMPLE}")
    return f"{found['host']}:{int(found['port'] or PORT)}"


def _check_files(config: EtcdConfig) -> None:
    given = [file for file in (config.ca_file, config.certificate_file, config.key_file) if file is not None]
    if given and not config.tls:
        raise ValueError(f"{given[0]} is of no use without TLS: say etcds:// instead of etcd://")
    if (config.certificate_file is None) != (config.key_file is None):
        raise ValueError("a client certificate for etcd goes together with its key: give both, or none")
    # Other commands need not wait for it.
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if config.ca_file is not None:
            context.load_verify_locations(config.ca_file)
        if config.certificate_file is not None:
            context.load_cert_chain(config.certificate_file, config.key_file)
    except OSError as error:
        # An SSLError is one too, but names no file.
        names = " or ".join(map(str, given))
        raise ValueError(f"{names} cannot be used for etcd: {error.strerror or error}") from error
