"""`navarch backup`, `restore` and `check`: the cluster's state as one file, and back.

A backup holds all API objects, certificates and keys, and what nodes there are: what is needed to bring the same cluster up
again on this or another machine. It is made while the cluster runs. It does not hold containers, images and volumes of nodes.
Keep it as safe as the cluster itself: it holds every secret; those that are encrypted at rest it holds so, without their key.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import orjson

from navarch import __version__
from navarch.cli.cluster import STATE_FILE, Cluster, CommandError, load, locked, require
from navarch.cli.down import running
from navarch.cli.storesettings import transformers
from navarch.component import clock
from navarch.storage import sqlitefile
from navarch.storage.backend import StorageError
from navarch.storage.encryption.config import ConfigError

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "navarch.db"
MEMBER_LIMIT_BYTES = 64 * 1024 * 1024 * 1024


def backup(data_dir: Path, target: Path) -> int:
    """Write everything into `target`, which appears only when it is complete."""
    cluster = require(data_dir)
    _refuse_etcd(cluster)
    if target.is_dir():
        raise CommandError(f"{target} is a directory; name a file")
    with tempfile.TemporaryDirectory(dir=_existing(target.parent), prefix=".navarch-backup-") as scratch:
        database = Path(scratch, DATABASE)
        try:
            found = sqlitefile.copy(cluster.database, database)
        except StorageError as error:
            raise CommandError(str(error)) from error
        files = {DATABASE: database, STATE_FILE: cluster.state_file}
        files |= {f"pki/{path.relative_to(cluster.pki_dir)}": path for path in sorted(_files(cluster.pki_dir))}
        manifest = {
            "format": FORMAT,
            "navarch": __version__,
            "created": clock.timestamp(),
            "revision": found.revision,
            "objects": found.objects,
            "sha256": {name: _digest(path) for name, path in files.items()},
        }
        archive = Path(scratch, "backup")
        _write(archive, manifest, files)
        archive.replace(target)
    size = target.stat().st_size
    print(f"{target}: {found.objects} objects, revision {found.revision}, {size / 1e6:.1f} MB")
    if cluster.store.encryption_file is not None:
        print(
            f"What is encrypted in it needs {cluster.data_dir / cluster.store.encryption_file}, which is not in it: keep both."
        )
    return 0


def _refuse_etcd(cluster: Cluster) -> None:
    if cluster.datastore is not None:
        raise CommandError(f"the cluster's objects are in {cluster.datastore.url}: see to them with etcdctl (snapshot save)")


def restore(data_dir: Path, source: Path) -> int:
    """Make the cluster of a backup the one under `data_dir`, where there must be none."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with locked(data_dir):
        if load(data_dir) is not None or (data_dir / DATABASE).exists():
            raise CommandError(f"there is a cluster in {data_dir} already; navarch reset deletes it")
        if running(Cluster(data_dir=data_dir)):
            raise CommandError(f"processes of {data_dir} are running; stop them with: navarch down")
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=".restore-") as scratch:
            manifest = _unpack(source, Path(scratch))
            problems = list(sqlitefile.check(Path(scratch, DATABASE)))
            if problems:
                raise CommandError(f"{source}: the database in it is damaged: {problems[0]}")
            sqlitefile.advance(Path(scratch, DATABASE))
            # The state file last: it is what says that there is a cluster.
            for name in ("pki", DATABASE, STATE_FILE):
                Path(scratch, name).replace(data_dir / name)
    restored = require(data_dir)
    key_file = restored.store.encryption_file
    if key_file is not None and not (data_dir / key_file).exists():
        print(f"Some of it is encrypted: put the file with the key to {data_dir / key_file} before navarch up.")
    print(f"{manifest['objects']} objects as of {manifest['created']}. Bring the cluster up with: navarch up")
    return 0


def check(data_dir: Path) -> int:
    """Go over the whole database, also while the cluster runs; exit code 1 if anything is wrong with it."""
    cluster = require(data_dir)
    _refuse_etcd(cluster)
    database = cluster.database
    try:
        problems = list(sqlitefile.check(database, transformers(cluster.store, data_dir)))
        found = sqlitefile.summary(database)
    except (StorageError, ConfigError) as error:
        raise CommandError(str(error)) from error
    for problem in problems:
        print(problem)
    if problems:
        print(f"{database} is damaged; bring the last backup back with: navarch restore")
        return 1
    print(f"{database}: {found.objects} objects, revision {found.revision}, {found.bytes / 1e6:.1f} MB: nothing is wrong")
    return 0


def _existing(directory: Path) -> Path:
    if not directory.is_dir():
        raise CommandError(f"{directory} is not there")
    return directory


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def _extract(archive: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    """One file below `target`. Raises TarError for a name that leads elsewhere.

    Python's own filters for that are younger than Debian 12's Python.
    """
    place = target / entry.name
    if not place.resolve().is_relative_to(target.resolve()):
        raise tarfile.TarError(f"{entry.name!r} is outside of it")
    place.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(entry)
    assert content is not None, "it is a file"
    with content, open(place, "xb", opener=lambda path, flags: os.open(path, flags, entry.mode & 0o755)) as file:
        shutil.copyfileobj(content, file)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(target: Path, manifest: dict[str, Any], files: dict[str, Path]) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as raw:
        with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as archive:
            content = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
            entry = tarfile.TarInfo(MANIFEST)
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
            for name, path in files.items():
                archive.add(path, name, recursive=False)
        raw.flush()
        os.fsync(raw.fileno())


def _unpack(source: Path, target: Path) -> dict[str, Any]:
    """The files of a backup below `target`, each checked. Raises CommandError for what is no whole backup."""
    try:
        with tarfile.open(source, "r:gz") as archive:
            first = archive.next()
            content = archive.extractfile(first) if first is not None and first.name == MANIFEST else None
            if content is None:
                raise CommandError(f"{source} is no backup of navarch")
            manifest: dict[str, Any] = orjson.loads(content.read())
            if manifest["format"] > FORMAT:
                raise CommandError(f"{source} has format {manifest['format']}, this navarch reads up to {FORMAT}")
            wanted = dict(manifest["sha256"])
            for entry in archive:
                if entry.name in wanted and entry.isfile() and entry.size <= MEMBER_LIMIT_BYTES:
                    _extract(archive, entry, target)
                    if _digest(target / entry.name) != wanted.pop(entry.name):
                        raise CommandError(f"{source}: {entry.name} is damaged")
            if wanted:
                raise CommandError(f"{source}: {', '.join(sorted(wanted))} is missing")
    except FileNotFoundError as error:
        raise CommandError(f"{source} is not there") from error
    except (tarfile.TarError, EOFError, OSError, KeyError, TypeError, orjson.JSONDecodeError) as error:
        raise CommandError(f"{source} is no backup of navarch, or damaged: {error}") from error
    return manifest
