"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: others are asked about requests, and may change or refuse them.

Those that change are asked one after the other, by the names of their configurations, each about what the one before has made;
those that refuse are asked all at once. Who is asked is known by kind and operation before a request comes: where nobody is, a
request costs a look into a dict. Wording and order are upstream's (k8s.io/apiserver/pkg/admission/plugin/webhook).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from navarch.api.admissionregistration import mutatingwebhookconfiguration, validatingwebhookconfiguration
from navarch.api.kind import Kind
from navarch.apimachinery import errors, patch
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.admission import hooks, reviews, telling
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes, Reinvocation
from navarch.apiserver.admission.hooks import Call, Hook, Hooks
from navarch.apiserver.admission.metrics import WebhookMetrics
from navarch.apiserver.admission.reviews import InvalidAnswerError, Verdict
from navarch.apiserver.admission.rules import Kinds
from navarch.apiserver.admission.telling import Form
from navarch.apiserver.authorization import AuthorizerChain
from navarch.apiserver.webhookclient import CallError, WebhookClient
from navarch.component import clock
from navarch.component.metrics import Registry
from navarch.storage.store import Store

logger = logging.getLogger(__name__)

T = TypeVar("T")
ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
"""Of one webhook about one object."""
ADMIT, VALIDATING = "admit", "validating"


class _CalledInVainError(Exception):
    """A webhook could not say anything: its failure policy decides. `code`: of the status that it comes to."""

    def __init__(self, hook: Hook, reason: str, code: int) -> None:
        super().__init__(f'failed calling webhook "{hook.name}": {reason}')
        self.code = code


class _Refused(Exception):
    """A webhook does not allow a request."""

    def __init__(self, status: Object) -> None:
        super().__init__(status.get("message", ""))
        self.error = StatusError(status)


class _Asking(AdmissionPlugin):
    """What both kinds of webhooks have in common."""

    hears_of_parts = True
    type = ""

    def __init__(
        self, store: Store, kinds: Kinds, webhooks: WebhookClient, authorizer: AuthorizerChain, registry: Registry
    ) -> None:
        self._store = store
        self._webhooks = webhooks
        self._authorizer = authorizer
        self._metrics = WebhookMetrics(registry)
        self.hooks = Hooks(store, self._source(), kinds, self.changed)

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        return self.hooks.are_there

    @abstractmethod
    def _source(self) -> Any:
        """The kind of configuration that names these webhooks."""

    async def _called(self, call: Call, attributes: Attributes, obj: Object | None, old: Object | None) -> Form | None:
        """The form in which a hook is told of a request; None where it is not to be asked. Raises StatusError."""
        hook = call.hook
        if not hook.object_selector.is_everything and not hooks.selects_object(hook.object_selector, obj, old):
            return None
        # What is in no namespace is never left out for its namespace.
        selects_namespaces = not hook.namespace_selector.is_everything and telling.namespace(attributes)
        if selects_namespaces and not hook.namespace_selector.matches(telling.namespace_labels(self._store, attributes, obj)):
            return None
        form = Form(call.kind, telling.subresource(attributes))
        if hook.conditions is not None and not await self._conditions_hold(hook, form, attributes, obj, old):
            self._metrics.excluded(hook.name, self.type, attributes.operation)
            return None
        return form

    async def _conditions_hold(
        self, hook: Hook, form: Form, attributes: Attributes, obj: Object | None, old: Object | None
    ) -> bool:
        from navarch.apiserver.admission import evaluating

        assert hook.conditions is not None
        conditions = hook.conditions()
        shown = await self._shown(form, obj), await self._shown(form, old)
        frame = evaluating.frame(attributes, form, shown, self._authorizer)
        try:
            return await evaluating.fairly(lambda inline: conditions.hold(frame, inline))
        except evaluating.ExpressionError as error:
            kind = attributes.kind
            raise errors.forbidden(kind.group, kind.plural, attributes.name, str(error)) from None

    async def _shown(self, form: Form, obj: Object | None) -> Object | None:
        return await self._converted(lambda: form.show(obj), form)

    async def _converted(self, run: Callable[[], T], form: Form) -> T:
        return await telling.converted(run, form.kind, self._webhooks)

    async def _ask(self, hook: Hook, form: Form, attributes: Attributes, shown: tuple[Object | None, Object | None]) -> Verdict:
        """What a hook says. Raises _CalledInVainError, _Refused, StatusError."""
        if attributes.request.dry_run and not hook.keeps_dry_runs:
            raise errors.bad_request(f'admission webhook "{hook.name}" does not support dry run')
        uid = clock.uid()
        asked = {**telling.review_request(attributes, form), "uid": uid, "object": shown[0], "oldObject": shown[1]}
        try:
            answer = await self._webhooks.call(
                hook.client_config, reviews.review(hook.review_version, asked), hook.timeout_seconds, ANSWER_LIMIT_BYTES
            )
        except CallError as error:
            raise _CalledInVainError(hook, f"failed to call webhook: {error}", error.code or 503) from None
        try:
            verdict = reviews.verdict(answer, uid, hook.review_version, mutates=self.type == ADMIT)
        except InvalidAnswerError as error:
            raise _CalledInVainError(hook, f"received invalid webhook response: {error}", 503) from None
        for key, value in verdict.audit_annotations.items():
            attributes.request.annotate(f"{hook.name}/{key}", value)
        attributes.request.warn(verdict.warnings)
        if not verdict.allowed:
            raise _Refused(reviews.refusal(hook.name, verdict.status))
        return verdict

    async def _observed(self, hook: Hook, attributes: Attributes, asking: Callable[[], Any]) -> Any:
        """What `asking` gives, or None where its failing is let be. Raises StatusError."""
        started, operation = clock.monotonic(), attributes.operation
        code, rejected, kind_of_error = 200, False, ""
        try:
            return await asking()
        except _CalledInVainError as error:
            code = error.code
            if hook.ignores_failures:
                logger.warning("Failed calling webhook, failing open %s: %s", hook.name, error)
                self._metrics.failed_open(hook.name, self.type)
                return None
            rejected, kind_of_error = True, "calling_webhook_error"
            raise errors.internal_error(str(error)) from None
        except _Refused as error:
            code, rejected, kind_of_error = error.error.code, True, "no_error"
            raise error.error from None
        except StatusError:
            code, rejected, kind_of_error = 0, True, "apiserver_internal_error"
            raise
        finally:
            if kind_of_error:
                self._metrics.rejected(hook.name, self.type, operation, kind_of_error, code)
            seconds = clock.monotonic() - started
            self._metrics.asked(hook.name, self.type, operation, code, rejected, seconds)
            waits = attributes.request.waits
            if waits is not None and self.type == ADMIT:
                waits.in_turn += seconds
            elif waits is not None:
                waits.at_once = max(waits.at_once, seconds)


