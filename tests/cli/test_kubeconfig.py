from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from navarch.cli import kubeconfig
from navarch.cli.cluster import Cluster, CommandError, plan_nodes
from navarch.client.http import from_kubeconfig
from navarch.component.pki import PKI, cluster_leaves

OTHERS = """\
apiVersion: v1
kind: Config
preferences: {colors: true}
clusters:
- name: work
  cluster: {server: "https://example.com", insecure-skip-tls-verify: true}
- name: navarch
  cluster: {server: "https://old"}
users:
- name: work
  user:
    exec: {command: helper, env: null}
    token: 0123
    expiry: 2020-01-01T00:00:00Z
contexts:
- name: work
  context: {cluster: work, user: work, namespace: "on"}
current-context: work
extensions:
- name: ours
  extension: {since: 2021-02-03}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    cluster = Cluster(data_dir=tmp_path / "data", nodes=plan_nodes(1, "vm", "192.0.2.2"))
    PKI(cluster.pki_dir).ensure(cluster_leaves(addresses=[], host_names=[]))
    kubeconfig.write(cluster)
    return cluster


def test_it_is_private_and_usable(cluster: Cluster) -> None:
    assert stat.S_IMODE(cluster.kubeconfig.stat().st_mode) == 0o600
    transport = from_kubeconfig(cluster.kubeconfig)
    transport.http.close()


def test_it_is_written_again_only_when_it_changes(cluster: Cluster) -> None:
    assert not kubeconfig.write(cluster)
    cluster.kubeconfig.write_text("")
    assert kubeconfig.write(cluster)


def test_merging_keeps_everything_else(cluster: Cluster, tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text(OTHERS)
    target.chmod(0o640)
    kubeconfig.merge(cluster, target)
    result = yaml.load(target.read_text(), yaml.BaseLoader)
    before = yaml.load(OTHERS, yaml.BaseLoader)
    assert result["current-context"] == "navarch"
    assert [entry["name"] for entry in result["clusters"]] == ["work", "navarch"]
    assert result["clusters"][1]["cluster"]["server"] == "https://127.0.0.1:6443"
    assert result["clusters"][0] == before["clusters"][0]
    assert result["users"][0]["user"]["expiry"] == "2020-01-01T00:00:00Z"
    assert result["contexts"][0] == before["contexts"][0]
    assert result["extensions"] == before["extensions"]
    assert result["preferences"] == before["preferences"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert not target.with_name("config.lock").exists()


def test_booleans_and_texts_keep_their_types(cluster: Cluster, tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text(OTHERS)
    kubeconfig.merge(cluster, target)
    result = yaml.safe_load(target.read_text())
    assert result["clusters"][0]["cluster"]["insecure-skip-tls-verify"] is True
    assert result["contexts"][0]["context"]["namespace"] == "on"


def test_merging_makes_a_file_that_is_not_there(cluster: Cluster, tmp_path: Path) -> None:
    target = tmp_path / "home" / ".kube" / "config"
    kubeconfig.merge(cluster, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert yaml.safe_load(target.read_text())["current-context"] == "navarch"


def test_merging_goes_through_a_link(cluster: Cluster, tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "config"
    real.write_text(OTHERS)
    link.symlink_to(real)
    kubeconfig.merge(cluster, link)
    assert link.is_symlink()
    assert "navarch" in real.read_text()


@pytest.mark.parametrize("content", ["a: [", "- list", "text"])
def test_a_file_that_is_no_kubeconfig_is_left_alone(cluster: Cluster, tmp_path: Path, content: str) -> None:
    target = tmp_path / "config"
    target.write_text(content)
    with pytest.raises(CommandError, match="nothing was merged"):
        kubeconfig.merge(cluster, target)
    assert target.read_text() == content
    assert not target.with_name("config.lock").exists()


def test_kubectls_lock_is_respected(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "config.lock").touch()
    with pytest.raises(CommandError, match="being written"):
        kubeconfig.merge(cluster, tmp_path / "config")


def test_removing_takes_back_what_was_merged(cluster: Cluster, tmp_path: Path) -> None:
    target = tmp_path / "config"
    assert not kubeconfig.remove(target)
    target.write_text(OTHERS)
    kubeconfig.merge(cluster, target)
    assert kubeconfig.remove(target)
    result = yaml.safe_load(target.read_text())
    assert [entry["name"] for entry in result["clusters"]] == ["work"]
    assert result["current-context"] == ""
    assert not kubeconfig.remove(target)


def test_the_users_file_is_the_one_kubectl_writes_to(tmp_path: Path) -> None:
    assert kubeconfig.users_file({}, tmp_path) == tmp_path / ".kube" / "config"
    assert kubeconfig.users_file({"KUBECONFIG": ":/a:/b"}, tmp_path) == Path("/a")
