"""The verbs on stored objects: what create, update, patch, delete, get, list and watch mean for any kind.

Rules shared by all kinds (metadata, generations, preconditions, finalizers, graceful deletion) are here; what is particular to
a kind is in its `Kind`. Reads see what is published, writes build on the newest staged version.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol

import orjson

from navarch.api import objectmeta, schemas
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, patch
from navarch.apimachinery.errors import FieldError, Object, StatusError
from navarch.apiserver import body, selection
from navarch.apiserver.admission.chain import AdmissionChain, Attributes
from navarch.apiserver.request import APIRequest, ListAnswer, ObjectAnswer, WatchAnswer
from navarch.apiserver.watch import Watch
from navarch.component import clock
from navarch.storage.backend import StorageError, StorageFullError
from navarch.storage.mvcc import CompactedError, ConflictError, FutureRevisionError, Record
from navarch.storage.store import Store

NAME_GENERATION_ATTEMPTS = 8
PATCH_CONFLICT_RETRIES = 5
OBJECT_LIMIT_BYTES = 1_572_864
DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
MISMATCHED_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"

_REVISION = re.compile(r"[0-9]{1,19}\Z", re.ASCII)

Transform = Callable[[Object], Object | None]


class Allocator(Protocol):
    """Hands out what a kind's objects need of the server, such as addresses."""

    def allocate(self, new: Object, old: Object | None) -> Object:
        """`new` with what it needs. Raises 422 for what cannot be had."""

    def release(self, new: Object) -> None:
        """`new` was not stored after all."""


def encode(obj: Object) -> bytes:
    """An object's bytes, in memory no larger than they are."""
    # orjson's result keeps the buffer it grew; a copy through memoryview has just its size.
    return bytes(memoryview(orjson.dumps(obj)))


def _with_revision(obj: Object) -> Callable[[int], bytes]:
    def data(revision: int) -> bytes:
        obj["metadata"]["resourceVersion"] = str(revision)
        encoded = encode(obj)
        if len(encoded) > OBJECT_LIMIT_BYTES:
            raise errors.request_entity_too_large(OBJECT_LIMIT_BYTES)
        return encoded

    return data


