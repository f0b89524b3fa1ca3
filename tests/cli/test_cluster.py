from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from navarch.cli import cluster as clusters
from navarch.cli.cluster import Cluster, CommandError, Node, load, locked, node_name, plan_nodes, require, resize


@pytest.mark.parametrize(
    ("host", "name"),
    [("vm", "vm"), ("Build_Box.Example", "build-box.example"), ("-x-", "x"), ("___", "node-1"), ("a" * 80, "a" * 63)],
)
def test_a_host_name_becomes_a_node_name(host: str, name: str) -> None:
    assert node_name(host) == name


def test_one_node_is_the_machine_itself() -> None:
    cluster = Cluster(nodes=plan_nodes(1, "vm", "192.0.2.2"))
    assert cluster.nodes == (Node("vm", "192.0.2.2"),)
    assert cluster.on_host
    assert cluster.advertise_address == "192.0.2.2"
    assert cluster.node_server_url == "https://127.0.0.1:6443"


def test_several_nodes_have_networks_of_their_own() -> None:
    cluster = Cluster(nodes=plan_nodes(3, "vm", ""))
    assert cluster.nodes[2] == Node("node-3", "10.89.0.13", "navarch-node-3")
    assert not cluster.on_host
    assert cluster.advertise_address == "10.89.0.1"
    assert cluster.node_server_url == "https://10.89.0.1:6443"


@pytest.mark.parametrize("count", [0, -1, 101])
def test_a_number_of_nodes_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(CommandError, match="from 1 to 100"):
        plan_nodes(count, "vm", "192.0.2.2")


def test_a_cluster_of_namespaces_grows_and_keeps_its_nodes() -> None:
    two = plan_nodes(2, "vm", "")
    assert resize(two, 4)[:2] == two
    assert resize(two, 4)[3].address == "10.89.0.14"


@pytest.mark.parametrize(("have", "want"), [(1, 2), (3, 2), (3, 1)])
def test_other_changes_of_size_say_how_to_begin_anew(have: int, want: int) -> None:
    with pytest.raises(CommandError, match=f"navarch reset, then navarch up --nodes {want}"):
        resize(plan_nodes(have, "vm", "192.0.2.2"), want)


def test_what_is_written_down_is_read_back(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, Path("/run/x"), 7443, plan_nodes(2, "vm", ""), "native")
    cluster = replace(cluster, scheduler_config=tmp_path / "s.yaml", scheduler_plugins=(tmp_path / "p.py",))
    cluster = replace(cluster, admission_config=tmp_path / "a.yaml")
    cluster.save()
    assert load(tmp_path) == cluster
    assert require(tmp_path) == cluster


def test_no_cluster_is_said(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    with pytest.raises(CommandError, match="navarch up"):
        require(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 99}'])
def test_a_damaged_record_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / clusters.STATE_FILE).write_text(content)
    with pytest.raises(CommandError, match=r"navarch reset|another version"):
        load(tmp_path)


def test_an_unknown_node_is_said_with_those_there_are() -> None:
    cluster = replace(Cluster(), nodes=plan_nodes(2, "vm", ""))
    with pytest.raises(CommandError, match="node-1, node-2"):
        cluster.node("node-3")


def test_two_commands_do_not_change_a_cluster_at_once(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(CommandError, match="another navarch command"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass
