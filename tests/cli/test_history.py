"""`navarch history` and `navarch undo` against a real server over HTTPS: what they print, put back, and refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery.errors import StatusError
from navarch.cli import differences, undo
from navarch.cli.cluster import Cluster, CommandError
from navarch.cli.history import named
from navarch.cli.main import main
from navarch.client.client import Client
from navarch.client.http import from_kubeconfig
from tests.apiserver.https import HTTPSServer

LONG_AGO = "2020-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPSServer]:
    found = HTTPSServer(tmp_path_factory.mktemp("history"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def cluster(server: HTTPSServer, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    found.save()
    server.write_kubeconfig(found.kubeconfig)
    return found


@pytest.fixture
def space(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-")[:60].rstrip("-")

    async def make(client: Client) -> None:
        await client.create("namespaces", {"metadata": {"name": name}})

    by(cluster, "setup", make)
    return name


def by(cluster: Cluster, agent: str, work: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
    """Do something as a client that calls itself so."""

    async def run() -> Any:
        transport = from_kubeconfig(cluster.kubeconfig, user_agent=agent)
        try:
            async with asyncio.timeout(10):
                return await work(Client(transport, field_manager=agent.partition("/")[0]))
        finally:
            await transport.close()

    return asyncio.run(run())


def command(cluster: Cluster, *words: str) -> int:
    return main([words[0], "--data-dir", str(cluster.data_dir), *words[1:]])


def create(cluster: Cluster, agent: str, space: str, name: str, **data: str) -> Any:
    body = {"metadata": {"name": name, "namespace": space}, "data": data}
    return by(cluster, agent, lambda client: client.create("configmaps", body, space))


def change(cluster: Cluster, agent: str, space: str, name: str, **data: str | None) -> Any:
    return by(cluster, agent, lambda client: client.patch("configmaps", name, {"data": data}, space))


def delete(cluster: Cluster, agent: str, space: str, name: str) -> None:
    by(cluster, agent, lambda client: client.delete("configmaps", name, space))


def data(cluster: Cluster, space: str, name: str) -> Any:
    """None: it is not there."""

    async def read(client: Client) -> Any:
        try:
            return (await client.get("configmaps", name, space)).get("data", {})
        except StatusError as error:
            assert error.is_not_found
            return None

    return by(cluster, "reader", read)


# History


def test_versions_are_listed_with_who_wrote_them(cluster: Cluster, space: str, capsys: pytest.CaptureFixture[str]) -> None:
    create(cluster, "kubectl", space, "a", x="1", y="1")
    change(cluster, "helm", space, "a", x="2", y=None)
    delete(cluster, "kubectl", space, "a")
    assert command(cluster, "history", "ConfigMap", f"{space}/a") == 0
    head, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head[:4] == ["REVISION", "TIME", "WHAT", "USER"]
    assert [row[2:] for row in rows] == [
        ["added", "kubernetes-admin", "kubectl", "kubectl/v0.1.0"],
        ["modified", "kubernetes-admin", "helm", "helm/v0.1.0", "data.x,", "data.y"],
        ["deleted", "kubernetes-admin", "kubectl", "kubectl/v0.1.0"],
    ]
    assert [int(row[0]) for row in rows] == sorted(int(row[0]) for row in rows)


def test_changes_are_shown_as_diffs_and_versions_as_yaml(
    cluster: Cluster, space: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = create(cluster, "kubectl/v1", space, "a", x="1")
    second = change(cluster, "helm/4", space, "a", x="2")
    one, two = (obj["metadata"]["resourceVersion"] for obj in (first, second))
    assert command(cluster, "history", "cm", f"{space}/a", "--diff", one, two) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "-  x: '1'" in lines and "+  x: '2'" in lines and f"--- revision {one}" in lines
    assert not any("managedFields" in line or (line[0] in "+-" and "resourceVersion" in line) for line in lines)
    assert command(cluster, "history", "cm", f"{space}/a", "--diff") == 0
    shown = capsys.readouterr().out
    assert "--- nothing" in shown and "+  x: '1'" in shown and "by kubernetes-admin with helm" in shown
    assert command(cluster, "history", "cm", f"{space}/a", "-o", "yaml", "--revision", one) == 0
    assert yaml.safe_load(capsys.readouterr().out) == first


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("history", "unicorns", "a"), "there is no kind unicorns"),
        (("history", "nodes", "a/b"), "nodes are in no namespace"),
        (("history", "cm", "never-there"), "nothing is known of configmaps default/never-there"),
        (("history", "cm", "a", "--diff", "1"), "--diff goes with two revisions"),
        (("history", "cm", "a", "-o", "yaml"), "-o yaml goes together with --revision"),
        (("undo",), "name an object"),
        (("undo", "cm"), "name an object"),
        (("undo", "cm", "a", "--since", "1h"), "name an object"),
        (("undo", "--user-agent", "x"), "--user-agent goes together with --since"),
        (("undo", "--user-agent", "", "--since", "1h"), "--user-agent goes together with --since"),
        (("undo", "--user-agent", "x", "--since", "soon"), "'soon' is no time"),
    ],
)
def test_what_makes_no_sense_is_refused(
    cluster: Cluster, words: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(cluster, *words) == 1
    assert text in capsys.readouterr().err


def test_a_server_that_is_not_there_is_told(tmp_path: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    other = Cluster(tmp_path)
    other.save()
    assert command(other, "history", "cm", "a") == 1
    assert "navarch up" in capsys.readouterr().err
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    other.kubeconfig.write_text(yaml.safe_dump(config))
    assert command(other, "history", "cm", "a") == 1
    assert "does not answer" in capsys.readouterr().err


# Undo of one object


def test_an_object_is_put_back_as_it_was(cluster: Cluster, space: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = create(cluster, "kubectl/v1", space, "a", x="1")
    change(cluster, "kubectl/v1", space, "a", x="2", z="1")
    change(cluster, "kubectl/v1", space, "a", x="3")
    assert command(cluster, "undo", "cm", f"{space}/a", "--dry-run") == 0
    assert capsys.readouterr().out == f"would change configmaps {space}/a: data.x\n"
    assert data(cluster, space, "a") == {"x": "3", "z": "1"}
    assert command(cluster, "undo", "cm", f"{space}/a") == 0
    assert data(cluster, space, "a") == {"x": "2", "z": "1"}
    revision = made["metadata"]["resourceVersion"]
    assert command(cluster, "undo", "cm", f"{space}/a", "--to", revision) == 0
    assert data(cluster, space, "a") == {"x": "1"}
    capsys.readouterr()
    assert command(cluster, "undo", "cm", f"{space}/a", "--to", revision) == 1
    assert "that is how it is already" in capsys.readouterr().err


def test_a_deleted_object_comes_back_with_a_new_uid(cluster: Cluster, space: str) -> None:
    made = create(cluster, "kubectl/v1", space, "a", x="1")
    delete(cluster, "kubectl/v1", space, "a")
    assert command(cluster, "undo", "cm", f"{space}/a") == 0
    now = by(cluster, "reader", lambda client: client.get("configmaps", "a", space))
    assert now["data"] == made["data"] and now["metadata"]["uid"] != made["metadata"]["uid"]


def test_there_is_nothing_before_the_first_version(cluster: Cluster, space: str, capsys: pytest.CaptureFixture[str]) -> None:
    create(cluster, "kubectl/v1", space, "a", x="1")
    assert command(cluster, "undo", "cm", f"{space}/a") == 1
    assert "no earlier version is known" in capsys.readouterr().err


def test_validation_holds_for_what_is_put_back(cluster: Cluster, space: str, capsys: pytest.CaptureFixture[str]) -> None:
    create(cluster, "kubectl/v1", space, "a", x="1")
    change(cluster, "kubectl/v1", space, "a", x="2")
    by(cluster, "kubectl/v1", lambda client: client.patch("configmaps", "a", {"immutable": True}, space))
    first = int(by(cluster, "r", lambda client: client.get("configmaps", "a", space))["metadata"]["resourceVersion"]) - 2
    assert command(cluster, "undo", "cm", f"{space}/a", "--to", str(first)) == 1
    assert "immutable" in capsys.readouterr().err and data(cluster, space, "a") == {"x": "2"}


# Undo of what an agent did


def test_everything_an_agent_did_is_taken_back_and_nothing_else(
    cluster: Cluster, space: str, capsys: pytest.CaptureFixture[str]
) -> None:
    create(cluster, "kubectl/v1", space, "changed", mine="1", theirs="1")
    create(cluster, "kubectl/v1", space, "deleted", x="1")
    create(cluster, "kubectl/v1", space, "untouched", x="1")
    create(cluster, "rogue-1/v1", space, "made", x="1")
    change(cluster, "rogue-1/v1", space, "changed", mine="2", new="1")
    change(cluster, "kubectl/v1", space, "changed", theirs="2")
    delete(cluster, "rogue-1/v1", space, "deleted")
    create(cluster, "rogue-1/v1", space, "passing", x="1")
    delete(cluster, "rogue-1/v1", space, "passing")
    assert command(cluster, "undo", "--user-agent", "rogue-1", "--since", LONG_AGO, "--dry-run") == 0
    told = capsys.readouterr().out
    assert sorted(told.splitlines()) == [
        f"would change configmaps {space}/changed: data.mine, data.new",
        f"would delete configmaps {space}/made",
        f"would make configmaps {space}/deleted again",
    ]
    assert data(cluster, space, "changed") == {"mine": "2", "theirs": "2", "new": "1"}
    assert command(cluster, "undo", "--user-agent", "rogue-1", "--since", LONG_AGO) == 0
    assert data(cluster, space, "changed") == {"mine": "1", "theirs": "2"}
    assert data(cluster, space, "deleted") == {"x": "1"} and data(cluster, space, "made") is None
    assert data(cluster, space, "untouched") == {"x": "1"} and data(cluster, space, "passing") is None
    capsys.readouterr()
    assert command(cluster, "undo", "--user-agent", "rogue-1", "--since", LONG_AGO) == 0
    assert capsys.readouterr().out == "There is nothing to take back.\n"


def test_a_conflict_leaves_everything_as_it_is(cluster: Cluster, space: str, capsys: pytest.CaptureFixture[str]) -> None:
    create(cluster, "kubectl/v1", space, "fine", x="1")
    create(cluster, "kubectl/v1", space, "disputed", x="1")
    for name in ("fine", "disputed"):
        change(cluster, "rogue-2/v1", space, name, x="2")
    change(cluster, "helm/4", space, "disputed", x="3")
    assert command(cluster, "undo", "--user-agent", "rogue-2", "--since", "1h") == 1
    error = capsys.readouterr().err
    assert "nothing was changed" in error and f"configmaps {space}/disputed: helm has changed data.x since" in error
    assert data(cluster, space, "fine") == {"x": "2"} and data(cluster, space, "disputed") == {"x": "3"}


def test_what_others_need_comes_back_first_and_goes_last() -> None:
    kinds = {name: named(name, "x" if name in ("ns", "nodes") else "a/x") for name in ("ns", "cm", "deploy", "pods", "nodes")}
    steps = [undo.Step(target, method, {}) for method in ("DELETE", "POST") for target in kinds.values()]
    ordered = [(step.method, step.target.kind.plural) for step in undo.in_order(steps)]
    assert ordered[:2] == [("POST", "namespaces"), ("POST", "configmaps")]
    assert ordered[-2:] == [("DELETE", "configmaps"), ("DELETE", "namespaces")]


def test_times_are_read_as_people_give_them() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert undo.parse_since("2h", now) == datetime(2026, 1, 1, 22, tzinfo=UTC)
    assert undo.parse_since("1d", now) == datetime(2026, 1, 1, tzinfo=UTC)
    for text in ("2025-12-31T01:02:03Z", "2025-12-31T01:02:03", "2025-12-31T03:02:03+02:00"):
        assert undo.parse_since(text, now) == datetime(2025, 12, 31, 1, 2, 3, tzinfo=UTC)
    with pytest.raises(CommandError):
        undo.parse_since("h", now)


# Differences

objects = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2),
    lambda children: st.dictionaries(st.sampled_from("abc"), children, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abc"), objects, max_size=3)


@given(DOCUMENTS, DOCUMENTS)
def test_taking_back_all_differences_gives_what_was_before(before: Any, after: Any) -> None:
    paths = differences.changed(before, after)
    assert differences.changed(differences.taken_back(after, before, paths), before) == []
    assert (paths == []) == (differences.changed(after, before) == [])


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_changes_that_do_not_overlap_stay(before: Any, after: Any, now: Any) -> None:
    mine, theirs = differences.changed(before, after), differences.changed(after, now)
    if not differences.overlap(mine, theirs):
        left = differences.taken_back(now, before, mine)
        assert not set(differences.changed(left, now)) - set(mine)


def test_what_was_in_earlier_versions_is_purged(cluster: Cluster, space: str, capsys: pytest.CaptureFixture[str]) -> None:
    create(cluster, "kubectl", space, "a", word="open-sesame")
    for value in ("2", "3"):
        change(cluster, "kubectl", space, "a", word=value)
    assert command(cluster, "history", "purge", "cm", f"{space}/a") == 0
    assert f"configmaps {space}/a: 2 earlier versions purged" in capsys.readouterr().out
    assert command(cluster, "history", "cm", f"{space}/a") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2, "the heading and the present version"
    assert command(cluster, "history", "purge", "cm", f"{space}/a") == 0
    assert "0 earlier versions purged" in capsys.readouterr().out
    assert command(cluster, "undo", "cm", f"{space}/a") == 1


@pytest.mark.parametrize(
    "words", [("forget", "cm", "a"), ("purge", "cm", "a", "--diff"), ("purge", "cm", "a", "--revision", "3")]
)
def test_what_is_no_purge_is_refused(words: tuple[str, ...], cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(cluster, "history", *words) == 1
    assert "what is to be purged (purge KIND [NS/]NAME)" in capsys.readouterr().err
