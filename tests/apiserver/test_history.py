"""The past over the API: gets and lists as of a revision, versions of an object, what a user agent has done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from navarch.storage import mvcc
from navarch.storage.history import Retention
from navarch.storage.sqlite import SQLiteBackend
from tests.apiserver.bench import ALICE, Bench, bench

PATH = "/navarch/v1/history"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db", Retention(bytes=1_000_000))) as api:
        yield api


def forget(api: Bench) -> None:
    """Have everything leave the window."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 0)
        api.run(api.store.compact())


def configmap(name: str, value: str, **metadata: str) -> Any:
    return {"metadata": {"name": name, "namespace": "default", **metadata}, "data": {"value": value}}


def exact(revision: Any) -> dict[str, str]:
    return {"resourceVersion": str(revision), "resourceVersionMatch": "Exact"}


def revision_of(obj: Any) -> int:
    return int(obj["metadata"]["resourceVersion"])


def test_an_object_is_read_as_it_was(api: Bench) -> None:
    first = api.made("configmaps", configmap("a", "1"))
    second = api.put("configmaps", configmap("a", "2")).json
    gone = revision_of(api.made("configmaps", configmap("b", "1")))
    api.delete("configmaps", "a")
    for _ in range(2):
        assert api.get("configmaps", "a").status == 404
        assert api.get("configmaps", "a", **exact(revision_of(first))).json == first
        assert api.get("configmaps", "a", **exact(gone)).json == second
        missing = api.get("configmaps", "b", **exact(revision_of(second)))
        assert (missing.status, missing.reason) == (404, "NotFound")
        assert api.get("configmaps", "a", **exact(api.store.revision)).status == 404
        forget(api)
    # Without a revision, and with another match, it is the get that Kubernetes knows.
    assert api.get("configmaps", "b", resourceVersionMatch="Exact").status == 200
    assert api.get("configmaps", "b", resourceVersion=str(gone), resourceVersionMatch="NotOlderThan").status == 200
    assert api.get("configmaps", "b", **exact(api.store.revision + 1)).status == 504


def test_a_list_goes_back_as_far_as_the_history_page_by_page(api: Bench) -> None:
    for number in range(5):
        api.made("configmaps", configmap(f"n{number}", "1", labels={"odd": str(number % 2)}))  # type: ignore[arg-type]
    then = api.store.revision
    for number in range(5):
        api.put("configmaps", configmap(f"n{number}", "2"))
    api.delete("configmaps", "n3")
    forget(api)
    whole = api.list("configmaps", "default", **exact(then)).json
    assert [(item["metadata"]["name"], item["data"]["value"]) for item in whole["items"]] == [(f"n{n}", "1") for n in range(5)]
    assert whole["metadata"] == {"resourceVersion": str(then)}
    labelled = api.list("configmaps", "default", labelSelector="odd=1", **exact(then)).json["items"]
    assert [item["metadata"]["name"] for item in labelled] == ["n1", "n3"]
    page = api.list("configmaps", "default", limit="2", **exact(then)).json
    pages = [page]
    while token := pages[-1]["metadata"].get("continue"):
        forget(api)
        pages.append(api.list("configmaps", "default", limit="2", **{"continue": token}).json)
    assert [item for page in pages for item in page["items"]] == whole["items"] and len(pages) == 3


def test_a_plain_list_expires_with_the_window_as_in_kubernetes(api: Bench) -> None:
    for number in range(3):
        api.made("configmaps", configmap(f"n{number}", "1"))
    token = api.list("configmaps", "default", limit="1").json["metadata"]["continue"]
    api.put("configmaps", configmap("n2", "2"))
    api.made("secrets", {"metadata": {"name": "s", "namespace": "default"}})
    forget(api)
    expired = api.list("configmaps", "default", limit="1", **{"continue": token})
    assert (expired.status, expired.reason) == (410, "Expired") and expired.json["metadata"]["continue"]


def test_what_is_no_longer_known_has_expired(api: Bench) -> None:
    first = revision_of(api.made("configmaps", configmap("a", "1")))
    for number in range(20):
        api.put("configmaps", configmap("a", str(number) * 100_000))
    forget(api)
    for reply in (
        api.get("configmaps", "a", **exact(first)),
        api.list("configmaps", "default", **exact(first)),
        api.list("leases.coordination.k8s.io", "default", **exact(first)),
    ):
        assert (reply.status, reply.reason, reply.message) == (
            410,
            "Expired",
            f"The provided resource version is too old: {first}",
        )


def test_versions_tell_who_wrote_them(api: Bench) -> None:
    made = api.call(
        "POST",
        "/api/v1/namespaces/default/configmaps",
        configmap("a", "1"),
        user=ALICE,
        headers={"user-agent": "kubectl/v1.36 (linux)"},
        fieldManager="by-hand",
    ).json
    api.put("configmaps", {**made, "data": {"value": "2"}})
    api.delete("configmaps", "a")
    asked = {"resource": "configmaps", "namespace": "default", "name": "a"}
    found = api.call("GET", PATH, **asked).json
    assert found["knowsAuthors"] is True
    assert [(v["type"], v["user"], v["fieldManager"], v["userAgent"]) for v in found["versions"]] == [
        ("ADDED", "alice", "by-hand", "kubectl/v1.36 (linux)"),
        ("MODIFIED", "admin", "", ""),
        ("DELETED", "admin", "", ""),
    ]
    assert found["versions"][0]["object"] == made and found["versions"][0]["timeMilliseconds"] > 0
    by_agent = api.call("GET", PATH, userAgent="kubectl/", since="0").json
    assert by_agent["isComplete"] and [v["name"] for v in by_agent["versions"]] == ["a"]


def test_questions_that_make_no_sense_and_askers_who_may_not(api: Bench) -> None:
    for asked in (
        {"resource": "unicorns", "namespace": "default", "name": "a"},
        {"resource": "configmaps", "name": "a"},
        {"resource": "nodes", "namespace": "default", "name": "a"},
        {"resource": "configmaps", "namespace": "default"},
        {"userAgent": "kubectl"},
        {"userAgent": "kubectl", "since": "-1"},
        {"userAgent": "kubectl", "since": "soon"},
    ):
        reply = api.call("GET", PATH, **asked)
        assert (reply.status, reply.reason) == (400, "BadRequest"), asked
    asked = {"resource": "configmaps", "namespace": "default", "name": "a"}
    assert api.call("GET", PATH, user=None, **asked).status in (401, 403)
    assert api.call("POST", PATH, {}, **asked).status == 405
    assert api.call("GET", PATH, **asked).json["versions"] == []


def test_who_may_delete_an_object_may_purge_its_past(api: Bench) -> None:
    first = revision_of(api.made("configmaps", configmap("a", "secret")))
    api.put("configmaps", configmap("a", "2"))
    asked = {"resource": "configmaps", "namespace": "default", "name": "a"}
    assert api.call("DELETE", PATH, user=None, **asked).status in (401, 403)
    answer = api.call("DELETE", PATH, **asked)
    assert (answer.status, answer.json) == (200, {"purged": 1})
    assert [version["object"]["data"] for version in api.call("GET", PATH, **asked).json["versions"]] == [{"value": "2"}]
    assert api.get("configmaps", "a", **exact(first)).status == 410
    assert api.get("configmaps", "a").json["data"] == {"value": "2"}
