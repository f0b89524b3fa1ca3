"""metadata.managedFields: after each write of an object it says who manages which fields (apimachinery.apply has the rules).

What is managed is what the client sent and the kind's defaults, not what admission and the server add to it. An object that
says of nobody stays so until somebody applies to it. Clients may write managedFields themselves, as to migrate from
client-side apply; an empty list, or one empty entry, makes the server forget all. Nonsense counts as not written.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from functools import lru_cache

import orjson

from navarch.api import registry, schemas
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.apply import fields, lastapplied, managers, structure
from navarch.apimachinery.apply.fields import Fields
from navarch.apimachinery.apply.managers import ApplyConflictError, Claim, Claims, ManagersError, Versions, Writer
from navarch.apimachinery.apply.structure import Structure, StructureError
from navarch.apimachinery.decoding import decode
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.remember import Shared
from navarch.apimachinery.unmarshal import DecodeError
from navarch.apiserver.options import MANAGER_LIMIT_BYTES
from navarch.apiserver.request import APIRequest
from navarch.component import clock

logger = logging.getLogger(__name__)

PRODUCTS_REMEMBERED = 256
SHAPES_REMEMBERED = 512
# What is larger is seldom like another, and would be kept whole.
SHAPE_KEYS_LIMIT, SHAPE_LIST_LIMIT_BYTES = 128, 1024
FIELD = "managedFields"
SERVER = "kube-apiserver"


# Whose write it is


def _manager_name(request: APIRequest) -> str:
    """What the client calls itself: in the request, or else in the first part of its user agent."""
    name = request.option("fieldManager")
    if name:
        return name
    return _product(request.headers.get("user-agent", "").partition("/")[0])


@lru_cache(PRODUCTS_REMEMBERED)
def _product(product: str) -> str:
    printable = "".join(character for character in product if character.isprintable())
    return printable.encode()[:MANAGER_LIMIT_BYTES].decode(errors="ignore")


def writer(request: APIRequest, api_version: str, subresource: str = "", resets: Fields | None = None) -> Writer:
    """Who makes a request, in which version."""
    return Writer(_manager_name(request), api_version, clock.timestamp(), subresource, resets or {})


def _writer(request: APIRequest, kind: Kind, subresource: str) -> Writer:
    return writer(request, kind.api_version, subresource, _resets(kind.stored, subresource))


@lru_cache(schemas.KINDS_REMEMBERED)
def _resets(kind: Kind, subresource: str) -> Fields:
    """The fields that a write of the object or of one of its subresources leaves as they are."""
    if subresource == "status":
        kept = [("f:metadata", f"f:{field}") for field in kind.status_keeps_metadata]
        return fields.of(*kept, *((f"f:{field}",) for field in kind.spec_fields or ("spec",)))
    return fields.of(("f:status",)) if "status" in kind.subresources else {}


class _Versions:
    """The versions in which the objects of a kind are served."""

    def __init__(self, kind: Kind) -> None:
        known = kind.family() if kind.family is not None else registry.kinds()
        siblings = (sibling for sibling in known if kind.family is not None or sibling.stored is kind.stored)
        self._kinds = {served.api_version: served for served in (*siblings, kind.stored, kind)}
        self._structures: dict[str, Structure] = {}
        self._made: dict[Hashable, Fields] = {}

    def structure(self, api_version: str) -> Structure | None:
        found = self._structures.get(api_version)
        if found is None and (kind := self._kinds.get(api_version)) is not None:
            found = self._structures[api_version] = structure.of(schemas.of(kind))
        return found

    def convert(self, obj: Object, source: str, target: str) -> Object:
        """Raises StructureError for what is none of its kind, as only what is applied may be."""
        if source == target or not obj:
            return obj
        if self._kinds[source].is_custom:
            return {**obj, "apiVersion": target}
        # As far as it goes: what was taken away is there as Go would have it.
        try:
            whole: Object = decode(obj, schemas.of(self._kinds[source])).object
        except DecodeError as error:
            raise StructureError(str(error)) from None
        return self._kinds[target].from_stored(self._kinds[source].to_stored(whole))

    def made(self, new: Object, kind: Kind, who: Writer) -> Fields:
        """What who makes an object, in its stored form, manages of it. Raises StructureError."""
        shape = _shape(new)
        found = self._made.get((kind.api_version, shape)) if shape is not None else None
        if found is None:
            taken_apart = self.structure(who.api_version)
            assert taken_apart is not None, "a kind is served in the version of the request"
            found = Shared(managers.create(without_managers(kind.from_stored(new)), who, taken_apart))
            if len(self._made) >= SHAPES_REMEMBERED:
                self._made.clear()
            if shape is not None:
                self._made[kind.api_version, shape] = found
        return found


def _shape(obj: Object) -> Hashable | None:
    """All that decides what an object's maker manages of it: which fields there are, which of them are empty, and lists.

    None if that is much.
    """
    if len(obj) > SHAPE_KEYS_LIMIT:
        return None
    parts: list[Hashable] = []
    for key, value in obj.items():
        kind = type(value)
        if kind is str and value:
            continue  # Most are such, of which only the field counts.
        if kind is dict:
            below = _shape(value)
            if below is None:
                return None
            parts.append((key, below))
        elif kind is Shared:
            parts.append((key, value.number))
        elif kind is list:
            items = orjson.dumps(value)
            if len(items) > SHAPE_LIST_LIMIT_BYTES:
                return None
            parts.append((key, items))
        elif not value:
            parts.append((key, None))
    return tuple(obj), tuple(parts)


@lru_cache(schemas.KINDS_REMEMBERED)
def _versions(kind: Kind) -> _Versions:
    return _Versions(kind)


# Updates


def _log(kind: Kind, text: str, *arguments: object) -> None:
    """Say that an object is not as its kind has it. What users define is judged only now, and refused then."""
    logger.log(logging.DEBUG if kind.is_custom else logging.ERROR, text, *arguments)


def created(request: APIRequest, kind: Kind, obj: Object) -> Object:
    """A new object, in its stored form, with its managers."""
    who = _writer(request, kind, "")
    try:
        made = _versions(kind).made(obj, kind, who)
    except StructureError as error:
        _log(kind, "%s %s: nobody manages it: %s", kind.resource, meta.key(obj), error)
        made = {}
    claims = {who.manager(managers.UPDATE): Claim(made, who.api_version, who.time)} if made else {}
    return with_managers(obj, managers.encode(claims))


def updated(request: APIRequest, kind: Kind, new: Object, old: Object, subresource: str) -> Object:
    """The next version of a stored object, with its managers."""
    claims = _claims(new, old, subresource)
    return _updated(kind, new, old, claims, _writer(request, kind, subresource)) if claims else with_managers(new, [])


def updated_by_server(kind: Kind, new: Object, old: Object, subresource: str) -> Object:
    """The same of what the server itself writes."""
    who = Writer(SERVER, kind.api_version, clock.timestamp(), subresource, _resets(kind.stored, subresource))
    claims = managers.decode(old["metadata"].get(FIELD) or ())
    return _updated(kind, new, old, claims, who) if claims else with_managers(new, [])


def _updated(kind: Kind, new: Object, old: Object, claims: Claims, who: Writer) -> Object:
    before, after = kind.from_stored(without_managers(old)), kind.from_stored(without_managers(new))
    try:
        claims = managers.update(claims, before, after, who, _versions(kind))
    except StructureError as error:
        _log(kind, "%s %s: its managers stay as they were: %s", kind.resource, meta.key(new), error)
    return with_managers(new, managers.encode(claims))


def _claims(new: Object, old: Object, subresource: str) -> Claims:
    """The managers to go on from: those of the old version, unless the client has written others."""
    before, sent = old["metadata"].get(FIELD), new["metadata"].get(FIELD)
    if not subresource and sent is not None and sent != before:
        if sent in ([], [{}]):
            return {}
        try:
            return managers.decode_foreign(sent)
        except ManagersError:
            # As if the client did not know of them.
            pass
    return managers.decode(before or ())


def without_managers(obj: Object) -> Object:
    """A copy that does not say who manages it: managedFields is nobody's field."""
    metadata = dict(obj["metadata"])
    metadata.pop(FIELD, None)
    return {**obj, "metadata": metadata}


