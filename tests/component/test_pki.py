from __future__ import annotations

import random
import socket
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from navarch.component import clock
from navarch.component.pki import LEAF_LIFETIME, PKI, RENEW_BEFORE, Leaf, PKIError, cluster_leaves, node_leaves

LEAVES = [*cluster_leaves(addresses=["10.96.0.1", "192.0.2.7"], host_names=["box"]), *node_leaves("node-1", ["10.89.0.11"])]


class At:
    """A clock that stands."""

    def __init__(self, moment: datetime) -> None:
        self.random = random.Random(1)
        self.moment = moment

    def time(self) -> float:
        return self.moment.timestamp()

    def monotonic(self) -> float:
        return self.moment.timestamp()


def load(pki: PKI, path: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pki.certificate(path).read_bytes())


@pytest.fixture
def pki(tmp_path: Path) -> PKI:
    pki = PKI(tmp_path / "pki")
    pki.ensure(LEAVES)
    return pki


def test_everything_is_made_once_and_found_again(pki: PKI) -> None:
    assert pki.ensure(LEAVES) == []


def test_the_api_server_certificate_names_every_way_to_reach_it(pki: PKI) -> None:
    names = load(pki, "apiserver").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"kubernetes", "kubernetes.default.svc.cluster.local", "localhost", "box"} <= set(
        names.get_values_for_type(x509.DNSName)
    )
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert {"127.0.0.1", "10.96.0.1", "192.0.2.7"} <= addresses


def test_clients_carry_user_and_group(pki: PKI) -> None:
    assert load(pki, "admin").subject.rfc4514_string() == "CN=kubernetes-admin,O=system:masters"
    assert load(pki, "nodes/node-1/client").subject.rfc4514_string() == "CN=system:node:node-1,O=system:nodes"


def test_files_are_private(pki: PKI) -> None:
    files = [path for path in pki.directory.rglob("*") if path.is_file()]
    assert len(files) > 12
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_second_start_does_not_load_cryptography(pki: PKI) -> None:
    program = (
        "import sys; from pathlib import Path; from navarch.component.pki import *; "
        f"made = PKI(Path({str(pki.directory)!r})).ensure([*cluster_leaves(addresses=['10.96.0.1', '192.0.2.7'], "
        "host_names=['box']), *node_leaves('node-1', ['10.89.0.11'])]); "
        "assert made == [], made; assert 'cryptography' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_other_names_get_a_new_certificate_and_only_that(pki: PKI) -> None:
    other = cluster_leaves(addresses=["10.96.0.1", "198.51.100.1"], host_names=["box"])
    assert pki.ensure(other) == ["apiserver"]


def test_a_certificate_is_renewed_before_its_end(pki: PKI) -> None:
    clock.use(At(datetime.now(UTC) + LEAF_LIFETIME - RENEW_BEFORE - timedelta(days=1)))
    try:
        assert pki.ensure(LEAVES) == []
        clock.use(At(datetime.now(UTC) + LEAF_LIFETIME - RENEW_BEFORE + timedelta(days=1)))
        assert sorted(pki.ensure(LEAVES)) == sorted(leaf.path for leaf in LEAVES)
    finally:
        clock.use(clock.SystemClock())


def test_an_expired_authority_is_told_not_replaced(pki: PKI) -> None:
    clock.use(At(datetime.now(UTC) + timedelta(days=4000)))
    try:
        with pytest.raises(PKIError, match="has expired"):
            pki.ensure(LEAVES)
    finally:
        clock.use(clock.SystemClock())


def test_a_lost_certificate_of_the_authority_comes_back_for_the_same_key(pki: PKI) -> None:
    before = load(pki, "ca").public_key()
    pki.certificate("ca").unlink()
    assert pki.ensure(LEAVES) == ["ca"]
    assert load(pki, "ca").public_key() == before


def test_another_authority_means_new_certificates(pki: PKI) -> None:
    pki.certificate("ca").unlink()
    pki.key("ca").unlink()
    made = pki.ensure(LEAVES)
    assert "ca" in made and "admin" in made and "front-proxy-client" not in made


def test_without_the_authority_key_what_is_there_still_serves(pki: PKI) -> None:
    pki.key("ca").unlink()
    assert pki.ensure(LEAVES) == []
    with pytest.raises(PKIError, match=r"ca\.key is missing"):
        pki.ensure([Leaf("new", "new")])


def test_without_the_ledger_the_certificates_are_read(pki: PKI) -> None:
    (pki.directory / "issued.json").write_text("{")
    assert pki.ensure(LEAVES) == []


def test_a_broken_certificate_is_named(pki: PKI) -> None:
    pki.certificate("admin").write_text("rubbish")
    with pytest.raises(PKIError, match=r"admin\.crt is not a certificate"):
        pki.ensure(LEAVES)


def test_client_and_server_trust_each_other(pki: PKI) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki.certificate("ca"))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(pki.certificate("apiserver"), pki.key("apiserver"))
    client = ssl.create_default_context(cafile=pki.certificate("ca"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
    ours, theirs = socket.socketpair()
    peers: list[object] = []

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True) as secured:
            peers.append(secured.getpeercert())
            secured.sendall(b"ok")

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(ours, server_hostname="10.96.0.1") as secured:
        assert secured.recv(2) == b"ok"
    thread.join()
    assert peers and "kubernetes-admin" in str(peers)
