"""RoleBinding: who has a role in one namespace. ClusterRoleBinding keeps to the same rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.internalform import invalid_struct
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required

GROUP = "rbac.authorization.k8s.io"
# Kind of a subject -> the group its name belongs to.
SUBJECTS = {"ServiceAccount": "", "User": GROUP, "Group": GROUP}


def default(binding: Object) -> Object:
    if not binding["roleRef"].get("apiGroup"):
        binding["roleRef"]["apiGroup"] = GROUP
    for subject in binding.get("subjects") or ():
        if not subject.get("apiGroup") and SUBJECTS.get(subject["kind"]):
            subject["apiGroup"] = SUBJECTS[subject["kind"]]
    return binding


def validate(binding: Object) -> Iterator[FieldError]:
    yield from validate_binding(binding, ("Role", "ClusterRole"), namespaced=True)


def validate_binding(binding: Object, roles: Sequence[str], *, namespaced: bool) -> Iterator[FieldError]:
    """A binding to one of these kinds of role."""
    reference = binding["roleRef"]
    if reference["apiGroup"] != GROUP:
        yield not_supported("roleRef.apiGroup", reference["apiGroup"], (GROUP,))
    if reference["kind"] not in roles:
        yield not_supported("roleRef.kind", reference["kind"], roles)
    if not reference["name"]:
        yield required("roleRef.name")
    else:
        yield from (invalid_value("roleRef.name", reference["name"], text) for text in names.path_segment(reference["name"]))
    for index, subject in enumerate(binding.get("subjects") or ()):
        yield from _subject(subject, f"subjects[{index}]", namespaced)


def _subject(subject: Object, path: str, namespaced: bool) -> Iterator[FieldError]:
    kind, name, group = subject["kind"], subject["name"], subject.get("apiGroup", "")
    if not name:
        yield required(f"{path}.name")
    if kind not in SUBJECTS:
        yield not_supported(f"{path}.kind", kind, SUBJECTS)
        return
    if not name and kind != "ServiceAccount":
        yield invalid_value(f"{path}.name", name, f"{kind.lower()} name cannot be empty")
    if name and kind == "ServiceAccount":
        yield from (invalid_value(f"{path}.name", name, text) for text in names.dns1123_subdomain(name))
    if group != SUBJECTS[kind]:
        yield not_supported(f"{path}.apiGroup", group, (SUBJECTS[kind],))
    if kind == "ServiceAccount" and not namespaced and not subject.get("namespace"):
        yield required(f"{path}.namespace")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new["roleRef"] != old["roleRef"]:
        yield invalid_struct("roleRef", new["roleRef"], "io.k8s.api.rbac.v1.RoleRef", "cannot change roleRef")


def row(binding: Object, now: datetime) -> list[Any]:
    reference = binding["roleRef"]
    subjects: dict[str, list[str]] = {kind: [] for kind in SUBJECTS}
    for subject in binding.get("subjects") or ():
        space = f"{subject['namespace']}/" if subject.get("namespace") and subject["kind"] == "ServiceAccount" else ""
        subjects[subject["kind"]].append(f"{space}{subject['name']}")
    return [
        binding["metadata"]["name"],
        f"{reference['kind']}/{reference['name']}",
        printing.age(binding, now),
        *(", ".join(subjects[kind]) for kind in ("User", "Group", "ServiceAccount")),
    ]


COLUMNS = (
    NAME,
    Column("Role"),
    AGE,
    Column("Users", priority=1),
    Column("Groups", priority=1),
    Column("ServiceAccounts", priority=1),
)
KIND = Kind(
    group=GROUP,
    version="v1",
    kind="RoleBinding",
    plural="rolebindings",
    validate_name=names.path_segment,
    default=default,
    validate=validate,
    validate_update=validate_update,
    allow_create_on_update=True,
    columns=COLUMNS,
    row=row,
)
