"""Addresses that traffic of a Service may be sent to: not those of the node that sends it, nor of nobody."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from navarch.apimachinery.errors import FieldError, invalid_value

_LINK_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def validate(address: str, path: str) -> Iterator[FieldError]:
    """What is wrong with a well-formed address."""
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified:
        yield invalid_value(path, address, f"may not be unspecified ({address})")
    if parsed.is_loopback:
        yield invalid_value(path, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if parsed.is_link_local:
        yield invalid_value(path, address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if any(parsed in network for network in _LINK_LOCAL_MULTICAST if network.version == parsed.version):
        yield invalid_value(path, address, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
