"""Names, labels and ports against an independent reading of their rules."""

from __future__ import annotations

import ipaddress
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import intstr, names

NEARLY = st.text(alphabet="aZ09-._/ é\n", max_size=70)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
LOWER = set(string.ascii_lowercase + string.digits)


def is_label(text: str) -> bool:
    return 0 < len(text) <= 63 and set(text) <= LOWER | {"-"} and text[0] != "-" and text[-1] != "-"


def is_qualified_part(text: str) -> bool:
    allowed = set(string.ascii_letters + string.digits)
    return 0 < len(text) <= 63 and set(text) <= allowed | set("-_.") and text[0] in allowed and text[-1] in allowed


@given(NEARLY)
def test_labels_and_subdomains_are_what_dns_allows(text: str) -> None:
    assert (not list(names.dns1123_label(text))) == is_label(text)
    parts = text.split(".")
    subdomain = len(text) <= 253 and all(
        part and set(part) <= LOWER | {"-"} and "-" not in part[0] + part[-1] for part in parts
    )
    assert (not list(names.dns1123_subdomain(text))) == subdomain
    assert (not list(names.dns1035_label(text))) == (is_label(text) and text[0] in string.ascii_lowercase)


@given(NEARLY)
def test_qualified_names_and_label_values(text: str) -> None:
    prefix, slash, last = text.rpartition("/")
    expected = is_qualified_part(last) and (not slash or not list(names.dns1123_subdomain(prefix)))
    assert (not list(names.qualified_name(text))) == expected
    assert (not list(names.label_value(text))) == (text == "" or is_qualified_part(text))


@given(NEARLY)
def test_port_names_have_a_letter_and_no_loose_hyphens(text: str) -> None:
    expected = (
        bool(re.fullmatch(r"(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?", text))
        and len(text) <= 15
        and bool(re.search("[a-z]", text))
    )
    assert (not list(names.port_name(text))) == expected


def test_what_is_wrong_is_said_in_kubernetes_words() -> None:
    assert list(names.dns1123_label("a.b")) == ["must not contain dots"]
    assert list(names.dns1123_label("A")) == [
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
        "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ]
    assert list(names.label_value("-")) == [
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
        "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
        "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ]
    assert list(names.port_number(0)) == ["must be between 1 and 65535, inclusive"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("10.9.8.7", ""),
        ("2001:DB8::1", ""),
        ("10.9.8", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ("fe80::1%eth0", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ("010.9.8.7", "must not have leading 0s"),
        ("10.09.8.00", "must not have leading 0s"),
        ("::ffff:10.9.8.7", "must not be an IPv4-mapped IPv6 address"),
    ],
)
def test_addresses_that_mean_one_thing(value: str, problem: str) -> None:
    assert list(names.ip_address(value)) == ([problem] if problem else [])


@given(st.one_of(st.ip_addresses(), st.ip_addresses(network="10.0.0.0/24")), st.integers(0, 128))
def test_an_address_and_its_networks_are_canonical_as_they_are_written(address: Address, length: int) -> None:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return
    assert list(names.canonical_ip_address(str(address))) == []
    assert bool(list(names.canonical_ip_address(str(address).upper()))) == (str(address).upper() != str(address))
    network = ipaddress.ip_network(f"{address}/{min(length, address.max_prefixlen)}", strict=False)
    assert list(names.canonical_cidr(str(network))) == []
    beyond = f"{address}/{network.prefixlen}"
    expected = [] if str(network) == beyond else ["must not have bits set beyond the prefix length"]
    assert list(names.cidr(beyond)) == expected
    assert list(names.cidr(f"{network.network_address}/{network.max_prefixlen + 1}"))
    assert list(names.cidr(str(network.network_address))) and list(names.cidr(f"{network.network_address}/{network.netmask}"))


@pytest.mark.parametrize(
    ("value", "total", "up", "expected"),
    [
        (3, 10, True, 3),
        ("25%", 10, True, 3),
        ("25%", 10, False, 2),
        ("0%", 10, True, 0),
        ("100%", 7, False, 7),
        ("1%", 0, True, 0),
    ],
)
def test_percentages_are_scaled(value: int | str, total: int, up: bool, expected: int) -> None:
    assert intstr.scaled(value, total, up) == expected


@given(st.integers(0, 200), st.integers(0, 100_000))
def test_percentages_are_exact(percent: int, total: int) -> None:
    assert intstr.scaled(f"{percent}%", total, False) == percent * total // 100
    assert intstr.scaled(f"{percent}%", total, True) == -(-percent * total // 100)


@pytest.mark.parametrize("value", ["", "5", "%", "-5%", "5.5%", "5%%", "٥%"])
def test_strings_that_are_no_percentage_are_refused(value: str) -> None:
    assert not intstr.is_percent(value)
    with pytest.raises(ValueError, match="invalid type: string is not a percentage"):
        intstr.scaled(value, 10, True)
