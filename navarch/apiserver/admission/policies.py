"""Policies and their bindings, as the store has them: which hold for a request, and with which parameters.

What both kinds of policies have in common. Which policies can hold is known by kind, operation and subresource before a request
comes; selectors and names are looked at then. A policy is compiled when it is first needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from navarch.api.core import namespace as namespaces
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, selectors
from navarch.apimachinery.errors import Object
from navarch.apimachinery.selectors import Selector
from navarch.apiserver.admission import hooks, rules, telling
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.admission.rules import Kinds, Match, Rule
from navarch.apiserver.admission.telling import Form
from navarch.apiserver.webhookclient import WebhookClient
from navarch.storage.changes import Change
from navarch.storage.store import Store

if TYPE_CHECKING:
    from navarch.apiserver.admission.evaluating import Conditions, Variables

P = TypeVar("P", bound="Policy")
logger = logging.getLogger(__name__)

SITUATIONS_REMEMBERED = 4096
PARAMS_LIMIT = 10_000
"""So many parameters one binding may select."""
_DENIED = "no params found for policy binding with `Deny` parameterNotFoundAction"


class ConfigurationError(Exception):
    """A policy or a binding cannot be carried out; whose fault that is the caller knows."""


class Criteria:
    """MatchResources."""

    def __init__(self, source: Object) -> None:
        self.namespaces: Selector = selectors.from_label_selector(source.get("namespaceSelector") or {})
        self.objects: Selector = selectors.from_label_selector(source.get("objectSelector") or {})
        self._is_exact = source.get("matchPolicy") == "Exact"
        self._rules = [Rule.of(rule) for rule in source.get("resourceRules") or ()]
        self._excluded = [Rule.of(rule) for rule in source.get("excludeResourceRules") or ()]

    def chosen(self, kind: Kind, operation: str, subresource: str, others: list[Kind]) -> Chosen | None:
        """What is left to be looked at of requests about a kind; None: nothing, they are not meant."""
        place = self._is_exact, operation, kind, subresource, others
        included = rules.matches(self._rules, *place) if self._rules else [Match(kind, frozenset())]
        excluded = rules.matches(self._excluded, *place)
        if not included or any(not match.names for match in excluded):
            return None
        return Chosen(self, tuple(included), tuple(excluded))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Criteria by which requests about some kind may be meant."""

    criteria: Criteria
    included: tuple[Match, ...]
    excluded: tuple[Match, ...]

    def match(self, store: Store, attributes: Attributes, obj: Object | None, old: Object | None) -> Kind | None:
        """The kind that a request is told as; None if it is not meant. Raises 404 where its namespace is not there."""
        by_namespace, by_object = self.criteria.namespaces, self.criteria.objects
        if not by_object.is_everything and not hooks.selects_object(by_object, obj, old):
            return None
        if rules.first(self.excluded, attributes.name) is not None:
            return None
        found = rules.first(self.included, attributes.name)
        if found is None:
            return None
        if not by_namespace.is_everything and telling.namespace(attributes):
            labels = telling.namespace_labels(store, attributes, obj)
            return found.kind if by_namespace.matches(labels) else None
        return found.kind


