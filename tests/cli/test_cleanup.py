from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from navarch.cli import cleanup
from navarch.component import processes

MOUNTINFO = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:25 / /run/navarch/nodes/a rw - tmpfs tmpfs rw
31 30 0:26 / /run/navarch/nodes/a/b\\040c rw - tmpfs tmpfs rw
32 22 0:27 / /run/navarch2 rw - tmpfs tmpfs rw
"""


def test_mounts_are_found_below_a_directory_the_latest_first() -> None:
    assert cleanup.mounts_below(Path("/run/navarch"), MOUNTINFO) == [
        Path("/run/navarch/nodes/a/b c"),
        Path("/run/navarch/nodes/a"),
    ]


@pytest.mark.root
def test_mounts_upon_mounts_go_with_the_tree_and_their_content_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("precious")
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "bound").mkdir()
    for command in (
        ["mount", "-t", "tmpfs", "none", str(tree / "a")],
        ["mount", "-t", "tmpfs", "none", str(tree / "a")],
        ["mount", "--bind", str(kept), str(tree / "bound")],
    ):
        subprocess.run(command, check=True)
    cleanup.remove_tree(tree)
    assert not tree.exists()
    assert (kept / "file").read_text() == "precious"
    assert str(tree) not in Path("/proc/self/mountinfo").read_text()


def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    cleanup.remove_tree(tmp_path / "nothing")


@pytest.mark.root
def test_cgroups_go_with_the_processes_in_them(tmp_path: Path) -> None:
    hierarchy = cleanup.CGROUPS
    if not (hierarchy / "cgroup.controllers").exists():
        hierarchy = next(path for path in sorted(hierarchy.iterdir()) if (path / "cgroup.procs").exists())
    top = hierarchy / "navarch-test-cleanup"
    (top / "kubepods" / "pod1").mkdir(parents=True)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = processes.start(command, pid_file=tmp_path / "pid", log_file=tmp_path / "log")
    (top / "kubepods" / "pod1" / "cgroup.procs").write_text(str(process.pid))
    cleanup.remove_cgroups("/navarch-test-cleanup")
    assert not top.exists()
    assert not process.alive
    processes.reap(process.pid)
    cleanup.remove_cgroups("/navarch-test-cleanup")


def test_only_notes_about_our_sandboxes_are_forgotten(tmp_path: Path) -> None:
    results = tmp_path / "cni" / "results"
    results.mkdir(parents=True)
    for name, sandbox in {"ours": "/run/x/netns/a", "alike": "/run/xy/netns/a", "theirs": "/run/netns/b"}.items():
        (results / name).write_text(f'{{"result":{{"interfaces":[{{"sandbox":"{sandbox}"}}]}}}}')
    cleanup.remove_cni_results(Path("/run/x"), results)
    assert sorted(path.name for path in results.iterdir()) == ["alike", "theirs"]
    (results / "alike").unlink()
    (results / "theirs").unlink()
    cleanup.remove_cni_results(Path("/run/x"), results)
    assert not results.parent.exists()
