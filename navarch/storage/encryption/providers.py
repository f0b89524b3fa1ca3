"""The ways in which a value may be stored, byte for byte those of kube-apiserver.

A key writes ``k8s:enc:<provider>:v1:<key name>:`` and what its cipher makes of the value; identity writes the value as it is.
The ciphers are given the object's key in the store, so that (but for aescbc and secretbox, which cannot) a value that
somebody has put in another object's place is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from navarch.component import clock

ENCRYPTED = b"k8s:enc:"
"""How a value begins that is not stored as it is."""
GCM_NONCE_BYTES = 12
CBC_BLOCK_BYTES = 16
SECRETBOX_NONCE_BYTES = 24
AES_KEY_BYTES = (16, 24, 32)
SECRETBOX_KEY_BYTES = (32,)

_TOO_SHORT = "the stored data was shorter than the required size"


class EncryptionError(Exception):
    """A value cannot be read: its key is not there, or it is not what was stored."""


class Cipher(Protocol):
    """One key of one provider."""

    def seal(self, plain: bytes, name: bytes) -> bytes:
        """Of the value of the object whose key in the store is `name`."""

    def open(self, sealed: bytes, name: bytes) -> bytes:
        """Raises EncryptionError."""


class _GCM:
    """The nonce, and AES-GCM with the object's name as its authenticated data."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, name: bytes) -> bytes:
        nonce = clock.random().randbytes(GCM_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, name)

    def open(self, sealed: bytes, name: bytes) -> bytes:
        if len(sealed) < GCM_NONCE_BYTES:
            raise EncryptionError(_TOO_SHORT)
        try:
            return self._aead.decrypt(sealed[:GCM_NONCE_BYTES], sealed[GCM_NONCE_BYTES:], name)
        except InvalidTag as error:
            raise EncryptionError("cipher: message authentication failed") from error


class _CBC:
    """The initialisation vector, and AES-CBC with PKCS #7 padding. Nothing in it tells whether it was changed."""

    def __init__(self, key: bytes) -> None:
        self._algorithm = algorithms.AES(key)

    def seal(self, plain: bytes, name: bytes) -> bytes:
        vector = clock.random().randbytes(CBC_BLOCK_BYTES)
        padding = CBC_BLOCK_BYTES - len(plain) % CBC_BLOCK_BYTES
        encryptor = BlockCipher(self._algorithm, modes.CBC(vector)).encryptor()
        return vector + encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()

    def open(self, sealed: bytes, name: bytes) -> bytes:
        vector, rest = sealed[:CBC_BLOCK_BYTES], sealed[CBC_BLOCK_BYTES:]
        if len(sealed) < CBC_BLOCK_BYTES:
            raise EncryptionError(_TOO_SHORT)
        if len(rest) % CBC_BLOCK_BYTES:
            raise EncryptionError("the stored data is not a multiple of the block size")
        decryptor = BlockCipher(self._algorithm, modes.CBC(vector)).decryptor()
        padded = decryptor.update(rest) + decryptor.finalize()
        padding = padded[-1] if padded else 0
        if not 0 < padding <= CBC_BLOCK_BYTES:
            raise EncryptionError("invalid PKCS7 data (empty or not padded)")
        if padded[-padding:] != bytes([padding]) * padding:
            raise EncryptionError("invalid padding on input")
        return padded[:-padding]


class _Secretbox:
    """The nonce, and NaCl's secretbox (XSalsa20 and Poly1305), which needs PyNaCl."""

    def __init__(self, key: bytes) -> None:
        from nacl.secret import SecretBox

        self._box = SecretBox(key)

    def seal(self, plain: bytes, name: bytes) -> bytes:
        return bytes(self._box.encrypt(plain, clock.random().randbytes(SECRETBOX_NONCE_BYTES)))

    def open(self, sealed: bytes, name: bytes) -> bytes:
        from nacl.exceptions import CryptoError

        if len(sealed) < SECRETBOX_NONCE_BYTES:
            raise EncryptionError(_TOO_SHORT)
        try:
            return bytes(self._box.decrypt(sealed))
        except CryptoError as error:
            raise EncryptionError("output array was not large enough for encryption") from error


@dataclass(frozen=True, slots=True)
class Kind:
    """A provider that has keys."""

    name: str
    key_bytes: tuple[int, ...]
    cipher: Callable[[bytes], Cipher]


KINDS = {
    kind.name: kind
    for kind in (
        Kind("aescbc", AES_KEY_BYTES, _CBC),
        Kind("aesgcm", AES_KEY_BYTES, _GCM),
        Kind("secretbox", SECRETBOX_KEY_BYTES, _Secretbox),
    )
}


class Key:
    """One key of a provider, by which values are written and read."""

    def __init__(self, provider: str, name: str, secret: bytes) -> None:
        """Raises ImportError where the provider needs what is not installed."""
        self.provider, self.name, self.secret = provider, name, secret
        self.prefix = b"%b%b:v1:%b:" % (ENCRYPTED, provider.encode(), name.encode())
        self._cipher = KINDS[provider].cipher(secret)

    def seal(self, plain: bytes, key: str) -> bytes:
        return self.prefix + self._cipher.seal(plain, key.encode())

    def open(self, stored: bytes, key: str) -> bytes:
        """Raises EncryptionError."""
        return self._cipher.open(stored[len(self.prefix) :], key.encode())
