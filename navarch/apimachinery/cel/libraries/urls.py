"""URLs, as Go's net/url takes them apart."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_plus

from navarch.apimachinery import gourl
from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.declarations import Library, functions
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.values import Opaque

_PATH_SAFE = "/$&+,:;=@!'()*~"
_VALID_ESCAPES = re.compile(r"(%[0-9a-fA-F]{2}|[a-zA-Z0-9_.~/$&+,:;=@!'()*\[\]-])*")


class URL(Opaque):
    """A parsed URL; two are equal if they are written the same."""

    __slots__ = ("parsed", "raw")
    cel_type = types.opaque("kubernetes.URL")

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.parsed = gourl.parse(raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, URL) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    @property
    def host_and_port(self) -> tuple[str, str]:
        """Without brackets."""
        host, port = self.parsed.host, ""
        if re.search(r":[0-9]*\Z", host) and not host.endswith("]"):
            host, _, port = host.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), port

    @property
    def escaped_path(self) -> str:
        rest = self.raw.partition("#")[0].partition("?")[0]
        if self.parsed.scheme:
            rest = rest[len(self.parsed.scheme) + 1 :]
        if rest.startswith("//"):
            _, slash, path = rest[2:].partition("/")
            rest = slash + path
        return rest if _VALID_ESCAPES.fullmatch(rest) else quote(self.parsed.path, safe=_PATH_SAFE)

    @property
    def query(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for part in self.parsed.query.split("&"):
            if part and ";" not in part:
                name, _, value = part.partition("=")
                found.setdefault(unquote_plus(name), []).append(unquote_plus(value))
        return found


def parse_uri(text: str) -> None:
    """As url.ParseRequestURI: absolute, or a path. Raises ValueError with its text."""
    reason = "empty url" if not text else "" if text.startswith("/") else "invalid URI for request"
    if reason and not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", text):
        gourl.parse(text.partition("#")[0])
        raise ValueError(f'parse "{text}": {reason}')
    gourl.parse(text)


def _url(text: str) -> URL:
    try:
        parse_uri(text)
        return URL(text)
    except ValueError as error:
        raise EvaluationError(f"URL parse error during conversion from string: {error}") from None


def _is_url(text: str) -> bool:
    try:
        parse_uri(text)
    except ValueError:
        return False
    return True


_URL = "kubernetes.URL"
LIBRARY = Library(
    "kubernetes.urls",
    functions(
        {
            "url": [("string_to_url", f"(string) -> {_URL}", _url)],
            "isURL": [("is_url_string", "(string) -> bool", _is_url)],
            "getScheme": [("url_get_scheme", f"{_URL}.() -> string", lambda url: url.parsed.scheme)],
            "getHost": [("url_get_host", f"{_URL}.() -> string", lambda url: url.parsed.host)],
            "getHostname": [("url_get_hostname", f"{_URL}.() -> string", lambda url: url.host_and_port[0])],
            "getPort": [("url_get_port", f"{_URL}.() -> string", lambda url: url.host_and_port[1])],
            "getEscapedPath": [("url_get_escaped_path", f"{_URL}.() -> string", lambda url: url.escaped_path)],
            "getQuery": [("url_get_query", f"{_URL}.() -> map(string, list(string))", lambda url: url.query)],
        }
    ),
    types={_URL: URL.cel_type},
)
