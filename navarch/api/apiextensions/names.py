"""Which of the names that a definition asks for it gets: each is one definition's in its group (the naming and establishing
controllers of apiextensions-apiserver). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from navarch.api.apiextensions import approval, definitionrules
from navarch.api.apiextensions.customresourcedefinition import ESTABLISHED, NAMES_ACCEPTED, with_condition
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object

CONFORMANT = "KubernetesAPIApprovalPolicyConformant"
_REASONS = {
    "plural": "PluralConflict",
    "singular": "SingularConflict",
    "shortNames": "ShortNamesConflict",
    "kind": "KindConflict",
    "listKind": "ListKindConflict",
}


def named(definition: Object, others: Iterable[Object], now: str) -> Object:
    """The definition with the names that it gets beside `others` of its group, and the conditions that say so."""
    spec, status = definition["spec"], definition.get("status") or {}
    protected = _with_approval(definition, now)
    if spec["names"] == status.get("acceptedNames") and meta.is_condition_true(definition, ESTABLISHED):
        return protected
    accepted, conflicts = _accept(spec["names"], status.get("acceptedNames") or {}, list(others))
    names = _condition(NAMES_ACCEPTED, now, *(conflicts[-1] if conflicts else (True, "NoConflicts", "no conflicts found")))
    found = meta.set_path(protected, accepted, "status", "acceptedNames")
    return with_condition(with_condition(found, names), _established(definition, now, is_accepted=not conflicts))


def _accept(wanted: Object, present: Object, others: list[Object]) -> tuple[Object, list[tuple[bool, str, str]]]:
    """The names it gets, and for each that it does not get: (False, reason, message)."""
    taken = [(other.get("status") or {}).get("acceptedNames") or {} for other in others]
    resources = {
        name for names in taken for name in (names.get("plural"), names.get("singular"), *(names.get("shortNames") or ()))
    }
    kinds = {name for names in taken for name in (names.get("kind"), names.get("listKind"))}
    own = {present.get("plural"), present.get("singular"), *(present.get("shortNames") or ())}
    accepted, conflicts = dict(present), []
    for field, reason in _REASONS.items():
        used = kinds if field in ("kind", "listKind") else resources
        asked = list(_listed(wanted.get(field)))
        free = own if field == "shortNames" else {present.get(field)}
        in_use = [f'"{name}" is already in use' for name in asked if name in used and name not in free]
        if in_use:
            text = in_use[0] if len(in_use) == 1 else f"[{', '.join(in_use)}]"
            conflicts.append((False, reason, text))
        elif field in wanted:
            accepted[field] = wanted[field]
        else:
            accepted.pop(field, None)
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    else:
        accepted.pop("categories", None)
    return accepted, conflicts


def _listed(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        yield from value
    elif value:
        yield value


def _established(definition: Object, now: str, *, is_accepted: bool) -> Object:
    """Once established, a definition stays so whatever becomes of its names."""
    present = meta.condition(definition, ESTABLISHED)
    if present is not None and present.get("status") == "True":
        return present
    if not is_accepted:
        return present or _condition(ESTABLISHED, now, False, "NotAccepted", "not all names are accepted")
    if not definitionrules.has_usable_bundle(definition):
        return _condition(ESTABLISHED, now, False, "InvalidCABundle", "The conversion webhook CABundle is invalid")
    return _condition(ESTABLISHED, now, True, "InitialNamesAccepted", "the initial names have been accepted")


def _with_approval(definition: Object, now: str) -> Object:
    """In groups of Kubernetes, a condition says who approved it."""
    if not approval.is_protected(definition["spec"].get("group", "")):
        return definition
    state, text = approval.approval(meta.annotations(definition))
    return with_condition(definition, _condition(CONFORMANT, now, state is approval.Approval.APPROVED, state.value, text))


def _condition(type_: str, now: str, status: bool, reason: str, message: str) -> Object:
    return {
        "type": type_,
        "status": "True" if status else "False",
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
