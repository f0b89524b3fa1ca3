"""Security options of Windows containers: validation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value

CREDENTIAL_SPEC_LIMIT_KIB = 64
DOMAIN_LIMIT = 256
USER_LIMIT = 104
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}\Z')
_DNS_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*\Z")
_NOT_IN_USERS = re.compile(r'["/\\:;|=,+*?<>@\[\]]')
_DOTS_AND_SPACES = re.compile(r"[. ]+\Z")


def validate(options: Object, path: str) -> Iterator[FieldError]:
    name, spec, user = (options.get(field) for field in ("gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName"))
    if name is not None:
        for text in names.dns1123_subdomain(name):
            yield invalid_value(f"{path}.gmsaCredentialSpecName", name, text)
    if spec is not None:
        if not spec:
            text = "gmsaCredentialSpec cannot be an empty string"
            yield invalid_value(f"{path}.gmsaCredentialSpec", spec, text)
        elif len(spec.encode()) > CREDENTIAL_SPEC_LIMIT_KIB * 1024:
            text = f"gmsaCredentialSpec size must be under {CREDENTIAL_SPEC_LIMIT_KIB} KiB"
            yield invalid_value(f"{path}.gmsaCredentialSpec", spec, text)
    if user is not None:
        for text in _user(user):
            yield invalid_value(f"{path}.runAsUserName", user, f"runAsUserName{text}")


def _user(name: str) -> Iterator[str]:
    """What is wrong with ``DOMAIN\\user``, after the name of the field."""
    parts = name.split("\\")
    if not name:
        yield " cannot be an empty string"
    elif _CONTROL.search(name):
        yield " cannot contain control characters"
    elif len(parts) > 2:
        yield " cannot contain more than one backslash"
    else:
        domain, user = parts if len(parts) == 2 else (None, parts[0])
        if domain is not None:
            if len(domain) >= DOMAIN_LIMIT:
                yield f"'s Domain length must be under {DOMAIN_LIMIT} characters"
            if not (_NETBIOS.match(domain) or _DNS.match(domain)):
                yield "'s Domain doesn't match the NetBios nor the DNS format"
        if not user:
            yield "'s User cannot be empty"
        elif len(user) > USER_LIMIT:
            yield f"'s User length must not be longer than {USER_LIMIT} characters"
        if _DOTS_AND_SPACES.match(user):
            yield "'s User cannot contain only periods or spaces"
        if _NOT_IN_USERS.search(user):
            yield """'s User cannot contain the following characters: "/\\:;|=,+*?<>@[]"""
