"""Build container images (OCI image-spec 1.0) of one layer, reproducibly, as an archive that any container runtime imports.

- Equal content gives an equal image, byte for byte: entries are sorted and carry no time.
- Nothing is held in memory but names: files stream from where they are into the archive.
- A layer is plain tar unless compression is asked for: the image goes to a runtime on this machine.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
# Which name an image takes when it is imported: containerd's annotation first, then the specification's.
NAME_ANNOTATION = "io.containerd.image.name"
REFERENCE_ANNOTATION = "org.opencontainers.image.ref.name"

COPY_CHUNK_BYTES = 1024 * 1024
FILE_CAPABILITIES = "security.capability"
# A fixed moment, so that building again gives the same image.
EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """How containers of an image run unless a pod says otherwise."""

    architecture: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    working_directory: str = "/"
    user: str = ""
    exposed_ports: tuple[str, ...] = ()

    def to_json(self, diff_ids: Iterable[str]) -> dict[str, Any]:
        """The image's configuration, over layers of these uncompressed digests."""
        config: dict[str, Any] = {"Env": list(self.environment), "WorkingDir": self.working_directory}
        if self.entrypoint:
            config["Entrypoint"] = list(self.entrypoint)
        if self.command:
            config["Cmd"] = list(self.command)
        if self.user:
            config["User"] = self.user
        if self.exposed_ports:
            config["ExposedPorts"] = {port: {} for port in self.exposed_ports}
        return {
            "architecture": self.architecture,
            "os": "linux",
            "created": EPOCH,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
            "history": [{"created": EPOCH, "created_by": "navarch image build"}],
        }


class Tree:
    """The files of an image's layer: made one by one, or taken from a directory."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[tarfile.TarInfo, bytes | Path | None]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def directory(self, name: str, mode: int = 0o755) -> None:
        self._add(_entry(name, tarfile.DIRTYPE, mode), None)

    def file(self, name: str, content: bytes | Path, mode: int = 0o644) -> None:
        """A file with `content`, or with that of a file on this machine."""
        entry = _entry(name, tarfile.REGTYPE, mode)
        entry.size = content.stat().st_size if isinstance(content, Path) else len(content)
        self._add(entry, content)

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        entry = _entry(name, tarfile.SYMTYPE, 0o777)
        entry.linkname = target
        self._add(entry, None)

    def add_directory(self, root: Path) -> None:
        """Everything under `root`, with owners, modes, links and file capabilities; sockets are left out."""
        linked: dict[tuple[int, int], str] = {}
        pending = [root]
        while pending:
            for found in sorted(os.scandir(pending.pop()), key=lambda entry: entry.name):
                path = Path(found.path)
                name = str(path.relative_to(root))
                status = found.stat(follow_symlinks=False)
                if stat.S_ISSOCK(status.st_mode):
                    continue
                entry = _entry(name, tarfile.REGTYPE, stat.S_IMODE(status.st_mode))
                entry.uid, entry.gid = status.st_uid, status.st_gid
                content: Path | None = None
                identity = (status.st_dev, status.st_ino)
                if stat.S_ISDIR(status.st_mode):
                    entry.type = tarfile.DIRTYPE
                    pending.append(path)
                elif identity in linked:
                    entry.type, entry.linkname = tarfile.LNKTYPE, linked[identity]
                elif stat.S_ISLNK(status.st_mode):
                    entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
                elif stat.S_ISREG(status.st_mode):
                    entry.size, content = status.st_size, path
                    if status.st_nlink > 1:
                        linked[identity] = name
                    _keep_capabilities(entry, path)
                else:
                    kinds = {stat.S_IFIFO: tarfile.FIFOTYPE, stat.S_IFCHR: tarfile.CHRTYPE, stat.S_IFBLK: tarfile.BLKTYPE}
                    entry.type = kinds[stat.S_IFMT(status.st_mode)]
                    entry.devmajor, entry.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
                self._add(entry, content)

    def write(self, stream: IO[bytes]) -> None:
        """The layer, as an uncompressed tar."""
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            # A hard link must come after what it points to: links last, the rest by name.
            for _, (entry, content) in sorted(self._entries.items(), key=lambda item: (item[1][0].islnk(), item[0])):
                if isinstance(content, Path):
                    with content.open("rb") as source:
                        archive.addfile(entry, source)
                else:
                    archive.addfile(entry, io.BytesIO(content) if content is not None else None)

    def _add(self, entry: tarfile.TarInfo, content: bytes | Path | None) -> None:
        self._entries[entry.name] = (entry, content)


def write_archive(tree: Tree, config: ImageConfig, reference: str, destination: Path, *, compress: bool = False) -> str:
    """Write an image named `reference` as an archive with an OCI layout; returns the manifest's digest.

    `destination` appears whole or not at all.
    """
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=f".{destination.name}-") as scratch:
        layer_file = Path(scratch, "layer")
        diff_id = _write_layer(tree, layer_file, compress=compress)
        layer = _file_descriptor(LAYER_TYPE + ("+gzip" if compress else ""), layer_file)
        config_blob = _encode(config.to_json([diff_id]))
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, config_blob),
            "layers": [layer],
        }
        manifest_blob = _encode(manifest)
        platform = {"architecture": config.architecture, "os": "linux"}
        names = {NAME_ANNOTATION: reference, REFERENCE_ANNOTATION: reference}
        described = {**_descriptor(MANIFEST_TYPE, manifest_blob), "platform": platform, "annotations": names}
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [described]}
        archive_file = Path(scratch, "archive")
        with tarfile.open(archive_file, "w", format=tarfile.PAX_FORMAT) as archive:
            _add_bytes(archive, "oci-layout", _encode({"imageLayoutVersion": "1.0.0"}))
            _add_bytes(archive, "index.json", _encode(index))
            for blob in (config_blob, manifest_blob):
                _add_bytes(archive, _blob_path(_digest(blob)), blob)
            entry = _entry(_blob_path(layer["digest"]), tarfile.REGTYPE, 0o644)
            entry.size = layer["size"]
            with layer_file.open("rb") as source:
                archive.addfile(entry, source)
        archive_file.replace(destination)
    return _digest(manifest_blob)


def _write_layer(tree: Tree, file: Path, *, compress: bool) -> str:
    """Write the layer and return the digest of its uncompressed form."""
    with file.open("wb") as stream:
        if not compress:
            tree.write(stream)
        else:
            plain = _Digesting(gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0))
            tree.write(plain)  # type: ignore[arg-type]
            plain.close()
            return plain.digest
    return _file_digest(file)


class _Digesting:
    """A binary stream that digests what is written through it."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._position = 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self._position += len(data)
        return self._stream.write(data)

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        self._stream.close()


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name.strip("/"))
    entry.type, entry.mode = kind, mode
    return entry


def _keep_capabilities(entry: tarfile.TarInfo, path: Path) -> None:
    try:
        value = os.getxattr(path, FILE_CAPABILITIES, follow_symlinks=False)
    except OSError:
        return
    entry.pax_headers = {f"SCHILY.xattr.{FILE_CAPABILITIES}": value.decode("utf-8", "surrogateescape")}


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = _entry(name, tarfile.REGTYPE, 0o644)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _encode(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _file_descriptor(media_type: str, file: Path) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _file_digest(file), "size": file.stat().st_size}


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
