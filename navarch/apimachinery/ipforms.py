"""Addresses and networks that are valid but not written as they should be (k8s.io/apimachinery/pkg/util/validation/ip.go)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from navarch.apimachinery import names

_SOON_INVALID = "will be considered invalid in a future Kubernetes release"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_warnings(value: str, path: str) -> Iterator[str]:
    """Of a field that may hold what older versions took."""
    address, is_standard = _address(value)
    if address is None:
        return
    if not is_standard:
        yield f'{path}: non-standard IP address "{value}" {_SOON_INVALID}: use "{address}"'
    elif address.version == 6 and str(address) != value:
        yield f'{path}: IPv6 address "{value}" should be in RFC 5952 canonical format ("{address}")'


def network_warnings(value: str, path: str) -> Iterator[str]:
    """The same of a network."""
    start, _, length = value.partition("/")
    address, is_standard = _address(start)
    if address is None or not length.isascii() or not length.isdigit():
        return
    is_mapped = address.version == 4 and ":" in start
    bits = int(length) - 96 if is_mapped else int(length)
    if not 0 <= bits <= address.max_prefixlen:
        return
    network = ipaddress.ip_network((address, bits), strict=False)
    ambiguous = network.network_address != address
    if ambiguous:
        single = f"{address}/{address.max_prefixlen}"
        yield f'{path}: CIDR value "{value}" is ambiguous in this context (should be "{network}" or "{single}"?)'
    if not is_standard or (length != "0" and length.startswith("0")):
        yield f'{path}: non-standard CIDR value "{value}" {_SOON_INVALID}: use "{network}"'
    elif not ambiguous and network.version == 6 and str(network) != value:
        yield f'{path}: IPv6 CIDR value "{value}" should be in RFC 5952 canonical format ("{network}")'


def family(value: str) -> int | None:
    """4 or 6, of an address in any form; None of what is none."""
    address, _ = _address(value)
    return address.version if address is not None else None


def _address(value: str) -> tuple[Address | None, bool]:
    """The address, of an IPv4-mapped one that one, and whether it is written in a standard way."""
    for text in (value, names.without_leading_zeros(value)):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return mapped or address, text is value and mapped is None
    return None, False
