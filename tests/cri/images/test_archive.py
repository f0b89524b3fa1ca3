from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from navarch.cri.images.archive import ImageError, is_layout, take
from navarch.cri.images.oci import NAME_ANNOTATION, REFERENCE_ANNOTATION, ImageConfig, Tree, write_archive


def pack(path: Path, files: dict[str, Any], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def taken(source: Path, tag: str = "") -> tuple[list[str], dict[str, bytes]]:
    out = io.BytesIO()
    names = take(source, out, tag=tag)
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        return names, {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def index(*annotations: dict[str, str]) -> dict[str, Any]:
    return {"schemaVersion": 2, "manifests": [{"digest": "sha256:00", "annotations": entry} for entry in annotations]}


def test_our_own_archives_are_taken_as_they_are(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("a", b"a")
    write_archive(tree, ImageConfig(architecture="amd64"), "example.com/a:1", tmp_path / "a.tar")
    names, content = taken(tmp_path / "a.tar")
    assert names == ["example.com/a:1"]
    assert len([name for name in content if name.startswith("blobs/")]) == 3


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_docker_archive_gets_full_names(tmp_path: Path, mode: str) -> None:
    source = pack(tmp_path / "d.tar", {"layer.tar": b"x", "manifest.json": [{"RepoTags": ["demo:1", "demo:2"]}]}, mode)
    names, content = taken(source)
    assert names == ["docker.io/library/demo:1", "docker.io/library/demo:2"]
    assert json.loads(content["manifest.json"])[0]["RepoTags"] == names
    assert content["layer.tar"] == b"x"


def test_a_layout_directory_becomes_an_archive(tmp_path: Path) -> None:
    root = tmp_path / "layout"
    (root / "blobs/sha256").mkdir(parents=True)
    (root / "blobs/sha256/00").write_bytes(b"blob")
    (root / "oci-layout").write_text("{}")
    (root / "index.json").write_text(json.dumps(index({REFERENCE_ANNOTATION: "shop/web:1"})))
    assert is_layout(root)
    names, content = taken(root)
    assert names == ["docker.io/shop/web:1"]
    annotations = json.loads(content["index.json"])["manifests"][0]["annotations"]
    assert annotations[NAME_ANNOTATION] == "docker.io/shop/web:1"
    assert content["blobs/sha256/00"] == b"blob"


def test_a_tag_names_an_image_that_has_none(tmp_path: Path) -> None:
    source = pack(tmp_path / "i.tar", {"oci-layout": {}, "index.json": index({})})
    with pytest.raises(ImageError, match="give one with --tag"):
        taken(source)
    assert taken(source, "web:2")[0] == ["docker.io/library/web:2"]


def test_a_layouts_bare_tag_is_no_name(tmp_path: Path) -> None:
    source = pack(tmp_path / "i.tar", {"oci-layout": {}, "index.json": index({REFERENCE_ANNOTATION: "latest"})})
    with pytest.raises(ImageError, match="give one with --tag"):
        taken(source)


def test_one_tag_does_not_name_several_images(tmp_path: Path) -> None:
    source = pack(tmp_path / "i.tar", {"index.json": index({NAME_ANNOTATION: "a:1"}, {NAME_ANNOTATION: "b:1"})})
    assert len(taken(source)[0]) == 2
    with pytest.raises(ImageError, match="holds 2 images"):
        taken(source, "c:1")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme": b"x"}, "neither an OCI layout nor a docker-archive"),
        ({"index.json": b"{"}, "is not JSON"),
        ({"index.json": {"manifests": []}}, "holds no image"),
        ({"manifest.json": {}}, "holds no image"),
        ({"manifest.json": [{"RepoTags": None}]}, "give one with --tag"),
        ({"manifest.json": [{"RepoTags": ["UPPER"]}]}, "not the name of an image"),
    ],
)
def test_what_is_no_image_is_said(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        taken(pack(tmp_path / "x.tar", files))


def test_neither_tar_nor_layout(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    with pytest.raises(ImageError, match="neither"):
        taken(tmp_path / "file")
    with pytest.raises(ImageError, match="navarch image build"):
        taken(tmp_path)
