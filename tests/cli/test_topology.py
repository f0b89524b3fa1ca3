"""The network that several nodes on one machine share, made in a network namespace of the test's own."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import subprocess
from pathlib import Path
from navarch.cli import topology

def ip(words):
    subprocess.run(["ip", *words.split()], check=True)

topology.make_switch()
address = Path("/sys/class/net", topology.BRIDGE, "address")
before = address.read_text()
ip("link add low address 02:00:00:00:00:01 type veth peer name other")
ip(f"link set low master {topology.BRIDGE}")
between = address.read_text()
ip("link delete low")
topology.make_switch()
print({before, between, address.read_text()})
"""


@pytest.mark.root
def test_the_switch_keeps_its_hardware_address_when_cables_come_and_go() -> None:
    """Otherwise the other nodes lose the API server until they have forgotten the old one."""
    command = ["unshare", "--net", "--mount", "sh", "-c", 'mount -t sysfs none /sys && exec "$@"', "sh", sys.executable, "-c"]
    done = subprocess.run([*command, SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "{'0e:4e:0a:59:00:01\\n'}\n"
