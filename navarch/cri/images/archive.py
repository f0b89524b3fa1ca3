"""Images as other tools write them: recognise an OCI layout or a docker-archive, and give its images full names.

What comes out is an archive that every node's runtime can import as it is, with no name left to guess.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from navarch.cri.images.oci import NAME_ANNOTATION, REFERENCE_ANNOTATION
from navarch.cri.images.reference import normalize

OCI_INDEX = "index.json"
OCI_MARK = "oci-layout"
DOCKER_MANIFEST = "manifest.json"
# An index of names; anything larger is something else.
INDEX_LIMIT_BYTES = 4 * 1024 * 1024


class ImageError(Exception):
    """A file or directory that is no image, or one without a name; the message says what to do."""


def is_layout(path: Path) -> bool:
    """Whether `path` is a directory with an OCI layout."""
    return (path / OCI_MARK).is_file() and (path / OCI_INDEX).is_file()


def take(source: Path, destination: IO[bytes], *, tag: str = "") -> list[str]:
    """Copy the images in `source` into an archive with full names, and return these; `tag` names the only image anew."""
    if source.is_dir():
        if not is_layout(source):
            raise ImageError(f"{source} is no OCI layout; make an image from a plain directory with: navarch image build")
        members = _directory_members(source)
        return _copy(source, members, destination, tag)
    try:
        with _opened(source) as archive:
            return _copy(source, archive, destination, tag)
    except tarfile.TarError as error:
        raise ImageError(f"{source} is neither an OCI layout nor a docker-archive: {error}") from error


class _Directory:
    """A directory with the two methods of an archive that are needed here."""

    def __init__(self, root: Path, names: list[str]) -> None:
        self._root = root
        self._names = names

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        for name in self._names:
            entry = tarfile.TarInfo(name)
            entry.size = (self._root / name).stat().st_size
            yield entry

    def extractfile(self, member: tarfile.TarInfo) -> IO[bytes] | None:
        return (self._root / member.name).open("rb")


def _directory_members(root: Path) -> _Directory:
    names = sorted(str(Path(folder, name).relative_to(root)) for folder, _, files in os.walk(root) for name in files)
    return _Directory(root, names)


@contextmanager
def _opened(source: Path) -> Iterator[tarfile.TarFile]:
    with tarfile.open(source, "r:*") as archive:
        yield archive


def _copy(source: Path, archive: tarfile.TarFile | _Directory, destination: IO[bytes], tag: str) -> list[str]:
    indices = {_name(entry): entry for entry in archive if _name(entry) in (OCI_INDEX, DOCKER_MANIFEST)}
    if not indices:
        raise ImageError(
            f"{source} is neither an OCI layout nor a docker-archive: it has no {OCI_INDEX} and no {DOCKER_MANIFEST}"
        )
    replaced: dict[str, bytes] = {}
    names: list[str] = []
    # An archive with both is an OCI layout, for containerd as for us.
    for file, rename in ((DOCKER_MANIFEST, rename_docker), (OCI_INDEX, rename_oci)):
        if file in indices:
            content, names = rename(_read_json(source, archive, indices[file]), source, tag)
            replaced[file] = json.dumps(content, separators=(",", ":")).encode()
    with tarfile.open(fileobj=destination, mode="w", format=tarfile.PAX_FORMAT) as out:
        for entry in archive:
            name = _name(entry)
            if name in replaced:
                fresh = tarfile.TarInfo(name)
                fresh.size = len(replaced[name])
                out.addfile(fresh, io.BytesIO(replaced[name]))
            elif entry.isreg():
                with _content(archive, entry) as stream:
                    out.addfile(entry, stream)
            else:
                out.addfile(entry)
    return names


def rename_oci(index: Any, source: Path, tag: str) -> tuple[Any, list[str]]:
    """An OCI index with the full names of its images, and these. Raises ImageError."""
    manifests = index.get("manifests") if isinstance(index, dict) else None
    if not manifests:
        raise ImageError(f"{source} holds no image: its {OCI_INDEX} lists none")
    if tag and len(manifests) > 1:
        raise ImageError(f"{source} holds {len(manifests)} images, so --tag cannot name them: load it without")
    renamed, names = [], []
    for descriptor in manifests:
        annotations = dict(descriptor.get("annotations") or {})
        given = tag or annotations.get(NAME_ANNOTATION) or annotations.get(REFERENCE_ANNOTATION, "")
        # A layout's own name is often a tag alone, relative to a directory's name that is lost.
        if not tag and NAME_ANNOTATION not in annotations and not set(given) & set("/:@"):
            raise ImageError(f"{source} does not say the full name of its image; give one with --tag NAME")
        name = _full(given)
        names.append(name)
        annotations |= {NAME_ANNOTATION: name, REFERENCE_ANNOTATION: name}
        renamed.append({**descriptor, "annotations": annotations})
    return {**index, "manifests": renamed}, names


def rename_docker(manifest: Any, source: Path, tag: str) -> tuple[Any, list[str]]:
    """A docker-archive's manifest with the full names of its images, and these. Raises ImageError."""
    if not isinstance(manifest, list) or not manifest:
        raise ImageError(f"{source} holds no image: its {DOCKER_MANIFEST} lists none")
    if tag and len(manifest) > 1:
        raise ImageError(f"{source} holds {len(manifest)} images, so --tag cannot name them: load it without")
    renamed, names = [], []
    for image in manifest:
        given = [tag] if tag else image.get("RepoTags") or []
        if not given:
            raise ImageError(f"{source} does not say the name of its image; give one with --tag NAME")
        full = [_full(name) for name in given]
        names += full
        renamed.append({**image, "RepoTags": full})
    return renamed, names


def _full(name: str) -> str:
    try:
        return normalize(name)
    except ValueError as error:
        raise ImageError(str(error)) from error


def _name(entry: tarfile.TarInfo) -> str:
    return entry.name.removeprefix("./")


def _content(archive: tarfile.TarFile | _Directory, entry: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(entry)
    assert stream is not None, "only asked of regular files"
    return stream


def _read_json(source: Path, archive: tarfile.TarFile | _Directory, entry: tarfile.TarInfo) -> Any:
    if entry.size > INDEX_LIMIT_BYTES or not entry.isreg():
        raise ImageError(f"{source}: {entry.name} is no index of images")
    with _content(archive, entry) as stream:
        try:
            return json.loads(stream.read())
        except ValueError as error:
            raise ImageError(f"{source}: {entry.name} is not JSON: {error}") from error
