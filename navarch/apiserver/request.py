"""What goes into the pipeline and what comes out of it, whoever asks: HTTP or a component in the same process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from navarch.api.kind import Kind
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.requestinfo import RequestInfo, is_true
from navarch.component.httpserver import Response
from navarch.storage.changes import Record

if TYPE_CHECKING:
    from navarch.apiserver.watch import Watch


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """What whoever comes with these credentials is to be told."""

    @classmethod
    def of_account(
        cls,
        namespace: str,
        name: str,
        uid: str,
        extra: Mapping[str, Sequence[str]] | None = None,
        warnings: tuple[str, ...] = (),
    ) -> User:
        """A service account."""
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED_GROUP)
        return cls(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra or {}, warnings)

    @property
    def is_anonymous(self) -> bool:
        return self.name == ANONYMOUS

    @property
    def info(self) -> Object:
        """An authentication.k8s.io/v1 UserInfo."""
        info: Object = {"username": self.name}
        if self.uid:
            info["uid"] = self.uid
        if self.groups:
            info["groups"] = list(self.groups)
        if self.extra:
            info["extra"] = {name: list(values) for name, values in self.extra.items()}
        return info


ANONYMOUS = "system:anonymous"
AUTHENTICATED_GROUP = "system:authenticated"
MASTERS_GROUP = "system:masters"
# 20 characters hold every 64-bit number; what is longer need not be converted to be refused.
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}\Z", re.ASCII)


@dataclass(slots=True)
class Waits:
    """How long a request has waited for what is not the server's own, in seconds."""

    in_turn: float = 0.0
    """For what is asked one after the other: all together."""
    at_once: float = 0.0
    """For what is asked side by side: the longest."""


def _allow(user: User, info: RequestInfo) -> None:
    """Of requests that the server makes itself."""


@dataclass(slots=True)
class APIRequest:
    """One request on its way through the pipeline."""

    info: RequestInfo
    method: str
    query: Mapping[str, list[str]]
    user: User
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    """As sent, or b"" where `decoded` holds the body already."""
    decoded: Any = None
    yaml: tuple[Any, list[str]] | ValueError | None = None
    """What a long body of YAML says and has twice, or that it is none: found out beforehand."""
    content_type: str = "application/json"
    raw_path: str = ""
    raw_query: str = ""
    remote_address: str = ""
    warnings: list[str] = field(default_factory=list)
    """For the client, as Warning headers."""
    annotations: dict[str, str] | None = None
    """What admission has to say of the request in an audit log; the first word on each key stands."""
    waits: Waits | None = None
    unacceptable: StatusError | None = None
    """406, where the client accepts no form in which it could be answered."""
    require: Callable[[User, RequestInfo], None] = _allow
    """Raises 403 unless the user may do that."""

    def warn(self, texts: Iterable[str]) -> None:
        """Tell the client, once each. A component of this process, which sends no headers, would not read them."""
        for text in texts if self.headers else ():
            if text not in self.warnings:
                self.warnings.append(text)

    def also_needs(self, verb: str) -> None:
        """Raises 403 unless the user may do this, too, to what the request is about."""
        self.require(self.user, self.info._replace(verb=verb))

    def annotate(self, key: str, value: str) -> None:
        """Say something of the request in an audit log."""
        if self.annotations is None:
            self.annotations = {}
        self.annotations.setdefault(key, value)

    def option(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        """A boolean query parameter: false if it is missing, "0" or "false", else true."""
        return is_true(self.query, name)

    def integer(self, name: str) -> int | None:
        """An integer query parameter. Raises 400 for what is none."""
        if name not in self.query:
            return None
        text = self.option(name)
        if not _INTEGER.match(text):
            raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        number = int(text)
        if not -(1 << 63) <= number < 1 << 63:
            raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
        return number

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be stored."""
        return bool(self.query.get("dryRun"))


@dataclass(slots=True)
class ObjectAnswer:
    """One object as it is served; either form may be missing, not both."""

    kind: Kind
    record: Record | None = None
    object: Object | None = None
    status: int = 200
    stored: Object | None = None
    """What is still to be converted."""

    @classmethod
    def of(cls, kind: Kind, record: Record | None = None, obj: Object | None = None, status: int = 200) -> ObjectAnswer:
        """A stored object, in the form in which `kind` serves it."""
        if kind.stored_as is None:
            return cls(kind, record, obj, status)
        if obj is None:
            assert record is not None
            obj = record.object()
        if kind.by_webhook:
            return cls(kind, None, None, status, obj)
        return cls(kind, None, kind.from_stored(obj), status)

    def decoded(self) -> Object:
        if self.object is not None:
            return self.object
        if self.stored is not None:
            return self.kind.from_stored(self.stored)
        assert self.record is not None
        return self.record.object()


@dataclass(slots=True)
class ListAnswer:
    """Several objects, as they are stored."""

    kind: Kind
    records: list[Record]
    revision: int
    continue_token: str = ""
    remaining: int | None = None
    converted: list[Object] | None = None
    """The same as they are served, where somebody else had to be asked for that."""

    def objects(self) -> Iterator[Object]:
        """As they are served."""
        if self.converted is not None:
            return iter(self.converted)
        return (self.kind.from_stored(record.object()) for record in self.records)

    def encoded(self) -> list[bytes]:
        """As they are served."""
        if self.kind.stored_as is None:
            return [record.data for record in self.records]
        return [orjson.dumps(obj) for obj in self.objects()]


@dataclass(slots=True)
class WatchAnswer:
    """A watch that has begun."""

    kind: Kind
    watch: Watch


Answer = ObjectAnswer | ListAnswer | WatchAnswer | Response
