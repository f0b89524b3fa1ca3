"""Several API servers over one real etcd: whichever is asked, the answer is the same; and what they say while etcd is away."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery.errors import StatusError
from navarch.apiserver import kubernetesservice, masterleases
from navarch.apiserver.server import APIServer, APIServerConfig
from navarch.client.client import Client
from navarch.client.leaderelection import LeaderElectionConfig, LeaderElector
from navarch.component.pki import PKI
from navarch.storage.etcd.client import EtcdClient
from navarch.storage.etcd.config import EtcdConfig
from navarch.storage.etcd.store import EtcdStore
from tests.apiserver.bench import Bench, bench
from tests.etcd import Etcd
from tests.lossynetwork import LossyNetwork

Pair = tuple[Bench, Bench]


@pytest.fixture
def servers(etcd: Etcd, tmp_path: Path) -> Iterator[Pair]:
    """Two of them, with the same keys."""
    with bench(tmp_path, store=etcd.store()) as one, bench(tmp_path, store=etcd.store(), beside=one) as other:
        yield one, other


def configmap(name: str, **data: str) -> Any:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


def service(name: str, **spec: Any) -> Any:
    port = {"port": 80, **({"nodePort": spec.pop("node_port")} if "node_port" in spec else {})}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"type": "NodePort", "ports": [port], **spec}}


async def outcomes(*calls: Any) -> list[Any]:
    """What each call at once has brought: an object, or the code of its failure."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    for result in found:
        assert not isinstance(result, BaseException) or isinstance(result, StatusError), result
    return [result.code if isinstance(result, StatusError) else result for result in found]


# Reads


def test_whatever_one_has_written_the_other_reads_at_once(servers: Pair) -> None:
    one, other = servers
    for number in range(10):
        for writer, reader in ((one, other), (other, one)):
            made = writer.made("configmaps", configmap(f"n{number}-{id(writer)}"))
            name = made["metadata"]["name"]
            assert reader.get("configmaps", name).json == made
            assert name in [item["metadata"]["name"] for item in reader.list("configmaps", "default").json["items"]]
            assert writer.delete("configmaps", name).status == 200
            assert reader.get("configmaps", name).status == 404


def test_a_read_that_names_a_revision_of_the_other_is_not_older(servers: Pair) -> None:
    one, other = servers
    for number in range(10):
        version = one.made("configmaps", configmap(f"n{number}"))["metadata"]["resourceVersion"]
        assert other.get("configmaps", f"n{number}", resourceVersion=version).status == 200
        listed = other.list("configmaps", "default", resourceVersion=version, resourceVersionMatch="NotOlderThan").json
        assert len(listed["items"]) == number + 1
        exact = other.list("configmaps", "default", resourceVersion=version, resourceVersionMatch="Exact").json
        assert exact["metadata"]["resourceVersion"] == version and len(exact["items"]) == number + 1


def test_a_list_begun_at_one_is_continued_at_the_other(servers: Pair) -> None:
    one, other = servers
    for number in range(7):
        one.made("configmaps", configmap(f"n{number}"))
    names, token, readers = [], None, [one, other]
    while token != "":
        reader = readers[len(names) % 2]
        page = reader.list("configmaps", "default", limit=1, **({"continue": token} if token else {})).json
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        # What comes later belongs to another list.
        reader.made("configmaps", configmap(f"later-{len(names)}"))
    assert names == [f"n{number}" for number in range(7)]


def test_watchers_of_one_see_what_the_other_writes_and_may_go_on_there(servers: Pair) -> None:
    one, other = servers
    path = "/api/v1/namespaces/default/configmaps"
    since = one.list("configmaps", "default").json["metadata"]["resourceVersion"]
    watch = other.watch(path, resourceVersion=since)
    one.made("configmaps", configmap("a", x="1"))
    one.patch("configmaps", "a", {"data": {"x": "2"}})
    events = [watch.next(), watch.next()]
    assert [(event["type"], event["object"]["data"]["x"]) for event in events] == [("ADDED", "1"), ("MODIFIED", "2")]
    watch.close()
    again = one.watch(path, resourceVersion=events[0]["object"]["metadata"]["resourceVersion"])
    other.delete("configmaps", "a")
    assert [again.next()["type"] for _ in range(2)] == ["MODIFIED", "DELETED"]
    again.close()


# Writes


