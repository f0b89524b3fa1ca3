"""What validating and mutating webhooks have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from navarch.api import labelselector, printing
from navarch.api.admissionregistration import clientconfig, matching
from navarch.api.kind import AGE, NAME, Column
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, duplicate, invalid_value, required

TIMEOUT_SECONDS, TIMEOUT_LIMIT_SECONDS = 10, 30
SIDE_EFFECTS = ("None", "NoneOnDryRun")
REVIEW_VERSIONS = ("v1", "v1beta1")
COLUMNS = (NAME, Column("Webhooks", "integer"), AGE)


def default(configuration: Object) -> Object:
    for hook in configuration.get("webhooks") or ():
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("matchPolicy", "Equivalent")
        for field in matching.SELECTORS:
            hook.setdefault(field, {})
        hook.setdefault("timeoutSeconds", TIMEOUT_SECONDS)
        clientconfig.default(hook["clientConfig"])
        matching.default_rules(hook.get("rules") or ())
    return configuration


def validate(configuration: Object, more: Callable[[Object, str], Iterator[FieldError]] | None = None) -> Iterator[FieldError]:
    """`more`: what else is wrong with a hook at a path."""
    seen = set()
    for index, hook in enumerate(configuration.get("webhooks") or ()):
        path, name = f"webhooks[{index}]", hook["name"]
        yield from _hook(hook, path, more)
        yield from _review_versions(hook["admissionReviewVersions"], f"{path}.admissionReviewVersions")
        if name and name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)


def _hook(hook: Object, path: str, more: Callable[[Object, str], Iterator[FieldError]] | None) -> Iterator[FieldError]:
    name, effects, timeout = hook["name"], hook.get("sideEffects"), hook["timeoutSeconds"]
    if not name:
        yield required(f"{path}.name")
    else:
        yield from (invalid_value(f"{path}.name", name, text) for text in names.fully_qualified(name))
    for index, rule in enumerate(hook.get("rules") or ()):
        yield from matching.rule(rule, f"{path}.rules[{index}]")
    yield from matching.choice(hook["failurePolicy"], f"{path}.failurePolicy", matching.FAILURE_POLICIES)
    yield from matching.choice(hook["matchPolicy"], f"{path}.matchPolicy", matching.MATCH_POLICIES)
    if effects is None:
        yield required(f"{path}.sideEffects", f"must specify one of {', '.join(SIDE_EFFECTS)}")
    yield from matching.choice(effects, f"{path}.sideEffects", SIDE_EFFECTS)
    if not 1 <= timeout <= TIMEOUT_LIMIT_SECONDS:
        text = f"the timeout value must be between 1 and {TIMEOUT_LIMIT_SECONDS} seconds"
        yield invalid_value(f"{path}.timeoutSeconds", timeout, text)
    for field in matching.SELECTORS:
        yield from labelselector.validate(hook[field], f"{path}.{field}")
    if more is not None:
        yield from more(hook, path)
    yield from clientconfig.validate(hook["clientConfig"], f"{path}.clientConfig")
    yield from matching.conditions(hook.get("matchConditions") or (), f"{path}.matchConditions")


def _review_versions(versions: list[str], path: str) -> Iterator[FieldError]:
    understood = ", ".join(REVIEW_VERSIONS)
    if not versions:
        yield required(path, f"must specify one of {understood}")
        return
    seen = set()
    for index, version in enumerate(versions):
        if version in seen:
            yield invalid_value(f"{path}[{index}]", version, "duplicate version")
            continue
        seen.add(version)
        yield from (invalid_value(f"{path}[{index}]", version, text) for text in names.dns1035_label(version))
    if seen.isdisjoint(REVIEW_VERSIONS):
        yield invalid_value(path, versions, f"must include at least one of {understood}")


def row(configuration: Object, now: datetime) -> list[Any]:
    hooks = configuration.get("webhooks") or ()
    return [configuration["metadata"]["name"], len(hooks), printing.age(configuration, now)]
