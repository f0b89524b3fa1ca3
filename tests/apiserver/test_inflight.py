"""So many requests at once and no more, but for those that take their time and those of the mighty."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from navarch.apiserver.inflight import InFlight, TooManyRequests
from navarch.apiserver.request import User
from navarch.apiserver.requestinfo import RequestInfo, parse
from navarch.component.httpserver import Request, Response
from tests.apiserver.bench import ADMIN, ALICE, Bench, Certificate, bench, encode

PODS = "/api/v1/namespaces/default/pods"
MASTER, ORDINARY = User("admin", ("system:masters",)), User("alice", ("system:authenticated",))


def at_once(api: Bench, count: int, user: Certificate, prefix: str) -> list[Response]:
    """The answers to so many creations that are all under way before the first has been stored."""
    headers = {"content-type": "application/json"}

    async def create() -> list[Response]:
        path, bodies = "/api/v1/namespaces/default/configmaps", [{"metadata": {"name": f"{prefix}-{n}"}} for n in range(count)]
        requests = [Request("POST", path, "", headers, encode(body), user) for body in bodies]
        return await asyncio.gather(*[api.server.pipeline.handle(request) for request in requests])

    return api.run(create())


def test_what_is_over_the_limit_is_told_to_come_again(tmp_path: Path) -> None:
    with bench(tmp_path, mutating_requests_in_flight_limit=3) as api:
        answers = at_once(api, 5, ALICE, "alice")
        assert Counter(answer.status for answer in answers) == {201: 3, 429: 2}
        refused = next(answer for answer in answers if answer.status == 429)
        headers = {name.lower(): value for name, value in refused.headers}
        assert refused.body == b"Too many requests, please try again later.\n"
        assert (headers["retry-after"], headers["content-type"]) == ("1", "text/plain; charset=utf-8")
        assert headers["x-content-type-options"] == "nosniff" and headers["audit-id"]
        assert [answer.status for answer in at_once(api, 3, ALICE, "later")] == [201] * 3


def test_masters_are_not_limited(tmp_path: Path) -> None:
    with bench(tmp_path, mutating_requests_in_flight_limit=1) as api:
        assert {answer.status for answer in at_once(api, 4, ADMIN, "admin")} == {201}


def test_refused_requests_leave_nothing_behind(tmp_path: Path) -> None:
    with bench(tmp_path, mutating_requests_in_flight_limit=1, requests_in_flight_limit=1) as api:
        for _ in range(3):
            assert api.call("GET", f"{PODS}/none", user=ALICE).status == 404
            assert api.call("POST", PODS, {"spec": 3}, user=ALICE).status == 400
            assert api.call("GET", "/nothing", user=ALICE).status == 404
            assert api.call("GET", PODS, user=None).status == 403


@pytest.mark.parametrize(
    ("method", "path", "query", "kind"),
    [
        ("GET", PODS, {}, "readOnly"),
        ("HEAD", f"{PODS}/a", {}, "readOnly"),
        ("GET", "/healthz", {}, "readOnly"),
        ("POST", PODS, {}, "mutating"),
        ("DELETE", PODS, {}, "mutating"),
        ("POST", "/healthz", {}, "mutating"),
        ("GET", PODS, {"watch": ["1"]}, ""),
        ("GET", f"{PODS}/a/log", {}, ""),
        ("POST", f"{PODS}/a/exec", {}, ""),
        ("POST", f"{PODS}/a/attach", {}, ""),
        ("POST", f"{PODS}/a/portforward", {}, ""),
        ("PUT", f"{PODS}/a/proxy/x", {}, ""),
    ],
)
def test_requests_that_take_their_time_are_not_counted(method: str, path: str, query: dict[str, list[str]], kind: str) -> None:
    in_flight = InFlight()
    assert in_flight.enter(parse(method, path, query), ORDINARY) == kind
    assert sum(in_flight.counts.values()) == bool(kind)
    in_flight.leave(kind)
    assert not any(in_flight.counts.values())


def test_the_kinds_have_limits_of_their_own() -> None:
    in_flight, get, create = InFlight(2, 1), RequestInfo("", "get", True), RequestInfo("", "create", True)
    assert [in_flight.enter(info, ORDINARY) for info in (get, create, get)] == ["readOnly", "mutating", "readOnly"]
    for info in (get, create):
        with pytest.raises(TooManyRequests):
            in_flight.enter(info, ORDINARY)
        assert in_flight.enter(info, MASTER) == ""
    in_flight.leave("mutating")
    assert in_flight.enter(create, ORDINARY) == "mutating"
