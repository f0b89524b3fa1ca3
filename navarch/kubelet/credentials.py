"""Which credentials fit an image, out of ``kubernetes.io/dockerconfigjson`` and ``kubernetes.io/dockercfg`` Secrets.

Pure. Registries in a Secret may have wildcards in their host and a path; more specific entries come first
(kubernetes.io/docs "Images", "Config.json interpretation").
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import orjson

from navarch.apimachinery.errors import Object
from navarch.cri import runtime_pb2 as pb

DEFAULT_REGISTRY = "index.docker.io"
_DEFAULT_REGISTRY_NAMES = frozenset({"docker.io", "registry-1.docker.io", DEFAULT_REGISTRY})


def with_default_tag(image: str) -> str:
    """`image`, with ``:latest`` if it says neither tag nor digest."""
    last = image.rsplit("/", 1)[-1]
    return image if "@" in image or ":" in last else f"{image}:latest"


def repository(image: str) -> str:
    """Registry host and path of an image, without tag and digest; short names are those of Docker's registry."""
    name = image.split("@", 1)[0]
    head, slash, tail = name.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost"):
        head, tail = DEFAULT_REGISTRY, name
    if head in _DEFAULT_REGISTRY_NAMES:
        head = DEFAULT_REGISTRY
        if "/" not in tail:
            tail = f"library/{tail}"
    path, _, last = tail.rpartition("/")
    last = last.split(":", 1)[0]
    return f"{head}/{path}/{last}" if path else f"{head}/{last}"


def matching(image: str, secrets: Iterable[Object]) -> list[pb.AuthConfig]:
    """Credentials to try for `image`, the best fitting first, each once."""
    wanted = repository(image)
    found: list[tuple[str, pb.AuthConfig]] = []
    for secret in secrets:
        for registry, entry in _entries(secret):
            pattern = _pattern(registry)
            if _fits(pattern, wanted):
                found.append((pattern, _auth(entry)))
    found.sort(key=lambda item: item[0], reverse=True)
    result: list[pb.AuthConfig] = []
    for _, auth in found:
        if auth not in result:
            result.append(auth)
    return result


def _entries(secret: Object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    data = secret.get("data") or {}
    for key, inner in ((".dockerconfigjson", "auths"), (".dockercfg", "")):
        if key not in data:
            continue
        try:
            config = orjson.loads(base64.b64decode(data[key]))
            entries = config.get(inner) or {} if inner else config
            yield from ((name, entry) for name, entry in entries.items() if isinstance(entry, dict))
        except (ValueError, binascii.Error, AttributeError):
            # An unreadable Secret is as good as none; the pull's own error will say so.
            continue


def _pattern(registry: str) -> str:
    """Host and path that an entry is for: ``https://host/v1/`` and ``host`` mean the same."""
    text = registry.removeprefix("https://").removeprefix("http://").rstrip("/")
    for version in ("/v1", "/v2"):
        text = text.removesuffix(version)
    host, slash, path = text.partition("/")
    if host in _DEFAULT_REGISTRY_NAMES:
        host = DEFAULT_REGISTRY
    return f"{host}{slash}{path}"


def _fits(pattern: str, wanted: str) -> bool:
    host, _, path = pattern.partition("/")
    wanted_host, _, wanted_path = wanted.partition("/")
    name, _, port = host.partition(":")
    wanted_name, _, wanted_port = wanted_host.partition(":")
    if port != wanted_port:
        return False
    parts, wanted_parts = name.split("."), wanted_name.split(".")
    if len(parts) != len(wanted_parts):
        return False
    if not all(fnmatchcase(have, want) for want, have in zip(parts, wanted_parts, strict=True)):
        return False
    return not path or wanted_path == path or wanted_path.startswith(path.rstrip("/") + "/")


def _auth(entry: Mapping[str, Any]) -> pb.AuthConfig:
    username, password = entry.get("username") or "", entry.get("password") or ""
    if entry.get("auth") and not username:
        try:
            username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        except (ValueError, binascii.Error):
            username = password = ""
    # Without a server's address, as the kubelet sends it: containerd takes one only if it is a whole URL.
    return pb.AuthConfig(
        username=username,
        password=password,
        identity_token=entry.get("identitytoken") or "",
        registry_token=entry.get("registrytoken") or "",
    )
