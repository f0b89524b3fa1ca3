"""`--datastore`: what is refused at once, and what a cluster remembers of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from navarch.cli import backup, up
from navarch.cli.cluster import Cluster, CommandError, Node, load
from navarch.cli.main import main
from navarch.cli.up import Options
from navarch.storage.etcd.config import EtcdConfig

CLUSTER = Cluster(nodes=(Node("a", "10.0.0.1"),))


@pytest.mark.parametrize("command", ["up", "server"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--datastore", "https://10.0.0.1:2379"], "must begin with etcd:// or, for TLS, etcds://"),
        (["--datastore", "etcd://10.0.0.1:port"], "is not HOST:PORT"),
        (
            ["--datastore", "etcds://10.0.0.1", "--datastore-cafile", "/nowhere/ca.crt"],
            "/nowhere/ca.crt cannot be used for etcd",
        ),
        (["--datastore-cafile", "ca.crt"], "go together with --datastore"),
    ],
)
def test_a_datastore_that_cannot_be_meant_is_refused_at_once(
    command: str, words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(CLUSTER, data_dir=tmp_path).save()
    assert main([command, "--data-dir", str(tmp_path), *words]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "datastore",
    [
        None,
        EtcdConfig(("10.0.0.1:2379", "[fd00::1]:2379")),
        EtcdConfig(("etcd:2379",), True, Path("/pki/ca.crt"), Path("/pki/etcd.crt"), Path("/pki/etcd.key")),
    ],
)
def test_a_cluster_remembers_its_datastore(datastore: EtcdConfig | None, tmp_path: Path) -> None:
    cluster = replace(CLUSTER, data_dir=tmp_path, datastore=datastore, leader_elect=datastore is None)
    cluster.save()
    assert load(tmp_path) == cluster
    assert cluster.elects_leader


def test_a_cluster_that_is_in_a_file_does_not_move_to_etcd(tmp_path: Path) -> None:
    replace(CLUSTER, data_dir=tmp_path).save()
    with pytest.raises(CommandError, match=r"are in .*navarch\.db, not in etcd"):
        up._decide(Options(tmp_path, datastore=EtcdConfig(("10.0.0.1:2379",))))


def test_backup_and_check_leave_etcd_to_its_own_tools(tmp_path: Path) -> None:
    replace(CLUSTER, data_dir=tmp_path, datastore=EtcdConfig(("10.0.0.1:2379",))).save()
    for command in (lambda: backup.backup(tmp_path, tmp_path / "saved"), lambda: backup.check(tmp_path)):
        with pytest.raises(CommandError, match=r"are in etcd://10\.0\.0\.1:2379: see to them with etcdctl"):
            command()


def test_a_cluster_in_etcd_follows_its_members(tmp_path: Path) -> None:
    replace(CLUSTER, data_dir=tmp_path, datastore=EtcdConfig(("10.0.0.1:2379",))).save()
    moved = EtcdConfig(("10.0.0.2:2379",))
    assert up._decide(Options(tmp_path, datastore=moved)).datastore == moved
    assert up._decide(Options(tmp_path)).datastore == EtcdConfig(("10.0.0.1:2379",))
