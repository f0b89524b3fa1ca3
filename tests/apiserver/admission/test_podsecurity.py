"""The Pod Security Standards at a server: who is refused, who is warned, what namespaces may ask for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from navarch.api.kind import Kind
from navarch.api.registry import resource
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.podsecurity import existing
from navarch.apiserver.admission.podsecurity.configuration import PodSecurityConfiguration
from navarch.apiserver.admission.podsecurity.levels import DEFAULTS, PREFIX, LevelVersion, Policy
from navarch.apiserver.admission.podsecurity.plugin import TEMPLATES
from navarch.apiserver.request import APIRequest
from tests.apiserver.bench import ALICE, STRATEGIC, Bench, bench, resource_name
from tests.apiserver.samples import pod, sample
from tests.component.test_metrics import parsed

Ask = Callable[..., str]
NUMBERS = itertools.count()
PRIVILEGED = {"name": "main", "image": "registry.example/app:1", "securityContext": {"privileged": True}}
NOT_PRIVILEGED = 'privileged (container "main" must not set securityContext.privileged=true)'
ANY_POD = (
    'allowPrivilegeEscalation != false (container "main" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "main" must set securityContext.capabilities.drop=["ALL"]), '
    'runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "main" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
)


def labels(**modes: str | None) -> dict[str, str | None]:
    return {PREFIX + mode.replace("_", "-"): value for mode, value in modes.items()}


def confined() -> Object:
    """What the restricted level allows."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "main", "image": "registry.example/app:1", "securityContext": context}],
    }


