"""Ingresses."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.world import Space


@behaviour("Ingress API")
def test_an_ingress_does_every_verb(space: Space) -> None:
    backend = {"service": {"name": "default-backend", "port": {"name": "", "number": 8080}}}
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "test-backend", "port": {"number": 8080}}}}
    body = {"spec": {"defaultBackend": backend, "rules": [{"host": "foo.bar.com", "http": {"paths": [path]}}]}}
    patch, update = ({"status": {"loadBalancer": {"ingress": [{"ip": ip}]}}} for ip in ("169.1.1.1", "169.1.1.2"))
    names = [f"ingress-{number}" for number in range(3)]
    supports_api_operations(space, "ingresses.networking.k8s.io", names, body, statuses={"status": [patch, update]})
