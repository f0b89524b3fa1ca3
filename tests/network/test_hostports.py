from __future__ import annotations

import subprocess

import pytest

from navarch.network import hostports
from tests.network.laboratory import Laboratory, inside

BASE = """\
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-HOSTPORT-MASQ - [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
"""
COMMENT = '--comment "dnat name: \\"navarch\\" id: \\"1\\""'
OURS = f"-A CNI-HOSTPORT-DNAT -p tcp -m comment {COMMENT} -m multiport --dports 80 -j CNI-DN-1\n"
OTHERS = OURS.replace("navarch", "podman").replace("CNI-DN-1", "CNI-DN-2")
POD_CHAINS = ":CNI-DN-1 - [0:0]\n:CNI-DN-2 - [0:0]\n"
POD_RULES = "-A CNI-DN-1 -p tcp -j DNAT --to-destination 10.0.0.1:80\n"


def test_only_our_rules_go_while_somebody_else_uses_the_chains() -> None:
    commands = hostports.removal(BASE + POD_CHAINS + OURS + OTHERS + POD_RULES)
    assert commands.splitlines() == ["*nat", f"-D {OURS[3:].strip()}", "-F CNI-DN-1", "-X CNI-DN-1", "COMMIT"]
    assert hostports.removal(BASE + POD_CHAINS + OTHERS) == ""


def test_the_common_chains_go_with_the_last_rule() -> None:
    commands = hostports.removal(BASE + POD_CHAINS + OURS + POD_RULES)
    for chain in ("CNI-DN-1", "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-SETMARK"):
        assert f"-X {chain}\n" in commands
    assert "-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n" in commands
    assert "CNI-DN-2" not in commands


def test_without_the_plugins_chains_there_is_nothing_to_do() -> None:
    assert hostports.removal("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j DOCKER\nCOMMIT\n") == ""


@pytest.mark.root
def test_what_iptables_was_told_is_gone_again(lab: Laboratory) -> None:
    with inside(lab.namespace("n2")):
        text = BASE + POD_CHAINS + OURS + POD_RULES + "COMMIT\n"
        subprocess.run(["iptables-restore"], input=text, text=True, check=True)
        hostports.remove()
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert "ip nat" in tables
    with inside(lab.namespace("n2")):
        saved = subprocess.run(["iptables-save", "-t", "nat"], capture_output=True, text=True, check=True).stdout
        assert "CNI-HOSTPORT" not in saved
        subprocess.run(["iptables-restore"], input=BASE + "COMMIT\n", text=True, check=True)
        hostports.remove()
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
        assert "ip nat" not in tables
