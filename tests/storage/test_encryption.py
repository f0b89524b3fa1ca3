"""What is stored can only be read by who has the keys, and nothing of it lies about in another form."""

from __future__ import annotations

import base64
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from navarch.storage.encryption import config
from navarch.storage.encryption.config import ConfigError
from navarch.storage.encryption.providers import EncryptionError, Key
from navarch.storage.encryption.transformers import PLAIN
from tests.storage.encrypting import GCM_ONE, GCM_TWO, IDENTITY, SECRETS, configuration, provider, transformers

KEY = SECRETS + "default/password"


# As kube-apiserver stores it


@pytest.mark.parametrize("kind", ["aesgcm", "aescbc", "secretbox"])
@given(plain=st.binary(max_size=200))
def test_what_is_sealed_is_opened_by_its_key_alone(kind: str, plain: bytes) -> None:
    key, other = Key(kind, "k", b"a" * 32), Key(kind, "k", b"b" * 32)
    stored = key.seal(plain, KEY)
    assert stored.startswith(f"k8s:enc:{kind}:v1:k:".encode())
    assert key.open(stored, KEY) == plain
    if kind == "aescbc":
        # Without a seal of its own: another key makes nonsense of it, which is mostly found out.
        with suppress(EncryptionError):
            assert other.open(stored, KEY) != plain
    else:
        with pytest.raises(EncryptionError):
            other.open(stored, KEY)
    assert key.seal(plain, KEY) != stored, "no nonce is used twice"


def test_values_of_kube_apiserver_are_read() -> None:
    """Put together here from what its documentation says of the formats."""
    secret, plain = b"s" * 32, b'{"kind":"Secret"}'
    sealed = AESGCM(secret).encrypt(b"n" * 12, plain, KEY.encode())
    assert Key("aesgcm", "k", secret).open(b"k8s:enc:aesgcm:v1:k:" + b"n" * 12 + sealed, KEY) == plain
    encryptor = Cipher(algorithms.AES(secret), modes.CBC(b"v" * 16)).encryptor()
    padded = plain + bytes([15]) * 15
    assert Key("aescbc", "k", secret).open(b"k8s:enc:aescbc:v1:k:" + b"v" * 16 + encryptor.update(padded), KEY) == plain


def test_secretbox_is_that_of_nacl() -> None:
    """The example of NaCl's own tests."""
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    plain = bytes.fromhex(
        "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f4"
        "1db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52"
        "f0a089bc76897040e082f937763848645e0705"
    )
    sealed = bytes.fromhex(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b"
        "4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da"
        "99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5"
    )
    assert Key("secretbox", "k", key).open(b"k8s:enc:secretbox:v1:k:" + nonce + sealed, KEY) == plain


@pytest.mark.parametrize("kind", ["aesgcm", "aescbc", "secretbox"])
@given(garbage=st.binary(max_size=80))
def test_garbage_is_refused(kind: str, garbage: bytes) -> None:
    key = Key(kind, "k", b"a" * 32)
    try:
        found = key.open(key.prefix + garbage, KEY)
    except EncryptionError:
        return
    # Every 256th or so has a padding by chance.
    assert kind == "aescbc" and len(found) < len(garbage)


def test_a_value_in_another_objects_place_is_refused() -> None:
    found = transformers((["secrets"], [GCM_ONE]))
    stored = found.encode(KEY, b"{}")
    with pytest.raises(EncryptionError, match=r"key 'one' of aesgcm: cipher: message authentication failed"):
        found.decode(SECRETS + "default/other", stored)


# Who writes and who reads


def test_the_first_provider_writes_and_all_read() -> None:
    one = transformers((["secrets"], [GCM_ONE, IDENTITY]))
    two = transformers((["secrets"], [GCM_TWO, provider("aescbc", "old"), GCM_ONE, IDENTITY]))
    decrypting = transformers((["secrets"], [IDENTITY, GCM_ONE]))
    stored = one.encode(KEY, b"{1}")
    assert stored.startswith(b"k8s:enc:aesgcm:v1:one:")
    assert one.decode(KEY, stored) == (b"{1}", False)
    assert two.decode(KEY, stored) == decrypting.decode(KEY, stored) == (b"{1}", True)
    assert two.encode(KEY, b"{2}").startswith(b"k8s:enc:aesgcm:v1:two:")
    assert one.decode(KEY, b"{3}") == (b"{3}", True)
    assert decrypting.encode(KEY, b"{4}") == b"{4}" and decrypting.decode(KEY, b"{4}") == (b"{4}", False)
    keys = transformers((["secrets"], [provider("aesgcm", "two", "one")]))
    assert keys.decode(KEY, stored) == (b"{1}", True)
    assert keys.decode(KEY, keys.encode(KEY, b"{5}")) == (b"{5}", False)


def test_what_cannot_be_read_is_said_with_the_key_that_is_missing() -> None:
    stored = transformers((["secrets"], [GCM_ONE])).encode(KEY, b"{}")
    for found in (PLAIN, transformers((["secrets"], [GCM_TWO, IDENTITY])), transformers((["configmaps"], [GCM_ONE]))):
        with pytest.raises(EncryptionError, match="no matching key was found: it is encrypted with key 'one' of aesgcm"):
            found.decode(KEY, stored)
    with pytest.raises(EncryptionError, match="identity is not among its providers"):
        transformers((["secrets"], [GCM_ONE])).decode(KEY, b"{}")