def test_who_writes_on_an_old_version_is_refused_whichever_server_changed_it(servers: Pair) -> None:
    one, other = servers
    old = one.made("configmaps", configmap("a", x="1"))
    new = other.put("configmaps", {**old, "data": {"x": "2"}})
    assert new.status == 200
    refused = one.put("configmaps", {**old, "data": {"x": "3"}})
    assert (refused.status, refused.reason) == (409, "Conflict")
    assert one.put("configmaps", {**new.json, "data": {"x": "1"}}).status == 200
    # What it was before is no answer to a patch that wants it so again.
    assert other.patch("configmaps", "a", {"data": {"x": "2"}}).json["data"] == {"x": "2"}
    assert one.get("configmaps", "a").json["data"] == {"x": "2"}


def test_patches_of_one_object_at_both_are_all_in_it(servers: Pair) -> None:
    one, other = servers
    one.made("configmaps", configmap("a"))

    async def test() -> list[Any]:
        patches = [
            api.client.patch("configmaps", "a", {"data": {f"{name}{number}": "x"}}, "default")
            for number in range(10)
            for name, api in (("one", one), ("other", other))
        ]
        return await outcomes(*patches)

    assert all(isinstance(outcome, dict) for outcome in one.run(test()))
    assert len(one.get("configmaps", "a").json["data"]) == 20


def test_of_two_that_create_the_same_name_one_is_told_that_it_exists(servers: Pair) -> None:
    one, other = servers

    async def test() -> list[Any]:
        found = []
        for number in range(10):
            both = await outcomes(*(api.client.create("configmaps", configmap(f"n{number}")) for api in servers))
            found.append(sorted(409 if outcome == 409 else 201 for outcome in both))
        return found

    assert one.run(test()) == [[201, 409]] * 10
    assert len(other.list("configmaps", "default").json["items"]) == 10


def test_both_give_every_service_an_address_and_a_port_of_its_own(servers: Pair) -> None:
    one, other = servers

    async def test() -> list[Any]:
        return await outcomes(
            *(
                api.client.create("services", service(f"s{number}-{index}"))
                for number in range(15)
                for index, api in enumerate(servers)
            )
        )

    made = one.run(test())
    assert len({svc["spec"]["clusterIP"] for svc in made}) == len({svc["spec"]["ports"][0]["nodePort"] for svc in made}) == 30
    assert len(other.list("ipaddresses.networking.k8s.io").json["items"]) == 30


def test_an_address_or_a_port_that_two_ask_for_is_given_to_one(servers: Pair) -> None:
    one, other = servers

    async def test(number: int, **spec: Any) -> list[Any]:
        calls = (api.client.create("services", service(f"s{number}-{index}", **spec)) for index, api in enumerate(servers))
        return [422 if outcome == 422 else 201 for outcome in await outcomes(*calls)]

    for number in range(5):
        assert sorted(one.run(test(number, clusterIP=f"10.96.7.{number + 1}"))) == [201, 422]
        assert sorted(one.run(test(100 + number, node_port=30100 + number))) == [201, 422]
    # A Service gives its port back to both.
    (holder,) = [svc for svc in one.list("services").json["items"] if svc["spec"]["ports"][0].get("nodePort") == 30100]
    assert one.delete("services", holder["metadata"]["name"]).status == 200
    assert other.post("services", service("next", node_port=30100)).status == 201


def test_a_port_that_is_claimed_for_no_service_is_free(servers: Pair, etcd: Etcd) -> None:
    one, other = servers
    key = "/registry/ranges/servicenodeports/30200"
    etcd.write(key, b'{"metadata":{"name":"30200"},"service":"default/long-gone"}')
    one.made("services", service("a", node_port=30200))
    assert other.post("services", service("b", node_port=30200)).status == 422
    assert other.store.get("/registry/ranges/", key).object()["service"] == "default/a"
    one.delete("services", "a")
    assert one.store.get("/registry/ranges/", key) is None


def test_a_token_of_an_account_that_one_has_just_made_is_good_at_the_other(servers: Pair) -> None:
    one, other = servers
    for number in range(5):
        account = {"metadata": {"name": f"robot{number}", "namespace": "default"}}
        one.made("serviceaccounts", account)
        path = f"/api/v1/namespaces/default/serviceaccounts/robot{number}/token"
        token = one.call("POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}).json["status"][
            "token"
        ]
        headers = {"authorization": f"Bearer {token}"}
        assert other.call("GET", "/api/v1/namespaces/default", user=None, headers=headers).status == 200
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        assert other.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review).json["status"]["authenticated"] is True
        one.delete("serviceaccounts", f"robot{number}")
        assert other.call("GET", "/api/v1/namespaces/default", user=None, headers={"authorization": "Bearer x"}).status == 401


