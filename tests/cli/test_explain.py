"""`navarch explain pod`: what it prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.cli.cluster import Cluster, CommandError
from navarch.cli.explain import pod_named, told
from navarch.cli.main import main
from tests.apiserver.https import HTTPSServer

WAITING: Object = {
    "pod": {"namespace": "default", "name": "web", "uid": "u"},
    "scheduler": "default-scheduler",
    "message": "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).",
    "queue": {"place": "unschedulable", "attempts": 2},
    "fitsEmptyNodes": {"count": 1, "of": 3},
    "changes": [
        {"change": "a would fit with 200m more cpu", "kind": "resources", "nodeCount": 1, "nodes": ["a"]},
        {"change": "tolerating the taint gpu:NoSchedule", "kind": "taint", "nodeCount": 7, "nodes": ["b", "c", "d", "e", "f"]},
    ],
    "nodes": [
        {"name": "a", "fits": False, "rejections": [{"plugin": "NodeResourcesFit", "reason": "Insufficient cpu"}]},
        {
            "name": "b",
            "fits": False,
            "rejections": [{"plugin": "TaintToleration", "reason": "node(s) had untolerated taint(s)"}],
        },
        {
            "name": "c",
            "fits": False,
            "rejections": [{"plugin": "TaintToleration", "reason": "node(s) had untolerated taint(s)"}],
        },
    ],
}


def placed(count: int) -> Object:
    score = {"raw": 50, "normalized": 50, "weight": 2, "weighted": 100}
    nodes = [
        {"name": f"n{number}", "fits": True, "rejections": [], "score": 100, "scores": {"X": score}} for number in range(count)
    ]
    empty = {"count": count, "of": count}
    return {"pod": WAITING["pod"], "message": "", "node": "n0", "fitsEmptyNodes": empty, "changes": [], "nodes": nodes}


def test_a_pod_that_waits_is_told_why_and_what_would_help() -> None:
    assert told(WAITING) == [
        "pod default/web: pending (unschedulable, 2 attempts)",
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).",
        "if they were empty, 1 of 3 nodes could take it",
        "",
        "One change would help:",
        "  a would fit with 200m more cpu (1 node(s): a)",
        "  tolerating the taint gpu:NoSchedule (7 node(s): b, c, d, e, f and 2 more)",
        "",
        "NODES  REJECTED BY       REASON",
        "2      TaintToleration   node(s) had untolerated taint(s)",
        "1      NodeResourcesFit  Insufficient cpu",
    ]
    assert told(WAITING, all_nodes=True)[-4:] == [
        "NODE  REJECTED BY       REASON",
        "a     NodeResourcesFit  Insufficient cpu",
        "b     TaintToleration   node(s) had untolerated taint(s)",
        "c     TaintToleration   node(s) had untolerated taint(s)",
    ]


def test_a_placed_pod_has_a_score_table() -> None:
    lines = told(placed(12))
    assert lines[0] == "pod default/web: on n0; this is how it would be placed now"
    assert lines[3:5] == ["NODE  TOTAL  X", "n0    100    100"]
    assert lines[-1] == "and 2 more (--nodes)"
    assert len(told(placed(12), all_nodes=True)) == 3 + 1 + 12


def test_a_pod_is_named() -> None:
    assert pod_named("web") == ("default", "web")
    assert pod_named("shop/web") == ("shop", "web")
    with pytest.raises(CommandError, match="is not a pod"):
        pod_named("/web")
    with pytest.raises(CommandError, match="a/b/c is not a pod"):
        pod_named("a/b/c")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPSServer]:
    found = HTTPSServer(tmp_path_factory.mktemp("explain"))
    try:
        yield found
    finally:
        found.close()


def test_it_asks_the_cluster(server: HTTPSServer, tmp_path: Path, capsys: Any) -> None:
    cluster = Cluster(tmp_path)
    cluster.save()
    server.write_kubeconfig(cluster.kubeconfig)
    assert main(["explain", "pod", "web", "--data-dir", str(tmp_path)]) == 1
    assert "no scheduler runs beside this API server" in capsys.readouterr().err
    server.server.pipeline.explain.explainer = lambda namespace, name: WAITING
    assert main(["explain", "pod", "web", "--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == told(WAITING)
    assert main(["explain", "pod", "web", "-o", "json", "--data-dir", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == WAITING
