"""Endpoints and EndpointSlices: addresses at which something can be reached, and ports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.rules import on_create, on_update
from tests.apiserver.bench import Bench, bench
from tests.apiserver.samples import sample

ENDPOINTS, SLICES = "endpoints", "endpointslices.discovery.k8s.io"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
LOOPBACK = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
LINK_LOCAL = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
MULTICAST = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
PROTOCOLS = 'supported values: "SCTP", "TCP", "UDP"'


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("api")) as found:
        yield found


def subset(**fields: Any) -> Object:
    return {"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}], **fields}]}


def addresses(*values: str, type_: str = "IPv4", **fields: Any) -> Object:
    return {"addressType": type_, "endpoints": [{"addresses": list(values), **fields}]}


PORT, FIRST = "subsets[0].ports[0]", "endpoints[0].addresses[0]"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (subset(addresses=[]), ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]),
        (subset(addresses=[], notReadyAddresses=[{"ip": "2001:db8::1"}]), []),
        (subset(addresses=[{"ip": "x"}]), [f'subsets[0].addresses[0].ip: Invalid value: "x": {IP}']),
        (subset(notReadyAddresses=[{"ip": "10.0.0.1", "hostname": "A"}]), [
            f'subsets[0].notReadyAddresses[0].hostname: Invalid value: "A": {LABEL}',
        ]),
        (subset(addresses=[{"ip": "127.0.0.1"}, {"ip": "0.0.0.0"}, {"ip": "169.254.1.1"}, {"ip": "224.0.0.9"}]), [
            f'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": {LOOPBACK}',
            'subsets[0].addresses[1].ip: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)',
            f'subsets[0].addresses[2].ip: Invalid value: "169.254.1.1": {LINK_LOCAL}',
            f'subsets[0].addresses[3].ip: Invalid value: "224.0.0.9": {MULTICAST}',
        ]),
        (subset(ports=[{"port": 0, "protocol": "ICMP"}]), [
            f"{PORT}.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            f'{PORT}.protocol: Unsupported value: "ICMP": {PROTOCOLS}',
        ]),
        (subset(ports=[{"port": 1}, {"port": 2, "name": "A"}]), [
            f"{PORT}.name: Required value",
            f'subsets[0].ports[1].name: Invalid value: "A": {LABEL}',
        ]),
    ],
)  # fmt: skip
def test_what_endpoints_may_be(change: Object, expected: list[str]) -> None:
    assert on_create(ENDPOINTS, change) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (addresses("10.0.0.1", "10.0.0.2", nodeName="node-1", hostname="web-0"), []),
        (addresses("2001:db8::1", type_="IPv6"), []),
        (addresses("web.example.com.", type_="FQDN"), []),
        (addresses("10.0.0.1", type_="IPv6"), [f'{FIRST}: Invalid value: "10.0.0.1": must be an IPv6 address']),
        (addresses("::1"), [
            f'{FIRST}: Invalid value: "::1": must be an IPv4 address',
            f'{FIRST}: Invalid value: "::1": {LOOPBACK}',
        ]),
        (addresses("fe80::1", "ff02::1", type_="IPv6"), [
            f'{FIRST}: Invalid value: "fe80::1": {LINK_LOCAL}',
            f'endpoints[0].addresses[1]: Invalid value: "ff02::1": {MULTICAST}',
        ]),
        (addresses("x"), [f'{FIRST}: Invalid value: "x": {IP}']),
        (addresses("web", "", type_="FQDN"), [
            f'{FIRST}: Invalid value: "web": should be a domain with at least two segments separated by dots',
            "endpoints[0].addresses[1]: Required value",
        ]),
        (addresses("a" * 64 + ".example.com", type_="FQDN"), [
            f'{FIRST}: Invalid value: "{"a" * 64}": must be no more than 63 characters',
        ]),
        (addresses("10.0.0.1", hostname="A"), [f'endpoints[0].hostname: Invalid value: "A": {LABEL}']),
        (addresses("10.0.0.1", hints={"forZones": [{"name": "a"}, {"name": "a"}]}), [
            'endpoints[0].hints.forZones[1].name: Duplicate value: "a"',
        ]),
        (addresses("10.0.0.1", hints={"forNodes": [{"name": str(n)} for n in range(9)]}), [
            "endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items",
        ]),
        ({"ports": [{"port": n, "name": str(n)} for n in range(1, 200)]}, []),
        ({"ports": [{"port": 1}, {"port": 2}, {"port": 3, "name": "A", "protocol": "ICMP", "appProtocol": "a/b/c"}]}, [
            'ports[1].name: Duplicate value: ""',
            f'ports[2].name: Invalid value: "A": {LABEL}',
            f'ports[2].protocol: Unsupported value: "ICMP": {PROTOCOLS}',
            'ports[2].appProtocol: Invalid value: "a/b/c": a qualified name must consist of alphanumeric characters, '
            "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or "
            "'123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS "
            "subdomain prefix and '/' (e.g. 'example.com/MyName')",
        ]),
    ],
)  # fmt: skip
def test_what_a_slice_may_be(change: Object, expected: list[str]) -> None:
    assert on_create(SLICES, change) == expected


def test_the_type_of_a_slices_addresses_stays() -> None:
    assert on_update(SLICES, addresses("2001:db8::1", type_="IPv6")) == [
        'addressType: Invalid value: "IPv6": field is immutable'
    ]


def test_the_generation_of_a_slice_counts_its_labels_too(api: Bench) -> None:
    made = api.made(SLICES, sample(resource(SLICES), "counted"))
    assert made["metadata"]["generation"] == 1
    for change, expected in (
        ({"metadata": {"annotations": {"a": "b"}}}, 1),
        ({"metadata": {"labels": {}}}, 1),
        ({"metadata": {"labels": {"a": "b"}}}, 2),
        ({"endpoints": [{"addresses": ["10.1.2.4"]}]}, 3),
    ):
        assert api.patch(SLICES, "counted", change).json["metadata"]["generation"] == expected


def test_a_topology_of_old_is_not_kept(api: Bench) -> None:
    body = sample(resource(SLICES), "old")
    body["endpoints"][0]["deprecatedTopology"] = {"kubernetes.io/hostname": "node-1"}
    assert api.made(SLICES, body)["endpoints"] == [{"addresses": ["10.1.2.3"]}]
    assert "deprecatedTopology" not in api.put(SLICES, {**body, "ports": [{"port": 5}]}).json["endpoints"][0]