class Policy:
    """A policy of either kind."""

    def __init__(self, source: Object) -> None:
        self.source = source
        self.spec: Object = source["spec"]
        self.name = meta.name(source)
        self.criteria = Criteria(self.spec.get("matchConstraints") or {})
        self.ignores_failures = self.spec.get("failurePolicy") == "Ignore"
        self.param_kind: Object | None = self.spec.get("paramKind")

    @property
    def has_params(self) -> bool:
        return self.param_kind is not None

    @cached_property
    def conditions(self) -> Conditions | None:
        from navarch.apiserver.admission.evaluating import Conditions

        sources = self.spec.get("matchConditions") or ()
        if not sources:
            return None
        return Conditions(sources, params=self.has_params, ignores_failures=self.ignores_failures)

    @cached_property
    def variables(self) -> Variables:
        from navarch.api.admissionregistration import expressions
        from navarch.apiserver.admission.evaluating import Variables

        return Variables(self.spec.get("variables") or (), expressions.environment(params=self.has_params))


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a policy holds."""

    source: Object
    name: str
    policy: str
    criteria: Criteria | None
    param_ref: Object | None
    actions: tuple[str, ...]

    @classmethod
    def of(cls, source: Object) -> Binding:
        spec = source["spec"]
        match = spec.get("matchResources")
        criteria = Criteria(match) if match is not None else None
        actions = tuple(spec.get("validationActions") or ())
        return cls(source, meta.name(source), spec.get("policyName") or "", criteria, spec.get("paramRef"), actions)


@dataclass(frozen=True, slots=True)
class Candidate(Generic[P]):
    """A policy that may hold for requests about some kind, by these of its bindings."""

    policy: P
    chosen: Chosen
    bindings: tuple[tuple[Binding, Chosen | None], ...]
    """None: wherever the policy does."""


@dataclass(slots=True)
class Problem:
    """What is wrong with a policy (`binding` None) or one of its bindings."""

    policy: Policy
    binding: Binding | None
    text: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Invocation(Generic[P]):
    """A policy that holds for a request, by a binding, with a parameter."""

    policy: P
    binding: Binding
    form: Form
    params: Object | None


@dataclass(slots=True)
class Held(Generic[P]):
    """All that holds for one request."""

    invocations: list[Invocation[P]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class Policies(Generic[P]):
    """All policies of one kind, and their bindings."""

    def __init__(
        self,
        store: Store,
        kinds: Kinds,
        policy: Kind,
        binding: Kind,
        make: Callable[[Object], P],
        webhooks: WebhookClient,
        on_change: Callable[[], None],
    ) -> None:
        """`make` takes a policy as it is stored; `webhooks` convert parameters.

        `on_change` hears when any is bound and none was, or the other way round.
        """
        self._store = store
        self._kinds = kinds
        self._webhooks = webhooks
        self._policies: dict[str, P] = {}
        self._bindings: dict[str, Binding] = {}
        self._candidates: dict[tuple[Kind, str, str], tuple[Candidate[P], ...]] = {}
        self.are_there = False
        self._on_change = on_change
        self._follow(policy, make, self._policies)
        self._follow(binding, Binding.of, self._bindings)

    def _follow(self, kind: Kind, made: Callable[[Object], Any], found: dict[str, Any]) -> None:
        prefix = kind.key_prefix

        def take(obj: Object) -> None:
            try:
                found[meta.name(obj)] = made(obj)
            except Exception:
                # What other programs have stored may be anything; requests go on without it.
                logger.exception("%s %s cannot be followed", kind.kind, meta.name(obj))
                found.pop(meta.name(obj), None)

        for record in self._store.collection(prefix).range(prefix):
            take(record.object())
        self._collect()

        def changed(changes: list[Change]) -> None:
            for change in changes:
                if change.deleted:
                    found.pop(meta.name(change.object), None)
                else:
                    take(change.object)
            self._collect()

        self._store.watch(prefix, prefix, self._store.revision, changed)

    def _collect(self) -> None:
        self._candidates.clear()
        before, self.are_there = self.are_there, any(item.policy in self._policies for item in self._bindings.values())
        if self.are_there != before:
            self._on_change()

    def forget(self) -> None:
        """Other kinds are served than before."""
        self._candidates.clear()

    # What holds

    def candidates(self, attributes: Attributes) -> tuple[Candidate[P], ...]:
        """What may hold for such a request."""
        place = attributes.kind, attributes.operation, telling.subresource(attributes)
        found = self._candidates.get(place)
        if found is None:
            if len(self._candidates) >= SITUATIONS_REMEMBERED:
                self._candidates.clear()
            found = self._candidates[place] = tuple(self._find(*place))
        return found if found and telling.is_told(attributes) else ()

    def _find(self, kind: Kind, operation: str, subresource: str) -> Iterator[Candidate[P]]:
        others = rules.equivalents(kind, self._kinds())
        for name, policy in sorted(self._policies.items()):
            chosen = policy.criteria.chosen(kind, operation, subresource, others)
            if chosen is None:
                continue
            bindings: list[tuple[Binding, Chosen | None]] = []
            for _, binding in sorted(self._bindings.items()):
                if binding.policy != name:
                    continue
                if binding.criteria is None:
                    bindings.append((binding, None))
                elif (by_binding := binding.criteria.chosen(kind, operation, subresource, others)) is not None:
                    bindings.append((binding, by_binding))
            if bindings:
                yield Candidate(policy, chosen, tuple(bindings))

    async def held(
        self, candidates: tuple[Candidate[P], ...], attributes: Attributes, obj: Object | None, old: Object | None
    ) -> Held[P]:
        """What of this does hold, and with which parameters. Raises StatusError."""
        found: Held[P] = Held()
        for candidate in candidates:
            policy = candidate.policy
            kind = candidate.chosen.match(self._store, attributes, obj, old)
            if kind is None:
                continue
            form = Form(kind, telling.subresource(attributes))
            try:
                param_kind = self._param_kind(policy)
            except ConfigurationError as error:
                found.problems.append(Problem(policy, None, f"failed to configure policy: {error}"))
                continue
            for binding, chosen in candidate.bindings:
                if chosen is not None and chosen.match(self._store, attributes, obj, old) is None:
                    continue
                try:
                    params = await self._params(param_kind, binding, telling.namespace(attributes))
                except ConfigurationError as error:
                    found.problems.append(Problem(policy, binding, f"failed to configure binding: {error}"))
                    continue
                found.invocations += [Invocation(policy, binding, form, each) for each in params]
        return found

    def namespace(self, attributes: Attributes) -> Object | None:
        """The namespace that expressions may look at. Raises 404."""
        if not attributes.namespace or attributes.kind is namespaces.KIND:
            return None
        found = telling.namespace_object(self._store, attributes.namespace)
        if found is None:
            raise errors.not_found("", "namespaces", attributes.namespace)
        return found

    # Parameters

    def _param_kind(self, policy: Policy) -> Kind | None:
        wanted = policy.param_kind
        if wanted is None:
            return None
        place = wanted.get("apiVersion") or "", wanted.get("kind") or ""
        for kind in self._kinds():
            if (kind.api_version, kind.kind) == place:
                return kind
        group, _, version = place[0].rpartition("/")
        shown = f"{group}/{version}, Kind={place[1]}"
        raise ConfigurationError(f"failed to find resource referenced by paramKind: '{shown}'")

    async def _params(self, kind: Kind | None, binding: Binding, namespace: str) -> list[Object | None]:
        """With what a binding has its policy evaluated; nothing where it need not be. Raises ConfigurationError."""
        reference = binding.param_ref
        if kind is None or reference is None:
            return [None]
        wanted = reference.get("namespace") or ""
        if not kind.namespaced and wanted:
            raise ConfigurationError("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        under = wanted or namespace
        if kind.namespaced and not under:
            raise ConfigurationError("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
        found = self._stored_params(kind, reference, under)
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            raise ConfigurationError(_DENIED)
        return [await self._shown(kind, obj) for obj in found]

    def _stored_params(self, kind: Kind, reference: Object, namespace: str) -> list[Object]:
        name = reference.get("name")
        if name:
            record = self._store.latest(kind.key_prefix, kind.key(namespace, name))
            return [record.object()] if record is not None else []
        selector = selectors.from_label_selector(reference.get("selector") or {})
        under = f"{kind.key_prefix}{namespace}/" if kind.namespaced else kind.key_prefix
        objects = (record.object() for record in self._store.collection(kind.key_prefix).range(under))
        return list(islice((obj for obj in objects if selector.matches(meta.labels(obj))), PARAMS_LIMIT))

    async def _shown(self, kind: Kind, obj: Object) -> Object:
        return await telling.converted(lambda: kind.from_stored(obj), kind, self._webhooks)
