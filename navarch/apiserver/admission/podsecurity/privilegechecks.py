"""Checks of who a pod's processes are and what they may do."""

from __future__ import annotations

from collections.abc import Sequence

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.podsecurity.check import (
    Annotations,
    Check,
    Violation,
    containers,
    except_for,
    has_user_namespace,
    is_windows,
    named,
    names,
    part,
    quoted,
    security,
    setters,
)
from navarch.apiserver.admission.podsecurity.levels import BASELINE, RESTRICTED

DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
"""What container runtimes grant, without NET_RAW."""


def privileged(annotations: Annotations, spec: Object) -> Violation | None:
    bad = names(container for container in containers(spec) if security(container).get("privileged"))
    return Violation("privileged", f"{named(bad)} must not set securityContext.privileged=true") if bad else None


def allow_privilege_escalation(annotations: Annotations, spec: Object) -> Violation | None:
    bad = names(each for each in containers(spec) if security(each).get("allowPrivilegeEscalation") is not False)
    detail = f"{named(bad)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail) if bad else None


def _capabilities(container: Object, verb: str) -> Sequence[str]:
    return (part(container, "capabilities") or meta.EMPTY).get(verb) or ()


def _adding(spec: Object, allowed: frozenset[str]) -> str:
    """What is said of containers that add other capabilities; "" if none does."""
    added = {index: set(_capabilities(each, "add")) - allowed for index, each in enumerate(containers(spec))}
    bad = names(each for index, each in enumerate(containers(spec)) if added[index])
    which = quoted(sorted(set().union(*added.values())))
    return f"{named(bad)} must not include {which} in securityContext.capabilities.add" if bad else ""


def capabilities_baseline(annotations: Annotations, spec: Object) -> Violation | None:
    detail = _adding(spec, DEFAULT_CAPABILITIES)
    return Violation("non-default capabilities", detail) if detail else None


def capabilities_restricted(annotations: Annotations, spec: Object) -> Violation | None:
    keeping = names(each for each in containers(spec) if "ALL" not in _capabilities(each, "drop"))
    details = [f'{named(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    adding = _adding(spec, frozenset({"NET_BIND_SERVICE"}))
    if adding:
        details.append(adding)
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def run_as_non_root(annotations: Annotations, spec: Object) -> Violation | None:
    reason, whole = "runAsNonRoot != true", security(spec).get("runAsNonRoot")
    explicit = names(each for each in containers(spec) if security(each).get("runAsNonRoot") is False)
    who = setters(whole is False, explicit)
    if who:
        return Violation(reason, f"{who} must not set securityContext.runAsNonRoot=false")
    implicit = names(each for each in containers(spec) if not whole and security(each).get("runAsNonRoot") is None)
    return Violation(reason, f"pod or {named(implicit)} must set securityContext.runAsNonRoot=true") if implicit else None


def run_as_user(annotations: Annotations, spec: Object) -> Violation | None:
    bad = names(each for each in containers(spec) if security(each).get("runAsUser") == 0)
    who = setters(security(spec).get("runAsUser") == 0, bad)
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def proc_mount(annotations: Annotations, spec: Object) -> Violation | None:
    found = [(name, security(each).get("procMount")) for each in containers(spec) for name in names([each])]
    bad = [(name, str(mount)) for name, mount in found if mount is not None and mount != "Default"]
    types = quoted(sorted({mount for _, mount in bad}))
    who = named([name for name, _ in bad])
    return Violation("procMount", f"{who} must not set securityContext.procMount to {types}") if bad else None


CHECKS = (
    Check("privileged", BASELINE, ((0, privileged),)),
    Check("capabilities_baseline", BASELINE, ((0, capabilities_baseline),)),
    Check("procMount", BASELINE, ((0, proc_mount), (35, except_for(has_user_namespace, proc_mount)))),
    Check(
        "allowPrivilegeEscalation",
        RESTRICTED,
        ((8, allow_privilege_escalation), (25, except_for(is_windows, allow_privilege_escalation))),
    ),
    Check(
        "capabilities_restricted",
        RESTRICTED,
        ((22, capabilities_restricted), (25, except_for(is_windows, capabilities_restricted))),
        overrides="capabilities_baseline",
    ),
    # What the baseline allows since then stays forbidden here.
    Check("procMount_restricted", RESTRICTED, ((35, proc_mount),), overrides="procMount"),
    Check("runAsNonRoot", RESTRICTED, ((0, run_as_non_root), (35, except_for(has_user_namespace, run_as_non_root)))),
    Check("runAsUser", RESTRICTED, ((23, run_as_user), (35, except_for(has_user_namespace, run_as_user)))),
)
