from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from navarch.cli import preflight
from navarch.cli.preflight import Listener, Machine, cgroup_version, listening_inodes, missing_programs, taken

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0
   1: 0100007F:192B 0100007F:9000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0
"""


def test_the_listener_of_a_port_is_found_among_connections() -> None:
    assert listening_inodes(TCP, 0x192B) == {"4711"}
    assert listening_inodes(TCP, 80) == set()


def test_a_taken_port_says_by_whom_and_how_to_go_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = taken(Listener("127.0.0.1", port, "API server", "--port"))
        assert f"port {port} (API server) is taken by" in text
        assert f"(process {os.getpid()})" in text
        assert "--port" in text
    assert taken(Listener("127.0.0.1", port, "API server")) == ""


def test_a_taken_datagram_port_is_seen() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert f"process {os.getpid()}" in taken(Listener("127.0.0.1", port, "cluster DNS", datagram=True))


def test_an_address_that_is_not_ours_is_said() -> None:
    assert "cannot listen on 203.0.113.9" in taken(Listener("203.0.113.9", 1, "kubelet"))


@pytest.mark.parametrize(
    ("paths", "version"),
    [
        (["cgroup.controllers"], "v2"),
        (["memory/"], "v1"),
        (["memory/", "unified/", "unified/cgroup.controllers"], "hybrid"),
        ([], ""),
    ],
)
def test_cgroup_hierarchies_are_told_apart(tmp_path: Path, paths: list[str], version: str) -> None:
    for path in paths:
        (tmp_path / path).mkdir() if path.endswith("/") else (tmp_path / path).touch()
    assert cgroup_version(tmp_path) == version


def test_missing_programs_are_named_with_one_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "find_program", lambda name: None if name in ("containerd", "ctr", "runc") else "/bin/x")
    monkeypatch.setattr(preflight, "find_cni_plugins", lambda: Path("/opt/cni/bin"))
    monkeypatch.setattr(preflight, "_library_loads", lambda name: True)
    (problem,) = missing_programs(["containerd", "ctr", "runc", "ip"])
    assert problem == "not installed: containerd, ctr, runc. Install with: apt-get install -y containerd runc"


def test_a_broken_runc_is_said_with_its_own_words() -> None:
    command = ["sh", "-c", "echo cannot find libseccomp; exit 127"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        machine = Machine([], [], "overlayfs", "v2", process)
        assert "cannot find libseccomp" in preflight.runc_problem(machine)


def test_a_working_runc_is_no_problem() -> None:
    with subprocess.Popen(["true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert preflight.runc_problem(Machine([], [], "overlayfs", "v2", process)) == ""
    assert preflight.runc_problem(Machine([], [], "overlayfs", "v2")) == ""


def test_who_is_not_root_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "must run as root" in preflight.not_root()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert preflight.not_root() == ""


@pytest.mark.root
def test_trying_overlayfs_leaves_no_mount(tmp_path: Path) -> None:
    preflight.overlay_problem(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.root
def test_where_overlayfs_does_not_work_the_reason_is_given(tmp_path: Path) -> None:
    # An overlay cannot have its upper directory on a file system that is read-only.
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=True)
    try:
        subprocess.run(["mount", "-t", "proc", "none", tmp_path], check=True)
        try:
            with pytest.raises(OSError):
                preflight.overlay_problem(tmp_path)
        finally:
            subprocess.run(["umount", tmp_path], check=True)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