@pytest.fixture
def ask(api: Bench) -> Ask:
    """Make a namespace that asks for something; its name."""

    def ask(**modes: str) -> str:
        name = f"ask-{next(NUMBERS)}"
        api.made("namespaces", {"metadata": {"name": name, "labels": labels(**modes)}})
        api.made("serviceaccounts", {"metadata": {"name": "default", "namespace": name}})
        return name

    return ask


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the last request has for an audit log."""
    found: dict[str, str] = {}
    monkeypatch.setattr(APIRequest, "annotate", lambda self, key, value: found.setdefault(key.removeprefix(PREFIX), value))
    return found


# Pods


def test_a_pod_that_asks_for_too_much_is_forbidden(api: Bench, ask: Ask, noted: dict[str, str]) -> None:
    namespace = ask(enforce="restricted")
    refused = api.post("pods", pod("any", namespace))
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert refused.message == f'pods "any" is forbidden: violates PodSecurity "restricted:latest": {ANY_POD}'
    assert refused.json["details"] == {"name": "any", "kind": "pods"}
    # Who is refused need not be warned.
    assert refused.warnings == ()
    assert noted == {"enforce-policy": "restricted:latest"}
    assert api.post("pods", pod("confined", namespace, **confined())).status == 201


def test_a_version_asks_for_what_was_asked_then(api: Bench, ask: Ask) -> None:
    handler = {"httpGet": {"host": "127.0.0.1", "port": 80}}
    container = {"name": "main", "image": "registry.example/app:1", "livenessProbe": handler}
    old, new = ask(enforce="baseline", enforce_version="v1.33"), ask(enforce="baseline", enforce_version="v1.34")
    assert api.post("pods", pod("probed", old, containers=[container])).status == 201
    assert api.post("pods", pod("probed", new, containers=[container])).message == (
        'pods "probed" is forbidden: violates PodSecurity "baseline:v1.34": probe or lifecycle host '
        '(container "main" uses probe or lifecycle host "127.0.0.1")'
    )


def test_a_generated_name_is_told(api: Bench, ask: Ask) -> None:
    wanted = pod("any", ask(enforce="baseline"), containers=[PRIVILEGED])
    wanted["metadata"] = {"generateName": "web-", "namespace": wanted["metadata"]["namespace"]}
    assert re.match(r'pods "web-[a-z0-9]{5}" is forbidden: violates PodSecurity', api.post("pods", wanted).message)


def test_who_audits_and_warns_refuses_nothing(api: Bench, ask: Ask, noted: dict[str, str]) -> None:
    namespace = ask(audit="baseline", warn="restricted", warn_version="v1.7")
    made = api.post("pods", pod("loud", namespace, containers=[PRIVILEGED]))
    assert made.status == 201
    said = 'runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true)'
    assert made.warnings == (f'would violate PodSecurity "restricted:v1.7": {NOT_PRIVILEGED}, {said}',)
    assert noted == {
        "enforce-policy": "privileged:latest",
        "audit-violations": f'would violate PodSecurity "baseline:latest": {NOT_PRIVILEGED}',
    }


def test_a_namespace_without_labels_asks_for_nothing(api: Bench, noted: dict[str, str]) -> None:
    for name in ("free", "as-free"):
        made = api.post("pods", pod(name, hostNetwork=True, containers=[PRIVILEGED]))
        assert (made.status, made.warnings, noted) == (201, (), {})


def test_what_is_asked_changes_with_the_labels(api: Bench, ask: Ask) -> None:
    namespace = ask(warn="baseline")
    assert api.post("pods", pod("first", namespace, containers=[PRIVILEGED])).status == 201
    api.patch("namespaces", namespace, {"metadata": {"labels": labels(enforce="baseline")}})
    assert api.post("pods", pod("second", namespace, containers=[PRIVILEGED])).status == 403
    api.patch("namespaces", namespace, {"metadata": {"labels": labels(enforce=None)}})
    assert api.post("pods", pod("second", namespace, containers=[PRIVILEGED])).status == 201


def test_a_pod_that_is_there_is_judged_again_only_for_its_images(api: Bench, ask: Ask) -> None:
    namespace = ask()
    made = api.made("pods", pod("there", namespace, containers=[PRIVILEGED]))
    api.patch("namespaces", namespace, {"metadata": {"labels": labels(enforce="baseline")}})
    labelled = api.patch("pods", "there", {"metadata": {"labels": {"a": "b"}}}, namespace)
    assert (labelled.status, labelled.warnings) == (200, ())
    status = {"status": {**made["status"], "message": "well"}}
    assert api.patch("pods", "there", status, namespace, "status").status == 200
    image = [{**PRIVILEGED, "image": "registry.example/app:2"}]
    refused = api.patch("pods", "there", {"spec": {"containers": image}}, namespace, content_type=STRATEGIC)
    assert refused.message == f'pods "there" is forbidden: violates PodSecurity "baseline:latest": {NOT_PRIVILEGED}'


def test_ephemeral_containers_are_judged(api: Bench, ask: Ask) -> None:
    namespace = ask(enforce="restricted")
    api.made("pods", pod("quiet", namespace, **confined()))
    debugger = {"name": "debugger", "image": "registry.example/debug:1"}
    change = {"spec": {"ephemeralContainers": [debugger]}}
    refused = api.patch("pods", "quiet", change, namespace, "ephemeralcontainers", content_type=STRATEGIC)
    assert (refused.status, refused.message) == (
        403,
        'pods "quiet" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container '
        '"debugger" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container '
        '"debugger" must set securityContext.capabilities.drop=["ALL"])',
    )
    change["spec"]["ephemeralContainers"] = [{**debugger, "securityContext": confined()["containers"][0]["securityContext"]}]
    assert api.patch("pods", "quiet", change, namespace, "ephemeralcontainers", content_type=STRATEGIC).status == 200


# What pods are made from


@pytest.mark.parametrize("kind", TEMPLATES, ids=resource_name)
def test_what_pods_are_made_from_is_warned_of(kind: Kind, api: Bench, ask: Ask, noted: dict[str, str]) -> None:
    namespace = ask(enforce="baseline", audit="baseline", audit_version="v1.30")
    wanted = sample(kind, "maker", namespace)
    *path, last = TEMPLATES[kind]
    place = wanted
    for step in path:
        place = place[step]
    kept = {key: value for key, value in place[last]["spec"].items() if key not in ("containers", "initContainers")}
    place[last] = {**place[last], "spec": {**kept, "containers": [PRIVILEGED]}}
    noted.clear()
    made = api.post(kind.resource, wanted)
    assert made.status == 201, made.message
    assert made.warnings == (f'would violate PodSecurity "baseline:latest": {NOT_PRIVILEGED}',)
    assert noted == {"audit-violations": f'would violate PodSecurity "baseline:v1.30": {NOT_PRIVILEGED}'}
    changed = api.patch(kind.resource, meta.name(made.json), {"metadata": {"labels": {"a": "b"}}}, namespace)
    assert (changed.status, changed.warnings) == (200, made.warnings)
    if "status" in kind.subresources:
        status = api.patch(kind.resource, meta.name(made.json), {"status": {}}, namespace, "status")
        assert (status.status, status.warnings) == (200, ())


# Namespaces


def test_labels_that_cannot_be_read_are_refused(api: Bench) -> None:
    refused = api.post("namespaces", {"metadata": {"name": "odd", "labels": labels(enforce="strict", warn_version="1.20")}})
    assert (refused.status, refused.reason) == (422, "Invalid")
    assert refused.message == (
        f'Namespace "odd" is invalid: [metadata.labels[{PREFIX}enforce]: Invalid value: "strict": must be one of privileged, '
        f'baseline, restricted, metadata.labels[{PREFIX}warn-version]: Invalid value: "1.20": must be "latest" or "v1.x"]'
    )
    assert refused.causes == [
        ("FieldValueInvalid", f"metadata.labels[{PREFIX}enforce]"),
        ("FieldValueInvalid", f"metadata.labels[{PREFIX}warn-version]"),
    ]


def test_an_update_may_leave_wrong_labels_but_not_make_them(api: Bench, ask: Ask) -> None:
    namespace = ask(enforce="baseline")
    assert api.patch("namespaces", namespace, {"metadata": {"labels": labels(audit="x")}}).status == 422
    # As from a time when nobody looked.
    store = api.server.store
    record = store.latest("/registry/namespaces/", f"/registry/namespaces/{namespace}")
    wrong = record.object()
    wrong["metadata"]["labels"] |= labels(enforce="strict")
    api.run(api.server.pipeline.resources.put(resource("namespaces"), record.key, wrong, record))
    kept = api.patch("namespaces", namespace, {"metadata": {"labels": {"a": "b"}}})
    assert (kept.status, kept.warnings) == (200, ())
    assert api.patch("namespaces", namespace, {"metadata": {"labels": labels(warn="x")}}).status == 422
    assert api.patch("namespaces", namespace, {"metadata": {"labels": labels(enforce="stricter")}}).status == 422
    # Meanwhile the most is forbidden.
    refused = api.post("pods", pod("any", namespace))
    assert refused.message == f'pods "any" is forbidden: violates PodSecurity "restricted:latest": {ANY_POD}'
    assert api.patch("namespaces", namespace, {"metadata": {"labels": labels(enforce="privileged")}}).status == 200


def test_wrong_labels_are_noted_where_pods_are_judged_by_them(api: Bench, ask: Ask, noted: dict[str, str]) -> None:
    namespace = ask()
    record = api.server.store.latest("/registry/namespaces/", f"/registry/namespaces/{namespace}")
    wrong = record.object()
    wrong["metadata"]["labels"] |= labels(audit="x", warn="y")
    api.run(api.server.pipeline.resources.put(resource("namespaces"), record.key, wrong, record))
    noted.clear()
    assert api.post("pods", pod("any", namespace, containers=[PRIVILEGED])).status == 201
    levels = "must be one of privileged, baseline, restricted"
    assert noted == {
        "enforce-policy": "privileged:latest",
        "error": f'Failed to parse policy: [metadata.labels[{PREFIX}audit]: Invalid value: "x": {levels}, '
        f'metadata.labels[{PREFIX}warn]: Invalid value: "y": {levels}]',
    }


def test_whoever_enforces_more_is_told_of_pods_that_are_there(api: Bench, ask: Ask) -> None:
    namespace = ask(enforce="privileged")
    for name in ("loud-b", "loud-a", "loud-c"):
        api.made("pods", pod(name, namespace, containers=[PRIVILEGED]))
    api.made("pods", pod("host", namespace, hostNetwork=True))
    api.made("pods", pod("fine", namespace))
    told = api.patch("namespaces", namespace, {"metadata": {"labels": labels(enforce="baseline")}})
    assert list(told.warnings) == [
        f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "baseline:latest"',
        "host: host namespaces",
        "loud-a (and 2 other pods): privileged",
    ]
    # Nothing that is enforced already is told again, nor what is enforced less.
    quiet = [labels(audit="restricted"), labels(enforce="baseline", enforce_version="latest"), labels(enforce="privileged")]
    replies = [api.patch("namespaces", namespace, {"metadata": {"labels": each}}) for each in quiet]
    assert [(reply.status, reply.warnings) for reply in replies] == [(200, ())] * 3
    api.patch("namespaces", namespace, {"metadata": {"labels": labels(enforce="restricted", enforce_version="v1.0")}})
    less = api.patch("namespaces", namespace, {"metadata": {"labels": labels(enforce="baseline")}})
    assert less.warnings == ()
    newer = api.patch("namespaces", namespace, {"metadata": {"labels": labels(enforce_version="v1.34")}}, dryRun="All")
    assert newer.warnings[0].endswith('enforce level "baseline:v1.34"')


def test_not_all_of_many_pods_are_looked_at_and_unlike_ones_first(
    api: Bench, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = ask()
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "1", "controller": True}
    for number in range(3):
        owned = pod(f"a{number}", namespace, containers=[PRIVILEGED])
        owned["metadata"]["ownerReferences"] = [owner]
        api.made("pods", owned)
    for number in range(2):
        api.made("pods", pod(f"b{number}", namespace, hostPID=True))
    monkeypatch.setattr(existing, "PODS_LIMIT", 4)
    told = api.patch("namespaces", namespace, {"metadata": {"labels": labels(enforce="baseline")}})
    assert list(told.warnings) == [
        "new PodSecurity enforce level only checked against the first 4 of 5 existing pods",
        f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "baseline:latest"',
        "a0 (and 1 other pod): privileged",
        "b0 (and 1 other pod): host namespaces",
    ]


def test_a_status_of_a_namespace_is_not_looked_at(api: Bench, ask: Ask) -> None:
    namespace = ask(enforce="baseline")
    assert api.patch("namespaces", namespace, {"status": {"conditions": []}}, subresource="status").status == 200


# Configuration


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A server that asks for the baseline everywhere, but not of everybody."""
    baseline = LevelVersion("baseline", 30)
    configuration = PodSecurityConfiguration(
        defaults=Policy(baseline, DEFAULTS.audit, DEFAULTS.warn),
        exempt_usernames=frozenset({"alice"}),
        exempt_namespaces=frozenset({"kube-system"}),
        exempt_runtime_classes=frozenset({"vm"}),
    )
    with bench(tmp_path_factory.mktemp("lenient"), pod_security=configuration) as found:
        handler = {"metadata": {"name": "vm"}, "handler": "vm"}
        found.made("runtimeclasses.node.k8s.io", handler)
        yield found


