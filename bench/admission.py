"""What admission costs a write: policies and webhooks, beside the same write where nobody has to be asked.

    python bench/admission.py [--writes 2000]

In-process requests to a server over memory: no connection, no disk. The webhook is a real HTTPS server in the same process, so
its own work and the client's are counted with it. Trust differences within a run.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import ssl
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from navarch.apiserver.server import APIServer, APIServerConfig
from navarch.client.client import Client
from navarch.component import httpserver
from navarch.component.httpserver import Request, Response
from navarch.component.pki import PKI, Leaf
from navarch.storage.memory import MemoryBackend
from navarch.storage.store import LocalStore

GROUP = "admissionregistration.k8s.io"
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
OTHER = {**RULE, "resources": ["secrets"]}
ADMIN = {"subject": ((("organizationName", "system:masters"),), (("commonName", "admin"),))}
ROUNDS = 5


class Bench:
    def __init__(self, server: APIServer, writes: int) -> None:
        self.server = server
        self.client = Client(server.transport())
        self.writes = writes
        self.made = 0
        self.figures: dict[str, float] = {}

    async def _write(self, count: int) -> None:
        for _ in range(count):
            self.made += 1
            body = orjson.dumps({"metadata": {"name": f"written-{self.made}"}, "data": {"a": "1"}})
            path = "/api/v1/namespaces/default/configmaps"
            request = Request("POST", path, "", {"content-type": "application/json"}, body, ADMIN)
            answer = await self.server.pipeline.handle(request)
            assert answer.status == 201, answer.body

    async def measure(self, key: str, what: str) -> None:
        await self._write(200)
        found = []
        for _ in range(ROUNDS):
            started = time.process_time()
            await self._write(self.writes // ROUNDS)
            found.append((time.process_time() - started) / (self.writes // ROUNDS) * 1e6)
        self.figures[f"{key}_us"] = round(statistics.median(found), 1)
        print(f"{what:45} {min(found):7.0f} µs CPU a write at best, {statistics.median(found):7.0f} in the middle")

    async def bound(self, kind: str, spec: dict[str, Any], binding: dict[str, Any]) -> None:
        """A policy that holds."""
        await self.client.create(f"{kind}admissionpolicies.{GROUP}", {"metadata": {"name": "bench"}, "spec": spec})
        bound = {"metadata": {"name": "bench"}, "spec": {"policyName": "bench", **binding}}
        await self.client.create(f"{kind}admissionpolicybindings.{GROUP}", bound)

    async def released(self, kind: str) -> None:
        await self.client.delete(f"{kind}admissionpolicybindings.{GROUP}", "bench")
        await self.client.delete(f"{kind}admissionpolicies.{GROUP}", "bench")

    async def hooked(self, url: str, bundle: str, rule: dict[str, Any]) -> None:
        hook = {
            "name": "bench.example.com",
            "clientConfig": {"url": url, "caBundle": bundle},
            "rules": [rule],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        resource = f"validatingwebhookconfigurations.{GROUP}"
        await self.client.create(resource, {"metadata": {"name": "bench"}, "webhooks": [hook]})

    async def unhooked(self) -> None:
        await self.client.delete(f"validatingwebhookconfigurations.{GROUP}", "bench")


async def allow(request: Request) -> Response:
    review = orjson.loads(request.body)
    answer = {**review, "response": {"uid": review.pop("request")["uid"], "allowed": True}}
    answer.pop("request", None)
    return Response(200, (("Content-Type", "application/json"),), orjson.dumps(answer))


async def run(directory: Path, writes: int) -> None:
    pki = PKI(directory)
    pki.ensure([Leaf("hook", "hook", names=("127.0.0.1",))])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pki.certificate("hook"), pki.key("hook"))
    hook = await httpserver.serve(allow, "127.0.0.1", tls=tls)
    url, bundle = f"https://127.0.0.1:{hook.port}/", base64.b64encode(pki.certificate("ca").read_bytes()).decode()
    config = APIServerConfig(service_account_key_file=pki.service_account_key, disable_admission_plugins=("ServiceAccount",))
    server = APIServer(config, LocalStore(MemoryBackend()))
    await server.start()
    bench = Bench(server, writes)
    validations = [{"expression": "size(object.data) < 5 && object.metadata.name.startsWith('written-')"}]
    expression = "Object{metadata: Object.metadata{labels: {'seen': 'yes'}}}"
    mutations = [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]
    try:
        await bench.measure("baseline", "nothing configured")
        await bench.hooked(url, bundle, OTHER)
        await bench.measure("other", "a webhook for another kind")
        await bench.unhooked()
        await bench.bound(
            "validating",
            {"matchConstraints": {"resourceRules": [RULE]}, "validations": validations},
            {"validationActions": ["Deny"]},
        )
        await bench.measure("validating_policy", "a validating policy")
        await bench.released("validating")
        spec = {"matchConstraints": {"resourceRules": [RULE]}, "mutations": mutations, "reinvocationPolicy": "Never"}
        await bench.bound("mutating", spec, {})
        await bench.measure("mutating_policy", "a mutating policy")
        await bench.released("mutating")
        await bench.hooked(url, bundle, RULE)
        await bench.measure("webhook", "a webhook, its server's work included")
        print(orjson.dumps(bench.figures).decode())
    finally:
        await server.stop()
        await hook.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--writes", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory), arguments.writes))


if __name__ == "__main__":
    main()
