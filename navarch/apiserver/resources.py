"""Writes of stored objects: what create and update mean for any kind; patches and subresources end here too.

Rules shared by all kinds (metadata, generations, preconditions, finalizers) are here; what is particular to a kind is in its
`Kind`. Reads see what is published, writes build on the newest staged version. Where a kind's objects are stored in another
version, everything between decoding and answering is about the stored form (`kind.stored`).
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import orjson

from navarch.api import objectmeta, schemas
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, remember
from navarch.apimachinery.decoding import decode
from navarch.apimachinery.errors import FieldError, Object, StatusError
from navarch.apiserver import body, fieldmanagement, options, preconditions
from navarch.apiserver.admission.chain import AdmissionChain, Attributes
from navarch.apiserver.freshness import storage_errors
from navarch.apiserver.reading import Reading
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.requestinfo import RequestInfo
from navarch.component import clock
from navarch.storage.changes import Record, Write
from navarch.storage.mvcc import ConflictError
from navarch.storage.store import Store

if TYPE_CHECKING:
    from navarch.apiserver.webhookclient import WebhookClient

NAME_GENERATION_ATTEMPTS = 8
# Of many that change one object at once, all come to their turn.
WRITE_ATTEMPTS = 100
OBJECT_LIMIT_BYTES = 1_572_864
MISMATCHED_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"

Transform = Callable[[Object], Object | None]


class Allocator(Protocol):
    """Hands out what a kind's objects need of the server, such as addresses."""

    def allocate(self, new: Object, old: Object | None) -> Object:
        """`new` with what it needs. Raises 422 for what cannot be had."""

    def beside(self, new: Object | None, old: Object | None) -> list[Write]:
        """What is written in the same commit as `new` in the place of `old`; None where there is no such version."""


class Guard(Protocol):
    """Knows what is wrong with a kind's objects in view of what is around them, and of who writes them."""

    def problems(self, attributes: Attributes, obj: Object, old: Object | None) -> Iterable[FieldError]:
        """What comes before all that is wrong with the object itself."""


def encode(obj: Object) -> bytes:
    """An object's bytes, in memory no larger than they are."""
    # orjson's result keeps the buffer it grew; a copy through memoryview has just its size.
    return bytes(memoryview(remember.encoded(obj)))


def versioned(obj: Object, *, keeps_managers: bool = True) -> Callable[[int | None], bytes]:
    """What encodes `obj` with its revision, or (None) without. `obj` is changed with it.

    Unless it `keeps_managers`, they are left out where the object would be too large with them.
    """

    def data(revision: int | None) -> bytes:
        if revision is None:
            obj["metadata"].pop("resourceVersion", None)
        else:
            obj["metadata"]["resourceVersion"] = str(revision)
        encoded = encode(obj)
        if len(encoded) > OBJECT_LIMIT_BYTES and not keeps_managers and obj["metadata"].pop("managedFields", None):
            encoded = encode(obj)
        if len(encoded) > OBJECT_LIMIT_BYTES:
            raise errors.request_entity_too_large(OBJECT_LIMIT_BYTES)
        return encoded

    return data


def _differs(new: Object, old: Object, path: str) -> bool:
    """Whether what is at the path changes; nothing and something empty are the same."""
    now, before = (meta.get_path(obj, *path.split(".")) for obj in (new, old))
    return now != before and bool(now or before)


def check_namespace(info: RequestInfo, metadata: Object) -> None:
    """Raises 400 if what is sent is of another namespace than the one on the URL."""
    if (metadata.get("namespace") or info.namespace) != info.namespace:
        raise errors.bad_request(MISMATCHED_NAMESPACE)


def check_name(info: RequestInfo, metadata: Object) -> None:
    """Raises 400 unless what is sent has the name on the URL."""
    name = metadata.get("name")
    if not name:
        text = f"the name of the object ({info.name} based on URL) was undeterminable: name must be provided"
        raise errors.bad_request(text)
    if name != info.name:
        raise errors.bad_request(f"the name of the object ({name}) does not match the name on the URL ({info.name})")


