"""What the cluster's zone says about a name: a pure function of Services and EndpointSlices.

It follows the Kubernetes DNS specification 1.1, with CoreDNS' answers where the specification leaves room:

- ``service.ns.svc``: A of the ClusterIP; of a headless Service one A for each ready endpoint, NXDOMAIN if there is none; of an
  ExternalName a CNAME.
- ``endpoint.service.ns.svc``: A, where an endpoint is called by its hostname, or else by its address with dashes.
- ``_port._protocol.service.ns.svc``: SRV, with the addresses of the targets added.
- ``1-2-3-4.ns.pod``: A made of the name alone. ``dns-version``: TXT. Reverse names of ClusterIPs and headless endpoints: PTR.
- A name that is but has no such record: no answers and the SOA; AAAA always so, as the cluster has only IPv4.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from navarch.apimachinery.errors import Object
from navarch.network.dns.wire import (
    ANY,
    CNAME,
    NOERROR,
    NS,
    NXDOMAIN,
    PTR,
    SOA,
    SRV,
    TXT,
    A,
    Answer,
    Record,
    WireError,
    a_data,
    encode_name,
    soa_data,
    srv_data,
    txt_data,
)

TTL_SECONDS = 30
SCHEMA_VERSION = "1.1.0"
REVERSE_SUFFIX = ".in-addr.arpa"
SOA_TIMES = (7200, 1800, 86400, TTL_SECONDS)
SOA_SERIAL = 1

_DASHED_IP = re.compile(r"\d{1,3}-\d{1,3}-\d{1,3}-\d{1,3}")


class Directory(Protocol):
    """What the zone looks up."""

    def service(self, key: str) -> Object | None:
        """The Service ``namespace/name``."""

    def slices(self, key: str) -> Sequence[Object]:
        """The EndpointSlices of the Service ``namespace/name``."""

    def has_namespace(self, namespace: str) -> bool:
        """Whether anything is known to be in that namespace."""

    def services_by_ip(self, ip: str) -> Sequence[Object]:
        """The Services with that ClusterIP."""

    def slices_by_ip(self, ip: str) -> Sequence[Object]:
        """The EndpointSlices with that address."""


@dataclass(frozen=True, slots=True)
class _Endpoint:
    host: str
    ip: str
    ports: Sequence[Object]


class Zone:
    """The zone `domain` (such as ``cluster.local``) and the reverse zones of `networks`, in which all addresses are its own."""

    def __init__(self, domain: str, directory: Directory, *, networks: Iterable[str] = ()) -> None:
        self.domain = domain.strip(".").lower()
        self._suffix = f".{self.domain}"
        self._directory = directory
        self._networks = [ipaddress.IPv4Network(network) for network in networks]
        server, mailbox = f"ns.dns{self._suffix}", f"hostmaster{self._suffix}"
        self._soa = Record(self.domain, SOA, TTL_SECONDS, soa_data(server, mailbox, SOA_SERIAL, SOA_TIMES))

    def resolve(self, name: str, type_: int) -> Answer | None:
        """The answer about `name` (lower case), or None if the name isn't this zone's to answer."""
        if name.endswith(REVERSE_SUFFIX):
            return self._reverse(name, type_)
        if name == self.domain:
            found = [self._soa] if type_ in (SOA, ANY) else []
            if type_ == NS:
                found = [Record(name, NS, TTL_SECONDS, encode_name(f"ns.dns{self._suffix}"))]
            return self._answer(name, type_, found)
        if not name.endswith(self._suffix):
            return None
        labels = name[: -len(self._suffix)].split(".")
        top = labels[-1]
        if top == "svc":
            records = self._service_records(name, labels[:-1])
        elif top == "pod":
            records = self._pod_records(name, labels[:-1])
        elif labels == ["dns-version"]:
            records = [Record(name, TXT, TTL_SECONDS, txt_data(SCHEMA_VERSION))]
        else:
            records = None
        if records is None:
            return Answer(NXDOMAIN, authorities=(self._soa,))
        return self._answer(name, type_, records)

    def _answer(self, name: str, type_: int, records: Sequence[Record]) -> Answer:
        """Of all records about `name`, those asked for."""
        alias = next((r for r in records if r.type == CNAME), None)
        if alias is not None:
            chase = "" if type_ in (CNAME, ANY) else _name_of(alias.data)
            return Answer(NOERROR, (alias,), chase=chase)
        answers = [r for r in records if r.name == name and (r.type == type_ or type_ == ANY)]
        if not answers:
            return Answer(NOERROR, authorities=(self._soa,))
        additionals = [r for r in records if r.name != name] if type_ == SRV else []
        return Answer(NOERROR, answers, additionals=additionals)

    # Forward names; None means that there is no such name, no records that it is only part of others.

    def _service_records(self, name: str, labels: list[str]) -> list[Record] | None:
        if not labels:
            return []
        namespace = labels[-1]
        if len(labels) == 1:
            return [] if self._directory.has_namespace(namespace) else None
        key = f"{namespace}/{labels[-2]}"
        service = self._directory.service(key)
        if service is None:
            return None
        own_name = ".".join((labels[-2], namespace, "svc", self.domain))
        if len(labels) == 2:
            return self._of_service(own_name, key, service)
        if len(labels) == 3 and not labels[0].startswith("_"):
            found = [Record(name, A, TTL_SECONDS, a_data(e.ip)) for e in self._endpoints(key) if e.host == labels[0]]
            return found or None
        if len(labels) == 4 and labels[0].startswith("_") and labels[1] in ("_tcp", "_udp", "_sctp"):
            return self._srv(name, own_name, key, service, labels[0][1:], labels[1][1:].upper()) or None
        if len(labels) == 3 and labels[0] in ("_tcp", "_udp", "_sctp"):
            protocol = labels[0][1:].upper()
            return [] if any(p.get("protocol", "TCP") == protocol for p in service["spec"].get("ports") or ()) else None
        return None

    def _of_service(self, name: str, key: str, service: Object) -> list[Record] | None:
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            try:
                return [Record(name, CNAME, TTL_SECONDS, encode_name(spec.get("externalName", "").lower()))]
            except WireError:
                return None
        ip = spec.get("clusterIP") or ""
        if ip and ip != "None":
            found = [Record(name, A, TTL_SECONDS, a_data(ip))] if ":" not in ip else []
            return found + self._srv(name, name, key, service, None, None)
        found = [Record(name, A, TTL_SECONDS, a_data(ip)) for ip in dict.fromkeys(e.ip for e in self._endpoints(key))]
        return found + self._srv(name, name, key, service, None, None) if found else None

    def _srv(self, name: str, own_name: str, key: str, service: Object, port: str | None, protocol: str | None) -> list[Record]:
        """SRV records of `name` for one port or all (None), and the A records of their targets."""

        def wanted(entry: Object) -> bool:
            return port is None or ((entry.get("name") or "").lower() == port and entry.get("protocol", "TCP") == protocol)

        targets: dict[tuple[str, int], str] = {}
        spec = service["spec"]
        ip = spec.get("clusterIP") or ""
        if ip and ip != "None":
            for entry in filter(wanted, spec.get("ports") or ()):
                targets[own_name, int(entry["port"])] = ip
        elif spec.get("type") != "ExternalName":
            for endpoint in self._endpoints(key):
                for entry in filter(wanted, endpoint.ports):
                    if entry.get("port"):
                        targets[f"{endpoint.host}.{own_name}", int(entry["port"])] = endpoint.ip
        if not targets:
            return []
        weight = max(1, 100 // len(targets))
        found = [Record(name, SRV, TTL_SECONDS, srv_data(0, weight, number, target)) for target, number in targets]
        for target, address in {target: address for (target, _), address in targets.items()}.items():
            if target != name:
                found.append(Record(target, A, TTL_SECONDS, a_data(address)))
        return found

    def _endpoints(self, key: str) -> Iterator[_Endpoint]:
        for endpoint_slice in self._directory.slices(key):
            if endpoint_slice.get("addressType") != "IPv4":
                continue
            ports = endpoint_slice.get("ports") or ()
            for entry in endpoint_slice.get("endpoints") or ():
                ready = (entry.get("conditions") or {}).get("ready")
                addresses = entry.get("addresses")
                if ready is False or not addresses:
                    continue
                yield _Endpoint(_host_of(entry), addresses[0], ports)

    def _pod_records(self, name: str, labels: list[str]) -> list[Record] | None:
        if not labels:
            return []
        if len(labels) == 1:
            return [] if self._directory.has_namespace(labels[0]) else None
        if len(labels) != 2 or not _DASHED_IP.fullmatch(labels[0]):
            return None
        try:
            ip = ipaddress.IPv4Address(labels[0].replace("-", "."))
        except ValueError:
            return None
        return [Record(name, A, TTL_SECONDS, ip.packed)]

    # Reverse names

    def _reverse(self, name: str, type_: int) -> Answer | None:
        labels = name[: -len(REVERSE_SUFFIX)].split(".")
        if len(labels) != 4:
            return None
        try:
            ip = ipaddress.IPv4Address(".".join(reversed(labels)))
        except ValueError:
            return None
        names = list(dict.fromkeys(self._names_of(str(ip))))
        if names:
            return self._answer(name, type_, [Record(name, PTR, TTL_SECONDS, encode_name(target)) for target in names])
        if any(ip in network for network in self._networks):
            return Answer(NXDOMAIN, authorities=(self._soa,))
        return None

    def _names_of(self, ip: str) -> Iterator[str]:
        for service in self._directory.services_by_ip(ip):
            yield f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc{self._suffix}"
        for endpoint_slice in self._directory.slices_by_ip(ip):
            metadata = endpoint_slice["metadata"]
            service_name = (metadata.get("labels") or {}).get("kubernetes.io/service-name", "")
            found = self._directory.service(f"{metadata['namespace']}/{service_name}")
            if found is None or found["spec"].get("clusterIP") != "None":
                continue
            for entry in endpoint_slice.get("endpoints") or ():
                if ip in entry.get("addresses", ()) and (entry.get("conditions") or {}).get("ready") is not False:
                    yield f"{_host_of(entry)}.{service_name}.{metadata['namespace']}.svc{self._suffix}"


def _host_of(entry: Object) -> str:
    """How an endpoint is called below its Service."""
    hostname = entry.get("hostname")
    return str(hostname).lower() if hostname else str(entry["addresses"][0]).replace(".", "-")


def _name_of(data: bytes) -> str:
    labels = []
    position = 0
    while data[position]:
        length = data[position]
        labels.append(data[position + 1 : position + 1 + length])
        position += length + 1
    return b".".join(labels).decode("latin-1")
