"""`--datastore`: what is understood, and what is said of what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.component.pki import PKI
from navarch.storage.etcd.config import EtcdConfig, parse


@pytest.mark.parametrize(
    ("url", "endpoints", "tls"),
    [
        ("etcd://127.0.0.1:2379", ["127.0.0.1:2379"], False),
        ("etcd://10.0.0.1,10.0.0.2:4001/", ["10.0.0.1:2379", "10.0.0.2:4001"], False),
        ("etcds://etcd-0.example.com:2379,[fd00::1]:02379", ["etcd-0.example.com:2379", "[fd00::1]:2379"], True),
    ],
)
def test_endpoints_are_read(url: str, endpoints: list[str], tls: bool) -> None:
    found = parse(url)
    assert found == EtcdConfig(tuple(endpoints), tls)
    assert parse(found.url) == found


@pytest.mark.parametrize(
    "url",
    ["", "etcd", "127.0.0.1:2379", "https://127.0.0.1:2379", "sqlite:///a.db", "etcd+srv://example.com", "ETCD://a"],
)
def test_what_is_no_url_of_etcd_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValueError, match=r"must begin with etcd:// or, for TLS, etcds://, such as"):
        parse(url)


@pytest.mark.parametrize(
    "rest",
    ["", "/", "a,,b", "a:0", "a:65536", "a:x", "a:-1", "a/registry", "user:secret@a", "a?x=1", "::1", "a b", "a\n", "ü"],
)
def test_what_is_no_endpoint_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"is not HOST:PORT, such as"):
        parse(f"etcd://{rest}")


def test_an_endpoint_stands_there_once() -> None:
    with pytest.raises(ValueError, match="names an endpoint twice"):
        parse("etcd://a,b,a:2379")


def test_certificates_are_looked_at_at_once(tmp_path: Path) -> None:
    pki = PKI(tmp_path)
    pki.ensure(())
    ca, key, missing, wrong = pki.certificate("ca"), pki.key("ca"), tmp_path / "missing", tmp_path / "wrong"
    wrong.write_text("no certificate")
    found = parse("etcds://a", ca, ca, key)
    assert (found.ca_file, found.certificate_file, found.key_file) == (ca, ca, key)
    for files, said in (
        ((missing,), "missing cannot be used for etcd: No such file"),
        ((wrong,), "wrong cannot be used for etcd"),
        ((ca, ca, pki.service_account_key), "cannot be used for etcd"),
        ((ca, ca), "goes together with its key"),
        ((None, None, key), "goes together with its key"),
    ):
        with pytest.raises(ValueError, match=said):
            parse("etcds://a", *files)
    with pytest.raises(ValueError, match="say etcds:// instead of etcd://"):
        parse("etcd://a", ca)
