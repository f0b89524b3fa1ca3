"""Calls of webhooks: where one is reached, whose certificate it must show, and what is said where it does not do as it should.

A webhook behind a Service is reached at one of the Service's endpoints, under the Service's name: the API server is not on the
network of pods. Connections are kept; what a kept one did not bring through, since the webhook has closed it, goes over a new
one.
"""

from __future__ import annotations

import base64
import binascii
import json
import ssl
from functools import lru_cache
from typing import Protocol

import orjson

from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.subresources import proxy
from navarch.component.httpclient import AnswerTooLargeError, HTTPClient
from navarch.storage.store import Store

ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
"""A conversion may bring hundreds of objects."""
CLIENTS_LIMIT = 64
AUTHORITIES_REMEMBERED = 64
PORT = 443
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json, */*", "User-Agent": "kube-apiserver-admission"}


class Connect(Protocol):
    """A client of the server at a URL, which shows a certificate of `server_name` if one is given."""

    def __call__(self, url: str, *, tls: ssl.SSLContext, server_name: str | None) -> HTTPClient: ...


class CallError(Exception):
    """A webhook was not reached, or did not answer as it should. `code` is the status it answered with, or 0."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class WebhookClient:
    """The way from one API server to all webhooks."""

    def __init__(self, store: Store, connect: Connect = HTTPClient) -> None:
        """`connect`: makes the client of one of them."""
        self._store = store
        self._connect = connect
        self._clients: dict[tuple[str, str | None, str | None], HTTPClient] = {}

    async def call(self, config: Object, review: Object, timeout_seconds: int, limit_bytes: int = ANSWER_LIMIT_BYTES) -> object:
        """What a webhook, of a WebhookClientConfig, answers to a review. Raises CallError."""
        url, where, name = self._address(config, timeout_seconds)
        target = f"/{url.partition('://')[2].partition('/')[2]}"
        body = orjson.dumps(review)
        place = (where, name, config.get("caBundle"))
        client = self._client(*place)
        was_kept = client.keeps_connections
        try:
            try:
                answer = await client.request(
                    "POST", target, headers=_HEADERS, body=body, timeout_seconds=timeout_seconds, limit_bytes=limit_bytes
                )
            except ConnectionError as error:
                if not was_kept or isinstance(error, AnswerTooLargeError):
                    raise
                self._clients.pop(place, None)
                client = self._client(*place)
                answer = await client.request(
                    "POST", target, headers=_HEADERS, body=body, timeout_seconds=timeout_seconds, limit_bytes=limit_bytes
                )
        except OSError as error:
            raise CallError(f'Post "{url}": {_reason(client, error)}') from None
        if not 200 <= answer.status < 300:
            raise CallError(refusal(answer.status, answer.body), answer.status)
        try:
            return orjson.loads(answer.body)
        except ValueError as error:
            raise CallError(f"couldn't get version/kind; json parse error: {error}") from None

    def close(self) -> None:
        """Drop every connection."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _client(self, where: str, name: str | None, bundle: str | None) -> HTTPClient:
        client = self._clients.get((where, name, bundle))
        if client is None:
            while len(self._clients) >= CLIENTS_LIMIT:
                self._clients.pop(next(iter(self._clients))).drop_kept()
            client = self._clients[where, name, bundle] = self._connect(where, tls=_tls(bundle), server_name=name)
        return client

    def _address(self, config: Object, timeout_seconds: int) -> tuple[str, str, str | None]:
        """(what is called, where it is reached, whose certificate it shows). Raises CallError."""
        service = config.get("service")
        if service is None:
            url = str(config["url"])
            return f"{url}?timeout={timeout_seconds}s", url, None
        name = f"{service['name']}.{service['namespace']}.svc"
        port = service.get("port") or PORT
        url = f"https://{name}:{port}/{(service.get('path') or '').removeprefix('/')}?timeout={timeout_seconds}s"
        try:
            host, number = proxy.endpoint(self._store, service["namespace"], service["name"], str(port))
        except StatusError as error:
            raise CallError(f'Post "{url}": {error}') from None
        return url, f"https://[{host}]:{number}" if ":" in host else f"https://{host}:{number}", name


@lru_cache(maxsize=AUTHORITIES_REMEMBERED)
def _tls(bundle: str | None) -> ssl.SSLContext:
    """Trusts a bundle, or (None) whom the system trusts. Raises CallError."""
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode() if bundle else None)
    except (ssl.SSLError, ValueError, binascii.Error):
        raise CallError("unable to load root certificates: unable to parse bytes as PEM block") from None


def _reason(client: HTTPClient, error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "context deadline exceeded"
    if isinstance(error, AnswerTooLargeError):
        return str(error)
    return proxy.reason(client, error)


_REFUSALS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}
_SAID_ITSELF = {
    403: "forbidden",
    406: "the server was unable to respond with a content type that the client supports",
    503: "the server is currently unable to handle the request",
}


def refusal(status: int, body: bytes) -> str:
    """What client-go says of an answer that is no success."""
    try:
        told = orjson.loads(body)
    except ValueError:
        told = None
    if isinstance(told, dict) and told.get("kind") == "Status" and told.get("message"):
        return str(told["message"])
    said = body.decode(errors="replace").strip()
    if status in _REFUSALS:
        return _REFUSALS[status]
    if status in _SAID_ITSELF:
        return said or _SAID_ITSELF[status]
    if status >= 500:
        return f"an error on the server ({json.dumps(said, ensure_ascii=False)}) has prevented the request from succeeding"
    return f"the server responded with the status code {status} but did not return more information"