def with_managers(obj: Object, entries: list[Object]) -> Object:
    """A copy with these managers; none is written as nothing."""
    return {**obj, "metadata": {**obj["metadata"], FIELD: entries}} if entries else without_managers(obj)


def is_same(new: Object, old: Object) -> bool:
    """Whether nothing but the times of managers differs: such a write is none."""
    there, then = new["metadata"].get(FIELD) or [], old["metadata"].get(FIELD) or []
    if with_managers(new, then) != old or len(there) != len(then):
        return False
    return there == then or all({**one, "time": ""} == {**other, "time": ""} for one, other in zip(there, then, strict=True))


# Apply


def _refuse_invalid(config: Object, name: str, api_version: str, versions: Versions) -> None:
    """Whether `config` may be applied to an object of the kind of that name. Raises 400 (for a wrong field Kubernetes says the
    same with 500, as if it were the server's fault)."""
    if (config.get("apiVersion"), config.get("kind")) != (api_version, name):
        raise errors.bad_request(f"invalid object type: {_type(config)}")
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get(FIELD), list):
        raise errors.bad_request("metadata.managedFields must be nil")
    found = versions.structure(api_version)
    assert found is not None, "a kind is served in the version of the request"
    try:
        structure.refuse(found, config)
    except StructureError as error:
        known = metadata if isinstance(metadata, dict) else {}
        place = "/".join(value if isinstance(value, str) else "" for value in map(known.get, ("namespace", "name")))
        shown = f"{place}; {_type(config)}"
        raise errors.bad_request(f"failed to create typed patch object ({shown}): {error}") from None


