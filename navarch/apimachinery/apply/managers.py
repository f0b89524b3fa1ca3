"""What a write does to the managers of an object's fields, and what an applied configuration does to the object.

Rules: who changes a field by an update manages it, and nobody else does any more; what an update removes is nobody's. Who
applies a configuration manages exactly the fields in it, together with others who want the same value; another value is a
conflict with them, unless it is forced, which takes the field from them. What somebody applied before and no longer does goes
from the object, unless others manage it too. A manager without a field is none.

Objects are given as the writer's version of their kind has them. Nothing that is given is changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from navarch.apimachinery.apply import fields
from navarch.apimachinery.apply.fields import LEAF, Fields, FieldsError
from navarch.apimachinery.apply.structure import Structure, refuse
from navarch.apimachinery.errors import Object

APPLY = "Apply"
UPDATE = "Update"
FIELDS_TYPE = "FieldsV1"
UNKNOWN = "unknown"
BEFORE_FIRST_APPLY = "before-first-apply"
ANCIENT_CHANGES = "ancient-changes"
UPDATE_MANAGERS_LIMIT = 10
_UNMANAGED_METADATA = (
    *("name", "namespace", "creationTimestamp", "selfLink", "uid"),
    *("clusterName", "generation", "managedFields", "resourceVersion"),
)
UNMANAGED = fields.of(
    *((f"f:{field}",) for field in ("apiVersion", "kind", "metadata")),
    *(("f:metadata", f"f:{field}") for field in _UNMANAGED_METADATA),
)
"""Fields that are nobody's."""


class Manager(NamedTuple):
    """Who manages: what tells one entry of metadata.managedFields from another."""

    name: str
    operation: str
    api_version: str
    """"" for who applies, whose entry stays the same in whatever version."""
    subresource: str = ""

    @property
    def identifier(self) -> str:
        """What Kubernetes orders managers by."""
        parts = {"manager": self.name, "operation": self.operation, "apiVersion": self.api_version}
        written = {**parts, "subresource": self.subresource}
        return "{" + ",".join(f'"{key}":{fields.to_json(value)}' for key, value in written.items() if value) + "}"

    def __str__(self) -> str:
        shown = json.dumps(self.name, ensure_ascii=False)
        if self.subresource:
            shown += f" with subresource {json.dumps(self.subresource, ensure_ascii=False)}"
        return f"{shown} using {self.api_version}" if self.operation == UPDATE else shown


class Claim(NamedTuple):
    """What somebody manages."""

    fields: Fields
    api_version: str
    """The version in which these are the fields."""
    time: str = ""
    """Of the last change; "" is unknown."""


Claims = dict[Manager, Claim]


class Versions(Protocol):
    """The versions of a kind."""

    def structure(self, api_version: str) -> Structure | None:
        """How objects of a version are taken apart; None where there is no such version any more."""

    def convert(self, obj: Object, source: str, target: str) -> Object:
        """An object of one version as another has it. {}, and whatever lacks what it needs, is converted as far as it goes."""


@dataclass(frozen=True, slots=True)
class OneVersion:
    """The `Versions` of a kind that has but one."""

    api_version: str
    taken_apart: Structure

    def structure(self, api_version: str) -> Structure | None:
        return self.taken_apart if api_version == self.api_version else None

    def convert(self, obj: Object, source: str, target: str) -> Object:
        return obj


class Writer(NamedTuple):
    """Whose write it is."""

    name: str
    api_version: str
    time: str
    """Now."""
    subresource: str = ""
    resets: Fields = LEAF
    """Fields that a write of this kind cannot change, whatever it says."""

    def manager(self, operation: str) -> Manager:
        return Manager(self.name or UNKNOWN, operation, self.api_version if operation == UPDATE else "", self.subresource)


class ManagersError(ValueError):
    """metadata.managedFields that cannot be read."""


class ApplyConflictError(Exception):
    """Others manage fields that the configuration sets to another value."""

    def __init__(self, conflicts: Mapping[Manager, Fields]) -> None:
        super().__init__(f"{len(conflicts)} conflicts")
        self.conflicts = conflicts


# The form that objects carry


def decode(entries: Iterable[Any]) -> Claims:
    """metadata.managedFields that the server has written."""
    claims = {}
    for entry in entries:
        operation, version = entry["operation"], entry["apiVersion"]
        applied = operation == APPLY
        manager = Manager(entry.get("manager", ""), operation, "" if applied else version, entry.get("subresource", ""))
        claims[manager] = Claim(entry["fieldsV1"], version, entry.get("time", ""))
    return claims


