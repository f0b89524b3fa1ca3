"""What networking.k8s.io takes and refuses, in Kubernetes' words, and how its objects are printed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.rules import made, merged, on_create, on_update

INGRESSES = "ingresses.networking.k8s.io"
CLASSES = "ingressclasses.networking.k8s.io"
POLICIES = "networkpolicies.networking.k8s.io"
ADDRESSES = "ipaddresses.networking.k8s.io"
CIDRS = "servicecidrs.networking.k8s.io"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
SERVICE: Object = {"service": {"name": "web", "port": {"number": 80}}}


def rule(path: Object | None = None, **fields: Any) -> Object:
    item = {"path": "/", "pathType": "Prefix", "backend": SERVICE}
    return {"spec": {"defaultBackend": None, "rules": [{"http": {"paths": [merged(item, path or {})]}, **fields}]}}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (INGRESSES, rule()),
        (INGRESSES, rule(host="*.example.com")),
        (INGRESSES, rule({"pathType": "ImplementationSpecific", "path": ""})),
        (INGRESSES, rule({"backend": {"service": {"name": "1web", "port": {"number": None, "name": "http"}}}})),
        (INGRESSES, rule({"backend": {"service": None, "resource": {"kind": "Bucket", "name": "b"}}})),
        (INGRESSES, {"spec": {"tls": [{"hosts": ["*.example.com", "a"], "secretName": "s"}, {}]}}),
        (INGRESSES, {"spec": {"ingressClassName": "a"}, "metadata": {"annotations": {"kubernetes.io/ingress.class": "a"}}}),
        (CLASSES, {"spec": {"parameters": {"kind": "K", "name": "n", "apiGroup": "example.com"}}}),
        (CLASSES, {"spec": {"parameters": {"kind": "K", "name": "n", "scope": "Namespace", "namespace": "a"}}}),
        (POLICIES, {"spec": {"podSelector": None, "ingress": None}}),
        (POLICIES, {"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]}}),
        (POLICIES, {"spec": {"ingress": [{"ports": [{"port": 1, "endPort": 1}, {"port": "web"}, {"protocol": "SCTP"}]}]}}),
        (ADDRESSES, {"metadata": {"name": "2001:db8::1"}}),
        (ADDRESSES, {"spec": {"parentRef": {"resource": "services", "group": None, "namespace": "a", "name": "b"}}}),
        (CIDRS, {"spec": {"cidrs": ["192.168.0.0/24", "2001:db8::/64"]}}),
    ],
)
def test_what_makes_sense_is_taken(name: str, change: Object) -> None:
    assert on_create(name, change) == []
    assert on_update(name, {"metadata": {"labels": {"a": "b"}}}, change) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"spec": {"defaultBackend": None}},
            "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified",
        ),
        (
            rule(host="1.2.3.4"),
            'spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
        ),
        (rule(host="A"), f'spec.rules[0].host: Invalid value: "A": {SUBDOMAIN}'),
        (
            rule(host="a.*"),
            "spec.rules[0].host: Invalid value: \"a.*\": a wildcard DNS-1123 subdomain must start with '*.', followed by a "
            "valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an "
            "alphanumeric character (e.g. '*.example.com', regex used for validation is "
            "'\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        ({"spec": {"rules": [{"http": {}}]}}, "spec.rules[0].http.paths: Required value"),
        (
            rule({"pathType": None}),
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
        ),
        (
            rule({"pathType": "Some"}),
            'spec.rules[0].http.paths[0].pathType: Unsupported value: "Some": supported values: "Exact", '
            '"ImplementationSpecific", "Prefix"',
        ),
        (rule({"path": ""}), 'spec.rules[0].http.paths[0].path: Invalid value: "": must be an absolute path'),
        (rule({"path": "a"}), 'spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path'),
        (
            rule({"path": "a", "pathType": "ImplementationSpecific"}),
            'spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path',
        ),
        (rule({"path": "/a%2f"}), "spec.rules[0].http.paths[0].path: Invalid value: \"/a%2f\": must not contain '%2f'"),
        (rule({"path": "/a/.."}), "spec.rules[0].http.paths[0].path: Invalid value: \"/a/..\": cannot end with '/..'"),
        (
            {"spec": {"defaultBackend": {"service": None}}},
            'spec.defaultBackend: Invalid value: "": resource or service backend is required',
        ),
        (
            {"spec": {"defaultBackend": {"resource": {"kind": "K", "name": "n"}}}},
            'spec.defaultBackend: Invalid value: "": cannot set both resource and service backends',
        ),
        (
            {"spec": {"defaultBackend": {"service": None, "resource": {"kind": "a/b"}}}},
            "spec.defaultBackend.resource.kind: Invalid value: \"a/b\": may not contain '/'|"
            "spec.defaultBackend.resource.name: Required value",
        ),
        ({"spec": {"defaultBackend": {"service": {"name": ""}}}}, "spec.defaultBackend.service.name: Required value"),
        (
            {"spec": {"defaultBackend": {"service": {"name": "a.b"}}}},
            'spec.defaultBackend.service.name: Invalid value: "a.b": must not contain dots',
        ),
        (
            {"spec": {"defaultBackend": {"service": {"port": {"name": "http"}}}}},
            'spec.defaultBackend: Invalid value: "": cannot set both port name & port number',
        ),
        (
            {"spec": {"defaultBackend": {"service": {"port": {"number": 70000}}}}},
            "spec.defaultBackend.service.port.number: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            {"spec": {"defaultBackend": {"service": {"port": {"number": None, "name": "1"}}}}},
            'spec.defaultBackend.service.port.name: Invalid value: "1": must contain at least one letter (a-z)',
        ),
        (
            {"spec": {"defaultBackend": {"service": {"port": None}}}},
            "spec.defaultBackend: Required value: port name or number is required",
        ),
        (
            rule(host="010.0.0.1"),
            'spec.rules[0].host: Invalid value: "010.0.0.1": must be a DNS name, not an IP address',
        ),
        ({"spec": {"tls": [{"hosts": ["A"]}]}}, f'spec.tls[0].hosts[0]: Invalid value: "A": {SUBDOMAIN}'),
        ({"spec": {"tls": [{"secretName": "A"}]}}, f'spec.tls[0].secretName: Invalid value: "A": {SUBDOMAIN}'),
        ({"spec": {"ingressClassName": "A"}}, f'spec.ingressClassName: Invalid value: "A": {SUBDOMAIN}'),
        (
            {"spec": {"ingressClassName": "a"}, "metadata": {"annotations": {"kubernetes.io/ingress.class": "b"}}},
            'annotations.kubernetes.io/ingress.class: Invalid value: "b": must match `ingressClassName` when both are '
            "specified",
        ),
    ],
)
def test_ingresses_that_make_no_sense_are_refused(change: Object, expected: str) -> None:
    assert on_create(INGRESSES, change) == expected.split("|")


def test_an_ingress_class_may_differ_from_the_old_annotation_later() -> None:
    change = {"spec": {"ingressClassName": "a"}, "metadata": {"annotations": {"kubernetes.io/ingress.class": "b"}}}
    assert on_update(INGRESSES, change) == []


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"ip": "1.2.3"}, '.ip: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
        ({"ip": "010.2.3.4"}, '.ip: Invalid value: "010.2.3.4": must not have leading 0s'),
        ({"ip": "::ffff:1.2.3.4"}, '.ip: Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address'),
        ({"hostname": "1.2.3.4"}, '.hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'),
        ({"hostname": "1.2.3.04"}, '.hostname: Invalid value: "1.2.3.04": must be a DNS name, not an IP address'),
        ({"hostname": "A"}, f'.hostname: Invalid value: "A": {SUBDOMAIN}'),
    ],
)
def test_an_ingress_is_at_addresses_and_names(item: Object, expected: str) -> None:
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, item]}}}
    assert on_update(INGRESSES, status, subresource="status") == [f"status.loadBalancer.ingress[1]{expected}"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"controller": None}, "spec.controller: Required value"),
        (
            {"controller": "a"},
            'spec.controller: Invalid value: "a": must be a domain-prefixed path (such as "acme.io/foo")',
        ),
        ({"controller": "A/b"}, f'spec.controller: Invalid value: "A": {SUBDOMAIN}'),
        (
            {"controller": "a/b c"},
            'spec.controller: Invalid value: "b c": Invalid path (regex used for validation is '
            "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')",
        ),
        ({"controller": "a/" + "b" * 249}, "spec.controller: Too long: may not be more than 250 bytes"),
        ({"parameters": {"kind": "K"}}, "spec.parameters.name: Required value"),
        ({"parameters": {"name": "n"}}, "spec.parameters.kind: Required value"),
        (
            {"parameters": {"kind": "K", "name": "n", "apiGroup": "A"}},
            f'spec.parameters.apiGroup: Invalid value: "A": {SUBDOMAIN}',
        ),
        (
            {"parameters": {"kind": "K", "name": "n", "scope": "World"}},
            'spec.parameters.scope: Unsupported value: "World": supported values: "Cluster", "Namespace"',
        ),
        (
            {"parameters": {"kind": "K", "name": "n", "scope": "Namespace"}},
            "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
        ),
        (
            {"parameters": {"kind": "K", "name": "n", "namespace": "a"}},
            "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
        ),
        (
            {"parameters": {"kind": "K", "name": "n", "scope": "Namespace", "namespace": "a.b"}},
            'spec.parameters.namespace: Invalid value: "a.b": must not contain dots',
        ),
    ],
)
def test_ingress_classes_that_make_no_sense_are_refused(spec: Object, expected: str) -> None:
    assert on_create(CLASSES, {"spec": spec}) == expected.split("|")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
            'spec.podSelector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
        ),
        ({"ingress": [{"from": [{}]}]}, "spec.ingress[0].from[0]: Required value: must specify a peer"),
        (
            {"ingress": [{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
            "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
        ),
        ({"egress": [{"to": [{"ipBlock": {}}]}]}, "spec.egress[0].to[0].ipBlock.cidr: Required value"),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0"}}]}]},
            'spec.egress[0].to[0].ipBlock.cidr: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or '
            "2001:db8::/64)",
        ),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]},
            'spec.egress[0].to[0].ipBlock.cidr: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length',
        ),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/08"}}]}]},
            'spec.egress[0].to[0].ipBlock.cidr: Invalid value: "10.0.0.0/08": must not have leading 0s in IP or prefix length',
        ),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "::ffff:10.0.0.0/104"}}]}]},
            'spec.egress[0].to[0].ipBlock.cidr: Invalid value: "::ffff:10.0.0.0/104": must not have an IPv4-mapped IPv6 '
            "address",
        ),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}]},
            'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`',
        ),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]},
            'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
        ),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/08", "except": ["11.0.0.1/16"]}}]}]},
            'spec.egress[0].to[0].ipBlock.cidr: Invalid value: "10.0.0.0/08": must not have leading 0s in IP or prefix length|'
            'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.1/16": must not have bits set beyond the prefix '
            'length|spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.1/16": must be a strict subset of `cidr`',
        ),
        (
            {"ingress": [{"ports": [{"protocol": "ICMP"}]}]},
            'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
        ),
        (
            {"ingress": [{"ports": [{"port": 0}]}]},
            "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            {"ingress": [{"ports": [{"port": 2, "endPort": 1}]}]},
            "spec.ingress[0].ports[0].endPort: Invalid value: 1: must be greater than or equal to `port`",
        ),
        (
            {"ingress": [{"ports": [{"port": "a", "endPort": 1}]}]},
            "spec.ingress[0].ports[0].endPort: Invalid value: 1: may not be specified when `port` is non-numeric",
        ),
        (
            {"ingress": [{"ports": [{"endPort": 1}]}]},
            "spec.ingress[0].ports[0].endPort: Invalid value: 1: may not be specified when `port` is not specified",
        ),
        (
            {"policyTypes": ["Sideways"]},
            'spec.policyTypes[0]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"',
        ),
        (
            {"policyTypes": ["Ingress"] * 3},
            'spec.policyTypes: Invalid value: ["Ingress","Ingress","Ingress"]: may not specify more than two policyTypes',
        ),
    ],
)
def test_network_policies_that_make_no_sense_are_refused(spec: Object, expected: str) -> None:
    assert on_create(POLICIES, {"spec": spec}) == expected.split("|")


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (
            ADDRESSES,
            {"metadata": {"name": "a"}},
            'metadata.name: Invalid value: "a": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        ),
        (
            ADDRESSES,
            {"metadata": {"name": "2001:DB8::1"}},
            'metadata.name: Invalid value: "2001:DB8::1": must be in canonical form ("2001:db8::1")',
        ),
        (ADDRESSES, {"spec": {"parentRef": None}}, "spec.parentRef: Required value"),
        (ADDRESSES, {"spec": {"parentRef": {"resource": None}}}, "spec.parentRef.resource: Required value"),
        (ADDRESSES, {"spec": {"parentRef": {"name": None}}}, "spec.parentRef.name: Required value"),
        (ADDRESSES, {"spec": {"parentRef": {"group": "A"}}}, f'spec.parentRef.group: Invalid value: "A": {SUBDOMAIN}'),
        (
            ADDRESSES,
            {"spec": {"parentRef": {"namespace": "a/b"}}},
            "spec.parentRef.namespace: Invalid value: \"a/b\": may not contain '/'",
        ),
        (CIDRS, {"spec": {"cidrs": []}}, "spec.cidrs: Required value: at least one CIDR required"),
        (
            CIDRS,
            {"spec": {"cidrs": ["10.0.0.0/8"] * 3}},
            'spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/8","10.0.0.0/8","10.0.0.0/8"]}: may only hold up to 2 values',
        ),
        (
            CIDRS,
            {"spec": {"cidrs": ["10.0.0.0/8", "11.0.0.0/8"]}},
            'spec.cidrs: Invalid value: ["10.0.0.0/8","11.0.0.0/8"]: may specify no more than one IP for each IP family, i.e '
            "192.168.0.0/24 and 2001:db8::/64",
        ),
        (
            CIDRS,
            {"spec": {"cidrs": ["10.0.0.1/8", "11.0.0.0/8"]}},
            'spec.cidrs[0]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length|'
            'spec.cidrs: Invalid value: ["10.0.0.1/8","11.0.0.0/8"]: may specify no more than one IP for each IP family, i.e '
            "192.168.0.0/24 and 2001:db8::/64",
        ),
        (
            CIDRS,
            {"spec": {"cidrs": ["2001:0db8::/64"]}},
            'spec.cidrs[0]: Invalid value: "2001:0db8::/64": must be in canonical form ("2001:db8::/64")',
        ),
        (
            CIDRS,
            {"spec": {"cidrs": ["x"]}},
            'spec.cidrs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
        ),
    ],
)
def test_addresses_and_networks_that_make_no_sense_are_refused(name: str, change: Object, expected: str) -> None:
    assert on_create(name, change) == expected.split("|")


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (CLASSES, {"spec": {"controller": "a/b"}}, 'spec.controller: Invalid value: "a/b": field is immutable'),
        (
            ADDRESSES,
            {"spec": {"parentRef": {"name": "x"}}},
            'spec.parentRef: Invalid value: {"Group":"example.com","Resource":"widgets","Namespace":"","Name":"x"}: '
            "field is immutable",
        ),
        (CIDRS, {"spec": {"cidrs": ["10.0.0.0/8"]}}, 'spec.cidrs[0]: Invalid value: "10.0.0.0/8": field is immutable'),
        (
            CIDRS,
            {"spec": {"cidrs": ["10.0.0.0/8", "2001:db8::/64"]}},
            'spec.cidrs[0]: Invalid value: "10.0.0.0/8": field is immutable',
        ),
        (
            CIDRS,
            {"spec": {"cidrs": None}},
            "spec.cidrs: Invalid value: null: field is immutable",
        ),
        (CIDRS, {"spec": {"cidrs": ["10.0.0.1/8"]}}, 'spec.cidrs[0]: Invalid value: "10.0.0.1/8": field is immutable'),
    ],
)
def test_what_may_not_change_stays(name: str, change: Object, expected: str) -> None:
    assert on_update(name, change) == expected.split("|")


def test_a_service_cidr_may_get_a_second_family() -> None:
    assert on_update(CIDRS, {"spec": {"cidrs": ["192.168.0.0/24", "2001:db8::/64"]}}) == []


def test_defaults() -> None:
    assert made(POLICIES, {"spec": {"ingress": [{"ports": [{"port": 1}]}]}})["spec"] == {
        "podSelector": {"matchLabels": {"app": "web"}},
        "ingress": [{"ports": [{"port": 1, "protocol": "TCP"}]}],
        "policyTypes": ["Ingress"],
    }
    assert made(POLICIES, {"spec": {"egress": [{}]}})["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert made(CLASSES, {"spec": {"parameters": {"kind": "K", "name": "n"}}})["spec"]["parameters"]["scope"] == "Cluster"
    assert made(INGRESSES)["status"] == {"loadBalancer": {}}


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        (INGRESSES, {}, {"Class": "<none>", "Hosts": "*", "Address": "", "Ports": "80"}),
        (
            INGRESSES,
            {
                "spec": {
                    "ingressClassName": "nginx",
                    "rules": [{"host": host} for host in ("a", "b", "c", "d", "e")],
                    "tls": [{"hosts": ["a"]}],
                },
                "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}, {"ip": "192.0.2.1"}, {"hostname": "x"}]}},
            },
            {"Class": "nginx", "Hosts": "a,b,c + 2 more...", "Address": "192.0.2.1,192.0.2.2,x", "Ports": "80, 443"},
        ),
        (CLASSES, {}, {"Controller": "example.com/controller", "Parameters": "<none>"}),
        (
            CLASSES,
            {"spec": {"parameters": {"kind": "K", "name": "n", "apiGroup": "example.com"}}},
            {"Parameters": "K.example.com/n"},
        ),
        (POLICIES, {}, {"Pod-Selector": "app=web"}),
        (POLICIES, {"spec": {"podSelector": None}}, {"Pod-Selector": "<none>"}),
        (ADDRESSES, {}, {"ParentRef": "widgets.example.com/w"}),
        (
            ADDRESSES,
            {"spec": {"parentRef": {"resource": "services", "group": None, "namespace": "a", "name": "b"}}},
            {"ParentRef": "services/a/b"},
        ),
        (CIDRS, {"spec": {"cidrs": ["192.168.0.0/24", "2001:db8::/64"]}}, {"CIDRs": "192.168.0.0/24,2001:db8::/64"}),
    ],
)
def test_rows(name: str, change: Object, expected: Object) -> None:
    kind = resource(name)
    assert kind.row is not None
    cells = kind.row(merged(made(name), change), NOW)
    shown = {column.name: cell for column, cell in zip(kind.columns, cells, strict=True)}
    assert shown == {**shown, **expected}
