"""Files of a volume that change all at once: readers see the old set or the new one, never a mixture.

Layout, as Kubernetes': data is written to a new directory ``..<time>.<random>``, the link ``..data`` is then renamed to it,
and each name a user sees is a link into ``..data`` made once.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from navarch.component import clock

DATA = "..data"
NEW_DATA = "..data_tmp"


@dataclass(frozen=True, slots=True)
class Projection:
    """One file: content, mode, and its owner where that is not root."""

    content: bytes
    mode: int
    uid: int | None = None


class UnsafePath(ValueError):
    """A path that would lead out of its volume."""


def check_path(path: str) -> None:
    """Raises UnsafePath."""
    parts = path.split("/")
    if not path or path.startswith(("/", "..")) or ".." in parts:
        raise UnsafePath(f"invalid path: {path!r}")


def write(target: Path, files: Mapping[str, Projection], gid: int | None = None) -> bool:
    """Make `target` show exactly `files` (relative path -> content); True if anything changed."""
    for path in files:
        check_path(path)
    data = target / DATA
    current = data.readlink().name if data.is_symlink() else ""
    if current and _same(target / current, files):
        return False
    stamp = clock.now().strftime("..%Y_%m_%d_%H_%M_%S.") + clock.name_suffix(10)
    fresh = target / stamp
    fresh.mkdir(mode=0o755)
    fresh.chmod(0o755)
    try:
        for path, projection in files.items():
            _write_file(fresh, path, projection, gid)
    except OSError:
        # It is tried again soon, and each time with another name.
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    link = target / NEW_DATA
    link.unlink(missing_ok=True)
    link.symlink_to(stamp)
    link.rename(data)
    _link_names(target, files)
    for entry in target.iterdir():
        # The former data, and what a writer that was interrupted left.
        if entry.name.startswith("..") and entry.name not in (DATA, stamp):
            shutil.rmtree(entry, ignore_errors=True)
    return True


def _write_file(root: Path, path: str, projection: Projection, gid: int | None) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(projection.content)
    file.chmod(projection.mode)
    if projection.uid is not None or gid is not None:
        os.chown(file, -1 if projection.uid is None else projection.uid, -1 if gid is None else gid)
    if gid is not None:
        for parent in [file.parent, *file.parent.parents]:
            os.chown(parent, -1, gid)
            if parent == root:
                break


def _link_names(target: Path, files: Mapping[str, Projection]) -> None:
    """A link for each top-level name, and none for names that are gone."""
    names = {path.split("/", 1)[0] for path in files}
    for entry in target.iterdir():
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        link = target / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")


def _same(directory: Path, files: Mapping[str, Projection]) -> bool:
    present = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
    if present.keys() != files.keys():
        return False
    for path, projection in files.items():
        file = present[path]
        if file.stat().st_mode & 0o777 != projection.mode or file.read_bytes() != projection.content:
            return False
    return True
