"""`navarch encryption`: the key file that `--encrypt-secrets` makes, and how its key is changed.

The file is an ordinary EncryptionConfiguration. It never goes into a backup, which it would open.
"""

from __future__ import annotations

import os
from pathlib import Path

from navarch.cli.cluster import Cluster, CommandError, locked, require
from navarch.cli.storesettings import OWN_FILE, transformers
from navarch.storage.backend import StorageError
from navarch.storage.encryption import config
from navarch.storage.encryption.config import ConfigError
from navarch.storage.encryption.transformers import Rule

FIRST_KEY = "key-1"


def ensure_file(data_dir: Path) -> bool:
    """Make the key file, unless it is there; whether it was made."""
    file = data_dir / OWN_FILE
    if file.exists():
        return False
    _write(file, [config.new_key(FIRST_KEY)], ("secrets",))
    return True


def status(data_dir: Path) -> int:
    """Print what is encrypted, and how."""
    cluster = require(data_dir)
    file = cluster.store.encryption_file
    if file is None:
        print("Nothing is encrypted at rest. For Secrets: navarch up --encrypt-secrets")
        return 0
    print(f"As {data_dir / file} says:")
    for rule in _load(data_dir / file):
        named = ", ".join(f"{resource}.{group}" if group or resource == "*" else resource for group, resource in rule.resources)
        writer, *others = [key.prefix.decode() for provider in rule.providers for key in provider] or [""]
        if not rule.providers[0]:
            print(f"  {named}: stored as they are" + (f"; read also: {', '.join([writer, *others])}" if writer else ""))
        else:
            print(f"  {named}: stored as {writer}" + (f"; read also: {', '.join(others)}" if others else ""))
    return 0


def rotate(data_dir: Path) -> int:
    """Store everything by a new key, earlier versions too, and forget the old one. The API is away for some seconds."""
    from navarch.cli import down
    from navarch.cli.up import Options, up
    from navarch.component import processes

    with locked(data_dir):
        cluster = require(data_dir)
        rule = _own_rule(cluster)
        # Before anything is stopped.
        transformers(cluster.store, data_dir)
        is_running = processes.read(cluster.server_pid_file) is not None
        if is_running:
            down.stop_server(cluster)
        try:
            name = _store_anew(cluster, rule)
        except StorageError as error:
            raise CommandError(f"{error}; both keys are in {data_dir / OWN_FILE}: navarch up") from error
    print(f"What is encrypted is so with {name} now, earlier versions too. Backups from before need the old key.")
    return up(Options(data_dir)) if is_running else 0


def _store_anew(cluster: Cluster, rule: Rule) -> str:
    """The new key's name. Raises StorageError."""
    from navarch.storage.sqlite import SQLiteBackend

    file = cluster.data_dir / OWN_FILE
    resources = tuple(f"{resource}.{group}" if group or resource == "*" else resource for group, resource in rule.resources)
    old = [(key.name, key.secret) for key in rule.providers[0]]
    new = config.new_key(_next_name([name for name, _ in old]))
    _write(file, [new, *old], resources)
    if cluster.database.exists():
        SQLiteBackend(cluster.database, cluster.store.retention, transformers(cluster.store, cluster.data_dir)).close()
    _write(file, [new], resources)
    return new[0]


def _own_rule(cluster: Cluster) -> Rule:
    """What is in the file that was made here. Raises CommandError where it was not."""
    if cluster.datastore is not None:
        raise CommandError(
            "the objects are in etcd, which other servers use too: put a new key first into the file of each, restart them "
            "(navarch down, navarch up), then write everything anew: kubectl get secrets -A -o json | kubectl replace -f -"
        )
    file = cluster.store.encryption_file
    if file is None:
        raise CommandError("nothing is encrypted at rest; begin with: navarch up --encrypt-secrets")
    path = cluster.data_dir / file
    rules = _load(path)
    if (
        file != OWN_FILE
        or len(rules) != 1
        or [[key.provider for key in found][:1] for found in rules[0].providers] != [["aesgcm"], []]
    ):
        raise CommandError(
            f"{path} is yours to change: put the new key first, then navarch down and navarch up; everything is stored anew by "
            "that start, and the old key can go"
        )
    return rules[0]


def _next_name(names: list[str]) -> str:
    number = 1 + max((int(name[4:]) for name in names if name.startswith("key-") and name[4:].isdigit()), default=0)
    return f"key-{number}"


def _load(path: Path) -> list[Rule]:
    try:
        return config.load(path)
    except ConfigError as error:
        raise CommandError(str(error)) from error


def _write(file: Path, keys: list[tuple[str, bytes]], resources: tuple[str, ...]) -> None:
    """In one step, and on the disk before anything depends on it."""
    scratch = file.with_suffix(".new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(config.generate(keys, resources))
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(file)
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
