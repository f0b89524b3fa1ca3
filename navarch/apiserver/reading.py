"""get, list and watch: what is published, as it is or as it was, for any kind (KEP-365, KEP-1904, KEP-3157).

Continue tokens name the revision of the first page and the key to go on after, as etcd3's do. The first page of a list of which
a revision is named, and not how it is meant, is as of just that revision, as it was before one could say so. A list with
resourceVersionMatch=Exact goes as far back as the store's history, and so do its further pages; and a get, for which Kubernetes
has no such parameter.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace

import orjson

from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import FieldError, StatusError
from navarch.apiserver import selection
from navarch.apiserver.freshness import REVISION, storage_errors
from navarch.apiserver.request import APIRequest, ListAnswer, ObjectAnswer, WatchAnswer
from navarch.apiserver.watch import Watch
from navarch.storage.changes import Record
from navarch.storage.mvcc import CompactedError, FutureRevisionError
from navarch.storage.store import Store


class Reading:
    """The reading verbs over one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, request: APIRequest, kind: Kind) -> ObjectAnswer:
        info = request.info
        self._check_resource_version(request)
        return ObjectAnswer.of(kind, self._existing(kind, info.namespace, info.name))

    async def get_past(self, request: APIRequest, kind: Kind) -> ObjectAnswer:
        """The object as it was at exactly the revision that is named; without one it is what `get` gives."""
        info, revision = request.info, self._check_resource_version(request)
        if not revision:
            return self.get(request, kind)
        key = kind.key(info.namespace, info.name)
        for record in await self._past(kind, self.under(request, kind), revision):
            if record.key == key:
                return ObjectAnswer.of(kind, record)
        raise errors.not_found(kind.group, kind.plural, info.name)

    async def _past(self, kind: Kind, under: str, revision: int, after: str = "") -> list[Record]:
        """Raises 410 for what is not known any more."""
        try:
            with storage_errors:
                return await self.store.past(kind.key_prefix, under, revision, after)
        except (CompactedError, FutureRevisionError):
            raise errors.expired(f"The provided resource version is too old: {revision}") from None

    def _existing(self, kind: Kind, namespace: str, name: str) -> Record:
        record = self.store.get(kind.key_prefix, kind.key(namespace, name))
        if record is None:
            raise errors.not_found(kind.group, kind.plural, name)
        return record

    def _check_resource_version(self, request: APIRequest, *, may_be_ahead: bool = False) -> int | None:
        """The revision asked for. Raises 422 for what is none, 504 for one that does not exist yet."""
        text = request.option("resourceVersion")
        if not text:
            return None
        if not REVISION.match(text):
            error = errors.invalid_value("resourceVersion", text, f'strconv.ParseUint: parsing "{text}": invalid syntax')
            raise errors.invalid("meta.k8s.io", "ListOptions", "", [error])
        version = int(text)
        if version > self.store.revision and not may_be_ahead:
            raise errors.too_large_resource_version(version, self.store.revision)
        return version

    async def list_collection(self, request: APIRequest, kind: Kind) -> ListAnswer:
        chosen = self.selection(request, kind)
        under = self.under(request, kind)
        # As in etcd, no limit and a negative one are the same.
        limit = max(request.integer("limit") or 0, 0)
        request.integer("timeoutSeconds")
        _refuse_invalid_list(request)
        version = self._check_resource_version(request)
        token = request.option("continue")
        after, revision, is_past = "", self.store.revision, False
        if token:
            if version:
                raise errors.bad_request("specifying resource version is not allowed when using continue")
            revision, after, is_past = _read_continue(token, under)
            if revision < 0:
                revision = self.store.revision
            elif revision > self.store.revision:
                # The list was begun at another server.
                await self.store.reach(revision)
        elif version and request.option("resourceVersionMatch", "Exact" if limit else "") == "Exact":
            revision, is_past = version, True
        if is_past:
            records = await self._past(kind, under, revision, after)
        else:
            records = await self._snapshot(kind, under, revision, after, chosen.encoded_labels, begun=bool(token))
        if not chosen.is_everything:
            records = chosen.choose(records)
        if not limit or len(records) <= limit:
            return ListAnswer(kind, records, revision)
        page = records[:limit]
        remaining = len(records) - limit if chosen.is_everything else None
        return ListAnswer(kind, page, revision, _write_continue(revision, page[-1].key, under, is_past), remaining)

    async def _snapshot(
        self, kind: Kind, under: str, revision: int, after: str, labels: Sequence[bytes], *, begun: bool
    ) -> list[Record]:
        """Raises 410; where the list had `begun`, with the way to go on."""
        try:
            with storage_errors:
                return await self.store.snapshot(kind.key_prefix, under, revision, after, labels)
        except (CompactedError, FutureRevisionError):
            if begun:
                raise self._expired_continue(after, under) from None
            raise errors.expired(f"The provided resource version is too old: {revision}") from None

    def _expired_continue(self, after: str, under: str) -> StatusError:
        error = errors.expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
            "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
            "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
            "deleted between the time the first chunk was returned and now may show up in the list."
        )
        error.status["metadata"] = {"continue": _write_continue(-1, after, under)}
        return error

    def watch(self, request: APIRequest, kind: Kind) -> WatchAnswer:
        chosen = self.selection(request, kind)
        _refuse_invalid_watch(request)
        timeout = request.integer("timeoutSeconds")
        bookmarks = request.flag("allowWatchBookmarks")
        asked = "sendInitialEvents" in request.query
        wants_initial = request.flag("sendInitialEvents")
        # Changes after a revision that is still to come can be waited for; objects as of then cannot be shown yet.
        version = self._check_resource_version(request, may_be_ahead=not wants_initial)
        watch = Watch(
            self.store,
            kind,
            self.under(request, kind),
            # What is to be converted is selected then.
            selection.EVERYTHING if kind.by_webhook else chosen,
            bookmarks=bookmarks,
            timeout_seconds=float(timeout) if timeout and timeout > 0 else None,
        )
        # A watch that names no revision begins with what is there, as a list would have shown it.
        initial = wants_initial or (not asked and not version)
        watch.begin(version or None, initial_events=initial)
        if wants_initial and bookmarks:
            watch.bookmark_initial_end()
        return WatchAnswer(kind, watch)

    def selection(self, request: APIRequest, kind: Kind) -> selection.Selection:
        chosen = selection.parse(kind, request.option("labelSelector"), request.option("fieldSelector"))
        if request.info.name:
            name = request.info.name
            fields = (*chosen.fields, (meta.name, name, True))
            chosen = replace(chosen, fields=fields, name=name)
        return chosen

    def under(self, request: APIRequest, kind: Kind) -> str:
        namespace = request.info.namespace
        return f"{kind.key_prefix}{namespace}/" if kind.namespaced and namespace else kind.key_prefix


