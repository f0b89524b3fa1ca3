"""Volumes: files that change all at once, and what each plugin puts into them."""

from __future__ import annotations

import asyncio
import base64
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.kubelet import mounts
from navarch.kubelet.volumes import atomic_writer, paths
from navarch.kubelet.volumes.atomic_writer import Projection, UnsafePath
from navarch.kubelet.volumes.configmap import ConfigMapPlugin
from navarch.kubelet.volumes.downwardapi import DownwardAPIPlugin
from navarch.kubelet.volumes.hostpath import HostPathPlugin
from navarch.kubelet.volumes.manager import PodVolumes, used_volumes
from navarch.kubelet.volumes.plugin import FilesPlugin, VolumeContext, VolumeError
from navarch.kubelet.volumes.projected import ProjectedPlugin
from navarch.kubelet.volumes.secret import SecretPlugin
from tests.kubelet.pods import container, pod

OBJECTS: dict[tuple[str, str], Object] = {
    ("configmaps", "cm"): {"data": {"a": "1", "b": "2"}, "binaryData": {"raw": base64.b64encode(b"\xff").decode()}},
    ("secrets", "s"): {"data": {"key": base64.b64encode(b"hidden").decode()}},
}


def context(a_pod: Object | None = None, gid: int | None = None) -> VolumeContext:
    async def get(resource: str, name: str) -> Object | None:
        return OBJECTS.get((resource, name))

    async def token(audience: str, seconds: int) -> str:
        return f"token for {audience or 'the API'} of {seconds} s"

    return VolumeContext(pod=a_pod or pod(), get=get, token=token, allocatable={"cpu": "4"}, gid=gid)


def files(plugin: FilesPlugin, source: Object, a_pod: Object | None = None, gid: int | None = None) -> Mapping[str, Projection]:
    return asyncio.run(plugin.files(source, context(a_pod, gid)))  # type: ignore[arg-type]


def contents(found: Mapping[str, Projection]) -> dict[str, bytes]:
    return {path: file.content for path, file in found.items()}


# Plugins


def test_a_configmaps_keys_are_files() -> None:
    found = files(ConfigMapPlugin(), {"name": "cm", "defaultMode": 0o600})
    assert contents(found) == {"a": b"1", "b": b"2", "raw": b"\xff"}
    assert {file.mode for file in found.values()} == {0o600}


def test_chosen_keys_are_files_where_they_are_wanted() -> None:
    items = [{"key": "a", "path": "x/y", "mode": 0o400}]
    assert files(ConfigMapPlugin(), {"name": "cm", "items": items}) == {"x/y": Projection(b"1", 0o400)}
    with pytest.raises(VolumeError, match="references non-existent config key: none"):
        files(ConfigMapPlugin(), {"name": "cm", "items": [{"key": "none", "path": "x"}]})
    assert files(ConfigMapPlugin(), {"name": "cm", "optional": True, "items": [{"key": "none", "path": "x"}]}) == {}


def test_what_is_missing_is_an_error_unless_optional() -> None:
    with pytest.raises(VolumeError, match='configmap "no" not found'):
        files(ConfigMapPlugin(), {"name": "no"})
    with pytest.raises(VolumeError, match='secret "no" not found'):
        files(SecretPlugin(), {"secretName": "no"})
    assert files(SecretPlugin(), {"secretName": "no", "optional": True}) == {}


