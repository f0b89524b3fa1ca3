from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

import pytest

from navarch.apimachinery.errors import Object
from navarch.network.dns import wire
from navarch.network.dns.wire import CNAME, NOERROR, NXDOMAIN, PTR, SOA, SRV, TXT, A, Answer
from navarch.network.dns.zone import Zone
from tests.network.laboratory import endpoint, endpoint_slice, service


class Directory:
    def __init__(self, services: Sequence[Object], slices: Sequence[Object]) -> None:
        self._services = {f"{s['metadata']['namespace']}/{s['metadata']['name']}": s for s in services}
        self._slices = list(slices)

    def service(self, key: str) -> Object | None:
        return self._services.get(key)

    def slices(self, key: str) -> Sequence[Object]:
        return [
            s
            for s in self._slices
            if f"{s['metadata']['namespace']}/{s['metadata']['labels']['kubernetes.io/service-name']}" == key
        ]

    def has_namespace(self, namespace: str) -> bool:
        return any(key.startswith(f"{namespace}/") for key in self._services)

    def services_by_ip(self, ip: str) -> Sequence[Object]:
        return [s for s in self._services.values() if s["spec"].get("clusterIP") == ip]

    def slices_by_ip(self, ip: str) -> Sequence[Object]:
        return [s for s in self._slices if any(ip in e["addresses"] for e in s["endpoints"])]


@pytest.fixture
def zone() -> Zone:
    services = [
        service(),
        service("db", "None"),
        service("empty", "None"),
        service("far", "", type="ExternalName", externalName="Example.COM", ports=[]),
    ]
    ready = endpoint("10.244.0.2", hostname="db-0")
    unready = endpoint("10.244.0.9", ready=False)
    slices = [
        endpoint_slice(endpoint("10.244.0.7")),
        endpoint_slice(ready, endpoint("10.244.1.3", "n2"), unready, service="db"),
    ]
    return Zone("cluster.local", Directory(services, slices), networks=["10.244.0.0/16", "10.96.0.0/16"])


def resolve(zone: Zone, name: str, type_: int = A) -> Answer:
    answer = zone.resolve(name, type_)
    assert answer is not None
    return answer


def addresses(answer: Answer) -> list[str]:
    return [socket.inet_ntoa(record.data) for record in answer.answers if record.type == A]


def targets(answer: Answer) -> list[tuple[int, str]]:
    return [(struct.unpack_from("!H", r.data, 4)[0], wire.read_name(r.data, 6)[0]) for r in answer.answers if r.type == SRV]


def test_a_service_has_its_cluster_ip(zone: Zone) -> None:
    assert addresses(resolve(zone, "web.shop.svc.cluster.local")) == ["10.96.0.20"]


def test_a_headless_service_has_its_ready_endpoints(zone: Zone) -> None:
    assert addresses(resolve(zone, "db.shop.svc.cluster.local")) == ["10.244.0.2", "10.244.1.3"]


def test_a_headless_service_without_ready_endpoints_is_not_there(zone: Zone) -> None:
    assert resolve(zone, "empty.shop.svc.cluster.local").rcode == NXDOMAIN


def test_endpoints_are_called_by_hostname_or_by_address(zone: Zone) -> None:
    assert addresses(resolve(zone, "db-0.db.shop.svc.cluster.local")) == ["10.244.0.2"]
    assert addresses(resolve(zone, "10-244-1-3.db.shop.svc.cluster.local")) == ["10.244.1.3"]
    assert resolve(zone, "db-1.db.shop.svc.cluster.local").rcode == NXDOMAIN


def test_srv_of_a_named_port_points_to_the_service(zone: Zone) -> None:
    answer = resolve(zone, "_http._tcp.web.shop.svc.cluster.local", SRV)
    assert targets(answer) == [(80, "web.shop.svc.cluster.local")]
    assert [record.data for record in answer.additionals] == [socket.inet_aton("10.96.0.20")]


def test_srv_of_a_headless_service_points_to_each_endpoint(zone: Zone) -> None:
    answer = resolve(zone, "_http._tcp.db.shop.svc.cluster.local", SRV)
    assert targets(answer) == [
        (8080, "db-0.db.shop.svc.cluster.local"),
        (8080, "10-244-1-3.db.shop.svc.cluster.local"),
    ]
    assert len(answer.additionals) == 2


def test_srv_of_a_port_or_protocol_that_is_not_there_is_nxdomain(zone: Zone) -> None:
    for name in ("_https._tcp", "_http._udp"):
        assert resolve(zone, f"{name}.web.shop.svc.cluster.local", SRV).rcode == NXDOMAIN


def test_an_external_name_is_an_alias_to_be_chased(zone: Zone) -> None:
    answer = resolve(zone, "far.shop.svc.cluster.local")
    assert [(r.type, wire.read_name(r.data, 0)[0]) for r in answer.answers] == [(CNAME, "example.com")]
    assert answer.chase == "example.com"
    assert resolve(zone, "far.shop.svc.cluster.local", CNAME).chase == ""


def test_pod_names_are_their_addresses(zone: Zone) -> None:
    assert addresses(resolve(zone, "10-244-9-8.shop.pod.cluster.local")) == ["10.244.9.8"]
    for name in ("10-244-9-999", "web", "1-2-3"):
        assert resolve(zone, f"{name}.shop.pod.cluster.local").rcode == NXDOMAIN


def test_a_name_without_such_records_answers_with_the_soa(zone: Zone) -> None:
    for name in ("web.shop.svc.cluster.local", "shop.svc.cluster.local", "svc.cluster.local", "cluster.local"):
        answer = resolve(zone, name, wire.AAAA)
        assert (answer.rcode, list(answer.answers)) == (NOERROR, []), name
        assert [record.type for record in answer.authorities] == [SOA]


def test_an_unknown_name_of_the_zone_is_nxdomain_with_the_soa(zone: Zone) -> None:
    for name in ("nobody.shop.svc.cluster.local", "nowhere.svc.cluster.local", "x.cluster.local", "a.b.c.d.svc.cluster.local"):
        answer = resolve(zone, name)
        assert answer.rcode == NXDOMAIN
        assert [record.type for record in answer.authorities] == [SOA]


def test_reverse_names_of_services_and_headless_endpoints(zone: Zone) -> None:
    def names(ip: str) -> list[str]:
        answer = resolve(zone, ".".join(reversed(ip.split("."))) + ".in-addr.arpa", PTR)
        return [wire.read_name(record.data, 0)[0] for record in answer.answers]

    assert names("10.96.0.20") == ["web.shop.svc.cluster.local"]
    assert names("10.244.0.2") == ["db-0.db.shop.svc.cluster.local"]
    assert names("10.244.1.3") == ["10-244-1-3.db.shop.svc.cluster.local"]
    assert names("10.244.0.7") == []


def test_reverse_names_outside_the_cluster_are_for_others(zone: Zone) -> None:
    assert zone.resolve("1.0.0.127.in-addr.arpa", PTR) is None
    assert zone.resolve("example.com", A) is None
    assert resolve(zone, "1.9.244.10.in-addr.arpa", PTR).rcode == NXDOMAIN


def test_the_schema_version_is_told(zone: Zone) -> None:
    assert [record.data for record in resolve(zone, "dns-version.cluster.local", TXT).answers] == [b"\x051.1.0"]
