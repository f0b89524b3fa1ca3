"""Containers of a pod, of its three lists: defaults and validation (k8s.io/kubernetes/pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from navarch.api.core import containerresources, podenv, podimage, podlists, podmounts, podprobes, podsecurity
from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_value,
    not_supported,
    required,
    too_many,
)

RESTART_POLICIES = ("Always", "Never", "OnFailure")
PROTOCOLS = ("SCTP", "TCP", "UDP")
TERMINATION_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
RESTART_RULES_LIMIT = 20
EXIT_CODES_LIMIT = 255
WHITESPACE = "must not have leading or trailing whitespace"
NEEDS_POLICY = "must specify restartPolicy when restart rules are used"
NOT_FOR_EPHEMERAL = "cannot be set for an Ephemeral Container"
ONLY_FOR_SIDECARS = "may not be set for init containers without restartPolicy=Always"
_NOT_IN_EPHEMERAL = (
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rules of a container need to know of its pod."""

    volumes: Mapping[str, Object]
    """By name, those that nothing is wrong with."""
    claims: Collection[str]
    """Names of the pod's resource claims."""
    restart_policy: str
    grace_seconds: int | None
    host_users: bool
    names: set[str] = field(default_factory=set)
    """Of containers seen already."""


# Defaults


def default(container: Object) -> None:
    """Fill in what a container leaves open. Changes it."""
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = podimage.default_pull_policy(container.get("image", ""))
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    containerresources.default(container.setdefault("resources", {}))
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    if container.get("env"):
        podenv.default(container["env"])
    podprobes.default(container)
    context = container.get("securityContext")
    if context is not None and context.get("procMount") == "":
        del context["procMount"]


# Validation


def validate(spec: Object, path: str, around: Surroundings) -> Iterator[FieldError]:
    """What is wrong with the containers of a pod's spec, defaults applied."""
    containers = spec.get("containers") or ()
    if not containers:
        yield required(f"{path}.containers")
    for index, container in enumerate(containers):
        where = f"{path}.containers[{index}]"
        yield from _common(container, where, around)
        if container.get("name", "") in around.names:
            yield duplicate(f"{where}.name", container.get("name", ""))
        around.names.add(container.get("name", ""))
        yield from _running(container, where, around)
        yield from _restart_rules(container, where)
    yield from _host_port_conflicts(containers, f"{path}.containers")
    for index, container in enumerate(spec.get("initContainers") or ()):
        yield from _init(container, f"{path}.initContainers[{index}]", f"{path}.initContainers", around)
    main = frozenset(
        container.get("name", "") for field in ("containers", "initContainers") for container in spec.get(field) or ()
    )
    around.names.update(main)
    for index, container in enumerate(spec.get("ephemeralContainers") or ()):
        yield from _ephemeral(container, f"{path}.ephemeralContainers[{index}]", around, main)


def _running(container: Object, path: str, around: Surroundings) -> Iterator[FieldError]:
    """What watches over a container while it runs."""
    if container.get("lifecycle") is not None:
        yield from podprobes.validate_lifecycle(container["lifecycle"], around.grace_seconds, f"{path}.lifecycle")
    for kind in podprobes.PROBES:
        if container.get(kind) is not None:
            yield from podprobes.validate(container[kind], kind, around.grace_seconds, f"{path}.{kind}")


def _init(container: Object, path: str, list_path: str, around: Surroundings) -> Iterator[FieldError]:
    name = container.get("name", "")
    yield from _common(container, path, around)
    if container.get("restartPolicy") is not None or not container.get("restartPolicyRules"):
        yield from _restart_rules(container, path)
    else:
        yield required(f"{path}.restartPolicy", NEEDS_POLICY)
    if name in around.names:
        yield duplicate(f"{path}.name", name)
    elif name:
        around.names.add(name)
    yield from _host_port_conflicts((container,), list_path)
    if container.get("restartPolicy") == "Always":
        yield from _running(container, path, around)
        return
    for unused in ("lifecycle", *podprobes.PROBES):
        if container.get(unused) is not None:
            yield forbidden_field(f"{path}.{unused}", ONLY_FOR_SIDECARS)
    for index, policy in enumerate(container.get("resizePolicy") or ()):
        if policy.get("restartPolicy") == "RestartContainer":
            text = "must not be set to 'RestartContainer' for non-sidecar initContainers"
            yield invalid_value(f"{path}.resizePolicy[{index}].restartPolicy", "RestartContainer", text)


def _ephemeral(container: Object, path: str, around: Surroundings, main: Collection[str]) -> Iterator[FieldError]:
    name, image, target = (container.get(key, "") for key in ("name", "image", "targetContainerName"))
    yield from _common(container, path, around)
    if image != image.strip():
        yield invalid_value(f"{path}.image", image, WHITESPACE)
    if name in around.names:
        yield duplicate(f"{path}.name", name)
    around.names.add(name)
    if target and target not in main:
        yield not_found_value(f"{path}.targetContainerName", target)
    for unused in _NOT_IN_EPHEMERAL:
        if container.get(unused) or (unused == "lifecycle" and unused in container):
            yield forbidden_field(f"{path}.{unused}", NOT_FOR_EPHEMERAL)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        for part in ("subPath", "subPathExpr"):
            if mount.get(part):
                yield forbidden_field(f"{path}.volumeMounts[{index}].{part}", NOT_FOR_EPHEMERAL)


