"""A real webhook server: HTTPS, a certificate of its own authority, and an answer for each path."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson

from navarch.apimachinery.errors import Object
from navarch.component import httpserver
from navarch.component.httpserver import Request, Response
from navarch.component.pki import PKI, Leaf

Answer = Callable[[Object], Any]
"""An AdmissionRequest -> an AdmissionResponse without its uid, or a whole Response of HTTP."""
MUTATING = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
VALIDATING = "validatingwebhookconfigurations.admissionregistration.k8s.io"
EVERYWHERE = ["127.0.0.1", "hook.default.svc"]


def allow(_: Object) -> Object:
    return {"allowed": True}


def deny(text: str = "this webhook denies all requests", **status: Any) -> Answer:
    return lambda _: {"allowed": False, "status": {"message": text, **status}}


def patched(*operations: Object, **response: Any) -> Answer:
    """Allows, and applies a JSON patch."""
    encoded = base64.b64encode(orjson.dumps(list(operations))).decode()
    return lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": encoded, **response}


def add(path: str, value: Any) -> Object:
    return {"op": "add", "path": path, "value": value}


def after(seconds: float, answer: Answer) -> Answer:
    async def late(request: Object) -> Any:
        await asyncio.sleep(seconds)
        return answer(request)

    return late


class HookServer:
    """Serves until it is closed; `run` runs a coroutine on the event loop on which it does."""

    def __init__(
        self, run: Callable[[Coroutine[Any, Any, Any]], Any], directory: Path, address: str = "127.0.0.1", *names: str
    ) -> None:
        self._run = run
        pki = PKI(directory)
        pki.ensure([Leaf("hook", "hook", names=(address, *names, *EVERYWHERE))])
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(pki.certificate("hook"), pki.key("hook"))
        self.address = address
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, Object]] = []
        """(path, AdmissionRequest)"""
        self.queries: list[str] = []
        self._server = run(httpserver.serve(self._serve, address, tls=tls))
        self.port = int(self._server.port)
        self.bundle = base64.b64encode(pki.certificate("ca").read_bytes()).decode()

    async def _serve(self, request: Request) -> Response:
        review = orjson.loads(request.body)
        asked = review["request"]
        self.asked.append((request.path, asked))
        self.queries.append(request.query)
        answer = self.answers[request.path](asked)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if isinstance(answer, Response):
            return answer
        whole = {**review, "response": {"uid": asked["uid"], **answer}}
        del whole["request"]
        return Response(200, (("Content-Type", "application/json"),), orjson.dumps(whole))

    def config(self, path: str) -> Object:
        return {"url": f"https://{self.address}:{self.port}{path}", "caBundle": self.bundle}

    def hook(self, name: str, path: str, rule: Object | None = None, **fields: Any) -> Object:
        """A webhook of a configuration that is asked about ConfigMaps being made."""
        return {
            "name": f"{name}.example.com",
            "clientConfig": self.config(path),
            "rules": [{**RULE, **(rule or {})}],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **fields,
        }

    def about(self, path: str) -> list[Object]:
        """What was asked at a path."""
        return [request for at, request in self.asked if at == path]

    def close(self) -> None:
        self._run(self._server.close())


RULE: Object = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


def configuration(name: str, *hooks: Object, **metadata: Any) -> Object:
    return {"metadata": {"name": name, **metadata}, "webhooks": list(hooks)}
