"""Every kind, filled with what the server takes, through every form and every verb: nothing is lost and nothing is made up."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.api.protobuf import encoder
from navarch.api.protobuf.messages import MEDIA_TYPE as PROTOBUF
from navarch.apimachinery import yamlcodec
from navarch.apimachinery.errors import Object
from tests.apiserver.bench import JSON_PATCH, MERGE, STRATEGIC, Bench
from tests.apiserver.growing import grown
from tests.apiserver.samples import STORED

APPLY = "application/apply-patch+yaml"
YAML = "application/yaml"
# What must be called by a particular name.
NAMES = {"ipaddresses.networking.k8s.io": "10.96.9.7"}
MANAGER = {"fieldManager": "round-trip"}


def _grow(api: Bench, kind: Kind, pod_spec: Object | None = None) -> Object:
    def accepts(obj: Object) -> bool:
        reply = api.post(kind.resource, obj, dryRun="All", fieldValidation="Strict")
        assert reply.status < 500, reply.body
        return bool(reply.status == 201)

    return grown(kind, NAMES.get(kind.resource, "round-trip"), accepts, pod_spec)


@pytest.fixture(scope="module")
def pod(api: Bench) -> Object:
    return _grow(api, registry.resource("pods"))


def without(obj: Object, *fields: str) -> Object:
    """The object without what every write changes."""
    metadata = {
        key: value for key, value in obj["metadata"].items() if key not in (*fields, "resourceVersion", "managedFields")
    }
    return {**obj, "metadata": metadata}


def counting(kind: Kind) -> tuple[str, ...]:
    """What changes with the labels."""
    return ("generation",) if "metadata.labels" in kind.spec_fields else ()


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource)
def test_a_full_object_goes_through_every_form_and_verb(api: Bench, pod: Object, kind: Kind) -> None:
    obj = copy.deepcopy(pod) if kind.resource == "pods" else _grow(api, kind, pod["spec"])
    made = api.made(kind.resource, obj)
    name = made["metadata"]["name"]
    _reads_are_the_same(api, kind, made)
    _writing_what_is_there_changes_nothing(api, kind, made)
    _patches_change_what_they_say(api, kind, name)
    _applying_and_deleting(api, kind, name)


def _reads_are_the_same(api: Bench, kind: Kind, made: Object) -> None:
    name = made["metadata"]["name"]
    assert api.get(kind.resource, name).json == made
    assert yamlcodec.load(api.get(kind.resource, name, headers={"accept": YAML}).body)[0] == made
    (listed,) = api.list(kind.resource, fieldSelector=f"metadata.name={name}").json["items"]
    assert listed == made


def _writing_what_is_there_changes_nothing(api: Bench, kind: Kind, made: Object) -> None:
    name = made["metadata"]["name"]
    path = api._path(kind.resource, made, name)
    forms: list[tuple[str, Any]] = [("application/json", made), (YAML, yamlcodec.dump(made))]
    if encoder.is_encodable(kind):
        forms.append((PROTOBUF, encoder.encode(made)))
    for content_type, body in forms:
        reply = api.call("PUT", path, body, content_type=content_type, fieldValidation="Strict")
        assert (reply.status, reply.json) == (200, made), content_type
    again = api.get(kind.resource, name, headers={"accept": f"{PROTOBUF},application/json"})
    reply = api.call("PUT", path, again.body, content_type=again.headers["content-type"])
    assert (reply.status, reply.json) == (200, made), "what a protobuf client read and sent back"


def _patches_change_what_they_say(api: Bench, kind: Kind, name: str) -> None:
    for number, (content_type, patch) in enumerate(
        (
            (MERGE, {"metadata": {"labels": {"by": "0"}}}),
            (STRATEGIC, {"metadata": {"labels": {"by": "1"}}}),
            (JSON_PATCH, [{"op": "replace", "path": "/metadata/labels/by", "value": "2"}]),
        )
    ):
        before = api.get(kind.resource, name).json
        reply = api.patch(kind.resource, name, patch, content_type=content_type)
        assert reply.status == 200, reply.body
        after = reply.json
        assert after["metadata"]["labels"]["by"] == str(number)
        assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
        assert without(after, "labels", *counting(kind)) == without(before, "labels", *counting(kind))


def _applying_and_deleting(api: Bench, kind: Kind, name: str) -> None:
    before = api.get(kind.resource, name).json
    config = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "labels": {"applied": "yes"}},
    }
    reply = api.patch(kind.resource, name, config, content_type=APPLY, **MANAGER)
    assert reply.status == 200, reply.body
    applied = reply.json
    assert applied["metadata"]["labels"] == {**before["metadata"]["labels"], "applied": "yes"}
    assert without(applied, "labels", *counting(kind)) == without(before, "labels", *counting(kind))
    entries = [entry for entry in applied["metadata"]["managedFields"] if entry["operation"] == "Apply"]
    assert [(entry["manager"], entry["fieldsV1"]) for entry in entries] == [
        ("round-trip", {"f:metadata": {"f:labels": {"f:applied": {}}}})
    ]
    assert api.patch(kind.resource, name, config, content_type=APPLY, **MANAGER).json == applied
    config["metadata"].pop("labels")
    reply = api.patch(kind.resource, name, config, content_type=APPLY, **MANAGER)
    assert without(reply.json, *counting(kind)) == without(before, *counting(kind)), "what is no longer applied goes"
    finalizers = {"metadata": {"finalizers": None}}
    api.patch(kind.resource, name, finalizers)
    assert api.delete(kind.resource, name, {"gracePeriodSeconds": 0}).status == 200
    if kind.resource != "namespaces":
        api.patch(kind.resource, name, finalizers)
        assert api.get(kind.resource, name).status == 404
