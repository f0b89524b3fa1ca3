"""Server-side apply over the whole pipeline, and what every kind of write does to metadata.managedFields."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import yaml

from navarch.api.kind import Kind
from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from navarch.component import clock
from tests.apiserver.bench import ADMIN, APPLY, JSON_PATCH, STRATEGIC, Bench, Reply
from tests.apiserver.samples import BODIES, STATUSES, STORED, name_of, pod, sample

DEPLOYMENT, CONFIG_MAP = resource("deployments.apps"), resource("configmaps")


def configuration(kind: Kind, name: str, **parts: Any) -> Object:
    metadata = {"name": name, **({"namespace": "default"} if kind.namespaced else {}), **parts.pop("metadata", {})}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **parts}


def apply(api: Bench, kind: Kind, config: Any, *, name: str = "", manager: str = "applier", **options: Any) -> Reply:
    """A PATCH as it comes: in YAML, which JSON is too."""
    body = config if isinstance(config, bytes) else yaml.safe_dump(config).encode()
    name = name or config["metadata"]["name"]
    return api.patch(kind.resource, name, body, content_type=APPLY, **{"fieldManager": manager, **options})


def applied(api: Bench, kind: Kind, config: Any, **options: Any) -> Object:
    reply = apply(api, kind, config, **options)
    assert reply.status in (200, 201), reply.body
    found: Object = reply.json
    return found


def managers(obj: Object) -> dict[tuple[str, str, str], Any]:
    """(manager, operation, subresource) -> fields."""
    entries = obj["metadata"].get("managedFields", [])
    return {(entry["manager"], entry["operation"], entry.get("subresource", "")): entry["fieldsV1"] for entry in entries}


class StandingClock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.random = random.Random(1)
        self.seconds = 1_800_000_000.0

    def time(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def standing_clock() -> Any:
    before = clock._current.get()
    made = StandingClock()
    clock.use(made)
    yield made
    clock.use(before)


# Apply


def test_apply_makes_an_object_and_changes_it(api: Bench) -> None:
    config = configuration(CONFIG_MAP, "made", data={"a": "1", "b": "1"})
    made = apply(api, CONFIG_MAP, config)
    assert made.status == 201 and made.json["data"] == {"a": "1", "b": "1"}
    (entry,) = made.json["metadata"]["managedFields"]
    assert {key: entry[key] for key in entry if key != "time"} == {
        "manager": "applier", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}},
    }  # fmt: skip
    assert entry["time"] == made.json["metadata"]["creationTimestamp"]
    assert api.get("configmaps", "made").json == made.json
    changed = apply(api, CONFIG_MAP, configuration(CONFIG_MAP, "made", data={"a": "2"}))
    assert changed.status == 200 and changed.json["data"] == {"a": "2"}, "what is no longer applied goes"
    assert managers(changed.json) == {("applier", "Apply", ""): {"f:data": {"f:a": {}}}}
    assert list(entry) == ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1"]


@pytest.mark.parametrize("kind", [kind for kind in STORED if "patch" in kind.verbs], ids=lambda kind: kind.resource)
def test_every_kind_is_applied_and_applying_it_again_writes_nothing(api: Bench, kind: Kind) -> None:
    name = name_of(kind, f"applied-{kind.resource.replace('.', '-')}")
    config = sample(kind, name)
    made = apply(api, kind, config)
    assert made.status == 201, made.body
    # A definition is given its names by the server.
    mine = {manager: fields for manager, fields in managers(made.json).items() if manager[0] != "kube-apiserver"}
    # A namespace or service account that says nothing of itself has no manager.
    assert list(mine) == ([("applier", "Apply", "")] if config.keys() - {"apiVersion", "kind", "metadata"} else [])
    revision = api.store.revision
    again = apply(api, kind, config)
    if not mine:
        assert list(managers(again.json)) in ([], [("before-first-apply", "Update", "")])
        return
    assert (again.status, again.json) == (200, made.json) and api.store.revision == revision
    # What the server completes inside an atomic field is disputed, whoever applies it alike.
    other = applied(api, kind, config, manager="other", force="true")
    assert managers(other)[("other", "Apply", "")] == mine[("applier", "Apply", "")]
    if "status" in kind.subresources and kind.resource in STATUSES:
        status = {key: config[key] for key in ("apiVersion", "kind", "metadata")} | {"status": STATUSES[kind.resource]}
        reply = apply(api, kind, status, subresource="status", manager="controller")
        assert reply.status == 200, reply.body
        assert list(managers(reply.json)[("controller", "Apply", "status")]) == ["f:status"]
        assert apply(api, kind, status, subresource="status", manager="controller").json == reply.json


def test_conflicts_name_who_manages_what(api: Bench) -> None:
    applied(api, DEPLOYMENT, sample(DEPLOYMENT, "disputed") | {"spec": {**BODIES["deployments.apps"]["spec"], "replicas": 2}})
    api.patch("deployments.apps", "disputed", {"metadata": {"labels": {"a": "x"}}}, fieldManager="labeller")
    one = configuration(DEPLOYMENT, "disputed", spec={"replicas": 3})
    refused = apply(api, DEPLOYMENT, one, manager="other")
    assert (refused.status, refused.reason) == (409, "Conflict")
    assert refused.message == 'Apply failed with 1 conflict: conflict with "applier": .spec.replicas'
    assert refused.json["details"] == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "applier"', "field": ".spec.replicas"}]
    }
    containers = [{"name": "main", "image": "other"}]
    two = configuration(
        DEPLOYMENT, "disputed", metadata={"labels": {"a": "y"}}, spec={"template": {"spec": {"containers": containers}}}
    )
    refused = apply(api, DEPLOYMENT, two, manager="other")
    assert refused.message == (
        'Apply failed with 2 conflicts: conflicts with "applier":\n- .spec.template.spec.containers[name="main"].image\n'
        'conflicts with "labeller" using apps/v1:\n- .metadata.labels.a'
    )
    before = api.store.revision
    assert apply(api, DEPLOYMENT, two, manager="other", force="false").status == 409 and api.store.revision == before
    forced = applied(api, DEPLOYMENT, two, manager="other", force="true")
    assert forced["spec"]["template"]["spec"]["containers"][0]["image"] == "other"
    assert managers(forced)[("labeller", "Update", "")] == {"f:metadata": {"f:labels": {}}}
    assert "f:image" not in json.dumps(managers(forced)[("applier", "Apply", "")])
    mine = sample(DEPLOYMENT, "disputed") | {"spec": {**BODIES["deployments.apps"]["spec"], "replicas": 4}}
    mine["spec"]["template"] = {**mine["spec"]["template"], "spec": {}}
    assert apply(api, DEPLOYMENT, mine).status == 200, "who manages a field may change it"


def test_an_object_is_shared_by_those_who_apply_to_it(api: Bench) -> None:
    ports = [{"port": 80, "name": "http"}, {"port": 80, "protocol": "UDP", "name": "quic"}]
    service = resource("services")
    applied(api, service, configuration(service, "shared", spec={"ports": ports[:1], "selector": {"app": "a"}}), manager="one")
    both = applied(api, service, configuration(service, "shared", spec={"ports": ports[1:]}), manager="two")
    assert [port["name"] for port in both["spec"]["ports"]] == ["http", "quic"]
    finalized = configuration(service, "shared", metadata={"finalizers": ["a/b"]}, spec={"ports": ports})
    assert applied(api, service, finalized, manager="two")["metadata"]["finalizers"] == ["a/b"]
    left = applied(api, service, configuration(service, "shared", spec={"selector": {"app": "a"}}), manager="one")
    assert [port["name"] for port in left["spec"]["ports"]] == ["http", "quic"], "another still wants them"
    left = applied(api, service, configuration(service, "shared", spec={"ports": ports[:1]}), manager="two")
    assert [port["name"] for port in left["spec"]["ports"]] == ["http"] and "finalizers" not in left["metadata"]


def test_a_field_that_is_given_up_has_its_default_again(api: Bench) -> None:
    spec = {**BODIES["deployments.apps"]["spec"], "replicas": 3, "revisionHistoryLimit": 2}
    config = configuration(DEPLOYMENT, "defaulted", spec=spec)
    assert applied(api, DEPLOYMENT, config)["spec"]["replicas"] == 3
    del spec["replicas"]
    found = applied(api, DEPLOYMENT, {**config, "spec": {**spec, "revisionHistoryLimit": None}})
    assert (found["spec"]["replicas"], found["spec"]["revisionHistoryLimit"]) == (1, 10)
    assert "f:revisionHistoryLimit" in managers(found)[("applier", "Apply", "")]["f:spec"]


def test_what_was_there_before_the_first_apply_has_a_manager_then(api: Bench) -> None:
    api.made("configmaps", sample(CONFIG_MAP, "untracked"))
    forgotten = api.patch("configmaps", "untracked", {"metadata": {"managedFields": [{}]}}).json
    assert "managedFields" not in forgotten["metadata"]
    assert "managedFields" not in api.patch("configmaps", "untracked", {"data": {"b": "1"}}).json["metadata"]
    found = applied(api, CONFIG_MAP, configuration(CONFIG_MAP, "untracked", data={"c": "1"}))
    assert managers(found) == {
        ("before-first-apply", "Update", ""): {"f:data": {".": {}, "f:a": {}, "f:b": {}}},
        ("applier", "Apply", ""): {"f:data": {"f:c": {}}},
    }


def test_apply_has_a_dry_run(api: Bench) -> None:
    before = api.store.revision
    config = configuration(CONFIG_MAP, "dry", data={"a": "1"})
    tried = apply(api, CONFIG_MAP, config, dryRun="All")
    assert tried.status == 201 and managers(tried.json) and api.store.revision == before
    applied(api, CONFIG_MAP, config)
    changed = apply(api, CONFIG_MAP, configuration(CONFIG_MAP, "dry", data={"a": "2"}), dryRun="All")
    assert changed.json["data"] == {"a": "2"} and api.get("configmaps", "dry").json["data"] == {"a": "1"}


def test_the_status_and_the_rest_are_applied_apart(api: Bench) -> None:
    spec = BODIES["deployments.apps"]["spec"]
    config = configuration(DEPLOYMENT, "apart", metadata={"labels": {"a": "1"}}, spec=spec, status={"replicas": 9})
    made = applied(api, DEPLOYMENT, config)
    assert "replicas" not in made.get("status", {}) and "f:status" not in managers(made)[("applier", "Apply", "")]
    config |= {"metadata": {**config["metadata"], "labels": {"a": "2"}}, "spec": {**spec, "replicas": 7}}
    found = applied(api, DEPLOYMENT, config, subresource="status", manager="controller")
    assert found["status"]["replicas"] == 9 and found["spec"]["replicas"] == 1
    assert found["metadata"]["labels"] == {"a": "1"}, "a Deployment's labels are not its status's"
    assert managers(found)[("controller", "Apply", "status")] == {"f:status": {"f:replicas": {}}}
    missing = apply(api, DEPLOYMENT, configuration(DEPLOYMENT, "no-such", status={}), subresource="status")
    assert (missing.status, missing.reason) == (404, "NotFound")


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fieldManager": ""}, "fieldManager: Required value: is required for apply patch"),
        ({"fieldManager": "é" * 65}, "fieldManager: Too long: may not be more than 128 bytes"),
        ({"fieldManager": "a\x07"}, 'fieldManager: Invalid value: "a\\u0007": invalid character U+0007 (at position 1)'),
    ],
)
def test_options_that_make_no_sense_are_refused(api: Bench, options: dict[str, str], message: str) -> None:
    refused = apply(api, CONFIG_MAP, configuration(CONFIG_MAP, "options"), **options)
    assert (refused.status, refused.reason) == (422, "Invalid")
    assert refused.message == f'PatchOptions.meta.k8s.io "" is invalid: {message}'


def test_only_apply_can_be_forced_and_every_write_says_who_writes(api: Bench) -> None:
    api.made("configmaps", sample(CONFIG_MAP, "unforced"))
    refused = api.patch("configmaps", "unforced", {"data": {}}, force="false")
    assert refused.causes == [("FieldValueForbidden", "force")]
    assert "may not be specified for non-apply patch" in refused.message
    long = "x" * 129
    assert api.patch("configmaps", "unforced", {"data": {}}, fieldManager=long).causes == [
        ("FieldValueTooLong", "fieldManager")
    ]
    assert "UpdateOptions" in api.put("configmaps", sample(CONFIG_MAP, "unforced"), fieldManager=long).message
    assert "CreateOptions" in api.post("configmaps", sample(CONFIG_MAP, "long"), fieldManager=long).message
    assert api.patch("configmaps", "unforced", {"data": {"a": "2"}}, fieldManager="x" * 128).status == 200


@pytest.mark.parametrize(
    ("config", "code", "message"),
    [
        (configuration(DEPLOYMENT, "bad"), 400, "invalid object type: apps/v1, Kind=Deployment"),
        ({"metadata": {"name": "bad"}}, 400, "invalid object type: /, Kind="),
        (configuration(CONFIG_MAP, "bad", metadata={"managedFields": []}), 400, "metadata.managedFields must be nil"),
        (configuration(CONFIG_MAP, "bad", dat={}), 400,
         "failed to create typed patch object (default/bad; /v1, Kind=ConfigMap): .dat: field not declared in schema"),
        (configuration(CONFIG_MAP, "bad") | {"metadata": "x"}, 400, None),
        (configuration(CONFIG_MAP, "bad") | {"metadata": [1]}, 400,
         "failed to create typed patch object (/; /v1, Kind=ConfigMap): .metadata: expected map, got &{[1]}"),
        (configuration(CONFIG_MAP, ""), 400,
         "the name of the object (bad based on URL) was undeterminable: name must be provided"),
        (configuration(CONFIG_MAP, "good"), 400, "the name of the object (good) does not match the name on the URL (bad)"),
        (configuration(CONFIG_MAP, "bad", metadata={"namespace": "other"}), 400,
         "the namespace of the provided object does not match the namespace sent on the request"),
        (configuration(CONFIG_MAP, "bad", metadata={"uid": "7"}), 409,
         'Operation cannot be fulfilled on configmaps "bad": uid mismatch: the provided object specified uid 7, '
         "and no existing object was found"),
        (configuration(CONFIG_MAP, "bad", metadata={"labels": {"a/b/c": "1"}}), 422, None),
        (configuration(CONFIG_MAP, "bad", data={"a": "x" * 2_000_000}), 422, None),
        ([1], 400, "error decoding YAML: error unmarshaling JSON: while decoding JSON: "
                   "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ("x", 400, None), (3, 400, None), (None, 400, "invalid object type: /, Kind="),
        (b"a: b: c", 400, None), (b"{", 400, None), (b"", 400, None), (b"\xff\xfe", 400, None),
    ],
)  # fmt: skip
def test_what_cannot_be_applied_is_told_and_nothing_is_stored(api: Bench, config: Any, code: int, message: str | None) -> None:
    before = api.store.revision
    refused = apply(api, CONFIG_MAP, config, name="bad")
    assert refused.status == code, refused.body
    assert message is None or refused.message == message
    assert api.store.revision == before


@pytest.mark.parametrize("time", ["x", "0001-01-01T00:00:00+14:00"])
def test_what_cannot_be_converted_to_the_version_of_another_manager_is_refused(api: Bench, time: str) -> None:
    core, grouped = resource("events"), resource("events.events.k8s.io")
    api.call("POST", "/api/v1/namespaces/default/events", sample(core, f"told-{len(time)}"))
    config = configuration(grouped, f"told-{len(time)}", deprecatedFirstTimestamp=time)
    refused = apply(api, grouped, config)
    assert (refused.status, refused.reason) == (400, "BadRequest"), refused.body


def test_apply_minds_the_version_it_is_told(api: Bench) -> None:
    made = applied(api, CONFIG_MAP, configuration(CONFIG_MAP, "versioned", metadata={"resourceVersion": "9"}, data={"a": "1"}))
    stale = apply(api, CONFIG_MAP, configuration(CONFIG_MAP, "versioned", metadata={"resourceVersion": "1"}, data={"a": "2"}))
    assert (stale.status, stale.reason) == (409, "Conflict") and "the object has been modified" in stale.message
    version = {"resourceVersion": made["metadata"]["resourceVersion"], "uid": made["metadata"]["uid"]}
    assert apply(api, CONFIG_MAP, configuration(CONFIG_MAP, "versioned", metadata=version, data={"a": "2"})).status == 200
    other = configuration(CONFIG_MAP, "versioned", metadata={"uid": "other"})
    assert apply(api, CONFIG_MAP, other).causes == [("FieldValueInvalid", "metadata.uid")]


def test_the_name_is_not_given_up_with_the_rest_of_the_metadata(api: Bench) -> None:
    applied(api, CONFIG_MAP, configuration(CONFIG_MAP, "named", metadata={"labels": {"a": "1"}}))
    config = {"apiVersion": "v1", "kind": "ConfigMap"}
    refused = apply(api, CONFIG_MAP, config, name="named")
    assert refused.status == 400 and "name must be provided" in refused.message
    assert api.get("configmaps", "named").json["metadata"]["labels"] == {"a": "1"}


def test_keys_that_a_body_has_twice_are_told_of_or_refused(api: Bench) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: twice}\ndata:\n  a: '1'\n  a: '2'\n"
    strict = apply(api, CONFIG_MAP, body, name="twice", fieldValidation="Strict")
    assert strict.status == 400
    assert strict.message == (
        "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n"
        '  line 6: key "a" already set in map'
    )
    warned = apply(api, CONFIG_MAP, body, name="twice")
    assert warned.headers["warning"] == '299 - "line 6: key \\"a\\" already set in map"' and warned.json["data"] == {"a": "2"}
    assert "warning" not in apply(api, CONFIG_MAP, body, name="twice", fieldValidation="Ignore").headers
    in_json = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"twice"},"data":{"a":"1","a":"3"}}'
    assert "line 1" in apply(api, CONFIG_MAP, in_json, name="twice", fieldValidation="Strict").message
    assert apply(api, CONFIG_MAP, in_json, name="twice", fieldValidation="Lax").status == 422


def test_lists_with_items_that_cannot_be_told_apart_are_refused(api: Bench) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    made = api.made("pods", pod("repeated", containers=[{"name": "main", "image": "a", "env": env}]))
    config = configuration(resource("pods"), "repeated", spec={"containers": [{"name": "main", "env": env}]})
    refused = apply(api, resource("pods"), config)
    assert refused.status == 400
    assert refused.message.endswith('.spec.containers[name="main"].env: duplicate entries for key [name="A"]')
    # They may be there already.
    config["spec"] = {"containers": [{"name": "main", "image": "b"}]}
    found = applied(api, resource("pods"), config, force="true")
    assert found["spec"]["containers"][0]["env"] == env
    owner = managers(made)[("unknown", "Update", "")]
    assert owner["f:spec"]["f:containers"]['k:{"name":"main"}']["f:env"] == {".": {}, 'k:{"name":"A"}': {}}


# Other writes


def test_a_write_is_its_managers_or_its_user_agents(api: Bench) -> None:
    agent = {"user-agent": "kubectl/v1.36 (linux/amd64)"}
    made = api.post("configmaps", sample(CONFIG_MAP, "written"), headers=agent).json
    assert managers(made) == {("kubectl", "Update", ""): {"f:data": {".": {}, "f:a": {}}}}
    api.put("configmaps", sample(CONFIG_MAP, "written") | {"data": {"a": "2"}}, fieldManager="putter", headers=agent)
    api.patch("configmaps", "written", {"data": {"b": "1"}}, headers={"user-agent": "me\x07rger" + "x" * 200})
    found = api.patch("configmaps", "written", [{"op": "add", "path": "/data/c", "value": "1"}], content_type=JSON_PATCH).json
    assert managers(found) == {
        ("kubectl", "Update", ""): {"f:data": {".": {}}} | {"f:data": {}},
        ("merger" + "x" * 122, "Update", ""): {"f:data": {"f:b": {}}},
        ("putter", "Update", ""): {"f:data": {"f:a": {}}},
        ("unknown", "Update", ""): {"f:data": {"f:c": {}}},
    }


def test_defaults_are_managed_by_who_wrote_and_what_the_server_adds_by_nobody(api: Bench) -> None:
    made = api.made("pods", pod("defaulted"))
    (fields,) = managers(made).values()
    main = fields["f:spec"]["f:containers"]['k:{"name":"main"}']
    assert set(main) >= {".", "f:image", "f:imagePullPolicy", "f:resources"} and "f:volumeMounts" not in main
    assert not {"f:volumes", "f:tolerations", "f:serviceAccountName", "f:nodeName"} & fields["f:spec"].keys()
    assert "f:metadata" not in fields and "f:status" not in fields
    binding = {"metadata": {"name": "defaulted"}, "target": {"kind": "Node", "name": "n"}}
    assert (
        api.call("POST", "/api/v1/namespaces/default/pods/defaulted/binding", binding, fieldManager="kube-scheduler").status
        == 201
    )
    bound = api.get("pods", "defaulted").json
    assert bound["spec"]["nodeName"] == "n" and managers(bound) == managers(made)


def test_the_addresses_of_a_service_are_nobodys_unless_they_were_asked_for(api: Bench) -> None:
    asked = {"f:internalTrafficPolicy": {}, "f:ports": {}, "f:selector": {}, "f:sessionAffinity": {}, "f:type": {}}
    for name, more in (("given", {}), ("headless", {"clusterIP": "None"})):
        made = api.post("services", sample(resource("services"), name) | {"spec": {**BODIES["services"]["spec"], **more}}).json
        assert made["spec"]["ipFamilies"] == ["IPv4"] and len(made["spec"]["clusterIPs"]) == 1
        (fields,) = managers(made).values()
        assert fields["f:spec"].keys() == asked.keys() | {f"f:{key}" for key in more}


def test_components_in_the_servers_process_apply_alike(api: Bench) -> None:
    config = configuration(CONFIG_MAP, "inside", data={"a": "1"})
    made = api.run(api.client.patch("configmaps", "inside", config, "default", patch_type="apply"))
    assert managers(made) == {("navarch", "Apply", ""): {"f:data": {"f:a": {}}}}
    assert config == configuration(CONFIG_MAP, "inside", data={"a": "1"}), "what is given is not changed"


def test_the_status_of_a_pod_is_its_kubelets(api: Bench) -> None:
    api.made("pods", pod("reported"))
    conditions = [{"type": "Ready", "status": "False"}, {"type": "Initialized", "status": "True"}]
    ip = "10.244.0.7"
    status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions}
    for ready in ("False", "True"):
        conditions[0]["status"] = ready
        reply = api.patch(
            "pods", "reported", {"status": status}, subresource="status", content_type=STRATEGIC, fieldManager="kubelet"
        )
        assert reply.status == 200
    found = managers(reply.json)[("kubelet", "Update", "status")]
    condition = {".": {}, "f:status": {}, "f:type": {}}
    assert found == {
        "f:status": {
            "f:conditions": {".": {}, 'k:{"type":"Initialized"}': condition, 'k:{"type":"Ready"}': condition},
            "f:phase": {},
            "f:podIP": {},
            "f:podIPs": {".": {}, 'k:{"ip":"10.244.0.7"}': {".": {}, "f:ip": {}}},
        }
    }
    assert list(managers(reply.json)) == [("kubelet", "Update", "status"), ("unknown", "Update", "")]


def test_a_write_that_changes_nothing_is_none_whoever_writes(api: Bench) -> None:
    made = api.made("deployments.apps", sample(DEPLOYMENT, "quiet"))
    revision = api.store.revision
    assert api.put("deployments.apps", made, fieldManager="someone").json == made
    assert api.patch("deployments.apps", "quiet", {"spec": {"replicas": 1}}, fieldManager="someone").json == made
    assert api.put("deployments.apps", made, "status", fieldManager="someone").json == made
    assert api.put("deployments.apps", {**made, "status": {"replicas": 7}}, fieldManager="someone").json == made
    assert api.store.revision == revision


def test_only_a_change_moves_the_time(api: Bench, standing_clock: StandingClock) -> None:
    def times(obj: Object) -> list[str]:
        return [entry.get("time", "") for entry in obj["metadata"]["managedFields"]]

    config = configuration(CONFIG_MAP, "timed", data={"a": "1"})
    assert times(applied(api, CONFIG_MAP, config)) == ["2027-01-15T08:00:00Z"]
    standing_clock.seconds += 10
    assert times(applied(api, CONFIG_MAP, config)) == ["2027-01-15T08:00:00Z"]
    both = applied(api, CONFIG_MAP, config, manager="other")
    assert times(both) == ["", "2027-01-15T08:00:00Z"], "who only joins has changed nothing"
    config["data"] = {"a": "1", "b": "1"}
    assert times(applied(api, CONFIG_MAP, config)) == ["", "2027-01-15T08:00:10Z"]
    updated = api.patch("configmaps", "timed", {"data": {"c": "1"}}, fieldManager="updater").json
    standing_clock.seconds += 10
    same = api.patch("configmaps", "timed", {"data": {"c": "1"}}, fieldManager="updater").json
    assert same == updated and times(updated)[-1] == "2027-01-15T08:00:10Z"
    again = api.patch("configmaps", "timed", {"data": {"c": "2"}}, fieldManager="updater").json
    assert times(again)[-1] == "2027-01-15T08:00:20Z"


def test_a_lease_is_renewed_by_the_one_who_holds_it(api: Bench) -> None:
    made = api.made("leases.coordination.k8s.io", sample(resource("leases.coordination.k8s.io"), "held"))
    spec = {**made["spec"], "renewTime": "2026-01-01T00:00:00.000000Z"}
    one = api.put("leases.coordination.k8s.io", {**made, "spec": spec}, fieldManager="holder").json
    spec["renewTime"] = "2026-01-01T00:00:10.000000Z"
    two = api.put("leases.coordination.k8s.io", {**one, "spec": spec}, fieldManager="holder").json
    assert managers(two)[("holder", "Update", "")] == {"f:spec": {"f:renewTime": {}}} and two["spec"] == spec


def test_a_namespaces_finalizers_and_its_deletion(api: Bench) -> None:
    made = api.made("namespaces", {"metadata": {"name": "ending", "finalizers": ["a/b"], "labels": {"x": "y"}}})
    deleted = api.delete("namespaces", "ending").json
    assert deleted["metadata"]["managedFields"] == made["metadata"]["managedFields"]
    done = api.put("namespaces", {"metadata": {"name": "ending"}, "spec": {"finalizers": []}}, "finalize").json
    assert managers(done) == managers(made)


SCALED = pytest.mark.parametrize(
    "name", ["deployments.apps", "replicasets.apps", "replicationcontrollers", "statefulsets.apps"]
)


@SCALED
def test_the_scale_and_its_object_have_the_same_manager_of_the_replicas(api: Bench, name: str) -> None:
    kind = resource(name)
    config = sample(kind, "weighed")
    config["spec"]["replicas"] = 2
    applied(api, kind, config)
    scaled = api.patch(name, "weighed", {"spec": {"replicas": 3}}, subresource="scale", fieldManager="scaler")
    assert scaled.status == 200 and "managedFields" not in scaled.json["metadata"]
    found = api.get(name, "weighed").json
    assert managers(found)[("scaler", "Update", "scale")] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in managers(found)[("applier", "Apply", "")]["f:spec"]
    (entry,) = (entry for entry in found["metadata"]["managedFields"] if entry["manager"] == "scaler")
    assert entry["apiVersion"] == kind.api_version
    refused = apply(api, kind, config)
    version = kind.api_version
    assert refused.message.endswith(f'conflict with "scaler" with subresource "scale" using {version}: .spec.replicas')
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "weighed"}, "spec": {"replicas": 4}}
    refused = apply(api, kind, scale, subresource="scale")
    assert refused.message == (
        'Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" using autoscaling/v1: .spec.replicas'
    ) or refused.message.endswith(f"using {version}: .spec.replicas")
    assert apply(api, kind, scale, subresource="scale", force="true").json["spec"] == {"replicas": 4}
    found = api.get(name, "weighed").json
    assert ("scaler", "Update", "scale") not in managers(found)
    assert managers(found)[("applier", "Apply", "scale")] == {"f:spec": {"f:replicas": {}}}
    assert (
        apply(api, kind, scale, subresource="scale").json["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]
    )
    put = api.put(name, {**scale, "spec": {"replicas": 5}}, "scale", fieldManager="putter")
    assert put.status == 200
    assert ("putter", "Update", "scale") in managers(api.get(name, "weighed").json)
    for body in ({**scale, "kind": "Scales"}, {**scale, "spec": {"replicas": "x"}}, {**scale, "spec": {"x": 1}}, [], None):
        assert apply(api, kind, body, name="weighed", subresource="scale").status == 400, body
    missing = apply(api, kind, scale, name="no-such", subresource="scale")
    assert missing.status == 404


def test_an_eviction_is_counted_by_the_server(api: Bench) -> None:
    space = api.namespace("evicting")
    budget = sample(resource("poddisruptionbudgets.policy"), "budget", space)
    made = api.made("poddisruptionbudgets.policy", budget)
    status = {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2, "observedGeneration": 1}
    api.put("poddisruptionbudgets.policy", {**made, "status": status}, "status", fieldManager="kube-controller-manager")
    api.made("pods", pod("evicted", space) | {"metadata": {"name": "evicted", "namespace": space, "labels": {"app": "web"}}})
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    api.patch("pods", "evicted", ready, namespace=space, subresource="status")
    path = f"/api/v1/namespaces/{space}/pods/evicted/eviction"
    assert api.call("POST", path, {"metadata": {"name": "evicted"}}).status == 201
    found = managers(api.get("poddisruptionbudgets.policy", "budget", space).json)
    counted = {"f:status": {"f:disruptedPods": {".": {}, "f:evicted": {}}, "f:disruptionsAllowed": {}}}
    assert found[("kube-apiserver", "Update", "status")] == counted
    assert "f:disruptionsAllowed" not in found[("kube-controller-manager", "Update", "status")]["f:status"]


def test_an_object_that_is_too_large_with_its_managers_is_stored_without_them(api: Bench) -> None:
    data = {f"key-{index:06}-{'x' * 30}": "" for index in range(18_000)}
    made = api.post("configmaps", sample(CONFIG_MAP, "large") | {"data": data})
    assert made.status == 201 and "managedFields" not in made.json["metadata"]
    assert apply(api, CONFIG_MAP, configuration(CONFIG_MAP, "larger", data=data)).status == 413
    api.delete("configmaps", "large")


# Clients that write managedFields themselves


def test_an_empty_list_makes_the_server_forget(api: Bench) -> None:
    for index, forgetting in enumerate(([], [{}])):
        name = f"forgotten-{index}"
        made = api.made("configmaps", sample(CONFIG_MAP, name))
        made["metadata"]["managedFields"] = forgetting
        found = api.put("configmaps", made)
        assert found.status == 200 and "managedFields" not in found.json["metadata"]
        assert "managedFields" not in api.get("configmaps", name).json["metadata"]


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [{"manager": "x"}],
        [{"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "V2", "fieldsV1": {}}],
        [{"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"nonsense": 1}}],
        [{}, {}],
    ],
)
def test_managers_that_make_no_sense_count_as_not_written(api: Bench, sent: Any) -> None:
    made = api.post("configmaps", sample(CONFIG_MAP, "nonsense")).json
    try:
        found = api.put("configmaps", {**made, "metadata": {**made["metadata"], "managedFields": sent}})
        assert found.json == made
        changed = {**made, "data": {"a": "2"}, "metadata": {**made["metadata"], "managedFields": sent}}
        assert managers(api.put("configmaps", changed).json) == managers(made)
    finally:
        api.delete("configmaps", "nonsense")


def test_a_client_may_turn_updates_into_applies(api: Bench) -> None:
    """As kubectl does before it first applies on the server."""
    made = api.post("configmaps", sample(CONFIG_MAP, "migrated"), fieldManager="kubectl-client-side-apply").json
    (entry,) = made["metadata"]["managedFields"]
    entry = {
        **entry,
        "manager": "kubectl",
        "operation": "Apply",
        "fieldsV1": {"f:data": {"f:b": {}, "f:a": {".": {}}, ".": {}}},
    }
    operations = [
        {"op": "replace", "path": "/metadata/managedFields", "value": [entry]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]},
    ]
    found = api.patch("configmaps", "migrated", operations, content_type=JSON_PATCH, fieldManager="kubectl").json
    assert json.dumps(managers(found)[("kubectl", "Apply", "")]) == '{"f:data": {".": {}, "f:a": {}, "f:b": {}}}'
    api.patch("configmaps", "migrated", {"data": {"c": "1"}})
    stale = api.patch("configmaps", "migrated", operations, content_type=JSON_PATCH)
    assert stale.status == 409
    found = applied(api, CONFIG_MAP, configuration(CONFIG_MAP, "migrated"), manager="kubectl")
    assert found["data"] == {"c": "1"}


def test_subresources_do_not_take_managers_from_the_body(api: Bench) -> None:
    made = api.made("deployments.apps", sample(DEPLOYMENT, "inner"))
    forged = {**made, "status": {"replicas": 1}, "metadata": {**made["metadata"], "managedFields": [{}]}}
    found = api.put("deployments.apps", forged, "status", fieldManager="controller").json
    assert set(managers(found)) == {("unknown", "Update", ""), ("controller", "Update", "status")}


def test_a_new_object_says_nothing_of_its_managers(api: Bench) -> None:
    entry = {"manager": "forged", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:x": {}}}
    made = api.post("configmaps", sample(CONFIG_MAP, "forged", managedFields=[entry])).json
    assert set(managers(made)) == {("unknown", "Update", "")}


def test_who_applies_needs_no_more_than_to_patch_unless_there_is_nothing(api: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    require = api.server.pipeline._authorizer.require

    def note(user: Any, info: Any) -> None:
        asked.append(info.verb)
        require(user, info)

    monkeypatch.setattr(api.server.pipeline._authorizer, "require", note)
    config = configuration(CONFIG_MAP, "allowed", data={"a": "1"})
    assert apply(api, CONFIG_MAP, config, user=ADMIN).status == 201 and asked == ["patch", "create"]
    asked.clear()
    assert apply(api, CONFIG_MAP, config).status == 200 and asked == ["patch"]