def decode_foreign(entries: Any) -> Claims:
    """metadata.managedFields that a client has written. Raises ManagersError."""
    claims: Claims = {}
    for index, entry in enumerate(entries):
        if entry.get("operation") not in (APPLY, UPDATE):
            raise ManagersError("operation must be `Apply` or `Update`")
        if not entry.get("apiVersion"):
            raise ManagersError("apiVersion must not be empty")
        type_ = entry.get("fieldsType", "")
        if type_ != FIELDS_TYPE:
            raise ManagersError(
                f'invalid fieldsType "{type_}" in managed fields entry {index}'
                if type_
                else f"missing fieldsType in managed fields entry {index}"
            )
        try:
            claims |= decode([{**entry, "fieldsV1": fields.decode(entry.get("fieldsV1"))}])
        except FieldsError as error:
            raise ManagersError(f"error decoding set: {error}") from None
    return claims


def encode(claims: Claims) -> list[Object]:
    """As metadata.managedFields has them: who applies first, then by time."""
    entries = [_entry(manager, claim) for manager, claim in claims.items()]
    if len(entries) > 1:
        entries.sort(key=_entry_order)
    return entries


def _entry(manager: Manager, claim: Claim) -> Object:
    entry: Object = {"manager": manager.name, "operation": manager.operation, "apiVersion": claim.api_version}
    if not manager.name:
        del entry["manager"]
    if claim.time:
        entry["time"] = claim.time
    entry["fieldsType"] = FIELDS_TYPE
    entry["fieldsV1"] = claim.fields
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry


def _entry_order(entry: Object) -> tuple[str, ...]:
    # Times are all in UTC and of one form: their order is that of their texts.
    manager, subresource = entry.get("manager", ""), entry.get("subresource", "")
    return entry["operation"], entry.get("time", ""), manager, entry["apiVersion"], subresource


# Updates


class _Change:
    """The difference between two objects of the writer's version, as each version has it."""

    def __init__(self, old: Object, new: Object, writer: Writer, versions: Versions) -> None:
        self._old = old
        # What the write resets need not be gone through, however much it is.
        reset = {step[2:] for step, node in writer.resets.items() if not node}
        kept = {key: old[key] for key in reset if key in old}
        self._new = {**{key: value for key, value in new.items() if key not in reset}, **kept} if reset else new
        self._writer = writer
        self._versions = versions
        self._known: dict[str, tuple[Fields, Fields] | None] = {}

    def at(self, api_version: str) -> tuple[Fields, Fields] | None:
        """Fields added or changed, and fields removed; None where there is no such version."""
        if api_version not in self._known:
            self._known[api_version] = self._compare(api_version)
        return self._known[api_version]

    def _compare(self, api_version: str) -> tuple[Fields, Fields] | None:
        structure, written = self._versions.structure(api_version), self._writer.api_version
        if structure is None:
            return None
        old = self._versions.convert(self._old, written, api_version)
        new = self._versions.convert(self._new, written, api_version)
        changed, removed = _compared(structure, old, new)
        resets = self._writer.resets
        return fields.without(changed or {}, resets), fields.without(removed or {}, resets)


def _compared(structure: Structure, old: Object, new: Object) -> tuple[Fields | None, Fields | None]:
    """Fields added or changed, and fields removed. Raises StructureError."""
    try:
        return structure.compare(old, new)
    except (AttributeError, LookupError, TypeError):
        # Kinds that users define are judged only later by the types that they say they have. If it is not that, it is worse.
        for obj in (old, new):
            refuse(structure, obj)
        raise


def create(new: Object, writer: Writer, structure: Structure) -> Fields:
    """What who makes an object manages of it. Raises StructureError."""
    return fields.difference(fields.without(_compared(structure, {}, new)[0] or {}, writer.resets), UNMANAGED)


def update(claims: Claims, old: Object, new: Object, writer: Writer, versions: Versions) -> Claims:
    """After `old` became `new` ({} before it was made). Raises StructureError."""
    change, me = _Change(old, new, writer, versions), writer.manager(UPDATE)
    own = change.at(writer.api_version)
    assert own is not None, "a kind is served in the version of the request"
    mine = fields.difference(own[0], UNMANAGED)
    if not mine:
        return _capped(_taken_away(claims, change))
    result = _taken_away(claims, change, but=me)
    if me in claims:
        mine = fields.union(fields.difference(claims[me].fields, own[1]), mine)
    result[me] = Claim(mine, writer.api_version, writer.time)
    return _capped(result)


def _taken_away(claims: Claims, change: _Change, but: Manager | None = None) -> Claims:
    """Without what changed or is gone."""
    result = {}
    for manager, claim in claims.items():
        if manager != but:
            touched = change.at(claim.api_version)
            if touched is None:
                continue
            left = fields.difference(fields.difference(claim.fields, touched[0]), touched[1])
            if left is not claim.fields:
                claim = claim._replace(fields=left)
        if claim.fields:
            result[manager] = claim
    return result