class Resources:
    """Stored objects of every kind, under the rules of the API."""

    def __init__(self, store: Store, admission: AdmissionChain) -> None:
        self.store = store
        self.admission = admission
        self.allocators: dict[Kind, Allocator] = {}

    # Reads

    def get(self, request: APIRequest, kind: Kind) -> ObjectAnswer:
        info = request.info
        self._check_resource_version(request, kind)
        return ObjectAnswer(kind, self._existing(kind, info.namespace, info.name))

    def _existing(self, kind: Kind, namespace: str, name: str) -> Record:
        record = self.store.get(kind.key_prefix, kind.key(namespace, name))
        if record is None:
            raise errors.not_found(kind.group, kind.plural, name)
        return record

    def _latest(self, kind: Kind, namespace: str, name: str) -> Record:
        record = self.store.latest(kind.key_prefix, kind.key(namespace, name))
        if record is None:
            raise errors.not_found(kind.group, kind.plural, name)
        return record

    def _check_resource_version(self, request: APIRequest, kind: Kind) -> int | None:
        text = request.option("resourceVersion")
        if not text:
            return None
        if not _REVISION.match(text):
            error = errors.invalid_value("resourceVersion", text, f'strconv.ParseUint: parsing "{text}": invalid syntax')
            raise errors.invalid("meta.k8s.io", "ListOptions", "", [error])
        version = int(text)
        if version > self.store.revision:
            raise errors.timeout(f"Too large resource version: {version}, current: {self.store.revision}", 1)
        return version

    def list_collection(self, request: APIRequest, kind: Kind) -> ListAnswer:
        chosen = self._selection(request, kind)
        under = self._under(request, kind)
        limit = request.integer("limit") or 0
        version = self._check_resource_version(request, kind)
        match = request.option("resourceVersionMatch")
        self._check_match(request, version, match)
        token = request.option("continue")
        after, revision = "", self.store.revision
        if token:
            revision, after = _read_continue(token, under)
            if revision < 0:
                revision = self.store.revision
        elif version and match == "Exact":
            revision = version
        try:
            records = self.store.index.snapshot(kind.key_prefix, under, revision, after)
        except (CompactedError, FutureRevisionError):
            if token:
                raise self._expired_continue(after) from None
            raise errors.expired(f"The provided resource version is too old: {revision}") from None
        if not chosen.is_everything:
            records = [record for record in records if chosen.selects(record)]
        if not limit or len(records) <= limit:
            return ListAnswer(kind, records, revision)
        page = records[:limit]
        remaining = len(records) - limit if chosen.is_everything else None
        return ListAnswer(kind, page, revision, _write_continue(revision, page[-1].key, under), remaining)

    def _expired_continue(self, after: str) -> StatusError:
        error = errors.expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
            "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
            "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
            "deleted between the time the first chunk was returned and now may show up in the list."
        )
        error.status["metadata"] = {"continue": _write_continue(-1, after, "")}
        return error

    def _check_match(self, request: APIRequest, version: int | None, match: str) -> None:
        problems = []
        if match and request.info.verb == "list":
            if version is None and not request.option("resourceVersion"):
                text = "resourceVersionMatch is forbidden unless resourceVersion is provided"
                problems.append(errors.forbidden_field("resourceVersionMatch", text))
            elif request.option("continue"):
                text = "resourceVersionMatch is forbidden when continue is provided"
                problems.append(errors.forbidden_field("resourceVersionMatch", text))
            if match not in ("Exact", "NotOlderThan"):
                problems.append(errors.not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
            elif match == "Exact" and version == 0:
                text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
                problems.append(errors.forbidden_field("resourceVersionMatch", text))
        if problems:
            raise errors.invalid("meta.k8s.io", "ListOptions", "", problems)

    def watch(self, request: APIRequest, kind: Kind) -> WatchAnswer:
        chosen = self._selection(request, kind)
        version = self._check_resource_version(request, kind)
        timeout = request.integer("timeoutSeconds")
        bookmarks = request.flag("allowWatchBookmarks")
        asked = "sendInitialEvents" in request.query
        wants_initial = request.flag("sendInitialEvents")
        if asked and request.option("resourceVersionMatch") != "NotOlderThan":
            text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise errors.invalid("meta.k8s.io", "ListOptions", "", [errors.forbidden_field("resourceVersionMatch", text)])
        watch = Watch(
            self.store,
            kind,
            self._under(request, kind),
            chosen,
            bookmarks=bookmarks,
            timeout_seconds=float(timeout) if timeout else None,
        )
        # A watch that names no revision begins with what is there, as a list would have shown it.
        initial = wants_initial or (not asked and not version)
        watch.begin(version or None, initial_events=initial)
        if wants_initial and bookmarks:
            watch.bookmark_initial_end()
        return WatchAnswer(kind, watch)

    def _selection(self, request: APIRequest, kind: Kind) -> selection.Selection:
        chosen = selection.parse(kind, request.option("labelSelector"), request.option("fieldSelector"))
        if request.info.name:
            name = request.info.name
            fields = (*chosen.fields, (meta.name, name, True))
            chosen = selection.Selection(chosen.labels, fields, chosen.needles)
        return chosen

    def _under(self, request: APIRequest, kind: Kind) -> str:
        namespace = request.info.namespace
        return f"{kind.key_prefix}{namespace}/" if kind.namespaced and namespace else kind.key_prefix

    # Create

    async def create(self, request: APIRequest, kind: Kind) -> ObjectAnswer:
        obj = body.decode_object(request, kind)
        return await self.create_object(request, kind, obj)

    async def create_object(self, request: APIRequest, kind: Kind, obj: Object) -> ObjectAnswer:
        """Store a new object, decoded and pruned already."""
        namespace = request.info.namespace
        metadata = self._own_metadata(kind, obj, namespace)
        generate = metadata.get("generateName", "") if not metadata.get("name") else ""
        for attempt in range(NAME_GENERATION_ATTEMPTS):
            candidate = {**obj, "metadata": dict(metadata)}
            if generate:
                candidate["metadata"]["name"] = generate[: objectmeta.GENERATED_NAME_BASE_LIMIT] + clock.name_suffix()
            try:
                return await self._create(request, kind, candidate, namespace)
            except StatusError as error:
                if not (generate and error.is_already_exists) or attempt == NAME_GENERATION_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _own_metadata(self, kind: Kind, obj: Object, namespace: str) -> Object:
        """Metadata of a new object, with what the server sets and without what it alone may set."""
        metadata: Object = dict(obj["metadata"])
        if metadata.get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        for field in ("selfLink", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"):
            metadata.pop(field, None)
        if kind.namespaced:
            if metadata.get("namespace", namespace) != namespace and metadata["namespace"]:
                raise errors.bad_request(MISMATCHED_NAMESPACE)
            metadata["namespace"] = namespace
        metadata["uid"] = clock.uid()
        metadata["creationTimestamp"] = clock.timestamp()
        if kind.has_generation:
            metadata["generation"] = 1
        else:
            metadata.pop("generation", None)
        return metadata

    async def _create(self, request: APIRequest, kind: Kind, obj: Object, namespace: str) -> ObjectAnswer:
        if "status" in kind.subresources and not kind.keeps_status_on_create:
            obj.pop("status", None)
        obj = kind.default(obj)
        attributes = Attributes(request, kind, "CREATE", namespace, meta.name(obj))
        obj = await self.admission.mutate(attributes, obj, None)
        obj = kind.prepare_create(obj)
        self._refuse_invalid(kind, obj, [*objectmeta.validate(kind, obj), *kind.validate(obj)])
        await self.admission.validate(attributes, obj, None)
        name = meta.name(obj)
        key = kind.key(namespace, name)
        if self.store.latest(kind.key_prefix, key) is not None:
            raise errors.already_exists(kind.group, kind.plural, name)
        with self._allocated(request, kind, obj, None) as obj:
            if request.dry_run:
                return ObjectAnswer(kind, object=obj, status=201)
            try:
                record = await self._put(kind, key, obj, None)
            except ConflictError:
                raise errors.already_exists(kind.group, kind.plural, name) from None
            return ObjectAnswer(kind, record, obj, 201)

    @contextmanager
    def _allocated(self, request: APIRequest, kind: Kind, obj: Object, old: Object | None) -> Iterator[Object]:
        """`obj` with what its kind's allocator hands out; given back unless it is stored."""
        allocator = self.allocators.get(kind)
        if allocator is None:
            yield obj
            return
        obj = allocator.allocate(obj, old)
        try:
            yield obj
        except BaseException:
            allocator.release(obj)
            raise
        if request.dry_run:
            allocator.release(obj)

    def _refuse_invalid(self, kind: Kind, obj: Object, problems: list[FieldError]) -> None:
        if problems:
            name = meta.name(obj) or obj["metadata"].get("generateName", "")
            raise errors.invalid(kind.group, kind.kind, name, problems)

    async def _put(self, kind: Kind, key: str, obj: Object, base: Record | None, *, lazy: bool = False) -> Record:
        try:
            change = await self.store.put(kind.key_prefix, key, _with_revision(obj), base, obj, lazy=lazy)
        except StorageFullError as error:
            raise errors.status_error(507, "InternalError", str(error)) from error
        except StorageError as error:
            raise errors.internal_error(str(error)) from error
        return change.record

    # Update

    async def update(self, request: APIRequest, kind: Kind, subresource: str = "") -> ObjectAnswer:
        """PUT of the object or of its status."""
        obj = body.decode_object(request, kind)
        info, metadata = request.info, obj["metadata"]
        if not metadata.get("name"):
            metadata["name"] = info.name
        elif metadata["name"] != info.name:
            raise errors.bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({info.name})"
            )
        if kind.namespaced:
            if metadata.get("namespace", info.namespace) != info.namespace and metadata["namespace"]:
                raise errors.bad_request(MISMATCHED_NAMESPACE)
            metadata["namespace"] = info.namespace
        key = kind.key(info.namespace, info.name)
        for attempt in range(PATCH_CONFLICT_RETRIES):
            base = self.store.latest(kind.key_prefix, key)
            if base is None:
                if not kind.allow_create_on_update or metadata.get("resourceVersion") or subresource:
                    raise errors.not_found(kind.group, kind.plural, info.name)
                return await self.create_object(request, kind, obj)
            version = metadata.get("resourceVersion")
            if version and version != str(base.revision):
                raise errors.conflict(kind.group, kind.plural, info.name, errors.MODIFIED)
            if not version and not kind.allow_unconditional_update:
                problem = errors.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
                raise errors.invalid(kind.group, kind.kind, info.name, [problem])
            try:
                return await self._replace(request, kind, {**obj, "metadata": dict(metadata)}, base, subresource)
            except ConflictError:
                if version or attempt == PATCH_CONFLICT_RETRIES - 1:
                    break
        raise errors.conflict(kind.group, kind.plural, info.name, errors.MODIFIED)

    async def change(
        self, request: APIRequest, kind: Kind, transform: Transform, *, subresource: str = "", version: str = ""
    ) -> ObjectAnswer:
        """Read, transform, write; again on conflict unless the caller named a version. None from `transform`: no change."""
        info = request.info
        for attempt in range(PATCH_CONFLICT_RETRIES):
            base = self._latest(kind, info.namespace, info.name)
            if version and version != str(base.revision):
                raise errors.conflict(kind.group, kind.plural, info.name, errors.MODIFIED)
            new = transform(base.object())
            if new is None:
                return ObjectAnswer(kind, base)
            try:
                return await self._replace(request, kind, new, base, subresource)
            except ConflictError:
                if attempt == PATCH_CONFLICT_RETRIES - 1:
                    raise errors.conflict(kind.group, kind.plural, info.name, errors.MODIFIED) from None
        raise AssertionError("unreachable")

    async def _replace(self, request: APIRequest, kind: Kind, obj: Object, base: Record, subresource: str) -> ObjectAnswer:
        """Store `obj` as the next version of `base`. Raises ConflictError if another write came between."""
        old = base.object()
        if not subresource:
            obj = kind.default(obj)
        obj = self._carry_over(kind, obj, old, subresource)
        attributes = Attributes(request, kind, "UPDATE", request.info.namespace, request.info.name, subresource)
        obj = await self.admission.mutate(attributes, obj, old)
        problems = [*objectmeta.validate_update(obj, old), *objectmeta.validate(kind, obj)]
        if subresource == "status":
            problems += kind.validate_status_update(obj, old)
        elif not subresource:
            problems += kind.validate(obj)
            if kind.validate_update is not None:
                problems += kind.validate_update(obj, old)
        self._refuse_invalid(kind, obj, problems)
        await self.admission.validate(attributes, obj, old)
        if subresource:
            return await self._store_replaced(request, kind, obj, base, old)
        with self._allocated(request, kind, obj, old) as obj:
            return await self._store_replaced(request, kind, obj, base, old)

    async def _store_replaced(self, request: APIRequest, kind: Kind, obj: Object, base: Record, old: Object) -> ObjectAnswer:
        obj["metadata"] = {**obj["metadata"], "resourceVersion": old["metadata"]["resourceVersion"]}
        if obj == old:
            return ObjectAnswer(kind, base, old)
        if request.dry_run:
            return ObjectAnswer(kind, object=obj)
        if meta.being_deleted(obj) and self._may_go(kind, obj):
            await self._remove(kind, base, obj)
            return ObjectAnswer(kind, object=obj)
        lazy = kind.resource == "leases.coordination.k8s.io" and _is_renewal(obj, old)
        record = await self._put(kind, base.key, obj, base, lazy=lazy)
        return ObjectAnswer(kind, record, obj)

    def _carry_over(self, kind: Kind, obj: Object, old: Object, subresource: str) -> Object:
        """What an update may not touch comes from the stored object."""
        before, metadata = old["metadata"], dict(obj["metadata"])
        if metadata.get("uid") and metadata["uid"] != before.get("uid"):
            text = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {before.get('uid')}"
            raise errors.conflict(kind.group, kind.plural, before["name"], text)
        metadata.pop("selfLink", None)
        for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
            metadata.pop(field, None)
            if field in before:
                metadata[field] = before[field]
        if "managedFields" not in before:
            metadata.pop("managedFields", None)
        obj = {**obj, "metadata": metadata}
        if subresource == "status":
            kept = {field: value for field, value in old.items() if field not in ("status", "metadata")}
            obj = {**kept, "metadata": metadata, **({"status": obj["status"]} if "status" in obj else {})}
            if kind.prepare_status_update is not None:
                obj = kind.prepare_status_update(obj, old)
            return obj
        if subresource:
            return obj
        if "status" in kind.subresources:
            obj.pop("status", None)
            if "status" in old:
                obj["status"] = old["status"]
        if kind.prepare_update is not None:
            obj = kind.prepare_update(obj, old)
        if kind.has_generation and any(obj.get(field) != old.get(field) for field in kind.spec_fields):
            obj["metadata"]["generation"] = before.get("generation", 0) + 1
        return obj

    # Patch

    async def patch(self, request: APIRequest, kind: Kind, subresource: str = "") -> ObjectAnswer:
        type_ = body.media_type(request.content_type)
        apply = _PATCHES.get(type_)
        if apply is None:
            raise errors.unsupported_media_type(type_, tuple(_PATCHES))
        changes, duplicates = body.parse(request)
        schema = schemas.of(kind)

        def transform(current: Object) -> Object:
            try:
                patched = apply(current, changes, schema)
            except patch.PatchError as error:
                raise _unapplicable(type_, error) from None
            if not isinstance(patched, dict):
                raise errors.bad_request("a patched object must be an object")
            if not isinstance(patched.get("metadata"), dict):
                patched = {**patched, "metadata": current["metadata"]}
            body.check_kind(patched, kind)
            new = body.decode_value(request, patched, kind, duplicates)
            if meta.name(new) != request.info.name:
                raise errors.bad_request(
                    f"the name of the object ({meta.name(new)}) does not match the name on the URL ({request.info.name})"
                )
            version = new["metadata"].get("resourceVersion")
            if version and version != current["metadata"]["resourceVersion"]:
                raise errors.conflict(kind.group, kind.plural, request.info.name, errors.MODIFIED)
            return new

        return await self.change(request, kind, transform, subresource=subresource)

    # Delete

    async def delete(self, request: APIRequest, kind: Kind) -> ObjectAnswer:
        """Delete one object: at once, or by marking it where finalizers or a grace period hold it."""
        options = self.delete_options(request)
        info = request.info
        for attempt in range(PATCH_CONFLICT_RETRIES):
            base = self._latest(kind, info.namespace, info.name)
            try:
                return await self._delete(request, kind, base, options)
            except ConflictError:
                if attempt == PATCH_CONFLICT_RETRIES - 1:
                    raise errors.conflict(kind.group, kind.plural, info.name, errors.MODIFIED) from None
        raise AssertionError("unreachable")

    def delete_options(self, request: APIRequest) -> Object:
        """DeleteOptions from body or query."""
        options: Object = {}
        if request.body or request.decoded is not None:
            options = body.decode_definition(request, DELETE_OPTIONS)
        if request.option("gracePeriodSeconds"):
            options = {**options, "gracePeriodSeconds": request.integer("gracePeriodSeconds")}
        if request.option("propagationPolicy"):
            options = {**options, "propagationPolicy": request.option("propagationPolicy")}
        policy = options.get("propagationPolicy")
        problems = []
        if policy not in (None, "Orphan", "Background", "Foreground"):
            problems.append(errors.not_supported("propagationPolicy", policy, ("Background", "Foreground", "Orphan")))
        elif policy is not None and options.get("orphanDependents") is not None:
            text = "orphanDependents and deletionPropagation cannot be both set"
            problems.append(errors.invalid_value("propagationPolicy", policy, text))
        if problems:
            raise errors.invalid("meta.k8s.io", "DeleteOptions", "", problems)
        if options.get("dryRun"):
            request.query = {**request.query, "dryRun": list(options["dryRun"])}
        return options

    async def _delete(self, request: APIRequest, kind: Kind, base: Record, options: Object) -> ObjectAnswer:
        old = base.object()
        self._check_preconditions(kind, old, options.get("preconditions") or {})
        attributes = Attributes(request, kind, "DELETE", meta.namespace(old), meta.name(old))
        await self.admission.validate(attributes, None, old)
        new = self._marked(kind, old, options)
        if request.dry_run:
            return ObjectAnswer(kind, object=new or old)
        if new is not None and not self._may_go(kind, new):
            if new == old:
                return ObjectAnswer(kind, base, old)
            record = await self._put(kind, base.key, new, base)
            return ObjectAnswer(kind, record, new)
        await self._remove(kind, base, new or old)
        if kind.returns_deleted:
            return ObjectAnswer(kind, object=new or old)
        return ObjectAnswer(kind, object=_deleted_status(kind, old))

    def _check_preconditions(self, kind: Kind, old: Object, wanted: Object) -> None:
        metadata = old["metadata"]
        for field, shown, value in (("uid", "UID", "uid"), ("resourceVersion", "ResourceVersion", "resourceVersion")):
            if wanted.get(field) and wanted[field] != metadata.get(value):
                text = f"{shown} in precondition: {wanted[field]}, {shown} in object meta: {metadata.get(value)}"
                raise errors.conflict(kind.group, kind.plural, metadata["name"], f"Precondition failed: {text}")

    def _marked(self, kind: Kind, old: Object, options: Object) -> Object | None:
        """The object with deletion begun, or None where nothing has to be waited for."""
        finalizers = self._deletion_finalizers(kind, old, options)
        grace = self._grace(kind, old, options)
        if not finalizers and not grace and not kind.holds_deletion(old):
            return None
        metadata = dict(old["metadata"])
        if "deletionTimestamp" not in metadata:
            metadata["deletionTimestamp"] = meta.format_time(clock.now() + timedelta(seconds=grace))
            metadata["deletionGracePeriodSeconds"] = grace
            if kind.has_generation:
                metadata["generation"] = metadata.get("generation", 0) + 1
        elif grace < metadata.get("deletionGracePeriodSeconds", 0):
            # A second deletion may only shorten the grace of the first.
            shortened = metadata["deletionGracePeriodSeconds"] - grace
            moved = meta.parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=shortened)
            metadata["deletionTimestamp"] = meta.format_time(moved)
            metadata["deletionGracePeriodSeconds"] = grace
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        return kind.prepare_deletion({**old, "metadata": metadata})

    def _deletion_finalizers(self, kind: Kind, old: Object, options: Object) -> list[str]:
        present = list(old["metadata"].get("finalizers") or ())
        policy = options.get("propagationPolicy")
        if options.get("orphanDependents") is not None and not policy:
            policy = "Orphan" if options["orphanDependents"] else "Background"
        if policy is None:
            return present
        kept = [item for item in present if item not in ("orphan", "foregroundDeletion")]
        if policy == "Orphan":
            kept.append("orphan")
        elif policy == "Foreground":
            kept.append("foregroundDeletion")
        return kept

    def _grace(self, kind: Kind, old: Object, options: Object) -> int:
        if kind.graceful_seconds is None:
            return 0
        default = kind.graceful_seconds(old)
        if not default:
            return 0
        asked = options.get("gracePeriodSeconds")
        if asked is None:
            # A repeated deletion that names no grace leaves the first one's as it is.
            return int(old["metadata"].get("deletionGracePeriodSeconds", default))
        # Kubernetes takes a negative grace for one second, not for none.
        return int(asked) if asked >= 0 else 1

    def _may_go(self, kind: Kind, obj: Object) -> bool:
        metadata = obj["metadata"]
        return (
            not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds") and not kind.holds_deletion(obj)
        )

    async def _remove(self, kind: Kind, base: Record, obj: Object) -> None:
        obj = {**obj, "metadata": dict(obj["metadata"])}
        try:
            await self.store.delete(kind.key_prefix, base.key, _with_revision(obj), base, obj)
        except StorageFullError as error:
            raise errors.status_error(507, "InternalError", str(error)) from error
        except StorageError as error:
            raise errors.internal_error(str(error)) from error

    async def delete_collection(self, request: APIRequest, kind: Kind) -> ListAnswer:
        """Delete every object that a list with these parameters would show."""
        options = self.delete_options(request)
        chosen = self._selection(request, kind)
        found = [r for r in self.store.collection(kind.key_prefix).range(self._under(request, kind)) if chosen.selects(r)]
        for record in found:
            base: Record | None = record
            while base is not None:
                try:
                    await self._delete(request, kind, base, options)
                    break
                except ConflictError:
                    base = self.store.latest(kind.key_prefix, record.key)
        return ListAnswer(kind, found, self.store.revision)


