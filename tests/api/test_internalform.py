"""The internal types: which fields they have, and how values of them are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from navarch.api import schemas
from navarch.api.internalform import CORE, RESOURCE, fields, internal
from navarch.apimachinery.gojson import marshalled
from navarch.apimachinery.schema import Schema

ROOTS = [
    *(f"{CORE}{name}" for name in ("PodSpec", "PersistentVolumeSpec", "PersistentVolumeClaimSpec")),
    *(f"{RESOURCE}{name}" for name in ("ResourceClaimTemplateSpec", "AllocationResult", "ResourceSliceSpec")),
]
HOST = {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"}
GONE = {f"{CORE}PodSpec": {"serviceAccount", *HOST}}
ADDED = {f"{CORE}PodSecurityContext": HOST}


def reachable() -> dict[str, Schema]:
    """The types that name no fields for JSON, of all values that are shown."""
    found: dict[str, Schema] = {}
    waiting = [schemas.definitions().get(name) for name in ROOTS]
    while waiting:
        node = waiting.pop()
        if node.type in ("list", "map"):
            waiting.append(node.element)
        elif node.type == "struct" and node.name not in found and "apimachinery" not in node.name:
            found[node.name] = node
            waiting.extend(node.properties.values())
    return found


def known() -> Iterator[tuple[str, list[str]]]:
    """The types of the core group, each with its fields in their order, pointers with a star."""
    for line in (Path(__file__).parent / "internaltypes.txt").read_text().splitlines():
        name, *there = line.split(" ")
        yield name, there


def test_every_field_of_the_schema_has_its_place() -> None:
    for name, node in reachable().items():
        expected = set(node.properties) - GONE.get(name, set()) | ADDED.get(name, set())
        there = fields(name)
        assert {field.key for field in there} == expected, name
        assert len({field.name for field in there}) == len(there) == len(expected), name


@pytest.mark.parametrize(("name", "expected"), list(known()))
def test_fields_are_named_and_ordered_as_in_go(name: str, expected: list[str]) -> None:
    assert ["*" * field.is_pointer + field.name for field in fields(f"{CORE}{name}")] == expected


def test_the_types_of_the_core_group_are_known() -> None:
    core = {name.removeprefix(CORE) for name in reachable() if name.startswith(CORE)}
    assert {name for name, _ in known()} == core - {"PersistentVolumeClaimTemplate"}


def test_what_is_not_there_is_written_too() -> None:
    assert internal({"name": "a"}, f"{CORE}ContainerPort") == {
        "Name": "a", "HostPort": 0, "ContainerPort": 0, "Protocol": "", "HostIP": "",
    }  # fmt: skip
    assert internal({}, f"{CORE}ResourceFieldSelector") == {"ContainerName": "", "Resource": "", "Divisor": "0"}
    assert internal({}, f"{CORE}TCPSocketAction") == {"Port": 0, "Host": ""}
    assert internal({}, f"{CORE}ResourceRequirements") == {"Limits": None, "Requests": None, "Claims": None}
    assert internal({"stopSignal": ""}, f"{CORE}Lifecycle") == {"PostStart": None, "PreStop": None, "StopSignal": ""}


def test_maps_are_sorted() -> None:
    shown = internal({"limits": {"memory": "1Gi", "cpu": "1"}}, f"{CORE}VolumeResourceRequirements")
    assert list(shown["Limits"].items()) == [("cpu", "1"), ("memory", "1Gi")]


def test_what_a_pod_shares_with_its_node_is_in_its_security_context() -> None:
    spec = {"hostPID": True, "hostUsers": False, "securityContext": {"runAsUser": 0}}
    context = internal(spec, f"{CORE}PodSpec")["SecurityContext"]
    assert list(context)[:6] == ["HostNetwork", "HostPID", "HostIPC", "ShareProcessNamespace", "HostUsers", "SELinuxOptions"]
    assert (context["HostNetwork"], context["HostPID"], context["HostUsers"], context["RunAsUser"]) == (False, True, False, 0)
    assert internal({}, f"{CORE}PodSpec")["SecurityContext"]["HostUsers"] is None


def test_metadata_and_selectors_are_as_in_the_api_and_metadata_has_no_level_of_its_own() -> None:
    selector = {"matchExpressions": [{"key": "a", "operator": "Exists"}], "matchLabels": {"b": "1", "a": "2"}}
    template = {"metadata": {"name": "", "labels": {"b": "1", "a": "2"}}, "spec": {"selector": selector}}
    shown = internal(template, f"{CORE}PersistentVolumeClaimTemplate")
    assert list(shown) == ["labels", "Spec"]
    assert list(shown["labels"]) == ["a", "b"]
    assert marshalled(shown["Spec"]["Selector"]) == (
        '{"matchLabels":{"a":"2","b":"1"},"matchExpressions":[{"key":"a","operator":"Exists"}]}'
    )
    assert internal({"labelSelector": {}}, f"{CORE}PodAffinityTerm")["LabelSelector"] == {}


def test_some_fields_alone() -> None:
    spec = {"capacity": {"storage": "1Gi"}, "nfs": {"server": "s", "path": "/p"}}
    assert internal(spec, f"{CORE}PersistentVolumeSpec", only=("nfs", "rbd")) == {
        "NFS": {"Server": "s", "Path": "/p", "ReadOnly": False},
        "RBD": None,
    }
