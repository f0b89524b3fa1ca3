"""The images that a cluster brings along: archives in one directory, imported by every node that lacks them.

The sandbox image is made when it is missing, the demo image as long as the machine has a static busybox. What a user loads or
builds comes beside them, so that nodes that are started later have it too. Next to each archive stands a note with the names
in it.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from navarch.cri.images import demo, pause
from navarch.cri.images.archive import take
from navarch.cri.images.oci import ImageConfig, Tree, write_archive

SUFFIX = ".tar"
NOTE_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Archive:
    """One file with one or more images."""

    path: Path
    references: tuple[str, ...]
    fingerprint: str
    """Another one means other content."""


class Library:
    """The archives in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def archives(self) -> list[Archive]:
        """All that are complete."""
        found = []
        for note in sorted(self.directory.glob(f"*{NOTE_SUFFIX}")):
            path = note.with_suffix(SUFFIX)
            try:
                content = json.loads(note.read_bytes())
                status = path.stat()
                fingerprint = f"{status.st_size}-{status.st_mtime_ns}"
                found.append(Archive(path, tuple(content["references"]), fingerprint))
            except (OSError, ValueError, KeyError):
                # Half-written by somebody who was interrupted.
                continue
        return found

    def ensure_builtin(self) -> list[str]:
        """Make the sandbox and demo images if they are missing or of another version; returns what was made."""
        self.directory.mkdir(parents=True, exist_ok=True)
        made = []
        program = hashlib.sha256(pause.executable(pause.architecture())).hexdigest()
        if not self._is_made_from(pause.REFERENCE, program):
            self._write(pause.REFERENCE, *pause.image(), made_from=program)
            made.append(pause.REFERENCE)
        busybox = demo.find_busybox()
        if busybox is not None:
            status = busybox.stat()
            origin = f"{busybox} {status.st_size} {status.st_mtime_ns}"
            if not self._is_made_from(demo.REFERENCE, origin):
                self._write(demo.REFERENCE, *demo.image(busybox), made_from=origin)
                made.append(demo.REFERENCE)
        return made

    def add(self, source: Path, *, tag: str = "") -> Archive:
        """Take an OCI layout or docker-archive in. Raises ImageError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.directory, prefix=".load-", delete=False) as scratch:
            partial = Path(scratch.name)
            try:
                names = take(source, scratch, tag=tag)
            except BaseException:
                partial.unlink()
                raise
        path = self._path(names[0])
        partial.replace(path)
        return self._note(path, {"references": names})

    def build(self, tree: Tree, config: ImageConfig, reference: str, *, compress: bool = False) -> Archive:
        """Make an image and take it in."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return self._write(reference, tree, config, compress=compress)

    def _write(
        self, reference: str, tree: Tree, config: ImageConfig, *, made_from: str = "", compress: bool = False
    ) -> Archive:
        path = self._path(reference)
        digest = write_archive(tree, config, reference, path, compress=compress)
        return self._note(path, {"references": [reference], "digest": digest, "made_from": made_from})

    def _note(self, path: Path, content: dict[str, Any]) -> Archive:
        note = path.with_suffix(NOTE_SUFFIX)
        partial = note.with_name(f".{note.name}.new")
        partial.write_text(json.dumps(content))
        partial.replace(note)
        return next(archive for archive in self.archives() if archive.path == path)

    def _is_made_from(self, reference: str, origin: str) -> bool:
        path = self._path(reference)
        try:
            return path.exists() and json.loads(path.with_suffix(NOTE_SUFFIX).read_bytes())["made_from"] == origin
        except (OSError, ValueError, KeyError):
            return False

    def _path(self, reference: str) -> Path:
        readable = re.sub(r"[^A-Za-z0-9.-]+", "_", reference)[:100]
        return self.directory / f"{readable}-{hashlib.sha256(reference.encode()).hexdigest()[:8]}{SUFFIX}"
