"""Schemathesis against the server's own OpenAPI v3: whatever the documents allow is answered as the documents say.

Each operation is asked with values made from its parameters' and body's schemas, half of the time about an object that exists.
Never a failure inside, never a wait without end, no code and no media type that is not described, nothing that is not of its
schema. NAVARCH_SCHEMATHESIS_EXAMPLES asks more often, NAVARCH_SCHEMATHESIS_SEED otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from navarch.api import registry
from navarch.apiserver.openapi import operations
from navarch.component.httpserver import Request
from tests.apiserver.bench import ADMIN, Bench
from tests.apiserver.samples import STORED, name_of, sample

EXAMPLES = int(os.environ.get("NAVARCH_SCHEMATHESIS_EXAMPLES", "2"))
SEED = int(os.environ.get("NAVARCH_SCHEMATHESIS_SEED", "1"))
# Whole objects take long to make up: half as many of them.
SETTINGS = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
BASE_URL = "http://api.example"
PRESENT = "described"
DOCUMENTS = sorted(operations.documents(registry.kinds()))


def ensure_objects(api: Bench, root: str) -> None:
    """An object of each kind of this document to ask about, unless what was asked before forbids it."""
    for resource, name in (("namespaces", "default"), ("serviceaccounts", "default")):
        api.post(resource, {"metadata": {"name": name}})
    for kind in STORED:
        if kind.api_path == f"/{root}":
            made = api.post(kind.resource, sample(kind, name_of(kind, PRESENT)))
            assert made.status in (201, 403, 409), made.body


def fit(case: schemathesis.Case, described: dict[str, Any]) -> None:
    """Make what is asked about an object that exists, and what is sent one of its kind in JSON."""
    if "namespace" in case.path_parameters:
        case.path_parameters["namespace"] = "default"
    if "name" in case.path_parameters:
        case.path_parameters["name"] = PRESENT
    if "*/*" in described.get("requestBody", {}).get("content", {}):
        case.media_type = "application/json"
    kind = described.get("x-kubernetes-group-version-kind")
    if kind and case.method in ("POST", "PUT") and isinstance(case.body, dict):
        api_version = f"{kind['group']}/{kind['version']}" if kind["group"] else kind["version"]
        metadata = {"name": PRESENT} if case.method == "PUT" else {"generateName": f"{PRESENT}-"}
        case.body = {**case.body, "apiVersion": api_version, "kind": kind["kind"], "metadata": metadata}


def send(api: Bench, case: schemathesis.Case, accept: str) -> schemathesis.Response:
    """Ask the server: all of HTTP but the connection. Of a stream only its head is read."""
    prepared = requests.Request(**case.as_transport_kwargs(base_url=BASE_URL)).prepare()
    path, _, query = prepared.path_url.partition("?")
    headers = {name.lower(): str(value) for name, value in prepared.headers.items()} | {"accept": accept}
    body = prepared.body or b""
    content = body.encode() if isinstance(body, str) else body
    request = Request(prepared.method or "", path, query, headers, content, ADMIN)
    response = api.run(api.server.pipeline.handle(request))
    if not isinstance(response.body, bytes):
        api.run(response.body.aclose())  # type: ignore[attr-defined]
    return schemathesis.Response(
        status_code=response.status,
        headers={name: [value] for name, value in response.headers},
        content=response.body if isinstance(response.body, bytes) else b"",
        request=prepared,
        elapsed=0.0,
        verify=False,
    )


def problems(api: Bench, operation: schemathesis.APIOperation[Any, Any]) -> Iterator[str]:
    """What is wrong with the answers to an operation."""
    produced = operation.definition.raw["responses"]["200"].get("content", {})
    # What is handed on would leave this process.
    may_exist = operation.definition.raw.get("x-kubernetes-action") not in ("connect", None)
    accepts = st.sampled_from(["*/*", *produced])
    found: dict[str, str] = {}

    @seed(SEED)
    @settings(parent=SETTINGS, max_examples=max(1, EXAMPLES // 2) if operation.method in ("post", "put") else EXAMPLES)
    @given(case=operation.as_strategy(), accept=accepts, exists=st.sampled_from([True, False]))
    def ask(case: schemathesis.Case, accept: str, exists: bool) -> None:
        if exists and may_exist:
            fit(case, operation.definition.raw)
        response = send(api, case, accept)
        described = response.content and {"schema": {"type": "string"}} not in produced.values()
        # The schema requires a time that events of the core group need not have.
        described = described and "/events.k8s.io/" not in operation.path
        if operation.definition.raw.get("x-kubernetes-action") == "delete":
            # Kubernetes answers with an object that has yet to go, whatever it has described.
            described = described and response.status_code != 202 and b"deletionTimestamp" not in response.content
        try:
            case.validate_response(response, checks=[*CHECKS, response_schema_conformance] if described else CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                found.setdefault(f"{operation.label}: {failure}", f"{case.as_curl_command()}\n{response.content[:2000]!r}")

    ask()
    return iter(f"{what}\n{example}" for what, example in found.items())


@pytest.mark.parametrize("root", DOCUMENTS)
def test_what_is_described_is_what_is_answered(api: Bench, root: str) -> None:
    document = api.call("GET", f"/openapi/v3/{root}").json
    found = []
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        ensure_objects(api, root)
        found += problems(api, result.ok())
    assert not found, "\n\n".join(found)
