"""The webhooks of all configurations, compiled, in the order in which they are asked; found by what a request is about."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from navarch.api.admissionregistration import webhooks
from navarch.api.kind import Kind
from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object
from navarch.apimachinery.selectors import Selector
from navarch.apiserver.admission import rules, telling
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.admission.rules import Kinds, Rule
from navarch.storage.changes import Change
from navarch.storage.store import Store

if TYPE_CHECKING:
    from navarch.apiserver.admission.evaluating import Conditions

logger = logging.getLogger(__name__)

SITUATIONS_REMEMBERED = 4096
"""Kinds, operations and subresources whose hooks are known without looking."""


@dataclass(frozen=True, slots=True, eq=False)
class Hook:
    """One webhook."""

    uid: str
    name: str
    client_config: Object
    rules: tuple[Rule, ...]
    is_exact: bool
    namespace_selector: Selector
    object_selector: Selector
    conditions: Callable[[], Conditions] | None
    """Compiles them, once."""
    ignores_failures: bool
    timeout_seconds: int
    review_version: str
    """Of the versions that both sides know, the one that the webhook prefers."""
    keeps_dry_runs: bool
    """Whether it does nothing else where a request is only tried."""
    is_reinvoked: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A hook that requests are told to, as if they were about that kind."""

    hook: Hook
    kind: Kind


class Hooks:
    """Those of all configurations of one kind in the store."""

    def __init__(self, store: Store, configuration: Kind, kinds: Kinds, on_change: Callable[[], None]) -> None:
        """`on_change` hears when there are some and there were none, or the other way round."""
        self._configuration = configuration
        self._kinds = kinds
        self._found: dict[str, list[Hook]] = {}
        self._ordered: tuple[Hook, ...] = ()
        self._calls: dict[tuple[Kind, str, str], tuple[Call, ...]] = {}
        self.are_there = False
        self._on_change = on_change
        prefix = configuration.key_prefix
        for record in store.collection(prefix).range(prefix):
            self._take(record.object())
        self._collect()
        store.watch(prefix, prefix, store.revision, self._changed)

    def of(self, attributes: Attributes) -> tuple[Call, ...]:
        """Who is asked about such a request, if selectors and conditions allow it."""
        place = attributes.kind, attributes.operation, telling.subresource(attributes)
        calls = self._calls.get(place)
        if calls is None:
            if len(self._calls) >= SITUATIONS_REMEMBERED:
                self._calls.clear()
            calls = self._calls[place] = tuple(self._find(*place))
        return calls if calls and telling.is_told(attributes) else ()

    def forget(self) -> None:
        """Other kinds are served than before."""
        self._calls.clear()

    def _find(self, kind: Kind, operation: str, subresource: str) -> list[Call]:
        others = rules.equivalents(kind, self._kinds())
        calls = []
        for hook in self._ordered:
            match = rules.first(rules.matches(hook.rules, hook.is_exact, operation, kind, subresource, others), "")
            if match is not None:
                calls.append(Call(hook, match.kind))
        return calls

    def _changed(self, changes: list[Change]) -> None:
        for change in changes:
            if change.deleted:
                self._found.pop(meta.name(change.object), None)
            else:
                self._take(change.object)
        self._collect()

    def _take(self, configuration: Object) -> None:
        name = meta.name(configuration)
        try:
            found = [hook(source, f"{name}/{index}") for index, source in enumerate(configuration.get("webhooks") or ())]
        except Exception:
            # What other programs have stored may be anything; requests go on without it.
            logger.exception("%s %s cannot be followed", self._configuration.kind, name)
            found = []
        self._found[name] = found

    def _collect(self) -> None:
        self._ordered = tuple(hook for _, found in sorted(self._found.items()) for hook in found)
        self._calls.clear()
        before, self.are_there = self.are_there, bool(self._ordered)
        if self.are_there != before:
            self._on_change()


def hook(source: Object, uid: str) -> Hook:
    """A webhook of a configuration."""
    ignores = source.get("failurePolicy") == "Ignore"
    conditions = source.get("matchConditions") or ()
    versions = source.get("admissionReviewVersions") or ()
    return Hook(
        uid,
        source["name"],
        source["clientConfig"],
        tuple(Rule.of(rule) for rule in source.get("rules") or ()),
        source.get("matchPolicy") == "Exact",
        selectors.from_label_selector(source.get("namespaceSelector") or {}),
        selectors.from_label_selector(source.get("objectSelector") or {}),
        _compiling(list(conditions), ignores) if conditions else None,
        ignores,
        source.get("timeoutSeconds") or webhooks.TIMEOUT_SECONDS,
        next((version for version in versions if version in webhooks.REVIEW_VERSIONS), webhooks.REVIEW_VERSIONS[0]),
        source.get("sideEffects") in webhooks.SIDE_EFFECTS,
        source.get("reinvocationPolicy") == "IfNeeded",
    )


def _compiling(sources: list[Object], ignores_failures: bool) -> Callable[[], Conditions]:
    @cache
    def compiled() -> Conditions:
        # Whoever has no conditions need not load the language.
        from navarch.apiserver.admission.evaluating import Conditions

        return Conditions(sources, params=False, ignores_failures=ignores_failures)

    return compiled


def selects_object(selector: Selector, obj: Object | None, old: Object | None) -> bool:
    """Whether the object or what it was before is selected."""
    return any(_is_selected(selector, each) for each in (obj, old))


def _is_selected(selector: Selector, obj: Object | None) -> bool:
    # What has no metadata, such as the options of a connection, is never selected.
    return obj is not None and "metadata" in obj and selector.matches(meta.labels(obj))