def _is_renewal(new: Object, old: Object) -> bool:
    from navarch.api.coordination.lease import is_renewal

    return is_renewal(new, old)


def _deleted_status(kind: Kind, old: Object) -> Object:
    details = {"name": meta.name(old), "group": kind.group, "kind": kind.plural, "uid": meta.uid(old)}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def _unapplicable(type_: str, error: patch.PatchError) -> StatusError:
    """What a patch that cannot be applied is answered with."""
    if isinstance(error, patch.TooManyOperationsError):
        return errors.status_error(413, "RequestEntityTooLarge", str(error))
    if type_ == "application/json-patch+json" and not isinstance(error, patch.MalformedError):
        # Kubernetes does not say which operation did not apply.
        message = "the server rejected our request due to an error in our request"
        return errors.status_error(422, "Invalid", message, {})
    return errors.bad_request(str(error))


_PATCHES: dict[str, Callable[[Object, Any, Any], Any]] = {
    "application/json-patch+json": lambda current, changes, schema: patch.json_patch(current, changes),
    "application/merge-patch+json": lambda current, changes, schema: patch.merge_patch(current, _mapping(changes)),
    "application/strategic-merge-patch+json": patch.strategic_merge_patch,
}


def _mapping(changes: Any) -> Object:
    if not isinstance(changes, dict):
        raise patch.PatchError("a merge patch must be an object")
    return changes


def _write_continue(revision: int, key: str, under: str) -> str:
    token = {"v": "meta.k8s.io/v1", "rv": revision, "start": key.removeprefix(under)}
    return base64.urlsafe_b64encode(orjson.dumps(token)).rstrip(b"=").decode()


def _read_continue(token: str, under: str) -> tuple[int, str]:
    try:
        value = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        start, revision = value["start"], value["rv"]
        if value["v"] != "meta.k8s.io/v1" or not isinstance(start, str) or type(revision) is not int:
            raise ValueError(token)
    except (ValueError, KeyError, TypeError):
        raise errors.bad_request("continue key is not valid: encoded continue token is not valid") from None
    return revision, start if start.startswith(under) else under + start
