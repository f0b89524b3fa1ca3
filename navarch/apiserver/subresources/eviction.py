"""eviction: delete a pod, unless a PodDisruptionBudget forbids it now (KEP-85)."""

from __future__ import annotations

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, selectors
from navarch.apimachinery.errors import Object
from navarch.apiserver import body, deletion, fieldmanagement
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.resources import Resources
from navarch.component import clock
from navarch.storage.changes import Record
from navarch.storage.mvcc import ConflictError

EVICTION = "io.k8s.api.policy.v1.Eviction"
CONFLICT_RETRIES = 20
DISRUPTED_PODS_LIMIT = 2000
RETRY_AFTER_SECONDS = 10
EXCEEDED = "Cannot evict pod as it would violate the pod's disruption budget."


async def serve(resources: Resources, request: APIRequest, kind: Kind) -> ObjectAnswer:
    if request.info.verb != "create":
        raise errors.method_not_allowed()
    eviction = body.decode_definition(request, EVICTION)
    name = request.info.name
    if (eviction.get("metadata") or {}).get("name", name) != name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    options = eviction.get("deleteOptions") or {}
    if options.get("dryRun"):
        request.query = {**request.query, "dryRun": list(options["dryRun"])}
    attributes = Attributes(request, kind, "CREATE", request.info.namespace, name, "eviction")
    eviction = await resources.admission.ask(attributes, eviction)
    options = eviction.get("deleteOptions") or {}
    pod = resources.reading.get(request, kind).decoded()
    if not _needs_no_budget(pod):
        budgets = _budgets_of(resources, pod)
        if len(budgets) > 1:
            text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise errors.status_error(500, "InternalError", text)
        for budget in budgets:
            await _spend(resources, budget.key, pod, dry_run=request.dry_run)
    if not request.dry_run:
        options = await _mark(resources, kind, request.info.namespace, name, options)
    options = {**options, "dryRun": request.query.get("dryRun") or []}
    deleting = APIRequest(request.info, "DELETE", request.query, request.user, decoded=options)
    await deletion.delete(resources, deleting, kind)
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return ObjectAnswer(kind, object=status, status=201)


async def _mark(resources: Resources, kind: Kind, namespace: str, name: str, options: Object) -> Object:
    """Say on the pod why it will go; the options for its deletion then."""
    for _ in range(CONFLICT_RETRIES):
        base = resources.latest(kind, namespace, name)
        pod = base.object()
        deletion.check_preconditions(kind, pod, options.get("preconditions") or {})
        marked = _marked(pod)
        try:
            record = await resources.put(kind, base.key, fieldmanagement.updated_by_server(kind, marked, pod, "status"), base)
        except ConflictError:
            continue
        if (options.get("preconditions") or {}).get("resourceVersion"):
            return meta.set_path(options, str(record.revision), "preconditions", "resourceVersion")
        return options
    raise errors.conflict(kind.group, kind.plural, name, errors.MODIFIED)


def _marked(pod: Object) -> Object:
    status = pod.get("status") or {}
    reason = {
        "type": "DisruptionTarget",
        "status": "True",
        "observedGeneration": pod["metadata"].get("generation", 0),
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastProbeTime": None,
        "lastTransitionTime": clock.timestamp(),
    }
    conditions = meta.with_condition(status.get("conditions") or [], reason)
    return {**pod, "metadata": dict(pod["metadata"]), "status": {**status, "conditions": conditions}}


def _needs_no_budget(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Pending", "Succeeded", "Failed") or meta.being_deleted(pod)


def _budgets_of(resources: Resources, pod: Object) -> list[Record]:
    kind = registry.resource("poddisruptionbudgets.policy")
    found = []
    for record in resources.store.collection(kind.key_prefix).range(f"{kind.key_prefix}{meta.namespace(pod)}/"):
        selector = (record.object().get("spec") or {}).get("selector")
        if selectors.from_label_selector(selector).matches(meta.labels(pod)):
            found.append(record)
    return found


async def _spend(resources: Resources, key: str, pod: Object, *, dry_run: bool) -> None:
    """Take one allowed disruption from a budget. Raises 429 where none is left."""
    kind = registry.resource("poddisruptionbudgets.policy")
    for _ in range(CONFLICT_RETRIES):
        base = resources.store.latest(kind.key_prefix, key)
        if base is None:
            return
        budget = base.object()
        spent = _spent(budget, pod)
        if spent is None or dry_run:
            return
        try:
            await resources.put(kind, key, fieldmanagement.updated_by_server(kind, spent, budget, "status"), base)
            return
        except ConflictError:
            continue
    raise errors.too_many_requests("the disruption budget changes too fast; please try again", RETRY_AFTER_SECONDS)


def _spent(budget: Object, pod: Object) -> Object | None:
    """The budget with one disruption less, or None where the pod is not ready anyway and its policy lets it go."""
    status = budget.get("status") or {}
    name = meta.name(budget)
    if not meta.is_condition_true(pod, "Ready"):
        policy = (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy", "IfHealthyBudget")
        healthy = status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0
        if policy == "AlwaysAllow" or healthy:
            return None
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        cause = {
            "reason": "DisruptionBudget",
            "message": f"The disruption budget {name} is still being processed by the server.",
        }
        raise errors.too_many_requests(EXCEEDED, RETRY_AFTER_SECONDS, [cause])
    disrupted = dict(status.get("disruptedPods") or {})
    if len(disrupted) > DISRUPTED_PODS_LIMIT:
        raise errors.forbidden(
            "policy", "poddisruptionbudgets", name, "DisruptedPods map too big - too many evictions not confirmed"
        )
    allowed = status.get("disruptionsAllowed", 0)
    if allowed <= 0:
        needed, healthy_now = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        text = f"The disruption budget {name} needs {needed} healthy pods and has {healthy_now} currently"
        raise errors.too_many_requests(EXCEEDED, 0, [{"reason": "DisruptionBudget", "message": text}])
    disrupted[meta.name(pod)] = clock.timestamp()
    spent = {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": disrupted}
    return {**budget, "metadata": dict(budget["metadata"]), "status": spent}
