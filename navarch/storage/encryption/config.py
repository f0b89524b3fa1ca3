"""The file of `--encryption-provider-config`: an EncryptionConfiguration, read and checked in kube-apiserver's words.

The ``kms`` provider is refused: it needs a plugin that this server does not speak to.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from navarch.apimachinery.errors import FieldError, invalid_value, required
from navarch.component import clock
from navarch.storage.encryption.providers import KINDS, Key
from navarch.storage.encryption.transformers import IDENTITY, Provider, Rule

GROUP, KIND = "apiserver.config.k8s.io", "EncryptionConfiguration"
VERSIONS = (f"{GROUP}/v1",)
FILE_LIMIT_BYTES = 1024 * 1024
PROVIDERS = ("aesgcm", "aescbc", "secretbox", "identity", "kms")
# AES-256.
GENERATED_KEY_BYTES = 32

_ANY = ("*", "*")
_REDACTED = "REDACTED"
_NO_API = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")
_OVERLAP = (
    "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked"
)


class ConfigError(Exception):
    """The file cannot be used; the text names it and says why."""


def load(path: Path) -> list[Rule]:
    """What a file says. Raises ConfigError."""
    return rules(path, read(path))


def read(path: Path) -> bytes:
    """What is in it. Raises ConfigError."""
    try:
        if path.stat().st_size > FILE_LIMIT_BYTES:
            raise ConfigError(f"{path} is larger than {FILE_LIMIT_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the encryption provider configuration {path}: {error.strerror}") from error


def rules(path: Path, text: bytes) -> list[Rule]:
    """What the text of a file says. Raises ConfigError, which names the file."""
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # Not where: the text around it may be a key.
        raise ConfigError(f"{path} is not YAML") from error
    try:
        return parse(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse(content: Any) -> list[Rule]:
    """Raises ConfigError."""
    if not isinstance(content, dict) or content.get("kind") != KIND or content.get("apiVersion") not in VERSIONS:
        raise ConfigError(f"this is no {KIND} of {' or '.join(VERSIONS)}")
    problems = [*_shape_problems(content)] or [*_problems(content)]
    if problems:
        raise ConfigError("; ".join(problem.message for problem in problems))
    rules = []
    for entry in content["resources"]:
        resources = tuple(_resource(name) for name in entry["resources"])
        rules.append(Rule(resources, tuple(_provider(provider) for provider in entry["providers"])))
    _refuse_masked(rules)
    return rules


def generate(keys: Sequence[tuple[str, bytes]], resources: Sequence[str] = ("secrets",)) -> str:
    """A file that encrypts resources with the first of these keys, and reads what any of them has, or nothing encrypted."""
    named = [{"name": name, "secret": base64.b64encode(secret).decode()} for name, secret in keys]
    entry = {"resources": list(resources), "providers": [{"aesgcm": {"keys": named}}, {"identity": {}}]}
    return str(yaml.safe_dump({"apiVersion": VERSIONS[0], "kind": KIND, "resources": [entry]}, sort_keys=False))


def new_key(name: str) -> tuple[str, bytes]:
    return name, clock.random().randbytes(GENERATED_KEY_BYTES)


def _provider(provider: dict[str, Any]) -> Provider:
    ((name, config),) = provider.items()
    if name == "identity":
        return IDENTITY
    try:
        return tuple(Key(name, key["name"], base64.b64decode(key["secret"])) for key in config["keys"])
    except ImportError as error:
        raise ConfigError(
            f"the provider {name} needs PyNaCl, which is not installed (pip install 'navarch[secretbox]'); or use aesgcm"
        ) from error


def _resource(name: str) -> tuple[str, str]:
    """Group and resource of ``secrets``, ``deployments.apps``, ``*.apps``, ``*.`` or ``*.*``."""
    resource, _, group = name.partition(".")
    return group, resource


def _refuse_masked(rules: list[Rule]) -> None:
    before: list[tuple[str, str]] = []
    for rule in rules:
        for group, resource in rule.resources:
            for earlier in ((group, "*"), _ANY):
                if earlier in before and earlier != (group, resource):
                    raise ConfigError(f"resource {_named(group, resource)!r} is masked by earlier rule {_named(*earlier)!r}")
        before += rule.resources


def _named(group: str, resource: str) -> str:
    return f"{resource}.{group}" if group or resource == "*" else resource


# What must hold


def _shape_problems(content: dict[str, Any]) -> Iterator[FieldError]:
    """Of which kind each part is. What is unknown is refused: it would be a key that nobody uses."""
    yield from _unknown(content, "", ("apiVersion", "kind", "resources"))
    entries = content.get("resources") or []
    if not isinstance(entries, list):
        yield invalid_value("resources", _REDACTED, "must be a list")
        return
    for number, entry in enumerate(entries):
        path = f"resources[{number}]"
        if not isinstance(entry, dict):
            yield invalid_value(path, _REDACTED, "must be an object")
            continue
        yield from _unknown(entry, f"{path}.", ("resources", "providers"))
        names, providers = entry.get("resources") or [], entry.get("providers") or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            yield invalid_value(f"{path}.resources", _REDACTED, "must be a list of strings")
        if not isinstance(providers, list) or not all(isinstance(provider, dict) for provider in providers):
            yield invalid_value(f"{path}.providers", _REDACTED, "must be a list of objects")
            continue
        for place, provider in enumerate(providers):
            yield from _provider_shape_problems(provider, f"{path}.providers[{place}]")


def _provider_shape_problems(provider: dict[str, Any], path: str) -> Iterator[FieldError]:
    yield from _unknown(provider, f"{path}.", PROVIDERS)
    for name in KINDS:
        config = provider.get(name)
        if name not in provider:
            continue
        keys = (config.get("keys") or []) if isinstance(config, dict) else None
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            yield invalid_value(f"{path}.{name}", _REDACTED, "must be an object with a list of keys")
            continue
        for place, key in enumerate(keys):
            where = f"{path}.{name}.keys[{place}]"
            yield from _unknown(key, f"{where}.", ("name", "secret"))
            if not all(isinstance(key.get(part, ""), str) for part in ("name", "secret")):
                yield invalid_value(where, _REDACTED, "name and secret must be strings")


def _unknown(found: dict[str, Any], path: str, known: Sequence[str]) -> Iterator[FieldError]:
    for name in found:
        if name not in known:
            yield invalid_value(f"{path}{name}", _REDACTED, "unknown field")


def _problems(content: dict[str, Any]) -> Iterator[FieldError]:
    entries = content.get("resources") or []
    if not entries:
        yield required("resources", "at least one resources is required")
    for number, entry in enumerate(entries):
        path = f"resources[{number}]"
        names, providers = entry.get("resources") or [], entry.get("providers") or []
        if not names:
            yield required(f"{path}.resources", f"at least one {path}.resources is required")
        yield from _overlap_problems(names, f"{path}.resources")
        for place, name in enumerate(names):
            problem = _name_problem(name)
            if problem:
                yield invalid_value(f"{path}.resources[{place}]", name, problem)
        if not providers:
            yield required(f"{path}.providers", f"at least one {path}.providers is required")
        for place, provider in enumerate(providers):
            yield from _provider_problems(provider, f"{path}.providers[{place}]")


def _overlap_problems(names: list[str], path: str) -> Iterator[FieldError]:
    found = [_resource(name) for name in names]
    if len(set(found)) != len(found):
        yield invalid_value(path, names, "the same resource cannot be specified multiple times")
    wildcards = {group for group, resource in found if resource == "*"}
    if len(found) > 1 and (_ANY in found or any(resource != "*" and group in wildcards for group, resource in found)):
        yield invalid_value(path, names, _OVERLAP)


def _name_problem(name: str) -> str:
    if name.lower() != name:
        return "resource name should not contain capital letters"
    if name == "*":
        return "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
    if name in _NO_API:
        return "resources which do not have REST API/s cannot be encrypted"
    group, resource = _resource(name)
    if group == "events.k8s.io":
        return (
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file"
        )
    if group == "extensions":
        return "'extensions' group has been removed and cannot be used for encryption"
    if group == "*" and resource != "*":
        return "encrypting the same resource across groups is not supported"
    return ""


def _provider_problems(provider: dict[str, Any], path: str) -> Iterator[FieldError]:
    if not provider or provider == {"identity": None}:
        text = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
        yield invalid_value(path, _REDACTED, text)
        return
    if len(provider) > 1:
        text = "more than one provider specified in a single element, should split into different list elements"
        yield invalid_value(path, _REDACTED, text)
        return
    ((name, config),) = provider.items()
    if name == "kms":
        yield invalid_value(f"{path}.kms", _REDACTED, "KMS plugins are not supported: use aesgcm, aescbc or secretbox")
    elif name != "identity":
        keys = config.get("keys") or []
        if not keys:
            yield required(f"{path}.{name}.keys", "at least one keys is required")
        for place, key in enumerate(keys):
            yield from _key_problems(key, f"{path}.{name}.keys[{place}]", KINDS[name].key_bytes)


def _key_problems(key: dict[str, Any], path: str, lengths: Sequence[int]) -> Iterator[FieldError]:
    if not key.get("name"):
        yield required(f"{path}.name", "name is a mandatory field for a key")
    if not key.get("secret"):
        yield required(f"{path}.secret", "secret is a mandatory field for a key")
        return
    try:
        secret = base64.b64decode(key["secret"], validate=True)
    except (binascii.Error, ValueError):
        yield invalid_value(f"{path}.secret", _REDACTED, "secrets must be base64 encoded")
        return
    if len(secret) not in lengths:
        text = f"secret is not of the expected length, got {len(secret)}, expected one of [{' '.join(map(str, lengths))}]"
        yield invalid_value(f"{path}.secret", _REDACTED, text)
