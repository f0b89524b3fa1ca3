"""Webhook configurations as objects, and webhooks behind a Service that are asked about requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from tests.apiserver.hooks import add, after, allow, deny, patched
from tests.conformance import behaviour
from tests.conformance.customresources import definition, version
from tests.conformance.lifecycles import is_discovered
from tests.conformance.objects import pod
from tests.conformance.places import ADMISSION, DEFINITIONS, Place, Webhooks
from tests.conformance.realtime import RealTime
from tests.conformance.world import Space

GROUP = "admissionregistration.k8s.io"
UPDATE = {"operations": ["UPDATE"]}
CREATE_AND_UPDATE = {"operations": ["CREATE", "UPDATE"]}
SLOW_SECONDS = 1.3
"""How long the slow webhook takes: more than the shortest timeout there is."""


@pytest.fixture(scope="module")
def webhooks(real: RealTime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhooks]:
    found = Webhooks(real, tmp_path_factory.mktemp("webhooks"))
    yield found
    found.server.close()


@pytest.fixture
def place(real: RealTime, webhooks: Webhooks) -> Place:
    webhooks.server.answers.clear()
    return Place(real)


def config_map(name: str, data: Object | None = None) -> Object:
    return {"metadata": {"name": name}, "data": data or {}}


@behaviour("Admission webhook, discovery document")
def test_webhook_configurations_are_discovered(space: Space) -> None:
    is_discovered(space, f"mutatingwebhookconfigurations.{GROUP}")
    is_discovered(space, f"validatingwebhookconfigurations.{GROUP}")


# Refusing


def refuse_unwanted(request: Object) -> Object:
    """What is marked so must not be there."""
    obj = request["object"]
    if (obj.get("data") or {}).get("webhook-e2e-test") == "webhook-disallow":
        return deny("the configmap contains unwanted key and value")(request)  # type: ignore[no-any-return]
    names = [container["name"] for container in (obj.get("spec") or {}).get("containers") or ()]
    if "webhook-disallow" in names:
        return deny("the pod contains unwanted container name")(request)  # type: ignore[no-any-return]
    return allow(request)


UNWANTED = {"webhook-e2e-test": "webhook-disallow"}


@behaviour("Admission webhook, deny create")
def test_what_is_unwanted_is_not_made_or_become(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers |= {"/deny": refuse_unwanted, "/hang": after(3, allow)}
    rule = {**CREATE_AND_UPDATE, "resources": ["configmaps", "pods"]}
    hangs = {"objectSelector": {"matchLabels": {"hangs": "yes"}}, "timeoutSeconds": 1}
    refusing = webhooks.hook(place, "deny", "/deny", rule)
    hanging = webhooks.hook(place, "hang", "/hang", {"resources": ["pods"]}, **hangs)
    with webhooks.registered(place, "validating", refusing, hanging):
        bad_pod = pod("disallowed")
        bad_pod["spec"]["containers"][0]["name"] = "webhook-disallow"
        assert "the pod contains unwanted container name" in place.refused("POST", f"{place.path}/pods", bad_pod)
        message = place.refused("POST", f"{place.path}/pods", pod("hanging", {"hangs": "yes"}))
        assert "webhook" in message and "deadline" in message
        place.ask("GET", f"{place.path}/pods/hanging", code=404)
        told = "the configmap contains unwanted key and value"
        assert told in place.refused("POST", f"{place.path}/configmaps", config_map("bad", UNWANTED))
        place.create("configmaps", config_map("good", {"admit": "this"}))
        good = place.ask("GET", f"{place.path}/configmaps/good")
        assert told in place.refused("PUT", f"{place.path}/configmaps/good", {**good, "data": UNWANTED})
        merge = {"Content_Type": "application/merge-patch+json"}
        assert told in place.refused("PATCH", f"{place.path}/configmaps/good", {"data": UNWANTED}, **merge)
        elsewhere = Place(place.real)
        elsewhere.create("configmaps", config_map("bad", UNWANTED))


@behaviour("Admission webhook, deny attach")
def test_nobody_is_attached_to_a_pod(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers["/attach"] = deny("attaching to pod 'to-be-attached-pod' is not allowed")
    rule = {"operations": ["CONNECT"], "resources": ["pods/attach"]}
    place.create("pods", pod("to-be-attached-pod"))
    with webhooks.registered(place, "validating", webhooks.hook(place, "attach", "/attach", rule)):
        path = f"{place.path}/pods/to-be-attached-pod/attach?container=main&stdin=true"
        assert "attaching to pod 'to-be-attached-pod' is not allowed" in place.refused("POST", path)


@behaviour("Admission webhook, deny custom resource create and delete")
def test_custom_resources_are_neither_made_nor_changed_nor_deleted(place: Place, webhooks: Webhooks) -> None:
    def refuse(request: Object) -> Any:
        data = (request["object"] or request["oldObject"])["data"]
        told = deny(f"the custom resource contains unwanted data: {data}")
        return told(request) if "webhook-disallow" in data.values() else allow(request)

    webhooks.server.answers["/custom"] = refuse
    group = "denied.example.com"
    rule = {"operations": ["CREATE", "UPDATE", "DELETE"], "apiGroups": [group], "resources": ["refusals"]}
    with place.defined(definition("Refusal", version(), group=group)) as path:
        head = {"apiVersion": f"{group}/v1", "kind": "Refusal"}
        bad = {**head, "metadata": {"name": "bad"}, "data": UNWANTED}
        kept = place.ask("POST", path, {**bad, "metadata": {"name": "kept"}}, code=201)
        with webhooks.registered(place, "validating", webhooks.hook(place, "custom", "/custom", rule)):
            told = "the custom resource contains unwanted data"
            assert told in place.refused("POST", path, bad)
            good = place.ask("POST", path, {**bad, "data": {"fine": "yes"}}, code=201)
            assert told in place.refused("PUT", f"{path}/bad", {**good, "data": UNWANTED})
            assert told in place.refused("DELETE", f"{path}/kept")
            assert place.ask("GET", f"{path}/kept")["metadata"]["uid"] == kept["metadata"]["uid"]
            # What is changed so that it is wanted can go.
            place.merge(f"{path}/kept", {"data": {"webhook-e2e-test": "webhook-allow"}})
            place.ask("DELETE", f"{path}/kept")


@behaviour("Admission webhook, deny custom resource definition")
def test_a_definition_is_not_made(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers["/definition"] = deny("the crd contains unwanted label")
    rule = {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"]}
    labels = {"webhook-e2e-test": "webhook-disallow"}
    selector = {"objectSelector": {"matchLabels": labels}, "namespaceSelector": {}}
    with webhooks.registered(place, "validating", webhooks.hook(place, "definition", "/definition", rule, **selector)):
        wanted = definition("Unwanted", version(), group="unwanted.example.com")
        wanted["metadata"]["labels"] = labels
        assert "the crd contains unwanted label" in place.refused("POST", DEFINITIONS, wanted)


@behaviour("Admission webhook, fail closed")
def test_what_nobody_can_be_asked_about_is_refused(place: Place, webhooks: Webhooks) -> None:
    untrusted = webhooks.client("/configmaps")
    del untrusted["caBundle"]
    with webhooks.registered(place, "validating", webhooks.hook(place, "closed", "/configmaps", clientConfig=untrusted)):
        status, answer = place.real.ask("POST", f"{place.path}/configmaps", config_map("foo"))
        assert (status, answer["reason"]) == (500, "InternalError")
        assert 'failed calling webhook "closed.example.com"' in answer["message"]
        place.ask("GET", f"{place.path}/configmaps/foo", code=404)


@behaviour("Admission webhook, honor timeout")
def test_a_slow_webhook_is_waited_for_as_long_as_it_says(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers["/slow"] = after(SLOW_SECONDS, allow)

    def attempt(name: str, timeout: int | None, policy: str) -> tuple[int, str]:
        fields = {"failurePolicy": policy, **({"timeoutSeconds": timeout} if timeout is not None else {})}
        with webhooks.registered(place, "validating", webhooks.hook(place, "slow", "/slow", **fields)):
            status, answer = place.real.ask("POST", f"{place.path}/configmaps", config_map(name))
            return status, str(answer.get("message", ""))

    status, message = attempt("too-slow", 1, "Fail")
    assert status == 500 and "timeout=1s" in message
    assert attempt("ignored", 1, "Ignore")[0] == 201
    assert attempt("waited-for", 10, "Fail")[0] == 201
    assert attempt("default", None, "Fail")[0] == 201


@behaviour("Admission webhook, admission control not allowed on webhook configuration objects")
def test_configurations_are_out_of_reach(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers |= {"/deny": deny(), "/mutate": patched(add("/metadata/labels", {"mutated": "yes"}))}
    resources = ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"]
    rule = {"apiGroups": [GROUP], "apiVersions": ["*"], "resources": resources}
    deleting = webhooks.hook(place, "deny", "/deny", {**rule, "operations": ["DELETE"]}, namespaceSelector={})
    making = webhooks.hook(place, "mutate", "/mutate", {**rule, "operations": ["CREATE"]}, namespaceSelector={})
    with webhooks.registered(place, "validating", deleting), webhooks.registered(place, "mutating", making):
        for kind in ("validating", "mutating"):
            name = f"dummy-{kind}-{place.name}"
            with webhooks.registered(place, kind, webhooks.hook(place, "dummy", "/dummy"), name=name) as path:
                assert "labels" not in place.ask("GET", path)["metadata"]
                place.ask("DELETE", path)


# Changing


def adding(key: str, value: str, needs: str) -> Any:
    """Adds something to the data of what has something already."""
    return lambda request: (
        patched(add(f"/data/{key}", value))(request) if needs in (request["object"].get("data") or {}) else allow(request)
    )


@behaviour("Admission webhook, ordered mutation")
def test_webhooks_change_one_after_the_other(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers |= {
        "/one": adding("mutation-stage-1", "yes", "mutation-start"),
        "/two": adding("mutation-stage-2", "yes", "mutation-stage-1"),
    }
    hooks = [webhooks.hook(place, "one", "/one"), webhooks.hook(place, "two", "/two")]
    with webhooks.registered(place, "mutating", *hooks):
        made = place.create("configmaps", config_map("to-be-mutated", {"mutation-start": "yes"}))
        assert made["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}


@behaviour("Admission webhook, mutation with defaulting")
def test_what_is_added_to_a_pod_gets_its_defaults(place: Place, webhooks: Webhooks) -> None:
    container = {"name": "webhook-added-init-container", "image": "webhook-added-image"}
    webhooks.server.answers["/pods"] = patched(add("/spec/initContainers", [container]))
    with webhooks.registered(place, "mutating", webhooks.hook(place, "pods", "/pods", {"resources": ["pods"]})):
        (added,) = place.create("pods", pod("webhook-to-be-mutated"))["spec"]["initContainers"]
        assert (added["name"], added["terminationMessagePolicy"]) == ("webhook-added-init-container", "File")


def custom(group: str, plural: str) -> Object:
    return {**CREATE_AND_UPDATE, "apiGroups": [group], "apiVersions": ["*"], "resources": [plural]}


@behaviour("Admission webhook, mutate custom resource")
def test_a_custom_resource_is_changed(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers |= {
        "/one": adding("mutation-stage-1", "yes", "mutation-start"),
        "/two": adding("mutation-stage-2", "yes", "mutation-stage-1"),
    }
    group = "mutated.example.com"
    hooks = [webhooks.hook(place, name, f"/{name}", custom(group, "mutations")) for name in ("one", "two")]
    registered = webhooks.registered(place, "mutating", *hooks)
    with place.defined(definition("Mutation", version(), group=group)) as path, registered:
        head = {"apiVersion": f"{group}/v1", "kind": "Mutation", "metadata": {"name": "cr-instance-1"}}
        made = place.ask("POST", path, {**head, "data": {"mutation-start": "yes"}}, code=201)
        assert made["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}


@behaviour("Admission webhook, mutate custom resource with different stored version")
def test_a_custom_resource_stored_in_an_older_version_is_changed(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers["/one"] = adding("mutation-stage-1", "yes", "mutation-start")
    group = "multiversion.example.com"
    wanted = definition("Multi", version("v1"), version("v2", storage=False), group=group)
    registered = webhooks.registered(place, "mutating", webhooks.hook(place, "one", "/one", custom(group, "multis")))
    with place.defined(wanted) as path, registered:
        head = {"apiVersion": f"{group}/v1", "kind": "Multi", "metadata": {"name": "cr-instance-1"}}
        place.ask("POST", path, {**head, "data": {"mutation-start": "yes"}}, code=201)
        stored = [{"op": "replace", "path": f"/spec/versions/{i}/storage", "value": bool(i)} for i in (0, 1)]
        json_patch = {"Content_Type": "application/json-patch+json"}
        place.ask("PATCH", f"{DEFINITIONS}/multis.{group}", stored, **json_patch)
        changed = place.merge(f"{path}/cr-instance-1", {"dummy": "test"})
        assert (changed["dummy"], changed["data"]["mutation-stage-1"]) == ("test", "yes")


@behaviour("Admission webhook, mutate custom resource with pruning")
def test_what_a_schema_does_not_know_is_not_added(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers |= {
        "/one": adding("mutation-stage-1", "yes", "mutation-start"),
        "/two": adding("mutation-stage-2", "yes", "mutation-stage-1"),
    }
    group, text = "pruned.example.com", {"type": "string"}
    data = {"type": "object", "properties": {"mutation-start": text, "mutation-stage-1": text}}
    schema = {"type": "object", "properties": {"data": data}}
    hooks = [webhooks.hook(place, name, f"/{name}", custom(group, "prunings")) for name in ("one", "two")]
    registered = webhooks.registered(place, "mutating", *hooks)
    with place.defined(definition("Pruning", version(schema=schema), group=group)) as path, registered:
        head = {"apiVersion": f"{group}/v1", "kind": "Pruning", "metadata": {"name": "cr-instance-1"}}
        made = place.ask("POST", path, {**head, "data": {"mutation-start": "yes"}}, code=201)
        assert made["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes"}


# Configurations come and go


@behaviour("Admission webhook, update validating webhook")
def test_a_refusing_webhook_is_updated_and_patched(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers["/deny"] = refuse_unwanted
    with webhooks.registered(place, "validating", webhooks.hook(place, "deny", "/deny")) as path:
        place.refused("POST", f"{place.path}/configmaps", config_map("refused", UNWANTED))
        found = place.ask("GET", path)
        found["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
        place.ask("PUT", path, found)
        place.create("configmaps", config_map("let-in", UNWANTED))
        operations = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
        place.ask("PATCH", path, operations, Content_Type="application/json-patch+json")
        place.refused("POST", f"{place.path}/configmaps", config_map("refused", UNWANTED))


@behaviour("Admission webhook, update mutating webhook")
def test_a_changing_webhook_is_updated_and_patched(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers["/one"] = adding("mutation-stage-1", "yes", "mutation-start")
    start = {"mutation-start": "yes"}
    with webhooks.registered(place, "mutating", webhooks.hook(place, "one", "/one")) as path:
        found = place.ask("GET", path)
        found["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
        place.ask("PUT", path, found)
        assert place.create("configmaps", config_map("as-it-was", start))["data"] == start
        operations = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
        place.ask("PATCH", path, operations, Content_Type="application/json-patch+json")
        assert place.create("configmaps", config_map("changed", start))["data"] == {**start, "mutation-stage-1": "yes"}


LISTED = 10


def listed(place: Place, webhooks: Webhooks, kind: str, path: str, stack: ExitStack) -> str:
    """Many configurations with a label; the query that finds them."""
    for number in range(LISTED):
        hook = webhooks.hook(place, f"hook-{number}", path)
        stack.enter_context(
            webhooks.registered(place, kind, hook, name=f"{kind}-{place.name}-{number}", labels={"e2e-list": place.name})
        )
    query = f"{ADMISSION}/{kind}webhookconfigurations?labelSelector=e2e-list%3D{place.name}"
    assert len(place.ask("GET", query)["items"]) == LISTED
    return query


@behaviour("Admission webhook, list validating webhooks")
def test_refusing_webhooks_are_listed_and_deleted_together(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers["/deny"] = refuse_unwanted
    with ExitStack() as stack:
        query = listed(place, webhooks, "validating", "/deny", stack)
        place.refused("POST", f"{place.path}/configmaps", config_map("refused", UNWANTED))
        place.ask("DELETE", query)
        place.create("configmaps", config_map("refused", UNWANTED))


@behaviour("Admission webhook, list mutating webhooks")
def test_changing_webhooks_are_listed_and_deleted_together(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers["/one"] = adding("mutation-stage-1", "yes", "mutation-start")
    start = {"mutation-start": "yes"}
    with ExitStack() as stack:
        query = listed(place, webhooks, "mutating", "/one", stack)
        assert place.create("configmaps", config_map("changed", start))["data"] == {**start, "mutation-stage-1": "yes"}
        place.ask("DELETE", query)
        assert place.create("configmaps", config_map("as-it-was", start))["data"] == start


# Match conditions

CONDITION = {"name": "expression-1", "expression": "object.metadata.namespace == 'production'"}
OTHERS = [
    {"name": "expression-1", "expression": "object.metadata.namespace == 'staging'"},
    {"name": "expression-2", "expression": "object.metadata.name == 'x'"},
]


def conditions_are_kept(place: Place, webhooks: Webhooks, kind: str) -> None:
    webhooks.server.answers["/allow"] = allow
    hook = webhooks.hook(place, "conditions", "/allow", matchConditions=[CONDITION])
    with webhooks.registered(place, kind, hook) as path:
        found = place.ask("GET", path)
        assert found["webhooks"][0]["matchConditions"] == [CONDITION]
        found["webhooks"][0]["matchConditions"] = OTHERS
        place.ask("PUT", path, found)
        assert place.ask("GET", path)["webhooks"][0]["matchConditions"] == OTHERS


@behaviour("Validating Admission webhook, create and update validating webhook configuration with matchConditions")
def test_conditions_of_refusing_webhooks_are_kept(place: Place, webhooks: Webhooks) -> None:
    conditions_are_kept(place, webhooks, "validating")


@behaviour("Mutating Admission webhook, create and update mutating webhook configuration with matchConditions")
def test_conditions_of_changing_webhooks_are_kept(place: Place, webhooks: Webhooks) -> None:
    conditions_are_kept(place, webhooks, "mutating")


def invalid_conditions_are_refused(place: Place, webhooks: Webhooks, kind: str) -> None:
    broken = {"name": "invalid-expression-1", "expression": "... [] bad expression"}
    hook = webhooks.hook(place, "invalid", "/allow", matchConditions=[broken])
    wanted = {"metadata": {"name": f"invalid-{place.name}"}, "webhooks": [hook]}
    message = place.refused("POST", f"{ADMISSION}/{kind}webhookconfigurations", wanted)
    assert "compilation failed" in message


@behaviour("Validing Admission webhook, reject validating webhook configurations with invalid matchConditions")
def test_invalid_conditions_of_refusing_webhooks_are_refused(place: Place, webhooks: Webhooks) -> None:
    invalid_conditions_are_refused(place, webhooks, "validating")


@behaviour("Mutating Admission webhook, reject mutating webhook configurations with invalid matchConditions")
def test_invalid_conditions_of_changing_webhooks_are_refused(place: Place, webhooks: Webhooks) -> None:
    invalid_conditions_are_refused(place, webhooks, "mutating")


@behaviour("Mutating Admission webhook, mutating webhook excluding object with specific name")
def test_conditions_leave_an_object_out(place: Place, webhooks: Webhooks) -> None:
    webhooks.server.answers["/one"] = adding("mutation-stage-1", "yes", "mutation-start")
    start = {"mutation-start": "yes"}
    skip = [{"name": "skip", "expression": "object.metadata.name != 'skip-me'"}]
    with webhooks.registered(place, "mutating", webhooks.hook(place, "one", "/one", matchConditions=skip)):
        assert place.create("configmaps", config_map("skip-me", start))["data"] == start
        assert place.create("configmaps", config_map("not-me", start))["data"] == {**start, "mutation-stage-1": "yes"}
