"""Answers under /openapi: v3 by group version with hashed URLs, v2 whole as JSON or protobuf. Made when asked for, and kept."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import orjson

from navarch.api.kind import Kind
from navarch.apimachinery import errors
from navarch.apiserver.negotiation import JSON
from navarch.apiserver.openapi import custom, merging, operations, protobuf, v2, v3
from navarch.apiserver.openapi.custom import Custom
from navarch.apiserver.openapi.operations import PathItem
from navarch.apiserver.request import APIRequest
from navarch.apiserver.respond import GZIP_MIN_BYTES
from navarch.component.httpserver import Response

V2, V3 = "/openapi/v2", "/openapi/v3"
# As long as caches may keep anything.
_IMMUTABLE = "public, immutable, max-age=31536000"


@dataclass
class Document:
    """One document as it is sent."""

    media_type: str
    body: bytes

    @cached_property
    def etag(self) -> str:
        return hashlib.sha512(self.body).hexdigest().upper()

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.body, 1, mtime=0)


@dataclass(frozen=True, slots=True)
class RemoteOpenAPI:
    """What another server says of a group version that it serves; b"": nothing."""

    v3: bytes = b""
    v2: bytes = b""
    """Of all that it serves."""
    url: str = ""
    """Where it has the former."""


class OpenAPI:
    """Answers under /openapi."""

    paths = (V2, V3, f"{V3}/")

    def __init__(
        self,
        kinds: Iterable[Kind],
        previous: OpenAPI | None = None,
        remote: Mapping[str, RemoteOpenAPI] | None = None,
    ) -> None:
        """`previous`: the answers about other kinds, of which what stays the same is kept. `remote`: what others serve, by
        ``apis/group/version``."""
        self._remote = dict(remote or {})
        self._kinds = tuple(kind for kind in kinds if kind.api_path.lstrip("/") not in self._remote)
        self._documents: dict[str, Document] = {}
        self._etags: dict[str, str] = {}
        if previous is not None:
            mine, theirs = self._by_root, previous._by_root
            same = {root for root, etag in previous._etags.items() if mine.get(root) == theirs.get(root)}
            same -= {f"apis/{kind.group}" for kind in {*self._kinds} ^ {*previous._kinds}}
            same -= self._remote.keys() | previous._remote.keys()
            self._etags = {root: etag for root, etag in previous._etags.items() if root in same}
            self._documents = {root: document for root, document in previous._documents.items() if root in same}

    def answer(self, request: APIRequest) -> Response | None:
        """The response for a path under /openapi, None for any other. Raises 404 and 406."""
        path, accept = request.info.path.rstrip("/"), request.headers.get("accept", "")
        if path == V2:
            if any(asked in accept for asked in protobuf.ASKED_TYPES):
                return _response(request, self._kept(protobuf.MEDIA_TYPE))
            _accept_json(accept)
            return _response(request, self._kept(V2))
        if path == V3:
            _accept_json(accept)
            return Response(200, (("Content-Type", JSON), ("Cache-Control", "no-cache, private")), self._index)
        if path.startswith(f"{V3}/"):
            root = path.removeprefix(f"{V3}/")
            if root not in self._paths and root not in self._remote:
                raise errors.no_such_path()
            _accept_json(accept)
            document, asked = self._kept(root), request.option("hash")
            if asked and asked != document.etag:
                return Response(301, (("Location", _location(root, document.etag)),))
            return _response(request, document, hashed=bool(asked))
        return None

    @cached_property
    def _by_root(self) -> dict[str, tuple[Kind, ...]]:
        """What each document is about."""
        found: dict[str, tuple[Kind, ...]] = {}
        for kind in self._kinds:
            root = kind.api_path.lstrip("/")
            found[root] = (*found.get(root, ()), kind)
        return found

    @cached_property
    def _custom(self) -> dict[str, Custom]:
        return custom.of(self._kinds)

    @cached_property
    def _paths(self) -> dict[str, list[PathItem]]:
        return operations.documents(self._kinds)

    @cached_property
    def _index(self) -> bytes:
        """Where each v3 document is. Whoever wants the index seldom wants them all: they are made again when asked for."""
        roots = [*self._paths, *self._remote]
        for root in roots:
            if root not in self._etags:
                self._etags[root] = self._made(root).etag
        paths = {root: {"serverRelativeURL": _location(root, self._etags[root])} for root in roots}
        return orjson.dumps({"paths": paths})

    def _kept(self, name: str) -> Document:
        if name not in self._documents:
            self._documents[name] = self._made(name)
        return self._documents[name]

    def _made(self, name: str) -> Document:
        if name in (V2, protobuf.MEDIA_TYPE):
            document = v2.document([item for items in self._paths.values() for item in items], self._custom)
            for root, remote in self._remote.items():
                document = merging.merged(document, remote.v2, f"/{root}/") if remote.v2 else document
            if name == V2:
                return Document(JSON, orjson.dumps(document))
            return Document(protobuf.MEDIA_TYPE, protobuf.encode(document))
        if name in self._remote:
            return Document(JSON, self._remote[name].v3)
        group_versions = {(kind.group, kind.version) for kind in self._kinds if kind.api_path == f"/{name}"}
        return Document(JSON, v3.encode(self._paths[name], group_versions, self._custom))


def _location(root: str, etag: str) -> str:
    return f"{V3}/{root}?hash={etag}"


def _accept_json(accept: str) -> None:
    if accept and not any(form in accept for form in ("json", "*/*", "application/*")):
        raise errors.not_acceptable((JSON,))


def _response(request: APIRequest, document: Document, *, hashed: bool = False) -> Response:
    """`hashed`: what this URL names never changes."""
    headers = [("ETag", f'"{document.etag}"'), ("Vary", "Accept, Accept-Encoding")]
    headers.append(("Cache-Control", _IMMUTABLE if hashed else "no-cache, private"))
    if request.headers.get("if-none-match", "").strip('"') == document.etag:
        return Response(304, headers)
    headers.insert(0, ("Content-Type", document.media_type))
    if len(document.body) > GZIP_MIN_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(200, [*headers, ("Content-Encoding", "gzip")], document.compressed)
    return Response(200, headers, document.body)
