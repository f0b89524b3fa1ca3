"""ValidatingAdmissionPolicy: requests are held against expressions, and refused, warned of or noted as the bindings say.

Wording, order and what failures come to are upstream's (k8s.io/apiserver/pkg/admission/plugin/policy/validating).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from navarch.api.admissionregistration import validatingadmissionpolicy, validatingadmissionpolicybinding
from navarch.api.kind import Kind
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission import telling
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.apiserver.admission.metrics import PolicyMetrics
from navarch.apiserver.admission.policies import Binding, Candidate, Invocation, Policies, Policy
from navarch.apiserver.admission.rules import Kinds
from navarch.apiserver.admission.telling import Form
from navarch.apiserver.authorization import AuthorizerChain
from navarch.apiserver.webhookclient import WebhookClient
from navarch.component import clock
from navarch.component.metrics import Registry
from navarch.storage.store import Store

if TYPE_CHECKING:
    from navarch.apiserver.admission.evaluating import Budget, Expression

MESSAGE_LIMIT_BYTES = 5 * 1024
ANNOTATION_LIMIT_BYTES = 10 * 1024
FAILURE_ANNOTATION = "validation.policy.admission.k8s.io/validation_failure"
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}
Frame = Mapping[str, Any]


@dataclass(slots=True)
class Decision:
    """A validation that does not hold, or that has no value (`is_failure`)."""

    index: int
    message: str
    reason: str = ""
    is_failure: bool = False


@dataclass(slots=True)
class Outcome:
    """What a policy comes to, with one parameter."""

    decisions: list[Decision] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    problems: list[Decision] = field(default_factory=list)
    """Of annotations: whatever the binding wants, these refuse."""


@dataclass(frozen=True, slots=True)
class _Validation:
    source: Object
    expression: Expression
    message: Expression | None

    @property
    def said(self) -> str:
        """What is said where no expression makes a better message."""
        return (self.source.get("message") or "").strip() or f"failed expression: {self.source['expression'].strip()}"


class ValidatingPolicy(Policy):
    """One policy, compiled when it is first asked."""

    @cached_property
    def _validations(self) -> list[_Validation]:
        from navarch.api.admissionregistration import expressions
        from navarch.apiserver.admission.evaluating import Expression

        environment = self.variables.within(expressions.environment(params=self.has_params))
        of_messages = self.variables.within(expressions.environment(params=self.has_params, authorizer=False))
        return [
            _Validation(
                source,
                Expression(source["expression"], environment),
                Expression(source["messageExpression"], of_messages) if source.get("messageExpression") else None,
            )
            for source in self.spec.get("validations") or ()
        ]

    @cached_property
    def _annotations(self) -> list[tuple[str, Expression]]:
        from navarch.api.admissionregistration import expressions
        from navarch.apiserver.admission.evaluating import Expression

        environment = self.variables.within(expressions.environment(params=self.has_params))
        sources = self.spec.get("auditAnnotations") or ()
        return [(source["key"], Expression(source["valueExpression"].strip(), environment)) for source in sources]

    def evaluate(self, frame: Frame, inline: list[int] | None) -> Outcome:
        """Hold a request against the policy; pure but for what the authorizer is asked."""
        from navarch.apiserver.admission.evaluating import BUDGET, Budget, ExpressionError, OutOfBudgetError

        try:
            if self.conditions is not None and not self.conditions.hold(frame, inline):
                return Outcome()
        except ExpressionError as error:
            return self._failed(str(error))
        budget = Budget(BUDGET, inline)
        outcome = Outcome()
        try:
            self._validate(self.variables.added(frame, budget), budget, outcome)
        except OutOfBudgetError as error:
            return self._failed(str(error))
        budget = Budget(BUDGET, inline)
        try:
            self._annotate(self.variables.added(frame, budget), budget, outcome)
        except OutOfBudgetError as error:
            return self._failed(str(error))
        return outcome

    def _failed(self, message: str) -> Outcome:
        return Outcome() if self.ignores_failures else Outcome([Decision(0, message, is_failure=True)])

    def _validate(self, frame: Frame, budget: Budget, outcome: Outcome) -> None:
        from navarch.apiserver.admission.evaluating import ExpressionError

        failed: list[tuple[int, _Validation]] = []
        for index, validation in enumerate(self._validations):
            try:
                if validation.expression.value(frame, budget) is not True:
                    failed.append((index, validation))
            except ExpressionError as error:
                if not self.ignores_failures:
                    outcome.decisions.append(Decision(index, str(error), is_failure=True))
        for index, validation in failed:
            outcome.decisions.append(self._refusal(index, validation, frame, budget))
        outcome.decisions.sort(key=lambda decision: decision.index)

    def _refusal(self, index: int, validation: _Validation, frame: Frame, budget: Budget) -> Decision:
        from navarch.apiserver.admission.evaluating import ExpressionError, OutOfBudgetError

        message = ""
        if validation.message is not None:
            try:
                message = usable_message(validation.message.value(frame, budget))
            except OutOfBudgetError as error:
                return Decision(index, f"failed messageExpression: {error}", is_failure=True)
            except ExpressionError:
                # Then there is still the message that needs no evaluating.
                pass
        return Decision(index, message or validation.said, validation.source.get("reason") or "Invalid")

    def _annotate(self, frame: Frame, budget: Budget, outcome: Outcome) -> None:
        from navarch.apiserver.admission.evaluating import ExpressionError

        for key, expression in self._annotations:
            try:
                value = expression.value(frame, budget)
            except ExpressionError as error:
                if not self.ignores_failures:
                    outcome.problems.append(Decision(0, str(error), is_failure=True))
                continue
            if isinstance(value, str) and value.strip():
                outcome.annotations[key] = value.strip().encode()[:ANNOTATION_LIMIT_BYTES].decode(errors="ignore")


def usable_message(value: Any) -> str:
    """What a messageExpression says, or "" if clients cannot be told that."""
    text = value.strip() if isinstance(value, str) else ""
    return "" if len(text.encode()) > MESSAGE_LIMIT_BYTES or "\n" in text else text


class ValidatingAdmissionPolicy(AdmissionPlugin):
    hears_of_parts = True

    def __init__(
        self, store: Store, kinds: Kinds, webhooks: WebhookClient, authorizer: AuthorizerChain, registry: Registry
    ) -> None:
        kind, binding = validatingadmissionpolicy.KIND, validatingadmissionpolicybinding.KIND
        made = Policies(store, kinds, kind, binding, ValidatingPolicy, webhooks, self.changed)
        self.policies: Policies[ValidatingPolicy] = made
        self._webhooks = webhooks
        self._authorizer = authorizer
        self._metrics = PolicyMetrics(registry, "validating")

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return self.policies.are_there

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        candidates = self.policies.candidates(attributes)
        if candidates:
            await self._validate(candidates, attributes, obj, old)

    async def _validate(
        self,
        candidates: tuple[Candidate[ValidatingPolicy], ...],
        attributes: Attributes,
        obj: Object | None,
        old: Object | None,
    ) -> None:
        held = await self.policies.held(candidates, attributes, obj, old)
        denied = [
            (problem.policy, problem.binding, Decision(0, problem.text, is_failure=True))
            for problem in held.problems
            if not problem.policy.ignores_failures
        ]
        frames = _Frames(self, attributes, obj, old)
        annotations: dict[str, list[str]] = {}
        for invocation in held.invocations:
            started = clock.monotonic()
            outcome = await frames.evaluate(invocation)
            seconds = clock.monotonic() - started
            policy, binding = invocation.policy, invocation.binding
            denied += [(policy, binding, decision) for decision in self._acted_on(invocation, outcome, attributes, seconds)]
            for key, value in outcome.annotations.items():
                values = annotations.setdefault(f"{policy.name}/{key}", [])
                if value not in values:
                    values.append(value)
        for key, values in annotations.items():
            attributes.request.annotate(key, ", ".join(values))
        if denied:
            raise refusal(attributes, *denied[0])

    def _acted_on(
        self, invocation: Invocation[ValidatingPolicy], outcome: Outcome, attributes: Attributes, seconds: float
    ) -> list[Decision]:
        """The decisions by which a request is refused; of the others it is told what the binding wants told."""
        policy, binding, denied = invocation.policy.name, invocation.binding, list[Decision]()
        for decision in outcome.decisions:
            for action in binding.actions:
                self._metrics.checked(policy, binding.name, decision.is_failure, action.lower(), seconds)
                if action == "Deny":
                    denied.append(decision)
                elif action == "Warn":
                    text = f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding.name}': "
                    attributes.request.warn([text + decision.message])
                else:
                    attributes.request.annotate(FAILURE_ANNOTATION, _noted(policy, binding, decision))
        for decision in outcome.problems:
            self._metrics.checked(policy, binding.name, True, "deny", seconds)
            denied.append(decision)
        if not outcome.decisions and not outcome.problems:
            self._metrics.checked(policy, binding.name, False, "allow", seconds)
        return denied


class _Frames:
    """The variables of expressions about one request, made when they are first needed."""

    def __init__(
        self, plugin: ValidatingAdmissionPolicy, attributes: Attributes, obj: Object | None, old: Object | None
    ) -> None:
        self._plugin = plugin
        self._attributes = attributes
        self._objects = obj, old
        self._frames: dict[Form, dict[str, Any]] = {}

    async def evaluate(self, invocation: Invocation[ValidatingPolicy]) -> Outcome:
        from navarch.apiserver.admission import evaluating

        frame = self._frames.get(invocation.form)
        if frame is None:
            frame = self._frames[invocation.form] = await self._frame(invocation.form)
        whole = {**frame, "params": invocation.params}
        return await evaluating.fairly(lambda inline: invocation.policy.evaluate(whole, inline))

    async def _frame(self, form: Form) -> dict[str, Any]:
        from navarch.apiserver.admission import evaluating

        plugin, (obj, old) = self._plugin, self._objects
        shown = [
            await telling.converted(lambda each=each: form.show(each), form.kind, plugin._webhooks)  # type: ignore[misc]
            for each in (obj, old)
        ]
        namespace = plugin.policies.namespace(self._attributes)
        return evaluating.frame(self._attributes, form, (shown[0], shown[1]), plugin._authorizer, namespace=namespace)


def refusal(attributes: Attributes, policy: Policy, binding: Binding | None, decision: Decision) -> errors.StatusError:
    by = f" with binding '{binding.name}'" if binding is not None else ""
    message = f"ValidatingAdmissionPolicy '{policy.name}'{by} denied request: {decision.message}"
    kind, reason = attributes.kind, decision.reason or "Invalid"
    error = errors.forbidden(kind.group, kind.plural, attributes.name or "Unknown", message)
    error.status["reason"] = reason
    error.status["code"] = _CODES.get(reason, 422)
    error.status["details"]["causes"] = [{"message": message}]
    return error


def _noted(policy: str, binding: Binding, decision: Decision) -> str:
    noted = {
        "message": decision.message,
        "policy": policy,
        "binding": binding.name,
        "expressionIndex": decision.index,
        "validationActions": list(binding.actions),
    }
    return json.dumps([noted], ensure_ascii=False, separators=(",", ":"))