def _type(config: Object) -> str:
    """apiVersion and kind as Go shows them."""
    version, kind = config.get("apiVersion"), config.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str) or version.count("/") > 1:
        return "/, Kind="
    group, _, last = version.rpartition("/")
    return f"{group}/{last}, Kind={kind}"


def applied(request: APIRequest, kind: Kind, live: Object, config: Object, subresource: str) -> Object:
    """A configuration applied to an object as `kind` serves it ({}: to none), with its managers. Raises 400, 409.

    Fields may be null that are to have their default.
    """
    claims = managers.decode((live.get("metadata") or {}).get(FIELD) or ())
    bare = without_managers(live) if live else live
    who, versions = _writer(request, kind, subresource), _versions(kind)
    new, claims = apply(request, claims, bare, config, kind.kind, who, versions)
    # Who gives up all metadata, the name with it, gives up the object: it is refused for want of a name.
    return with_managers({**new, "metadata": new.get("metadata") or {}}, managers.encode(claims))


def apply(
    request: APIRequest, claims: Claims, live: Object, config: Object, name: str, who: Writer, versions: Versions
) -> tuple[Object, Claims]:
    """The same of anything of which the managers are known; `name` is that of its kind. Raises 400, 409."""
    _refuse_invalid(config, name, who.api_version, versions)
    try:
        return lastapplied.apply(claims, live, config, who, versions, force=request.flag("force"))
    except ApplyConflictError as error:
        raise _conflict(error) from None
    except StructureError as error:
        raise errors.bad_request(f"failed to merge config: {error}") from None


def _conflict(error: ApplyConflictError) -> StatusError:
    """409 in Kubernetes' words."""
    found = [
        (str(manager), [fields.path_text(path) for path in fields.paths(disputed)])
        for manager, disputed in error.conflicts.items()
    ]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, paths in found
        for path in paths
    ]
    if len(causes) == 1:
        text = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = [line for manager, paths in found for line in (f"conflicts with {manager}:", *(f"- {path}" for path in paths))]
        text = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return errors.status_error(409, "Conflict", text, {"causes": causes})
