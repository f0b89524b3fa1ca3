from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from navarch.cli import cleanup
from navarch.component import processes
from navarch.component.processes import Process
from navarch.cri import containerd as module
from navarch.cri.client import CRIClient
from navarch.cri.containerd import (
    Containerd,
    ContainerdConfig,
    RuntimeFailure,
    find_cni_plugins,
    find_program,
    needs_restricted_oom_score,
)
from navarch.cri.images import pause
from navarch.cri.images.library import Library
from navarch.cri.images.oci import ImageConfig, Tree, write_archive
from navarch.cri.images.runtime import NodeImages
from tests.registry import content_of, registry

CGROUP = "/navarch-test-containerd"


def config(root: Path, **changes: object) -> ContainerdConfig:
    values: dict[str, object] = {
        "root": root / "containerd",
        "state": root / "run",
        "log_file": root / "log",
        "cni_bin_dir": find_cni_plugins() or Path("/opt/cni/bin"),
        "cni_conf_dir": root / "cni",
        "sandbox_image": pause.REFERENCE,
        "restrict_oom_score_adj": needs_restricted_oom_score(Path("/proc/self/status").read_text()),
    }
    return ContainerdConfig(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def runtime() -> Iterator[Containerd]:
    # Sockets must have short paths, and pytest's directories are long.
    root = Path(tempfile.mkdtemp(prefix="nv-"))
    runtime = Containerd(config(root))
    yield runtime
    runtime.stop_everything()
    cleanup.remove_cgroups(CGROUP)
    cleanup.unmount_below(root)
    shutil.rmtree(root)


def start(runtime: Containerd) -> tuple[Process, bool]:
    process, adopted = runtime.start()
    asyncio.run(runtime.wait_ready(process))
    return process, adopted


async def run_sandbox(runtime: Containerd, name: str) -> str:
    """A pod in the host's network, of which only the sandbox runs."""
    from navarch.cri import runtime_pb2 as pb

    client = CRIClient(runtime.config.endpoint)
    try:
        sandbox = pb.PodSandboxConfig(metadata=pb.PodSandboxMetadata(name=name, uid=name, namespace="default"))
        sandbox.linux.cgroup_parent = f"{CGROUP}/{name}"
        sandbox.linux.security_context.namespace_options.network = pb.NODE
        return await client.run_pod_sandbox(sandbox)
    finally:
        await client.close()


def tasks(runtime: Containerd) -> dict[str, str]:
    command = ["ctr", "-a", str(runtime.config.socket), "-n", "k8s.io", "tasks", "ls"]
    listed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    return {line.split()[0]: line.split()[2] for line in listed.stdout.splitlines()[1:]}


def load_images(runtime: Containerd, directory: Path) -> list[str]:
    library = Library(directory)
    library.ensure_builtin()
    return asyncio.run(NodeImages(runtime.config).ensure(library.archives()))


@pytest.mark.e2e
def test_it_is_started_once_and_adopted_after_that(runtime: Containerd) -> None:
    process, adopted = start(runtime)
    assert not adopted
    assert start(runtime) == (process, True)
    assert runtime.running() == process
    runtime.stop()
    assert runtime.running() is None
    assert not runtime.answers()


@pytest.mark.e2e
def test_a_container_outlives_a_killed_containerd(runtime: Containerd, tmp_path: Path) -> None:
    process, _ = start(runtime)
    load_images(runtime, tmp_path)
    sandbox = asyncio.run(run_sandbox(runtime, "a"))
    before = {shim.pid for shim in runtime.shims()}
    process.send(9)
    assert process.wait(5)
    processes.reap(process.pid)
    assert {shim.pid for shim in runtime.shims()} == before
    _, adopted = start(runtime)
    assert not adopted
    assert tasks(runtime) == {sandbox: "RUNNING"}


@pytest.mark.e2e
def test_stopping_everything_leaves_no_process_and_no_shim_socket(runtime: Containerd, tmp_path: Path) -> None:
    start(runtime)
    load_images(runtime, tmp_path)
    asyncio.run(run_sandbox(runtime, "a"))
    asyncio.run(run_sandbox(runtime, "b"))
    shims = runtime.shims()
    below = [process for pid in processes.descendants([shim.pid for shim in shims]) if (process := processes.find(pid))]
    addresses = [
        path.read_text().removeprefix("unix://")
        for path in (runtime.config.state / "state").glob("io.containerd.runtime.v2.task/*/*/address")
    ]
    assert shims and below and addresses
    runtime.stop_everything(grace_seconds=1)
    assert not any(process.alive for process in (*shims, *below))
    assert not any(Path(address).exists() for address in addresses)
    runtime.stop_everything()


@pytest.mark.e2e
def test_images_are_imported_when_missing_or_changed_and_only_then(runtime: Containerd, tmp_path: Path) -> None:
    start(runtime)
    assert pause.REFERENCE in load_images(runtime, tmp_path)
    assert load_images(runtime, tmp_path) == []
    tree = Tree()
    tree.file("a", b"1")
    library = Library(tmp_path)
    images = NodeImages(runtime.config)
    configuration = ImageConfig(architecture=pause.architecture())
    first = library.build(tree, configuration, "example.com/a:1")
    assert asyncio.run(images.ensure(library.archives())) == ["example.com/a:1"]
    before = {image.reference: image.digest for image in asyncio.run(images.stored())}
    tree.file("a", b"22")
    assert library.build(tree, configuration, "example.com/a:1").fingerprint != first.fingerprint
    assert asyncio.run(images.ensure(library.archives())) == ["example.com/a:1"]
    after = {image.reference: image.digest for image in asyncio.run(images.stored())}
    assert before.keys() == after.keys()
    assert before["example.com/a:1"] != after["example.com/a:1"]
    subprocess.run(
        ["ctr", "-a", str(runtime.config.socket), "-n", "k8s.io", "images", "rm", "example.com/a:1"],
        check=True,
        capture_output=True,
    )
    assert asyncio.run(images.ensure(library.archives())) == ["example.com/a:1"]


@pytest.mark.e2e
def test_a_containerd_that_ends_while_starting_is_told_with_its_last_words() -> None:
    root = Path(tempfile.mkdtemp(prefix="nv-"))
    try:
        (root / "program").write_text("#!/bin/sh\necho no such plugin >&2\nexit 1\n")
        (root / "program").chmod(0o755)
        runtime = Containerd(config(root, program=str(root / "program")))
        process, _ = runtime.start()
        with pytest.raises(RuntimeFailure, match="no such plugin"):
            asyncio.run(runtime.wait_ready(process))
    finally:
        shutil.rmtree(root)


def test_a_missing_containerd_is_told_with_the_package(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match="apt-get install containerd"):
        Containerd(config(tmp_path, program="/does/not/exist")).start()


def test_the_configuration_names_only_the_nodes_own_places(tmp_path: Path) -> None:
    import tomllib

    settings = tomllib.loads(config(tmp_path, restrict_oom_score_adj=True).to_toml())
    cri = settings["plugins"]["io.containerd.grpc.v1.cri"]
    assert settings["version"] == 2
    assert cri["restrict_oom_score_adj"] is True
    assert cri["sandbox_image"] == pause.REFERENCE
    for place in (
        settings["root"],
        settings["state"],
        settings["grpc"]["address"],
        cri["cni"]["conf_dir"],
        cri["containerd"]["runtimes"]["runc"]["options"]["Root"],
    ):
        assert Path(place).is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("effective", "restricted"), [("000001fffeffffff", True), ("000001ffffffffff", False), ("0000000000000000", True)]
)
def test_the_missing_capability_is_seen(effective: str, restricted: bool) -> None:
    assert needs_restricted_oom_score(f"Name:\tx\nCapEff:\t{effective}\nSeccomp:\t0\n") is restricted


def test_plugins_are_found_where_distributions_put_them(tmp_path: Path) -> None:
    assert find_cni_plugins((str(tmp_path),)) is None
    for name in ("bridge", "host-local", "loopback", "portmap"):
        (tmp_path / name).touch()
    assert find_cni_plugins(("/does/not/exist", str(tmp_path))) == tmp_path


def test_programs_are_found_beyond_a_users_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/does/not/exist")
    assert find_program("does-not-exist") is None
    assert module.SHIM_SOCKETS.is_absolute()


@pytest.mark.e2e
def test_a_registry_on_loopback_may_speak_plain_http(runtime: Containerd, tmp_path: Path) -> None:
    tree = Tree()
    tree.file("a", b"1")
    digest = write_archive(tree, ImageConfig(architecture=pause.architecture()), "a:1", tmp_path / "a.tar")
    start(runtime)

    async def pull(name: str) -> str:
        client = CRIClient(runtime.config.endpoint)
        try:
            return await client.pull_image(name)
        finally:
            await client.close()

    with registry(content_of(tmp_path / "a.tar"), digest) as port:
        name = f"localhost:{port}/team/a:1"
        asyncio.run(pull(name))
        assert name in {image.reference for image in asyncio.run(NodeImages(runtime.config).stored())}