def _capped(claims: Claims) -> Claims:
    """With the oldest updates merged, as many as there are too many; each version has its own that take them up."""
    updates = [manager for manager in claims if manager.operation == UPDATE]
    excess = len(updates) - UPDATE_MANAGERS_LIMIT
    if excess <= 0:
        return claims
    result = dict(claims)
    firsts: dict[str, Manager] = {}
    for manager in sorted(updates, key=lambda manager: (claims[manager].time, manager.identifier)):
        claim = claims[manager]
        first = firsts.setdefault(claim.api_version, manager)
        bucket = Manager(ANCIENT_CHANGES, UPDATE, claim.api_version)
        if manager in (first, bucket):
            continue
        if bucket not in result:
            result[bucket] = result.pop(first)
        merged = fields.union(claim.fields, result[bucket].fields)
        del result[manager]
        result[bucket] = Claim(merged, claim.api_version, claim.time)
        excess -= 1
        if not excess:
            break
    return result


# Apply


def apply(
    claims: Claims, live: Object, config: Object, writer: Writer, versions: Versions, *, force: bool = False
) -> tuple[Object, Claims]:
    """The object with `config` (which `structure.refuse` has let through) applied, and its managers then.

    `live` is {} where there is none yet. Fields that are to have their default are null in the object. Raises
    ApplyConflictError, StructureError.
    """
    if not claims and live:
        # Nobody has managed this object: whatever is there was there before.
        claims = update({}, {}, live, writer._replace(name=BEFORE_FIRST_APPLY), versions)
    structure = versions.structure(writer.api_version)
    assert structure is not None, "a kind is served in the version of the request"
    me = writer.manager(APPLY)
    last = claims.get(me)
    mine = fields.without(structure.fields(config) or {}, writer.resets)
    wanted = {**claims, me: Claim(mine, writer.api_version, last.time if last else "")}
    new = structure.merge(live, config)
    if last is not None:
        new = _pruned(new, wanted, writer, last, versions)
    change = _Change(live, new, writer, versions)
    if not force:
        _refuse_conflicts(wanted, me, change)
    if new != live:
        wanted[me] = wanted[me]._replace(time=writer.time)
    result = _taken_away(wanted, change, but=me)
    own = fields.difference(mine, UNMANAGED)
    if own:
        result[me] = wanted[me]._replace(fields=own)
    else:
        result.pop(me, None)
    return new, result


def _refuse_conflicts(claims: Claims, me: Manager, change: _Change) -> None:
    conflicts = {}
    for manager, claim in claims.items():
        touched = change.at(claim.api_version)
        if manager != me and touched is not None:
            disputed = fields.intersection(claim.fields, touched[0])
            if disputed:
                conflicts[manager] = disputed
    if conflicts:
        raise ApplyConflictError(dict(sorted(conflicts.items(), key=lambda item: item[0].identifier)))


def _pruned(merged: Object, claims: Claims, writer: Writer, last: Claim, versions: Versions) -> Object:
    """`merged` without what `last` managed and nobody does any more."""
    version = last.api_version
    structure = versions.structure(version)
    if structure is None:
        return merged
    if version == writer.api_version and not fields.difference(last.fields, claims[writer.manager(APPLY)].fields):
        # Who applies gives up nothing.
        return merged
    whole = versions.convert(merged, writer.api_version, version)
    before = structure.named(last.fields)
    pruned = structure.remove(whole, before) or {}
    managed: dict[str, Fields] = {version: {}}
    for claim in claims.values():
        managed[claim.api_version] = fields.union(managed.get(claim.api_version, {}), claim.fields)
    for other, theirs in managed.items():
        pruned = _with_managed(whole, pruned, version, theirs, other, versions)
    # What nobody managed before stays, too.
    gone = fields.intersection(_lost(structure, whole, pruned, {}), before)
    return versions.convert(structure.remove(whole, gone) or {}, version, writer.api_version)


def _with_managed(whole: Object, pruned: Object, version: str, managed: Fields, other: str, versions: Versions) -> Object:
    """`pruned`, of `version`, with what it has lost of `whole` although it is managed, in terms of the `other` version."""
    structure = versions.structure(other)
    if structure is None:
        return pruned
    whole, pruned = versions.convert(whole, version, other), versions.convert(pruned, version, other)
    kept = structure.remove(whole, _lost(structure, whole, pruned, managed)) or {}
    return versions.convert(kept, other, version)


def _lost(structure: Structure, whole: Object, pruned: Object, managed: Fields) -> Fields:
    """The fields of `whole` that `pruned` has not and that are not `managed`."""
    present, kept = structure.fields(whole) or {}, structure.fields(pruned) or {}
    stays = fields.union(structure.named(kept), structure.named(managed))
    return fields.difference(structure.named(present), stays)
