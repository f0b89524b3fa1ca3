from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from navarch.cri.images import demo, library, pause
from navarch.cri.images.archive import ImageError
from navarch.cri.images.library import Library
from navarch.cri.images.oci import ImageConfig, Tree


def tree(content: bytes) -> Tree:
    made = Tree()
    made.file("file", content)
    return made


CONFIG = ImageConfig(architecture="amd64")


def test_builtin_images_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_busybox", lambda: None)
    images = Library(tmp_path / "images")
    assert images.ensure_builtin() == [pause.REFERENCE]
    assert images.ensure_builtin() == []
    assert [archive.references for archive in images.archives()] == [(pause.REFERENCE,)]


def test_another_sandbox_program_makes_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_busybox", lambda: None)
    images = Library(tmp_path)
    images.ensure_builtin()
    monkeypatch.setattr(library.pause, "executable", lambda _: b"another")
    assert images.ensure_builtin() == [pause.REFERENCE]


@pytest.mark.skipif(demo.find_busybox() is None, reason="needs a static busybox")
def test_the_demo_image_holds_busybox_under_its_names(tmp_path: Path) -> None:
    images = Library(tmp_path)
    assert demo.REFERENCE in images.ensure_builtin()
    found, config = demo.image(demo.find_busybox() or Path())
    names = {name for name, _ in found._entries.items()}
    assert {"bin/busybox", "bin/sh", "usr/sbin/httpd", "usr/bin/wget", "usr/bin/nslookup", "etc/passwd", "tmp"} <= names
    assert config.command == ("/bin/sh",)


def test_building_again_replaces_the_image_of_that_name(tmp_path: Path) -> None:
    images = Library(tmp_path)
    first = images.build(tree(b"1"), CONFIG, "example.com/a:1")
    second = images.build(tree(b"22"), CONFIG, "example.com/a:1")
    assert first.path == second.path
    assert first.fingerprint != second.fingerprint
    assert images.archives() == [second]


def test_names_that_look_alike_are_kept_apart(tmp_path: Path) -> None:
    images = Library(tmp_path)
    images.build(tree(b"1"), CONFIG, "example.com/a/b:1")
    images.build(tree(b"1"), CONFIG, "example.com/a_b:1")
    assert len(images.archives()) == 2


def test_an_archive_without_its_note_is_not_there(tmp_path: Path) -> None:
    images = Library(tmp_path)
    built = images.build(tree(b"1"), CONFIG, "example.com/a:1")
    built.path.with_suffix(".json").write_text("{")
    assert images.archives() == []


def test_a_refused_archive_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source.tar"
    with tarfile.open(source, "w"):
        pass
    images = Library(tmp_path / "images")
    with pytest.raises(ImageError):
        images.add(source)
    assert list((tmp_path / "images").iterdir()) == []


def test_a_dynamic_program_is_not_taken_for_static(tmp_path: Path) -> None:
    assert not demo.is_static(Path("/bin/sh").resolve())
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert not demo.is_static(tmp_path / "script")
    (tmp_path / "pause").write_bytes(pause.executable("amd64"))
    assert demo.is_static(tmp_path / "pause")
