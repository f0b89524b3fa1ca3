"""What names, labels, annotations and ports may look like (k8s.io/apimachinery/pkg/util/validation).

Each function says what is wrong with a value, in Kubernetes' words; nothing means it is fine. The same few names come again and
again (in every pod of a Deployment, say): what was found out about one is remembered.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from functools import wraps

DNS1123_LABEL_LIMIT = 63
DNS1123_SUBDOMAIN_LIMIT = 253
LABEL_VALUE_LIMIT = 63
QUALIFIED_NAME_LIMIT = 63

REMEMBERED = 4096
REMEMBERED_CHARACTERS_LIMIT = 256

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_RE = re.compile(rf"{_LABEL}\Z")
_SUBDOMAIN_RE = re.compile(rf"{_SUBDOMAIN}\Z")
_DNS1035_RE = re.compile(rf"{_DNS1035}\Z")
_QUALIFIED_RE = re.compile(rf"{_QUALIFIED}\Z")
_LABEL_VALUE_RE = re.compile(rf"({_QUALIFIED})?\Z")
_ENV_RE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*\Z")
_RELAXED_ENV_RE = re.compile(r"[ -<>-~]+\Z")
_CONFIG_KEY_RE = re.compile(r"[-._a-zA-Z0-9]+\Z")
_PORT_NAME_RE = re.compile(r"[-a-z0-9]+\Z")
_HTTP_HEADER_RE = re.compile(r"[-A-Za-z0-9]+\Z")
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_HTTP_PATH_RE = re.compile(rf"{_HTTP_PATH}\Z")
_WILDCARD_RE = re.compile(rf"\*\.{_SUBDOMAIN}\Z")
_CONDITION_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_CONDITION_REASON_RE = re.compile(rf"{_CONDITION_REASON}\Z")
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_C_IDENTIFIER_RE = re.compile(rf"{_C_IDENTIFIER}\Z")
_CIDR_RE = re.compile(r"[0-9a-fA-F:.]+/(0|[1-9][0-9]{0,2})\Z", re.ASCII)
_LINK_LOCAL_MULTICAST = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))

_UNDERSCORED_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_UNDERSCORED_SUBDOMAIN = rf"{_UNDERSCORED_LABEL}(\.{_UNDERSCORED_LABEL})*"
_UNDERSCORED_SUBDOMAIN_RE = re.compile(rf"{_UNDERSCORED_SUBDOMAIN}\Z")

_SUBDOMAIN_ERROR = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character"
)
_LABEL_ERROR = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character"
)
_DNS1035_ERROR = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end "
    "with an alphanumeric character"
)
_WILDCARD_ERROR = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case "
    "alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)
_CONDITION_REASON_ERROR = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or "
    "'_,:', and must end with an alphanumeric character or '_'"
)
_C_IDENTIFIER_ERROR = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'"
)
_QUALIFIED_ERROR = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE_ERROR = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character"
)


def _with_pattern(message: str, pattern: str, *examples: str) -> str:
    shown = f"{message} ("
    for index, example in enumerate(examples):
        # Two spaces before each "or", as upstream joins them.
        shown += ("e.g. " if index == 0 else " or ") + f"'{example}', "
    return f"{shown}regex used for validation is '{pattern}')"


def too_long(limit: int, unit: str = "characters") -> str:
    return f"must be no more than {limit} {unit}"


def _remembered(check: Callable[[str], Iterator[str]]) -> Callable[[str], tuple[str, ...]]:
    """The check, asked once about each of the values that come often."""

    known: dict[str, tuple[str, ...]] = {}

    @wraps(check)
    def checked(value: str) -> tuple[str, ...]:
        found = known.get(value)
        if found is None:
            found = tuple(check(value))
            if len(value) <= REMEMBERED_CHARACTERS_LIMIT:
                if len(known) >= REMEMBERED:
                    known.clear()
                known[value] = found
        return found

    return checked


@_remembered
def dns1123_label(value: str) -> Iterator[str]:
    if len(value) > DNS1123_LABEL_LIMIT:
        yield too_long(DNS1123_LABEL_LIMIT)
    if not _LABEL_RE.match(value):
        if _SUBDOMAIN_RE.match(value):
            yield "must not contain dots"
        else:
            yield _with_pattern(_LABEL_ERROR, _LABEL, "my-name", "123-abc")


@_remembered
def dns1123_subdomain(value: str) -> Iterator[str]:
    if len(value) > DNS1123_SUBDOMAIN_LIMIT:
        yield too_long(DNS1123_SUBDOMAIN_LIMIT)
    if not _SUBDOMAIN_RE.match(value):
        yield _with_pattern(_SUBDOMAIN_ERROR, _SUBDOMAIN, "example.com")


def fully_qualified(value: str) -> Iterator[str]:
    """A domain of at least three segments."""
    problems = ",".join(dns1123_subdomain(value))
    if problems:
        yield problems
    elif value.count(".") < 2:
        yield "should be a domain with at least three segments separated by dots"


@_remembered
def dns1123_subdomain_with_underscore(value: str) -> Iterator[str]:
    """A subdomain as search paths of DNS have it."""
    if len(value) > DNS1123_SUBDOMAIN_LIMIT:
        yield too_long(DNS1123_SUBDOMAIN_LIMIT)
    if not _UNDERSCORED_SUBDOMAIN_RE.match(value):
        message = _SUBDOMAIN_ERROR.replace("characters, '-'", "characters, '_', '-'")
        yield _with_pattern(message, _UNDERSCORED_SUBDOMAIN, "example.com")


@_remembered
def dns1035_label(value: str) -> Iterator[str]:
    if len(value) > DNS1123_LABEL_LIMIT:
        yield too_long(DNS1123_LABEL_LIMIT)
    if not _DNS1035_RE.match(value):
        yield _with_pattern(_DNS1035_ERROR, _DNS1035, "my-name", "abc-123")


def path_segment(value: str) -> Iterator[str]:
    """Names that only have to fit into a URL path."""
    if value in (".", ".."):
        yield f"may not be '{value}'"
    for character in "/%":
        if character in value:
            yield f"may not contain '{character}'"


@_remembered
def qualified_name(value: str) -> Iterator[str]:
    """``name`` or ``prefix/name``: keys of labels, annotations, finalizers, resources."""
    prefix, slash, last = value.rpartition("/")
    if value.count("/") > 1:
        pattern = _with_pattern(_QUALIFIED_ERROR, _QUALIFIED, "MyName", "my.name", "123-abc")
        yield f"a qualified name {pattern} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return
    if slash:
        if not prefix:
            yield "prefix part must be non-empty"
        else:
            yield from (f"prefix part {error}" for error in dns1123_subdomain(prefix))
    if not last:
        yield "name part must be non-empty"
    elif len(last) > QUALIFIED_NAME_LIMIT:
        yield f"name part {too_long(QUALIFIED_NAME_LIMIT, 'bytes')}"
    if not _QUALIFIED_RE.match(last):
        yield "name part " + _with_pattern(_QUALIFIED_ERROR, _QUALIFIED, "MyName", "my.name", "123-abc")


@_remembered
def label_value(value: str) -> Iterator[str]:
    if len(value) > LABEL_VALUE_LIMIT:
        yield too_long(LABEL_VALUE_LIMIT, "bytes")
    if not _LABEL_VALUE_RE.match(value):
        yield _with_pattern(_LABEL_VALUE_ERROR, f"({_QUALIFIED})?", "MyValue", "my_value", "12345")


def condition_reason(value: str) -> Iterator[str]:
    if not _CONDITION_REASON_RE.match(value):
        examples = ("my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")
        yield _with_pattern(_CONDITION_REASON_ERROR, _CONDITION_REASON, *examples)


def c_identifier(value: str) -> Iterator[str]:
    if not _C_IDENTIFIER_RE.match(value):
        yield _with_pattern(_C_IDENTIFIER_ERROR, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")


@_remembered
def env_var_name(value: str) -> Iterator[str]:
    """Any printable ASCII but "=" (relaxed environment variable names)."""
    if not value:
        yield "environment variable name must be non-empty"
    elif not _RELAXED_ENV_RE.match(value):
        yield "a valid environment variable name must consist only of printable ASCII characters other than '='"


@_remembered
def config_key(value: str) -> Iterator[str]:
    """Keys of ConfigMaps and Secrets, which become file names."""
    if len(value) > DNS1123_SUBDOMAIN_LIMIT:
        yield too_long(DNS1123_SUBDOMAIN_LIMIT)
    if not _CONFIG_KEY_RE.match(value):
        yield _with_pattern(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            "key.name",
            "KEY_NAME",
            "key-name",
        )
    if value == ".":
        yield "must not be '.'"
    elif value == "..":
        yield "must not be '..'"
    elif value.startswith(".."):
        yield "must not start with '..'"


def port_number(value: int) -> Iterator[str]:
    if not 1 <= value <= 65535:
        yield "must be between 1 and 65535, inclusive"


@_remembered
def port_name(value: str) -> Iterator[str]:
    """IANA_SVC_NAME."""
    if len(value) > 15:
        yield too_long(15)
    if not _PORT_NAME_RE.match(value):
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search("[a-z]", value):
        yield "must contain at least one letter (a-z)"
    if "--" in value:
        yield "must not contain consecutive hyphens"
    if value and (value[0] == "-" or value[-1] == "-"):
        yield "must not begin or end with a hyphen"


def domain_prefixed_path(value: str) -> Iterator[tuple[str, str]]:
    """``acme.io/foo``: a domain and a path. Yields (the part that is wrong, what is wrong with it)."""
    host, _, path = value.partition("/")
    if not host or not path:
        yield value, 'must be a domain-prefixed path (such as "acme.io/foo")'
        return
    yield from ((host, text) for text in dns1123_subdomain(host))
    if not _HTTP_PATH_RE.match(path):
        yield path, _with_pattern("Invalid path", _HTTP_PATH)


def http_header_name(value: str) -> Iterator[str]:
    if not _HTTP_HEADER_RE.match(value):
        yield _with_pattern(
            "a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+", "X-Header-Name"
        )


def wildcard_subdomain(value: str) -> Iterator[str]:
    """``*.`` and a DNS subdomain."""
    if not _WILDCARD_RE.match(value):
        yield _with_pattern(_WILDCARD_ERROR, rf"\*\.{_SUBDOMAIN}", "*.example.com")


@_remembered
def ip_address(value: str) -> Iterator[str]:
    """An IPv4 or IPv6 address, in whatever spelling is not ambiguous."""
    address = _parsed_address(value)
    if address is None:
        if _parsed_address(without_leading_zeros(value)) is not None:
            yield "must not have leading 0s"
        else:
            yield "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    elif isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        yield "must not be an IPv4-mapped IPv6 address"


def is_like_address(value: str) -> bool:
    """Whether it is an address in any spelling, ambiguous or not."""
    return _parsed_address(without_leading_zeros(value)) is not None


def endpoint_ip(value: str) -> Iterator[str]:
    """An address at which something can be reached from elsewhere; `value` is one."""
    address = ipaddress.ip_address(value)
    if address.is_unspecified:
        yield f"may not be unspecified ({value})"
    if address.is_loopback:
        yield "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    if address.is_link_local:
        yield "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    if any(address in network for network in _LINK_LOCAL_MULTICAST):
        yield "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"


def canonical_ip_address(value: str) -> Iterator[str]:
    """An address as it is always written."""
    problems = list(ip_address(value))
    yield from problems
    if not problems and str(_parsed_address(value)) != value:
        yield f'must be in canonical form ("{_parsed_address(value)}")'


def cidr(value: str) -> Iterator[str]:
    """A network: an address and a prefix length, no bits beyond it."""
    address = value.partition("/")[0]
    if _parsed_network(value) is None:
        if lenient_network(value) is not None:
            yield "must not have leading 0s in IP or prefix length"
        else:
            yield "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        return
    parsed = _parsed_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        yield "must not have an IPv4-mapped IPv6 address"
    elif ipaddress.ip_network(value, strict=False).network_address != parsed:
        yield "must not have bits set beyond the prefix length"


def lenient_network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network that a CIDR means in any spelling, also with bits beyond its prefix; None if it is none."""
    address, _, length = value.partition("/")
    return _parsed_network(f"{without_leading_zeros(address)}/{without_leading_zeros(length)}")