def test_servers_that_start_at_once_make_what_every_cluster_has_once(etcd: Etcd, tmp_path: Path) -> None:
    pki = PKI(tmp_path)
    pki.ensure(())
    config = APIServerConfig(service_account_key_file=pki.service_account_key)

    async def test() -> list[list[str]]:
        servers = [APIServer(config, etcd.store()) for _ in range(4)]
        await asyncio.gather(*(server.start() for server in servers))
        found = []
        for server in servers:
            listed = await Client(server.transport()).list("servicecidrs.networking.k8s.io")
            found.append([item["metadata"]["uid"] for item in listed["items"]])
        for server in servers:
            await server.stop()
        return found

    found = asyncio.run(test())
    assert len(found[0]) == 1 and found == [found[0]] * 4


# The kubernetes Service


def leads_to(api: Bench, *addresses: str) -> bool:
    (subset,) = api.get("endpoints", "kubernetes").json["subsets"]
    (slice_,) = api.list("endpointslices.discovery.k8s.io", "default").json["items"]
    found = [address["ip"] for address in subset["addresses"]]
    return [address for endpoint in slice_["endpoints"] for address in endpoint["addresses"]] == found == list(addresses)


def test_the_kubernetes_service_leads_to_all_servers_that_are_alive(
    etcd: Etcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetesservice, "RECONCILE_SECONDS", 0.05)
    monkeypatch.setattr(masterleases, "LEASE_SECONDS", 1.0)
    with bench(tmp_path, store=etcd.store()) as one:
        others = [Bench(tmp_path, store=etcd.store(), beside=one) for _ in range(2)]
        for number, api in enumerate((one, *others)):
            # As if each were on a machine of its own; they cannot have the same port here.
            object.__setattr__(api.server.config, "advertise_address", f"10.0.0.{number + 1}")
            monkeypatch.setattr(APIServer, "port", property(lambda server: 6443))
            api.listen()
        for api in (one, *others):
            api.until(lambda api=api: leads_to(api, "10.0.0.1", "10.0.0.2", "10.0.0.3"))
        others[0].close()
        one.until(lambda: leads_to(one, "10.0.0.1", "10.0.0.3"))
        # The last one ends without a word.
        one.run(others[1].server._tasks.stop())
        one.until(lambda: leads_to(one, "10.0.0.1"))
        assert list(one.store.collection(masterleases.PREFIX).records) == [f"{masterleases.PREFIX}10.0.0.1"]
        others[1].close()


# etcd is away


def test_while_etcd_is_away_only_reads_of_any_revision_go_on(servers: Pair, etcd: Etcd) -> None:
    one, other = servers
    made = one.made("configmaps", configmap("a"))
    assert other.get("configmaps", "a").status == 200
    etcd.kill()
    for api in servers:
        for reply in (
            api.post("configmaps", configmap("b")),
            api.put("configmaps", made),
            api.patch("configmaps", "a", {"data": {"x": "y"}}),
            api.delete("configmaps", "a"),
            api.get("configmaps", "a"),
            api.get("configmaps", "missing"),
            api.list("configmaps", "default"),
            api.call("GET", "/api/v1/configmaps", watch="true"),
        ):
            assert reply.status == 503 and reply.json["kind"] == "Status" and reply.reason == "ServiceUnavailable"
            assert reply.headers["retry-after"] == "1" and reply.json["details"] == {"retryAfterSeconds": 1}
            assert etcd.endpoint in reply.message
        assert api.get("configmaps", "a", resourceVersion="0").json == made
        assert len(api.list("configmaps", "default", resourceVersion="0").json["items"]) == 1
        assert api.call("GET", "/livez").status == 200
        ready = api.call("GET", "/readyz", verbose="")
        assert ready.status == 500 and b"[-]etcd failed" in ready.body
        (component,) = [item for item in api.list("componentstatuses").json["items"] if item["metadata"]["name"] == "etcd-0"]
        assert etcd.endpoint in component["conditions"][0]["error" if "error" in component["conditions"][0] else "message"]
    etcd.start()
    for api in servers:
        api.until(lambda api=api: api.post("configmaps", configmap(f"n{id(api)}")).status == 201)
        api.until(lambda api=api: api.call("GET", "/readyz/etcd").status == 200)
    assert len(other.list("configmaps", "default").json["items"]) == 3


