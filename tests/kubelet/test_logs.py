"""Log files: their ends as termination messages, and their rotation."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIError
from navarch.cri.fake import FakeRuntime
from navarch.kubelet import log_rotation, logs
from navarch.kubelet.config import KubeletConfig


def line(text: str, tag: str = "F") -> str:
    return f"2026-01-01T00:00:00.000000000Z stdout {tag} {text}\n"


def test_the_end_of_a_log_is_what_the_container_wrote(tmp_path: Path) -> None:
    file = tmp_path / "0.log"
    file.write_text(line("one") + line("tw", "P") + line("o"))
    assert logs.tail(file) == "one\ntwo\n"
    assert logs.tail(tmp_path / "none") == ""


def test_the_end_of_a_log_has_limits(tmp_path: Path) -> None:
    file = tmp_path / "0.log"
    file.write_text("".join(line(str(number)) for number in range(10_000)))
    assert logs.tail(file).split() == [str(number) for number in range(9_920, 10_000)]
    file.write_text(line("x" * 5000))
    assert len(logs.tail(file)) == logs.FALLBACK_LIMIT_BYTES


def test_logs_of_one_run_are_found(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for name in ("0.log", "1.log", "1.log.20260101-000000", "10.log"):
        (tmp_path / "c" / name).touch()
    assert [file.name for file in logs.log_files(tmp_path, "c", 1)] == ["1.log", "1.log.20260101-000000"]


def rotate(file: Path, runtime: FakeRuntime, files: int = 3) -> None:
    config = KubeletConfig(node_name="n", node_ip="", root_directory=file.parent, log_directory=file.parent)
    config = replace(config, max_container_log_bytes=10, max_container_log_files=files)

    async def run() -> None:
        sandbox = await runtime.run_pod_sandbox(pb.PodSandboxConfig())
        container = await runtime.create_container(sandbox, pb.ContainerConfig(), pb.PodSandboxConfig())
        await log_rotation.rotate(runtime, [(container, file), ("gone", file.with_name("none"))], config)

    asyncio.run(run())


def test_a_log_that_is_too_large_is_set_aside_and_old_ones_go(tmp_path: Path) -> None:
    file = tmp_path / "0.log"
    file.write_text("small")
    rotate(file, FakeRuntime())
    assert file.exists()
    for stamp in ("20200101-000000", "20210101-000000"):
        (tmp_path / f"0.log.{stamp}").touch()
    file.write_text("x" * 11)
    runtime = FakeRuntime()
    rotate(file, runtime)
    assert ("ReopenContainerLog", "") in runtime.calls and not file.exists()
    assert len(log_rotation.rotated(file)) == 2 and "20200101" not in str(log_rotation.rotated(file))


def test_a_runtime_that_cannot_reopen_goes_on_with_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "0.log"
    file.write_text("x" * 11)
    runtime = FakeRuntime()
    runtime.failures["ReopenContainerLog"] = CRIError("UNKNOWN", "no")
    rotate(file, runtime)
    assert file.read_text() == "x" * 11
