from __future__ import annotations

import json
from pathlib import Path

from navarch.network import cni


def write(directory: Path, cidr: str = "10.244.0.0/24") -> bool:
    return cni.write(directory, cidr, mtu=1400, data_directory=Path("/data/ipam"))


def test_pods_get_addresses_of_the_nodes_cidr_on_a_hairpin_bridge(tmp_path: Path) -> None:
    assert write(tmp_path / "net.d")
    written = json.loads((tmp_path / "net.d" / "10-navarch.conflist").read_text())
    bridge, portmap = written["plugins"]
    assert (bridge["type"], bridge["hairpinMode"], bridge["isDefaultGateway"], bridge["ipMasq"]) == (
        "bridge",
        True,
        True,
        False,
    )
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.0.0/24"}]]
    assert (bridge["mtu"], bridge["ipam"]["dataDir"]) == (1400, "/data/ipam")
    assert portmap["capabilities"] == {"portMappings": True}
    assert [path.name for path in (tmp_path / "net.d").iterdir()] == ["10-navarch.conflist"]


def test_writing_again_changes_nothing_and_another_cidr_does(tmp_path: Path) -> None:
    assert write(tmp_path)
    assert not write(tmp_path)
    assert write(tmp_path, "10.244.7.0/24")


def test_a_configuration_of_the_users_wins(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "99-mine.conflist").write_text("{}")
    assert not write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["99-mine.conflist"]
