"""Managers of an object that is served in two versions, each with fields of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver import fieldmanagement
from navarch.apiserver.request import APIRequest, User
from navarch.apiserver.requestinfo import parse

NAMES = {"note": "message", "regarding": "involvedObject"}


def renamed(obj: Object, names: dict[str, str], api_version: str) -> Object:
    return {names.get(key, key): value for key, value in obj.items()} | {"apiVersion": api_version}


STORED = replace(registry.resource("events"), default=lambda obj: obj)
SERVED = replace(
    STORED,
    group="events.k8s.io",
    schema="io.k8s.api.events.v1.Event",
    stored_as=STORED,
    to_stored=lambda obj: renamed(obj, NAMES, "v1"),
    from_stored=lambda obj: renamed(obj, {stored: served for served, stored in NAMES.items()}, "events.k8s.io/v1"),
)


@pytest.fixture(autouse=True)
def two_versions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fieldmanagement.registry, "kinds", lambda: (STORED, SERVED))
    yield


def asked(manager: str, **query: str) -> APIRequest:
    values = {name: [value] for name, value in {"fieldManager": manager, **query}.items()}
    return APIRequest(parse("PATCH", "/", values), "PATCH", values, User("alice"))


def managers(obj: Object) -> dict[tuple[str, str], Any]:
    return {(entry["manager"], entry["apiVersion"]): entry["fieldsV1"] for entry in obj["metadata"]["managedFields"]}


def event(kind: Kind, **fields: Any) -> Object:
    return {"apiVersion": kind.api_version, "kind": "Event", "metadata": {"name": "x", "namespace": "default"}, **fields}


def test_each_manager_has_the_fields_of_the_version_it_wrote() -> None:
    made = fieldmanagement.created(asked("core"), STORED, event(STORED, message="a", reason="Made", type="Normal"))
    assert managers(made) == {("core", "v1"): {"f:message": {}, "f:reason": {}, "f:type": {}}}
    changed = fieldmanagement.updated(asked("events"), SERVED, {**made, "message": "b"}, made, "")
    assert managers(changed) == {
        ("core", "v1"): {"f:reason": {}, "f:type": {}},
        ("events", "events.k8s.io/v1"): {"f:note": {}},
    }
    again = fieldmanagement.created(asked("events"), SERVED, event(STORED, message="c"))
    assert managers(again) == {("events", "events.k8s.io/v1"): {"f:note": {}}}


TEXTS = st.sampled_from(["", "a", "b"])
MAPS = st.dictionaries(st.sampled_from(["x", "y", "z"]), TEXTS, max_size=3)
OWNERS = st.lists(st.fixed_dictionaries({"uid": st.sampled_from(["1", "2"])}), max_size=2, unique_by=lambda owner: owner["uid"])


@given(st.lists(st.tuples(MAPS, MAPS, st.lists(TEXTS, max_size=2, unique=True), OWNERS, TEXTS, MAPS), max_size=6))
def test_what_is_known_of_a_shape_is_what_would_be_found(objects: list[tuple[Any, ...]]) -> None:
    def made(labels: Any, annotations: Any, finalizers: Any, owners: Any, reason: str, source: Any) -> Any:
        obj = event(STORED, reason=reason, source=source)
        more = {"labels": labels, "annotations": annotations, "finalizers": finalizers, "ownerReferences": owners}
        return managers(fieldmanagement.created(asked("core"), STORED, {**obj, "metadata": {**obj["metadata"], **more}}))

    known = [made(*each) for each in objects]
    for each, found in zip(objects, known, strict=True):
        fieldmanagement._versions.cache_clear()
        assert made(*each) == found


def test_pods_that_differ_by_their_claims_have_the_same_managers() -> None:
    kind = registry.resource("pods")

    def made(claim: str, volume: str) -> Any:
        volumes = [{"name": volume, "persistentVolumeClaim": {"claimName": claim}}]
        spec = {"containers": [{"name": "main", "image": "a"}], "volumes": volumes}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "default"}, "spec": spec}
        created = fieldmanagement.created(asked("core"), kind, kind.default(pod))
        assert created["spec"]["volumes"] == volumes
        return managers(created)

    one = made("a", "v")
    assert made("b", "v") == one != made("b", "w")
    fieldmanagement._versions.cache_clear()
    assert made("b", "v") == one


def test_what_is_large_is_not_kept_by_its_shape() -> None:
    obj = event(STORED, reason="a", series={f"key-{number}": "x" for number in range(fieldmanagement.SHAPE_KEYS_LIMIT + 1)})
    assert fieldmanagement._shape(obj) is None
    assert fieldmanagement._shape({"a": ["x" * fieldmanagement.SHAPE_LIST_LIMIT_BYTES]}) is None


def test_conflicts_and_what_is_given_up_are_found_across_versions() -> None:
    made = fieldmanagement.created(asked("core"), STORED, event(STORED, message="a"))
    config = event(SERVED, note="b", reason="Applied")
    with pytest.raises(StatusError) as refused:
        fieldmanagement.applied(asked("applier"), SERVED, SERVED.from_stored(made), config, "")
    assert refused.value.message == 'Apply failed with 1 conflict: conflict with "core" using v1: .message'
    forced = fieldmanagement.applied(asked("applier", force="true"), SERVED, SERVED.from_stored(made), config, "")
    assert managers(forced) == {("applier", "events.k8s.io/v1"): {"f:note": {}, "f:reason": {}}}
    stored = SERVED.to_stored(forced)
    left = fieldmanagement.applied(asked("applier"), STORED, stored, event(STORED, message="b"), "")
    assert left["message"] == "b" and left.get("reason") in (None, "")
    assert managers(left) == {("applier", "v1"): {"f:message": {}}}


def test_a_type_that_is_not_that_of_the_path_is_refused() -> None:
    with pytest.raises(StatusError) as refused:
        fieldmanagement.applied(asked("applier"), SERVED, {}, event(STORED, message="a"), "")
    assert refused.value.message == "invalid object type: /v1, Kind=Event"