def canonical_cidr(value: str) -> Iterator[str]:
    """A network as it is always written."""
    problems = list(cidr(value))
    yield from problems
    if not problems and str(_parsed_network(value)) != value:
        yield f'must be in canonical form ("{_parsed_network(value)}")'


def interface_address(value: str) -> Iterator[str]:
    """An address and the length of its network's prefix, as they are always written."""
    address, _, length = value.partition("/")
    if _parsed_network(value) is None:
        value_without_zeros = f"{without_leading_zeros(address)}/{without_leading_zeros(length)}"
        if "." not in address or _parsed_network(value_without_zeros) is None:
            yield "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
            return
        address, _, length = value_without_zeros.partition("/")
    parsed, bits = ipaddress.ip_address(address), int(length)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        # Go takes such an address for the IPv4 address that it is, whose prefix is that much shorter.
        parsed, bits = parsed.ipv4_mapped, bits - 96 if bits > 32 else bits
    if value != f"{parsed}/{bits}":
        yield f'must be in canonical form ("{parsed}/{bits}")'


def _parsed_address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(value) if "%" not in value else None
    except ValueError:
        return None


def _parsed_network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if not _CIDR_RE.match(value):
        return None
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        return None


def without_leading_zeros(value: str) -> str:
    return re.sub(r"\b0+(?=[0-9])", "", value)
