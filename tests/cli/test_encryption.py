"""Encryption at rest and the history's budget from the command line: what is refused, made, remembered and changed."""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from navarch.cli import backup, encryption, server, up
from navarch.cli.cluster import Cluster, CommandError, Node, load
from navarch.cli.main import main
from navarch.cli.storesettings import OWN_FILE, StoreSettings
from navarch.cli.up import Options
from navarch.component.pki import PKI
from navarch.storage import mvcc
from navarch.storage.encryption import reloading
from navarch.storage.encryption.config import ConfigError
from navarch.storage.etcd.config import EtcdConfig
from navarch.storage.history import Retention
from navarch.storage.store import LocalStore
from tests.storage.stores import encoder, opened, run, value_of

SECRETS, KEY = "/registry/secrets/", "/registry/secrets/default/a"
OWN = StoreSettings(encryption_file=OWN_FILE)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(tmp_path / "data", nodes=(Node("a", "10.0.0.1"),), store=OWN)
    found.data_dir.mkdir()
    found.save()
    PKI(found.pki_dir).ensure(())
    return found


def store(cluster: Cluster) -> LocalStore:
    found = server._store(cluster)
    assert isinstance(found, LocalStore)
    return found


def write(cluster: Cluster, *values: str) -> None:
    async def test() -> None:
        async with opened(store(cluster)) as db:
            for value in values:
                await db.put(SECRETS, KEY, encoder(value), db.latest(SECRETS, KEY))
            await db.compact()

    run(test)


def versions(cluster: Cluster) -> list[object]:
    found: list[object] = []

    async def test() -> None:
        async with opened(store(cluster)) as db:
            found.extend(value_of(version.record) for version in await db.versions(SECRETS, KEY))

    run(test)
    return found


