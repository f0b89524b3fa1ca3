"""Services: addresses and families that follow from one another, and fields that come and go with the type."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api import schemas
from navarch.api.registry import resource
from navarch.apimachinery.decoding import decode
from navarch.apimachinery.errors import Object
from tests.api.rules import made, merged, on_create, on_update

SERVICE = "services"
SINGLE = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"


def spec(**fields: Any) -> Object:
    return {"spec": fields}


def updated(before: Object, change: Object) -> Object:
    """The spec of a Service that had `before`, after an update with `change`; None removes."""
    kind, old = resource(SERVICE), made(SERVICE, {"spec": before})
    new = kind.default(decode(merged(old, {"spec": change}), schemas.of(kind)).object)
    assert kind.prepare_update is not None
    found: Object = kind.prepare_update(new, old)["spec"]
    return found


def families(found: Object) -> tuple[str, list[str]]:
    return found["ipFamilyPolicy"], found["ipFamilies"]


BOTH = ["IPv4", "IPv6"]
OPEN = {"clusterIP": "None", "selector": None}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("SingleStack", ["IPv4"])),
        ({"clusterIP": "None"}, ("SingleStack", ["IPv4"])),
        (OPEN, ("RequireDualStack", BOTH)),
        ({**OPEN, "ipFamilies": ["IPv6"]}, ("RequireDualStack", ["IPv6", "IPv4"])),
        ({**OPEN, "ipFamilyPolicy": "PreferDualStack"}, ("PreferDualStack", BOTH)),
        ({**OPEN, "ipFamilyPolicy": "SingleStack"}, ("SingleStack", ["IPv4"])),
        ({"ipFamilyPolicy": "PreferDualStack"}, ("PreferDualStack", ["IPv4"])),
    ],
)
def test_the_families_of_a_new_service(fields: Object, expected: tuple[str, list[str]]) -> None:
    assert families(made(SERVICE, {"spec": fields})["spec"]) == expected
    assert on_create(SERVICE, {"spec": fields}) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"ipFamilies": BOTH}, [
            f'spec.ipFamilyPolicy: Invalid value: "SingleStack": {SINGLE} IP families are specified',
        ]),
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"]}, [
            f'spec.ipFamilyPolicy: Invalid value: "SingleStack": {SINGLE} cluster IPs are specified',
            'spec.clusterIPs[1]: Invalid value: ["10.0.0.1","fd00::1"]: IPv6 is not configured on this cluster',
        ]),
        ({"clusterIP": "fd00::1"}, [
            'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
        ]),
        ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": BOTH}, [
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
            'spec.ipFamilies[1]: Invalid value: "IPv6": not configured on this cluster',
        ]),
        ({"clusterIPs": ["10.0.0.1"]}, [
            'spec.clusterIPs: Invalid value: ["10.0.0.1"]: must be empty when `clusterIP` is not specified',
        ]),
        ({"type": "LoadBalancer", "ports": [{"port": 10250}]}, [
            "spec.ports[0]: Invalid value: 10250: may not expose port 10250 externally since it is used by kubelet",
        ]),
        ({"type": "ExternalName", "externalName": "a", "internalTrafficPolicy": "Odd"}, [
            'spec.internalTrafficPolicy: Unsupported value: "Odd": supported values: "Cluster", "Local"',
        ]),
    ],
)  # fmt: skip
def test_what_a_service_may_not_be(fields: Object, expected: list[str]) -> None:
    assert on_create(SERVICE, {"spec": fields}) == expected


def test_annotations_about_topology_must_agree() -> None:
    mode, hints = "service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"
    assert on_create(SERVICE, {"metadata": {"annotations": {mode: "Auto", hints: "Disabled"}}}) == [
        f'metadata.annotations[{mode}]: Invalid value: "Auto": must match annotations[{hints}] when both are specified'
    ]
    assert on_create(SERVICE, {"metadata": {"annotations": {mode: "Auto", hints: "Auto"}}}) == []


def test_other_names_have_no_policies_of_traffic() -> None:
    other = {"type": "ExternalName", "externalName": "a", "internalTrafficPolicy": "Local", "externalIPs": ["192.0.2.1"]}
    found = made(SERVICE, {"spec": other})["spec"]
    assert not {"internalTrafficPolicy", "externalTrafficPolicy", "ipFamilies", "ipFamilyPolicy"} & found.keys()


GIVEN = {"clusterIP": "10.0.0.1"}


def test_an_address_is_kept_whoever_knows_which_field() -> None:
    for change in ({"clusterIP": None}, {"clusterIPs": None}, {"clusterIP": None, "clusterIPs": None}):
        found = updated(GIVEN, change)
        assert (found["clusterIP"], found["clusterIPs"]) == ("10.0.0.1", ["10.0.0.1"])
        found = updated({"clusterIP": "None"}, change)
        assert (found["clusterIP"], found["clusterIPs"]) == ("None", ["None"])
    assert updated(GIVEN, {"clusterIP": "10.0.0.2"})["clusterIPs"] == ["10.0.0.2"]
    assert on_update(SERVICE, spec(clusterIP="10.0.0.2"), {"spec": GIVEN}) == [
        'spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'
    ]


def test_the_policy_of_families_is_kept() -> None:
    prefers = {"ipFamilyPolicy": "PreferDualStack"}
    assert families(updated(prefers, {"ipFamilyPolicy": None, "ipFamilies": None})) == ("PreferDualStack", ["IPv4"])
    assert families(updated(OPEN, {"ipFamilyPolicy": None, "ipFamilies": None})) == ("RequireDualStack", BOTH)
    assert families(updated(OPEN, {"ipFamilyPolicy": "SingleStack"})) == ("SingleStack", ["IPv4"])
    assert on_update(SERVICE, spec(ipFamilyPolicy="SingleStack", ipFamilies=["IPv6"]), {"spec": OPEN}) == []


@pytest.mark.parametrize("address", ["10.0.0.1", "None"])
def test_a_service_becomes_another_name_without_having_to_clear_anything(address: str) -> None:
    found = updated({"clusterIP": address}, {"type": "ExternalName", "externalName": "a.example"})
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"} & found.keys()
    cleared = {"type": "ExternalName", "externalName": "a.example", "clusterIP": None}
    assert "clusterIPs" not in updated({"clusterIP": address}, cleared)
    again = {"type": "ExternalName", "externalName": "a.example", "clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"]}
    assert updated({"clusterIP": address}, again)["clusterIPs"] == ["10.0.0.2"]


def test_what_only_balancers_have_goes_with_them_but_for_their_address() -> None:
    balancer = {"type": "LoadBalancer", "loadBalancerClass": "a.b/c", "loadBalancerIP": "192.0.2.1"}
    found = updated(balancer, {"type": "ClusterIP"})
    assert not {"loadBalancerClass", "allocateLoadBalancerNodePorts", "externalTrafficPolicy"} & found.keys()
    assert found["loadBalancerIP"] == "192.0.2.1"


def test_the_address_of_a_balancer_goes_with_it() -> None:
    kind = resource(SERVICE)
    old = made(SERVICE, spec(type="LoadBalancer")) | {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    assert kind.prepare_update is not None
    assert kind.prepare_update(old, old)["status"] == old["status"]
    plain = {**old, "spec": {**old["spec"], "type": "NodePort"}}
    assert kind.prepare_update(plain, old)["status"] == {"loadBalancer": {}}


def test_the_policy_of_traffic_goes_with_the_last_external_address() -> None:
    assert updated({"externalIPs": ["192.0.2.1"]}, {})["externalTrafficPolicy"] == "Cluster"
    assert "externalTrafficPolicy" not in updated({"externalIPs": ["192.0.2.1"]}, {"externalIPs": None})
