"""`up`, `down` and `reset` as their user sees them, on this machine itself."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from navarch.cli import cluster as clusters
from navarch.cli.cluster import Cluster
from navarch.cli.down import running
from navarch.component import processes

pytestmark = pytest.mark.e2e

PORT = 18443
TIMEOUT_SECONDS = 120


class Machine:
    """navarch with directories of its own on this machine."""

    def __init__(self, data_dir: Path, run_dir: Path) -> None:
        self.data_dir, self.run_dir = data_dir, run_dir
        self.environment = {**os.environ, "HOME": str(data_dir / "home")}

    def navarch(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "navarch.cli.main", *words, "--data-dir", str(self.data_dir)]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            env={**self.environment, **environment},
            check=False,
        )

    def up(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.navarch("up", "--run-dir", str(self.run_dir), "--port", str(PORT), *words, **environment)

    def must(self, *words: str) -> str:
        done = self.navarch(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def must_be_up(self, *words: str) -> str:
        done = self.up(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def cluster(self) -> Cluster:
        return clusters.require(self.data_dir)

    def leaves_nothing_running(self) -> None:
        assert running(Cluster(data_dir=self.data_dir)) == []
        assert str(self.run_dir) not in Path("/proc/self/mountinfo").read_text()
        assert str(self.data_dir) not in Path("/proc/self/mountinfo").read_text()
        links = {path.name for path in Path("/sys/class/net").iterdir()}
        assert not {link for link in links if link.startswith(("navarch", "nv-"))}
        tables = subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout
        assert "navarch" not in tables
        assert not list(Path("/run/netns").glob("navarch-*"))
        assert not [*Path("/sys/fs/cgroup").glob("navarch"), *Path("/sys/fs/cgroup").glob("*/navarch")]


@pytest.fixture
def machine() -> Iterator[Machine]:
    data_dir = Path(tempfile.mkdtemp(prefix="navarch-e2e-", dir="/var/lib"))
    run_dir = Path(tempfile.mkdtemp(prefix="nv-", dir="/run"))
    machine = Machine(data_dir, run_dir)
    try:
        yield machine
    finally:
        machine.navarch("reset", "--yes")
        shutil.rmtree(data_dir, ignore_errors=True)
        shutil.rmtree(run_dir, ignore_errors=True)


def program(directory: Path, name: str, script: str) -> dict[str, str]:
    """An environment in which `name` is this script."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)
    return {"PATH": f"{directory}:{os.environ['PATH']}"}


def test_a_cluster_comes_up_says_so_twice_goes_down_and_comes_back(machine: Machine) -> None:
    text = machine.must_be_up()
    for step in ("preflight", "certificates", "API", "runtime", "images", "kubelet", "Ready in", "kubeconfig:", "Try:"):
        assert step in text
    assert "runs already" in machine.must_be_up()
    status = machine.must("status")
    assert "answers" in status and "Ready" in status
    assert "navarch.local/demo:1" in machine.must("image", "ls")
    before = {path: path.read_bytes() for path in machine.cluster.pki_dir.rglob("*.crt")}
    assert "Stopped" in machine.must("down")
    machine.leaves_nothing_running()
    assert "Nothing was running" in machine.must("down")
    assert machine.navarch("status").returncode == 1
    assert "all there and valid" in machine.must_be_up()
    assert {path: path.read_bytes() for path in machine.cluster.pki_dir.rglob("*.crt")} == before
    machine.must("reset", "--yes")
    machine.leaves_nothing_running()
    assert not machine.data_dir.exists()
    assert not machine.run_dir.exists()
    machine.must("reset", "--yes")


def test_whatever_was_killed_comes_back_and_the_rest_is_left_alone(machine: Machine) -> None:
    machine.must_be_up()
    cluster = machine.cluster
    node = cluster.nodes[0]
    files = [cluster.server_pid_file, cluster.node_pid_file(node), cluster.node_run_dir(node) / "containerd.pid"]
    for killed in ([0], [1], [0, 1], [1, 2], [0, 1, 2]):
        before = [processes.read(file) for file in files]
        for index in killed:
            process = before[index]
            assert process is not None
            process.send(9)
            process.wait(5)
        machine.must_be_up()
        after = [processes.read(file) for file in files]
        assert all(after)
        for index in range(len(files)):
            assert (before[index] == after[index]) is (index not in killed), f"{files[index].name} after killing {killed}"
    assert machine.navarch("status").returncode == 0