def test_the_downward_api_shows_the_pod() -> None:
    a_pod = pod(container(resources={"limits": {"memory": "64Mi"}}))
    a_pod["metadata"]["annotations"] = {"b": 'say "x"', "a": "1"}
    items = [
        {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
        {"path": "memory", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "1Mi"}},
        {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
    ]
    found = contents(files(DownwardAPIPlugin(), {"items": items}, a_pod))
    assert found == {"annotations": b'a="1"\nb="say \\"x\\""', "memory": b"64", "cpu": b"4"}


def test_projected_volumes_hold_everything_at_once() -> None:
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "cm", "items": [{"key": "a", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        {"secret": {"name": "s"}},
    ]
    found = files(ProjectedPlugin(), {"sources": sources})
    assert contents(found) == {
        "token": b"token for the API of 3607 s",
        "ca.crt": b"1",
        "namespace": b"default",
        "key": b"hidden",
    }
    assert found["token"].mode == 0o644


def test_a_token_is_for_the_one_user_there_is() -> None:
    source = {"sources": [{"serviceAccountToken": {"path": "token"}}]}
    found = files(ProjectedPlugin(), source, pod(securityContext={"runAsUser": 7}))
    assert (found["token"].mode, found["token"].uid) == (0o600, 7)
    two = pod(container("a", securityContext={"runAsUser": 1}), container("b", securityContext={"runAsUser": 2}))
    assert files(ProjectedPlugin(), source, two)["token"].uid is None
    assert files(ProjectedPlugin(), source, gid=9)["token"].mode == 0o600


@pytest.mark.parametrize("kind", ["Directory", "File", "Socket", "CharDevice"])
def test_a_host_path_must_be_what_it_is_said_to_be(kind: str, tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=f"hostPath type check failed: {tmp_path}/none is not a"):
        HostPathPlugin().set_up({"path": f"{tmp_path}/none", "type": kind})


def test_a_host_path_may_be_made(tmp_path: Path) -> None:
    plugin = HostPathPlugin()
    assert plugin.set_up({"path": f"{tmp_path}/d/e", "type": "DirectoryOrCreate"}).is_dir()
    assert plugin.set_up({"path": f"{tmp_path}/f", "type": "FileOrCreate"}).is_file()
    assert plugin.set_up({"path": f"{tmp_path}/anything"}) == tmp_path / "anything"


# The atomic writer


def shown(target: Path) -> dict[str, str]:
    return {
        str(path.relative_to(target)): path.read_text()
        for path in sorted(target.rglob("*"))
        if path.is_file() and not any(part.startswith("..") for part in path.relative_to(target).parts)
    }


def projections(**given: str) -> dict[str, Projection]:
    return {path.replace("__", "/"): Projection(text.encode(), 0o640) for path, text in given.items()}


def test_files_are_shown_through_one_link_that_is_replaced(tmp_path: Path) -> None:
    assert atomic_writer.write(tmp_path, projections(a="1", d__e="2"))
    assert (tmp_path / "a").is_symlink() and str((tmp_path / "a").readlink()) == "..data/a"
    assert shown(tmp_path) == {"a": "1"} and (tmp_path / "d" / "e").read_text() == "2"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    first = (tmp_path / "..data").readlink()
    opened = (tmp_path / "a").open()
    assert atomic_writer.write(tmp_path, projections(a="new"))
    assert opened.read() == "1", "who had it open still reads the old one"
    opened.close()
    assert shown(tmp_path) == {"a": "new"} and not (tmp_path / "d").exists()
    assert (tmp_path / "..data").readlink() != first
    assert len([entry for entry in tmp_path.iterdir() if entry.name.startswith("..2")]) == 1


def test_nothing_is_written_where_nothing_changed(tmp_path: Path) -> None:
    assert atomic_writer.write(tmp_path, projections(a="1"))
    before = (tmp_path / "..data").readlink()
    assert not atomic_writer.write(tmp_path, projections(a="1"))
    assert (tmp_path / "..data").readlink() == before
    assert atomic_writer.write(tmp_path, {"a": Projection(b"1", 0o600)}), "a mode is a change, too"


def test_what_an_interrupted_writer_left_is_cleared(tmp_path: Path) -> None:
    atomic_writer.write(tmp_path, projections(a="1"))
    (tmp_path / "..2020_half").mkdir()
    (tmp_path / "..data_tmp").symlink_to("..2020_half")
    atomic_writer.write(tmp_path, projections(a="2"))
    assert shown(tmp_path) == {"a": "2"} and not (tmp_path / "..2020_half").exists()


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    atomic_writer.write(tmp_path, projections(a="1"))
    before = set(tmp_path.iterdir())
    with pytest.raises(OSError, match="exists"):
        atomic_writer.write(tmp_path, projections(b="2", b__c="3"))
    assert set(tmp_path.iterdir()) == before and shown(tmp_path) == {"a": "1"}


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "..data", ""])
def test_no_path_leads_out(path: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafePath):
        atomic_writer.write(tmp_path, {path: Projection(b"", 0o600)})


# The manager


