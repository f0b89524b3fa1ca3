"""Which requests a webhook or a policy is for: rules, selectors, conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from navarch.api import labelselector
from navarch.api.admissionregistration import expressions
from navarch.apimachinery import names
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    invalid_value,
    not_supported,
    required,
    too_many,
)

ALL = "*"
SCOPES = ("*", "Cluster", "Namespaced")
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
REINVOCATION_POLICIES = ("IfNeeded", "Never")
CONDITIONS_LIMIT = 64
SELECTORS = ("namespaceSelector", "objectSelector")
RULES = ("resourceRules", "excludeResourceRules")
_RESERVED_SUFFIX = ".static.k8s.io"


def warnings(obj: Object, old: Object | None) -> Iterator[str]:
    if obj["metadata"].get("name", "").endswith(_RESERVED_SUFFIX):
        yield (
            f'metadata.name: names ending with "{_RESERVED_SUFFIX}" are reserved for static manifest-based configurations and '
            "cannot be managed via the API"
        )


def default_rules(rules: Iterable[Object]) -> None:
    for rule in rules:
        rule.setdefault("scope", ALL)


def default_resources(match: Object) -> None:
    """Defaults of a MatchResources."""
    match.setdefault("matchPolicy", "Equivalent")
    for field in SELECTORS:
        match.setdefault(field, {})
    for field in RULES:
        default_rules(match.get(field) or ())


def choice(value: str | None, path: str, supported: Sequence[str], *, needed: bool = False) -> Iterator[FieldError]:
    """A field that may be absent unless it is `needed`."""
    if value is None:
        if needed:
            yield required(path)
    elif value not in supported:
        yield not_supported(path, value, supported)


def resources(match: Object, path: str) -> Iterator[FieldError]:
    """A MatchResources."""
    yield from choice(match.get("matchPolicy"), f"{path}.matchPolicy", MATCH_POLICIES)
    for field in SELECTORS:
        yield from labelselector.validate(match[field], f"{path}.{field}")
    for field in RULES:
        for index, item in enumerate(match.get(field) or ()):
            yield from _resource_names(item.get("resourceNames") or (), f"{path}.{field}[{index}].resourceNames")
            yield from rule(item, f"{path}.{field}[{index}]")


def _resource_names(found: Iterable[str], path: str) -> Iterator[FieldError]:
    seen = set()
    for index, name in enumerate(found):
        yield from (invalid_value(f"{path}[{index}]", name, text) for text in names.path_segment(name))
        if name in seen:
            yield duplicate(f"{path}[{index}]", name)
        seen.add(name)


def rule(found: Object, path: str) -> Iterator[FieldError]:
    """A RuleWithOperations."""
    yield from _some(found.get("operations"), f"{path}.operations", "operations")
    for index, operation in enumerate(found.get("operations") or ()):
        yield from choice(operation, f"{path}.operations[{index}]", OPERATIONS)
    yield from _some(found.get("apiGroups"), f"{path}.apiGroups", "API groups")
    yield from _some(found.get("apiVersions"), f"{path}.apiVersions", "API versions")
    for index, version in enumerate(found.get("apiVersions") or ()):
        if not version:
            yield required(f"{path}.apiVersions[{index}]")
    yield from _resources(found.get("resources") or [], f"{path}.resources")
    yield from choice(found.get("scope"), f"{path}.scope", SCOPES)


def _some(values: list[str] | None, path: str, what: str) -> Iterator[FieldError]:
    if not values:
        yield required(path)
    elif len(values) > 1 and ALL in values:
        yield invalid_value(path, values, f"if '*' is present, must not specify other {what}")


def _resources(found: list[str], path: str) -> Iterator[FieldError]:
    """Resources and subresources; what a wildcard stands for must not be named after it."""
    if not found:
        yield required(path)
    whole: set[str] = set()
    everywhere: set[str] = set()
    last_is_named = False
    for index, name in enumerate(found):
        if not name:
            yield required(f"{path}[{index}]")
            continue
        resource, slash, subresource = name.partition("/")
        if not slash:
            last_is_named = name != ALL
            continue
        if resource in whole:
            yield invalid_value(f"{path}[{index}]", name, f"if '{resource}/*' is present, must not specify {name}")
        if subresource in everywhere:
            yield invalid_value(f"{path}[{index}]", name, f"if '*/{subresource}' is present, must not specify {name}")
        if subresource == ALL:
            whole.add(resource)
        if resource == ALL:
            everywhere.add(subresource)
    if len(found) > 1 and "*/*" in found:
        yield invalid_value(path, found, "if '*/*' is present, must not specify other resources")
    # Upstream looks only at the last one that is no subresource.
    if ALL in found and last_is_named:
        yield invalid_value(path, found, "if '*' is present, must not specify other resources without subresources")


def conditions(found: Sequence[Object], path: str, *, params: bool = False) -> Iterator[FieldError]:
    """MatchConditions; those of a policy with parameters may use them."""
    if len(found) > CONDITIONS_LIMIT:
        yield too_many(path, len(found), CONDITIONS_LIMIT)
    seen = set()
    for index, condition in enumerate(found):
        name, where = condition["name"], f"{path}[{index}].name"
        expression = condition["expression"].strip()
        if not expression:
            yield required(f"{path}[{index}].expression")
        else:
            environment = expressions.environment(params=params)
            yield from expressions.compile_errors(expression, f"{path}[{index}].expression", environment, expressions.BOOL)
        if not name:
            yield required(where)
            continue
        yield from (invalid_value(where, name, text) for text in names.qualified_name(name))
        if name in seen:
            yield duplicate(where, name)
        seen.add(name)
