"""The plugin: pods are refused, what pods are made from is warned of, and namespaces have labels that can be read.

Most namespaces ask for nothing, and that is known of them from their bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.api.apps import daemonset, deployment, replicaset, statefulset
from navarch.api.batch import cronjob, job
from navarch.api.core import namespace as namespaces
from navarch.api.core import pod as pods
from navarch.api.core import podtemplate, replicationcontroller
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import FieldError, Object
from navarch.apiserver.admission.chain import AdmissionPlugin, Attributes
from navarch.apiserver.admission.metrics import PodSecurityMetrics
from navarch.apiserver.admission.podsecurity import existing
from navarch.apiserver.admission.podsecurity.configuration import PodSecurityConfiguration
from navarch.apiserver.admission.podsecurity.evaluation import evaluate
from navarch.apiserver.admission.podsecurity.levels import (
    PREFIX,
    PRIVILEGED,
    LevelVersion,
    Policy,
    asked,
    counted,
    is_stricter,
)
from navarch.apiserver.health import MINOR
from navarch.component.metrics import Registry
from navarch.storage.changes import Record
from navarch.storage.store import Store

_POD = ("spec", "template")
TEMPLATES: dict[Kind, tuple[str, ...]] = {
    podtemplate.KIND: ("template",),
    replicationcontroller.KIND: _POD,
    replicaset.KIND: _POD,
    deployment.KIND: _POD,
    statefulset.KIND: _POD,
    daemonset.KIND: _POD,
    job.KIND: _POD,
    cronjob.KIND: ("spec", "jobTemplate", *_POD),
}
"""Where what pods are made from stands."""
HARMLESS_SUBRESOURCES = frozenset({"attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "status"})
"""Of a pod, by which nothing changes that is checked."""
MARK = f'"{PREFIX}'.encode()
NAMESPACES = namespaces.KIND.key_prefix
POLICIES_LIMIT = 4096
EXEMPT, ENFORCED, AUDITED, ERROR = (PREFIX + key for key in ("exempt", "enforce-policy", "audit-violations", "error"))


@dataclass(frozen=True, slots=True)
class _Known:
    """What is asked in a namespace, as long as it is this one."""

    record: Record
    policy: Policy
    problems: tuple[FieldError, ...]
    is_free: bool
    """Whether nothing is asked there of anybody."""


class PodSecurity(AdmissionPlugin):
    def __init__(self, store: Store, registry: Registry, configuration: PodSecurityConfiguration) -> None:
        self._store = store
        self._latest = store.latest
        self._configuration = configuration
        self._metrics = PodSecurityMetrics(registry)
        self._known: dict[str, _Known] = {}

    def concerns(self, kind: Kind, operation: str, subresource: str) -> bool:
        if operation not in ("CREATE", "UPDATE"):
            return False
        if kind is pods.KIND:
            return subresource not in HARMLESS_SUBRESOURCES
        return not subresource and (kind is namespaces.KIND or kind in TEMPLATES)

    async def validate(self, attributes: Attributes, obj: Object | None, old: Object | None) -> None:
        if attributes.kind is pods.KIND:
            known = self._known.get(attributes.namespace)
            # Of most pods nothing is asked, and then nothing else is done for them.
            if known is not None and known.is_free and self._latest(NAMESPACES, known.record.key) is known.record:
                self._metrics.freed(attributes)
                return
        assert obj is not None
        if attributes.kind is namespaces.KIND:
            await self._validate_namespace(attributes, obj, old)
        elif not self._is_exempt(attributes):
            self._validate_pods(attributes, obj, old)

    # Namespaces

    async def _validate_namespace(self, attributes: Attributes, obj: Object, old: Object | None) -> None:
        name, defaults = meta.name(obj), self._configuration.defaults
        policy, problems = asked(meta.labels(obj), defaults)
        before, problems_before = asked(meta.labels(old), defaults) if old is not None else (None, [])
        # What was wrong before may stay so.
        if problems and problems != problems_before:
            raise errors.invalid("", namespaces.KIND.kind, attributes.name, problems)
        if before is not None and not _is_news(policy.enforce, before.enforce):
            return
        if name in self._configuration.exempt_namespaces:
            attributes.request.warn(self._ignored(name, policy, obj))
        elif before is not None:
            prefix = pods.KIND.key_prefix
            records = self._store.collection(prefix).range(f"{prefix}{name}/")
            attributes.request.warn(await existing.warnings(name, records, policy.enforce, self._configuration))

    def _ignored(self, name: str, policy: Policy, namespace: Object) -> list[str]:
        """What is told of labels that ask for something, but in vain."""
        if policy.is_privileged or _in_effect(policy) == _in_effect(self._configuration.defaults):
            return []
        labels = meta.labels(namespace)
        told = ", ".join(
            f"{mode}={wanted}"
            for mode, wanted in policy._asdict().items()
            if wanted.level != PRIVILEGED and (PREFIX + mode in labels or f"{PREFIX}{mode}-version" in labels)
        )
        return [f'namespace "{name}" is exempt from Pod Security, and the policy ({told}) will be ignored']

    # Pods, and what they are made from

    def _is_exempt(self, attributes: Attributes) -> bool:
        configuration = self._configuration
        if attributes.namespace in configuration.exempt_namespaces:
            self._exempted(attributes, "namespace")
        elif attributes.request.user.name in configuration.exempt_usernames:
            self._exempted(attributes, "user")
        else:
            return False
        return True

    def _exempted(self, attributes: Attributes, why: str) -> None:
        self._metrics.exempted(attributes)
        attributes.request.annotate(EXEMPT, why)

    def _validate_pods(self, attributes: Attributes, obj: Object, old: Object | None) -> None:
        is_pod = attributes.kind is pods.KIND
        record = self._latest(NAMESPACES, namespaces.KIND.key("", attributes.namespace))
        if record is None:
            self._metrics.failed(attributes, is_fatal=True)
            if is_pod:
                raise errors.internal_error(f'failed to lookup namespace "{attributes.namespace}"')
            return
        known = self._known.get(attributes.namespace)
        if known is None or known.record is not record:
            known = self._look_at(attributes.namespace, record)
        policy, problems = known.policy, known.problems
        if not problems and policy.audit.level == policy.warn.level == PRIVILEGED:
            if not is_pod:
                return
            if policy.enforce.level == PRIVILEGED:
                self._metrics.freed(attributes)
                return
        if is_pod and old is not None and not _is_significant(obj, old):
            return
        pod = obj if is_pod else meta.get_path(obj, *TEMPLATES[attributes.kind])
        if pod:
            self._evaluate(attributes, pod, policy, problems, enforces=is_pod)

    def _count(self, attributes: Attributes, asked: LevelVersion, mode: str, *, allows: bool) -> None:
        self._metrics.evaluated(attributes, asked.level, counted(asked, int(MINOR)), mode, allows)

    def _look_at(self, namespace: str, record: Record) -> _Known:
        """A namespace as it is now. Those without such labels are not decoded."""
        if len(self._known) >= POLICIES_LIMIT:
            self._known.clear()
        labels = meta.labels(self._store.decoded(record)) if MARK in record.data else meta.EMPTY
        policy, problems = asked(labels, self._configuration.defaults)
        # Who is exempt anyway is counted otherwise.
        is_free = policy.is_privileged and not problems and not self._configuration.exempt_usernames
        known = self._known[namespace] = _Known(record, policy, tuple(problems), is_free)
        return known

    def _evaluate(
        self, attributes: Attributes, pod: Object, policy: Policy, problems: tuple[FieldError, ...], *, enforces: bool
    ) -> None:
        if self._configuration.exempts_spec(pod.get("spec") or {}):
            self._exempted(attributes, "runtimeClass")
            return
        request = attributes.request
        if problems:
            text = ", ".join(problem.message for problem in problems)
            request.annotate(ERROR, f"Failed to parse policy: {text if len(problems) == 1 else f'[{text}]'}")
            self._metrics.failed(attributes, is_fatal=False)
        refusal = ""
        if enforces:
            request.annotate(ENFORCED, str(policy.enforce))
            verdict = evaluate(policy.enforce, pod)
            self._count(attributes, policy.enforce, "enforce", allows=verdict.allows)
            refusal = verdict.detail
        verdict = evaluate(policy.audit, pod)
        if not verdict.allows:
            request.annotate(AUDITED, f'would violate PodSecurity "{policy.audit}": {verdict.detail}')
            self._count(attributes, policy.audit, "audit", allows=False)
        if refusal:
            # Who is refused need not be warned.
            text = f'violates PodSecurity "{policy.enforce}": {refusal}'
            raise errors.forbidden(attributes.kind.group, attributes.kind.plural, attributes.name, text)
        verdict = evaluate(policy.warn, pod)
        if not verdict.allows:
            request.warn([f'would violate PodSecurity "{policy.warn}": {verdict.detail}'])
            self._count(attributes, policy.warn, "warn", allows=False)


def _in_effect(policy: Policy) -> tuple[str | LevelVersion, ...]:
    """What says nothing in any version is the same in all."""
    return tuple(PRIVILEGED if each.level == PRIVILEGED else each for each in policy)


def _is_news(new: LevelVersion, old: LevelVersion) -> bool:
    """Whether what is enforced may forbid what was allowed."""
    if new == old or new.level == PRIVILEGED:
        return False
    return new.version != old.version or is_stricter(new.level, old.level)


def _is_significant(pod: Object, old: Object) -> bool:
    """Whether a pod changes in what may change of what is checked: which containers it has, and of what images."""
    new_spec, old_spec = pod["spec"], old["spec"]
    for field in ("containers", "initContainers"):
        if _images(new_spec, field) != _images(old_spec, field):
            return True
    before = _ephemeral(old_spec)
    return any(before.get(name) != image for name, image in _ephemeral(new_spec).items())


def _images(spec: Object, field: str) -> list[str]:
    return [container.get("image", "") for container in spec.get(field) or ()]


def _ephemeral(spec: Object) -> dict[str, str]:
    return {each["name"]: each.get("image", "") for each in spec.get("ephemeralContainers") or ()}
