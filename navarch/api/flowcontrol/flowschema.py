"""FlowSchema: which requests belong to which priority level, and which of them to one flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.flowcontrol import builtin
from navarch.api.internalform import invalid_struct
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.objectmeta import RESET_FOR_STATUS
from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)

_SPEC = "io.k8s.api.flowcontrol.v1.FlowSchemaSpec"
PRECEDENCE, PRECEDENCE_LIMIT = 1000, 10000
METHODS = ("ByNamespace", "ByUser")
SUBJECTS = ("Group", "ServiceAccount", "User")
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_SUBJECT_FIELDS = {"ServiceAccount": "serviceAccount", "User": "user", "Group": "group"}


def default(schema: Object) -> Object:
    spec = schema.setdefault("spec", {})
    spec.setdefault("priorityLevelConfiguration", {"name": ""})
    spec["matchingPrecedence"] = spec.get("matchingPrecedence") or PRECEDENCE
    return schema


def prepare_create(schema: Object) -> Object:
    return {**schema, "status": {}}


def validate(schema: Object) -> Iterator[FieldError]:
    name, spec = meta.name(schema), schema["spec"]
    precedence, method = spec["matchingPrecedence"], spec.get("distinguisherMethod")
    if precedence <= 0:
        yield invalid_value("spec.matchingPrecedence", precedence, "must be a positive value")
    if precedence > PRECEDENCE_LIMIT:
        yield invalid_value("spec.matchingPrecedence", precedence, f"must not be greater than {PRECEDENCE_LIMIT}")
    if precedence == 1 and name != "exempt":
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        yield invalid_value("spec.matchingPrecedence", precedence, text)
    if method is not None and method["type"] not in METHODS:
        yield not_supported("spec.distinguisherMethod.type", {"Type": method["type"]}, METHODS)
    level, path = spec["priorityLevelConfiguration"]["name"], "spec.priorityLevelConfiguration.name"
    if level:
        yield from (invalid_value(path, level, text) for text in names.dns1123_subdomain(level))
    else:
        yield required(path, "must reference a priority level")
    for index, rule in enumerate(spec.get("rules") or ()):
        yield from _rule(rule, f"spec.rules[{index}]")
    if name in builtin.MANDATORY_SCHEMAS and spec != builtin.MANDATORY_SCHEMAS[name]:
        yield invalid_struct("spec", spec, _SPEC, f"spec of '{name}' must equal the fixed value")


def _rule(rule: Object, path: str) -> Iterator[FieldError]:
    for index, subject in enumerate(rule["subjects"]):
        yield from _subject(subject, f"{path}.subjects[{index}]")
    if not rule["subjects"]:
        yield required(f"{path}.subjects", "subjects must contain at least one value")
    resources, paths = rule.get("resourceRules") or (), rule.get("nonResourceRules") or ()
    if not resources and not paths:
        yield required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, item in enumerate(resources):
        yield from _resource_rule(item, f"{path}.resourceRules[{index}]")
    for index, item in enumerate(paths):
        yield from _path_rule(item, f"{path}.nonResourceRules[{index}]")


def _subject(subject: Object, path: str) -> Iterator[FieldError]:
    kind = subject["kind"]
    if kind not in SUBJECTS:
        yield not_supported(f"{path}.kind", kind, SUBJECTS)
        return
    field = _SUBJECT_FIELDS[kind]
    named = subject.get(field)
    if named is None:
        yield required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'")
    elif not named["name"]:
        yield required(f"{path}.{field}.name")
    if named is not None and kind == "ServiceAccount":
        yield from _account(named, f"{path}.{field}")
    for other, its_field in _SUBJECT_FIELDS.items():
        if other != kind and subject.get(its_field) is not None:
            yield forbidden_field(f"{path}.{its_field}", f"{its_field} is forbidden when subject kind is not '{other}'")


def _account(account: Object, path: str) -> Iterator[FieldError]:
    name, namespace = account["name"], account["namespace"]
    if name and name != builtin.EVERYTHING:
        yield from (invalid_value(f"{path}.name", name, text) for text in names.dns1123_subdomain(name))
    if not namespace:
        yield required(f"{path}.namespace", "must specify namespace for service account")
    else:
        yield from (invalid_value(f"{path}.namespace", namespace, text) for text in names.dns1123_label(namespace))


def _verbs(verbs: list[str], path: str) -> Iterator[FieldError]:
    if not verbs:
        yield required(f"{path}.verbs", "verbs must contain at least one value")
    elif builtin.EVERYTHING in verbs:
        yield from _alone(verbs, f"{path}.verbs", "verbs")
    elif not set(verbs) <= set(VERBS):
        yield not_supported(f"{path}.verbs", verbs, VERBS)


def _alone(values: list[str], path: str, what: str) -> Iterator[FieldError]:
    if builtin.EVERYTHING in values and len(values) > 1:
        yield invalid_value(path, values, f"if '*' is present, must not specify other {what}")


def _resource_rule(rule: Object, path: str) -> Iterator[FieldError]:
    yield from _verbs(rule["verbs"], path)
    for field, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        if not rule[field]:
            yield required(f"{path}.{field}", f"resource rules must supply at least one {one}")
        else:
            yield from _alone(rule[field], f"{path}.{field}", many)
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        yield required(f"{path}.namespaces", text)
    elif builtin.EVERYTHING in namespaces:
        yield from _alone(namespaces, f"{path}.namespaces", "namespaces")
    else:
        for index, namespace in enumerate(namespaces):
            for text in names.dns1123_label(namespace):
                intro = "each member of this list must be '*' or a DNS-1123 label; "
                yield invalid_value(f"{path}.namespaces[{index}]", namespace, intro + text)


def _path_rule(rule: Object, path: str) -> Iterator[FieldError]:
    yield from _verbs(rule["verbs"], path)
    urls = rule["nonResourceURLs"]
    if not urls:
        yield required(f"{path}.nonResourceURLs", "nonResourceURLs must contain at least one value")
    elif builtin.EVERYTHING in urls:
        yield from _alone(urls, f"{path}.nonResourceURLs", "non-resource URLs")
    else:
        for index, url in enumerate(urls):
            problem = _url_problem(url)
            if problem:
                yield invalid_value(f"{path}.nonResourceURLs[{index}]", url, problem)


def _url_problem(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    if url.count("*") > 1 or ("*" in url and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""


def validate_conditions(conditions: Iterable[Object]) -> Iterator[FieldError]:
    seen = set()
    for index, condition in enumerate(conditions):
        type_ = condition.get("type", "")
        if type_ in seen:
            yield duplicate(f"status.conditions[{index}].type", type_)
        seen.add(type_)
        if not type_:
            yield required(f"status.conditions[{index}].type", "must not be empty")


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_conditions((new.get("status") or {}).get("conditions") or ())


def row(schema: Object, now: datetime) -> list[Any]:
    spec = schema["spec"]
    dangling = meta.condition(schema, "Dangling")
    return [
        meta.name(schema),
        spec["priorityLevelConfiguration"]["name"],
        spec["matchingPrecedence"],
        (spec.get("distinguisherMethod") or {}).get("type", printing.NONE),
        printing.age(schema, now),
        "?" if dangling is None else dangling.get("status", ""),
    ]


KIND = Kind(
    group="flowcontrol.apiserver.k8s.io",
    version="v1",
    kind="FlowSchema",
    plural="flowschemas",
    namespaced=False,
    subresources=("status",),
    default=default,
    prepare_create=prepare_create,
    status_keeps_metadata=RESET_FOR_STATUS,
    validate=validate,
    validate_status_update=validate_status_update,
    has_generation=True,
    columns=(
        NAME,
        Column("PriorityLevel"),
        Column("MatchingPrecedence"),
        Column("DistinguisherMethod"),
        AGE,
        Column("MissingPL"),
    ),
    row=row,
    row_order=lambda obj: (obj["spec"]["matchingPrecedence"], meta.name(obj)),
)
