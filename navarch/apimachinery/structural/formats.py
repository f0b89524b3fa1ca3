"""Formats of strings (k8s.io/kube-openapi/pkg/validation/strfmt): which there are, and what they ask for."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date
from email.utils import parseaddr

from navarch.apimachinery import gourl, names
from navarch.apimachinery.meta import parse_time

# Of letters as a, and digits and symbols as 0.
_HOSTNAME = re.compile(r"([a0](-?[a0]{0,62})?|([a0]([a0-]{0,61}[a0])?\.)+a{2,63})\Z")
_HEX = "[0-9a-fA-F]"
_UUID = re.compile(rf"{_HEX}{{8}}-?({_HEX}{{4}}-?){{3}}{_HEX}{{12}}\Z")
_UUID3 = re.compile(rf"{_HEX}{{8}}-?{_HEX}{{4}}-?3{_HEX}{{3}}-?{_HEX}{{4}}-?{_HEX}{{12}}\Z")
_UUID4 = re.compile(rf"{_HEX}{{8}}-?{_HEX}{{4}}-?4{_HEX}{{3}}-?[89abAB]{_HEX}{{3}}-?{_HEX}{{12}}\Z")
_UUID5 = re.compile(rf"{_HEX}{{8}}-?{_HEX}{{4}}-?5{_HEX}{{3}}-?[89abAB]{_HEX}{{3}}-?{_HEX}{{12}}\Z")
_CREDIT_CARD = re.compile(
    r"(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|(222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11}"
    r"|6[27][0-9]{14})\Z"
)
_SSN = re.compile(r"[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}\Z")
_HEX_COLOR = re.compile(rf"#?({_HEX}{{3}}|{_HEX}{{6}})\Z")
_BYTE_VALUE = r"\s*([01]?[0-9]?[0-9]|2[0-4][0-9]|25[0-5])\s*"
_RGB_COLOR = re.compile(rf"rgb\(\s*{_BYTE_VALUE},{_BYTE_VALUE},{_BYTE_VALUE}\)\Z")
_OBJECT_ID = re.compile(rf"{_HEX}{{24}}\Z")
_MAC = re.compile(rf"{_HEX}{{2}}(([:-]){_HEX}{{2}})(\2{_HEX}{{2}}){{4}}((\2{_HEX}{{2}}){{2}}|(\2{_HEX}{{2}}){{14}})?\Z")
_MAC_DOTTED = re.compile(rf"{_HEX}{{4}}(\.{_HEX}{{4}}){{2}}((\.{_HEX}{{4}})|(\.{_HEX}{{4}}){{7}})?\Z")
_DURATION_WORDS = (
    "(ns|nano|us|µs|μs|micro|ms|milli|s|sec|m|min|h|hr|hour|d|day|w|wk|week|second|minute|nanosecond|microsecond|millisecond)s?"
)
_GO_DURATION = re.compile(r"[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)\Z")
_WORDED_DURATION = re.compile(rf"([0-9]+\s*{_DURATION_WORDS}\s*)+\Z", re.IGNORECASE)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})\Z")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


def _kind(character: str) -> str:
    category = unicodedata.category(character)[0]
    if category == "L":
        return "a"
    return "0" if category == "S" or (character.isascii() and character.isdigit()) else character


def _is_hostname(text: str) -> bool:
    shown = "".join(_kind(character) if character not in "-." else character for character in text[:256])
    return len(text) <= 255 and bool(_HOSTNAME.match(shown)) and all(len(part) <= 63 for part in text.split("."))


def _is_uri(text: str) -> bool:
    try:
        found = gourl.parse(text)
    except ValueError:
        return False
    return bool(found.scheme) or text.startswith("/")


def _is_email(text: str) -> bool:
    address = parseaddr(text)[1]
    local, at, domain = address.rpartition("@")
    return bool(local and at and domain) and " " not in address


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _is_cidr(text: str) -> bool:
    try:
        return "/" in text and bool(ipaddress.ip_interface(text))
    except ValueError:
        return False


def _is_isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]+", "", text)
    if not re.match(r"[0-9]{9}[0-9X]\Z", digits):
        return False
    return sum((index + 1) * (10 if digit == "X" else int(digit)) for index, digit in enumerate(digits)) % 11 == 0


def _is_isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]+", "", text)
    if not re.match(r"[0-9]{13}\Z", digits):
        return False
    return sum(int(digit) * (3 if index % 2 else 1) for index, digit in enumerate(digits)) % 10 == 0


def _is_credit_card(text: str) -> bool:
    digits = re.sub(r"[^0-9]+", "", text)
    if not _CREDIT_CARD.match(digits):
        return False
    doubled = [int(digit) * (2 if index % 2 else 1) for index, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _is_base64(text: str) -> bool:
    try:
        return bool(_BASE64.match(text)) and base64.b64decode(text, validate=True) is not None
    except binascii.Error:
        return False


def _is_date(text: str) -> bool:
    try:
        return len(text) == 10 and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _is_date_time(text: str) -> bool:
    try:
        return bool(_DATE_TIME.match(text)) and bool(parse_time(text.upper()))
    except (ValueError, OverflowError):
        return False


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: bool(pattern.match(text))


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches(_OBJECT_ID),
    "uri": _is_uri,
    "email": _is_email,
    "hostname": _is_hostname,
    "ipv4": lambda text: _is_address(text, 4),
    "ipv6": lambda text: _is_address(text, 6),
    "cidr": _is_cidr,
    "mac": lambda text: bool(_MAC.match(text) or _MAC_DOTTED.match(text)),
    "uuid": _matches(_UUID),
    "uuid3": _matches(_UUID3),
    "uuid4": _matches(_UUID4),
    "uuid5": _matches(_UUID5),
    "isbn": lambda text: _is_isbn10(text) or _is_isbn13(text),
    "isbn10": _is_isbn10,
    "isbn13": _is_isbn13,
    "creditcard": _is_credit_card,
    "ssn": _matches(_SSN),
    "hexcolor": _matches(_HEX_COLOR),
    "rgbcolor": _matches(_RGB_COLOR),
    "byte": _is_base64,
    "password": lambda text: True,
    "date": _is_date,
    "duration": lambda text: bool(_GO_DURATION.match(text) or _WORDED_DURATION.match(text)),
    "datetime": _is_date_time,
    "k8sshortname": lambda text: not list(names.dns1123_label(text)),
    "k8slongname": lambda text: not list(names.dns1123_subdomain(text)),
}
# Known, but nothing is asked of it.
_UNCHECKED = frozenset({"quantity"})
_NUMBERS: Mapping[str, frozenset[str]] = {"integer": frozenset({"int32", "int64"}), "number": frozenset({"float", "double"})}


def is_known(type_: str, form: str) -> bool:
    """Whether values of that type may have this format; one that is not known is ignored."""
    if type_ in ("", "string"):
        normalized = form.replace("-", "")
        return normalized in _CHECKS or normalized in _UNCHECKED
    return form in _NUMBERS.get(type_, ())


def matches(form: str, text: str) -> bool:
    """Whether a string has a format."""
    check = _CHECKS.get(form.replace("-", ""))
    return check is None or check(text)
