"""proxy of pods, Services and nodes, against a real HTTP server on an address of this machine."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.apiserver.subresources.proxy import Reference, parse_reference
from tests.apiserver.bench import Bench, Reply

HTML = b'<html><a href="/next?a=b">on</a><img src=\'/i.png\'><a href="http://elsewhere/x">off</a></html>'


class Backend(BaseHTTPRequestHandler):
    """Says what it was asked."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {"Content-Type": "text/plain"}
        status = 200
        if self.path.startswith("/moved"):
            status, headers["Location"] = 302, "/new?x=y"
        if self.path.startswith("/page"):
            headers["Content-Type"], content = "text/html; charset=utf-8", HTML
        else:
            names = ("X-Forwarded-Uri", "X-Given", "Authorization", "X-Forwarded-Host", "Sec-Websocket-Protocol")
            seen = {name: self.headers[name] for name in names if name in self.headers}
            content = f"{self.command} {self.path} {body.decode()} {seen}".encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


def own_address() -> str:
    """An address of this machine that is not loopback, as those of pods are."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


@pytest.fixture(scope="module")
def backend() -> Iterator[tuple[str, int]]:
    server = ThreadingHTTPServer((own_address(), 0), Backend)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield str(server.server_address[0]), int(server.server_address[1])
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def proxied(api: Bench, backend: tuple[str, int]) -> Bench:
    """A pod and a Service in front of the backend."""
    ip, port = backend
    pod = {
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": port}]}]},
    }
    api.made("pods", pod)
    patch_ip(api, "web", ip)
    api.made("pods", {**pod, "metadata": {"name": "homeless"}})
    ports = [{"name": "http", "port": 80, "targetPort": port}, {"name": "closed", "port": 81, "targetPort": 1}]
    api.made("services", {"metadata": {"name": "web"}, "spec": {"ports": ports}})
    api.made("services", {"metadata": {"name": "empty"}, "spec": {"ports": [{"port": 80}]}})
    subset: Object = {
        "addresses": [{"ip": ip}],
        "ports": [{"name": "http", "port": port}, {"name": "closed", "port": 1}],
    }
    api.made("endpoints", {"metadata": {"name": "web"}, "subsets": [subset]})
    api.made("endpoints", {"metadata": {"name": "empty"}})
    return api


def patch_ip(api: Bench, name: str, ip: str) -> None:
    reply = api.patch("pods", name, {"status": {"podIP": ip, "podIPs": [{"ip": ip}]}}, subresource="status")
    assert reply.status == 200, reply.body


POD, SERVICE = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/services"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", Reference("", "a", "")),
        ("a:80", Reference("", "a", "80")),
        ("https:a:", Reference("https", "a", "")),
        (":a:http", Reference("", "a", "http")),
        ("ftp:a:80", None),
        (":80", None),
        ("a:b:c:d", None),
    ],
)
def test_names_may_carry_scheme_and_port(text: str, expected: Reference | None) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_reaches_pod_and_service_with_path_query_and_body(
    proxied: Bench, backend: tuple[str, int], method: str
) -> None:
    for path in (
        f"{POD}/web/proxy",
        f"{POD}/http:web:{backend[1]}/proxy",
        f"{SERVICE}/web:http/proxy",
        f"{SERVICE}/web:80/proxy",
    ):
        headers = {"x-given": "1", "authorization": "", "host": "front"}
        reply = proxied.call(method, f"{path}/a%20b/c", b"body", headers=headers, q="1 2")
        seen = {"X-Forwarded-Uri": f"{path}/a%20b/c", "X-Given": "1", "X-Forwarded-Host": "front"}
        assert (reply.status, reply.body.decode()) == (200, f"{method} /a%20b/c?q=1+2 body {seen}")


def test_a_token_among_the_subprotocols_is_not_shown_to_what_is_proxied(proxied: Bench, backend: tuple[str, int]) -> None:
    made = proxied.call("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
    encoded = base64.urlsafe_b64encode(made.json["status"]["token"].encode()).rstrip(b"=").decode()
    token = f"base64url.bearer.authorization.k8s.io.{encoded}"

    def ask(protocols: str) -> Reply:
        return proxied.call("GET", f"{POD}/web:{backend[1]}/proxy/x", user=None, headers={"sec-websocket-protocol": protocols})

    for protocols in (f"{token}, chat, talk", f"chat,{token},talk"):
        assert b"'Sec-Websocket-Protocol': 'chat, talk'" in ask(protocols).body
    for protocols in (token, f"{token},{token},chat", f"{token}=,chat", f"{token}x.,chat"):
        assert ask(protocols).status == 401


def test_a_head_has_no_body(proxied: Bench) -> None:
    reply = proxied.call("HEAD", f"{POD}/web/proxy/x")
    assert (reply.status, reply.body) == (200, b"")


def test_an_answer_nobody_reads_leaves_no_connection(proxied: Bench) -> None:
    with socket.create_server((own_address(), 0)) as listener:

        def answer() -> bytes:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                while not connection.recv(65536).endswith(b"\r\n\r\n"):
                    pass
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
                return connection.recv(1)

        with ThreadPoolExecutor(1) as threads:
            ended = threads.submit(answer)
            response = proxied.request("HEAD", f"{POD}/web:{listener.getsockname()[1]}/proxy/x")
            assert response.status == 200
            proxied.run(response.body.aclose())
            assert ended.result() == b""


def test_the_bare_path_is_sent_to_its_slash(proxied: Bench) -> None:
    reply = proxied.call("GET", f"{POD}/web/proxy", a="1")
    assert (reply.status, reply.headers["location"]) == (301, f"{POD}/web/proxy/?a=1")


def test_links_and_redirects_stay_below_the_proxied_path(proxied: Bench) -> None:
    prefix = f"{POD}/web/proxy"
    assert proxied.call("GET", f"{prefix}/moved").headers["location"] == f"{prefix}/new?x=y"
    page = proxied.call("GET", f"{prefix}/page").body.decode()
    assert f'href="{prefix}/next?a=b"' in page and f"src='{prefix}/i.png'" in page and 'href="http://elsewhere/x"' in page


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        (f"{POD}/none/proxy/", 404, 'pods "none" not found'),
        (f"{POD}/homeless/proxy/", 400, "address not allowed"),
        (f"{POD}/x:web:1/proxy/", 400, 'invalid pod request "x:web:1"'),
        (f"{SERVICE}/web/proxy/", 503, 'no endpoints available for service "web"'),
        (f"{SERVICE}/empty/proxy/", 503, 'no endpoints available for service "empty"'),
        (f"{SERVICE}/web:7/proxy/", 503, 'no service port 7 found for service "web"'),
        (f"{SERVICE}/none/proxy/", 404, 'services "none" not found'),
        ("/api/v1/nodes/none/proxy/", 404, 'nodes "none" not found'),
    ],
)
def test_what_cannot_be_reached_is_refused_with_its_reason(proxied: Bench, path: str, code: int, message: str) -> None:
    reply = proxied.call("GET", path)
    assert (reply.status, reply.message) == (code, message)


def test_a_closed_port_is_an_unavailable_service(proxied: Bench, backend: tuple[str, int]) -> None:
    reply = proxied.call("GET", f"{SERVICE}/web:closed/proxy/")
    text = f"error trying to reach service: dial tcp {backend[0]}:1: connect: connection refused"
    assert (reply.status, reply.reason, reply.message) == (503, "ServiceUnavailable", text)


@pytest.mark.parametrize("ip", ["127.0.0.1", "169.254.1.1", "224.0.0.1"])
def test_the_machine_itself_is_not_reached_through_a_pod_that_claims_its_address(api: Bench, ip: str) -> None:
    name = f"liar-{ip.replace('.', '-')}"
    api.made("pods", {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    patch_ip(api, name, ip)
    assert api.call("GET", f"{POD}/{name}/proxy/").message == "address not allowed"
