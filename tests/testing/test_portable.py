"""A cluster in a test needs nothing that only Linux has, and many of them fit in one process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIXTURES, RSS_LIMIT_MB = 50, 600

ELSEWHERE = """
import os, select, socket, sys, sysconfig

sysconfig.get_config_vars()  # This interpreter's own, which are for Linux.

class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pyroute2", "spwd"):
            raise ImportError(f"{name} is only for Linux")

sys.meta_path.insert(0, Refuses())
sys.platform = "darwin"
# What Python has there on Linux alone.
for module, names in (
    (os, "pidfd_open memfd_create eventfd sched_getaffinity sched_setaffinity setns unshare splice copy_file_range fdatasync "
         "posix_fadvise posix_fallocate getrandom O_DIRECT O_PATH O_TMPFILE"),
    (select, "epoll EPOLLIN EPOLL_CLOEXEC"),
    (socket, "AF_NETLINK AF_PACKET AF_VSOCK SO_PEERCRED SO_BINDTODEVICE SOCK_CLOEXEC SOCK_NONBLOCK TCP_USER_TIMEOUT"),
):
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)

import navarch.testing.plugin
from navarch.testing import Cluster
from tests.testing.test_cluster import deployment

with Cluster() as cluster:
    cluster.apply(deployment())
    cluster.wait("deployment/web", "Available")
    cluster.nodes["node-1"].reboot()
    cluster.settle()
    print(len(cluster.pods(ready=True)))
"""

MANY = """
import json, resource
from pathlib import Path
from navarch.testing import Cluster
from tests.testing.test_cluster import deployment

clusters = [Cluster(seed=seed) for seed in range(FIXTURES)]
for cluster in clusters:
    cluster.start()
    cluster.apply(deployment())
for cluster in clusters:
    cluster.wait("deployment/web", "Available")
pages = int(Path("/proc/self/statm").read_text().split()[1])
ready = [len(cluster.pods(ready=True)) for cluster in clusters]
for cluster in clusters:
    cluster.stop()
print(json.dumps({"rss_mb": pages * resource.getpagesize() / 1e6, "ready": sorted(set(ready))}))
"""


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_of_it_is_only_for_linux() -> None:
    assert run(ELSEWHERE) == "3\n"


def test_fifty_live_in_one_process() -> None:
    figures = json.loads(run(f"FIXTURES = {FIXTURES}\n{MANY}"))
    assert figures["ready"] == [3]
    assert figures["rss_mb"] <= RSS_LIMIT_MB
