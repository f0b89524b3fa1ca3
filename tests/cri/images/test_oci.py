from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from navarch.cri.images.oci import NAME_ANNOTATION, ImageConfig, Tree, write_archive

CONFIG = ImageConfig(
    architecture="amd64", entrypoint=("/app",), command=("--help",), user="1000:1000", exposed_ports=("80/tcp",)
)


def read(archive: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, bytes]]:
    with tarfile.open(archive) as opened:
        content = {entry.name: opened.extractfile(entry).read() for entry in opened if entry.isreg()}  # type: ignore[union-attr]
    index = json.loads(content["index.json"])
    manifest = json.loads(content[blob(index["manifests"][0]["digest"])])
    return index, manifest, content


def blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree()
    tree.directory("etc")
    tree.file("etc/motd", b"hello\n")
    tree.file("app", b"#!/bin/sh\n", mode=0o755)
    tree.link("bin/app", "/app")
    return tree


def test_every_blob_is_named_by_its_content(tree: Tree, tmp_path: Path) -> None:
    digest = write_archive(tree, CONFIG, "example.com/app:1", tmp_path / "image.tar")
    index, manifest, content = read(tmp_path / "image.tar")
    assert index["manifests"][0]["digest"] == digest
    assert index["manifests"][0]["annotations"][NAME_ANNOTATION] == "example.com/app:1"
    blobs = {name: data for name, data in content.items() if name.startswith("blobs/")}
    assert len(blobs) == 3
    for name, data in blobs.items():
        assert hashlib.sha256(data).hexdigest() == name.rsplit("/", 1)[1]
    for described in (manifest["config"], *manifest["layers"]):
        assert len(content[blob(described["digest"])]) == described["size"]


def test_the_configuration_says_how_to_run_it(tree: Tree, tmp_path: Path) -> None:
    write_archive(tree, CONFIG, "example.com/app:1", tmp_path / "image.tar")
    _, manifest, content = read(tmp_path / "image.tar")
    config = json.loads(content[blob(manifest["config"]["digest"])])
    assert (config["architecture"], config["os"]) == ("amd64", "linux")
    assert config["config"]["Entrypoint"] == ["/app"]
    assert config["config"]["Cmd"] == ["--help"]
    assert config["config"]["User"] == "1000:1000"
    assert config["config"]["ExposedPorts"] == {"80/tcp": {}}
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]], "a plain layer's two digests are one"


def test_a_compressed_layer_keeps_the_digest_of_the_plain_one(tree: Tree, tmp_path: Path) -> None:
    write_archive(tree, CONFIG, "a:1", tmp_path / "plain.tar")
    write_archive(tree, CONFIG, "a:1", tmp_path / "small.tar", compress=True)
    plain, small = read(tmp_path / "plain.tar"), read(tmp_path / "small.tar")
    configs = [json.loads(content[blob(manifest["config"]["digest"])]) for _, manifest, content in (plain, small)]
    assert configs[0]["rootfs"] == configs[1]["rootfs"]
    assert small[1]["layers"][0]["mediaType"].endswith("+gzip")
    assert small[1]["layers"][0]["digest"] != plain[1]["layers"][0]["digest"]


@pytest.mark.parametrize("compress", [False, True])
def test_equal_content_gives_an_equal_image(tmp_path: Path, compress: bool) -> None:
    digests = set()
    for attempt in ("first", "second"):
        root = tmp_path / attempt
        root.mkdir()
        for name in ("a", "b") if attempt == "first" else ("b", "a"):
            (root / name).write_text(name)
        os.utime(root / "a", (1, 1) if attempt == "first" else None)
        tree = Tree()
        tree.add_directory(root)
        digests.add(write_archive(tree, CONFIG, "a:1", tmp_path / f"{attempt}.tar", compress=compress))
    assert len(digests) == 1
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()


def test_a_directory_is_taken_with_modes_and_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "tool").write_bytes(b"x" * 1000)
    (root / "bin" / "tool").chmod(0o4755)
    (root / "bin" / "same").hardlink_to(root / "bin" / "tool")
    (root / "tool").symlink_to("bin/tool")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    os.mkfifo(root / "pipe")
    tree = Tree()
    tree.add_directory(root)
    written = io.BytesIO()
    tree.write(written)
    written.seek(0)
    with tarfile.open(fileobj=written) as archive:
        entries = {entry.name: entry for entry in archive}
        order = list(entries)
    assert entries["bin/tool"].mode & 0o7777 == 0o4755 or entries["bin/same"].mode & 0o7777 == 0o4755
    linked = [entry for entry in entries.values() if entry.islnk()]
    assert len(linked) == 1
    assert order.index(linked[0].name) > order.index(linked[0].linkname)
    assert entries["tool"].issym() and entries["tool"].linkname == "bin/tool"
    assert entries["tmp"].mode == 0o1777
    assert entries["pipe"].isfifo()
    assert {entry.mtime for entry in entries.values()} == {0}


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("gone", tmp_path / "gone") if (tmp_path / "gone").exists() else (tmp_path / "gone").write_bytes(b"x")
    tree.file("gone", tmp_path / "gone")
    (tmp_path / "gone").unlink()
    with pytest.raises(FileNotFoundError):
        write_archive(tree, CONFIG, "a:1", tmp_path / "image.tar")
    assert list(tmp_path.iterdir()) == []
