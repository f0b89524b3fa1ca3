from __future__ import annotations

import logging
from pathlib import Path

import pytest

from navarch.network import sysctls

EVERY = {**sysctls.NEEDED, **sysctls.LOCALHOST}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in EVERY:
        path = tmp_path / "sys" / name.replace(".", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0\n")
    return tmp_path / "sys"


def values(root: Path) -> set[str]:
    return {(root / name.replace(".", "/")).read_text().strip() for name in EVERY}


def test_what_was_changed_is_set_back(tmp_path: Path, root: Path) -> None:
    record = tmp_path / "state" / "sysctls.json"
    for _ in range(2):
        sysctls.set_needed(record, root=root)
        sysctls.set_needed(record, sysctls.LOCALHOST, root=root)
    assert values(root) == {"1"}
    sysctls.restore(record, root=root)
    assert values(root) == {"0"}
    assert not record.exists()
    sysctls.restore(record, root=root)


def test_what_was_right_before_is_left_alone(tmp_path: Path, root: Path) -> None:
    record = tmp_path / "sysctls.json"
    (root / "net/ipv4/ip_forward").write_text("1\n")
    sysctls.set_needed(record, root=root)
    sysctls.restore(record, root=root)
    assert (root / "net/ipv4/ip_forward").read_text().strip() == "1"


def test_what_cannot_be_set_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        sysctls.set_needed(None, root=tmp_path)
    assert "ip_forward" in caplog.text