def set_up(directory: Path, a_pod: Object, gid: int | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    return asyncio.run(PodVolumes(directory, in_memory=False).set_up(context(a_pod, gid)))


def test_only_what_is_mounted_is_set_up_and_each_failure_is_told(tmp_path: Path) -> None:
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("cm", "bad", "odd", "e")]
    volumes = [
        {"name": "cm", "configMap": {"name": "cm"}},
        {"name": "bad", "secret": {"secretName": "no"}},
        {"name": "odd", "fc": {}},
        {"name": "e", "emptyDir": {}},
        {"name": "unused", "configMap": {"name": "no"}},
    ]
    a_pod = pod(container(volumeMounts=mounts), volumes=volumes)
    assert [volume["name"] for volume in used_volumes(a_pod)] == ["cm", "bad", "odd", "e"]
    mounted, failed = set_up(tmp_path, a_pod)
    assert set(mounted) == {"cm", "e"} and mounted["cm"].read_only and not mounted["e"].read_only
    assert failed == {
        "bad": 'secret "no" not found',
        "odd": "no volume plugin matched: fc volumes are not supported by this node",
    }
    assert stat.S_IMODE(mounted["e"].path.stat().st_mode) == 0o777


def with_empty_dir(**source: Any) -> Object:
    return pod(container(volumeMounts=[{"name": "e", "mountPath": "/e"}]), volumes=[{"name": "e", "emptyDir": source}])


def test_what_a_container_makes_of_an_empty_dir_stays(tmp_path: Path) -> None:
    path = set_up(tmp_path, with_empty_dir())[0]["e"].path
    path.chmod(0o700)
    set_up(tmp_path, with_empty_dir())
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.root
def test_an_empty_dir_is_given_to_the_pods_group_once(tmp_path: Path) -> None:
    path = set_up(tmp_path, with_empty_dir(), gid=9)[0]["e"].path
    assert (path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (9, 0o2777)
    secret = path / "secret"
    secret.touch(mode=0o600)
    assert secret.stat().st_gid == 9
    # As by a kubelet that has started anew.
    set_up(tmp_path, with_empty_dir(), gid=9)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


@pytest.mark.root
def test_an_empty_dir_in_memory_is_the_groups_too(tmp_path: Path) -> None:
    a_pod = with_empty_dir(medium="Memory", sizeLimit="64Ki")
    path = set_up(tmp_path / "pod", a_pod, gid=9)[0]["e"].path
    try:
        assert mounts.is_mount(path)
        assert (path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (9, 0o3777)
        (path / "kept").touch()
        with pytest.raises(OSError, match="No space left"):
            (path / "large").write_bytes(bytes(128 * 1024))
        path.chmod(0o700)
        set_up(tmp_path / "pod", a_pod, gid=9)
        assert (path / "kept").exists() and stat.S_IMODE(path.stat().st_mode) == 0o700
    finally:
        asyncio.run(PodVolumes(tmp_path / "pod").tear_down())


def test_only_regular_files_in_the_volume_and_of_bounded_length_are_read(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "directory").mkdir(parents=True)
    (volume / "file").write_bytes(b"12345")
    (volume / "link").symlink_to("file")
    (volume / "out").symlink_to("/etc/passwd")
    (volume / "loop").symlink_to("loop")
    os.mkfifo(volume / "fifo")
    assert paths.read(volume, "file", 5) == paths.read(volume, "link", 5) == b"12345"
    for name in ("directory", "out", "loop", "fifo", "none", "../other"):
        with pytest.raises((VolumeError, OSError)):
            paths.read(volume, name, 5)
    with pytest.raises(VolumeError, match="file is longer than 4 bytes"):
        paths.read(volume, "file", 4)


def test_a_subpath_stays_in_its_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "evil").symlink_to("/etc")
    manager = PodVolumes(tmp_path / "pod")
    for relative in ("evil/passwd", "../x", "/etc"):
        with pytest.raises(VolumeError):
            manager.subpath(volume, relative, "v", "c", 0)


@pytest.mark.root
def test_a_subpath_is_mounted_and_taken_down(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    atomic_writer_files = projections(conf="text")
    volume.mkdir()
    atomic_writer.write(volume, atomic_writer_files)
    manager = PodVolumes(tmp_path / "pod")
    file = manager.subpath(volume, "conf", "v", "c", 0)
    assert file.read_text() == "text"
    made = manager.subpath(volume, "new/dir", "v", "c", 1)
    (made / "x").write_text("kept")
    again = manager.subpath(volume, "new/dir", "v", "c", 1)
    assert again == made and (volume / "new/dir/x").read_text() == "kept"
    asyncio.run(manager.tear_down())
    assert not (tmp_path / "pod").exists() and (volume / "new/dir/x").exists()