class MutatingAdmissionWebhook(_Asking):
    type = ADMIT

    def _source(self) -> Any:
        return mutatingwebhookconfiguration.KIND

    async def mutate(self, attributes: Attributes, obj: Object, old: Object | None) -> Object:
        calls = self.hooks.of(attributes)
        return await self._mutated(calls, attributes, obj, old) if calls else obj

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        # Of what is not stored nothing can be changed, but they are asked all the same, before those who may refuse it.
        if attributes.operation in ("DELETE", "CONNECT"):
            for call in self.hooks.of(attributes):
                await self._one(call, attributes, obj, old, may_change=False)

    async def _mutated(self, calls: tuple[Call, ...], attributes: Attributes, obj: Object, old: Object | None) -> Object:
        if attributes.reinvocation is None:
            attributes.reinvocation = Reinvocation()
        reinvocation = attributes.reinvocation
        asked = reinvocation.of(type(self).__name__)
        if reinvocation.is_second and obj != asked.last:
            asked.changed()
        for call in calls:
            if reinvocation.is_second and call.hook.uid not in asked.again:
                continue
            made = await self._one(call, attributes, obj, old, may_change=True)
            if made is None:
                continue
            if made is not obj and made != obj:
                obj = made
                asked.changed()
                reinvocation.is_wanted = True
            if call.hook.is_reinvoked:
                asked.before.add(call.hook.uid)
        asked.last = obj
        return obj

    async def _one(
        self, call: Call, attributes: Attributes, obj: Object | None, old: Object | None, *, may_change: bool
    ) -> Object | None:
        """The object as one hook wants it; None where it was not asked."""
        hook = call.hook
        form = await self._called(call, attributes, obj, old)
        if form is None:
            return None
        shown = await self._shown(form, obj), await self._shown(form, old)

        async def asking() -> Object | None:
            verdict = await self._ask(hook, form, attributes, shown)
            operations = _operations(hook, verdict)
            if not operations:
                return obj
            if obj is None or not may_change:
                text = (
                    f'admission webhook "{hook.name}" attempted to modify the object, which is not supported for this operation'
                )
                raise errors.internal_error(text)
            return await self._patched(form, obj, shown[0], operations, is_new=old is None)

        made: Object | None = await self._observed(hook, attributes, asking)
        return obj if made is None else made

    async def _patched(self, form: Form, obj: Object, shown: Object | None, operations: Any, *, is_new: bool) -> Object:
        try:
            made = patch.json_patch(shown, operations)
        except patch.PatchError as error:
            raise errors.internal_error(str(error)) from None
        return await self._converted(lambda: form.take(made, obj, is_new=is_new), form)


def _operations(hook: Hook, verdict: Verdict) -> list[Any]:
    """Of a JSON patch. Raises _CalledInVainError."""
    if verdict.patch is None:
        return []
    if verdict.patch_type != "JSONPatch":
        raise _CalledInVainError(hook, f'unsupported patch type "{verdict.patch_type}"', 503)
    try:
        found = orjson.loads(base64.b64decode(verdict.patch, validate=True))
        if not isinstance(found, list):
            raise ValueError("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    except (ValueError, binascii.Error) as error:
        raise _CalledInVainError(hook, f"received undecodable patch in webhook response: {error}", 503) from None
    return found


class ValidatingAdmissionWebhook(_Asking):
    type = VALIDATING

    def _source(self) -> Any:
        return validatingwebhookconfiguration.KIND

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        calls = self.hooks.of(attributes)
        if calls:
            await self._validate(calls, attributes, obj, old)

    async def _validate(self, calls: tuple[Call, ...], attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        asked = [(call, await self._called(call, attributes, obj, old)) for call in calls]
        shown: dict[Form, tuple[Object | None, Object | None]] = {}
        for _, form in asked:
            if form is not None and form not in shown:
                shown[form] = await self._shown(form, obj), await self._shown(form, old)

        async def ask(hook: Hook, form: Form) -> None:
            await self._observed(hook, attributes, lambda: self._ask(hook, form, attributes, shown[form]))

        asking = [ask(call.hook, form) for call, form in asked if form is not None]
        found = await asyncio.gather(*asking, return_exceptions=True)
        for problem in found:
            # Of several refusals one is told.
            if isinstance(problem, BaseException):
                raise problem
