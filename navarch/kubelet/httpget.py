"""HTTP GETs of probes and hooks. Certificates are not verified, redirects to the same host followed; errors read as Go's."""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from urllib.parse import urljoin, urlsplit

BODY_LIMIT_BYTES = 10 * 1024
HEAD_LIMIT_BYTES = 64 * 1024
REDIRECTS_LIMIT = 10
PLAIN_ANSWER = "http: server gave HTTP response to HTTPS client"
_INFORMATIONAL = ("100", "102", "103")
# What OpenSSL says of an answer that is not TLS.
_PLAIN_ANSWERS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


class RequestError(Exception):
    """There was no answer; the message says why."""


async def fetch(url: str, headers: list[tuple[str, str]], timeout_seconds: float) -> tuple[int, str]:
    """The status and, of a redirect that is not followed, the body. Raises RequestError."""
    try:
        async with asyncio.timeout(timeout_seconds):
            for _ in range(REDIRECTS_LIMIT):
                status, fields, body = await _request(url, headers)
                location = fields.get("location")
                if status not in (301, 302, 303, 307, 308) or not location:
                    return status, body
                following = urljoin(url, location)
                if urlsplit(following).hostname != urlsplit(url).hostname:
                    # A redirect to another host proves that this one answers.
                    return status, body
                url = following
    except TimeoutError:
        text = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        raise RequestError(f'Get "{url}": {text}') from None
    except ConnectionRefusedError as error:
        dial = f"dial tcp {bracketed(urlsplit(url).hostname or '')}:{_port(url)}: connect: {reason(error)}"
        raise RequestError(f'Get "{url}": {dial}') from None
    except (OSError, EOFError) as error:
        raise RequestError(f'Get "{url}": {reason(error)}') from None
    except ValueError as error:
        raise RequestError(f'Get "{url}": {error}') from None
    raise RequestError(f'Get "{url}": stopped after {REDIRECTS_LIMIT} redirects')


async def _request(url: str, headers: list[tuple[str, str]]) -> tuple[int, dict[str, str], str]:
    """One GET; status, headers (lower-case names) and the beginning of the body."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", _port(url)
    context = _unverified() if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=HEAD_LIMIT_BYTES)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"GET {target} HTTP/1.1"]
        if not any(name.lower() == "host" for name, _ in headers):
            lines.append(f"Host: {bracketed(host)}:{port}")
        lines += [f"{name}: {value}" for name, value in headers]
        writer.write(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode("utf-8"))
        words, fields = await _read_head(reader)
        while words[1] in _INFORMATIONAL:
            # The answer is still to come.
            words, fields = await _read_head(reader)
        # Of other answers only the status matters.
        body = await _read_body(reader, fields) if 300 <= int(words[1]) < 400 else b""
        return int(words[1]), fields, body.decode("utf-8", "replace")
    finally:
        await close(writer)


async def _read_head(reader: asyncio.StreamReader) -> tuple[list[str], dict[str, str]]:
    """The words of the status line, and the headers. As Go's client does, takes lines that end without a carriage return."""
    lines: list[str] = []
    size = 0
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            size = HEAD_LIMIT_BYTES + 1
        except asyncio.IncompleteReadError:
            raise EOFError("EOF") from None
        else:
            size += len(line)
        if size > HEAD_LIMIT_BYTES:
            raise ValueError("the answer's headers are too long")
        text = line.decode("latin-1").rstrip("\r\n")
        if not text and lines:
            break
        lines.append(text)
    words = lines[0].split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise ValueError(f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{lines[0]}"')
    pairs = (line.partition(":") for line in lines[1:])
    return words, {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


async def _read_body(reader: asyncio.StreamReader, fields: dict[str, str]) -> bytes:
    """The beginning of it; to the end of the connection where its length is not told."""
    length = fields.get("content-length", "")
    try:
        return await reader.readexactly(min(int(length), BODY_LIMIT_BYTES) if length.isdigit() else BODY_LIMIT_BYTES)
    except asyncio.IncompleteReadError as error:
        return error.partial


@cache
def _unverified() -> ssl.SSLContext:
    """Probes do not verify certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


async def close(writer: asyncio.StreamWriter) -> None:
    """End a connection at once."""
    writer.transport.abort()
    try:
        await writer.wait_closed()
    except OSError:
        return


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def reason(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ssl.SSLError) and error.reason in _PLAIN_ANSWERS:
        return PLAIN_ANSWER
    if isinstance(error, EOFError):
        return "EOF"
    if isinstance(error, ConnectionResetError):
        return "connection reset by peer"
    text = getattr(error, "strerror", None) or str(error)
    return str(text).lower() if getattr(error, "strerror", None) else str(text)
