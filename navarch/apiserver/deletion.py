"""delete and deletecollection: at once, or by marking an object that finalizers or a grace period hold."""

from __future__ import annotations

from datetime import timedelta

from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.apiserver import body, preconditions
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.options import check_deleting
from navarch.apiserver.request import APIRequest, ListAnswer, ObjectAnswer
from navarch.apiserver.resources import WRITE_ATTEMPTS, Resources, may_go
from navarch.component import clock
from navarch.storage.changes import Record
from navarch.storage.mvcc import ConflictError

# Whoever asks for more means never, and the clock has no such times.
GRACE_LIMIT_SECONDS = 1 << 31
DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"


async def delete(resources: Resources, request: APIRequest, kind: Kind) -> ObjectAnswer:
    """Delete one object: at once, or by marking it where finalizers or a grace period hold it."""
    options = delete_options(request)
    info = request.info
    for attempt in range(WRITE_ATTEMPTS):
        base = resources.latest(kind, info.namespace, info.name)
        try:
            return await _delete(resources, request, kind, base, options)
        except ConflictError:
            if attempt == WRITE_ATTEMPTS - 1:
                raise errors.conflict(kind.group, kind.plural, info.name, errors.MODIFIED) from None
    raise AssertionError("unreachable")


def delete_options(request: APIRequest) -> Object:
    """DeleteOptions: the body, or the query where there is none. Raises 400 and 422."""
    if request.body or request.decoded is not None:
        options = body.decode_options(request, DELETE_OPTIONS)
    else:
        options = _queried_options(request)
    check_deleting(options)
    # Where there is a body, the query counts for nothing.
    request.query = {**request.query, "dryRun": list(options.get("dryRun") or ())}
    return options


def _queried_options(request: APIRequest) -> Object:
    options: Object = {"dryRun": request.query.get("dryRun") or []}
    if "gracePeriodSeconds" in request.query:
        options["gracePeriodSeconds"] = request.integer("gracePeriodSeconds")
    if "orphanDependents" in request.query:
        options["orphanDependents"] = request.flag("orphanDependents")
    if "propagationPolicy" in request.query:
        options["propagationPolicy"] = request.option("propagationPolicy")
    return options


async def _delete(resources: Resources, request: APIRequest, kind: Kind, base: Record, options: Object) -> ObjectAnswer:
    # What is written is a copy, down to what differs.
    old, rules = resources.store.decoded(base), kind.stored
    preconditions.check_deletion(kind, old, options.get("preconditions") or {})
    attributes = Attributes(request, kind, "DELETE", meta.namespace(old), meta.name(old), options=options)
    await resources.admission.validate(attributes, None, old)
    new = _marked(rules, old, options)
    if new is not None and not may_go(rules, new):
        # Only whoever asked in the older way for dependents to go is told that it takes time.
        status = 202 if options.get("orphanDependents") is False else 200
        if request.dry_run:
            return ObjectAnswer.of(kind, obj=new, status=status)
        record = base if new == old else await resources.put(kind, base.key, new, base)
        return ObjectAnswer.of(kind, record, new, status=status)
    if not request.dry_run:
        await resources.remove(kind, base, new or old)
    if rules.returns_deleted:
        return ObjectAnswer.of(kind, obj=new or old)
    return ObjectAnswer(kind, object=_deleted_status(kind, old))


def _marked(kind: Kind, old: Object, options: Object) -> Object | None:
    """The object with deletion begun, `old` where it has begun and goes on as it is, None where nothing has to be said."""
    grace, metadata = _grace(kind, old, options), dict(old["metadata"])
    left = metadata.get("deletionGracePeriodSeconds", 0)
    if left and grace >= left:
        # A second deletion may only shorten the grace of the first.
        return old
    finalizers = _deletion_finalizers(kind, old, options)
    if not finalizers and kind.graceful_seconds is None and not kind.holds_deletion(old):
        return None
    if "deletionTimestamp" not in metadata:
        metadata["deletionTimestamp"] = meta.format_time(clock.now() + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
        if kind.has_generation:
            metadata["generation"] = metadata.get("generation", 0) + 1
    elif left:
        moved = meta.parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=left - grace)
        metadata["deletionTimestamp"] = meta.format_time(moved)
        metadata["deletionGracePeriodSeconds"] = grace
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    return kind.prepare_deletion({**old, "metadata": metadata})


def _deletion_finalizers(kind: Kind, old: Object, options: Object) -> list[str]:
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


def _grace(kind: Kind, old: Object, options: Object) -> int:
    asked = options.get("gracePeriodSeconds")
    if asked is not None:
        # Kubernetes takes a negative grace for one second, not for none.
        asked = min(int(asked), GRACE_LIMIT_SECONDS) if asked >= 0 else 1
    if "deletionTimestamp" in old["metadata"]:
        left = int(old["metadata"].get("deletionGracePeriodSeconds", 0))
        return left if asked is None else asked
    default = kind.graceful_seconds(old) if kind.graceful_seconds is not None else None
    if default is None:
        return 0
    return default if asked is None else asked


async def delete_collection(resources: Resources, request: APIRequest, kind: Kind) -> ListAnswer:
    """Delete every object that a list with these parameters would show."""
    options = delete_options(request)
    for name in ("limit", "timeoutSeconds"):
        request.integer(name)
    chosen = resources.reading.selection(request, kind)
    under = resources.reading.under(request, kind)
    found = chosen.choose(resources.store.collection(kind.key_prefix).range(under, labels=chosen.encoded_labels))
    for record in found:
        base: Record | None = record
        while base is not None:
            try:
                await _delete(resources, request, kind, base, options)
                break
            except ConflictError:
                base = resources.store.latest(kind.key_prefix, record.key)
    return ListAnswer(kind, found, resources.store.revision)


def _deleted_status(kind: Kind, old: Object) -> Object:
    details = {"name": meta.name(old), "group": kind.group, "kind": kind.plural, "uid": meta.uid(old)}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }
