"""Every kind through create, get, list, update, patch, status and delete, and the rules that all kinds share."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from navarch.api.kind import Kind
from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from navarch.apiserver import resources
from navarch.component import clock
from tests.apiserver.bench import JSON_PATCH, MERGE, STRATEGIC, Bench
from tests.apiserver.samples import STATUSES, STORED, name_of, pod, sample

KINDS = pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource)
WITH_STATUS = pytest.mark.parametrize("kind", [k for k in STORED if "status" in k.subresources], ids=lambda kind: kind.resource)


@KINDS
def test_every_kind_lives_through_all_verbs(any_api: Bench, kind: Kind) -> None:
    name = name_of(kind, f"life-{kind.plural}")
    # Labels count for some.
    counted = "metadata.labels" in kind.spec_fields
    made = any_api.made(kind.resource, sample(kind, name))
    metadata = made["metadata"]
    assert (made["apiVersion"], made["kind"]) == (kind.api_version, kind.kind)
    assert metadata["uid"] and metadata["creationTimestamp"] and int(metadata["resourceVersion"]) > 0
    assert metadata.get("generation") == (1 if kind.has_generation else None)

    got = any_api.get(kind.resource, name)
    assert (got.status, got.json) == (200, made)
    listed = any_api.list(kind.resource, fieldSelector=f"metadata.name={name}").json
    assert listed["kind"] == f"{kind.kind}List" and listed["items"] == [made]
    assert int(listed["metadata"]["resourceVersion"]) >= int(metadata["resourceVersion"])

    updated = any_api.put(kind.resource, {**made, "metadata": {**metadata, "labels": {"step": "put"}}})
    assert updated.status == 200 and updated.json["metadata"]["labels"]["step"] == "put"
    version = "1"
    for type_, change in (
        (MERGE, {"metadata": {"labels": {"step": "merge"}}}),
        (STRATEGIC, {"metadata": {"labels": {"step": "strategic"}}}),
        (JSON_PATCH, [{"op": "replace", "path": "/metadata/labels/step", "value": "json"}]),
    ):
        patched = any_api.patch(kind.resource, name, change, content_type=type_)
        assert patched.status == 200, patched.body
        assert int(patched.json["metadata"]["resourceVersion"]) > int(version)
        version = patched.json["metadata"]["resourceVersion"]
    assert any_api.get(kind.resource, name).json["metadata"]["labels"]["step"] == "json"
    generation = any_api.get(kind.resource, name).json["metadata"].get("generation")
    assert generation == (5 if counted else metadata.get("generation"))

    deleted = any_api.delete(kind.resource, name)
    assert deleted.status == 200
    if kind.resource == "namespaces":
        assert deleted.json["status"]["phase"] == "Terminating"
        assert any_api.put(kind.resource, {**deleted.json, "spec": {"finalizers": []}}, "finalize").status == 200
    elif kind.resource == "customresourcedefinitions.apiextensions.k8s.io":
        assert deleted.json["metadata"]["deletionTimestamp"], "its objects go first"
        any_api.until(lambda: any_api.get(kind.resource, name).status == 404)
    elif kind.returns_deleted:
        assert deleted.json["metadata"]["name"] == name
        if metadata.get("finalizers"):
            assert deleted.json["metadata"]["deletionTimestamp"] and any_api.get(kind.resource, name).json == deleted.json
            assert any_api.patch(kind.resource, name, {"metadata": {"finalizers": None}}).status == 200
    else:
        assert deleted.json["status"] == "Success"
        assert deleted.json["details"] == {
            key: value
            for key, value in (("name", name), ("group", kind.group), ("kind", kind.plural), ("uid", metadata["uid"]))
            if value
        }
    gone = any_api.get(kind.resource, name)
    assert (gone.status, gone.reason) == (404, "NotFound")
    assert gone.message == f'{kind.resource} "{name}" not found'


@WITH_STATUS
def test_status_is_written_only_through_its_subresource(any_api: Bench, kind: Kind) -> None:
    name = name_of(kind, f"status-{kind.plural}")
    wanted = STATUSES[kind.resource]
    made = any_api.made(kind.resource, {**sample(kind, name), "status": wanted})
    assert (wanted.items() <= made.get("status", {}).items()) is kind.keeps_status_on_create
    ignored = any_api.put(kind.resource, {**made, "status": {"conditions": []}})
    assert ignored.status == 200 and ignored.json == made
    body = {**copy.deepcopy(made), "status": {**made.get("status", {}), **wanted}}
    body["metadata"]["labels"] = {**body["metadata"].get("labels", {}), "from": "status"}
    written = any_api.put(kind.resource, body, "status")
    assert written.status == 200, written.body
    assert wanted.items() <= written.json["status"].items()
    assert written.json.get("spec") == made.get("spec")
    assert written.json["metadata"].get("generation") == made["metadata"].get("generation")
    patched = any_api.patch(kind.resource, name, {"status": wanted}, subresource="status")
    assert patched.status == 200 and patched.json["metadata"]["resourceVersion"] == written.json["metadata"]["resourceVersion"]
    assert any_api.get(kind.resource, name, subresource="status").json == patched.json
    # What changes nothing is none, whatever is said beside it, and leaves nothing changed that others share.
    metadata = patched.json["metadata"]
    for beside in ({"resourceVersion": metadata["resourceVersion"]}, {"managedFields": metadata.get("managedFields", [])}):
        for type_ in (STRATEGIC, MERGE):
            change = {"metadata": beside, "status": wanted}
            again = any_api.patch(kind.resource, name, change, subresource="status", content_type=type_)
            assert (again.status, again.json) == (200, patched.json), again.body


@KINDS
def test_an_empty_object_of_any_kind_is_refused_or_taken_but_never_breaks(api: Bench, kind: Kind) -> None:
    name = name_of(kind, "empty")
    metadata = {"name": name} | ({"namespace": "default"} if kind.namespaced else {})
    for body in ({"metadata": metadata}, {"metadata": metadata, "spec": {}}, {"metadata": metadata, "spec": None}):
        reply = api.post(kind.resource, body)
        assert reply.status in (201, 422), reply.body
        if reply.status == 201:
            api.delete(kind.resource, name, {"gracePeriodSeconds": 0})
        if kind.resource == "namespaces":
            api.put(kind.resource, {"metadata": {"name": "empty"}}, "finalize")


def test_creating_what_exists_is_refused(api: Bench) -> None:
    api.made("configmaps", sample(resource("configmaps"), "twice"))
    reply = api.post("configmaps", sample(resource("configmaps"), "twice"))
    assert (reply.status, reply.reason, reply.message) == (409, "AlreadyExists", 'configmaps "twice" already exists')
    assert reply.json["details"] == {"name": "twice", "kind": "configmaps"}


def test_generated_names_begin_with_their_prefix_and_differ(api: Bench) -> None:
    names = set()
    for _ in range(20):
        obj = sample(resource("configmaps"), "")
        obj["metadata"] = {"generateName": "made-", "namespace": "default"}
        names.add(api.made("configmaps", obj)["metadata"]["name"])
    assert len(names) == 20 and all(name.startswith("made-") and len(name) == 10 for name in names)


def test_a_prefix_whose_names_are_all_taken_is_told_apart(api: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "name_suffix", lambda length=5: "taken")
    obj = {"metadata": {"generateName": "full-", "namespace": "default"}}
    api.made("configmaps", obj)
    reply = api.post("configmaps", obj)
    assert (reply.status, reply.reason, reply.json["details"]["retryAfterSeconds"]) == (409, "AlreadyExists", 1)
    text = 'configmaps "full-taken" already exists, the server was not able to generate a unique name for the object'
    assert reply.message == text


def test_a_long_generated_name_still_fits(api: Bench) -> None:
    made = api.made("configmaps", {"metadata": {"generateName": "a" * 80, "namespace": "default"}})
    assert len(made["metadata"]["name"]) == 63


def test_what_the_server_sets_cannot_be_sent(api: Bench) -> None:
    obj = sample(resource("configmaps"), "forged", uid="mine", creationTimestamp="2001-01-01T00:00:00Z", generation=7)
    obj["metadata"]["deletionTimestamp"] = "2001-01-01T00:00:00Z"
    made = api.made("configmaps", obj)["metadata"]
    assert made["uid"] != "mine" and made["creationTimestamp"] > "2020"
    assert "deletionTimestamp" not in made and "generation" not in made
    reply = api.post("configmaps", sample(resource("configmaps"), "versioned", resourceVersion="5"))
    assert (reply.status, reply.message) == (400, "resourceVersion should not be set on objects to be created")
    assert api.post("configmaps", sample(resource("configmaps"), "versioned", resourceVersion="0")).status == 201


def test_a_stale_resource_version_is_a_conflict(api: Bench) -> None:
    made = api.made("configmaps", sample(resource("configmaps"), "stale"))
    api.patch("configmaps", "stale", {"data": {"b": "2"}})
    reply = api.put("configmaps", {**made, "data": {"c": "3"}})
    assert (reply.status, reply.reason) == (409, "Conflict")
    assert reply.message == (
        'Operation cannot be fulfilled on configmaps "stale": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    old = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"c": "3"}}
    assert api.patch("configmaps", "stale", old).status == 409
    pinned = [{"op": "replace", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]}]
    assert api.patch("configmaps", "stale", pinned, content_type=JSON_PATCH).status == 409
    del made["metadata"]["resourceVersion"]
    assert api.put("configmaps", {**made, "data": {"c": "3"}}).status == 200


def test_resource_version_zero_is_any_and_what_is_no_number_is_refused(api: Bench) -> None:
    made = api.made("configmaps", sample(resource("configmaps"), "any"))
    zero, odd = ({"metadata": {"resourceVersion": version}} for version in ("0", "x"))
    sent = {**made, "metadata": made["metadata"] | zero["metadata"], "data": {"c": "3"}}
    assert api.put("configmaps", sent).json["data"] == {"c": "3"}
    assert api.patch("configmaps", "any", {**zero, "data": {"c": "4"}}).json["data"]["c"] == "4"
    sent["metadata"] |= odd["metadata"]
    for reply in (api.put("configmaps", sent), api.patch("configmaps", "any", odd)):
        assert (reply.status, reply.reason) == (400, "BadRequest")
        assert reply.message == 'strconv.ParseUint: parsing "x": invalid syntax'
    api.made("poddisruptionbudgets.policy", sample(resource("poddisruptionbudgets.policy"), "named"))
    reply = api.patch("poddisruptionbudgets.policy", "named", zero)
    text = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    assert reply.status == 422 and reply.message.endswith(text)


def test_an_update_that_changes_nothing_takes_no_revision(api: Bench) -> None:
    made = api.made("configmaps", sample(resource("configmaps"), "same"))
    before = api.store.revision
    assert api.put("configmaps", made).json == made
    assert api.patch("configmaps", "same", {"data": {"a": "1"}}).json == made
    assert api.store.revision == before


def test_an_update_of_what_is_missing_is_not_found_except_where_put_creates(api: Bench) -> None:
    assert api.put("configmaps", sample(resource("configmaps"), "nowhere")).status == 404
    assert api.patch("configmaps", "nowhere", {}).status == 404
    for name in ("leases.coordination.k8s.io", "limitranges", "services"):
        assert api.put(name, sample(resource(name), "put-made")).status == 201


def test_names_and_namespaces_of_body_and_path_must_agree(api: Bench) -> None:
    made = api.made("configmaps", sample(resource("configmaps"), "agree"))
    path = "/api/v1/namespaces/default/configmaps/agree"
    other = {**made, "metadata": {**made["metadata"], "name": "other"}}
    reply = api.call("PUT", path, other)
    assert reply.status == 400
    assert reply.message == "the name of the object (other) does not match the name on the URL (agree)"
    nameless = api.call("PUT", path, {**made, "metadata": {"namespace": "default"}})
    text = "the name of the object (agree based on URL) was undeterminable: name must be provided"
    assert (nameless.status, nameless.message) == (400, text)
    elsewhere = {**made, "metadata": {**made["metadata"], "namespace": "kube-system"}}
    new = sample(resource("configmaps"), "agree", "kube-system")
    for method, target, obj in (("PUT", path, elsewhere), ("POST", "/api/v1/namespaces/default/configmaps", new)):
        reply = api.call(method, target, obj)
        assert reply.status == 400
        assert "the namespace of the provided object does not match the namespace sent on the request" in reply.message
    assert api.patch("configmaps", "agree", {"metadata": {"name": "other"}}).status in (400, 422)


def test_immutable_metadata_stays(api: Bench) -> None:
    made = api.made("configmaps", sample(resource("configmaps"), "fixed"))
    reply = api.patch("configmaps", "fixed", {"metadata": {"uid": "00000000-0000-4000-8000-000000000000"}})
    assert (reply.status, reply.reason) == (422, "Invalid")
    changed = api.patch("configmaps", "fixed", {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}})
    assert changed.json["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]


def test_generation_counts_changes_of_the_spec_only(api: Bench) -> None:
    api.made("deployments.apps", sample(resource("deployments.apps"), "counted"))
    labelled = api.patch("deployments.apps", "counted", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.json["metadata"]["generation"] == 1
    scaled = api.patch("deployments.apps", "counted", {"spec": {"replicas": 3}})
    assert scaled.json["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    ("name", "empty"),
    [
        ("deployments.apps", {}),
        ("cronjobs.batch", {}),
        (
            "poddisruptionbudgets.policy",
            {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
        ),
    ],
)
def test_a_status_is_there_from_the_beginning_and_cannot_be_taken_away(api: Bench, name: str, empty: Object) -> None:
    made = api.made(name, {**sample(resource(name), "no-status"), "status": {"nonsense": 1}})
    assert made["status"] == empty
    assert api.patch(name, "no-status", {"status": None}, subresource="status").json["status"] == empty


def test_field_validation_ignores_warns_or_refuses(api: Bench) -> None:
    body = b'{"metadata":{"name":"unknown","namespace":"default"},"data":{"a":"1","a":"2"},"extra":{"x":1}}'
    path = "/api/v1/namespaces/default/configmaps"
    warned = api.call("POST", path, body)
    assert warned.status == 201 and "extra" not in warned.json
    assert 'unknown field \\"extra\\"' in warned.headers["warning"] or 'unknown field "extra"' in warned.headers["warning"]
    ignored = api.call("POST", path, body.replace(b"unknown", b"ignored"), fieldValidation="Ignore")
    assert ignored.status == 201 and "warning" not in ignored.headers
    strict = api.call("POST", path, body.replace(b"unknown", b"strict"), fieldValidation="Strict")
    assert (strict.status, strict.reason) == (400, "BadRequest")
    problems = 'duplicate field "data.a", unknown field "extra"'
    assert strict.message == f'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: {problems}'
    assert api.get("configmaps", "strict").status == 404
    wrong = api.call("POST", path, body, fieldValidation="Sometimes")
    assert wrong.status == 422


def test_fields_are_complained_of_in_the_documents_order_and_what_is_unknown_is_not_looked_into(api: Bench) -> None:
    body = (
        b'{"metadata":{"name":"strict","finalizers":[],"x":1,"labels":{"a":"1","b":"1","a":"2"},"finalizers":[]},'
        b'"spec":{"containers":[{"name":"c","imagee":{"a":1,"a":2},"image":"i","image":"i","imagee":1}]}}'
    )
    reply = api.call("POST", "/api/v1/namespaces/default/pods", body, fieldValidation="Strict")
    problems = [
        'unknown field "metadata.x"',
        'duplicate field "metadata.labels.a"',
        'duplicate field "metadata.finalizers"',
        'duplicate field "spec.containers[0].image"',
        'unknown field "spec.containers[0].imagee"',
    ]
    assert reply.message == f'Pod in version "v1" cannot be handled as a Pod: strict decoding error: {", ".join(problems)}'


def test_duplicate_keys_of_yaml_are_told_of_as_go_does(api: Bench) -> None:
    body = b"metadata:\n  name: yaml-twice\ndata:\n  a: '1'\n  a: '2'\nextra: 1\n"
    path, problem = "/api/v1/namespaces/default/configmaps", 'line 5: key "a" already set in map'
    strict = api.call("POST", path, body, content_type="application/yaml", fieldValidation="Strict")
    assert strict.message.endswith(f': strict decoding error: yaml: unmarshal errors:\n  {problem}, unknown field "extra"')
    warned = api.call("POST", path, body.replace(b"extra: 1", b""), content_type="application/yaml")
    assert warned.status == 201 and warned.json["data"] == {"a": "2"}
    assert problem.replace('"', '\\"') in warned.headers["warning"]


def test_unknown_fields_below_lists_are_named_by_path(api: Bench) -> None:
    obj = pod("deep")
    obj["spec"]["containers"][0]["imagee"] = "x"
    reply = api.post("pods", obj, fieldValidation="Strict")
    assert 'unknown field "spec.containers[0].imagee"' in reply.message


def test_dry_run_validates_but_stores_nothing(api: Bench) -> None:
    revision = api.store.revision
    made = api.post("configmaps", sample(resource("configmaps"), "dry"), dryRun="All")
    assert made.status == 201 and made.json["metadata"]["uid"]
    assert api.get("configmaps", "dry").status == 404
    assert api.post("configmaps", sample(resource("configmaps"), "Bad_Name"), dryRun="All").status == 422
    assert api.post("configmaps", sample(resource("configmaps"), "dry"), dryRun="Perhaps").status == 422
    assert api.store.revision == revision
    kept = api.made("configmaps", sample(resource("configmaps"), "wet"))
    assert api.patch("configmaps", "wet", {"data": {"a": "9"}}, dryRun="All").json["data"]["a"] == "9"
    assert api.put("configmaps", {**kept, "data": {"a": "9"}}, dryRun="All").json["data"]["a"] == "9"
    assert api.delete("configmaps", "wet", dryRun="All").status == 200
    assert api.delete("configmaps", "wet", {"dryRun": ["All"]}).status == 200
    assert api.get("configmaps", "wet").json == kept


# Deletion


def test_finalizers_hold_an_object_until_the_last_is_removed(api: Bench) -> None:
    api.made("configmaps", sample(resource("configmaps"), "held", finalizers=["example.com/a", "example.com/b"]))
    deleting = api.delete("configmaps", "held")
    assert deleting.status == 200 and deleting.json["metadata"]["deletionTimestamp"]
    assert deleting.json["metadata"]["deletionGracePeriodSeconds"] == 0
    added = api.patch("configmaps", "held", {"metadata": {"finalizers": ["example.com/a", "example.com/b", "example.com/c"]}})
    assert added.status == 422 and added.causes == [("FieldValueForbidden", "metadata.finalizers")]
    assert api.patch("configmaps", "held", {"metadata": {"finalizers": ["example.com/b"]}}).status == 200
    last = api.patch("configmaps", "held", {"metadata": {"finalizers": None}})
    assert last.status == 200
    assert api.get("configmaps", "held").status == 404


def test_propagation_policies_become_finalizers(api: Bench) -> None:
    for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        name = policy.lower()
        api.made("replicasets.apps", sample(resource("replicasets.apps"), name))
        deleting = api.delete("replicasets.apps", name, {"propagationPolicy": policy})
        assert deleting.json["metadata"]["finalizers"] == [finalizer]
    api.made("replicasets.apps", sample(resource("replicasets.apps"), "background"))
    assert api.delete("replicasets.apps", "background", propagationPolicy="Background").json["status"] == "Success"
    refused = api.delete("replicasets.apps", "foreground", {"propagationPolicy": "Sideways"})
    assert refused.status == 422


@pytest.mark.parametrize(
    ("query", "body", "status", "finalizers"),
    [
        ({"propagationPolicy": "Foreground"}, None, 200, ["foregroundDeletion", "example.com/held"]),
        ({"propagationPolicy": "Orphan"}, None, 200, ["example.com/held", "orphan"]),
        ({"orphanDependents": "false"}, None, 202, ["example.com/held"]),
        ({"orphanDependents": "true"}, None, 200, ["example.com/held", "orphan"]),
        ({}, {"propagationPolicy": "Foreground"}, 200, ["foregroundDeletion", "example.com/held"]),
        ({"propagationPolicy": "Orphan"}, {"kind": "DeleteOptions"}, 200, ["example.com/held"]),
        ({}, None, 200, ["example.com/held"]),
    ],
)
def test_options_of_a_deletion_are_the_body_or_the_query_where_there_is_none(
    api: Bench, query: dict[str, str], body: Any, status: int, finalizers: list[str]
) -> None:
    api.made("configmaps", sample(resource("configmaps"), "optioned", finalizers=["example.com/held"]))
    try:
        reply = api.delete("configmaps", "optioned", body, **query)
        assert (reply.status, sorted(reply.json["metadata"]["finalizers"])) == (status, sorted(finalizers))
    finally:
        api.patch("configmaps", "optioned", {"metadata": {"finalizers": None}})
    assert api.get("configmaps", "optioned").status == 404


def test_preconditions_of_a_deletion_must_hold(api: Bench) -> None:
    made = api.made("deployments.apps", sample(resource("deployments.apps"), "sure"))["metadata"]
    recreated = (
        f"(other) does not match the UID in record ({made['uid']}). The object might have been deleted and then recreated"
    )
    modified = (
        f"(1) does not match the ResourceVersion in record ({made['resourceVersion']}). The object might have been modified"
    )
    for field, value, name, text in (
        ("uid", "other", "UID", recreated),
        ("resourceVersion", "1", "ResourceVersion", modified),
    ):
        reply = api.delete("deployments.apps", "sure", {"preconditions": {field: value}})
        assert (reply.status, reply.reason) == (409, "Conflict")
        assert (
            reply.message == f'Operation cannot be fulfilled on Deployment.apps "sure": the {name} in the precondition {text}'
        )
        assert reply.json["details"] == {"name": "sure", "group": "apps", "kind": "Deployment"}
    exact = {key: made[key] for key in ("uid", "resourceVersion")}
    assert api.delete("deployments.apps", "sure", {"preconditions": exact}).status == 200


def test_preconditions_of_a_namespaces_deletion_have_words_of_their_own(api: Bench) -> None:
    uid = api.get("namespaces", "default").json["metadata"]["uid"]
    reply = api.delete("namespaces", "default", {"preconditions": {"uid": "other"}})
    text = f"Precondition failed: UID in precondition: other, UID in object meta: {uid}"
    assert (reply.status, reply.message) == (409, f'Operation cannot be fulfilled on namespaces "default": {text}')


def test_deletions_that_are_only_tried_say_what_real_ones_do(api: Bench) -> None:
    for kind in ("configmaps", "services"):
        api.made(kind, sample(resource(kind), "tried"))
        tried = api.delete(kind, "tried", dryRun="All")
        done = api.delete(kind, "tried")
        assert tried.json == done.json
        assert tried.json["kind"] == ("Status" if kind == "configmaps" else "Service")


def test_a_patch_cannot_make_another_object_of_one_but_says_of_which_it_is(api: Bench) -> None:
    uid = api.made("configmaps", sample(resource("configmaps"), "itself"))["metadata"]["uid"]
    refused = api.patch("configmaps", "itself", {"metadata": {"uid": "other"}, "data": {"x": "1"}})
    assert (refused.status, refused.reason) == (422, "Invalid")
    assert refused.message == 'ConfigMap "itself" is invalid: metadata.uid: Invalid value: "other": field is immutable'
    assert api.patch("configmaps", "itself", {"metadata": {"uid": uid}, "data": {"x": "1"}}).status == 200
    replaced = {**sample(resource("configmaps"), "itself"), "metadata": {"name": "itself", "uid": "other"}}
    conflict = api.put("configmaps", replaced)
    assert (conflict.status, conflict.reason) == (409, "Conflict")
    assert conflict.message.endswith(f"Precondition failed: UID in precondition: other, UID in object meta: {uid}")


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [("deletionTimestamp", "2026-01-01T00:00:00Z", '"2026-01-01T00:00:00Z"'), ("deletionGracePeriodSeconds", 5, "5")],
)
def test_an_update_cannot_begin_a_deletion(api: Bench, field: str, value: Any, shown: str) -> None:
    obj = sample(resource("configmaps"), "alive")
    api.call("POST", "/api/v1/namespaces/default/configmaps", obj)
    text = f'ConfigMap "alive" is invalid: metadata.{field}: Invalid value: {shown}: field is immutable'
    for refused in (
        api.put("configmaps", {**obj, "metadata": {**obj["metadata"], field: value}}),
        api.patch("configmaps", "alive", {"metadata": {field: value}}),
    ):
        assert (refused.status, refused.message) == (422, text)


def test_a_deletion_that_is_under_way_keeps_its_policy(api: Bench) -> None:
    api.made("pods", pod("underway", nodeName="node-1"))
    first = api.delete("pods", "underway").json["metadata"]
    assert api.delete("pods", "underway", {"propagationPolicy": "Foreground"}).json["metadata"] == first
    sooner = api.delete("pods", "underway", {"propagationPolicy": "Foreground", "gracePeriodSeconds": 3}).json["metadata"]
    assert (sooner["finalizers"], sooner["deletionGracePeriodSeconds"]) == (["foregroundDeletion"], 3)
    api.patch("pods", "underway", {"metadata": {"finalizers": None}})
    api.delete("pods", "underway", gracePeriodSeconds=0)


def test_a_pod_that_never_ran_says_that_it_is_being_deleted_when_it_goes(api: Bench) -> None:
    made = api.made("pods", pod("idle"))["metadata"]
    watch = api.watch("/api/v1/namespaces/default/pods", resourceVersion=made["resourceVersion"])
    gone = api.delete("pods", "idle").json["metadata"]
    event = watch.next()
    watch.close()
    assert (event["type"], event["object"]["metadata"]["deletionTimestamp"]) == ("DELETED", gone["deletionTimestamp"])
    assert (gone["deletionGracePeriodSeconds"], gone["generation"]) == (0, made["generation"] + 1)


def test_grace_that_is_asked_for_counts_where_the_pod_wants_none(api: Bench) -> None:
    api.made("pods", pod("hasty", terminationGracePeriodSeconds=0, nodeName="node-1"))
    assert api.delete("pods", "hasty", gracePeriodSeconds=7).json["metadata"]["deletionGracePeriodSeconds"] == 7
    api.delete("pods", "hasty", gracePeriodSeconds=0)


def test_a_bound_pod_ends_gracefully_and_the_grace_only_shrinks(api: Bench) -> None:
    api.made("pods", pod("graceful"))
    binding = {"metadata": {"name": "graceful"}, "target": {"kind": "Node", "name": "node-1"}}
    assert api.call("POST", "/api/v1/namespaces/default/pods/graceful/binding", binding).status == 201
    first = api.delete("pods", "graceful").json["metadata"]
    assert first["deletionGracePeriodSeconds"] == 30
    again = api.delete("pods", "graceful").json["metadata"]
    assert again == first
    longer = api.delete("pods", "graceful", {"gracePeriodSeconds": 60}).json["metadata"]
    assert longer["deletionGracePeriodSeconds"] == 30
    shorter = api.delete("pods", "graceful", gracePeriodSeconds=5).json["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 5
    assert shorter["deletionTimestamp"] < first["deletionTimestamp"]
    assert api.get("pods", "graceful").status == 200
    assert api.delete("pods", "graceful", {"gracePeriodSeconds": 0}).status == 200
    assert api.get("pods", "graceful").status == 404


def test_a_grace_without_end_is_bounded(api: Bench) -> None:
    api.made("pods", pod("endless", nodeName="somewhere"))
    for asked in (1 << 63) - 1, 1 << 40:
        reply = api.delete("pods", "endless", {"gracePeriodSeconds": asked})
        assert (reply.status, reply.json["metadata"]["deletionGracePeriodSeconds"]) == (200, 1 << 31), asked
    assert api.delete("pods", "endless", {"gracePeriodSeconds": 0}).status == 200
    assert api.get("pods", "endless").status == 404


def test_a_pod_without_a_node_goes_at_once(api: Bench) -> None:
    api.made("pods", pod("unbound"))
    assert api.delete("pods", "unbound").json["metadata"]["name"] == "unbound"
    assert api.get("pods", "unbound").status == 404


def test_delete_collection_deletes_what_is_selected(api: Bench) -> None:
    for index in range(6):
        api.made("configmaps", sample(resource("configmaps"), f"many-{index}", labels={"odd": str(index % 2), "many": ""}))
    path = "/api/v1/namespaces/default/configmaps"
    reply = api.call("DELETE", path, labelSelector="many,odd=1")
    assert reply.status == 200
    left = api.list("configmaps", "default", labelSelector="many").json["items"]
    assert [item["metadata"]["name"] for item in left] == ["many-0", "many-2", "many-4"]
    assert api.call("DELETE", "/api/v1/configmaps").status == 405
    assert api.call("DELETE", path, labelSelector="many", dryRun="All").status == 200
    assert len(api.list("configmaps", "default", labelSelector="many").json["items"]) == 3


def test_delete_options_of_another_kind_or_form_are_refused(api: Bench) -> None:
    api.made("configmaps", sample(resource("configmaps"), "options"))
    for body in ([], "x", {"kind": "Pod"}, {"gracePeriodSeconds": "soon"}, {"preconditions": []}, {"dryRun": ["Some"]}):
        reply = api.delete("configmaps", "options", body)
        assert reply.status in (400, 422), (body, reply.body)
    assert api.get("configmaps", "options").status == 200


# Patches


def test_patches_that_do_not_fit_say_why(api: Bench) -> None:
    api.made("configmaps", sample(resource("configmaps"), "patched"))
    for operation in ({"op": "test", "path": "/data/a", "value": "2"}, {"op": "remove", "path": "/data/none"}, {"op": "fly"}):
        failed = api.patch("configmaps", "patched", [operation], content_type=JSON_PATCH)
        assert (failed.status, failed.reason) == (422, "Invalid")
        assert failed.message == "the server rejected our request due to an error in our request"
    many = api.patch("configmaps", "patched", [{"op": "test", "path": ""}] * 10_001, content_type=JSON_PATCH)
    assert (many.status, many.reason) == (413, "RequestEntityTooLarge")
    assert many.message == "The allowed maximum operations in a JSON patch is 10000, got 10001"
    assert api.patch("configmaps", "patched", {"op": "remove"}, content_type=JSON_PATCH).status == 400
    assert api.patch("configmaps", "patched", [], content_type=MERGE).status == 400
    assert api.patch("configmaps", "patched", "x", content_type=STRATEGIC).status == 400
    unsupported = api.patch("configmaps", "patched", {}, content_type="text/plain")
    assert (unsupported.status, unsupported.reason) == (415, "UnsupportedMediaType")


def test_a_strategic_patch_merges_lists_by_key(api: Bench) -> None:
    api.made("deployments.apps", sample(resource("deployments.apps"), "strategic"))
    change = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "b"}, {"name": "main", "image": "c"}]}}}}
    patched = api.patch("deployments.apps", "strategic", change, content_type=STRATEGIC)
    found = {c["name"]: c["image"] for c in patched.json["spec"]["template"]["spec"]["containers"]}
    assert found == {"main": "c", "side": "b"}


def test_a_patch_of_a_kind_field_is_refused_or_does_not_count(api: Bench) -> None:
    api.made("configmaps", sample(resource("configmaps"), "kinds"))
    assert api.patch("configmaps", "kinds", {"kind": "Secret"}, content_type=MERGE).status == 422
    kept = api.patch("configmaps", "kinds", {"kind": "Secret", "data": {"b": "1"}}, content_type=STRATEGIC)
    assert (kept.status, kept.json["kind"], kept.json["data"]["b"]) == (200, "ConfigMap", "1")


def test_concurrent_patches_all_take_effect(api: Bench) -> None:
    import asyncio

    api.made("configmaps", sample(resource("configmaps"), "contended"))

    async def all_at_once() -> None:
        patches = [api.client.patch("configmaps", "contended", {"data": {f"k{index}": "v"}}, "default") for index in range(5)]
        await asyncio.gather(*patches)

    api.run(all_at_once())
    assert {f"k{index}" for index in range(5)} <= api.get("configmaps", "contended").json["data"].keys()


def test_pods_of_one_template_share_their_spec_when_their_status_is_written() -> None:
    kind, one = resource("pods"), sample(resource("pods"), "one")
    two = copy.deepcopy({**one, "status": {"phase": "Running"}})
    first, second = resources._pooled(kind, one), resources._pooled(kind, two)
    assert first["spec"] is second["spec"]
    assert (first, second) == (one, two)
    assert resources.encode(first) == resources.encode(one)
    node: Object = {"metadata": {"name": "a"}, "spec": {}}
    assert resources._pooled(resource("nodes"), node) is node
