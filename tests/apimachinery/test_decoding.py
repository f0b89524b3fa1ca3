"""Decoding by schema: what Go's decoder would take, refuse, complete and leave out."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from navarch.api import schemas
from navarch.apimachinery.decoding import decode
from navarch.apimachinery.schema import Schema
from navarch.apimachinery.unmarshal import NESTING_LIMIT, DecodeError, unmarshal
from tests.apiserver.fuzzing import Fuzzer
from tests.apiserver.samples import STORED

CORE = "io.k8s.api.core.v1."


def of(name: str) -> Schema:
    return schemas.definitions().get(name if "." in name else CORE + name)


def decoded(value: Any, name: str) -> Any:
    return decode(value, of(name)).object


def test_unknown_fields_are_dropped_and_named_by_path() -> None:
    pod = {"spec": {"containers": [{"name": "a", "imagee": "x", "env": [{"naame": "E"}]}], "x": 1}, "zed": {}}
    result = decode(pod, of("Pod"))
    assert sorted(result.unknown) == ["spec.containers[0].env[0].naame", "spec.containers[0].imagee", "spec.x", "zed"]
    assert result.object == {"spec": {"containers": [{"name": "a", "env": [{"name": ""}]}]}}


def test_nulls_are_dropped_and_in_lists_become_nothing() -> None:
    assert decoded({"metadata": None, "data": {"a": None, "b": "x"}}, "ConfigMap") == {"data": {"a": "", "b": "x"}}
    assert decoded({"ports": [None], "externalIPs": [None, "x"]}, "ServiceSpec") == {
        "ports": [{"port": 0}],
        "externalIPs": ["", "x"],
    }


def test_required_fields_have_zero_values_unless_they_are_pointers() -> None:
    assert decoded({"spec": {"template": {}}}, "io.k8s.api.apps.v1.Deployment") == {"spec": {"template": {}}}
    assert decoded({}, "io.k8s.api.apps.v1.DeploymentSpec") == {"template": {}}
    assert decoded({}, "PodSpec") == {"containers": []}
    assert decoded({}, "Event") == {"metadata": {}, "involvedObject": {}}
    assert decoded({"weight": None}, "PreferredSchedulingTerm") == {"weight": 0, "preference": {}}
    configuration = "io.k8s.api.resource.v1.OpaqueDeviceConfiguration"
    assert decoded({"driver": "a"}, configuration) == {"driver": "a"}, "nothing stands for what may be anything"


def test_empty_maps_and_lists_are_left_out() -> None:
    assert decoded({"labels": {}, "finalizers": [], "name": "a"}, schemas.OBJECT_META) == {"name": "a"}
    assert decoded({"emptyDir": {}, "name": "v"}, "Volume") == {"emptyDir": {}, "name": "v"}, "an empty struct says something"


def test_quantities_and_times_are_written_canonically() -> None:
    assert decoded({"limits": {"cpu": 0.5, "memory": "1024Mi"}}, "ResourceRequirements") == {
        "limits": {"cpu": "500m", "memory": "1Gi"}
    }
    meta = decoded({"creationTimestamp": "2026-01-01T02:00:00.75+02:00"}, schemas.OBJECT_META)
    assert meta == {"creationTimestamp": "2026-01-01T00:00:00Z"}
    lease = decoded({"renewTime": "2026-01-01T00:00:00.500000Z"}, "io.k8s.api.coordination.v1.LeaseSpec")
    assert lease == {"renewTime": "2026-01-01T00:00:00.500000Z"}
    assert decoded({"creationTimestamp": "0001-01-01T00:00:00Z"}, schemas.OBJECT_META) == {}


REPLICAS = "io.k8s.api.apps.v1.ReplicaSetSpec"
INT32 = "Go struct field ReplicaSetSpec.replicas of type int32"


@pytest.mark.parametrize(
    ("value", "name", "message"),
    [
        ([], "Pod", "array into Go value of type v1.Pod"),
        ({"spec": []}, "Pod", "array into Go struct field Pod.spec of type v1.PodSpec"),
        ({"spec": {"hostNetwork": "yes"}}, "Pod", "string into Go struct field PodSpec.spec.hostNetwork of type bool"),
        ({"replicas": "3"}, REPLICAS, f"string into {INT32}"),
        ({"replicas": 3.5}, REPLICAS, f"number 3.5 into {INT32}"),
        ({"replicas": 2**31}, REPLICAS, f"number 2147483648 into {INT32}"),
        ({"labels": {"a": 1}}, schemas.OBJECT_META, "number into Go struct field ObjectMeta.labels of type string"),
        ({"labels": []}, schemas.OBJECT_META, "array into Go struct field ObjectMeta.labels of type map[string]string"),
        ({"args": "x"}, "Container", "string into Go struct field Container.args of type []string"),
    ],
)
def test_wrong_types_are_refused_in_gos_words(value: Any, name: str, message: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(value, of(name))
    assert str(refused.value) == f"json: cannot unmarshal {message}"


@pytest.mark.parametrize(
    ("value", "name", "message"),
    [
        ({"data": {"a": "é"}}, "Secret", "illegal base64 data at input byte 0"),
        ({"data": {"a": "Zm9v\nZm9"}}, "Secret", "illegal base64 data at input byte 5"),
        ({"limits": {"cpu": "x"}}, "ResourceRequirements", "quantities must match the regular expression"),
        (
            {"creationTimestamp": "yesterday"},
            schemas.OBJECT_META,
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse',
        ),
    ],
)
def test_strings_of_a_wrong_form_are_refused(value: Any, name: str, message: str) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(value, of(name))
    assert message in str(refused.value)


def test_whole_numbers_may_be_written_as_floats() -> None:
    assert decoded({"replicas": 3.0}, "io.k8s.api.apps.v1.ReplicaSetSpec")["replicas"] == 3


def test_numbers_or_strings_stay_what_they_are() -> None:
    for value in (80, "http", "25%"):
        assert decoded({"port": 1, "targetPort": value}, "ServicePort")["targetPort"] == value


def test_free_form_values_are_taken_up_to_a_depth() -> None:
    value: Any = 1
    for _ in range(NESTING_LIMIT - 1):
        value = [value]
    revision = {"data": value, "revision": 1}
    assert decoded(revision, "io.k8s.api.apps.v1.ControllerRevision") == revision
    with pytest.raises(DecodeError, match="exceeded max depth"):
        decoded({"data": [[value]], "revision": 1}, "io.k8s.api.apps.v1.ControllerRevision")


@settings(max_examples=200)
@given(kind=st.sampled_from(STORED), seed=st.integers(0, 2**32), wildness=st.sampled_from([0.0, 0.05]))
def test_what_is_decoded_decodes_to_itself(kind: Any, seed: int, wildness: float) -> None:
    value = Fuzzer(Random(seed), wildness).object(kind, "x")
    before = copy.deepcopy(value)
    try:
        result = decode(value, schemas.of(kind))
    except DecodeError:
        return
    finally:
        assert value == before, "what was sent is left as it was"
    again = decode(result.object, schemas.of(kind))
    assert again.object == result.object and again.unknown == []


def test_every_definition_can_be_read() -> None:
    for name in schemas.definitions().sources:
        node = schemas.definitions().get(name)
        assert node.type in {"struct", "string", "any", "quantity", "intstr", "time", "microtime"}, name
        assert set(node.required) <= node.properties.keys(), name


def test_what_is_nothing_is_left_out_where_go_cannot_tell_it_from_missing() -> None:
    pod = schemas.definitions().get("io.k8s.api.core.v1.Pod")
    port = {"containerPort": 0, "hostPort": 0, "name": ""}
    container = {"name": "", "image": "", "stdin": False, "args": [], "ports": [port]}
    spec = {
        "containers": [container],
        "hostNetwork": False,
        "nodeName": "",
        # Pointers in Go: zero is something.
        "automountServiceAccountToken": False,
        "activeDeadlineSeconds": 0,
    }
    found = decode({"metadata": {"name": "x", "generation": 0}, "spec": spec}, pod).object
    assert found["metadata"] == {"name": "x"}
    assert found["spec"] == {
        # What has no omitempty is written even if it is nothing.
        "containers": [{"name": "", "ports": [{"containerPort": 0}]}],
        "automountServiceAccountToken": False,
        "activeDeadlineSeconds": 0,
    }


@settings(max_examples=300)
@given(kind=st.sampled_from(STORED), seed=st.integers(0, 2**32), wildness=st.sampled_from((0.0, 0.02, 0.2)))
def test_the_quick_way_and_the_exact_one_lead_to_the_same(kind: Any, seed: int, wildness: float) -> None:
    value = Fuzzer(Random(seed), wildness).object(kind, "x")
    node = schemas.of(kind)
    try:
        exact = unmarshal(value, node)
    except DecodeError as error:
        with pytest.raises(DecodeError) as found:
            decode(value, node)
        assert str(found.value) == str(error)
        return
    result = decode(value, node)
    assert result == exact


def _one_place_changed(value: Any, other: Any, random: Random) -> Any:
    """A copy of the path to some place, with what `other` has there; all else is shared with `value`."""
    if isinstance(value, dict) and isinstance(other, dict) and value and random.random() < 0.9:
        key = random.choice(sorted(value.keys() | other.keys()))
        if key not in other:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: _one_place_changed(value[key], other[key], random) if key in value else other[key]}
    if isinstance(value, list) and isinstance(other, list) and value and other and random.random() < 0.9:
        index = random.randrange(len(value))
        return [*value[:index], _one_place_changed(value[index], random.choice(other), random), *value[index + 1 :]]
    return other


@settings(max_examples=300)
@given(kind=st.sampled_from(STORED), seed=st.integers(0, 2**32), wildness=st.sampled_from((0.0, 0.02, 0.2)))
def test_what_is_shared_with_a_decoded_base_need_not_be_decoded_again(kind: Any, seed: int, wildness: float) -> None:
    random, node = Random(seed), schemas.of(kind)
    try:
        value = base = decode(Fuzzer(random, 0.0).object(kind, "x"), node).object
    except DecodeError:
        reject()
    for _ in range(3):
        value = _one_place_changed(value, Fuzzer(random, wildness).object(kind, "x"), random)
    try:
        plain = decode(value, node)
    except DecodeError as error:
        with pytest.raises(DecodeError) as found:
            decode(value, node, base)
        assert str(found.value) == str(error)
        return
    result = decode(value, node, base)
    assert (result.object, result.unknown) == (plain.object, plain.unknown)
    assert list(result.object) == list(plain.object)


def test_of_a_decoded_base_all_that_is_the_same_is_shared() -> None:
    base = decoded(
        {"status": {"conditions": [{"type": type_, "status": "True"} for type_ in "ab"], "podIPs": [{"ip": "x"}]}}, "Pod"
    )
    status = base["status"]
    new = {
        **base,
        "status": {**status, "conditions": [status["conditions"][0], {"type": "b", "status": "False", "reason": None}]},
    }
    result = decode(new, of("Pod"), base).object
    assert result["status"]["podIPs"] is status["podIPs"] and result["status"]["conditions"][0] is status["conditions"][0]
    assert result["status"]["conditions"][1] == {"type": "b", "status": "False"}
