"""IP addresses and networks. Zones and IPv4 addresses written as IPv6 are refused."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass

from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.declarations import Library, functions
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.values import Opaque

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_LINK_LOCAL_V4 = ipaddress.IPv4Network("224.0.0.0/24")


@dataclass(frozen=True, slots=True)
class IP(Opaque):
    address: Address
    cel_type = types.opaque("net.IP")

    def __len__(self) -> int:
        """What comparing it costs goes by: its bytes."""
        return len(self.address.packed)


@dataclass(frozen=True, slots=True)
class CIDR(Opaque):
    """An address and the length of its prefix; bits beyond it are kept."""

    address: Address
    bits: int
    cel_type = types.opaque("net.CIDR")

    def __len__(self) -> int:
        """The bytes of its prefix."""
        return (self.bits + 7) // 8

    def __str__(self) -> str:
        return f"{self.address}/{self.bits}"

    def masked(self) -> CIDR:
        return CIDR(ipaddress.ip_network((self.address, self.bits), strict=False).network_address, self.bits)

    def contains(self, address: Address) -> bool:
        return address.version == self.address.version and CIDR(address, self.bits).masked() == self.masked()


def _plain(text: str, raw: str) -> Address:
    """Raises EvaluationError for an address that is none of ours, ValueError for what is no address."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise EvaluationError(f"IP address {json.dumps(raw)} with zone value is not allowed")
        if address.ipv4_mapped is not None:
            raise EvaluationError(f"IPv4-mapped IPv6 address {json.dumps(raw)} is not allowed")
    return address


def _parse_ip(text: str) -> IP:
    try:
        return IP(_plain(text, text))
    except ValueError:
        quoted = json.dumps(text)
        reason = f"ParseAddr({quoted}): unable to parse IP"
        raise EvaluationError(f"IP Address {quoted} parse error during conversion from string: {reason}") from None


def _parse_cidr(text: str) -> CIDR:
    failed = "network address parse error during conversion from string: "
    address_text, slash, bits = text.rpartition("/")
    quoted = json.dumps(text)
    if not slash:
        raise EvaluationError(f"{failed}{failed}netip.ParsePrefix({quoted}): no '/'")
    try:
        address = _plain(address_text, text)
    except EvaluationError as error:
        raise EvaluationError(f"{failed}{error}") from None
    except ValueError:
        reason = f"ParseAddr({json.dumps(address_text)}): unable to parse IP"
        raise EvaluationError(f"{failed}{failed}netip.ParsePrefix({quoted}): {reason}") from None
    if not (bits.isascii() and bits.isdigit()) or (len(bits) > 1 and bits[0] == "0"):
        raise EvaluationError(f"{failed}{failed}netip.ParsePrefix({quoted}): bad bits after slash: {json.dumps(bits)}")
    if len(bits) > 3 or int(bits) > address.max_prefixlen:
        raise EvaluationError(f"{failed}{failed}netip.ParsePrefix({quoted}): prefix length out of range")
    return CIDR(address, int(bits))


def _is_ip(text: str) -> bool:
    try:
        _parse_ip(text)
    except EvaluationError:
        return False
    return True


def _is_cidr(text: str) -> bool:
    try:
        _parse_cidr(text)
    except EvaluationError:
        return False
    return True


def _is_canonical(text: str) -> bool:
    return str(_parse_ip(text).address) == text


def _is_link_local_multicast(ip: IP) -> bool:
    packed = ip.address.packed
    return ip.address in _LINK_LOCAL_V4 if ip.address.version == 4 else packed[0] == 0xFF and packed[1] & 0x0F == 2


def _is_global_unicast(ip: IP) -> bool:
    address = ip.address
    no_unicast = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return address != _BROADCAST and not no_unicast


def _contains_cidr(outer: CIDR, inner: CIDR) -> bool:
    return outer.bits <= inner.bits and outer.contains(inner.address)


IPS = Library(
    "kubernetes.net.ip",
    functions(
        {
            "ip": [("string_to_ip", "(string) -> net.IP", _parse_ip)],
            "isIP": [("is_ip", "(string) -> bool", _is_ip)],
            "ip.isCanonical": [("ip_is_canonical", "(string) -> bool", _is_canonical)],
            "family": [("ip_family", "net.IP.() -> int", lambda ip: ip.address.version)],
            "isUnspecified": [("ip_is_unspecified", "net.IP.() -> bool", lambda ip: ip.address.is_unspecified)],
            "isLoopback": [("ip_is_loopback", "net.IP.() -> bool", lambda ip: ip.address.is_loopback)],
            "isLinkLocalMulticast": [("ip_is_link_local_multicast", "net.IP.() -> bool", _is_link_local_multicast)],
            "isLinkLocalUnicast": [("ip_is_link_local_unicast", "net.IP.() -> bool", lambda ip: ip.address.is_link_local)],
            "isGlobalUnicast": [("ip_is_global_unicast", "net.IP.() -> bool", _is_global_unicast)],
            "string": [("ip_to_string", "(net.IP) -> string", lambda ip: str(ip.address))],
        }
    ),
    types={"net.IP": IP.cel_type},
)

CIDRS = Library(
    "net.cidr",
    functions(
        {
            "cidr": [("string_to_cidr", "(string) -> net.CIDR", _parse_cidr)],
            "isCIDR": [("is_cidr", "(string) -> bool", _is_cidr)],
            "containsIP": [
                (
                    "cidr_contains_ip_string",
                    "net.CIDR.(string) -> bool",
                    lambda cidr, text: cidr.contains(_parse_ip(text).address),
                ),
                ("cidr_contains_ip_ip", "net.CIDR.(net.IP) -> bool", lambda cidr, ip: cidr.contains(ip.address)),
            ],
            "containsCIDR": [
                (
                    "cidr_contains_cidr_string",
                    "net.CIDR.(string) -> bool",
                    lambda cidr, text: _contains_cidr(cidr, _parse_cidr(text)),
                ),
                ("cidr_contains_cidr", "net.CIDR.(net.CIDR) -> bool", _contains_cidr),
            ],
            "ip": [("cidr_ip", "net.CIDR.() -> net.IP", lambda cidr: IP(cidr.address))],
            "prefixLength": [("cidr_prefix_length", "net.CIDR.() -> int", lambda cidr: cidr.bits)],
            "masked": [("cidr_masked", "net.CIDR.() -> net.CIDR", CIDR.masked)],
            "string": [("cidr_to_string", "(net.CIDR) -> string", str)],
        }
    ),
    types={"net.CIDR": CIDR.cel_type},
)
