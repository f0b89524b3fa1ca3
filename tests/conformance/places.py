"""A namespace of its own in a cluster in real time, and webhooks that are asked about what happens in it alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from navarch.apimachinery.errors import Object
from tests.apiserver.bench import MERGE
from tests.apiserver.hooks import HookServer, configuration
from tests.apiserver.test_proxy import own_address
from tests.conformance.customresources import is_established
from tests.conformance.realtime import RealTime

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SERVICE = "e2e-test-webhook"
_numbers = count(1)


class Place:
    """One namespace."""

    def __init__(self, real: RealTime) -> None:
        self.real = real
        self.name = f"place-{next(_numbers)}"
        self.path = f"/api/v1/namespaces/{self.name}"
        real.made("/api/v1/namespaces", {"metadata": {"name": self.name, "labels": {self.name: "true"}}})
        real.until(lambda: real.kubelets.one("serviceaccounts", f"{self.name}/default"))
        self.selector: Object = {"matchLabels": {self.name: "true"}}

    def ask(self, method: str, path: str, body: Any = None, *, code: int = 200, **headers: str) -> Any:
        status, answer = self.real.ask(method, path, body, **headers)
        assert status == code, (method, path, status, answer)
        return answer

    def create(self, resource: str, obj: Object, *, code: int = 201, group: str = "") -> Any:
        """In the namespace; of a group beside the core one ``group/version``."""
        base = f"/apis/{group}/namespaces/{self.name}" if group else self.path
        return self.ask("POST", f"{base}/{resource}", obj, code=code)

    def refused(self, method: str, path: str, body: Any = None, **headers: str) -> str:
        """The message with which something is not allowed."""
        status, answer = self.real.ask(method, path, body, **headers)
        assert status >= 400, answer
        return str(answer["message"])

    def merge(self, path: str, patch: Any, *, code: int = 200) -> Any:
        return self.ask("PATCH", path, patch, code=code, Content_Type=MERGE)

    @contextmanager
    def made(self, path: str, *objects: Object) -> Iterator[list[Object]]:
        """Objects that go again."""
        found = [self.ask("POST", path, obj, code=201) for obj in objects]
        try:
            yield found
        finally:
            for obj in found:
                self.real.ask("DELETE", f"{path}/{obj['metadata']['name']}")

    @contextmanager
    def defined(self, definition: Object) -> Iterator[str]:
        """What a definition defines, as the path of its objects; it goes again."""
        with self.made(DEFINITIONS, definition) as (made,):
            name = made["metadata"]["name"]
            self.real.until(lambda: is_established(self.ask("GET", f"{DEFINITIONS}/{name}")))
            spec = made["spec"]
            group = f"/apis/{spec['group']}/{spec['versions'][0]['name']}"
            yield f"{group}/namespaces/{self.name}/{spec['names']['plural']}"


class Webhooks:
    """A webhook server behind a Service of a namespace."""

    def __init__(self, real: RealTime, directory: Path) -> None:
        self.place = place = Place(real)
        name = f"{SERVICE}.{place.name}.svc"
        self.server = HookServer(real.run, directory, own_address(), name)
        metadata = {"name": SERVICE, "namespace": place.name}
        service = {"metadata": metadata, "spec": {"ports": [{"port": 8443, "targetPort": self.server.port}]}}
        place.create("services", service)
        subset = {"addresses": [{"ip": self.server.address}], "ports": [{"port": self.server.port}]}
        place.create("endpoints", {"metadata": metadata, "subsets": [subset]})

    def client(self, path: str) -> Object:
        service = {"namespace": self.place.name, "name": SERVICE, "path": path, "port": 8443}
        return {"service": service, "caBundle": self.server.bundle}

    def hook(self, place: Place, name: str, path: str, rule: Object | None = None, **fields: Any) -> Object:
        """Asked about what happens in a place."""
        return {
            **self.server.hook(name, path, rule),
            "clientConfig": self.client(path),
            "namespaceSelector": place.selector,
            **fields,
        }

    @contextmanager
    def registered(self, place: Place, kind: str, *hooks: Object, **metadata: Any) -> Iterator[str]:
        """The name of a configuration that goes again; `kind`: ``mutating`` or ``validating``."""
        name = metadata.pop("name", f"{kind}-{place.name}")
        path = f"{ADMISSION}/{kind}webhookconfigurations"
        with place.made(path, configuration(name, *hooks, **metadata)):
            yield f"{path}/{name}"
