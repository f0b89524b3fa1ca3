"""What the server of a cluster is started with, and what it tells its parts."""

from __future__ import annotations

from pathlib import Path

from navarch.apiserver.admission.podsecurity.configuration import PodSecurityConfiguration
from navarch.cli.cluster import Cluster, plan_nodes
from navarch.cli.server import _config, controller_config
from navarch.component.pki import PKI

ADMISSION = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    exemptions: {usernames: [alice]}
"""


def test_what_pods_are_asked_for_comes_from_the_clusters_file(tmp_path: Path) -> None:
    file = tmp_path / "admission.yaml"
    file.write_text(ADMISSION)
    cluster = Cluster(tmp_path, nodes=plan_nodes(2, "vm", ""), admission_config=file)
    expected = PodSecurityConfiguration(exempt_usernames=frozenset({"alice"}))
    assert _config(cluster).pod_security == expected
    # What is written comes to the leader, which has read it.
    assert _config(cluster, leader=tmp_path).pod_security == PodSecurityConfiguration()


def test_controllers_sign_with_the_authority_of_the_servers_clients(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, nodes=plan_nodes(1, "vm", "192.0.2.2"))
    pki = PKI(cluster.pki_dir)
    pki.ensure([])
    config = controller_config(cluster)
    assert (config.signing_certificate_file, config.signing_key_file) == (pki.certificate("ca"), pki.key("ca"))
    assert config.root_ca_pem == pki.certificate("ca").read_text()