def test_a_node_is_switched_off_and_on(machine: Machine) -> None:
    machine.must_be_up()
    name = machine.cluster.nodes[0].name
    assert "its cable cannot be cut" in machine.navarch("node", "cut", name).stderr
    assert "there is no node" in machine.navarch("node", "stop", "other").stderr
    assert f"{name} is off" in machine.must("node", "stop", name)
    assert "is not running" in machine.must("node", "stop", name)
    assert processes.read(machine.cluster.server_pid_file) is not None
    assert "node is Ready" in machine.must("node", "start", name)
    assert "runs already" in machine.must("node", "start", name)


def test_images_are_built_and_loaded_into_the_nodes(machine: Machine, tmp_path: Path) -> None:
    machine.must_be_up()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "file").write_text("hello")
    assert machine.must("image", "build", str(tmp_path / "root"), "--tag", "hello:1") == "docker.io/library/hello:1\n"
    archive = next(path for path in machine.cluster.images_dir.glob("*hello*.tar"))
    shutil.copy(archive, tmp_path / "hello.tar")
    assert machine.must("image", "load", str(tmp_path / "hello.tar"), "--tag", "again:2") == "docker.io/library/again:2\n"
    listed = machine.must("image", "ls")
    assert "docker.io/library/hello:1" in listed and "docker.io/library/again:2" in listed
    assert "navarch image build" in machine.navarch("image", "load", str(tmp_path / "root")).stderr
    assert "does not exist" in machine.navarch("image", "load", str(tmp_path / "nothing")).stderr


def test_the_users_kubeconfig_gets_a_context_and_loses_it_again(machine: Machine, tmp_path: Path) -> None:
    target = tmp_path / "config"
    done = machine.up("--merge-kubeconfig", KUBECONFIG=str(target))
    assert done.returncode == 0, done.stderr
    assert "current-context: navarch" in target.read_text()
    machine.must("reset", "--yes")
    assert "name: navarch" not in target.read_text()


def test_a_taken_port_is_said_and_nothing_is_left(machine: Machine) -> None:
    with socket.create_server(("0.0.0.0", PORT)):
        done = machine.up()
    assert done.returncode == 1
    assert f"port {PORT} (API server) is taken by" in done.stderr
    assert f"(process {os.getpid()})" in done.stderr
    machine.leaves_nothing_running()


def test_a_broken_runc_is_said_and_nothing_is_left(machine: Machine, tmp_path: Path) -> None:
    done = machine.up(**program(tmp_path / "bin", "runc", "echo symbol lookup error; exit 127"))
    assert done.returncode == 1
    assert "runc is broken" in done.stderr and "symbol lookup error" in done.stderr
    machine.leaves_nothing_running()


def test_a_broken_containerd_is_said_and_nothing_is_left(machine: Machine, tmp_path: Path) -> None:
    done = machine.up(**program(tmp_path / "bin", "containerd", "echo cannot open shared object; exit 127"))
    assert done.returncode == 1
    assert "cannot open shared object" in done.stderr
    machine.leaves_nothing_running()


def test_the_last_boots_remains_are_forgotten(machine: Machine) -> None:
    machine.must_be_up()
    machine.must("down")
    stale = machine.run_dir / "nodes" / machine.cluster.nodes[0].name / "state" / "stale"
    stale.parent.mkdir(parents=True)
    stale.touch()
    (machine.run_dir / "boot").write_text("another")
    machine.must_be_up()
    assert not stale.exists()


def test_a_second_cluster_on_the_machine_is_refused(machine: Machine) -> None:
    machine.must_be_up()
    with tempfile.TemporaryDirectory(dir="/var/lib", prefix="navarch-e2e-") as other:
        second = Machine(Path(other), machine.run_dir)
        done = second.navarch("up")
        assert done.returncode == 1
        assert f"navarch down --data-dir {machine.data_dir}" in done.stderr
        second.must("reset", "--yes")
        Path(other).mkdir(exist_ok=True)
    assert machine.navarch("status").returncode == 0


def test_three_nodes_are_made_and_leave_nothing(machine: Machine) -> None:
    machine.must_be_up("--nodes", "3")
    assert "cannot have 2" in machine.up("--nodes", "2").stderr
    machine.must("node", "cut", "node-2")
    assert "cut off" in machine.navarch("status").stdout
    machine.must("node", "heal", "node-2")
    machine.must("node", "stop", "node-3")
    assert not Path("/run/netns/navarch-node-3").exists()
    machine.must_be_up()
    assert machine.navarch("status").returncode == 0
    machine.must("down")
    machine.leaves_nothing_running()
