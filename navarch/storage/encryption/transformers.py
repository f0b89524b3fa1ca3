"""Which provider is whose: values are written by the first one of their resource, and read by any of it.

A value that was written otherwise than it would be written now is *stale*. What resource an object is of is told by its key;
resources that no rule names are written as they are, and of them nothing that is encrypted can be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from navarch.storage.collection import collection_prefix
from navarch.storage.encryption.providers import ENCRYPTED, EncryptionError, Key

UNMATCHED = "the provided value does not match any of the supported transformers"
_DIGEST_BYTES = 8

Provider = tuple[Key, ...]
"""Its keys, the first of which writes; none: identity."""
IDENTITY: Provider = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done to some resources."""

    resources: tuple[tuple[str, str], ...]
    """Group and resource; ``("apps", "*")`` are all of a group, ``("*", "*")`` are all."""
    providers: tuple[Provider, ...]


class Transformers:
    """The way of every value to where it is stored and back."""

    def __init__(self, rules: Sequence[Rule], prefixes: Mapping[str, tuple[str, str]]) -> None:
        """`prefixes` tells of which group and resource the objects under a prefix are; custom resources' prefixes say it."""
        self.is_plain = not rules
        """Whether nothing is encrypted, neither now nor earlier."""
        self._by_resource: dict[tuple[str, str], tuple[Provider, ...]] = {}
        for rule in rules:
            for resource in rule.resources:
                self._by_resource[resource] = self._by_resource.get(resource, ()) + rule.providers
        self._prefixes = prefixes
        self._found: dict[str, tuple[Provider, ...]] = {}

    def encode(self, key: str, data: bytes) -> bytes:
        """A value as it is to be stored."""
        if self.is_plain:
            return data
        (writer, *_) = self._providers(key)
        return writer[0].seal(data, key) if writer else data

    def decode(self, key: str, stored: bytes) -> tuple[bytes, bool]:
        """A value as it was before it was stored, and whether it is stale. Raises EncryptionError."""
        is_encrypted = stored.startswith(ENCRYPTED)
        if self.is_plain and not is_encrypted:
            return stored, False
        providers = self._providers(key)
        problem = ""
        for number, provider in enumerate(providers):
            if not provider:
                if not is_encrypted:
                    return stored, number > 0
                continue
            for place, candidate in enumerate(provider):
                if stored.startswith(candidate.prefix):
                    try:
                        return candidate.open(stored, key), number > 0 or place > 0
                    except EncryptionError as error:
                        problem = f"{_shown(candidate.prefix)}: {error}"
        raise EncryptionError(problem or _unreadable(stored, is_encrypted=is_encrypted))

    def writes_as(self, other: Transformers, prefix: str) -> bool:
        """Whether objects under a prefix are written as by the other one."""
        (mine, *_), (others, *_) = self._providers(prefix), other._providers(prefix)
        return [(key.prefix, key.secret) for key in mine[:1]] == [(key.prefix, key.secret) for key in others[:1]]

    @property
    def fingerprint(self) -> int:
        """Of how everything is written; 0: as it is. Nothing of the keys can be told from it."""
        digest = hashlib.sha256()
        writes_anything = False
        for resource, (writer, *_) in sorted(self._by_resource.items()):
            secret = hashlib.sha256(b"navarch" + writer[0].secret).digest() if writer else b""
            digest.update(b"%b\n%b\n%b\n" % (".".join(resource).encode(), writer[0].prefix if writer else b"", secret))
            writes_anything = writes_anything or bool(writer)
        # SQLite's integers have a sign.
        return (int.from_bytes(digest.digest()[:_DIGEST_BYTES]) >> 1) | 1 if writes_anything else 0

    def _providers(self, key: str) -> tuple[Provider, ...]:
        prefix = collection_prefix(key)
        found = self._found.get(prefix)
        if found is None:
            found = self._found[prefix] = self._of_resource(prefix) or (IDENTITY,)
        return found

    def _of_resource(self, prefix: str) -> tuple[Provider, ...]:
        resource = self._prefixes.get(prefix)
        if resource is None:
            parts = prefix.split("/")
            if "." not in parts[2]:
                # What servers keep for themselves is no resource.
                return ()
            resource = parts[2], parts[3]
        by = self._by_resource
        return by.get(resource) or by.get((resource[0], "*")) or by.get(("*", "*")) or ()


PLAIN = Transformers((), {})
"""Everything is stored as it is."""


def _unreadable(stored: bytes, *, is_encrypted: bool) -> str:
    if not is_encrypted:
        return f"{UNMATCHED}: it is not encrypted, and identity is not among its providers"
    return f"no matching key was found: it is encrypted with {_shown(stored)}"


def _shown(stored: bytes) -> str:
    """How an encrypted value begins, in words."""
    parts = stored.removeprefix(ENCRYPTED).split(b":", 3)[:3]
    return f"key {parts[2].decode(errors='replace')!r} of {parts[0].decode(errors='replace')}" if len(parts) == 3 else "?"