def _common(container: Object, path: str, around: Surroundings) -> Iterator[FieldError]:
    """What holds for containers of all lists."""
    name, policy = container.get("name", ""), container["terminationMessagePolicy"]
    if not name:
        yield required(f"{path}.name")
    else:
        for text in names.dns1123_label(name):
            yield invalid_value(f"{path}.name", name, text)
    if not container.get("image"):
        yield required(f"{path}.image")
    if policy not in TERMINATION_MESSAGE_POLICIES:
        yield not_supported(f"{path}.terminationMessagePolicy", policy, TERMINATION_MESSAGE_POLICIES)
    if container.get("ports"):
        yield from _ports(container["ports"], f"{path}.ports")
    if container.get("env"):
        yield from podenv.validate(container["env"], f"{path}.env")
    if container.get("envFrom"):
        yield from podenv.validate_from(container["envFrom"], f"{path}.envFrom")
    if container.get("volumeMounts"):
        yield from podmounts.validate(container, around.volumes, path)
    if container.get("volumeDevices"):
        yield from podmounts.validate_devices(container, around.volumes, path)
    yield from podimage.validate_pull_policy(container["imagePullPolicy"], f"{path}.imagePullPolicy")
    if container.get("resources"):
        yield from containerresources.validate(container["resources"], f"{path}.resources", around.claims)
    if container.get("resizePolicy"):
        yield from _resize_policy(container["resizePolicy"], around.restart_policy, f"{path}.resizePolicy")
    if container.get("securityContext"):
        yield from podsecurity.validate_container_context(
            container["securityContext"], f"{path}.securityContext", host_users=around.host_users
        )


def _ports(ports: Iterable[Object], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where, name, number, host_port = f"{path}[{index}]", port.get("name"), port.get("containerPort"), port.get("hostPort")
        if name:
            problems = names.port_name(name)
            for text in problems:
                yield invalid_value(f"{where}.name", name, text)
            if not problems and name in seen:
                yield duplicate(f"{where}.name", name)
            elif not problems:
                seen.add(name)
        if not number:
            yield required(f"{where}.containerPort")
        else:
            for text in names.port_number(number):
                yield invalid_value(f"{where}.containerPort", number, text)
        if host_port:
            for text in names.port_number(host_port):
                yield invalid_value(f"{where}.hostPort", host_port, text)
        if port["protocol"] not in PROTOCOLS:
            yield not_supported(f"{where}.protocol", port["protocol"], PROTOCOLS)


def _host_port_conflicts(containers: Iterable[Object], path: str) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for position, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                used = f"{port['protocol']}/{port.get('hostIP', '')}/{port['hostPort']}"
                if used in taken:
                    yield duplicate(f"{path}[{index}].ports[{position}].hostPort", used)
                taken.add(used)


def _resize_policy(policies: Iterable[Object], pod_restart_policy: str, path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            yield duplicate(f"{path}[{index}]", name)
        seen.add(name)
        for value, supported in ((name, ("cpu", "memory")), (restart, ("NotRequired", "RestartContainer"))):
            if not value:
                yield required(path)
            elif value not in supported:
                yield not_supported(path, value, supported)
        if pod_restart_policy == "Never" and restart != "NotRequired":
            yield invalid_value(path, restart, "must be 'NotRequired' when pod `restartPolicy` is 'Never'")


def _restart_rules(container: Object, path: str) -> Iterator[FieldError]:
    """When a container restarts, where it says so itself (KEP-5307)."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    if policy is None:
        if rules:
            yield required(f"{path}.restartPolicy", NEEDS_POLICY)
    elif policy not in RESTART_POLICIES:
        yield not_supported(f"{path}.restartPolicy", policy, RESTART_POLICIES)
    if len(rules) > RESTART_RULES_LIMIT:
        yield too_many(f"{path}.restartPolicyRules", len(rules), RESTART_RULES_LIMIT)
    for index, rule in enumerate(rules):
        where, action, codes = f"{path}.restartPolicyRules[{index}]", rule.get("action", ""), rule.get("exitCodes")
        if action not in ("Restart", "RestartAllContainers"):
            yield not_supported(f"{where}.action", action, ("Restart", "RestartAllContainers"))
        if codes is None:
            yield required(f"{where}.exitCodes", "must be specified")
            continue
        if codes.get("operator") not in ("In", "NotIn"):
            yield not_supported(f"{where}.exitCodes.operator", codes.get("operator", ""), ("In", "NotIn"))
        if len(codes.get("values") or ()) > EXIT_CODES_LIMIT:
            yield too_many(f"{where}.exitCodes.values", len(codes["values"]), EXIT_CODES_LIMIT)


def validate_host_network(containers: Iterable[Object], is_pod: bool, path: str) -> Iterator[FieldError]:
    """In the network of its node, a container's port is the node's."""
    for index, container in enumerate(containers):
        for position, port in enumerate(container.get("ports") or ()):
            host_port = port.get("hostPort", 0)
            if (is_pod or host_port) and host_port != port.get("containerPort", 0):
                text = "must match `containerPort` when `hostNetwork` is true"
                yield invalid_value(f"{path}[{index}].ports[{position}].hostPort", host_port, text)


def validate_file_variables(spec: Object, path: str) -> Iterator[FieldError]:
    """Variables that are in files are in an emptyDir of the pod."""
    volumes = {volume.get("name", ""): volume for volume in spec.get("volumes") or ()}
    for where, container in podlists.visit(spec, path):
        for index, variable in enumerate(container.get("env") or ()):
            reference = (variable.get("valueFrom") or meta.EMPTY).get("fileKeyRef")
            if reference is None:
                continue
            target, name = f"{where}.env[{index}].valueFrom.fileKeyRef.volumeName", reference.get("volumeName", "")
            if name not in volumes:
                yield not_found_value(target, name)
            elif "emptyDir" not in volumes[name]:
                yield invalid_value(target, name, "referenced volume must be of type emptyDir")
