"""Acting as somebody else: who may, in which mode, as whom, and what those are told who may not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery.errors import StatusError
from navarch.apiserver.authorization import ALLOW, NO_OPINION, AuthorizerChain, Rules, Verdict
from navarch.apiserver.impersonation import impersonate, split_account, wanted, without
from navarch.apiserver.request import User
from navarch.apiserver.requestinfo import RequestInfo
from tests.apiserver.bench import Bench, Reply, certificate

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
GET_POD = RequestInfo("", "get", True, "", "v1", "bar", "pods", "foo")
TESTER = User("tester")
AUTHENTICATED = ("system:authenticated",)


class Granted:
    """Allows whom it was made for exactly these verbs on resources (with their names, where one is given)."""

    def __init__(self, *grants: str) -> None:
        self._grants = {tuple(grant.split(" ")) for grant in grants}

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        asked = {(info.verb, resource), (info.verb, resource, info.name)}
        return ALLOW if asked & self._grants else NO_OPINION

    def rules(self, user: User, namespace: str) -> Rules:
        return Rules()


def become(user: User, *grants: str, requestor: User = TESTER, info: RequestInfo = GET_POD) -> User:
    return impersonate(AuthorizerChain((Granted(*grants),)), requestor, user, info)


def refused(user: User, *grants: str, **options: Any) -> str:
    with pytest.raises(StatusError) as error:
        become(user, *grants, **options)
    assert error.value.code == 403 and error.value.reason == "Forbidden"
    return error.value.message


def ask(api: Bench, headers: dict[str, str], **options: Any) -> Reply:
    return api.call("POST", REVIEW, {}, headers=headers, **options)


def info_of(api: Bench, headers: dict[str, str]) -> dict[str, Any]:
    reply = ask(api, headers)
    assert reply.status == 201, reply.body
    found: dict[str, Any] = reply.json["status"]["userInfo"]
    return found


def test_a_request_is_made_as_whom_its_headers_name(api: Bench) -> None:
    sent = {
        "impersonate-user": "jane",
        "impersonate-group": "a, b\nc",
        "impersonate-uid": "7",
        "impersonate-extra-acme.com%2fproject": "x\ny",
    }
    assert info_of(api, sent) == {
        "username": "jane",
        "uid": "7",
        "groups": ["a, b", "c", "system:authenticated"],
        "extra": {"acme.com/project": ["x", "y"]},
    }


@pytest.mark.parametrize(
    ("headers", "groups"),
    [
        ({"user": "jane"}, ["system:authenticated"]),
        ({"user": "jane", "group": "system:authenticated"}, ["system:authenticated"]),
        ({"user": "jane", "group": "system:unauthenticated"}, ["system:unauthenticated"]),
        ({"user": "system:node:n1"}, ["system:nodes", "system:authenticated"]),
        ({"user": "system:node:n1", "group": "a"}, ["a", "system:authenticated"]),
        (
            {"user": "system:serviceaccount:ns:sa"},
            ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"],
        ),
        ({"user": "system:serviceaccount:ns:sa", "group": "a"}, ["a", "system:authenticated"]),
        ({"user": "system:serviceaccount:ns"}, ["system:authenticated"]),
        ({"user": "jane", "group": "system:masters"}, ["system:masters", "system:authenticated"]),
    ],
)
def test_groups_that_belong_to_a_user_are_added(api: Bench, headers: dict[str, str], groups: list[str]) -> None:
    assert info_of(api, {f"impersonate-{name}": value for name, value in headers.items()})["groups"] == groups


def test_what_the_user_may_not_do_is_not_done(api: Bench) -> None:
    reply = api.call("GET", "/api/v1/namespaces/default/pods", headers={"impersonate-user": "system:anonymous"})
    assert (reply.status, reply.message) == (
        403,
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "default"',
    )


def test_who_has_no_leave_is_refused(api: Bench) -> None:
    reply = api.call("GET", "/apis", user=None, headers={"impersonate-user": "jane"})
    assert (reply.status, reply.message) == (
        403,
        'forbidden: User "system:anonymous" cannot impersonate-on:user-info:get path "/apis"',
    )


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({"group": "a\nb"}, 'Name:"", UID:"", Groups:[]string{"a", "b"}, Extra:map[string][]string(nil)'),
        ({"uid": "7"}, 'Name:"", UID:"7", Groups:[]string(nil), Extra:map[string][]string(nil)'),
        ({"extra-k": "v", "user": ""}, 'Name:"", UID:"", Groups:[]string(nil), Extra:map[string][]string{"k":[]string{"v"}}'),
    ],
)
def test_something_of_a_user_without_the_user_is_a_bad_request(api: Bench, headers: dict[str, str], shown: str) -> None:
    reply = ask(api, {f"impersonate-{name}": value for name, value in headers.items()})
    assert (reply.status, reply.reason) == (400, "BadRequest")
    assert reply.message == f"requested &user.DefaultInfo{{{shown}}} without impersonating a user name"


def test_headers_that_only_look_alike_mean_nothing(api: Bench) -> None:
    assert info_of(api, {"impersonate-colour": "red", "impersonate-user": ""})["username"] == "admin"
    assert wanted({"x-impersonate-user": "jane"}) is None
    kept = {"impersonate-colour": "red", "accept": "*/*"}
    assert without({**kept, "impersonate-user": "jane", "impersonate-extra-k": "v"}) == kept


def test_names_are_text_in_utf_8_and_malformed_escapes_stay() -> None:
    user = wanted({"impersonate-user": "jürgen".encode().decode("latin-1"), "impersonate-extra-%zz%41": "v"})
    assert user == User("jürgen", (), "", {"%zz%41": ["v"]})


def test_leave_for_the_user_and_for_the_deed_are_both_needed() -> None:
    jane = User("jane")
    on, may = "impersonate-on:user-info:get pods", "impersonate:user-info users jane"
    assert become(jane, on, may) == User("jane", AUTHENTICATED)
    assert refused(jane, on) == (
        'users.authentication.k8s.io "jane" is forbidden: User "tester" cannot impersonate:user-info resource "users" '
        'in API group "authentication.k8s.io" at the cluster scope'
    )
    assert refused(jane, may) == (
        'pods "foo" is forbidden: User "tester" cannot impersonate-on:user-info:get resource "pods" in API group "" '
        'in the namespace "bar"'
    )
    assert become(jane, "impersonate users jane") == User("jane", AUTHENTICATED)


def test_accounts_and_nodes_have_modes_of_their_own() -> None:
    account, node = User("system:serviceaccount:ns:sa"), User("system:node:n1")
    groups = ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    leave = ("impersonate-on:serviceaccount:get pods", "impersonate:serviceaccount serviceaccounts sa")
    assert become(account, *leave).groups == groups
    assert become(account, "impersonate serviceaccounts sa").groups == groups
    assert become(User("system:anonymous"), "impersonate users").groups == ("system:unauthenticated",)
    assert "cannot impersonate-on:serviceaccount:get" in refused(account, "impersonate users")
    leave = ("impersonate-on:arbitrary-node:get pods", "impersonate:arbitrary-node nodes n1")
    assert become(node, *leave).groups == ("system:nodes", "system:authenticated")
    assert become(node, "impersonate users system:node:n1").groups == AUTHENTICATED
    # With more than the name, there is only the mode without constraints.
    assert refused(User(node.name, ("a",)), *leave) == (
        'users "system:node:n1" is forbidden: User "tester" cannot impersonate resource "users" in API group "" '
        "at the cluster scope"
    )


def test_an_account_may_be_let_act_as_the_node_its_pod_is_on() -> None:
    node = "authentication.kubernetes.io/node-name"
    here = User("system:serviceaccount:ns:agent", (), "", {node: ["n1"]})
    leave = ("impersonate-on:associated-node:get pods", "impersonate:associated-node nodes *")
    assert become(User("system:node:n1"), *leave, requestor=here) == User(
        "system:node:n1", ("system:nodes", "system:authenticated")
    )
    assert "cannot impersonate-on:arbitrary-node:get" in refused(User("system:node:n2"), *leave, requestor=here)
    elsewhere = User("agent", (), "", {node: ["n1"]})
    assert "cannot impersonate-on:arbitrary-node:get" in refused(User("system:node:n1"), *leave, requestor=elsewhere)


def test_constrained_modes_have_limits_that_no_leave_lifts() -> None:
    leave = [f"{verb} {resource}" for verb in ("impersonate:user-info",) for resource in ("users", "groups", "userextras/k")]
    leave.append("impersonate-on:user-info:get pods")
    told = 'cannot impersonate:user-info resource "groups" in API group "authentication.k8s.io" at the cluster scope: '
    assert refused(User("jane", ("system:masters",)), *leave) == (
        f'groups.authentication.k8s.io "system:masters" is forbidden: User "tester" {told}'
        "impersonating the system:masters group is not allowed"
    )
    assert refused(User("jane", ("a", "")), *leave).endswith(f"{told}impersonating the empty string group is not allowed")
    for extra, problem in (
        ({"k": ["v"]}, 'extra.key: Invalid value: "k": must be a domain-prefixed path (such as "acme.io/foo")'),
        ({"a.io/K": ["v"]}, 'impersonating a non-lowercase key in extra is not allowed: "a.io/K"'),
        ({"a.io/k": [""]}, "impersonating the empty string value in extra is not allowed"),
    ):
        assert refused(User("jane", (), "", extra), *leave).endswith(problem)


def test_many_groups_or_values_may_be_allowed_at_once() -> None:
    user = User("jane", ("a", "b", "c", "d"), "", {"a.io/k": ["1", "2", "3", "4"]})
    leave = (
        "impersonate-on:user-info:get pods",
        "impersonate:user-info users",
        "impersonate:user-info groups *",
        "impersonate:user-info userextras/* *",
    )
    assert become(user, *leave).groups == ("a", "b", "c", "d", "system:authenticated")
    assert 'groups.authentication.k8s.io "a"' in refused(User("jane", ("a", "b", "c")), *leave)


@given(st.text(max_size=20), st.text(max_size=20))
def test_only_names_of_accounts_are_taken_apart(namespace: str, name: str) -> None:
    found = split_account(f"system:serviceaccount:{namespace}:{name}")
    assert found is None or (f"{found[0]}:{found[1]}" == f"{namespace}:{name}" and ":" not in found[1])


def test_ordinary_users_may_act_as_others_as_long_as_all_may_do_everything(api: Bench) -> None:
    reply = ask(api, {"impersonate-user": "jane"}, user=certificate("alice", "people"))
    assert reply.json["status"]["userInfo"]["username"] == "jane"
