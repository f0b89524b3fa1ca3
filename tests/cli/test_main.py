from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from navarch import __version__
from navarch.cli.down import belongs_to
from navarch.cli.images import environment
from navarch.cli.main import main, parser
from navarch.cli.status import age, node_state


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"navarch {__version__} ")


def test_without_a_command_usage_is_shown() -> None:
    with pytest.raises(SystemExit) as raised:
        main([])
    assert raised.value.code == 2


def test_what_a_command_cannot_do_is_one_line_and_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--data-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"navarch: there is no cluster in {tmp_path}; make one with: navarch up\n"


def test_a_scheduler_configuration_that_cannot_be_is_refused_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    file, data = tmp_path / "scheduler.yaml", tmp_path / "data"
    file.write_text("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofile: []\n")
    assert main(["up", "--data-dir", str(data), "--scheduler-config", str(file)]) == 1
    assert capsys.readouterr().err == f'navarch: {file}: profile: unknown field "profile"\n'
    assert not data.exists()


def test_an_admission_configuration_that_cannot_be_is_refused_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    file, data = tmp_path / "admission.yaml", tmp_path / "data"
    file.write_text("apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugin: []\n")
    assert main(["up", "--data-dir", str(data), "--admission-control-config-file", str(file)]) == 1
    assert capsys.readouterr().err == f'navarch: {file}: unknown field "plugin"\n'
    assert not data.exists()


def test_reset_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    (tmp_path / "cluster.json").write_text("{}")
    assert main(["reset", "--data-dir", str(tmp_path)]) == 1
    assert "--yes" in capsys.readouterr().err
    assert (tmp_path / "cluster.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["up", "--nodes", "3", "--merge-kubeconfig"],
        ["node", "stop", "node-1"],
        ["node", "run", "--progress-fd", "5"],
        ["server", "--data-dir", "/x"],
        ["image", "build", "dir", "--tag", "a:1", "--entrypoint", "/bin/app", "--env", "A=1", "--env", "B=2"],
        ["image", "load", "x.tar", "--tag", "a:1"],
        ["reset", "--yes"],
    ],
)
def test_every_command_has_something_to_run(words: list[str]) -> None:
    assert callable(parser().parse_args(words).command)


def test_a_short_command_loads_little() -> None:
    program = (
        "import sys; from navarch.cli.main import main; main(['version']); "
        "heavy = {'asyncio', 'ssl', 'grpc', 'numpy', 'yaml', 'cryptography', 'uvloop'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_processes_are_known_by_their_command_lines() -> None:
    server = ["/x/python", "-m", "navarch.cli.main", "server", "--data-dir", "/var/lib/a", "--progress-fd", "5"]
    node = ["nsenter", "--net=/run/netns/x", "--", "python", "-m", "navarch.cli.main", "node", "run", "n", "--data-dir", "/b"]
    runtime = ["/usr/bin/containerd", "--config", "/var/lib/a/nodes/vm/containerd/config.toml"]
    assert belongs_to(server) == Path("/var/lib/a")
    assert belongs_to(node) == Path("/b")
    assert belongs_to(runtime) == Path("/var/lib/a")
    for words in (
        [],
        ["/usr/bin/containerd"],
        ["/usr/bin/containerd", "--config", "/etc/containerd/config.toml"],
        ["python", "-m", "navarch.cli.main", "up", "--data-dir", "/var/lib/a"],
        ["python", "-m", "navarch.cli.main", "node", "stop", "n", "--data-dir", "/var/lib/a"],
        ["python", "-m", "navarch.cli.main", "server", "--data-dir"],
    ):
        assert belongs_to(words) is None


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59.9, "59s"), (61, "1m"), (11100, "3h5m"), (180000, "2d2h")])
def test_ages_are_short(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_node_states_read_as_in_kubectl() -> None:
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert node_state(None) == "not registered"
    assert node_state(ready) == "Ready"
    assert node_state({**ready, "spec": {"unschedulable": True}}) == "Ready,SchedulingDisabled"
    assert node_state({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}) == "NotReady"


def test_an_image_has_a_path_unless_it_is_given_one() -> None:
    assert [entry.partition("=")[0] for entry in environment(("A=1",))] == ["PATH", "A"]
    assert environment(("PATH=/x",)) == ("PATH=/x",)


def test_roots_programs_are_found_with_a_plain_users_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/sbin")
    assert main(["version"]) == 0
    assert os.environ["PATH"] == "/usr/bin:/sbin:/usr/local/sbin:/usr/sbin"