def test_the_default_is_asked_where_no_label_says_otherwise(lenient: Bench) -> None:
    assert lenient.post("pods", pod("loud", containers=[PRIVILEGED])).message == (
        f'pods "loud" is forbidden: violates PodSecurity "baseline:v1.30": {NOT_PRIVILEGED}'
    )
    lenient.made("namespaces", {"metadata": {"name": "free", "labels": labels(enforce="privileged")}})
    lenient.made("serviceaccounts", {"metadata": {"name": "default", "namespace": "free"}})
    assert lenient.post("pods", pod("loud", "free", containers=[PRIVILEGED])).status == 201
    told = lenient.patch("namespaces", "free", {"metadata": {"labels": labels(enforce=None)}})
    assert told.warnings[0].endswith('enforce level "baseline:v1.30"')


def test_who_is_exempt_is_asked_for_nothing(lenient: Bench, noted: dict[str, str]) -> None:
    loud = {"containers": [PRIVILEGED]}
    assert lenient.post("pods", pod("exempt", "kube-system", **loud)).status == 201
    assert noted.pop("exempt") == "namespace"
    assert lenient.post("pods", pod("exempt-user", **loud), user=ALICE).status == 201
    assert noted.pop("exempt") == "user"
    assert lenient.post("pods", pod("exempt-class", runtimeClassName="vm", **loud)).status == 201
    assert noted.pop("exempt") == "runtimeClass"
    deployment = sample(resource("deployments.apps"), "exempt")
    deployment["spec"]["template"]["spec"] = loud
    assert lenient.post("deployments.apps", deployment, user=ALICE).warnings == ()
    # Nor is anybody told of pods of such a class.
    told = lenient.patch("namespaces", "default", {"metadata": {"labels": labels(enforce="restricted")}})
    assert not any("exempt-class" in text for text in told.warnings)
    lenient.patch("namespaces", "default", {"metadata": {"labels": labels(enforce=None)}})


