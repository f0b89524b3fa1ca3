"""MutatingAdmissionPolicy: expressions that say how an object is changed before it is stored.

An apply configuration is merged into the object as its schema says, and may hold nothing that is atomic; a JSON patch whose
test fails changes nothing. Nobody comes to manage what a policy has changed. Wording and order are upstream's
(k8s.io/apiserver/pkg/admission/plugin/policy/mutating).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from navarch.api import schemas
from navarch.api.admissionregistration import mutatingadmissionpolicy, mutatingadmissionpolicybinding
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, patch
from navarch.apimachinery.apply import atomics, structure
from navarch.apimachinery.apply.structure import StructureError
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.schema import Schema
from navarch.apiserver.admission import telling
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes, Reinvocation
from navarch.apiserver.admission.metrics import PolicyMetrics
from navarch.apiserver.admission.policies import Candidate, Invocation, Policies, Policy, Problem
from navarch.apiserver.admission.rules import Kinds
from navarch.apiserver.admission.telling import Form
from navarch.apiserver.authorization import AuthorizerChain
from navarch.apiserver.webhookclient import WebhookClient
from navarch.component import clock
from navarch.component.metrics import Registry
from navarch.storage.store import Store

if TYPE_CHECKING:
    from navarch.apimachinery.cel.ast import Node
    from navarch.apiserver.admission.evaluating import Expression

APPLY = "ApplyConfiguration"
Frame = Mapping[str, Any]


class MutationError(Exception):
    """A mutation cannot be made."""


class MutatingPolicy(Policy):
    """One policy, compiled when it is first asked."""

    @cached_property
    def mutations(self) -> list[tuple[str, Expression]]:
        """(patch type, expression)."""
        from navarch.api.admissionregistration import expressions
        from navarch.apiserver.admission.evaluating import Expression

        environment = self.variables.within(expressions.environment(params=self.has_params, patches=True))
        fields = mutatingadmissionpolicy.PATCH_FIELDS
        return [
            (source["patchType"], Expression((source.get(fields[source["patchType"]]) or {})["expression"], environment))
            for source in self.spec.get("mutations") or ()
        ]

    @property
    def is_reinvoked(self) -> bool:
        return bool(self.spec.get("reinvocationPolicy") == "IfNeeded")

    def holds(self, frame: Frame, inline: list[int] | None) -> bool:
        """Whether its conditions do. Raises ExpressionError."""
        return self.conditions is None or self.conditions.hold(frame, inline)

    def evaluate(self, index: int, frame: Frame, inline: list[int] | None) -> Any:
        """What one of its mutations says. Raises MutationError, ExpressionError, OutOfBudgetError."""
        from navarch.apiserver.admission.evaluating import BUDGET, Budget

        expression = self.mutations[index][1]
        if expression.program is not None and (problem := mistyped(expression.program.root)):
            raise MutationError(f"type mismatch: {problem}")
        budget = Budget(BUDGET, inline)
        return plain(self.mutations[index][1].value(self.variables.added(frame, budget), budget))


class MutatingAdmissionPolicy(AdmissionPlugin):
    hears_of_parts = True

    def __init__(
        self, store: Store, kinds: Kinds, webhooks: WebhookClient, authorizer: AuthorizerChain, registry: Registry
    ) -> None:
        kind, binding = mutatingadmissionpolicy.KIND, mutatingadmissionpolicybinding.KIND
        made = Policies(store, kinds, kind, binding, MutatingPolicy, webhooks, self.changed)
        self.policies: Policies[MutatingPolicy] = made
        self._webhooks = webhooks
        self._authorizer = authorizer
        self._metrics = PolicyMetrics(registry, "mutating")

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return self.policies.are_there

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        candidates = self.policies.candidates(attributes)
        return await self._mutated(candidates, attributes, obj, old) if candidates else obj

    async def _mutated(
        self, candidates: tuple[Candidate[MutatingPolicy], ...], attributes: Attributes, obj: Object, old: Object | None
    ) -> Object:
        held = await self.policies.held(candidates, attributes, obj, old)
        problems = list(held.problems)
        if held.invocations:
            obj = await self._invoked(held.invocations, problems, attributes, obj, old)
        problems = [problem for problem in problems if not problem.policy.ignores_failures]
        if problems:
            raise refusal(attributes, problems)
        return obj

    async def _invoked(
        self,
        invocations: list[Invocation[MutatingPolicy]],
        problems: list[Problem],
        attributes: Attributes,
        obj: Object,
        old: Object | None,
    ) -> Object:
        if attributes.reinvocation is None:
            attributes.reinvocation = Reinvocation()
        reinvocation = attributes.reinvocation
        asked = reinvocation.of(type(self).__name__)
        if reinvocation.is_second and obj != asked.last:
            asked.changed()
        for invocation in invocations:
            key = _key(invocation)
            run = _Run(self, attributes, invocation, old)
            try:
                if not await run.holds(obj) or (reinvocation.is_second and key not in asked.again):
                    continue
            except MutationError as error:
                problems.append(Problem(invocation.policy, invocation.binding, str(error), "Invalid"))
                continue
            made = await run.mutated(obj, problems)
            if made != obj:
                obj = made
                asked.changed()
                reinvocation.is_wanted = True
            if invocation.policy.is_reinvoked:
                asked.before.add(key)
        asked.last = obj
        return obj


class _Run:
    """One policy, binding and parameter, and one request."""

    def __init__(
        self,
        plugin: MutatingAdmissionPolicy,
        attributes: Attributes,
        invocation: Invocation[MutatingPolicy],
        old: Object | None,
    ) -> None:
        self._plugin = plugin
        self._attributes = attributes
        self._invocation = invocation
        self._old = old

    async def holds(self, obj: Object) -> bool:
        """Whether the conditions of the policy do. Raises MutationError."""
        from navarch.apiserver.admission import evaluating

        policy = self._invocation.policy
        if policy.conditions is None:
            return True
        frame = await self._frame(await self._shown(obj))
        try:
            return await evaluating.fairly(lambda inline: policy.holds(frame, inline))
        except evaluating.ExpressionError as error:
            raise MutationError(str(error)) from None

    async def mutated(self, obj: Object, problems: list[Problem]) -> Object:
        """The object after all mutations that could be made."""
        policy, binding = self._invocation.policy, self._invocation.binding
        for index in range(len(policy.mutations)):
            started, failed = clock.monotonic(), False
            try:
                obj = await self._one(index, obj)
            except MutationError as error:
                failed = True
                problems.append(Problem(policy, binding, str(error), "Invalid"))
            finally:
                seconds = clock.monotonic() - started
                self._plugin._metrics.checked(policy.name, binding.name, failed, "", seconds)
        return obj

    async def _one(self, index: int, obj: Object) -> Object:
        from navarch.apiserver.admission import evaluating

        policy, form = self._invocation.policy, self._invocation.form
        shown = await self._shown(obj)
        frame = await self._frame(shown)
        try:
            said = await evaluating.fairly(lambda inline: policy.evaluate(index, frame, inline))
        except (evaluating.ExpressionError, evaluating.OutOfBudgetError) as error:
            raise MutationError(str(error)) from None
        assert shown is not None
        made = applied(form, shown, said) if policy.mutations[index][0] == APPLY else patched(shown, said)
        if made is shown:
            return obj
        return await telling.converted(
            lambda: form.take(made, obj, is_new=self._old is None), form.kind, self._plugin._webhooks
        )

    async def _shown(self, obj: Object | None) -> Object | None:
        form = self._invocation.form
        return await telling.converted(lambda: form.show(obj), form.kind, self._plugin._webhooks)

    async def _frame(self, shown: Object | None) -> dict[str, Any]:
        from navarch.apiserver.admission import evaluating

        plugin, invocation = self._plugin, self._invocation
        namespace = plugin.policies.namespace(self._attributes)
        objects = shown, await self._shown(self._old)
        return evaluating.frame(self._attributes, invocation.form, objects, plugin._authorizer, invocation.params, namespace)


def _key(invocation: Invocation[MutatingPolicy]) -> tuple[str, ...]:
    params = invocation.params
    named = (meta.namespace(params), meta.name(params)) if params is not None else ()
    return (invocation.policy.name, invocation.binding.name, *named)


def applied(form: Form, shown: Object, configuration: Object) -> Object:
    """An apply configuration merged into an object. Raises MutationError, StatusError."""
    schema = _schema(form)
    whole = {**configuration, "apiVersion": shown.get("apiVersion"), "kind": shown.get("kind")}
    found = structure.of(schema)
    try:
        structure.refuse(found, whole)
    except StructureError as error:
        raise MutationError(f"error applying patch: failed to convert patch object to typed object: {error}") from None
    atomic = list(atomics.paths(schema, whole))
    if atomic:
        text = f"may not mutate atomic arrays, maps or structs: {', '.join(atomic)}"
        raise MutationError(f"error applying patch: invalid ApplyConfiguration: {text}")
    try:
        merged: Object = found.merge(shown, whole)
    except StructureError as error:
        raise MutationError(f"error applying patch: failed to merge patch: {error}") from None
    return merged


def _schema(form: Form) -> Schema:
    spoken, kind = form.spoken, form.kind
    if (spoken.group, spoken.version, spoken.kind) == (kind.group, kind.version, kind.kind):
        return schemas.of(kind)
    try:
        return schemas.definitions().get(schemas.name_of(spoken.group, spoken.version, spoken.kind))
    except KeyError:
        group_version = f"{spoken.group}/{spoken.version}"
        text = f"Resource kind {group_version}, Kind={spoken.kind} not found. There can be a delay between when "
        text += "CustomResourceDefinitions are created and when they are available."
        raise errors.service_unavailable(text) from None


def patched(shown: Object, operations: Any) -> Any:
    """A JSON patch applied to an object: the same one, if a test of the patch fails. Raises MutationError."""
    try:
        return patch.json_patch(shown, operations)
    except patch.TestFailedError:
        return shown
    except patch.PatchError as error:
        raise MutationError(f"JSONPath: {error}") from None


def mistyped(root: Node) -> str:
    """What is wrong with the names of objects that are written inside of one another: each is named by its path. Else ""."""
    from navarch.apimachinery.cel.ast import MessageNode, descend

    places = ((node, entry) for node in descend(root) if isinstance(node, MessageNode) for entry in node.entries)
    for node, entry in places:
        expected = f"{node.type_name}.{entry.key}"
        below = getattr(entry.value, "elements", [entry.value])
        for found in below:
            if node.type_name.startswith("Object") and isinstance(found, MessageNode) and found.type_name != expected:
                quoted = f'"{found.type_name}", expected "{expected}"'
                return f"unexpected type name {quoted}, which matches field name path from root Object type"
    return ""


def plain(value: Any) -> Any:
    """What an expression says, as JSON. Raises ExpressionError."""
    from navarch.apimachinery.cel import moments
    from navarch.apimachinery.cel.values import Duration, Timestamp, keys
    from navarch.apiserver.admission.evaluating import ExpressionError

    if isinstance(value, Mapping):
        return {_key_text(key): plain(item) for key, item in zip(keys(value), value.values(), strict=True)}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Timestamp):
        return moments.show_timestamp(value)
    if isinstance(value, Duration):
        return moments.show_duration(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ExpressionError(f"JSONPath valueExpression evaluated to a type that could not marshal to JSON: {value!r}")


def _key_text(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key)


def refusal(attributes: Attributes, problems: list[Problem]) -> StatusError:
    kind = attributes.kind
    error = errors.forbidden(kind.group, kind.plural, attributes.name or "Unknown", "admission request denied by policy")
    texts = [_said(problem) for problem in problems]
    error.status["message"] = texts[0]
    error.status["reason"] = problems[0].reason or error.status["reason"]
    error.status["details"]["causes"] = [{"message": text} for text in texts]
    return error


def _said(problem: Problem) -> str:
    if problem.binding is None:
        return f"policy {json.dumps(problem.policy.name)} denied request: {problem.text}"
    return f"policy '{problem.policy.name}' with binding '{problem.binding.name}' denied request: {problem.text}"
