"""A read replica: it answers what it can, has the leader answer the rest as whoever asked, and never shows what is old."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from navarch.apiserver import replication
from navarch.apiserver.replication import CARRIED, FEED
from navarch.apiserver.server import APIServer, APIServerConfig
from navarch.component import httpserver
from navarch.component.httpclient import HTTPClient
from navarch.component.httpserver import Request
from navarch.component.pki import PKI
from navarch.storage.replica.store import ReplicaStore
from navarch.storage.sqlite import SQLiteBackend
from tests.apiserver.bench import ADMIN, ALICE, Asking, Bench, bench, encode
from tests.apiserver.robots import Robot, today


class Follower(Asking):
    """A replica beside a leader, on the same event loop."""

    def __init__(self, leader: Bench, directory: Path, sockets: Path) -> None:
        self.loop = leader.loop
        key = PKI(directory / "pki").service_account_key
        config = APIServerConfig(service_account_key_file=key, bind_address="127.0.0.1", port=0, leader=sockets)
        self.server = APIServer(config, ReplicaStore(sockets / FEED))
        self.run(self.server.listen())
        self.own = 0
        """How many requests it has answered itself."""
        handle = self.server.pipeline.handle

        async def counted(request: Request) -> Any:
            self.own += 1
            return await handle(request)

        self.server.pipeline.handle = counted  # type: ignore[method-assign]

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        user: Any = ADMIN,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Any:
        content = body if isinstance(body, bytes) else b"" if body is None else encode(body)
        sent = {"content-type": content_type, **(headers or {})}
        return self.run(
            self.server._handle(Request(method, path, urlencode(query, doseq=True), sent, content, user, "10.1.2.3"))
        )

    def close(self) -> None:
        self.run(self.server.stop())


@pytest.fixture
def sockets() -> Iterator[Path]:
    # A socket's path is short.
    found = Path(tempfile.mkdtemp(prefix="navarch-"))
    yield found
    shutil.rmtree(found)


@pytest.fixture
def leader(tmp_path: Path, sockets: Path) -> Iterator[Bench]:
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as found:
        found.run(found.server.serve_replicas(sockets))
        yield found


@pytest.fixture
def replica(leader: Bench, tmp_path: Path, sockets: Path) -> Iterator[Follower]:
    found = Follower(leader, tmp_path, sockets)
    yield found
    found.close()


def configmap(name: str, value: str = "1") -> Any:
    return {"metadata": {"name": name, "namespace": "default"}, "data": {"value": value}}


def test_what_is_written_through_one_is_read_through_the_other(leader: Bench, replica: Follower) -> None:
    for number in range(100):
        by, reader = (leader, replica) if number % 2 else (replica, leader)
        made = by.made("configmaps", configmap(f"a{number}"))
        assert reader.get("configmaps", f"a{number}").json == made
        changed = by.put("configmaps", {**made, "data": {"value": "2"}}).json
        assert reader.get("configmaps", f"a{number}").json == changed
        found = reader.list("configmaps", "default").json
        assert len([item for item in found["items"] if item["metadata"]["name"].startswith("a")]) == number + 1
        assert int(found["metadata"]["resourceVersion"]) >= int(changed["metadata"]["resourceVersion"])
    # Lists that the replica answered, its gets, and nothing else.
    assert replica.own == 150


def test_reads_are_its_own_and_the_rest_is_the_leaders(leader: Bench, replica: Follower) -> None:
    made = leader.made("configmaps", configmap("a"))
    path = "/api/v1/namespaces/default/configmaps"
    version = made["metadata"]["resourceVersion"]
    for own, method, asked, query in (
        (True, "GET", f"{path}/a", {}),
        (True, "HEAD", f"{path}/a", {}),
        (True, "GET", path, {"limit": "1"}),
        (True, "GET", path, {"resourceVersion": "0"}),
        (True, "GET", f"{path}/a", {"resourceVersion": version}),
        (True, "GET", "/livez", {}),
        (True, "GET", "/version", {}),
        (False, "GET", path, {"resourceVersion": version, "resourceVersionMatch": "Exact"}),
        (False, "GET", path, {"continue": "x"}),
        (False, "GET", "/api/v1", {}),
        (False, "GET", "/apis", {}),
        (False, "GET", "/", {}),
        (False, "GET", "/metrics", {}),
        (False, "GET", "/navarch/v1/history", {"resource": "configmaps", "namespace": "default", "name": "a"}),
        (False, "GET", "/api/v1/componentstatuses", {}),
        (False, "GET", "/apis/apps/v1/namespaces/default/deployments/none/scale", {}),
        (False, "DELETE", f"{path}/a", {"dryRun": "All"}),
        (False, "DELETE", path, {}),
    ):
        before = replica.own
        answer, other = replica.call(method, asked, **query), leader.call(method, asked, **query)
        assert (replica.own > before) == own, (method, asked, query)
        assert answer.status == other.status, (method, asked, query)


def test_a_get_whose_headers_are_known_is_answered_at_once_and_is_fresh(leader: Bench, replica: Follower) -> None:
    def get(name: str, user: Any = ADMIN) -> httpserver.Response:
        path = f"/api/v1/namespaces/default/configmaps/{name}"
        asked = Request("GET", path, "", {"accept": "application/json"}, b"", user, head=b"known")
        found: httpserver.Response = replica.run(replica.server._handle(asked))
        return found

    made = leader.made("configmaps", configmap("a"))
    for number in range(20):
        head, _, body = get("a").whole.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and orjson.loads(body) == made
        made = leader.put("configmaps", {**made, "data": {"value": str(number)}}).json
    assert replica.own == 0
    leader.delete("configmaps", "a")
    assert get("a").status == 404 and get("a", user=None).status in (401, 403)


def test_the_leader_knows_who_asks_and_from_where(leader: Bench, replica: Follower) -> None:
    assert (
        replica.post("configmaps", configmap("a"), user=ALICE).status
        == leader.post("configmaps", configmap("b"), user=ALICE).status
    )
    assert replica.post("configmaps", configmap("c"), user=None).status in (401, 403)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    url = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

    def asks_as(**options: Any) -> Any:
        return replica.call("POST", url, review, **options).json["status"]["userInfo"]

    assert asks_as(user=ALICE)["username"] == "alice"
    token = replica.call("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}}).json["status"][
        "token"
    ]
    assert (
        asks_as(user=None, headers={"authorization": f"Bearer {token}"})["username"] == "system:serviceaccount:default:default"
    )
    assert replica.get("configmaps", "c", headers={"authorization": f"Bearer {token}"}, user=None).status == 404
    impersonated = {"impersonate-user": "bob", "impersonate-group": "x, y\nz"}
    found = asks_as(headers=impersonated)
    assert found["username"] == "bob" and {"x, y", "z"} <= set(found["groups"])
    # Whether she may is the leader's to say.
    for server in (leader, replica):
        answer = server.call("POST", url, review, user=None, headers=impersonated)
        assert answer.status in (401, 403)


def test_nobody_becomes_another_by_a_header(leader: Bench, replica: Follower, sockets: Path) -> None:
    told = replication._told(Request("GET", "/", "", {}, peer_certificate=ADMIN))
    url, review = (
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "SelfSubjectReview",
        },
    )
    for server in (leader, replica):
        answer = server.call("POST", url, review, user=ALICE, headers={CARRIED: told})
        assert answer.json["status"]["userInfo"]["username"] == "alice"

    async def bare() -> int:
        client = HTTPClient("http://leader", unix_socket=str(sockets / "api"))
        try:
            return (await client.request("GET", "/api")).status
        finally:
            client.close()

    assert replica.run(bare()) == 401, "who says nothing of whom it asks for is nobody"
    assert sockets.stat().st_mode & 0o777 == 0o700


def test_a_watch_goes_on_from_where_a_list_ended_and_from_before_there_was_a_replica(
    leader: Bench, tmp_path: Path, sockets: Path
) -> None:
    start = leader.store.revision
    leader.made("configmaps", configmap("before"))
    replica = Follower(leader, tmp_path, sockets)
    own = replica.watch(
        "/api/v1/configmaps", resourceVersion=str(replica.list("configmaps").json["metadata"]["resourceVersion"])
    )
    carried = replica.watch("/api/v1/configmaps", resourceVersion=str(start))
    assert replica.own == 2, "the list and the watch that it can answer"
    made = replica.made("configmaps", configmap("after"))
    replica.delete("configmaps", "before")
    assert [own.next()["object"]["metadata"]["name"] for _ in range(2)] == ["after", "before"]
    events = [carried.next() for _ in range(3)]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("ADDED", "before"),
        ("ADDED", "after"),
        ("DELETED", "before"),
    ]
    assert events[1]["object"] == made
    own.close()
    carried.close()
    replica.close()


def test_what_users_define_is_served_at_once(leader: Bench, replica: Follower) -> None:
    names = {"plural": "apples", "singular": "apple", "kind": "Apple", "listKind": "AppleList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    replica.made("customresourcedefinitions.apiextensions.k8s.io", {"metadata": {"name": "apples.example.com"}, "spec": spec})
    url = "/apis/example.com/v1/namespaces/default/apples"
    apple = {"apiVersion": "example.com/v1", "kind": "Apple", "metadata": {"name": "a"}}
    made = replica.call("POST", url, apple)
    assert made.status == 201
    before = replica.own
    assert replica.call("GET", f"{url}/a").json == made.json and replica.own == before + 1


def test_a_leader_that_hangs_or_is_gone_is_no_reason_to_show_what_is_old(
    leader: Bench, tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from navarch.storage.replica import feed, store

    leader.made("configmaps", configmap("a"))
    replica = Follower(leader, tmp_path, sockets)
    monkeypatch.setattr(store, "ANSWER_TIMEOUT_SECONDS", 0.05)
    with monkeypatch.context() as patched:
        patched.setattr(feed._Follower, "data_received", lambda self, data: None)
        answer = replica.get("configmaps", "a")
        assert (answer.status, answer.reason) == (503, "ServiceUnavailable") and "has not answered" in answer.message
        assert replica.call("GET", "/readyz").status == 500
        assert replica.get("configmaps", "a", resourceVersion="0").status == 200
    assert replica.get("configmaps", "a").status == 200
    assert replica.call("GET", "/readyz").status == 200
    leader.run(leader.server._replicas.close())  # type: ignore[union-attr]
    replica.run(replica.server.store.lost())  # type: ignore[attr-defined]
    assert replica.get("configmaps", "a").status == 503
    answer = replica.post("configmaps", configmap("b"))
    assert (answer.status, answer.reason) == (503, "ServiceUnavailable") and "cannot be reached" in answer.message
    replica.close()


def test_a_follower_that_does_not_keep_up_is_let_go(
    leader: Bench, tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from navarch.storage.replica import feed

    replica = Follower(leader, tmp_path, sockets)
    monkeypatch.setattr(feed, "BEHIND_LIMIT_BYTES", 1000)
    for follower in leader.server._replicas._feed._followers:  # type: ignore[union-attr]
        # As one that is told everything yet, slowly.
        follower._reading = leader.loop.create_task(asyncio.sleep(60))
    leader.made("configmaps", configmap("a", "x" * 2000))
    replica.run(replica.server.store.lost())  # type: ignore[attr-defined]
    assert leader.server._replicas.followers == 0  # type: ignore[union-attr]
    replica.close()
    again = Follower(leader, tmp_path, sockets)
    assert again.get("configmaps", "a").status == 200
    again.close()


def test_the_port_is_shared(tmp_path: Path) -> None:
    async def test() -> None:
        async def answer(request: Request) -> httpserver.Response:
            return httpserver.Response()

        key = PKI(tmp_path / "pki")
        key.ensure(())
        config = APIServerConfig(
            service_account_key_file=key.service_account_key, bind_address="127.0.0.1", port=0, shares_port=True
        )
        first = APIServer(config, None)._shared_socket()  # type: ignore[arg-type]
        port = first.getsockname()[1]
        server = await httpserver.serve(answer, sock=first)
        second = APIServer(replace(config, port=port), None)._shared_socket()  # type: ignore[arg-type]
        assert second.getsockname()[1] == port
        second.close()
        await server.close()

    asyncio.run(test())


def test_a_read_replica_has_uses_written_down(leader: Bench, replica: Follower) -> None:
    leader.listen()
    robot = Robot(leader, "afar")
    path = "/api/v1/namespaces/default/serviceaccounts/afar"
    assert replica.call("GET", path, user=None, headers=robot.headers).status == 200
    leader.until(lambda: robot.label() == today())
    leader.until(lambda: not replica.server.pipeline.must_be_noted(Request("GET", path, "", robot.headers)))
    before = replica.own
    assert replica.call("GET", path, user=None, headers=robot.headers).status == 200
    assert replica.own == before + 1, "what is written down already it answers itself"