def test_a_rule_is_for_a_resource_a_group_or_everything() -> None:
    found = transformers(
        (["secrets"], [GCM_ONE]),
        (["deployments.apps", "*.example.com"], [GCM_TWO]),
        (["*.coordination.k8s.io"], [provider("aescbc", "three")]),
    )

    def writer(key: str) -> bytes:
        return b":".join(found.encode(key, b"{}").split(b":")[2:5])

    assert writer(KEY) == b"aesgcm:v1:one"
    assert writer("/registry/deployments/a/b") == writer("/registry/example.com/apples/a/b") == b"aesgcm:v1:two"
    assert writer("/registry/leases/a/b") == b"aescbc:v1:three"
    assert found.encode("/registry/configmaps/a/b", b"{}") == found.encode("/registry/example.org/x/y", b"{}") == b"{}"
    rest = transformers((["secrets"], [IDENTITY]), (["*.*"], [GCM_ONE]))
    assert rest.encode(KEY, b"{}") == b"{}" and rest.encode("/registry/example.org/x/y", b"{}") != b"{}"
    assert rest.encode("/registry/masterleases/10.0.0.1", b"{}") == b"{}", "what servers keep for themselves"
    core = transformers((["*."], [GCM_ONE]))
    assert core.encode(KEY, b"{}") != b"{}" and core.encode("/registry/deployments/a/b", b"{}") == b"{}"


# The file


GOOD = {"name": "k", "secret": base64.b64encode(b"x" * 32).decode()}


def with_key(**changes: Any) -> dict[str, Any]:
    return configuration((["secrets"], [{"aesgcm": {"keys": [{**GOOD, **changes}]}}]))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "this is no EncryptionConfiguration of apiserver.config.k8s.io/v1"),
        ([], "this is no EncryptionConfiguration"),
        ({**configuration(), "kind": "Pod"}, "this is no EncryptionConfiguration"),
        (configuration(), "resources: Required value: at least one resources is required"),
        ({**configuration(), "resources": "x"}, "resources: Invalid value"),
        ({**configuration(), "rules": []}, 'rules: Invalid value: "REDACTED": unknown field'),
        (configuration(([], [IDENTITY])), r"resources\[0\].resources: Required value"),
        (configuration((["secrets"], [])), r"resources\[0\].providers: Required value"),
        (configuration((["Secrets"], [IDENTITY])), "resource name should not contain capital letters"),
        (configuration((["*"], [IDENTITY])), r"use '\*.' to encrypt all the resources from core API group"),
        (configuration((["secrets.*"], [IDENTITY])), "encrypting the same resource across groups is not supported"),
        (configuration((["apiserveripinfo"], [IDENTITY])), "resources which do not have REST API/s cannot be encrypted"),
        (configuration((["*.events.k8s.io"], [IDENTITY])), "Use 'events' instead in the config file"),
        (configuration((["*.extensions"], [IDENTITY])), "'extensions' group has been removed"),
        (configuration((["secrets", "secrets"], [IDENTITY])), "the same resource cannot be specified multiple times"),
        (configuration((["secrets", "*."], [IDENTITY])), "using overlapping resources such as 'secrets' and"),
        (configuration((["a.b", "*.*"], [IDENTITY])), "using overlapping resources such as 'secrets' and"),
        (
            configuration((["*.*"], [IDENTITY]), (["secrets"], [IDENTITY])),
            r"'secrets' is masked by earlier rule '\*\.\*'",
        ),
        (configuration((["*."], [IDENTITY]), (["pods"], [IDENTITY])), r"resource 'pods' is masked by earlier rule '\*\.'"),
        (configuration((["secrets"], [{}])), "provider does not contain any of the expected providers"),
        (configuration((["secrets"], [{"identity": None}])), "provider does not contain any of the expected providers"),
        (configuration((["secrets"], [{**IDENTITY, **GCM_ONE}])), "more than one provider specified in a single element"),
        (configuration((["secrets"], [{"rot13": {}}])), r"resources\[0\].providers\[0\].rot13: .*unknown field"),
        (configuration((["secrets"], [{"kms": {"name": "x"}}])), "KMS plugins are not supported"),
        (configuration((["secrets"], [{"aesgcm": {}}])), r"providers\[0\].aesgcm.keys: Required value: at least one keys"),
        (configuration((["secrets"], [{"aesgcm": {"keys": "x"}}])), "must be an object with a list of keys"),
        (with_key(name=""), r"keys\[0\].name: Required value: name is a mandatory field for a key"),
        (with_key(secret=""), r"keys\[0\].secret: Required value: secret is a mandatory field for a key"),
        (with_key(secret="not base 64"), 'keys\\[0\\].secret: Invalid value: "REDACTED": secrets must be base64 encoded'),
        (with_key(secret="QUJD"), r"secret is not of the expected length, got 3, expected one of \[16 24 32\]"),
        (with_key(secret=5), "name and secret must be strings"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_and_no_key_is_shown(content: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as raised:
        config.parse(content)
    assert GOOD["secret"] not in str(raised.value)


def test_a_file_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "encryption.yaml"
    with pytest.raises(ConfigError, match=f"cannot read the encryption provider configuration {path}: No such file"):
        config.load(path)
    path.write_text("a: [")
    with pytest.raises(ConfigError, match=f"{path} is not YAML"):
        config.load(path)
    path.write_text("{}")
    with pytest.raises(ConfigError, match=f"{path}: this is no EncryptionConfiguration"):
        config.load(path)


def test_a_file_that_was_made_here_is_read(tmp_path: Path) -> None:
    path = tmp_path / "encryption.yaml"
    keys = [config.new_key("key-2"), config.new_key("key-1")]
    assert len({secret for _, secret in keys}) == 2
    path.write_text(config.generate(keys))
    (rule,) = config.load(path)
    assert rule.resources == (("", "secrets"),)
    assert [[(key.name, key.secret) for key in found] for found in rule.providers] == [keys, []]
