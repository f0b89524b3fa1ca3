"""The spec of a pod, alone or in a template: defaults and validation (k8s.io/kubernetes/pkg/apis/core)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from navarch.api.core import podsecurity, volume
from navarch.api.core.nonnegative import nonnegative
from navarch.api.objectmeta import validate_annotations, validate_labels
from navarch.apimachinery import names, quantity, selectors
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_value,
    not_supported,
    required,
)

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
RESTART_POLICIES = ("Always", "Never", "OnFailure")
DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
NAMESERVERS_LIMIT = 3
SEARCHES_LIMIT = 32
SEARCH_CHARACTERS_LIMIT = 2048
PROTOCOLS = ("SCTP", "TCP", "UDP")
TERMINATION_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
STANDARD_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
INTEGER_ONLY = re.compile(r"(hugepages-.*|.*/.*|pods)\Z")
_FIELD_PATHS = re.compile(
    r"(metadata\.(name|namespace|uid|labels\['[^']+'\]|annotations\['[^']+'\])"
    r"|spec\.(nodeName|serviceAccountName)|status\.(hostIPs?|podIPs?))\Z"
)
_RESOURCE_FIELDS = re.compile(r"(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-.+)\Z")
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


# Defaults


def default(spec: Object) -> Object:
    """Fill in what a pod spec leaves open. Changes `spec`."""
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    host_network = bool(spec.get("hostNetwork"))
    for field in _CONTAINER_LISTS:
        for container in spec.get(field) or ():
            _default_container(container, host_network)
    for item in spec.get("volumes") or ():
        volume.default(item)
    for constraint in spec.get("topologySpreadConstraints") or ():
        constraint.setdefault("whenUnsatisfiable", "DoNotSchedule")
    return spec


def _default_container(container: Object, host_network: bool) -> None:
    if "imagePullPolicy" not in container:
        container["imagePullPolicy"] = _default_pull_policy(container.get("image", ""))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    resources = container.setdefault("resources", {})
    limits = resources.get("limits")
    if limits:
        resources["requests"] = {**limits, **(resources.get("requests") or {})}
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if host_network:
            port.setdefault("hostPort", port.get("containerPort"))
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")
        field = (variable.get("valueFrom") or {}).get("resourceFieldRef")
        if field is not None:
            field.setdefault("divisor", "0")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _default_probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _default_http(hook.get("httpGet"))


def _default_pull_policy(image: str) -> str:
    name = image.partition("@")[0].rpartition("/")[2]
    if "@" in image:
        return "IfNotPresent"
    return "Always" if ":" not in name or name.endswith(":latest") else "IfNotPresent"


def _default_probe(probe: Object) -> None:
    probe.setdefault("timeoutSeconds", 1)
    probe.setdefault("periodSeconds", 10)
    probe.setdefault("successThreshold", 1)
    probe.setdefault("failureThreshold", 3)
    _default_http(probe.get("httpGet"))
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")


def _default_http(action: Object | None) -> None:
    if action is not None:
        action.setdefault("path", "/")
        action.setdefault("scheme", "HTTP")


def requests_of(spec: Object) -> Iterator[tuple[str, Object]]:
    """(list name, container) of every container."""
    for field in _CONTAINER_LISTS:
        for container in spec.get(field) or ():
            yield field, container


# Validation


def validate(spec: Object, path: str, *, restart_policies: Iterable[str] = RESTART_POLICIES) -> Iterator[FieldError]:
    """What is wrong with a pod spec, defaults applied."""
    volumes = {item.get("name") for item in spec.get("volumes") or ()}
    yield from volume.validate(spec.get("volumes") or (), f"{path}.volumes")
    yield from _containers(spec, path, volumes)
    if spec["restartPolicy"] not in restart_policies:
        yield not_supported(f"{path}.restartPolicy", spec["restartPolicy"], restart_policies)
    if spec["dnsPolicy"] not in DNS_POLICIES:
        yield not_supported(f"{path}.dnsPolicy", spec["dnsPolicy"], DNS_POLICIES)
    yield from _dns_config(spec.get("dnsConfig") or {}, f"{path}.dnsConfig")
    yield from podsecurity.validate_pod_context(spec.get("securityContext") or {}, f"{path}.securityContext")
    if spec["dnsPolicy"] == "None" and not (spec.get("dnsConfig") or {}).get("nameservers"):
        yield required(f"{path}.dnsConfig.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
    if spec["terminationGracePeriodSeconds"] < 0:
        yield nonnegative(f"{path}.terminationGracePeriodSeconds", spec["terminationGracePeriodSeconds"])
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        yield invalid_value(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            yield from (invalid_value(f"{path}.{field}", spec[field], text) for text in names.dns1123_subdomain(spec[field]))
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            yield from (invalid_value(f"{path}.{field}", spec[field], text) for text in names.dns1123_label(spec[field]))
    yield from validate_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield required(f"{path}.imagePullSecrets[{index}].name")
    yield from validate_tolerations(spec.get("tolerations") or (), f"{path}.tolerations")
    yield from _host_aliases(spec.get("hostAliases") or (), f"{path}.hostAliases")
    yield from _topology(spec.get("topologySpreadConstraints") or (), f"{path}.topologySpreadConstraints")
    yield from _affinity(spec.get("affinity") or {}, f"{path}.affinity")
    gates: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        where, name = f"{path}.schedulingGates[{index}]", gate.get("name", "")
        yield from (invalid_value(f"{where}.name", name, text) for text in names.qualified_name(name))
        if name in gates:
            yield duplicate(where, name)
        gates.add(name)
    if not spec.get("schedulerName"):
        yield required(f"{path}.schedulerName")


def _containers(spec: Object, path: str, volumes: set[Any]) -> Iterator[FieldError]:
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    names_seen: set[str] = set()
    host_ports: set[tuple[Any, ...]] = set()
    for field in _CONTAINER_LISTS:
        for index, container in enumerate(spec.get(field) or ()):
            where = f"{path}.{field}[{index}]"
            yield from _container(container, where, volumes, spec)
            name = container.get("name", "")
            if name in names_seen:
                yield duplicate(f"{where}.name", name)
            names_seen.add(name)
            if field == "initContainers":
                yield from _init_container(container, where)
            elif container.get("restartPolicy") and field == "ephemeralContainers":
                yield forbidden_field(f"{where}.restartPolicy", "cannot be set for an Ephemeral Container")
            if field != "containers":
                continue
            for position, port in enumerate(container.get("ports") or ()):
                if port.get("hostPort"):
                    used = (port.get("protocol"), port.get("hostIP", ""), port["hostPort"])
                    if used in host_ports:
                        yield duplicate(f"{where}.ports[{position}].hostPort", "/".join(str(part) for part in used))
                    host_ports.add(used)


def _init_container(container: Object, path: str) -> Iterator[FieldError]:
    policy = container.get("restartPolicy")
    if policy not in (None, "Always"):
        yield not_supported(f"{path}.restartPolicy", policy, ("Always",))
    if policy == "Always":
        return
    if container.get("lifecycle"):
        yield forbidden_field(f"{path}.lifecycle", "may not be set for init containers without restartPolicy=Always")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe):
            yield forbidden_field(f"{path}.{probe}", "may not be set for init containers without restartPolicy=Always")


def _container(container: Object, path: str, volumes: set[Any], spec: Object) -> Iterator[FieldError]:
    name = container.get("name", "")
    if not name:
        yield required(f"{path}.name")
    else:
        yield from (invalid_value(f"{path}.name", name, text) for text in names.dns1123_label(name))
    image = container.get("image", "")
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")
    if container["imagePullPolicy"] not in PULL_POLICIES:
        yield not_supported(f"{path}.imagePullPolicy", container["imagePullPolicy"], PULL_POLICIES)
    if container["terminationMessagePolicy"] not in TERMINATION_MESSAGE_POLICIES:
        yield not_supported(
            f"{path}.terminationMessagePolicy", container["terminationMessagePolicy"], TERMINATION_MESSAGE_POLICIES
        )
    yield from _ports(container.get("ports") or (), f"{path}.ports", bool(spec.get("hostNetwork")))
    yield from _env(container, path)
    yield from _mounts(container.get("volumeMounts") or (), f"{path}.volumeMounts", volumes)
    yield from validate_resources(container.get("resources") or {}, f"{path}.resources")
    yield from _resize_policy(container.get("resizePolicy") or (), f"{path}.resizePolicy")
    yield from podsecurity.validate_container_context(container.get("securityContext") or {}, f"{path}.securityContext")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe):
            yield from _probe(container[probe], f"{path}.{probe}", probe)
    for hook, action in (container.get("lifecycle") or {}).items():
        if hook in ("postStart", "preStop"):
            yield from _handler(action, f"{path}.lifecycle.{hook}", ("exec", "httpGet", "sleep", "tcpSocket"))


def _ports(ports: Iterable[Object], path: str, host_network: bool) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        where = f"{path}[{index}]"
        name = port.get("name")
        if name:
            yield from (invalid_value(f"{where}.name", name, text) for text in names.port_name(name))
            if name in seen:
                yield duplicate(f"{where}.name", name)
            seen.add(name)
        number = port.get("containerPort", 0)
        if number == 0:
            yield required(f"{where}.containerPort")
        else:
            yield from (invalid_value(f"{where}.containerPort", number, text) for text in names.port_number(number))
        host_port = port.get("hostPort", 0)
        if host_port:
            yield from (invalid_value(f"{where}.hostPort", host_port, text) for text in names.port_number(host_port))
            if host_network and host_port != number:
                yield invalid_value(f"{where}.containerPort", number, "must match `hostPort` when `hostNetwork` is true")
        if port["protocol"] not in PROTOCOLS:
            yield not_supported(f"{where}.protocol", port["protocol"], PROTOCOLS)


def _env(container: Object, path: str) -> Iterator[FieldError]:
    for index, variable in enumerate(container.get("env") or ()):
        where = f"{path}.env[{index}]"
        if not variable.get("name"):
            yield required(f"{where}.name")
        else:
            yield from (invalid_value(f"{where}.name", variable["name"], text) for text in names.env_var_name(variable["name"]))
        source = variable.get("valueFrom")
        if source is None:
            continue
        kinds = [
            key for key in ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef") if key in source
        ]
        if variable.get("value"):
            yield invalid_value(f"{where}.valueFrom", "", "may not be specified when `value` is not empty")
        elif len(kinds) != 1:
            text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
            yield invalid_value(
                f"{where}.valueFrom", "", text if not kinds else "may not have more than one field specified at a time"
            )
        else:
            yield from _env_source(kinds[0], source[kinds[0]], f"{where}.valueFrom.{kinds[0]}")
    for index, source in enumerate(container.get("envFrom") or ()):
        where = f"{path}.envFrom[{index}]"
        if ("configMapRef" in source) == ("secretRef" in source):
            text = "must specify one of: `configMapRef` or `secretRef`"
            both = "may not have more than one field specified at a time"
            yield invalid_value(where, "", both if "secretRef" in source else text)
        for kind in ("configMapRef", "secretRef"):
            if kind in source and not source[kind].get("name"):
                yield required(f"{where}.{kind}.name")


def _env_source(kind: str, source: Object, path: str) -> Iterator[FieldError]:
    if kind == "fieldRef":
        if not _FIELD_PATHS.match(source.get("fieldPath", "")):
            if not source.get("fieldPath"):
                yield required(f"{path}.fieldPath")
            else:
                yield invalid_value(
                    f"{path}.fieldPath", source["fieldPath"], "error converting fieldPath: field label not supported"
                )
    elif kind == "resourceFieldRef":
        if not source.get("resource"):
            yield required(f"{path}.resource")
        elif not _RESOURCE_FIELDS.match(source["resource"]):
            yield not_supported(
                f"{path}.resource",
                source["resource"],
                [f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")],
            )
    elif kind in ("configMapKeyRef", "secretKeyRef"):
        if not source.get("name"):
            yield required(f"{path}.name")
        if not source.get("key"):
            yield required(f"{path}.key")
        else:
            yield from (invalid_value(f"{path}.key", source["key"], text) for text in names.config_key(source["key"]))


def _mounts(mounts: Iterable[Object], path: str, volumes: set[Any]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        where = f"{path}[{index}]"
        name = mount.get("name", "")
        if not name:
            yield required(f"{where}.name")
        elif name not in volumes:
            yield not_found_value(f"{where}.name", name)
        target = mount.get("mountPath", "")
        if not target:
            yield required(f"{where}.mountPath")
        elif target in seen:
            yield invalid_value(f"{where}.mountPath", target, "must be unique")
        seen.add(target)
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                yield from volume.validate_local_descending_path(mount[field], f"{where}.{field}")
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield invalid_value(f"{where}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive")


def validate_resources(resources: Object, path: str) -> Iterator[FieldError]:
    """Requests and limits: known names, no negative amounts, no request over its limit."""
    limits, wanted = resources.get("limits") or {}, resources.get("requests") or {}
    for field, amounts in (("limits", limits), ("requests", wanted)):
        for name, amount in sorted(amounts.items()):
            where = f"{path}.{field}[{name}]"
            yield from (invalid_value(f"{path}.{field}", name, text) for text in names.qualified_name(name))
            if "/" not in name and name not in STANDARD_RESOURCES and not name.startswith("hugepages-"):
                yield invalid_value(where, name, "must be a standard resource for containers")
            if quantity.parse(amount) < 0:
                yield invalid_value(where, amount, "must be greater than or equal to 0")
            elif INTEGER_ONLY.match(name) and quantity.parse(amount).denominator != 1:
                yield invalid_value(where, amount, "must be an integer")
    for name, amount in sorted(wanted.items()):
        limit = limits.get(name)
        if limit is not None and quantity.parse(amount) > quantity.parse(limit):
            text = f"must be less than or equal to {name} limit of {limit}"
            yield invalid_value(f"{path}.requests", amount, text)
        elif limit is None and "/" in name:
            yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")


def _resize_policy(policies: Iterable[Object], path: str) -> Iterator[FieldError]:
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


def _dns_config(config: Object, path: str) -> Iterator[FieldError]:
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > NAMESERVERS_LIMIT:
        yield invalid_value(f"{path}.nameservers", servers, f"must not have more than {NAMESERVERS_LIMIT} nameservers")
    for index, server in enumerate(servers):
        yield from (invalid_value(f"{path}.nameservers[{index}]", server, text) for text in names.ip_address(server))
    if len(searches) > SEARCHES_LIMIT:
        yield invalid_value(f"{path}.searches", searches, f"must not have more than {SEARCHES_LIMIT} search paths")
    if len(" ".join(searches)) > SEARCH_CHARACTERS_LIMIT:
        text = f"must not have more than {SEARCH_CHARACTERS_LIMIT} characters (including spaces) in the search list"
        yield invalid_value(f"{path}.searches", searches, text)
    for index, search in enumerate(searches):
        # Underscores and the root are allowed here (KEP-4427).
        plain = search.removesuffix(".").replace("_", "a") if search != "." else "a"
        yield from (invalid_value(f"{path}.searches[{index}]", search, text) for text in names.dns1123_subdomain(plain))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield required(f"{path}.options[{index}]", "must not be empty")


def _probe(probe: Object, path: str, kind: str) -> Iterator[FieldError]:
    yield from _handler(probe, path, ("exec", "grpc", "httpGet", "tcpSocket"))
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if probe.get(field, 0) < 0:
            yield nonnegative(f"{path}.{field}", probe[field])
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        yield invalid_value(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")
    if kind != "readinessProbe" and probe["successThreshold"] != 1:
        yield invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _handler(action: Object, path: str, kinds: tuple[str, ...]) -> Iterator[FieldError]:
    present = [kind for kind in kinds if action.get(kind) is not None]
    if not present:
        yield required(path, "must specify a handler type")
    for extra in present[1:]:
        yield forbidden_field(f"{path}.{extra}", "may not specify more than 1 handler type")
    if not present:
        return
    kind, details = present[0], action[present[0]]
    where = f"{path}.{kind}"
    if kind == "exec" and not details.get("command"):
        yield required(f"{where}.command")
    if kind == "httpGet":
        if not details.get("path"):
            yield required(f"{where}.path")
        if details.get("scheme") not in ("HTTP", "HTTPS"):
            yield not_supported(f"{where}.scheme", details.get("scheme", ""), ("HTTP", "HTTPS"))
        for index, header in enumerate(details.get("httpHeaders") or ()):
            field = f"{where}.httpHeaders[{index}].name"
            yield from (
                invalid_value(field, header.get("name", ""), text) for text in names.http_header_name(header.get("name", ""))
            )
    if kind in ("httpGet", "tcpSocket", "grpc"):
        port = details.get("port", 0)
        check = names.port_number if isinstance(port, int) else names.port_name
        yield from (invalid_value(f"{where}.port", port, text) for text in check(port))


def validate_tolerations(tolerations: Iterable[Object], path: str) -> Iterator[FieldError]:
    for index, toleration in enumerate(tolerations):
        where = f"{path}[{index}]"
        key, operator = toleration.get("key", ""), toleration.get("operator", "Equal") or "Equal"
        if key:
            yield from (invalid_value(f"{where}.key", key, text) for text in names.qualified_name(key))
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield invalid_value(f"{where}.operator", toleration.get("operator", ""), text)
        if operator not in ("Equal", "Exists", "Lt", "Gt"):
            yield not_supported(f"{where}.operator", operator, ("Equal", "Exists"))
        elif operator == "Exists" and toleration.get("value"):
            text = "value must be empty when `operator` is 'Exists'"
            yield invalid_value(f"{where}.operator", toleration["value"], text)
        elif operator == "Equal":
            value = toleration.get("value", "")
            yield from (invalid_value(f"{where}.operator", value, text) for text in names.label_value(value))
        effect = toleration.get("effect", "")
        if effect and effect not in TAINT_EFFECTS:
            yield not_supported(f"{where}.effect", effect, TAINT_EFFECTS)
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            yield invalid_value(f"{where}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")


def _host_aliases(aliases: Iterable[Object], path: str) -> Iterator[FieldError]:
    for index, alias in enumerate(aliases):
        where = f"{path}[{index}]"
        yield from (invalid_value(f"{where}.ip", alias.get("ip", ""), text) for text in names.ip_address(alias.get("ip", "")))
        for position, name in enumerate(alias.get("hostnames") or ()):
            field = f"{where}.hostnames[{position}]"
            yield from (invalid_value(field, name, text) for text in names.dns1123_subdomain(name))


def _topology(constraints: Iterable[Object], path: str) -> Iterator[FieldError]:
    for index, constraint in enumerate(constraints):
        where = f"{path}[{index}]"
        if constraint.get("maxSkew", 0) <= 0:
            yield invalid_value(f"{where}.maxSkew", constraint.get("maxSkew", 0), "must be greater than zero")
        if not constraint.get("topologyKey"):
            yield required(f"{where}.topologyKey", "can not be empty")
        if constraint["whenUnsatisfiable"] not in ("DoNotSchedule", "ScheduleAnyway"):
            yield not_supported(
                f"{where}.whenUnsatisfiable", constraint["whenUnsatisfiable"], ("DoNotSchedule", "ScheduleAnyway")
            )


def _affinity(affinity: Object, path: str) -> Iterator[FieldError]:
    node = affinity.get("nodeAffinity") or {}
    hard = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    if hard is not None:
        where = f"{path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
        if not hard.get("nodeSelectorTerms"):
            yield required(f"{where}.nodeSelectorTerms", "must have at least one node selector term")
        for index, term in enumerate(hard.get("nodeSelectorTerms") or ()):
            yield from _node_selector_term(term, f"{where}.nodeSelectorTerms[{index}]")
    for index, soft in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        where = f"{path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        yield from _weight(soft, where)
        yield from _node_selector_term(soft.get("preference") or {}, f"{where}.preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        for index, term in enumerate(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
            where = f"{path}.{kind}.requiredDuringSchedulingIgnoredDuringExecution[{index}]"
            yield from _pod_affinity_term(term, where)
        for index, soft in enumerate(terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
            where = f"{path}.{kind}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
            yield from _weight(soft, where)
            yield from _pod_affinity_term(soft.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")


def _weight(term: Object, path: str) -> Iterator[FieldError]:
    if not 1 <= term.get("weight", 0) <= 100:
        yield invalid_value(f"{path}.weight", term.get("weight", 0), "must be in the range 1-100")


def _node_selector_term(term: Object, path: str) -> Iterator[FieldError]:
    operators = ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = expression.get("operator", ""), expression.get("values") or ()
        if operator in ("In", "NotIn") and not values:
            yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist") and values:
            yield forbidden_field(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        elif operator in ("Gt", "Lt") and len(values) != 1:
            yield required(f"{where}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
        elif operator not in operators:
            yield invalid_value(f"{where}.operator", operator, "not a valid selector operator")
        key = expression.get("key", "")
        yield from (invalid_value(f"{where}.key", key, text) for text in names.qualified_name(key))


def _pod_affinity_term(term: Object, path: str) -> Iterator[FieldError]:
    if not term.get("topologyKey"):
        yield required(f"{path}.topologyKey", "can not be empty")
    for field in ("labelSelector", "namespaceSelector"):
        if term.get(field) is not None:
            yield from validate_label_selector(term[field], f"{path}.{field}")


def validate_label_selector(selector: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """A metav1.LabelSelector."""
    yield from validate_labels(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        operator, values = expression.get("operator", ""), expression.get("values") or ()
        if operator in ("In", "NotIn"):
            if not values:
                yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                yield forbidden_field(f"{where}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        else:
            yield invalid_value(f"{where}.operator", operator, "not a valid selector operator")
        key = expression.get("key", "")
        yield from (invalid_value(f"{where}.key", key, text) for text in names.qualified_name(key))


def validate_pod_template(template: Object, path: str) -> Iterator[FieldError]:
    """Labels, annotations and spec of any template of pods."""
    metadata = template.get("metadata") or {}
    yield from validate_labels(metadata.get("labels") or {}, f"{path}.metadata.labels")
    yield from validate_annotations(metadata.get("annotations") or {}, f"{path}.metadata.annotations")
    yield from validate(template["spec"], f"{path}.spec")
    if template["spec"].get("ephemeralContainers"):
        yield forbidden_field(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def validate_template(template: Object, selector: Mapping[str, Any] | None, path: str) -> Iterator[FieldError]:
    """The template of a workload whose pods must restart always and match its selector."""
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector is not None:
        try:
            chosen = selectors.from_label_selector(dict(selector))
        except ValueError:
            chosen = None
        if chosen is not None and not chosen.is_everything and not chosen.matches(labels):
            yield invalid_value(f"{path}.metadata.labels", labels, "`selector` does not match template `labels`")
    yield from validate_pod_template(template, path)
    spec = template["spec"]
    if spec["restartPolicy"] in ("OnFailure", "Never"):
        yield not_supported(f"{path}.spec.restartPolicy", spec["restartPolicy"], ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        yield forbidden_field(f"{path}.spec.activeDeadlineSeconds", "activeDeadlineSeconds in ReplicaSet is not Supported")


def validate_selector(selector: Mapping[str, Any] | None, path: str) -> Iterator[FieldError]:
    """A workload's selector: there, well-formed, not empty."""
    if selector is None:
        yield required(path)
        return
    yield from validate_label_selector(selector, path)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid_value(path, dict(selector), "empty selector is invalid for deployment")
