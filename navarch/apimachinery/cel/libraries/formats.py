"""Named formats of strings: ``format.dns1123Label().validate(x)`` is none, or what is wrong with it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from navarch.apimachinery import names
from navarch.apimachinery.cel import moments, types
from navarch.apimachinery.cel.declarations import Library, functions
from navarch.apimachinery.cel.libraries.urls import parse_uri
from navarch.apimachinery.cel.values import NONE, Opaque, Optional

_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Format(Opaque):
    name: str
    check: Callable[[str], Iterable[str]]
    regex_size: int
    """How long a regular expression for it would be, by which its use is charged."""
    cel_type = types.opaque("kubernetes.NamedFormat")

    def validate(self, text: str) -> Optional:
        errors = list(self.check(text))
        return Optional(errors) if errors else NONE


def _prefix(check: Callable[[str], Iterable[str]]) -> Callable[[str], Iterable[str]]:
    """Of a name to which more is appended: a dash at its end will not stay there."""
    return lambda text: check(f"{text[:-1]}a" if len(text) > 1 and text.endswith("-") else text)


def _raises(parse: Callable[[str], Any], said: str | None) -> Callable[[str], Iterable[str]]:
    def check(text: str) -> Iterable[str]:
        try:
            parse(text)
        except (ValueError, binascii.Error) as error:
            return [said or str(error)]
        return []

    return check


def _base64(text: str) -> None:
    base64.b64decode(text, validate=True)


def _date(text: str) -> None:
    moments.parse_timestamp(f"{text}T00:00:00Z")


def _uuid(text: str) -> Iterable[str]:
    return [] if _UUID.fullmatch(text) else ["does not match the UUID format"]


_FORMATS = {
    "dns1123Label": Format("DNS1123Label", names.dns1123_label, 30),
    "dns1123Subdomain": Format("DNS1123Subdomain", names.dns1123_subdomain, 60),
    "dns1035Label": Format("DNS1035Label", names.dns1035_label, 30),
    "qualifiedName": Format("QualifiedName", names.qualified_name, 60),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", _prefix(names.dns1123_label), 30),
    "dns1123SubdomainPrefix": Format("DNS1123SubdomainPrefix", _prefix(names.dns1123_subdomain), 60),
    "dns1035LabelPrefix": Format("DNS1035LabelPrefix", _prefix(names.dns1035_label), 30),
    "labelValue": Format("LabelValue", names.label_value, 40),
    "uri": Format("URI", _raises(parse_uri, None), 1000),
    "uuid": Format("uuid", _uuid, 103),
    "byte": Format("byte", _raises(_base64, "invalid base64"), 82),
    "date": Format("date", _raises(_date, "invalid date"), 128),
    "datetime": Format("datetime", _raises(moments.parse_timestamp, "invalid datetime"), 128),
}

_FORMAT = "kubernetes.NamedFormat"


def _named(name: str) -> Optional:
    return Optional(_FORMATS[name]) if name in _FORMATS else NONE


def _constant(value: Format) -> Callable[[], Format]:
    return lambda: value


LIBRARY = Library(
    "format",
    functions(
        {
            "format.named": [("format-named", f"(string) -> optional({_FORMAT})", _named)],
            "validate": [("format-validate", f"{_FORMAT}.(string) -> optional(list(string))", Format.validate)],
            **{f"format.{name}": [(f"format.{name}", f"() -> {_FORMAT}", _constant(made))] for name, made in _FORMATS.items()},
        }
    ),
    types={_FORMAT: Format.cel_type},
)
