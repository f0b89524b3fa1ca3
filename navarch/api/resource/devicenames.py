"""What devices, their pools, attributes and shares are called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from navarch.api.core.volumesource import validate_csi_driver_name
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, invalid_value, required, too_long

POOL_LIMIT = names.DNS1123_SUBDOMAIN_LIMIT
DOMAIN_LIMIT = 63
IDENTIFIER_LIMIT = 32
QUALIFIED_LIMIT = DOMAIN_LIMIT + 1 + IDENTIFIER_LIMIT
_UUID_RE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.ASCII | re.IGNORECASE)
_BARE_UUID_RE = re.compile(r"[0-9a-f]{32}\Z", re.ASCII | re.IGNORECASE)
_URN_PREFIX = "urn:uuid:"
_NOT_NORMAL = (
    "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters"
)

# A driver is called as a CSI driver is.
validate_driver = validate_csi_driver_name


def validate_label(name: str, path: str) -> Iterator[FieldError]:
    """The name of a device, of a request or of a counter."""
    yield from (invalid_value(path, name, text) for text in names.dns1123_label(name))


def validate_label_key(name: str, path: str) -> Iterator[FieldError]:
    yield from (invalid_value(path, name, text) for text in names.qualified_name(name))


def validate_node(name: str, path: str) -> Iterator[FieldError]:
    yield from (invalid_value(path, name, text) for text in names.dns1123_subdomain(name))


def validate_class(name: str, path: str) -> Iterator[FieldError]:
    if not name:
        yield required(path)
    else:
        yield from (invalid_value(path, name, text) for text in names.dns1123_subdomain(name))


def validate_pool(name: str, path: str) -> Iterator[FieldError]:
    """One or more subdomains, separated by slashes."""
    if not name:
        yield required(path)
        return
    if len(name.encode()) > POOL_LIMIT:
        yield too_long(path, POOL_LIMIT)
    for part in name.split("/"):
        yield from (invalid_value(path, part, text) for text in names.dns1123_subdomain(part))


def validate_qualified(name: str, path: str) -> Iterator[FieldError]:
    """The name of an attribute or capacity: an identifier, with or without a domain before it."""
    # Upstream looks at no name with more than one slash.
    match name.split("/"):
        case [identifier]:
            yield from _identifier(identifier, path)
        case [domain, identifier]:
            if not domain:
                yield invalid_value(path, "", "the domain must not be empty")
            else:
                yield from validate_driver(domain, path)
            if not identifier:
                yield invalid_value(path, "", "the name must not be empty")
            else:
                yield from _identifier(identifier, path)


def validate_fully_qualified(name: str, path: str) -> Iterator[FieldError]:
    yield from validate_qualified(name, path)
    if "/" not in name:
        yield invalid_value(path, name, "a fully qualified name must be a domain and a name separated by a slash")


def _identifier(name: str, path: str) -> Iterator[FieldError]:
    if len(name.encode()) > IDENTIFIER_LIMIT:
        yield too_long(path, IDENTIFIER_LIMIT)
    yield from (invalid_value(path, name, text) for text in names.c_identifier(name))


def validate_uid(uid: str, path: str) -> Iterator[FieldError]:
    """A UUID in its usual form; what is one in another form is told so."""
    problem = _uuid_problem(uid)
    if problem:
        yield invalid_value(path, uid, f"error validating uid: {problem}")
    elif len(uid) != 36 or uid != uid.lower():
        yield invalid_value(path, uid, _NOT_NORMAL)


def _uuid_problem(uid: str) -> str:
    """In the words of github.com/google/uuid; "" if there is none."""
    match len(uid.encode()):
        case 36:
            core = uid
        case 45:
            if uid[: len(_URN_PREFIX)].lower() != _URN_PREFIX:
                return f'invalid urn prefix: "{uid[: len(_URN_PREFIX)]}"'
            core = uid[len(_URN_PREFIX) :]
        case 38:
            if not (uid.startswith("{") and uid.endswith("}")):
                return "invalid bracketed UUID format"
            core = uid[1:-1]
        case 32:
            return "" if _BARE_UUID_RE.match(uid) else "invalid UUID format"
        case length:
            return f"invalid UUID length: {length}"
    return "" if _UUID_RE.match(core) else "invalid UUID format"
