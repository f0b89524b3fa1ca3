"""Custom resources: what a definition says is what the API does, at once, and until the definition goes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.storage.sqlite import SQLiteBackend
from tests.apiserver.bench import APPLY, JSON_PATCH, MERGE, STRATEGIC, Bench, Reply, bench

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
STRING, INTEGER = {"type": "string"}, {"type": "integer"}
SPEC: Object = {
    "type": "object",
    "required": ["schedule"],
    "properties": {
        "schedule": {"type": "string", "minLength": 1},
        "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
        "replicas": {"type": "integer", "minimum": 0},
        "port": {"x-kubernetes-int-or-string": True},
        "note": {"type": "string", "nullable": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "tags": {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"},
        "steps": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": STRING, "run": STRING}},
        },
        "template": {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "properties": {"spec": {"type": "object", "properties": {"a": STRING}}},
        },
    },
}
STATUS: Object = {"type": "object", "properties": {"replicas": INTEGER, "selector": STRING, "phase": STRING}}
SCHEMA: Object = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}


def version(name: str = "v1", **fields: Any) -> Object:
    storage = fields.pop("storage", name == "v1")
    schema = fields.pop("schema", SCHEMA)
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema}, **fields}


def definition(plural: str, *versions: Object, scope: str = "Namespaced", group: str = "example.com", **names: Any) -> Object:
    named = {"plural": plural, "kind": plural.removesuffix("s").capitalize(), **names}
    spec = {"group": group, "scope": scope, "names": named, "versions": list(versions or (version(),))}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": spec,
    }


class Resource:
    """The objects of one definition."""

    def __init__(self, api: Bench, made: Object, version: str = "v1", namespace: str = "default") -> None:
        self.api, self.definition, self.version = api, made, version
        spec = made["spec"]
        self.root = f"/apis/{spec['group']}/{version}"
        scope = f"/namespaces/{namespace}" if spec["scope"] == "Namespaced" else ""
        self.path = f"{self.root}{scope}/{spec['names']['plural']}"

    def other(self, version: str) -> Resource:
        return Resource(self.api, self.definition, version)

    def body(self, name: str, **fields: Any) -> Object:
        spec = self.definition["spec"]
        heads = {"apiVersion": f"{spec['group']}/{self.version}", "kind": spec["names"]["kind"]}
        return {**heads, "metadata": {"name": name}, **fields}

    def create(self, name: str, spec: Any = None, **options: Any) -> Reply:
        fields = {"spec": {"schedule": "daily", **(spec or {})}} if spec is None or isinstance(spec, dict) else {"spec": spec}
        return self.api.call("POST", self.path, self.body(name, **fields), **options)

    def made(self, name: str, spec: Any = None) -> Object:
        reply = self.create(name, spec)
        assert reply.status == 201, reply.body
        found: Object = reply.json
        return found

    def get(self, name: str, subresource: str = "", **options: Any) -> Reply:
        return self.api.call("GET", f"{self.path}/{name}{subresource}", **options)

    def put(self, obj: Object, subresource: str = "", **options: Any) -> Reply:
        return self.api.call("PUT", f"{self.path}/{obj['metadata']['name']}{subresource}", obj, **options)

    def patch(self, name: str, change: Any, subresource: str = "", **options: Any) -> Reply:
        return self.api.call("PATCH", f"{self.path}/{name}{subresource}", change, **{"content_type": MERGE, **options})

    def delete(self, name: str = "", **options: Any) -> Reply:
        return self.api.call("DELETE", f"{self.path}/{name}".rstrip("/"), **options)

    def names(self, **query: Any) -> list[str]:
        return [item["metadata"]["name"] for item in self.api.call("GET", self.path, **query).json["items"]]

    def redefine(self, **spec: Any) -> None:
        reply = self.api.patch(DEFINITIONS, self.definition["metadata"]["name"], {"spec": spec})
        assert reply.status == 200, reply.body
        self.definition = reply.json

    def undefine(self) -> None:
        name = self.definition["metadata"]["name"]
        assert self.api.delete(DEFINITIONS, name).status == 200
        self.api.until(lambda: self.api.get(DEFINITIONS, name).status == 404)


def define(api: Bench, *args: Any, **options: Any) -> Resource:
    wanted = definition(*args, **options)
    return Resource(api, api.made(DEFINITIONS, wanted), wanted["spec"]["versions"][0]["name"])


@pytest.fixture
def tabs(api: Bench) -> Iterator[Resource]:
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    columns = [
        {"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule", "description": "When."},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
        {"name": "First", "type": "string", "jsonPath": '.spec.steps[?(@.name=="b")].run'},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    found = define(
        api,
        "tabs",
        version(
            subresources={"status": {}, "scale": scale},
            additionalPrinterColumns=columns,
            selectableFields=[{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.replicas"}],
        ),
        shortNames=["tb"],
        categories=["all"],
    )
    yield found
    found.undefine()


@pytest.mark.parametrize("value", [True, -1, 1.5, 10**30, "x", "steps", [], [[]], [{}], [1, 2], {"a": []}])
@pytest.mark.parametrize("field", ["spec", "status", "free", "tags", "steps", "template"])
def test_what_is_of_the_wrong_type_is_refused_however_it_comes(tabs: Resource, field: str, value: Any) -> None:
    wrong = {field: value} if field in ("spec", "status") else {"spec": {"schedule": "daily", field: value}}
    tabs.made("typed")
    before = tabs.get("typed").json
    replies = [
        tabs.api.call("POST", tabs.path, tabs.body("wrong", **{"spec": {"schedule": "daily"}, **wrong})),
        tabs.patch("typed", wrong),
        tabs.patch("typed", [{"op": "add", "path": f"/{key}", "value": wrong[key]} for key in wrong], content_type=JSON_PATCH),
        tabs.patch("typed", tabs.body("typed", **wrong), content_type=APPLY, fieldManager="me", force="true"),
        tabs.patch("typed", {"status": value}, "/status"),
        tabs.put({**before, **wrong}),
        tabs.put({**before, "status": value}, "/status"),
    ]
    assert {reply.status for reply in replies} <= {200, 201, 400, 409, 422}, [reply.body for reply in replies]
    if field == "spec":
        assert tabs.get("typed").json["spec"] == before["spec"]
    for name in ("typed", "wrong"):
        tabs.delete(name)


# Definitions


def conditions(obj: Object) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item["reason"]) for item in obj["status"]["conditions"]}


def test_a_definition_gets_its_names_with_the_write_that_asks_for_them(api: Bench) -> None:
    found = define(api, "apples", shortNames=["ap"])
    made = found.definition
    names = {"plural": "apples", "singular": "apple", "kind": "Apple", "listKind": "AppleList", "shortNames": ["ap"]}
    assert made["spec"]["names"] == made["status"]["acceptedNames"] == names
    assert conditions(made) == {"NamesAccepted": ("True", "NoConflicts"), "Established": ("True", "InitialNamesAccepted")}
    managers = [(entry["manager"], entry.get("subresource")) for entry in made["metadata"]["managedFields"]]
    assert ("kube-apiserver", "status") in managers
    found.undefine()


def test_of_two_definitions_that_want_a_name_one_gets_it_and_the_other_waits_for_it(api: Bench) -> None:
    first = define(api, "cats", shortNames=["c"])
    second = define(api, "cows", kind="Cow", shortNames=["c"], singular="cat")
    assert conditions(second.definition) == {
        "NamesAccepted": ("False", "ShortNamesConflict"),
        "Established": ("False", "NotAccepted"),
    }
    messages = [item["message"] for item in second.definition["status"]["conditions"]]
    assert messages == ['"c" is already in use', "not all names are accepted"]
    assert second.api.call("GET", second.path).status == 404
    first.undefine()
    api.until(
        lambda: conditions(api.get(DEFINITIONS, "cows.example.com").json)["Established"] == ("True", "InitialNamesAccepted")
    )
    assert second.names() == []
    second.undefine()


def test_names_that_conflict_later_leave_an_established_definition_established(api: Bench) -> None:
    first, second = define(api, "dogs", shortNames=["d"]), define(api, "ducks")
    second.redefine(names={"shortNames": ["d"]})
    assert conditions(second.definition)["NamesAccepted"] == ("False", "ShortNamesConflict")
    assert conditions(second.definition)["Established"] == ("True", "InitialNamesAccepted")
    assert second.names() == [] and "shortNames" not in second.definition["status"]["acceptedNames"]
    first.undefine()
    second.undefine()


def test_groups_of_kubernetes_say_who_approved_them(api: Bench) -> None:
    wanted = definition("things", group="things.k8s.io")
    wanted["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, for a test"}
    found = Resource(api, api.made(DEFINITIONS, wanted))
    assert conditions(found.definition)["KubernetesAPIApprovalPolicyConformant"] == ("False", "UnapprovedAnnotation")
    found.undefine()


# Objects


def test_what_the_schema_does_not_know_is_dropped_or_refused_as_the_client_asks(tabs: Resource) -> None:
    spec = {
        "odd": 1,
        "free": {"any": {"thing": 1}},
        "template": {"apiVersion": "v1", "kind": "X", "metadata": {"odd": 1}, "x": 1},
    }
    reply = tabs.create("warned", spec)
    assert reply.status == 201
    assert reply.headers["warning"].count("unknown field") == 1, "one header each; the last is kept here"
    assert reply.json["spec"] == {
        "schedule": "daily",
        "color": "red",
        "free": {"any": {"thing": 1}},
        "template": {"apiVersion": "v1", "kind": "X", "metadata": {}},
    }
    strict = tabs.create("refused", spec, fieldValidation="Strict")
    assert (strict.status, strict.reason) == (400, "BadRequest")
    assert strict.message == (
        'Tab in version "v1" cannot be handled as a Tab: strict decoding error: unknown field "spec.odd", '
        'unknown field "spec.template.x", unknown field "spec.template.metadata.odd"'
    )
    assert "warning" not in tabs.create("ignored", spec, fieldValidation="Ignore").headers
    twice = (
        b'{"apiVersion":"example.com/v1","kind":"Tab","metadata":{"name":"x","odd":1},"spec":{"schedule":"a","schedule":"b"}}'
    )
    found = tabs.api.call("POST", tabs.path, twice, fieldValidation="Strict")
    assert found.message.endswith('strict decoding error: duplicate field "spec.schedule", unknown field "metadata.odd"')


def test_what_the_schema_forbids_is_refused_in_kubernetes_words(tabs: Resource) -> None:
    bad = {
        "schedule": "",
        "color": "green",
        "replicas": "two",
        "port": True,
        "tags": ["a", "a"],
        "steps": [{"name": "a"}, {"name": "a"}],
        "template": {"kind": "X"},
    }
    reply = tabs.create("bad", bad)
    assert (reply.status, reply.reason) == (422, "Invalid")
    assert [(cause["field"], cause["reason"], cause["message"]) for cause in reply.json["details"]["causes"]] == [
        ("spec.color", "FieldValueNotSupported", 'Unsupported value: "green": supported values: "red", "blue"'),
        (
            "spec.port",
            "FieldValueTypeInvalid",
            'Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
        ),
        (
            "spec.replicas",
            "FieldValueTypeInvalid",
            'Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        ),
        ("spec.schedule", "FieldValueInvalid", 'Invalid value: "": spec.schedule in body should be at least 1 chars long'),
        (
            ".spec.replicas",
            "FieldValueInvalid",
            "Invalid value: 0: .spec.replicas accessor error: two is of the type string, expected int64",
        ),
        ("spec.template.apiVersion", "FieldValueRequired", "Required value"),
        ("spec.steps[1]", "FieldValueDuplicate", 'Duplicate value: {"name":"a"}'),
        ("spec.tags[1]", "FieldValueDuplicate", 'Duplicate value: "a"'),
    ]
    assert reply.message.startswith('Tab.example.com "bad" is invalid: [spec.color: Unsupported value')
    nothing = tabs.api.call("POST", tabs.path, tabs.body("none", spec={}))
    assert nothing.causes == [("FieldValueRequired", "spec.schedule")]
    for wrong, text in (
        ({"labels": {"a": 1}}, "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"),
    ):
        body = tabs.body("meta", spec={"schedule": "x"})
        body["metadata"] |= wrong
        found = tabs.api.call("POST", tabs.path, body)
        assert (found.status, found.message) == (400, f'Tab in version "v1" cannot be handled as a Tab: {text}')
    named = tabs.create("No_Name")
    assert named.causes[0] == ("FieldValueInvalid", "metadata.name")


def test_nulls_stay_where_they_may_be(tabs: Resource) -> None:
    spec = tabs.made("nulls", {"note": None, "color": None, "replicas": None})["spec"]
    assert spec == {"schedule": "daily", "note": None, "color": "red"}


def test_an_object_lives_through_all_verbs(tabs: Resource) -> None:
    made = tabs.made("life")
    assert (made["apiVersion"], made["kind"], made["metadata"]["generation"]) == ("example.com/v1", "Tab", 1)
    assert tabs.get("life").json == made
    listed = tabs.api.call("GET", tabs.path).json
    assert (listed["kind"], listed["apiVersion"]) == ("TabList", "example.com/v1") and made in listed["items"]
    everywhere = tabs.api.call("GET", f"{tabs.root}/tabs").json
    assert made in everywhere["items"]

    labelled = tabs.put({**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}})
    assert labelled.status == 200 and labelled.json["metadata"]["generation"] == 1
    changed = tabs.patch("life", {"spec": {"replicas": 2}})
    assert changed.status == 200 and changed.json["metadata"]["generation"] == 2
    stale = tabs.put({**made, "spec": {"schedule": "x"}})
    assert (stale.status, stale.reason) == (409, "Conflict")
    unversioned = tabs.put(tabs.body("life", spec={"schedule": "x"}))
    assert unversioned.message.endswith("metadata.resourceVersion: Invalid value: 0: must be specified for an update")
    patched = tabs.patch("life", [{"op": "remove", "path": "/spec/replicas"}], content_type=JSON_PATCH)
    assert patched.status == 200 and "replicas" not in patched.json["spec"]
    strategic = tabs.patch("life", {}, content_type=STRATEGIC)
    assert strategic.status == 415
    assert strategic.message == (
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
        "application/merge-patch+json, application/apply-patch+yaml"
    )
    gone = tabs.delete("life")
    assert gone.json["details"] == {"name": "life", "group": "example.com", "kind": "tabs", "uid": made["metadata"]["uid"]}
    assert tabs.get("life").message == 'tabs.example.com "life" not found'


def test_protobuf_is_not_spoken(tabs: Resource) -> None:
    tabs.made("plain")
    protobuf = "application/vnd.kubernetes.protobuf"
    assert tabs.get("plain", headers={"accept": protobuf}).status == 406
    assert tabs.get("plain", headers={"accept": f"{protobuf},application/json"}).json["kind"] == "Tab"
    refused = tabs.api.call("POST", tabs.path, b"k8s\0", content_type=protobuf)
    assert (refused.status, refused.reason) == (415, "UnsupportedMediaType")


def test_the_status_is_written_through_its_subresource(tabs: Resource) -> None:
    body = tabs.body("state", spec={"schedule": "x"}, status={"phase": "Mine"})
    made = tabs.api.call("POST", tabs.path, body).json
    assert "status" not in made
    assert "status" not in tabs.patch("state", {"status": {"phase": "Mine"}}).json
    change = {"metadata": {"labels": {"a": "b"}}, "spec": {"schedule": "y"}, "status": {"phase": "Ready"}}
    written = tabs.patch("state", change, "/status").json
    assert written["status"] == {"phase": "Ready"} and written["spec"] == made["spec"]
    assert written["metadata"]["generation"] == 1 and "labels" not in written["metadata"]
    assert tabs.patch("state", {"spec": {"schedule": "z"}}).json["status"] == {"phase": "Ready"}
    wrong = tabs.patch("state", {"status": {"phase": 1}}, "/status")
    text = 'status.phase: Invalid value: "integer": phase in body must be of type string: "integer"'
    assert wrong.message == f'Tab.example.com "state" is invalid: {text}'
    assert tabs.get("state", "/log").message == 'tabs.example.com "state" not found'


def test_the_scale_is_where_the_definition_says(tabs: Resource) -> None:
    tabs.made("scaled", {"replicas": 2})
    tabs.patch("scaled", {"status": {"replicas": 1, "selector": "app=x"}}, "/status")
    scale = tabs.get("scaled", "/scale").json
    assert (scale["kind"], scale["spec"], scale["status"]) == ("Scale", {"replicas": 2}, {"replicas": 1, "selector": "app=x"})
    assert tabs.patch("scaled", {"spec": {"replicas": 5}}, "/scale").json["spec"] == {"replicas": 5}
    found = tabs.get("scaled").json
    assert found["spec"]["replicas"] == 5 and found["metadata"]["generation"] == 2
    tabs.made("unscaled")
    missing = tabs.get("unscaled", "/scale")
    assert (missing.status, missing.reason) == (500, "InternalError")
    assert missing.message == 'Internal error occurred: the spec replicas field ".spec.replicas" does not exist'


def test_apply_goes_by_the_schema(tabs: Resource) -> None:
    def apply(manager: str, spec: Any, **options: Any) -> Reply:
        return tabs.patch("applied", tabs.body("applied", spec=spec), content_type=APPLY, fieldManager=manager, **options)

    first = apply("one", {"schedule": "x", "steps": [{"name": "a", "run": "1"}], "tags": ["p"], "free": {"deep": {"k": 1}}})
    assert first.status == 201 and first.json["spec"]["color"] == "red"
    second = apply("two", {"steps": [{"name": "b"}], "tags": ["q"], "free": {"deep": {"l": 2}}})
    assert second.status == 200, second.body
    assert second.json["spec"]["steps"] == [{"name": "a", "run": "1"}, {"name": "b"}]
    assert second.json["spec"]["tags"] == ["p", "q"] and second.json["spec"]["free"] == {"deep": {"k": 1, "l": 2}}
    conflict = apply("two", {"steps": [{"name": "a", "run": "2"}]})
    assert conflict.message == ('Apply failed with 1 conflict: conflict with "one": .spec.steps[name="a"].run')
    assert apply("two", {"steps": [{"name": "a", "run": "2"}]}, force="true").json["spec"]["steps"][0]["run"] == "2"
    unknown = apply("two", {"odd": 1})
    assert unknown.status in (400, 500) and ".spec.odd: field not declared in schema" in unknown.message


def test_tables_have_the_columns_of_the_definition(tabs: Resource) -> None:
    tabs.made("shown", {"replicas": 3, "steps": [{"name": "a"}, {"name": "b", "run": "now"}]})
    accept = {"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
    table = tabs.get("shown", headers=accept).json
    heads = [
        (column["name"], column["type"], column["priority"], column["description"]) for column in table["columnDefinitions"]
    ]
    assert heads[1] == ("Schedule", "string", 0, "When.")
    assert heads[2] == ("Replicas", "integer", 1, "Custom resource definition column (in JSONPath format): .spec.replicas")
    (row,) = table["rows"]
    assert row["cells"] == ["shown", "daily", 3, "now", "0s"]
    found = define(tabs.api, "plains")
    found.made("x")
    table = found.get("x", headers=accept).json
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Age"] and table["rows"][0]["cells"] == [
        "x",
        "0s",
    ]
    found.undefine()


def test_fields_that_can_be_selected_by(tabs: Resource) -> None:
    for name, spec in (("s1", {"replicas": 1}), ("s2", {"color": "blue"}), ("s3", {"replicas": 2})):
        tabs.made(name, spec)
    assert set(tabs.names(fieldSelector="spec.color=red")) == {"s1", "s3"}
    assert tabs.names(fieldSelector="spec.color=red,spec.replicas=2") == ["s3"]
    assert tabs.names(fieldSelector="spec.color!=red") == ["s2"]
    unknown = tabs.api.call("GET", tabs.path, fieldSelector="spec.schedule=x")
    assert unknown.status == 400 and unknown.message.endswith("field label not supported: spec.schedule")
    watch = tabs.api.watch(tabs.path, fieldSelector="spec.color=blue")
    assert watch.take(1) == [("ADDED", "s2")]
    tabs.patch("s1", {"spec": {"color": "blue"}})
    tabs.patch("s2", {"spec": {"color": "red"}})
    assert watch.take(2) == [("ADDED", "s1"), ("DELETED", "s2")]
    watch.close()
    assert tabs.delete(fieldSelector="spec.color=red").status == 200 and tabs.names() == ["s1"]


def test_finalizers_may_be_called_anything_but_a_warning_says_what_is_better(tabs: Resource) -> None:
    body = tabs.body("held", spec={"schedule": "x"})
    body["metadata"]["finalizers"] = ["mine"]
    reply = tabs.api.call("POST", tabs.path, body)
    assert reply.status == 201 and "prefer a domain-qualified finalizer name to avoid" in reply.headers["warning"]
    tabs.delete("held")
    assert tabs.get("held").json["metadata"]["deletionTimestamp"]
    assert tabs.patch("held", {"metadata": {"finalizers": None}}).status == 200
    assert tabs.get("held").status == 404


def test_cluster_scoped_objects(api: Bench) -> None:
    found = define(api, "worlds", scope="Cluster")
    found.made("one")
    assert found.path == "/apis/example.com/v1/worlds" and found.names() == ["one"]
    assert api.call("GET", "/apis/example.com/v1/namespaces/default/worlds").status == 404
    found.undefine()


# Versions


def several(api: Bench, plural: str) -> Resource:
    """v1 is stored; v2 knows more, and is as good as it; the old one is not to be used."""
    more = copy.deepcopy(SCHEMA)
    more["properties"]["spec"]["properties"]["extra"] = {"type": "string", "default": "more"}
    old = version("v1beta1", deprecated=True, schema={"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    return define(api, plural, version("v1"), version("v2", schema=more), old)


def test_versions_differ_in_their_name_and_schema(api: Bench) -> None:
    one = several(api, "items")
    two, old = one.other("v2"), one.other("v1beta1")
    one.made("a")
    assert one.get("a").json["apiVersion"] == "example.com/v1" and two.get("a").json["apiVersion"] == "example.com/v2"
    assert "extra" not in two.get("a").json["spec"], "what is read has the defaults of the version in which it is stored"
    assert two.create("b", {"extra": "x"}).json["spec"].get("extra") is None, "the stored version does not know it"
    reply = old.get("a")
    assert reply.headers["warning"] == '299 - "example.com/v1beta1 Item is deprecated; use example.com/v2 Item"'
    watch = two.api.watch(two.path)
    assert watch.take(2) == [("ADDED", "a"), ("ADDED", "b")]
    one.patch("a", {"spec": {"replicas": 3}})
    event = watch.next()
    assert (event["type"], event["object"]["apiVersion"]) == ("MODIFIED", "example.com/v2")
    watch.close()
    one.undefine()


def test_another_storage_version_leaves_objects_as_they_are(api: Bench) -> None:
    one = several(api, "moves")
    two = one.other("v2")
    one.made("a")
    stored = copy.deepcopy(one.definition["spec"]["versions"])
    for each in stored:
        each["storage"] = each["name"] == "v2"
    one.redefine(versions=stored)
    assert one.definition["status"]["storedVersions"] == ["v1", "v2"]
    assert two.create("b", {"extra": "x"}).json["spec"]["extra"] == "x"
    assert one.names() == two.names() == ["a", "b"]
    assert "extra" not in one.get("b").json["spec"]
    assert two.put(two.get("a").json).json["spec"].get("extra") == "more", "written again, it is stored in the other version"
    one.undefine()


# Changes of a definition


def test_a_changed_schema_counts_at_once_also_for_what_is_stored(api: Bench) -> None:
    found = define(api, "plans")
    found.made("old", {"replicas": 1})
    watch = api.watch(found.path)
    assert watch.take(1) == [("ADDED", "old")]
    schema = copy.deepcopy(SCHEMA)
    fields = schema["properties"]["spec"]["properties"]
    fields["size"] = {"type": "string", "default": "big"}
    fields["replicas"] = {"type": "integer", "minimum": 10}
    del fields["note"]
    found.redefine(versions=[version(schema=schema)])
    assert watch.rest() == [], "whoever watched begins again"
    old = found.get("old").json
    assert old["spec"] == {"schedule": "daily", "color": "red", "replicas": 1, "size": "big"}
    assert found.names() == ["old"] and found.create("new", {"replicas": 1}).status == 422
    assert found.patch("old", {"spec": {"schedule": "weekly"}}).status == 200, "what was so before may stay so"
    assert found.patch("old", {"spec": {"replicas": 2}}).status == 422
    found.undefine()


def test_a_version_that_is_not_served_any_more_is_gone(api: Bench) -> None:
    one = several(api, "parts")
    two = one.other("v2")
    one.made("a")
    served = copy.deepcopy(one.definition["spec"]["versions"])
    served[1]["served"] = False
    one.redefine(versions=served)
    assert api.call("GET", two.path).status == 404 and one.names() == ["a"]
    assert "v2" not in [entry["version"] for entry in api.call("GET", "/apis/example.com").json["versions"]]
    one.undefine()


def test_a_definition_that_goes_takes_its_objects_with_it(api: Bench) -> None:
    found = define(api, "leaves", kind="Leaf")
    found.made("free")
    body = found.body("held", spec={"schedule": "x"})
    body["metadata"]["finalizers"] = ["example.com/held"]
    assert api.call("POST", found.path, body).status == 201
    watch = api.watch(found.path)
    assert len(watch.take(2)) == 2
    deleted = api.delete(DEFINITIONS, "leaves.example.com").json
    assert deleted["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert conditions(deleted)["Terminating"] == ("True", "InstanceDeletionPending")
    assert deleted["metadata"]["generation"] == 1
    api.until(lambda: found.names() == ["held"])
    refused = found.create("late")
    assert (refused.status, refused.reason) == (405, "MethodNotAllowed")
    assert refused.message == "create not allowed while custom resource definition is terminating"
    resources = api.call("GET", "/apis/example.com/v1").json["resources"]
    assert "create" not in next(entry["verbs"] for entry in resources if entry["name"] == "leaves")
    found.patch("held", {"metadata": {"finalizers": None}})
    api.until(lambda: api.get(DEFINITIONS, "leaves.example.com").status == 404)
    assert api.call("GET", found.path).status == 404
    assert [event["type"] for event in watch.rest()] == ["DELETED", "MODIFIED", "DELETED"], "to the last, then it ends"
    again = define(api, "leaves", kind="Leaf")
    assert again.names() == []
    again.undefine()


# Discovery and documents


def test_what_is_defined_is_discovered(tabs: Resource) -> None:
    api = tabs.api
    entries = {entry["name"]: entry for entry in api.call("GET", "/apis/example.com/v1").json["resources"]}
    assert entries["tabs"]["shortNames"] == ["tb"] and entries["tabs"]["categories"] == ["all"]
    assert entries["tabs/scale"]["kind"] == "Scale" and entries["tabs/status"]["kind"] == "Tab"
    assert "example.com" in [group["name"] for group in api.call("GET", "/apis").json["groups"]]
    accept = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    found = api.call("GET", "/apis", headers=accept)
    (group,) = [item for item in found.json["items"] if item["metadata"]["name"] == "example.com"]
    assert [entry["resource"] for entry in group["versions"][0]["resources"]] == ["tabs"]
    other = define(api, "others")
    assert api.call("GET", "/apis", headers=accept).headers["etag"] != found.headers["etag"]
    other.undefine()
    assert api.call("GET", "/apis", headers=accept).headers["etag"] == found.headers["etag"]


def test_columns_end_before_one_that_cannot_be_read(api: Bench) -> None:
    columns = [{"name": name, "type": "string", "jsonPath": path} for name, path in (("A", ".a"), ("B", ".b["), ("C", ".c"))]
    made = define(api, "odds", version("v1", additionalPrinterColumns=columns))
    table = api.call("GET", made.path, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "A"]
    made.undefine()


def test_every_version_has_an_api_service(api: Bench) -> None:
    def found(version: str) -> Any:
        return api.get("apiservices.apiregistration.k8s.io", f"{version}.served.example.com", "")

    made = define(api, "rooms", version("v1"), version("v2"), group="served.example.com")
    api.until(lambda: found("v2").status == 200)
    service = found("v1").json
    assert service["spec"] == {
        "group": "served.example.com",
        "groupPriorityMinimum": 1000,
        "version": "v1",
        "versionPriority": 100,
    }
    assert service["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "true"}
    assert service["status"]["conditions"][0]["reason"] == "Local"
    made.undefine()
    api.until(lambda: (found("v1").status, found("v2").status) == (404, 404))
    assert api.get("apiservices.apiregistration.k8s.io", "v1.apps", "").status == 200


def test_documents_describe_what_is_defined(tabs: Resource) -> None:
    api = tabs.api
    paths = api.call("GET", "/openapi/v3").json["paths"]
    third = api.call("GET", "/openapi/v3/apis/example.com/v1").json
    schema = third["components"]["schemas"]["com.example.v1.Tab"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "example.com", "kind": "Tab", "version": "v1"}]
    assert schema["properties"]["spec"]["properties"]["steps"]["x-kubernetes-list-map-keys"] == ["name"]
    assert (
        schema["properties"]["metadata"]["allOf"][0]["$ref"].endswith("ObjectMeta")
        and schema["properties"]["kind"]["description"]
    )
    assert set(schema["properties"]["spec"]["properties"]["template"]["properties"]) == {
        "apiVersion",
        "kind",
        "metadata",
        "spec",
    }
    item = third["paths"]["/apis/example.com/v1/namespaces/{namespace}/tabs/{name}"]
    assert item["get"]["operationId"] == "readExampleComV1NamespacedTab"
    assert "application/strategic-merge-patch+json" not in item["patch"]["requestBody"]["content"]
    second = api.call("GET", "/openapi/v2").json["definitions"]["com.example.v1.Tab"]
    assert "type" not in second["properties"]["spec"]["properties"]["note"], "v2 has no null"
    assert (
        api.call("GET", "/openapi/v2", headers={"accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}).status
        == 200
    )
    other = define(api, "papers")
    after = api.call("GET", "/openapi/v3").json["paths"]
    assert {root for root in after if after[root] != paths.get(root)} == {"apis/example.com/v1"}
    other.undefine()
    assert api.call("GET", "/openapi/v3").json["paths"] == paths


# Beside


def test_quotas_count_them(api: Bench) -> None:
    found = define(api, "counts")
    api.made("resourcequotas", {"metadata": {"name": "few"}, "spec": {"hard": {"count/counts.example.com": "1"}}})
    api.patch(
        "resourcequotas",
        "few",
        {"status": {"hard": {"count/counts.example.com": "1"}, "used": {"count/counts.example.com": "0"}}},
        subresource="status",
    )
    found.made("one")
    refused = found.create("two")
    assert refused.status == 403 and "exceeded quota: few" in refused.message
    api.delete("resourcequotas", "few")
    found.undefine()


def test_everything_is_served_again_after_a_restart(tmp_path: Path) -> None:
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        found = define(api, "stays")
        found.made("one")
        waiting = define(api, "waits", shortNames=["stay"])
        assert conditions(waiting.definition)["NamesAccepted"][0] == "False"
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        again = Resource(api, found.definition)
        assert again.names() == ["one"]
        again.undefine()
        name = waiting.definition["metadata"]["name"]
        api.until(lambda: conditions(api.get(DEFINITIONS, name).json)["Established"][0] == "True")


def test_another_server_sees_what_is_defined(etcd_server: Any, tmp_path: Path) -> None:
    etcd_server.clear()
    (tmp_path / "one").mkdir()
    with (
        bench(tmp_path / "one", store=etcd_server.store()) as one,
        bench(tmp_path / "one", store=etcd_server.store(), beside=one) as two,
    ):
        found = define(one, "shares")
        there = Resource(two, found.definition)
        assert there.names() == []
        there.made("a")
        assert found.names() == ["a"]
        there.redefine(versions=[version(), version("v2", schema={"type": "object"}, storage=False)])
        assert found.other("v2").names() == ["a"]
        there.undefine()
        one.until(lambda: one.call("GET", found.path).status == 404)
