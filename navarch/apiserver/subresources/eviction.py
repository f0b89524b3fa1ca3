"""eviction: delete a pod, unless a PodDisruptionBudget forbids it now (KEP-85)."""

from __future__ import annotations

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, selectors
from navarch.apimachinery.errors import Object
from navarch.apiserver import body, deletion, fieldmanagement, preconditions
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.request import APIRequest, ObjectAnswer
from navarch.apiserver.resources import Resources, check_namespace
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
    name, metadata = request.info.name, eviction.get("metadata") or {}
    check_namespace(request.info, metadata)
    if metadata.get("name") != name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    options = eviction.get("deleteOptions") or {}
    if options.get("dryRun"):
        request.query = {**request.query, "dryRun": list(options["dryRun"])}
    attributes = Attributes(request, kind, "CREATE", request.info.namespace, name, "eviction")
    eviction = await resources.admission.ask(attributes, eviction)
    options = eviction.get("deleteOptions") or {}
    for _ in range(CONFLICT_RETRIES):
        pod = resources.reading.get(request, kind).decoded()
        if not _needs_no_budget(pod):
            await _evict_by_budget(resources, request, kind, pod, options)
            break
        # One that waits might come to count before it goes.
        held = _held(pod, options) if _phase(pod) == "Pending" and not meta.being_deleted(pod) else options
        try:
            await _evict(resources, request, kind, held)
            break
        except errors.StatusError as error:
            if held is options or not error.is_conflict:
                raise
    else:
        raise errors.conflict(kind.group, kind.plural, name, errors.MODIFIED)
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return ObjectAnswer(kind, object=status, status=201)


async def _evict_by_budget(resources: Resources, request: APIRequest, kind: Kind, pod: Object, options: Object) -> None:
    """Evict a pod that counts, if its budget has a disruption left or the pod is not ready anyway."""
    budgets = _budgets_of(resources, pod)
    if len(budgets) > 1:
        text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise errors.status_error(500, "InternalError", text)
    held = options
    for budget in budgets:
        if not await _spend(resources, budget.key, pod, dry_run=request.dry_run):
            held = _held(pod, options)
    try:
        await _evict(resources, request, kind, held)
    except errors.StatusError as error:
        if held is options or not error.is_conflict:
            raise
        raise _still_processed(meta.name(budgets[0].object())) from error


def _held(pod: Object, options: Object) -> Object:
    """Options by which nothing is deleted but the pod as it was when it was found to need no budget."""
    if (options.get("preconditions") or {}).get("resourceVersion"):
        return options
    return meta.set_path(options, pod["metadata"]["resourceVersion"], "preconditions", "resourceVersion")


async def _evict(resources: Resources, request: APIRequest, kind: Kind, options: Object) -> None:
    if not request.dry_run:
        options = await _mark(resources, kind, request.info.namespace, request.info.name, options)
    options = {**options, "dryRun": request.query.get("dryRun") or []}
    deleting = APIRequest(request.info, "DELETE", request.query, request.user, decoded=options)
    await deletion.delete(resources, deleting, kind)


async def _mark(resources: Resources, kind: Kind, namespace: str, name: str, options: Object) -> Object:
    """Say on the pod why it will go; the options for its deletion then."""
    for _ in range(CONFLICT_RETRIES):
        base = resources.latest(kind, namespace, name)
        pod = base.object()
        preconditions.check_deletion(kind, pod, options.get("preconditions") or {})
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


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _needs_no_budget(pod: Object) -> bool:
    return _phase(pod) in ("Pending", "Succeeded", "Failed") or meta.being_deleted(pod)


def _budgets_of(resources: Resources, pod: Object) -> list[Record]:
    kind = registry.resource("poddisruptionbudgets.policy")
    found = []
    for record in resources.store.collection(kind.key_prefix).range(f"{kind.key_prefix}{meta.namespace(pod)}/"):
        selector = (record.object().get("spec") or {}).get("selector")
        if selectors.from_label_selector(selector).matches(meta.labels(pod)):
            found.append(record)
    return found


async def _spend(resources: Resources, key: str, pod: Object, *, dry_run: bool) -> bool:
    """Take one allowed disruption from a budget, if the pod needs one. Raises 429 where none is left."""
    kind = registry.resource("poddisruptionbudgets.policy")
    for _ in range(CONFLICT_RETRIES):
        base = resources.store.latest(kind.key_prefix, key)
        if base is None:
            return True
        budget = base.object()
        spent = _spent(budget, pod)
        if spent is None or dry_run:
            return spent is not None
        try:
            await resources.put(kind, key, fieldmanagement.updated_by_server(kind, spent, budget, "status"), base)
            return True
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
        raise _still_processed(name)
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


def _still_processed(budget: str) -> errors.StatusError:
    text = f"The disruption budget {budget} is still being processed by the server."
    return errors.too_many_requests(EXCEEDED, RETRY_AFTER_SECONDS, [{"reason": "DisruptionBudget", "message": text}])
