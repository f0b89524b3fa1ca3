"""Security contexts of pods and containers: validation (k8s.io/kubernetes/pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required

ID_LIMIT = 2**31 - 1
SECCOMP_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
GROUP_CHANGE_POLICIES = ("Always", "OnRootMismatch")
PROC_MOUNTS = ("Default", "Unmasked")


def validate_pod_context(context: Object, path: str) -> Iterator[FieldError]:
    yield from _ids(context, path, ("runAsUser", "runAsGroup", "fsGroup"))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from _id(group, f"{path}.supplementalGroups[{index}]")
    policy = context.get("fsGroupChangePolicy")
    if policy is not None and policy not in GROUP_CHANGE_POLICIES:
        yield not_supported(f"{path}.fsGroupChangePolicy", policy, GROUP_CHANGE_POLICIES)
    for index, sysctl in enumerate(context.get("sysctls") or ()):
        if not sysctl.get("name"):
            yield required(f"{path}.sysctls[{index}].name")
    yield from _seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")


def validate_container_context(context: Object, path: str) -> Iterator[FieldError]:
    yield from _ids(context, path, ("runAsUser", "runAsGroup"))
    mount = context.get("procMount")
    if mount is not None and mount not in PROC_MOUNTS:
        yield not_supported(f"{path}.procMount", mount, PROC_MOUNTS)
    yield from _seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield invalid_value(path, context, text)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield invalid_value(path, context, text)


def _ids(context: Object, path: str, fields: tuple[str, ...]) -> Iterator[FieldError]:
    for field in fields:
        if context.get(field) is not None:
            yield from _id(context[field], f"{path}.{field}")


def _id(number: int, path: str) -> Iterator[FieldError]:
    if not 0 <= number <= ID_LIMIT:
        yield invalid_value(path, number, f"must be between 0 and {ID_LIMIT}, inclusive")


def _seccomp(profile: Object | None, path: str) -> Iterator[FieldError]:
    if profile is None:
        return
    type_, localhost = profile.get("type", ""), profile.get("localhostProfile")
    if not type_:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    elif type_ not in SECCOMP_TYPES:
        yield not_supported(f"{path}.type", type_, SECCOMP_TYPES)
    elif type_ == "Localhost" and not localhost:
        yield required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
    elif type_ != "Localhost" and localhost is not None:
        yield invalid_value(f"{path}.localhostProfile", localhost, "can only be set when seccomp type is Localhost")
