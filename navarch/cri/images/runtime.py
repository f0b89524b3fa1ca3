"""Bring archives of images into a node's containerd with its own client, `ctr`, and see what is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from navarch.cri.containerd import NAMESPACE, ContainerdConfig, RuntimeFailure, find_program
from navarch.cri.images.library import Archive

IMPORT_TIMEOUT_SECONDS = 600.0
LIST_TIMEOUT_SECONDS = 30.0
# Beside containerd's metadata, so that whoever removes that removes this.
IMPORTED_NOTE = "imported.json"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One name in a node's containerd."""

    reference: str
    digest: str
    size: str


class NodeImages:
    """The images of one node."""

    def __init__(self, config: ContainerdConfig) -> None:
        self._config = config

    async def stored(self) -> list[StoredImage]:
        """What is there, under names that people gave."""
        output = await self._ctr("images", "ls", timeout_seconds=LIST_TIMEOUT_SECONDS)
        images = []
        for line in output.splitlines()[1:]:
            reference, _, digest, size, unit, *_ = line.split()
            if not reference.startswith("sha256:") and "@sha256:" not in reference:
                images.append(StoredImage(reference, digest, f"{size} {unit}"))
        return images

    async def ensure(self, archives: Iterable[Archive]) -> list[str]:
        """Import what is missing or has changed; returns the names that were imported."""
        present = {image.reference for image in await self.stored()}
        imported = self._imported()
        done: list[str] = []
        for archive in archives:
            if imported.get(archive.path.name) != archive.fingerprint or not present.issuperset(archive.references):
                await self.load(archive)
                done += archive.references
        return done

    async def load(self, archive: Archive) -> None:
        """Import an archive."""
        command = ("images", "import", "--snapshotter", self._config.snapshotter, str(archive.path))
        await self._ctr(*command, timeout_seconds=IMPORT_TIMEOUT_SECONDS)
        note = self._note
        note.write_text(json.dumps({**self._imported(), archive.path.name: archive.fingerprint}))

    @property
    def _note(self) -> Path:
        return self._config.root / IMPORTED_NOTE

    def _imported(self) -> dict[str, str]:
        try:
            content = json.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    async def _ctr(self, *arguments: str, timeout_seconds: float) -> str:
        program = find_program("ctr")
        if program is None:
            raise RuntimeFailure("ctr is not installed: apt-get install containerd")
        process = await asyncio.create_subprocess_exec(
            program,
            "--address",
            str(self._config.socket),
            "--namespace",
            NAMESPACE,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                output, errors = await process.communicate()
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        if process.returncode:
            raise RuntimeFailure(f"ctr {' '.join(arguments)} failed: {errors.decode(errors='replace').strip()}")
        return output.decode()
