"""The server as it is met from outside: TLS, client certificates, tokens, anonymous users, connections."""

from __future__ import annotations

import socket
import ssl
import threading

import orjson
import pytest

from tests.apiserver.https import ADVERTISED, HTTPSServer


def connected(server: HTTPSServer) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", server.server.port), timeout=5)
    return server.tls().wrap_socket(plain, server_hostname="127.0.0.1")


def whoami(server: HTTPSServer, leaf: str = "admin", **headers: str) -> tuple[int, dict[str, object]]:
    status, body = server.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, leaf=leaf, **headers)
    return status, body["status"]["userInfo"] if status == 201 else body


def test_a_client_certificate_says_who_asks(https_server: HTTPSServer) -> None:
    status, info = whoami(https_server)
    assert (status, info) == (201, {"username": "kubernetes-admin", "groups": ["system:masters", "system:authenticated"]})
    assert whoami(https_server, "alice")[1] == {"username": "alice", "groups": ["people", "system:authenticated"]}


def test_a_certificate_of_another_authority_is_refused(https_server: HTTPSServer) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        https_server.ask("GET", "/api/v1/pods", leaf="front-proxy-client")


def test_anonymous_users_see_only_what_is_public(https_server: HTTPSServer) -> None:
    for path in ("/healthz", "/livez", "/readyz", "/readyz/ping", "/version"):
        assert https_server.ask("GET", path, leaf="")[0] == 200
    status, body = https_server.ask("GET", "/api/v1/namespaces/default/pods/x", leaf="")
    assert status == 403
    assert body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'pods "x" is forbidden: User "system:anonymous" cannot get resource "pods" in API group "" '
        'in the namespace "default"',
        "reason": "Forbidden",
        "details": {"name": "x", "kind": "pods"},
        "code": 403,
    }
    assert https_server.ask("GET", "/apis", leaf="")[1]["message"] == (
        'forbidden: User "system:anonymous" cannot get path "/apis"'
    )


def test_credentials_that_are_wrong_are_refused_even_where_none_are_needed(https_server: HTTPSServer) -> None:
    for value in ("Bearer nonsense", "Basic YTpi", "Bearer", "nonsense"):
        status, body = https_server.ask("GET", "/healthz", leaf="", Authorization=value)
        assert (status, body["reason"], body["message"]) == (401, "Unauthorized", "Unauthorized")


def test_a_service_account_token_works_over_the_wire(https_server: HTTPSServer) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    token = https_server.ask("POST", path, {"spec": {}})[1]["status"]["token"]
    status, info = whoami(https_server, "", Authorization=f"Bearer {token}")
    assert (status, info["username"]) == (201, "system:serviceaccount:default:default")


def test_unknown_methods_and_paths_are_answered(https_server: HTTPSServer) -> None:
    assert https_server.ask("GET", "/nothing/here") == (404, "404 page not found\n")
    assert https_server.ask("GET", "/api/v1/nothing")[1] == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the server could not find the requested resource",
        "reason": "NotFound",
        "details": {},
        "code": 404,
    }
    for method in ("OPTIONS", "PUT", "DELETE"):
        assert https_server.ask(method, "/healthz")[0] == 405
    assert https_server.ask("PUT", "/api/v1/namespaces/default/pods")[0] == 405
    assert https_server.ask("POST", "/api/v1/namespaces/default/pods/x")[0] == 405
    for path in ("/api/v1/namespaces/default/nodes", "/apis/apps/v2/deployments", "/api/v1/widgets", "/apis/none.example/v1"):
        assert https_server.ask("GET", path)[0] == 404, path


def test_a_body_over_the_limit_is_refused_whole(https_server: HTTPSServer) -> None:
    body = {"metadata": {"name": "large"}, "data": {"a": "x" * (4 * 1024 * 1024)}}
    status, answer = https_server.ask("POST", "/api/v1/namespaces/default/configmaps", body)
    assert (status, answer["reason"]) == (413, "RequestEntityTooLarge")
    assert answer["message"] == "Request entity too large: limit is 3145728"
    body["data"] = {"a": "x" * (1024 * 1024)}
    status, answer = https_server.ask("POST", "/api/v1/namespaces/default/configmaps", body)
    assert status == 201
    body = {"metadata": {"name": "larger"}, "data": {"a": "x" * (1024 * 1024 + 1)}}
    status, answer = https_server.ask("POST", "/api/v1/namespaces/default/configmaps", body)
    assert (status, answer["reason"]) == (422, "Invalid") and "Too long: may not be more than 1048576 bytes" in answer[
        "message"
    ]
    assert https_server.ask("DELETE", "/api/v1/namespaces/default/configmaps/large")[0] == 200


def test_one_connection_carries_many_requests_in_order(https_server: HTTPSServer) -> None:
    with connected(https_server) as connection:
        for path in ("/livez", "/version", "/readyz"):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 3 or not answers.endswith(b"ok"):
            answers += connection.recv(65536)
    first, second, third = answers.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert first.endswith(b"ok") and b"gitVersion" in second and third.endswith(b"ok")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: nine\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
)
def test_what_is_not_http_closes_only_its_own_connection(https_server: HTTPSServer, sent: bytes) -> None:
    with connected(https_server) as connection:
        connection.sendall(sent)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    assert https_server.ask("GET", "/livez") == (200, "ok")


def test_a_watch_streams_until_the_client_leaves(https_server: HTTPSServer) -> None:
    connection = https_server.connection()
    connection.request("GET", "/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=0")
    answer = connection.getresponse()
    assert answer.headers["Transfer-Encoding"] == "chunked"

    def write() -> None:
        https_server.ask("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "streamed"}})

    writer = threading.Thread(target=write)
    writer.start()
    event = orjson.loads(answer.readline())
    while event["object"]["metadata"]["name"] != "streamed":
        event = orjson.loads(answer.readline())
    writer.join()
    assert event["type"] == "ADDED"
    watchers = https_server.server.store.collection("/registry/configmaps/").watchers
    assert len(watchers) == 1
    answer.close()
    connection.close()
    deadline = threading.Event()
    for _ in range(200):
        if not watchers:
            break
        deadline.wait(0.01)
    assert not watchers


def test_head_answers_without_a_body(https_server: HTTPSServer) -> None:
    for path in ("/api/v1/namespaces/default", "/api/v1/namespaces", "/api/v1/namespaces?watch=1"):
        assert https_server.ask("HEAD", path) == (200, "")


def test_the_kubernetes_service_points_at_the_server(https_server: HTTPSServer) -> None:
    service = https_server.ask("GET", "/api/v1/namespaces/default/services/kubernetes")[1]
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    endpoints = https_server.ask("GET", "/api/v1/namespaces/default/endpoints/kubernetes")[1]
    (subset,) = endpoints["subsets"]
    assert (subset["addresses"], subset["ports"][0]["port"]) == ([{"ip": ADVERTISED}], https_server.server.port)
    (found,) = https_server.ask("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices")[1]["items"]
    assert found["endpoints"][0]["addresses"] == [ADVERTISED]
