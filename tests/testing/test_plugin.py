"""The installed pytest plugin, used as a user does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = """
import pytest

def test_there_is_a_cluster(navarch):
    navarch.apply("deployment.yaml")
    navarch.wait("deployment/web", "Available")
    assert len(navarch.pods("app=web", ready=True)) == 2

@pytest.mark.navarch(nodes=5)
class TestOptions:
    def test_of_the_class(self, navarch):
        assert len(navarch.nodes) == 5

    @pytest.mark.navarch(nodes=1)
    def test_the_nearest_mark_counts(self, navarch):
        assert list(navarch.nodes) == ["node-1"]
        assert navarch.find("deployment/web") is None

def test_that_fails(navarch):
    navarch.wait("deployment/none", "Available", timeout=5)

@pytest.mark.navarch(seed=9)
@pytest.mark.parametrize("size", ["a b"])
def test_that_fails_too(navarch, size):
    assert navarch.pods()

@pytest.mark.navarch(nods=1)
def test_that_is_mistaken(navarch):
    pass
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: registry.example/web:1}]}
"""


def test_every_test_has_a_cluster_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(TESTS)
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider", "--navarch-seed", "3"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 failed, 3 passed, 1 error" in run.stdout, run.stdout
    assert "deployment/none is not Available within 5 s: there is no such object" in run.stdout
    assert "seed 3\nreplay pytest test_mine.py::test_that_fails --navarch-seed 3\n" in run.stdout
    assert "seed 9\nreplay pytest 'test_mine.py::test_that_fails_too[a b]' --navarch-seed 9\n" in run.stdout
    assert "pytest.mark.navarch has no option 'nods'; the nearest is 'nodes'" in run.stdout
