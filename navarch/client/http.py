"""The API over HTTPS: connections kept, watches streamed, credentials from a kubeconfig."""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import yaml

from navarch import __version__
from navarch.apimachinery.errors import Object, StatusError, status_error
from navarch.client.transport import JSON, WatchEvent
from navarch.component.httpclient import HTTPClient

WATCH_LINE_LIMIT_BYTES = 16 * 1024 * 1024


class HTTPTransport:
    """A `Transport` over HTTP(S)."""

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None, token: str = "", user_agent: str = "navarch") -> None:
        headers = {"User-Agent": f"{user_agent}/v{__version__}", "Accept": JSON}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.http = HTTPClient(url, tls=tls, headers=headers)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
    ) -> Object:
        content = b"" if body is None else orjson.dumps(body)
        headers = {"Content-Type": content_type} if body is not None else {}
        answer = await self.http.request(method, target(path, query), headers=headers, body=content)
        if answer.status >= 300:
            raise failure(answer.status, answer.body)
        decoded = orjson.loads(answer.body)
        assert isinstance(decoded, dict)
        return decoded

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
        answer = await self.http.stream("GET", target(path, {**query, "watch": "true"}))
        try:
            if answer.status >= 300:
                raise failure(answer.status, await answer.read())
            rest = b""
            async for chunk in answer:
                lines = (rest + chunk).split(b"\n")
                rest = lines.pop()
                if len(rest) > WATCH_LINE_LIMIT_BYTES:
                    raise ConnectionError("a watch event is too long")
                for line in lines:
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise StatusError(event["object"])
                    yield WatchEvent(event["type"], event["object"])
        finally:
            answer.close()

    async def close(self) -> None:
        self.http.close()
        await self.http.wait_closed()


def target(path: str, query: Mapping[str, str] | None) -> str:
    """Path and query as they stand in a request line."""
    path = quote(path, safe="/:@!$&'()*+,;=~-._%")
    return f"{path}?{urlencode(query)}" if query else path


def failure(code: int, body: bytes) -> StatusError:
    """The error an answer stands for, also when its body is no Status."""
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return StatusError({**status, "code": status.get("code") or code})
    return status_error(code, "", body.decode("utf-8", "replace")[:1024] or f"the server answered with status {code}")


def from_kubeconfig(path: str | Path, *, context: str = "", user_agent: str = "navarch") -> HTTPTransport:
    """A transport as a kubeconfig file says. Raises OSError or ValueError for an unusable file."""
    path = Path(path)
    config = yaml.safe_load(path.read_text())
    try:
        named = _named(config["contexts"], context or config["current-context"])["context"]
        cluster = _named(config["clusters"], named["cluster"])["cluster"]
        user = _named(config["users"], named["user"])["user"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a usable kubeconfig: {error}") from error
    tls = ssl.create_default_context(cadata=_content(cluster, "certificate-authority", path).decode() or None)
    certificate, key = _content(user, "client-certificate", path), _content(user, "client-key", path)
    if certificate:
        with tempfile.NamedTemporaryFile() as pair:
            # The ssl module loads keys only from files.
            pair.write(certificate + b"\n" + key)
            pair.flush()
            tls.load_cert_chain(pair.name)
    return HTTPTransport(cluster["server"], tls=tls, token=user.get("token", ""), user_agent=user_agent)


def _named(items: list[Object], name: str) -> Object:
    for item in items:
        if item["name"] == name:
            return item
    raise KeyError(name)


def _content(section: Mapping[str, Any], field: str, kubeconfig: Path) -> bytes:
    data = section.get(f"{field}-data")
    if data:
        return base64.b64decode(data)
    file = section.get(field)
    return (kubeconfig.parent / file).read_bytes() if file else b""