def test_watchers_whose_past_was_compacted_before_it_was_seen_must_list_again(etcd: Etcd, tmp_path: Path) -> None:
    network = LossyNetwork(etcd.endpoint)
    with bench(tmp_path, store=etcd.store()) as one:
        one.run(network.open())
        store = EtcdStore(EtcdClient(EtcdConfig((network.endpoint,))))
        with bench(tmp_path, store=store, beside=one) as other:
            watches = [other.watch("/api/v1/configmaps", resourceVersion=str(other.store.revision)) for _ in range(2)]
            one.run(network.close())
            one.made("configmaps", configmap("a", x="1"))
            one.made("configmaps", configmap("b"))
            one.delete("configmaps", "b")
            etcd.compact()
            one.run(network.open())
            for watch in watches:
                (event,) = watch.rest()
                assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
            listed = other.list("configmaps").json
            assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]
            watch = other.watch("/api/v1/configmaps", resourceVersion=listed["metadata"]["resourceVersion"])
            one.patch("configmaps", "a", {"data": {"x": "2"}})
            assert watch.take(1) == [("MODIFIED", "a")]
            watch.close()
        one.run(network.close())


def test_a_server_that_waits_for_etcd_is_alive_but_not_ready(etcd: Etcd, tmp_path: Path) -> None:
    pki = PKI(tmp_path)
    pki.ensure(())
    config = APIServerConfig(service_account_key_file=pki.service_account_key, bind_address="127.0.0.1", port=0)

    async def ask(server: APIServer, path: str) -> tuple[int, bytes]:
        def request() -> tuple[int, bytes]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read()

        return await asyncio.to_thread(request)

    async def test() -> None:
        network = LossyNetwork(etcd.endpoint)
        await network.open()
        await network.close()
        server = APIServer(config, EtcdStore(EtcdClient(EtcdConfig((network.endpoint,)))))
        listening = asyncio.ensure_future(server.listen())
        while server._server is None:
            await asyncio.sleep(0.002)
        assert await ask(server, "/livez") == (200, b"ok")
        status, body = await ask(server, "/readyz?verbose")
        assert status == 500 and b"[-]etcd failed" in body and b"[+]ping ok" in body
        status, body = await ask(server, "/api/v1/pods")
        assert status == 503 and b'"kind":"Status"' in body and b"the API server is starting" in body
        await network.open()
        await listening
        assert await ask(server, "/readyz") == (200, b"ok")
        await server.stop()
        await network.close()

    asyncio.run(asyncio.wait_for(test(), 20))


# Leaders


def test_when_the_leaders_server_is_cut_off_from_etcd_the_one_beside_the_other_server_takes_over(
    etcd: Etcd, tmp_path: Path
) -> None:
    network = LossyNetwork(etcd.endpoint)
    times = {"lease_duration_seconds": 2.0, "renew_deadline_seconds": 1.2, "retry_period_seconds": 0.05}
    log: list[str] = []

    async def work(name: str) -> None:
        log.append(f"{name} starts")
        try:
            await asyncio.Event().wait()
        finally:
            log.append(f"{name} stops")

    async def elect(one: Bench, other: Bench) -> None:
        electors = []
        for name, api in (("one", one), ("other", other)):
            config = LeaderElectionConfig(name="kube-scheduler", identity=name, **times)
            elector = LeaderElector(Client(api.server.transport()), config)
            electors.append(asyncio.ensure_future(elector.run(lambda name=name: work(name))))
            while not log:
                await asyncio.sleep(0.002)
        await network.close()
        while "other starts" not in log:
            await asyncio.sleep(0.002)
        for elector in electors:
            elector.cancel()
        await asyncio.gather(*electors, return_exceptions=True)

    with bench(tmp_path, store=etcd.store()) as other:
        other.run(network.open())
        store = EtcdStore(EtcdClient(EtcdConfig((network.endpoint,))))
        with bench(tmp_path, store=store, beside=other) as one:
            other.run(elect(one, other))
    assert log == ["one starts", "one stops", "other starts", "other stops"]
