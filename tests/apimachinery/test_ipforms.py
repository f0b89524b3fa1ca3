"""Addresses and networks that are not written as they should be."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery.ipforms import address_warnings, network_warnings

SOON = "will be considered invalid in a future Kubernetes release"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("10.0.0.1", []),
        ("2001:db8::1", []),
        ("010.000.001.052", [f'f: non-standard IP address "010.000.001.052" {SOON}: use "10.0.1.52"']),
        ("::ffff:1.2.3.4", [f'f: non-standard IP address "::ffff:1.2.3.4" {SOON}: use "1.2.3.4"']),
        ("2001:DB8::1", ['f: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")']),
        ("2001:db8:0:0:0::1", ['f: IPv6 address "2001:db8:0:0:0::1" should be in RFC 5952 canonical format ("2001:db8::1")']),
        ("no address", []),
    ],
)
def test_addresses(value: str, expected: list[str]) -> None:
    assert list(address_warnings(value, "f")) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("10.0.0.0/8", []),
        ("2001:db8::/64", []),
        ("0.0.0.0/0", []),
        (
            "10.20.30.40/16",
            ['f: CIDR value "10.20.30.40/16" is ambiguous in this context (should be "10.20.0.0/16" or "10.20.30.40/32"?)'],
        ),
        (
            "2001:db8::1/64",
            ['f: CIDR value "2001:db8::1/64" is ambiguous in this context (should be "2001:db8::/64" or "2001:db8::1/128"?)'],
        ),
        ("10.000.000.000/8", [f'f: non-standard CIDR value "10.000.000.000/8" {SOON}: use "10.0.0.0/8"']),
        ("10.0.0.0/08", [f'f: non-standard CIDR value "10.0.0.0/08" {SOON}: use "10.0.0.0/8"']),
        ("::ffff:10.0.0.0/104", [f'f: non-standard CIDR value "::ffff:10.0.0.0/104" {SOON}: use "10.0.0.0/8"']),
        (
            "2001:db8:0:0::/64",
            ['f: IPv6 CIDR value "2001:db8:0:0::/64" should be in RFC 5952 canonical format ("2001:db8::/64")'],
        ),
        ("no network", []),
        ("10.0.0.0/33", []),
    ],
)
def test_networks(value: str, expected: list[str]) -> None:
    assert list(network_warnings(value, "f")) == expected


@given(st.ip_addresses())
def test_what_is_written_as_it_should_be_is_let_be(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
    assert bool(list(address_warnings(str(address), "f"))) is mapped


@given(st.text(alphabet="0123456789abcdef.:/", max_size=30))
def test_nothing_that_is_written_breaks_it(text: str) -> None:
    assert len(list(address_warnings(text, "f"))) <= 1 and len(list(network_warnings(text, "f"))) <= 2