@pytest.mark.parametrize("command", ["up", "server"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--encrypt-secrets", "--encryption-provider-config", "x"], "--encrypt-secrets makes a file of its own"),
        (
            ["--encryption-provider-config", "", "--encryption-provider-config-automatic-reload"],
            "--encryption-provider-config-automatic-reload must be set with --encryption-provider-config",
        ),
        (["--history-retention", "long"], "'long' is no time, such as 12h or 30d"),
        (["--history-max-bytes=-1"], "'-1' is no size, such as 256Mi"),
        (["--history-max-bytes", "much"], "'much' is no size, such as 256Mi"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(
    command: str, words: list[str], said: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--data-dir", str(cluster.data_dir), *words]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings",
    [
        StoreSettings(),
        OWN,
        StoreSettings("/etc/x.yaml", 3600, 1 << 20, True, True),
        StoreSettings("/etc/x.yaml", 0, 0, False, False),
    ],
)
def test_a_cluster_remembers_how_its_objects_are_kept(settings: StoreSettings, cluster: Cluster) -> None:
    replace(cluster, store=settings).save()
    found = load(cluster.data_dir)
    assert found is not None and found.store == settings
    assert up._decide(Options(cluster.data_dir)).store == settings
    changed = up._decide(Options(cluster.data_dir, store=StoreSettings(retention_seconds=7200))).store
    assert changed == replace(settings, retention_seconds=7200)
    plain = up._decide(Options(cluster.data_dir, store=StoreSettings(encryption_file=""))).store
    assert plain.encryption_file is None and plain.encryption_reload is None


def test_the_file_is_looked_after_only_where_that_was_asked_for(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "POLL_SECONDS", 0.001)
    encryption.ensure_file(cluster.data_dir)
    assert server._reloader(cluster) is None
    assert server._reloader(replace(cluster, store=StoreSettings(encryption_reload=True))) is None
    cluster = replace(cluster, store=replace(OWN, encryption_reload=True))
    made = cluster.data_dir / OWN_FILE

    async def test() -> None:
        reloader = server._reloader(cluster)
        async with opened(store(cluster)) as db, server._reloading(reloader, db):
            before = db._backend._transformers  # type: ignore[attr-defined]
            made.write_text(made.read_text() + "# changed\n")
            while db._backend._transformers is before:  # type: ignore[attr-defined]
                await asyncio.sleep(0.001)

    run(test)


def test_the_budget_of_the_history_is_what_was_asked_for() -> None:
    assert StoreSettings().retention == Retention()
    assert StoreSettings(retention_seconds=43200, max_bytes=1 << 28).retention == Retention(bytes=1 << 28, days=0.5)


def test_leases_are_durable_where_that_was_asked_for(cluster: Cluster) -> None:
    for settings, may_be_lazy in ((StoreSettings(), True), (StoreSettings(durable_leases=True), False)):
        db = store(replace(cluster, store=settings))
        assert db._may_be_lazy == may_be_lazy
        db._backend.close()


def test_the_budget_holds_in_the_store(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 0)
    cluster = replace(cluster, store=StoreSettings(max_bytes=2500))
    write(cluster, *(str(number) * 500 for number in range(9)))
    assert versions(cluster) == [str(number) * 500 for number in (5, 6, 7, 8)]
    for value in ("last", "very last"):
        write(replace(cluster, store=StoreSettings(retention_seconds=0)), value)
    # What was replaced just now goes with what is replaced next.
    assert versions(cluster) == ["last", "very last"]


def test_the_key_is_made_once_and_nobody_else_may_read_it(cluster: Cluster) -> None:
    assert encryption.ensure_file(cluster.data_dir)
    file = cluster.data_dir / OWN_FILE
    made = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert not encryption.ensure_file(cluster.data_dir) and file.read_bytes() == made


def test_a_new_key_takes_over_and_the_old_one_is_forgotten(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 0)
    encryption.ensure_file(cluster.data_dir)
    write(cluster, "one", "two")
    assert encryption.status(cluster.data_dir) == 0
    assert "secrets: stored as k8s:enc:aesgcm:v1:key-1:" in capsys.readouterr().out
    before = (cluster.data_dir / OWN_FILE).read_bytes()
    assert encryption.rotate(cluster.data_dir) == 0
    assert "encrypted is so with key-2 now" in capsys.readouterr().out
    assert b":key-1:" not in cluster.database.read_bytes() and b"key-1" not in (cluster.data_dir / OWN_FILE).read_bytes()
    assert versions(cluster) == ["one", "two"]
    (cluster.data_dir / OWN_FILE).write_bytes(before)
    # Somebody's copy of before: the next key would be of the same name, and is another one.
    with pytest.raises(CommandError, match=r"key-2.*message authentication failed; nothing was changed; both keys are in"):
        encryption.rotate(cluster.data_dir)
    kept = (cluster.data_dir / OWN_FILE).read_bytes()
    assert b"key-1" in kept and b"key-2" in kept


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"store": StoreSettings()}, "begin with: navarch up --encrypt-secrets"),
        ({"store": StoreSettings("mine.yaml")}, "is yours to change: put the new key first"),
        ({"datastore": EtcdConfig(("10.0.0.1:2379",))}, r"kubectl get secrets -A -o json \| kubectl replace -f -"),
    ],
)
def test_keys_of_others_are_theirs_to_change(changes: dict[str, object], said: str, cluster: Cluster) -> None:
    encryption.ensure_file(cluster.data_dir)
    (cluster.data_dir / "mine.yaml").write_bytes((cluster.data_dir / OWN_FILE).read_bytes())
    replace(cluster, **changes).save()  # type: ignore[arg-type]
    with pytest.raises(CommandError, match=said):
        encryption.rotate(cluster.data_dir)


def test_a_backup_holds_no_key_and_nothing_readable(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encryption.ensure_file(cluster.data_dir)
    write(cluster, "open-sesame")
    assert backup.check(cluster.data_dir) == 0
    assert backup.backup(cluster.data_dir, tmp_path / "saved") == 0
    assert f"needs {cluster.data_dir / OWN_FILE}, which is not in it" in capsys.readouterr().out
    with tarfile.open(tmp_path / "saved") as archive:
        assert OWN_FILE not in archive.getnames()
        archive.extractall(tmp_path / "opened")
    assert not any(b"open-sesame" in file.read_bytes() for file in (tmp_path / "opened").rglob("*") if file.is_file())
    other = tmp_path / "other"
    assert backup.restore(other, tmp_path / "saved") == 0
    assert f"put the file with the key to {other / OWN_FILE} before navarch up" in capsys.readouterr().out
    restored = load(other)
    assert restored is not None
    with pytest.raises(ConfigError, match="cannot read the encryption provider configuration"):
        store(restored)
    (other / OWN_FILE).write_bytes((cluster.data_dir / OWN_FILE).read_bytes())
    assert versions(restored) == ["open-sesame"]