class Resources:
    """Stored objects of every kind, under the rules of the API."""

    def __init__(self, store: Store, admission: AdmissionChain, webhooks: WebhookClient) -> None:
        self.store = store
        self.reading = Reading(store)
        self.admission = admission
        self.webhooks = webhooks
        self.allocators: dict[Kind, Allocator] = {}
        self.guards: dict[Kind, Guard] = {}

    def latest(self, kind: Kind, namespace: str, name: str) -> Record:
        """The version a write builds on. Raises 404."""
        record = self.store.latest(kind.key_prefix, kind.key(namespace, name))
        if record is None:
            raise errors.not_found(kind.group, kind.plural, name)
        return record

    def to_stored(self, kind: Kind, obj: Object) -> Object:
        """A decoded object in the form in which it is stored. Raises 422 where its own version's rules forbid it."""
        if kind.stored_as is None:
            return obj
        obj = kind.default(obj)
        self._refuse_invalid(kind, obj, list(kind.validate(obj)))
        return kind.to_stored(obj)

    # Create

    async def create(self, request: APIRequest, kind: Kind) -> ObjectAnswer:
        options.check_writing(request)
        obj = body.decode_object(request, kind)
        return await self.create_object(request, kind, obj)

    async def create_object(
        self, request: APIRequest, kind: Kind, obj: Object, *, knows_managers: bool = False
    ) -> ObjectAnswer:
        """Store a new object, decoded and pruned already. `knows_managers`: it says who manages its fields."""
        namespace = request.info.namespace
        preconditions.check_unversioned(obj)
        obj = self.to_stored(kind, obj)
        metadata = self._own_metadata(kind.stored, obj, namespace)
        if not knows_managers:
            metadata.pop("managedFields", None)
        generate = metadata.get("generateName", "") if not metadata.get("name") else ""
        for attempt in range(NAME_GENERATION_ATTEMPTS):
            candidate = {**obj, "metadata": dict(metadata)}
            if generate:
                candidate["metadata"]["name"] = generate[: objectmeta.GENERATED_NAME_BASE_LIMIT] + clock.name_suffix()
            try:
                return await self._create(request, kind, candidate, namespace, knows_managers)
            except StatusError as error:
                if not (generate and error.is_already_exists):
                    raise
                if attempt == NAME_GENERATION_ATTEMPTS - 1:
                    raise errors.generate_name_conflict(kind.group, kind.plural, meta.name(candidate)) from None
        raise AssertionError("unreachable")

    def _own_metadata(self, kind: Kind, obj: Object, namespace: str) -> Object:
        """Metadata of a new object, with what the server sets and without what it alone may set."""
        metadata: Object = dict(obj["metadata"])
        for field in ("selfLink", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds"):
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

    async def _create(self, request: APIRequest, kind: Kind, obj: Object, namespace: str, knows_managers: bool) -> ObjectAnswer:
        rules = kind.stored
        if "status" in rules.subresources and not rules.keeps_status_on_create:
            obj.pop("status", None)
            obj |= orjson.loads(_empty_status(rules))
        obj = rules.default(obj)
        if not knows_managers:
            obj = fieldmanagement.created(request, kind, obj)
        attributes = Attributes(request, kind, "CREATE", namespace, meta.name(obj))
        obj = await self.admission.mutate(attributes, obj, None)
        request.warn(rules.early_warnings(obj))
        obj = rules.prepare_create(obj)
        problems = [*self._guarded(attributes, obj, None), *objectmeta.validate(rules, obj), *rules.validate(obj)]
        validate_create = kind.validate_create or rules.validate_create
        if validate_create is not None:
            problems += await _judged(rules, validate_create, obj)
        self._refuse_invalid(kind, obj, problems)
        request.warn(rules.warnings(obj, None))
        return await self.admission.store_accepted(attributes, obj, None, self._store_new, request, kind, obj, knows_managers)

    async def _store_new(self, request: APIRequest, kind: Kind, obj: Object, knows_managers: bool) -> ObjectAnswer:
        name, rules = meta.name(obj), kind.stored
        key = kind.key(meta.namespace(obj), name)
        for _ in range(WRITE_ATTEMPTS):
            if self.store.latest(kind.key_prefix, key) is not None:
                break
            try:
                new = self._allocated(rules, obj, None)
                if request.dry_run:
                    return ObjectAnswer.of(kind, obj=new, status=201)
                record = await self.put(kind, key, new, None, keeps_managers=knows_managers)
                return ObjectAnswer.of(kind, record, new, 201)
            except ConflictError:
                if rules not in self.allocators:
                    break
                # Either the name is taken, or what was handed out was taken by another server meanwhile.
                with storage_errors:
                    await self.store.fresh()
        raise errors.already_exists(kind.group, kind.plural, name)

    def _guarded(self, attributes: Attributes, obj: Object, old: Object | None) -> Iterable[FieldError]:
        guard = self.guards.get(attributes.kind.stored)
        return guard.problems(attributes, obj, old) if guard is not None else ()

    def _allocated(self, kind: Kind, obj: Object, old: Object | None) -> Object:
        """`obj` with what its kind's allocator hands out. It is claimed only when it is staged: nothing may run before."""
        allocator = self.allocators.get(kind)
        return allocator.allocate(obj, old) if allocator is not None else obj

    def _refuse_invalid(self, kind: Kind, obj: Object, problems: list[FieldError]) -> None:
        if problems:
            name = meta.name(obj) or obj["metadata"].get("generateName", "")
            raise errors.invalid(kind.group, kind.kind, name, problems)

    async def put(
        self, kind: Kind, key: str, obj: Object, base: Record | None, *, lazy: bool = False, keeps_managers: bool = True
    ) -> Record:
        """Store the next version of `base` (None: the first). Raises ConflictError."""
        write = Write(kind.key_prefix, key, versioned(obj, keeps_managers=keeps_managers), base, obj)
        with storage_errors:
            if lazy:
                return (await self.store.put(write.prefix, key, write.data, base, obj, lazy=True)).record
            first, *_ = await self.store.write([write, *self._beside(kind, obj, base)])
            return first.record

    async def remove(self, kind: Kind, base: Record, obj: Object) -> None:
        """Delete `base` from the store; `obj` is its last state. Raises ConflictError."""
        obj = {**obj, "metadata": dict(obj["metadata"])}
        write = Write(kind.key_prefix, base.key, versioned(obj), base, obj, deletes=True)
        with storage_errors:
            await self.store.write([write, *self._beside(kind, None, base)])

    def _beside(self, kind: Kind, new: Object | None, base: Record | None) -> list[Write]:
        allocator = self.allocators.get(kind.stored)
        return allocator.beside(new, base.object() if base is not None else None) if allocator is not None else []

    # Update

    async def update(self, request: APIRequest, kind: Kind, subresource: str = "") -> ObjectAnswer:
        """PUT of the object or of its status."""
        options.check_writing(request)
        obj = body.decode_object(request, kind)
        info, metadata = request.info, obj["metadata"]
        if kind.namespaced:
            check_namespace(info, metadata)
            metadata["namespace"] = info.namespace
        check_name(info, metadata)
        key = kind.key(info.namespace, info.name)
        for _ in range(WRITE_ATTEMPTS):
            base = self.store.latest(kind.key_prefix, key)
            if base is None:
                if not kind.stored.allow_create_on_update or not preconditions.is_any_version(obj) or subresource:
                    raise errors.not_found(kind.group, kind.plural, info.name)
                request.also_needs("create")
                return await self.create_object(request, kind, obj)
            old = self._old(kind, base, subresource)
            preconditions.check_uid(kind, obj, old)
            preconditions.check_version(kind, obj, info.name, str(base.revision))
            try:
                new = self.to_stored(kind, {**obj, "metadata": dict(metadata)})
                return await self._replace(request, kind, new, base, old, subresource)
            except ConflictError:
                # If it is the object that has changed, and not only something beside it, the next turn says so.
                continue
        raise errors.conflict(kind.group, kind.plural, info.name, errors.MODIFIED)

    async def change(
        self,
        request: APIRequest,
        kind: Kind,
        transform: Transform,
        *,
        subresource: str = "",
        version: str = "",
        knows_managers: bool = False,
    ) -> ObjectAnswer:
        """Read, transform, write; again on conflict unless the caller named a version. None from `transform`: no change.

        `transform` is given the stored form and returns it. `knows_managers`: what it returns says who manages its fields;
        otherwise the request's client manages what differs.
        """
        info = request.info
        for attempt in range(WRITE_ATTEMPTS):
            base = self.latest(kind, info.namespace, info.name)
            if version and version != str(base.revision):
                raise errors.conflict(kind.group, kind.plural, info.name, errors.MODIFIED)
            old = self._old(kind, base, subresource)
            new = transform(old)
            if new is None:
                return ObjectAnswer.of(kind, base)
            try:
                return await self._replace(request, kind, new, base, old, subresource, knows_managers=knows_managers)
            except ConflictError:
                if attempt == WRITE_ATTEMPTS - 1:
                    raise errors.conflict(kind.group, kind.plural, info.name, errors.MODIFIED) from None
        raise AssertionError("unreachable")

    def _old(self, kind: Kind, base: Record, subresource: str) -> Object:
        """What is replaced; beside a status, of which nothing is changed, the one that all share."""
        return _pooled(kind.stored, self.store.decoded(base)) if subresource == "status" else base.object()

    async def _replace(
        self,
        request: APIRequest,
        kind: Kind,
        obj: Object,
        base: Record,
        old: Object,
        subresource: str,
        *,
        knows_managers: bool = False,
    ) -> ObjectAnswer:
        """Store `obj` as the next version of `base`, which is `old`. Raises ConflictError if another write came between."""
        rules = kind.stored
        update = rules.subresource_updates.get(subresource)
        if not subresource:
            obj = rules.default(obj)
        elif update is not None:
            sent = obj["metadata"].get(fieldmanagement.FIELD, [])
            obj = fieldmanagement.with_managers(update.prepare(obj, old), sent)
        if not knows_managers:
            obj = fieldmanagement.updated(request, kind, obj, old, subresource)
        obj = self._carry_over(rules, obj, old, subresource)
        attributes = Attributes(request, kind, "UPDATE", request.info.namespace, request.info.name, subresource)
        obj = await self.admission.mutate(attributes, obj, old)
        if attributes.is_changed:
            # Who was asked may have changed what such a request cannot.
            if update is not None:
                obj = fieldmanagement.with_managers(update.prepare(obj, old), obj["metadata"].get(fieldmanagement.FIELD, []))
            obj = self._carry_over(rules, dict(obj), old, subresource)
        problems = [*self._guarded(attributes, obj, old), *objectmeta.validate_update(obj, old)]
        problems += objectmeta.validate(rules, obj)
        if subresource == "status":
            problems += await _judged(rules, rules.validate_status_update, obj, old)
        elif update is not None:
            problems += update.validate(obj, old)
        elif not subresource:
            problems += _new_problems(rules, obj, old)
            validate_update = kind.validate_update or rules.validate_update
            if validate_update is not None:
                problems += await _judged(rules, validate_update, obj, old)
        self._refuse_invalid(kind, obj, problems)
        if not subresource:
            request.warn(rules.warnings(obj, old))
        elif subresource == "status":
            request.warn(rules.status_warnings(obj, old))
        return await self.admission.store_accepted(
            attributes, obj, old, self._store_replaced, request, kind, obj, base, old, knows_managers, subresource
        )

    async def _store_replaced(
        self,
        request: APIRequest,
        kind: Kind,
        obj: Object,
        base: Record,
        old: Object,
        keeps_managers: bool,
        subresource: str,
    ) -> ObjectAnswer:
        if not subresource:
            obj = self._allocated(kind.stored, obj, old)
        obj["metadata"] = {**obj["metadata"], "resourceVersion": old["metadata"]["resourceVersion"]}
        if fieldmanagement.is_same(obj, old) and not self.store.is_stale(base.key):
            return ObjectAnswer.of(kind, base, old)
        if request.dry_run:
            return ObjectAnswer.of(kind, obj=obj)
        if meta.being_deleted(obj) and may_go(kind.stored, obj):
            await self.remove(kind, base, obj)
            return ObjectAnswer.of(kind, obj=obj)
        lazy = kind.stored.is_lazy_update(obj, old)
        record = await self.put(kind, base.key, obj, base, lazy=lazy, keeps_managers=keeps_managers)
        return ObjectAnswer.of(kind, record, obj)

    def _carry_over(self, kind: Kind, obj: Object, old: Object, subresource: str) -> Object:
        """What an update may not touch comes from the stored object."""
        before, metadata = old["metadata"], dict(obj["metadata"])
        metadata.pop("selfLink", None)
        for field in ("creationTimestamp", "generation"):
            metadata.pop(field, None)
        if subresource == "status" and kind.graceful_seconds is not None:
            # Kubelets sent it along once.
            metadata.pop("deletionTimestamp", None)
        # What else is sent in the place of these is for validation to refuse.
        for field in ("creationTimestamp", "deletionTimestamp", "generation"):
            if field in before:
                metadata[field] = before[field]
        for field in ("uid", "deletionGracePeriodSeconds"):
            if field in before and metadata.get(field) in (None, ""):
                metadata[field] = before[field]
        obj = {**obj, "metadata": metadata}
        if subresource == "status":
            for field in kind.status_keeps_metadata:
                metadata.pop(field, None)
                if field in before:
                    metadata[field] = before[field]
            kept = {field: value for field, value in old.items() if field not in ("status", "metadata")}
            status = {"status": obj["status"]} if "status" in obj else orjson.loads(_empty_status(kind))
            obj = {**kept, "metadata": metadata, **status}
            if kind.prepare_status_update is not None:
                obj = kind.prepare_status_update(obj, old)
            if kind.stamp_status_update is not None:
                obj = kind.stamp_status_update(obj, old, clock.timestamp())
            return obj
        if not subresource:
            obj = self._carry_over_all(kind, obj, old)
        # Where a pod goes is not what somebody wants of it: a binding counts for nothing.
        counts = kind.has_generation and subresource != "binding"
        if counts and any(_differs(obj, old, field) for field in kind.spec_fields):
            obj["metadata"] = {**obj["metadata"], "generation": before.get("generation", 0) + 1}
        return obj

    def _carry_over_all(self, kind: Kind, obj: Object, old: Object) -> Object:
        if "status" in kind.subresources:
            obj.pop("status", None)
            if "status" in old:
                obj["status"] = old["status"]
        if kind.prepare_update is not None:
            obj = kind.prepare_update(obj, old)
        return obj


def _new_problems(kind: Kind, obj: Object, old: Object) -> list[FieldError]:
    """What is wrong with an object and was not before: what was stored under older rules can still be changed."""
    problems = list(kind.validate(obj))
    if problems:
        known = set(kind.validate(kind.default(copy.deepcopy(old))))
        problems = [problem for problem in problems if problem not in known]
    return problems


async def _judged(kind: Kind, judge: Callable[..., Iterable[FieldError]], *objects: Object) -> list[FieldError]:
    """What is wrong with an object; in a thread if finding that out may take long, so that others get their turn."""
    if kind.is_slow is None or not kind.is_slow():
        return list(judge(*objects))
    return await asyncio.get_running_loop().run_in_executor(None, lambda: list(judge(*objects)))


def _pooled(kind: Kind, old: Object) -> Object:
    """A stored object that nobody changes, with what recurs in many being one object for all of them: then not each has its
    own for the garbage collector to look at, nor is it encoded for each."""
    recurring = schemas.of(kind).recurring
    return {**old, **{key: _POOL(old[key]) for key in recurring if key in old}} if recurring else old


_POOL = remember.shared(lambda value: value)


def may_go(kind: Kind, obj: Object) -> bool:
    """Whether nothing holds an object that is being deleted any more."""
    metadata = obj["metadata"]
    return not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds") and not kind.holds_deletion(obj)


@lru_cache(schemas.KINDS_REMEMBERED)
def _empty_status(kind: Kind) -> bytes:
    """What Go writes of a status in which nothing is set; a status that need not be there is left out."""
    schema = schemas.of(kind)
    if "status" not in schema.written:
        return b"{}"
    status = schema.properties["status"]
    return orjson.dumps({"status": decode(status.written, status).object})