def _refuse_invalid_list(request: APIRequest) -> None:
    """Raises 422 for options that do not go together (meta/internalversion/validation)."""
    match, version = request.option("resourceVersionMatch"), request.option("resourceVersion")
    problems = []
    if match:
        if not version:
            text = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            problems.append(errors.forbidden_field("resourceVersionMatch", text))
        problems += _match_with_continue(request)
        if match not in ("Exact", "NotOlderThan"):
            problems.append(errors.not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and version == "0":
            text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            problems.append(errors.forbidden_field("resourceVersionMatch", text))
    if "sendInitialEvents" in request.query:
        problems.append(errors.forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if problems:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", problems)


def _refuse_invalid_watch(request: APIRequest) -> None:
    match, asked = request.option("resourceVersionMatch"), "sendInitialEvents" in request.query
    problems = []
    if asked and match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        problems.append(errors.forbidden_field("resourceVersionMatch", text))
    if match:
        if not asked:
            text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            problems.append(errors.forbidden_field("resourceVersionMatch", text))
        if match != "NotOlderThan":
            problems.append(errors.not_supported("resourceVersionMatch", match, ("NotOlderThan",)))
        problems += _match_with_continue(request)
    if problems:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", problems)


def _match_with_continue(request: APIRequest) -> list[FieldError]:
    if not request.option("continue"):
        return []
    return [errors.forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")]


def _write_continue(revision: int, key: str, under: str, is_past: bool = False) -> str:
    token: dict[str, object] = {"v": "meta.k8s.io/v1", "rv": revision, "start": key.removeprefix(under)}
    if is_past:
        token["exact"] = True
    return base64.urlsafe_b64encode(orjson.dumps(token)).rstrip(b"=").decode()


def _read_continue(token: str, under: str) -> tuple[int, str, bool]:
    """The revision (negative: the newest), the key to go on after, and whether an exact revision was asked for. Raises 400."""
    try:
        value = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        known, revision, start = value.get("v", ""), value.get("rv", 0), value.get("start", "")
        if not isinstance(known, str) or not isinstance(start, str) or type(revision) is not int:
            raise ValueError(token)
    except (ValueError, AttributeError):
        raise _bad_continue("encoded continue token is not valid") from None
    if known != "meta.k8s.io/v1":
        raise _bad_continue(f"server does not recognize this encoded version {known}")
    if not revision:
        raise _bad_continue("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not start:
        raise _bad_continue("encoded start key empty (version meta.k8s.io/v1)")
    if not {"", ".", ".."}.isdisjoint(start.removeprefix("/").split("/")):
        # No way leads out of the collection.
        raise _bad_continue(start)
    return revision, under + start, value.get("exact") is True


def _bad_continue(text: str) -> StatusError:
    return errors.bad_request(f"invalid continue token: continue key is not valid: {text}")
