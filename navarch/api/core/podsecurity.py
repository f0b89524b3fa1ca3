"""Security contexts of pods and containers, host namespaces, operating systems: validation.

The rules are those of k8s.io/kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api import internalform
from navarch.api.core import windowsoptions
from navarch.api.core.podlists import visit
from navarch.api.core.volumesource import descending_path
from navarch.apimachinery import meta
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_long,
)

_CONTEXT = f"{internalform.CORE}SecurityContext"
ID_LIMIT = 2**31 - 1
PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
GROUP_CHANGE_POLICIES = ("Always", "OnRootMismatch")
SUPPLEMENTAL_GROUPS_POLICIES = ("Merge", "Strict")
# The other one, MountOption, is not offered unless somebody asks for it (KEP-1710).
SELINUX_CHANGE_POLICIES = ("Recursive",)
PROC_MOUNTS = ("Default", "Unmasked")
OPERATING_SYSTEMS = ("linux", "windows")
APPARMOR_PROFILE_LIMIT_BYTES = 4095
SYSCTL_LIMIT = 253
_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"^({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}$"
_SYSCTL_RE = re.compile(_SYSCTL.removesuffix("$") + r"\Z")
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "fs.mqueue.")


def validate_pod_context(context: Mapping[str, Any], spec: Object, path: str) -> Iterator[FieldError]:
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        yield from validate_id(context.get(field), f"{path}.{field}")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from validate_id(group, f"{path}.supplementalGroups[{index}]")
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        # Within the server, what a pod shares is a matter of its security context.
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid_value(f"{path}.shareProcessNamespace", True, text)
    if context.get("sysctls"):
        yield from _sysctls(context["sysctls"], spec, f"{path}.sysctls")
    yield from _one_of(context, "fsGroupChangePolicy", GROUP_CHANGE_POLICIES, path)
    if context.get("seccompProfile") is not None:
        yield from _seccomp(context["seccompProfile"], f"{path}.seccompProfile")
    if context.get("windowsOptions") is not None:
        yield from windowsoptions.validate(context["windowsOptions"], f"{path}.windowsOptions")
    if context.get("appArmorProfile") is not None:
        yield from validate_apparmor(context["appArmorProfile"], f"{path}.appArmorProfile")
    yield from _one_of(context, "supplementalGroupsPolicy", SUPPLEMENTAL_GROUPS_POLICIES, path)
    yield from _one_of(context, "seLinuxChangePolicy", SELINUX_CHANGE_POLICIES, path)


def validate_container_context(context: Object, path: str, *, host_users: bool) -> Iterator[FieldError]:
    for field in ("runAsUser", "runAsGroup"):
        yield from validate_id(context.get(field), f"{path}.{field}")
    mount = context.get("procMount")
    if mount is not None:
        if mount not in PROC_MOUNTS:
            yield not_supported(f"{path}.procMount", mount, PROC_MOUNTS)
        elif host_users and mount == "Unmasked":
            yield invalid_value(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    if context.get("seccompProfile") is not None:
        yield from _seccomp(context["seccompProfile"], f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        begun = "cannot set `allowPrivilegeEscalation` to false and"
        if context.get("privileged"):
            yield internalform.invalid_struct(path, context, _CONTEXT, f"{begun} `privileged` to true")
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or meta.EMPTY).get("add") or ()):
            text = f"{begun} `capabilities.Add` CAP_SYS_ADMIN"
            yield internalform.invalid_struct(path, context, _CONTEXT, text)
    if context.get("windowsOptions") is not None:
        yield from windowsoptions.validate(context["windowsOptions"], f"{path}.windowsOptions")
    if context.get("appArmorProfile") is not None:
        yield from validate_apparmor(context["appArmorProfile"], f"{path}.appArmorProfile")


def _one_of(context: Mapping[str, Any], field: str, supported: tuple[str, ...], path: str) -> Iterator[FieldError]:
    value = context.get(field)
    if value is not None and value not in supported:
        yield not_supported(f"{path}.{field}", value, supported)


def validate_id(number: int | None, path: str) -> Iterator[FieldError]:
    """The number of a user or group."""
    if number is not None and not 0 <= number <= ID_LIMIT:
        yield invalid_value(path, number, f"must be between 0 and {ID_LIMIT}, inclusive")


def sysctl_namespace(name: str) -> str:
    """``net`` or ``ipc``, if a sysctl belongs to that namespace of a pod; "" if it is the node's."""
    name = _with_dots(name)
    if name.startswith("net."):
        return "net"
    return "ipc" if name.startswith(_IPC_SYSCTLS) or name == "kernel.sem" else ""


def _with_dots(name: str) -> str:
    """A sysctl's name separated by dots; in one that is separated by slashes, dots stand for themselves."""
    separator = re.search(r"[./]", name)
    if separator is None or separator.group() == ".":
        return name
    return name.translate(str.maketrans("./", "/."))


