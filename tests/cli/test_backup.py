"""Backups: everything is in them, nothing but a whole one is taken back, and what is there is not touched."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import orjson
import pytest

from navarch.cli import backup
from navarch.cli.cluster import Cluster, CommandError, load, plan_nodes
from navarch.component.pki import PKI
from tests.storage.test_sqlitefile import filled


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    found = Cluster(tmp_path / "one", tmp_path / "run", 7443, plan_nodes(2, "vm", ""))
    found.data_dir.mkdir()
    found.save()
    PKI(found.pki_dir).ensure(())
    filled(found.database).close()
    return found


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_cluster_comes_back_from_its_backup(cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, other = tmp_path / "backup", tmp_path / "two"
    assert backup.backup(cluster.data_dir, file) == 0
    assert "3 objects, revision 3" in capsys.readouterr().out
    assert file.stat().st_mode & 0o777 == 0o600
    assert backup.restore(other, file) == 0
    assert "Bring the cluster up with: navarch up" in capsys.readouterr().out
    restored = load(other)
    assert restored is not None and (restored.nodes, restored.port) == (cluster.nodes, cluster.port)
    assert contents(restored.pki_dir) == contents(cluster.pki_dir)
    assert {path.stat().st_mode & 0o777 for path in restored.pki_dir.glob("*.key")} == {0o600}
    assert backup.check(other) == 0
    assert sorted(path.name for path in other.iterdir()) == ["cluster.json", "navarch.db", "pki"]


def test_a_backup_is_not_written_over_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    backup.backup(cluster.data_dir, tmp_path / "backup")
    before = contents(cluster.data_dir)
    with pytest.raises(CommandError, match="there is a cluster"):
        backup.restore(cluster.data_dir, tmp_path / "backup")
    assert contents(cluster.data_dir) == before


def damaged(source: Path, target: Path, name: str, content: bytes | None) -> None:
    """A copy of a backup with another file in the place of one of its own, or without it."""
    with tarfile.open(source) as reading, tarfile.open(target, "w:gz") as writing:
        for entry in reading:
            held = reading.extractfile(entry)
            assert held is not None
            data: bytes | None = held.read()
            if entry.name == name:
                data = content
            if data is not None:
                entry.size = len(data)
                writing.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("navarch.db", b"nonsense", "navarch.db is damaged"),
        ("navarch.db", None, "navarch.db is missing"),
        ("pki/ca.key", b"", "pki/ca.key is damaged"),
        ("manifest.json", None, "is no backup of navarch"),
        ("manifest.json", b"{", "is no backup of navarch, or damaged"),
        ("manifest.json", orjson.dumps({"format": 99, "sha256": {}}), "has format 99"),
        ("manifest.json", orjson.dumps({"format": 1, "sha256": {"../evil": ""}}), "../evil is missing"),
    ],
)
def test_a_damaged_backup_is_refused_and_leaves_nothing(
    cluster: Cluster, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    backup.backup(cluster.data_dir, tmp_path / "backup")
    damaged(tmp_path / "backup", tmp_path / "damaged", name, content)
    with pytest.raises(CommandError) as refused:
        backup.restore(tmp_path / "two", tmp_path / "damaged")
    assert message in str(refused.value)
    assert list((tmp_path / "two").iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"\x1f\x8b\x08"])
def test_what_is_no_backup_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(CommandError):
        backup.restore(tmp_path / "two", tmp_path / "file")


def test_nothing_half_written_is_left(cluster: Cluster, tmp_path: Path) -> None:
    cluster.database.write_bytes(b"nonsense")
    with pytest.raises(CommandError, match=r"navarch\.db"):
        backup.backup(cluster.data_dir, tmp_path / "backup")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one"]
    with pytest.raises(CommandError, match="is a directory"):
        backup.backup(cluster.data_dir, tmp_path)
    with pytest.raises(CommandError, match="is not there"):
        backup.backup(cluster.data_dir, tmp_path / "no" / "backup")
