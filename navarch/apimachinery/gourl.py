"""URLs as Go's net/url takes them apart, with what it says about those that it refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", '"': '\\"', "\\": "\\\\"}
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)
_HOST_ESCAPE = re.compile(r"%(?!25)[0-7][0-9a-fA-F]")
_NO_HOST_CHARACTER = re.compile(r"[\x00-\x20#/?@\\^`{|}\x7f]")
_PORT = re.compile(r"(:[0-9]*)?")
_USERINFO = re.compile(r"[a-zA-Z0-9._:~!$&'()*+,;=%@-]*")
_USER_SAFE = "$&+,;="


@dataclass(frozen=True, slots=True)
class URL:
    scheme: str = ""
    user: str | None = None
    """``name`` or ``name:password``, escaped."""
    host: str = ""
    """With the port."""
    path: str = ""
    query: str = ""
    fragment: str = ""


def parse(raw: str) -> URL:
    """Raises ValueError with Go's text."""
    rest, _, fragment = raw.partition("#")
    try:
        found = _without_fragment(rest)
    except ValueError as error:
        raise ValueError(f"parse {quoted(rest)}: {error}") from None
    try:
        return URL(found.scheme, found.user, found.host, found.path, found.query, _unescaped(fragment))
    except ValueError as error:
        raise ValueError(f"parse {quoted(raw)}: {error}") from None


def _without_fragment(raw: str) -> URL:
    if _CONTROL.search(raw):
        raise ValueError("net/url: invalid control character in URL")
    scheme, rest = "", raw
    if match := _SCHEME.match(raw):
        scheme, rest = match.group()[:-1].lower(), raw[match.end() :]
    elif raw.startswith(":"):
        raise ValueError("missing protocol scheme")
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return URL(scheme=scheme, query=query)
        if ":" in rest.partition("/")[0]:
            raise ValueError("first path segment in URL cannot contain colon")
    user, host = None, ""
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        user, host = _authority(authority)
        rest = slash + path
    return URL(scheme, user, host, _unescaped(rest), query)


def _authority(authority: str) -> tuple[str | None, str]:
    userinfo, at, host = authority.rpartition("@")
    host = _host(host)
    if not at:
        return None, host
    if not _USERINFO.fullmatch(userinfo):
        raise ValueError("net/url: invalid userinfo")
    name, colon, password = (_unescaped(part) for part in userinfo.partition(":"))
    return quote(name, safe=_USER_SAFE) + (colon + quote(password, safe=_USER_SAFE) if colon else ""), host


def _host(host: str) -> str:
    port = ""
    if host.startswith("["):
        if "]" not in host:
            raise ValueError("missing ']' in host")
        port = host[host.rindex("]") + 1 :]
    elif ":" in host:
        port = host[host.rindex(":") :]
    if not _PORT.fullmatch(port):
        raise ValueError(f"invalid port {quoted(port)} after host")
    if match := _ESCAPE.search(host) or _HOST_ESCAPE.search(host):
        raise ValueError(f"invalid URL escape {quoted(match.group())}")
    if match := _NO_HOST_CHARACTER.search(host):
        raise ValueError(f"invalid character {quoted(match.group())} in host name")
    return unquote(host)


def _unescaped(text: str) -> str:
    if match := _ESCAPE.search(text):
        raise ValueError(f"invalid URL escape {quoted(match.group())}")
    return unquote(text)


def quoted(text: str) -> str:
    """As Go's %q."""
    return (
        '"' + "".join(_ESCAPES.get(letter) or (letter if letter.isprintable() else _numbered(letter)) for letter in text) + '"'
    )


def _numbered(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
