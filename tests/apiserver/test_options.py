"""Options of requests: what may be asked for, and in which words it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api.registry import resource
from tests.apiserver.bench import Bench
from tests.apiserver.samples import pod, sample

CONFIG_MAPS = resource("configmaps")
DRY_RUN = 'dryRun: Unsupported value: ["Some"]: supported values: "All"'
VALIDATION = 'fieldValidation: Unsupported value: "Lax": supported values: "", "Ignore", "Strict", "Warn"'
POLICY = 'propagationPolicy: Unsupported value: "Later": supported values: "Foreground", "Background", "Orphan", "nil"'


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/api/v1/namespaces/default/configmaps", "CreateOptions"),
        ("PUT", "/api/v1/namespaces/default/configmaps/a", "UpdateOptions"),
        ("PATCH", "/api/v1/namespaces/default/configmaps/a", "PatchOptions"),
        ("POST", "/api/v1/namespaces/default/pods/a/eviction", "CreateOptions"),
        ("POST", "/api/v1/namespaces/default/pods/a/binding", "CreateOptions"),
        ("POST", "/api/v1/namespaces/default/bindings", "CreateOptions"),
        ("POST", "/api/v1/namespaces/default/serviceaccounts/a/token", "CreateOptions"),
        ("PUT", "/api/v1/namespaces/a/finalize", "UpdateOptions"),
        ("PUT", "/apis/apps/v1/namespaces/default/deployments/a/scale", "UpdateOptions"),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "CreateOptions"),
    ],
)
def test_all_that_is_wrong_with_the_options_of_a_write_is_said_at_once(api: Bench, method: str, path: str, kind: str) -> None:
    query = {"dryRun": "Some", "fieldValidation": "Lax"}
    reply = api.call(method, path, {}, content_type="application/merge-patch+json" if method == "PATCH" else "", **query)
    assert (reply.status, reply.reason) == (422, "Invalid")
    assert reply.message == f'{kind}.meta.k8s.io "" is invalid: [{DRY_RUN}, {VALIDATION}]'


def test_a_deletion_says_what_it_cannot_do(api: Bench) -> None:
    options: dict[str, Any] = {"propagationPolicy": "Later", "orphanDependents": True, "dryRun": ["Some"]}
    both = 'propagationPolicy: Invalid value: "Later": orphanDependents and deletionPropagation cannot be both set'
    message = f'DeleteOptions.meta.k8s.io "" is invalid: [{both}, {POLICY}, {DRY_RUN}]'
    assert api.delete("configmaps", "none", options).message == message
    assert api.delete("configmaps", "none", propagationPolicy="Later", orphanDependents="1", dryRun="Some").message == message
    for path in ("/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/configmaps/none"):
        reply = api.call("DELETE", path, gracePeriodSeconds="")
        assert (reply.status, reply.message) == (400, 'strconv.ParseInt: parsing "": invalid syntax')


@pytest.mark.parametrize(
    ("timeout", "problem"),
    [
        ("32s", ""),
        ("1h2m3.5s", ""),
        ("0", ""),
        ("-1s", ""),
        ("", ""),
        ("x", "invalid duration"),
        ("1s2", "missing unit in duration"),
        ("5", "missing unit in duration"),
        ("1d", 'unknown unit "d" in duration'),
        ("+", "invalid duration"),
    ],
)
def test_the_timeout_of_what_is_answered_once_is_a_duration(api: Bench, timeout: str, problem: str) -> None:
    reply = api.call("GET", "/api/v1/namespaces", timeout=timeout)
    text = f'invalid timeout specified in the request URL - time: {problem} "{timeout}"'
    assert (reply.status, reply.json.get("message")) == ((400, text) if problem else (200, None))


def test_of_a_deletion_with_a_body_the_query_counts_for_nothing(api: Bench) -> None:
    api.made("configmaps", sample(CONFIG_MAPS, "goes"))
    assert api.delete("configmaps", "goes", {"kind": "DeleteOptions"}, dryRun="All").status == 200
    assert api.get("configmaps", "goes").status == 404


def test_an_eviction_is_tried_where_its_request_says_so(api: Bench) -> None:
    api.made("pods", pod("tried"))
    eviction = {"metadata": {"name": "tried"}, "deleteOptions": {"gracePeriodSeconds": 0}}
    path = "/api/v1/namespaces/default/pods/tried/eviction"
    assert api.call("POST", path, eviction, dryRun="All").status == 201
    assert api.get("pods", "tried").status == 200
