"""Rules of the core kinds beside pods: for each an object that breaks it, and all that is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api.core import service
from navarch.apimachinery.errors import Object
from tests.api.rules import made, on_create, on_update

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
PORT = "must be between 1 and 65535, inclusive"
BALANCED = "Forbidden: may only be used when `type` is 'LoadBalancer'"
LOOPBACK = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
TLS = {"type": "kubernetes.io/tls", "stringData": None}


def spec(**fields: Any) -> Object:
    return {"spec": fields}


def ports(*more: Object) -> Object:
    return spec(ports=list(more))


SERVICES: list[tuple[Object, list[str]]] = [
    (ports(), ["spec.ports: Required value"]),
    (spec(clusterIP="None", ports=None), []),
    (
        spec(type="x"),
        ['spec.type: Unsupported value: "x": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'],
    ),
    (
        spec(type="NodePort", clusterIP="None"),
        ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
    ),
    (spec(type="ExternalName"), ["spec.externalName: Required value"]),
    (
        spec(type="ExternalName", externalName="a", clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"]),
        ["spec.clusterIPs: Forbidden: may not be set for ExternalName services"],
    ),
    (ports({"port": 1}, {"port": 2, "name": "b"}), ["spec.ports[0].name: Required value"]),
    (ports({"port": 1, "name": "A"}), [f'spec.ports[0].name: Invalid value: "A": {LABEL}']),
    (
        ports({"port": 1, "name": "a"}, {"port": 2, "name": "a"}),
        ['spec.ports[1].name: Duplicate value: "a"'],
    ),
    (ports({"port": 70000, "targetPort": 1}), [f"spec.ports[0].port: Invalid value: 70000: {PORT}"]),
    (
        ports({"port": 1, "protocol": "x"}),
        ['spec.ports[0].protocol: Unsupported value: "x": supported values: "SCTP", "TCP", "UDP"'],
    ),
    (ports({"port": 1, "targetPort": -1}), [f"spec.ports[0].targetPort: Invalid value: -1: {PORT}"]),
    (
        ports({"port": 1, "name": "a"}, {"port": 1, "name": "b"}),
        ['spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}'],
    ),
    (
        ports({"port": 1, "nodePort": 30000}),
        ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ),
    (
        spec(type="NodePort", ports=[{"port": 1, "name": "a", "nodePort": 30000}, {"port": 2, "name": "b", "nodePort": 30000}]),
        ["spec.ports[1].nodePort: Duplicate value: 30000"],
    ),
    (
        spec(sessionAffinity="x"),
        ['spec.sessionAffinity: Unsupported value: "x": supported values: "ClientIP", "None"'],
    ),
    (
        spec(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 86401}}),
        [
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than "
            "86400"
        ],
    ),
    (
        spec(clusterIP="10.0.0.1", clusterIPs=["10.0.0.2"]),
        ['spec.clusterIPs: Invalid value: ["10.0.0.2"]: first value must match `clusterIP`'],
    ),
    (spec(clusterIP="x"), [f'spec.clusterIPs[0]: Invalid value: "x": {IP}']),
    (
        spec(clusterIP="None", clusterIPs=["None", "None"]),
        [
            'spec.clusterIPs: Invalid value: ["None","None"]: \'None\' must be the first and only value',
            f'spec.clusterIPs[1]: Invalid value: "None": {IP}',
        ],
    ),
    (
        spec(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1", "10.0.0.2"]),
        ['spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each IP family'],
    ),
    (
        spec(clusterIP="fd00::1", clusterIPs=["fd00::1"], ipFamilies=["IPv4"]),
        ['spec.clusterIPs[0]: Invalid value: "fd00::1": expected an IPv4 value as indicated by `ipFamilies[0]`'],
    ),
    (
        spec(ipFamilies=["IPv4", "IPv4"]),
        ['spec.ipFamilies[1]: Duplicate value: "IPv4"'],
    ),
    (
        spec(ipFamilyPolicy="x"),
        ['spec.ipFamilyPolicy: Unsupported value: "x": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"'],
    ),
    (spec(externalIPs=["x"]), [f'spec.externalIPs[0]: Invalid value: "x": {IP}']),
    (spec(externalIPs=["127.0.0.1"]), [f'spec.externalIPs[0]: Invalid value: "127.0.0.1": {LOOPBACK}']),
    (spec(externalIPs=["0.0.0.0"]), ['spec.externalIPs[0]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)']),
    (spec(loadBalancerSourceRanges=["10.0.0.0/8"]), [f"spec.LoadBalancerSourceRanges: {BALANCED}"]),
    (
        spec(type="LoadBalancer", loadBalancerSourceRanges=[" 10.0.0.0/8 ", "x"]),
        [f'spec.LoadBalancerSourceRanges[1]: Invalid value: "x": {CIDR}'],
    ),
    (spec(allocateLoadBalancerNodePorts=True), [f"spec.allocateLoadBalancerNodePorts: {BALANCED}"]),
    (spec(loadBalancerClass="a"), [f"spec.loadBalancerClass: {BALANCED}"]),
    (
        spec(externalTrafficPolicy="Local"),
        ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
    ),
    (
        spec(type="NodePort", externalTrafficPolicy="x"),
        ['spec.externalTrafficPolicy: Unsupported value: "x": supported values: "Cluster", "Local"'],
    ),
    (
        spec(healthCheckNodePort=30000),
        [
            "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and "
            "`externalTrafficPolicy` is 'Local'"
        ],
    ),
    (
        spec(internalTrafficPolicy="x"),
        ['spec.internalTrafficPolicy: Unsupported value: "x": supported values: "Cluster", "Local"'],
    ),
    (
        spec(trafficDistribution="x"),
        [
            'spec.trafficDistribution: Unsupported value: "x": supported values: "PreferClose", "PreferSameZone", '
            '"PreferSameNode"'
        ],
    ),
]


def subset(**fields: Any) -> Object:
    return {"subsets": [{"addresses": [{"ip": "10.1.2.3"}], **fields}]}


ENDPOINTS: list[tuple[Object, list[str]]] = [
    (subset(addresses=[]), ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]),
    (subset(addresses=[{"ip": "x"}]), [f'subsets[0].addresses[0].ip: Invalid value: "x": {IP}']),
    (
        subset(notReadyAddresses=[{"ip": "127.0.0.1"}]),
        [f'subsets[0].notReadyAddresses[0].ip: Invalid value: "127.0.0.1": {LOOPBACK}'],
    ),
    (
        subset(addresses=[{"ip": "169.254.0.1"}]),
        [
            'subsets[0].addresses[0].ip: Invalid value: "169.254.0.1": may not be in the link-local range (169.254.0.0/16, '
            "fe80::/10)"
        ],
    ),
    (
        subset(addresses=[{"ip": "10.0.0.1", "hostname": "A"}]),
        [f'subsets[0].addresses[0].hostname: Invalid value: "A": {LABEL}'],
    ),
    (subset(ports=[{"port": 1}, {"port": 2, "name": "b"}]), ["subsets[0].ports[0].name: Required value"]),
    (subset(ports=[{"port": 0}]), [f"subsets[0].ports[0].port: Invalid value: 0: {PORT}"]),
    (
        subset(ports=[{"port": 1, "protocol": "x"}]),
        ['subsets[0].ports[0].protocol: Unsupported value: "x": supported values: "SCTP", "TCP", "UDP"'],
    ),
]

NODES: list[tuple[Object, list[str]]] = [
    (
        spec(taints=[{"key": "a", "effect": "x"}]),
        ['metadata.taints[0].effect: Unsupported value: "x": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'],
    ),
    (spec(taints=[{"key": "a", "effect": ""}]), ["metadata.taints[0].effect: Required value"]),
    (
        spec(taints=[{"key": "a", "effect": "NoExecute"}, {"key": "a", "effect": "NoExecute"}]),
        ['metadata.taints[1]: Duplicate value: {"effect":"NoExecute","key":"a"}: taints must be unique by key and effect pair'],
    ),
    (
        {"status": {"capacity": {"cpu": "-1"}}},
        [
            'status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0',
            'status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0',
        ],
    ),
    (spec(podCIDRs=["x"]), [f'spec.podCIDRs[0]: Invalid value: "x": {CIDR}']),
    (
        spec(podCIDRs=["10.0.0.0/24", "10.0.1.0/24"]),
        ['spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: may specify no more than one CIDR for each IP family'],
    ),
]

SECRETS: list[tuple[Object, list[str]]] = [
    (TLS, ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
    ({"type": "kubernetes.io/ssh-auth", "stringData": None}, ["data[ssh-privatekey]: Required value"]),
    (
        {"type": "kubernetes.io/ssh-auth", "stringData": None, "data": {"ssh-privatekey": ""}},
        ["data[ssh-privatekey]: Required value"],
    ),
    (
        {"type": "kubernetes.io/basic-auth", "stringData": None},
        ["data[username]: Required value", "data[password]: Required value"],
    ),
    (
        {"type": "kubernetes.io/service-account-token"},
        ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
    ),
    ({"type": "kubernetes.io/dockerconfigjson", "stringData": None}, ["data[.dockerconfigjson]: Required value"]),
    (
        {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": '{"auths" 1}'}},
        [
            "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": invalid character '1' after object key",
        ],
    ),
    (
        {"type": "kubernetes.io/dockercfg", "stringData": {".dockercfg": "[]"}},
        [
            'data[.dockercfg]: Invalid value: "<secret contents redacted>": '
            "json: cannot unmarshal array into Go value of type map[string]interface {}",
        ],
    ),
]

OTHERS: list[tuple[str, Object, list[str]]] = [
    (
        "namespaces",
        spec(finalizers=["plain"]),
        [
            'spec.finalizers: Invalid value: "plain": name is neither a standard finalizer name nor is it fully qualified',
        ],
    ),
    (
        "configmaps",
        {"data": {"a": "1"}, "binaryData": {"a": "MQ=="}},
        ['data[a]: Invalid value: "a": duplicate of key present in binaryData'],
    ),
    ("replicationcontrollers", spec(replicas=-1), ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
    (
        "replicationcontrollers",
        {"spec": {"template": {"spec": {"activeDeadlineSeconds": 5}}}},
        [
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not "
            "Supported"
        ],
    ),
]


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        *(("services", *case) for case in SERVICES),
        *(("endpoints", *case) for case in ENDPOINTS),
        *(("nodes", *case) for case in NODES),
        *(("secrets", *case) for case in SECRETS),
        *OTHERS,
    ],
)
def test_each_rule_of_a_new_object_says_what_upstream_says(name: str, change: Object, expected: list[str]) -> None:
    assert on_create(name, change) == expected


@pytest.mark.parametrize(
    ("name", "before", "change", "expected"),
    [
        ("services", spec(clusterIP="10.0.0.1"), spec(clusterIP="10.0.0.2", clusterIPs=["10.0.0.2"]), [
            'spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set',
        ]),
        ("services", spec(type="LoadBalancer", loadBalancerClass="a"), spec(loadBalancerClass="b"), [
            'spec.loadBalancerClass: Invalid value: "b": may not change once set',
        ]),
        ("services", spec(type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=30000),
         spec(healthCheckNodePort=30001), ["spec.healthCheckNodePort: Forbidden: field is immutable"]),
        ("nodes", spec(podCIDR="10.0.0.0/24", podCIDRs=["10.0.0.0/24"]),
         spec(podCIDR="10.0.1.0/24", podCIDRs=["10.0.1.0/24"]), [
            'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
        ]),
        ("nodes", spec(providerID="a"), spec(providerID="b"), [
            'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
        ]),
        ("secrets", {}, {"type": "example.com/other"}, ['type: Invalid value: "example.com/other": field is immutable']),
        ("secrets", {"immutable": True}, {"data": {"a": "MQ=="}}, [
            "data: Forbidden: field is immutable when `immutable` is set",
        ]),
        ("configmaps", {"immutable": True}, {"immutable": False}, [
            "immutable: Forbidden: field is immutable when `immutable` is set",
        ]),
    ],
)  # fmt: skip
def test_what_may_not_change(name: str, before: Object, change: Object, expected: list[str]) -> None:
    assert on_update(name, change, before) == expected


def ingress(**fields: Any) -> Object:
    return {"status": {"loadBalancer": {"ingress": [fields]}}}


@pytest.mark.parametrize(
    ("name", "before", "change", "expected"),
    [
        ("services", {}, ingress(ip="10.0.0.1"), [
            "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'",
        ]),
        ("services", spec(type="LoadBalancer"), ingress(ip="10.0.0.1"), []),
        ("services", spec(type="LoadBalancer"), ingress(ip="x"), [
            f'status.loadBalancer.ingress[0].ip: Invalid value: "x": {IP}',
        ]),
        ("services", spec(type="LoadBalancer"), ingress(ip="10.0.0.1", ipMode="x"), [
            'status.loadBalancer.ingress[0].ipMode: Unsupported value: "x": supported values: "Proxy", "VIP"',
        ]),
        ("services", spec(type="LoadBalancer"), ingress(hostname="a.example", ipMode="VIP"), [
            "status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set",
        ]),
        ("services", spec(type="LoadBalancer"), ingress(hostname="10.0.0.1"), [
            'status.loadBalancer.ingress[0].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
        ]),
        ("namespaces", {}, {"status": {"phase": "Terminating"}}, [
            "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty",
        ]),
        ("replicationcontrollers", {}, {"status": {"replicas": 1, "readyReplicas": 2}}, [
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        ]),
        ("replicationcontrollers", {}, {"status": {"replicas": -1}}, [
            "status.replicas: Invalid value: -1: must be greater than or equal to 0",
            "status.fullyLabeledReplicas: Invalid value: 0: cannot be greater than status.replicas",
            "status.readyReplicas: Invalid value: 0: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 0: cannot be greater than status.replicas",
        ]),
        ("nodes", {}, {"status": {"addresses": [{"type": "Hostname", "address": "a"}] * 2}}, [
            'status.addresses[1]: Duplicate value: {"address":"a","type":"Hostname"}',
        ]),
    ],
)  # fmt: skip
def test_a_status_makes_sense(name: str, before: Object, change: Object, expected: list[str]) -> None:
    assert on_update(name, change, before, "status") == expected


def test_addresses_of_load_balancers_are_virtual_unless_they_say_otherwise() -> None:
    old = made("services", spec(type="LoadBalancer"))
    new = service.prepare_status_update({**old, **ingress(ip="10.0.0.1")}, old)
    assert new["status"]["loadBalancer"]["ingress"] == [{"ip": "10.0.0.1", "ipMode": "VIP"}]
