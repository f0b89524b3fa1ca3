"""A real API server of its own, for one group: it trusts who shows the front proxy's certificate, and says whom it heard of."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import orjson

from navarch.apimachinery.errors import Object
from navarch.component import httpserver
from navarch.component.bytestream import ByteStream
from navarch.component.httpserver import Request, Response
from navarch.component.pki import PKI, Leaf

GROUP, VERSION = "wardle.example.com", "v1alpha1"
SERVICE, NAMESPACE = "sample-api", "default"
APISERVICES = "apiservices.apiregistration.k8s.io"
NAME = f"{VERSION}.{GROUP}"
ROOT = f"/apis/{GROUP}/{VERSION}"
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
FLUNDERS: Object = {"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder", "verbs": VERBS}
DEFINITION = f"com.example.wardle.{VERSION}.Flunder"
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_JSON = (("Content-Type", "application/json"),)


class Extension:
    """Flunders, in memory; `run` runs a coroutine on the event loop on which it serves."""

    def __init__(
        self, run: Callable[[Coroutine[Any, Any, Any]], Any], pki: PKI, address: str, namespace: str = NAMESPACE
    ) -> None:
        self._run = run
        self.namespace = namespace
        self.address = address
        pki.ensure([Leaf("extension", "extension", names=(f"{SERVICE}.{namespace}.svc",))])
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki.certificate("front-proxy-ca")))
        tls.verify_mode = ssl.CERT_OPTIONAL
        tls.load_cert_chain(pki.certificate("extension"), pki.key("extension"))
        self.bundle = base64.b64encode(pki.certificate("ca").read_bytes()).decode()
        self.objects: dict[str, Object] = {}
        self.asked: list[Request] = []
        self.is_aggregated = True
        self.is_broken = False
        self.changed = asyncio.Event()
        self._server = run(httpserver.serve(self._serve, address, tls=tls))
        self.port = int(self._server.port)

    def close(self) -> None:
        self._run(self._server.close())

    def service(self, *, certified: bool = True) -> Object:
        """The APIService."""
        backend = {"name": SERVICE, "namespace": self.namespace, "port": 7443}
        trust = {"caBundle": self.bundle} if certified else {"insecureSkipTLSVerify": True}
        spec = {"group": GROUP, "version": VERSION, "groupPriorityMinimum": 2000, "versionPriority": 200}
        return {"metadata": {"name": NAME}, "spec": {**spec, "service": backend, **trust}}

    def backend(self) -> tuple[Object, Object]:
        """The Service and its EndpointSlice."""
        metadata = {"name": SERVICE, "namespace": self.namespace}
        service = {"metadata": metadata, "spec": {"ports": [{"port": 7443, "targetPort": self.port, "protocol": "TCP"}]}}
        labels = {"kubernetes.io/service-name": SERVICE}
        slice_ = {
            "metadata": {**metadata, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [self.address]}],
            "ports": [{"name": "", "port": self.port}],
        }
        return service, slice_

    async def _serve(self, request: Request) -> Response:
        self.asked.append(request)
        if self.is_broken:
            return Response(500, body=b"broken\n")
        subject = dict(pair for relative in (request.peer_certificate or {}).get("subject", ()) for pair in relative)
        if subject.get("commonName") != "front-proxy-client":
            return Response(401, body=b"who are you?\n")
        if request.path.startswith("/openapi"):
            return self._openapi(request)
        return await self._answer(request)

    async def _answer(self, request: Request) -> Response:
        path, method = request.path, request.method
        if path == "/apis" and self.is_aggregated:
            media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            return Response(200, (("Content-Type", media),), orjson.dumps(self._aggregated()))
        if path == "/apis":
            return Response(200, _JSON, orjson.dumps({"kind": "APIGroupList", "groups": []}))
        if path == ROOT:
            found = {"kind": "APIResourceList", "groupVersion": f"{GROUP}/{VERSION}", "resources": [FLUNDERS]}
            return Response(200, _JSON, orjson.dumps(found))
        if request.wants_upgrade:
            return _echoing(request)
        prefix = f"{ROOT}/namespaces/"
        if not path.startswith(prefix):
            return Response(404, body=b"404 page not found\n")
        parts = path.removeprefix(prefix).split("/")
        name = parts[2] if len(parts) > 2 else ""
        if "watch=true" in request.query:
            return Response(200, _JSON, self._events())
        match method:
            case "POST":
                obj = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Flunder", **orjson.loads(request.body)}
                self.objects[obj["metadata"]["name"]] = obj
                self.changed.set()
                return Response(201, _JSON, orjson.dumps(obj))
            case "GET" if not name:
                items = list(self.objects.values())
                return Response(200, _JSON, orjson.dumps({"kind": "FlunderList", "metadata": {}, "items": items}))
            case "GET" if name in self.objects:
                return Response(200, _JSON, orjson.dumps(self.objects[name]))
            case "DELETE" if name in self.objects:
                del self.objects[name]
                return Response(200, _JSON, orjson.dumps({"kind": "Status", "status": "Success"}))
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        return Response(404, _JSON, orjson.dumps(status))

    async def _events(self) -> AsyncIterator[bytes]:
        seen: set[str] = set()
        while True:
            for name in [name for name in self.objects if name not in seen]:
                seen.add(name)
                yield orjson.dumps({"type": "ADDED", "object": self.objects[name]}) + b"\n"
            self.changed.clear()
            await self.changed.wait()

    def _aggregated(self) -> Object:
        kind = {"group": "", "version": "", "kind": "Flunder"}
        resource = {"resource": "flunders", "responseKind": kind, "scope": "Namespaced", "singularResource": "flunder"}
        version = {"version": VERSION, "resources": [{**resource, "verbs": VERBS}]}
        head = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}}
        return {**head, "items": [{"metadata": {"name": GROUP}, "versions": [version]}]}

    def _openapi(self, request: Request) -> Response:
        properties = {"metadata": {"$ref": f"#/definitions/{META}"}, "spec": {"type": "object"}}
        definition = {"type": "object", "description": "A Flunder.", "properties": properties}
        path = f"{ROOT}/namespaces/{{namespace}}/flunders"
        reference = {"$ref": f"#/definitions/{DEFINITION}"}
        operation = {"responses": {"200": {"description": "OK", "schema": reference}}, "unknown": {"a": 1}}
        document = {
            "swagger": "2.0",
            "paths": {path: {"get": operation}, "/version": {"get": {}}},
            "definitions": {DEFINITION: definition, META: {"type": "object", "description": "Another."}, "unused": {}},
        }
        if request.path == "/openapi/v2":
            return Response(200, _JSON, orjson.dumps(document))
        root = ROOT.lstrip("/")
        if request.path == "/openapi/v3":
            paths = {root: {"serverRelativeURL": f"/openapi/v3/{root}?hash=1"}}
            return Response(200, _JSON, orjson.dumps({"paths": paths}))
        schemas = {DEFINITION: {"type": "object", "properties": {"spec": {"type": "object"}}}}
        return Response(200, _JSON, orjson.dumps({"openapi": "3.0.0", "components": {"schemas": schemas}}))


def _echoing(request: Request) -> Response:
    """A WebSocket that sends back whatever it gets, unmasked and unread."""
    accept = base64.b64encode(
        hashlib.sha1(f"{request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    )

    async def takeover(stream: ByteStream) -> None:
        while data := await stream.read():
            await stream.write(data)

    return Response(
        101,
        (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", accept.decode())),
        takeover=takeover,
    )