def test_labels_of_an_exempt_namespace_are_said_to_be_in_vain(lenient: Bench) -> None:
    def set_labels(**modes: str | None) -> list[str]:
        reply = lenient.patch("namespaces", "kube-system", {"metadata": {"labels": labels(**modes)}})
        return list(reply.warnings)

    assert set_labels(enforce="restricted", audit="baseline", audit_version="v1.20", warn="privileged") == [
        'namespace "kube-system" is exempt from Pod Security, and the policy (enforce=restricted:v1.30, '
        "audit=baseline:v1.20) will be ignored"
    ]
    assert set_labels(enforce="privileged", audit=None) == []


def test_decisions_exemptions_and_errors_are_counted(tmp_path: Path) -> None:
    configuration = PodSecurityConfiguration(exempt_usernames=frozenset({"alice"}))
    with bench(tmp_path, pod_security=configuration) as own:
        own.made("namespaces", {"metadata": {"name": "ns", "labels": labels(enforce="baseline", warn_version="v1.99")}})
        own.made("serviceaccounts", {"metadata": {"name": "default", "namespace": "ns"}})
        own.made("pods", pod("free"))
        own.made("pods", pod("fine", "ns"))
        own.post("pods", pod("loud", "ns", containers=[PRIVILEGED]))
        deployment = sample(resource("deployments.apps"), "maker", "ns")
        deployment["spec"]["template"]["spec"] = {"containers": [PRIVILEGED]}
        own.made("deployments.apps", deployment)
        own.post("pods", pod("exempt", "ns", containers=[PRIVILEGED]), user=ALICE)
        found = parsed(own.call("GET", "/metrics").body)
    values = {(name, frozenset(pairs)): value for (name, pairs), value in found.items()}
    about = {"request_operation": "create", "subresource": ""}

    def counted(name: str, **labels: str) -> float:
        return values[name, frozenset({**about, **labels}.items())]

    name, enforced = "pod_security_evaluations_total", {"mode": "enforce", "resource": "pod", "policy_version": "latest"}
    assert counted(name, decision="allow", policy_level="privileged", **enforced) == 1
    assert counted(name, decision="allow", policy_level="baseline", **enforced) == 1
    assert counted(name, decision="deny", policy_level="baseline", **enforced) == 1
    warned = {"mode": "warn", "resource": "controller", "policy_version": "future"}
    assert counted(name, decision="deny", policy_level="baseline", **warned) == 1
    assert counted("pod_security_exemptions_total", resource="pod") == 1


def test_without_its_namespace_nothing_is_known_of_a_pod(tmp_path: Path) -> None:
    with bench(tmp_path, disable_admission_plugins=("NamespaceLifecycle", "ServiceAccount")) as own:
        refused = own.post("pods", pod("lost", "nowhere"))
        assert (refused.status, refused.message) == (500, 'Internal error occurred: failed to lookup namespace "nowhere"')
        own.made("deployments.apps", sample(resource("deployments.apps"), "lost", "nowhere"))
        text = own.call("GET", "/metrics").body.decode()
    counted = [line for line in text.splitlines() if line.startswith("pod_security_errors_total")]
    about = 'fatal="true",request_operation="create",resource="{}",subresource=""'
    assert counted == [f"pod_security_errors_total{{{about.format(resource)}}} 1" for resource in ("pod", "controller")]
