"""Checks of the kernel's own means of confinement: AppArmor, SELinux, seccomp, sysctls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.podsecurity.check import (
    Annotations,
    Check,
    CheckPod,
    Violation,
    containers,
    except_for,
    is_windows,
    named,
    names,
    part,
    plural,
    quoted,
    security,
    setters,
    shown,
)
from navarch.apiserver.admission.podsecurity.levels import BASELINE, RESTRICTED

APP_ARMOR_PREFIX = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_PREFIX = "container.seccomp.security.alpha.kubernetes.io/"
PROFILE_TYPES = frozenset({"RuntimeDefault", "Localhost"})
SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t"})
SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_syncookies",
    }
)
SYSCTLS_27 = SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
SYSCTLS_29 = SYSCTLS_27 | {
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
}
SYSCTLS_32 = SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}


def _type(holder: Object, profile: str) -> str | None:
    """The type of a profile, "" if it has none; None without the profile."""
    found = part(holder, profile)
    return None if found is None else found.get("type") or ""


def _bad_types(holders: Iterable[Object], profile: str) -> list[tuple[Object, str]]:
    """Those with a profile that is not confined as the runtime or the node would have it, each with its type."""
    found = ((holder, _type(holder, profile)) for holder in holders)
    return [(holder, type_) for holder, type_ in found if type_ is not None and type_ not in PROFILE_TYPES]


def app_armor(annotations: Annotations, spec: Object) -> Violation | None:
    whole, some = (_bad_types(holders, "appArmorProfile") for holders in ([spec], containers(spec)))
    annotated = sorted(
        shown(key, value)
        for key, value in annotations.items()
        if key.startswith(APP_ARMOR_PREFIX) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    found = setters(bool(whole), names(container for container, _ in some))
    who = [*([found] if found else []), *([plural("annotation", "annotations", len(annotated))] if annotated else [])]
    values = [*sorted({type_ for _, type_ in (*whole, *some)}), *annotated]
    if not values:
        return None
    reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", len(values))
    return Violation(reason, f"{' and '.join(who)} must not set AppArmor profile type to {quoted(values)}")


def selinux_options(allowed: frozenset[str]) -> CheckPod:
    def bad(holder: Object) -> Mapping[str, str]:
        """What is wrong with its options, by field."""
        options = part(holder, "seLinuxOptions") or meta.EMPTY
        found = {field: options.get(field) or "" for field in ("type", "user", "role")}
        return {field: value for field, value in found.items() if value and (field != "type" or value not in allowed)}

    def check(annotations: Annotations, spec: Object) -> Violation | None:
        every = [bad(holder) for holder in (spec, *containers(spec))]
        who = setters(bool(every[0]), names(each for each, found in zip(containers(spec), every[1:], strict=True) if found))
        if not who:
            return None
        types = sorted({found["type"] for found in every if "type" in found})
        said = [f"{plural('type', 'types', len(types))} {quoted(types)}"] if types else []
        said += [f"{field} may not be set" for field in ("user", "role") if any(field in found for found in every)]
        return Violation("seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(said)}")

    return check


def seccomp_annotations(annotations: Annotations, spec: Object) -> Violation | None:
    keys = {SECCOMP_POD, *(SECCOMP_PREFIX + name for name in names(containers(spec)))} & annotations.keys()
    bad = sorted(
        shown(key, annotations[key])
        for key in keys
        if annotations[key] not in ("runtime/default", "docker/default") and not annotations[key].startswith("localhost/")
    )
    if not bad:
        return None
    return Violation("seccompProfile", f"forbidden {plural('annotation', 'annotations', len(bad))} {', '.join(bad)}")


def seccomp_baseline(annotations: Annotations, spec: Object) -> Violation | None:
    whole, some = (_bad_types(holders, "seccompProfile") for holders in ([spec], containers(spec)))
    who = setters(bool(whole), names(container for container, _ in some))
    types = quoted(sorted({type_ for _, type_ in (*whole, *some)}))
    return Violation("seccompProfile", f"{who} must not set securityContext.seccompProfile.type to {types}") if who else None


def seccomp_restricted(annotations: Annotations, spec: Object) -> Violation | None:
    found = seccomp_baseline(annotations, spec)
    if found is not None or _type(spec, "seccompProfile") is not None:
        return found
    missing = names(each for each in containers(spec) if _type(each, "seccompProfile") is None)
    detail = f'pod or {named(missing)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", detail) if missing else None


def sysctls(allowed: frozenset[str]) -> CheckPod:
    def check(annotations: Annotations, spec: Object) -> Violation | None:
        found = security(spec).get("sysctls")
        bad = [name for name in names(found if isinstance(found, list) else ()) if name not in allowed]
        return Violation("forbidden sysctls", ", ".join(bad)) if bad else None

    return check


CHECKS = (
    Check("appArmorProfile", BASELINE, ((0, app_armor),)),
    Check(
        "seLinuxOptions",
        BASELINE,
        ((0, selinux_options(SELINUX_TYPES)), (31, selinux_options(SELINUX_TYPES | {"container_engine_t"}))),
    ),
    Check("seccompProfile_baseline", BASELINE, ((0, seccomp_annotations), (19, seccomp_baseline))),
    Check(
        "sysctls",
        BASELINE,
        ((0, sysctls(SYSCTLS)), (27, sysctls(SYSCTLS_27)), (29, sysctls(SYSCTLS_29)), (32, sysctls(SYSCTLS_32))),
    ),
    Check(
        "seccompProfile_restricted",
        RESTRICTED,
        ((19, seccomp_restricted), (25, except_for(is_windows, seccomp_restricted))),
        overrides="seccompProfile_baseline",
    ),
)
