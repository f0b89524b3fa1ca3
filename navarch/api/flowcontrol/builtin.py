"""The flow schemas and priority levels that every cluster has.

The mandatory ones must be as they are here (but for the shares of ``exempt``); the suggested ones are what an administrator
begins with. An annotation says whether the server brings a changed one back.
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.apimachinery.errors import Object

AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"
EVERYTHING = "*"
_ALL_RESOURCES: Object = {
    "verbs": [EVERYTHING],
    "apiGroups": [EVERYTHING],
    "resources": [EVERYTHING],
    "clusterScope": True,
    "namespaces": [EVERYTHING],
}
_ALL_PATHS: Object = {"verbs": [EVERYTHING], "nonResourceURLs": [EVERYTHING]}
_EVERYBODY = ("system:unauthenticated", "system:authenticated")
_LEADERS_VERBS = ["get", "create", "update"]


def _level(shares: int, lendable_percent: int, queues: int = 0, hand_size: int = 0) -> Object:
    response: Object = {"type": "Reject"}
    if queues:
        response = {"type": "Queue", "queuing": {"queues": queues, "handSize": hand_size, "queueLengthLimit": 50}}
    limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable_percent, "limitResponse": response}
    return {"type": "Limited", "limited": limited}


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Object]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


def _system_accounts(*names: str) -> list[Object]:
    return [{"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "kube-system"}} for name in names]


def _rule(verbs: Iterable[str], group: str, *resources: str, cluster_scope: bool = False) -> Object:
    rule: Object = {"verbs": list(verbs), "apiGroups": [group], "resources": list(resources), "namespaces": [EVERYTHING]}
    return {**rule, "clusterScope": True} if cluster_scope else rule


def _schema(level: str, precedence: int, method: str, subjects: list[Object], **rules: list[Object]) -> Object:
    if not rules:
        rules = {"resourceRules": [_ALL_RESOURCES], "nonResourceRules": [_ALL_PATHS]}
    spec: Object = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [{"subjects": subjects, **rules}],
    }
    return {**spec, "distinguisherMethod": {"type": method}} if method else spec


_LEASES = _rule(_LEADERS_VERBS, "coordination.k8s.io", "leases")
MANDATORY_LEVELS: dict[str, Object] = {
    "exempt": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    "catch-all": _level(5, 0),
}
SUGGESTED_LEVELS: dict[str, Object] = {
    "system": _level(30, 33, 64, 6),
    "node-high": _level(40, 25, 64, 6),
    "leader-election": _level(10, 0, 16, 4),
    "workload-high": _level(40, 50, 128, 6),
    "workload-low": _level(100, 90, 128, 6),
    "global-default": _level(20, 50, 128, 6),
}
MANDATORY_SCHEMAS: dict[str, Object] = {
    "exempt": _schema("exempt", 1, "", _groups("system:masters")),
    "catch-all": _schema("catch-all", 10000, "ByUser", _groups(*_EVERYBODY)),
}
SUGGESTED_SCHEMAS: dict[str, Object] = {
    "probes": _schema(
        "exempt",
        2,
        "",
        _groups(*_EVERYBODY),
        nonResourceRules=[{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
    ),
    "system-leader-election": _schema(
        "leader-election",
        100,
        "ByUser",
        [*_users("system:kube-controller-manager", "system:kube-scheduler"), *_system_accounts(EVERYTHING)],
        resourceRules=[_LEASES],
    ),
    "endpoint-controller": _schema(
        "workload-high",
        150,
        "ByUser",
        [
            *_users("system:kube-controller-manager"),
            *_system_accounts("endpoint-controller", "endpointslicemirroring-controller"),
        ],
        resourceRules=[_rule(_LEADERS_VERBS, "", "endpoints")],
    ),
    "workload-leader-election": _schema(
        "leader-election", 200, "ByUser", _system_accounts(EVERYTHING), resourceRules=[_LEASES]
    ),
    "system-node-high": _schema(
        "node-high",
        400,
        "ByUser",
        _groups("system:nodes"),
        resourceRules=[
            _rule([EVERYTHING], "", "nodes", "nodes/status", cluster_scope=True),
            _rule([EVERYTHING], "coordination.k8s.io", "leases"),
        ],
    ),
    "system-nodes": _schema("system", 500, "ByUser", _groups("system:nodes")),
    "kube-controller-manager": _schema("workload-high", 800, "ByNamespace", _users("system:kube-controller-manager")),
    "kube-scheduler": _schema("workload-high", 800, "ByNamespace", _users("system:kube-scheduler")),
    "kube-system-service-accounts": _schema("workload-high", 900, "ByNamespace", _system_accounts(EVERYTHING)),
    "service-accounts": _schema("workload-low", 9000, "ByUser", _groups("system:serviceaccounts")),
    "global-default": _schema("global-default", 9900, "ByUser", _groups(*_EVERYBODY)),
}
LEVELS = {**MANDATORY_LEVELS, **SUGGESTED_LEVELS}
SCHEMAS = {**MANDATORY_SCHEMAS, **SUGGESTED_SCHEMAS}


def new(name: str, spec: Object) -> Object:
    """One of these objects, as it is made."""
    return {"metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}}, "spec": spec}


def dangling(schema: Object, *, found: bool, now: str) -> Object:
    """The condition that says whether a flow schema's priority level is there."""
    level = schema["spec"]["priorityLevelConfiguration"]["name"]
    text = "it exists" if found else "there is no such object"
    joint = "and" if found else "but"
    return {
        "type": "Dangling",
        "status": "False" if found else "True",
        "lastTransitionTime": now,
        "reason": "Found" if found else "NotFound",
        "message": f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" {joint} {text}',
    }
