"""HTTP through the API server, to real servers that pods pretend to be."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.backends import Backend
from tests.conformance.realtime import RealTime

NAMESPACE = "/api/v1/namespaces/default"
IMAGE = "registry.example/porter:1"
VERBS = ("GET", "DELETE", "OPTIONS", "PATCH", "POST", "PUT")


@pytest.fixture(scope="module")
def backends(real: RealTime) -> Iterator[dict[str, Backend]]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(real.pki.certificate("apiserver"), real.pki.key("apiserver"))
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(closing(Backend(*what)))
            for name, what in {
                "dest1": ("foo",),
                "dest2": ("bar",),
                "link": ('<a href="/rewriteme">test</a>', "text/html"),
                "tlsdest1": ("tls baz", "text/plain", tls),
                "tlsdest2": ("tls qux", "text/plain", tls),
                "echo": (None, "application/json"),
            }.items()
        }


def served(real: RealTime, backends: dict[str, Backend], name: str, ports: list[Object]) -> None:
    """A pod at which the backends listen, and a Service of it, once it has endpoints."""
    real.kubelets.addresses[IMAGE] = backends["echo"].address
    container_ports = [{"name": port, "containerPort": backend.port} for port, backend in backends.items()]
    spec = {"containers": [{"name": "main", "image": IMAGE, "ports": container_ports}]}
    real.made(f"{NAMESPACE}/pods", {"metadata": {"name": name, "labels": {"name": name}}, "spec": spec})
    service = {"selector": {"name": name}, "ports": ports}
    real.made(f"{NAMESPACE}/services", {"metadata": {"name": name}, "spec": service})
    real.until(lambda: (real.ask("GET", f"{NAMESPACE}/endpoints/{name}")[1].get("subsets") or [{}])[0].get("addresses"))


def got(real: RealTime, resource: str, name: str, path: str = "/") -> Any:
    status, body = real.ask("GET", f"{NAMESPACE}/{resource}/{name}/proxy{path}")
    assert status == 200, body
    return body


@behaviour("Proxy through apiserver to a Service")
def test_ports_are_reached_by_name_and_number(real: RealTime, backends: dict[str, Backend]) -> None:
    ports = [
        {"name": "portname1", "port": 80, "targetPort": "dest1"},
        {"name": "portname2", "port": 81, "targetPort": backends["dest2"].port},
        {"name": "tlsportname1", "port": 443, "targetPort": "tlsdest1"},
        {"name": "tlsportname2", "port": 444, "targetPort": backends["tlsdest2"].port},
    ]
    served(real, backends, "porter", ports)
    link = backends["link"].port
    expected = {
        ("services", "porter:portname1"): "foo",
        ("services", "porter:80"): "foo",
        ("services", "porter:portname2"): "bar",
        ("services", "porter:81"): "bar",
        ("services", "http:porter:portname1"): "foo",
        ("services", "http:porter:80"): "foo",
        ("services", "http:porter:portname2"): "bar",
        ("services", "http:porter:81"): "bar",
        ("services", "https:porter:tlsportname1"): "tls baz",
        ("services", "https:porter:443"): "tls baz",
        ("services", "https:porter:tlsportname2"): "tls qux",
        ("services", "https:porter:444"): "tls qux",
        ("pods", f"porter:{backends['dest1'].port}"): "foo",
        ("pods", f"http:porter:{backends['dest2'].port}"): "bar",
        ("pods", f"https:porter:{backends['tlsdest1'].port}"): "tls baz",
        ("pods", f"porter:{link}"): f'<a href="{NAMESPACE}/pods/porter:{link}/proxy/rewriteme">test</a>',
    }
    for (resource, name), body in expected.items():
        assert got(real, resource, name) == body, (resource, name)


def every_verb_is_answered(real: RealTime, backends: dict[str, Backend], name: str, path: str) -> None:
    served(real, {"echo": backends["echo"]}, name, [{"name": "http", "port": 80, "targetPort": "echo"}])
    for resource, reference in (("pods", name), ("services", f"{name}:http")):
        prefix = f"{NAMESPACE}/{resource}/{reference}/proxy"
        for verb in VERBS:
            answer = real.ask(verb, f"{prefix}{path}/{verb.lower()}?method={verb}")
            assert answer == (200, {"Method": verb, "Body": "foo"}), (resource, verb)
        assert real.ask("HEAD", f"{prefix}{path}/head?method=HEAD") == (200, "")
        for verb in ("GET", "HEAD"):
            connection = real.connection()
            connection.request(verb, f"{prefix}?method={verb}")
            redirect = connection.getresponse()
            assert (redirect.status, redirect.headers["Location"]) == (301, f"{prefix}/?method={verb}")
            connection.close()


@behaviour("Proxy, validate Proxy responses")
def test_every_verb_is_carried(real: RealTime, backends: dict[str, Backend]) -> None:
    every_verb_is_answered(real, backends, "agnhost", "")


@behaviour("Proxy, validate ProxyWithPath responses")
def test_every_verb_is_carried_with_a_path(real: RealTime, backends: dict[str, Backend]) -> None:
    every_verb_is_answered(real, backends, "agnhost-with-path", "/some/path/with")