def _sysctls(sysctls: list[Object], spec: Object, path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        where, name = f"{path}[{index}].name", sysctl.get("name", "")
        if not name:
            yield required(where)
        elif len(name) > SYSCTL_LIMIT or not _SYSCTL_RE.match(name):
            yield invalid_value(where, name, f"must have at most {SYSCTL_LIMIT} characters and match regex {_SYSCTL}")
        elif name in seen:
            yield duplicate(where, name)
        seen.add(name)
        namespace = sysctl_namespace(name)
        if namespace == "net" and spec.get("hostNetwork"):
            yield invalid_value(where, name, "may not be specified when 'hostNetwork' is true")
        elif namespace == "ipc" and spec.get("hostIPC"):
            yield invalid_value(where, name, "may not be specified when 'hostIPC' is true")


def _seccomp(profile: Object, path: str) -> Iterator[FieldError]:
    type_, localhost = profile.get("type", ""), profile.get("localhostProfile")
    if not type_:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    elif type_ not in PROFILE_TYPES:
        yield not_supported(f"{path}.type", type_, PROFILE_TYPES)
    where = f"{path}.localhostProfile"
    if type_ != "Localhost":
        if localhost is not None:
            text = "can only be set when seccomp type is Localhost"
            yield internalform.invalid_struct(where, profile, f"{internalform.CORE}SeccompProfile", text)
    elif localhost is None:
        yield required(where, "must be set when seccomp type is Localhost")
    else:
        yield from descending_path(localhost, where)


def validate_apparmor(profile: Object, path: str) -> Iterator[FieldError]:
    type_, localhost = profile.get("type", ""), profile.get("localhostProfile")
    where = f"{path}.localhostProfile"
    if not type_:
        yield required(f"{path}.type", "type is required when appArmorProfile is set")
    elif type_ not in PROFILE_TYPES:
        yield not_supported(f"{path}.type", type_, PROFILE_TYPES)
    elif type_ != "Localhost":
        if localhost is not None:
            yield invalid_value(where, localhost, "can only be set when AppArmor type is Localhost")
    elif localhost is None:
        yield required(where, "must be set when AppArmor type is Localhost")
    else:
        if localhost.strip() != localhost:
            yield invalid_value(where, localhost, "must not be padded with whitespace")
        elif not localhost:
            yield required(where, "must be set when AppArmor type is Localhost")
        if len(localhost.encode()) > APPARMOR_PROFILE_LIMIT_BYTES:
            yield too_long(where, APPARMOR_PROFILE_LIMIT_BYTES)


# Host namespaces


def validate_host_users(spec: Object, path: str) -> Iterator[FieldError]:
    """A pod with users of its own shares nothing else with its node (KEP-127)."""
    reason = "when `hostUsers` is false"
    if spec.get("hostNetwork"):
        yield forbidden_field(f"{path}.hostNetwork", reason)
    if spec.get("hostPID"):
        yield forbidden_field(f"{path}.HostPID", reason)
    if spec.get("hostIPC"):
        yield forbidden_field(f"{path}.HostIPC", reason)
    for where, container in visit(spec, path):
        if container.get("volumeDevices"):
            yield forbidden_field(f"{where}.volumeDevices", reason)


def validate_windows_host_processes(spec: Object, path: str) -> Iterator[FieldError]:
    """Containers that are plain processes of a Windows node: all of a pod's or none."""
    of_pod = _host_process(spec)
    count = hosted = 0
    for where, container in visit(spec, path):
        count += 1
        own = _host_process(container)
        if of_pod is not None and own is not None and own != of_pod:
            text = f"pod hostProcess value must be identical if both are specified, was {str(of_pod).lower()}"
            yield invalid_value(f"{where}.securityContext.windowsOptions.hostProcess", own, text)
        hosted += bool(of_pod if own is None else own)
    if hosted:
        if hosted != count:
            text = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
            yield invalid_value(path, "", text)
        if not spec.get("hostNetwork"):
            text = "hostNetwork must be true if pod contains any hostProcess containers"
            yield invalid_value(f"{path}.hostNetwork", False, text)


def _host_process(holder: Object) -> bool | None:
    return meta.get_path(holder, "securityContext", "windowsOptions", "hostProcess")  # type: ignore[no-any-return]


# Operating systems

_NOT_ON_WINDOWS = "cannot be set for a windows pod"
_POD_CONTEXT_NOT_ON_WINDOWS = (
    "appArmorProfile",
    "seLinuxOptions",
    "hostUsers",
    "hostPID",
    "hostIPC",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "shareProcessNamespace",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
)
_OF_SPEC = ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace")
# A value that is as good as none.
_NOTHING: Mapping[str, Any] = {"hostPID": False, "hostIPC": False, "sysctls": []}
_CONTEXT_NOT_ON_WINDOWS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)


def validate_os(spec: Object, path: str) -> Iterator[FieldError]:
    """``spec.os``, and what does not exist on that operating system."""
    system = spec["os"].get("name", "")
    if not system:
        yield required(f"{path}.os.name")
    elif system not in OPERATING_SYSTEMS:
        yield not_supported(f"{path}.os", system, OPERATING_SYSTEMS)
    elif system == "linux":
        for where, context in _contexts(spec, path):
            if context.get("windowsOptions") is not None:
                yield forbidden_field(f"{where}.windowsOptions", "windows options cannot be set for a linux pod")
    else:
        context = spec.get("securityContext") or meta.EMPTY
        for field in _POD_CONTEXT_NOT_ON_WINDOWS:
            value, where = (spec, path) if field in _OF_SPEC else (context, f"{path}.securityContext")
            if value.get(field) is not None and value[field] != _NOTHING.get(field):
                yield forbidden_field(f"{where}.{field}", _NOT_ON_WINDOWS)
        for where, container in visit(spec, path):
            context = container.get("securityContext") or meta.EMPTY
            for field in _CONTEXT_NOT_ON_WINDOWS:
                if context.get(field) is not None:
                    yield forbidden_field(f"{where}.securityContext.{field}", _NOT_ON_WINDOWS)


def _contexts(spec: Object, path: str) -> Iterator[tuple[str, Any]]:
    """The security contexts of a pod and its containers, with their paths."""
    if spec.get("securityContext"):
        yield f"{path}.securityContext", spec["securityContext"]
    for where, container in visit(spec, path):
        if container.get("securityContext"):
            yield f"{where}.securityContext", container["securityContext"]
