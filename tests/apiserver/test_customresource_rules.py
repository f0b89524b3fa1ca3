"""Rules in schemas (x-kubernetes-validations): what a definition may say, and what objects are held against."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from navarch.api.apiextensions.objectrules import Validator
from navarch.apimachinery.errors import Object
from navarch.component.httpserver import Request
from tests.apiserver.bench import ADMIN, APPLY, MERGE, Bench, Reply
from tests.apiserver.test_customresources import DEFINITIONS, INTEGER, STRING, Resource, define, definition, version

RULES = "x-kubernetes-validations"
WHERE = "spec.validation.openAPIV3Schema"
DETAIL = {"type": "string", "maxLength": 10}


def ruled(schema: Object, *rules: Object | str) -> Object:
    return {**schema, RULES: [{"rule": rule} if isinstance(rule, str) else rule for rule in rules]}


def obj(**properties: Any) -> Object:
    return {"type": "object", "properties": properties}


def array(item: Object, **fields: Any) -> Object:
    return {"type": "array", "maxItems": 5, "items": item, **fields}


def keyed(item: Object) -> Object:
    return array(item, **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]})


def causes(reply: Reply) -> list[tuple[str, str, str]]:
    assert reply.status == 422, reply.body
    return [(cause["reason"], cause.get("field", ""), cause["message"]) for cause in reply.json["details"]["causes"]]


def messages(reply: Reply) -> list[tuple[str, str]]:
    return [(field, message) for _, field, message in causes(reply)]


class Rules:
    """Makes definitions of which all go with the test."""

    def __init__(self, api: Bench) -> None:
        self.api = api
        self.made: list[Resource] = []

    def define(self, spec: Object, *root: Object | str, status: Object | None = None) -> Resource:
        schema = obj(spec=spec, **({"status": status} if status is not None else {}))
        schema = ruled(schema, *root) if root else schema
        subresources = {"subresources": {"status": {}}} if status is not None else {}
        found = define(self.api, f"things{len(self.made)}s", version(schema=schema, **subresources))
        self.made.append(found)
        return found

    def refused(self, spec: Object) -> list[tuple[str, str, str]]:
        return causes(self.api.post(DEFINITIONS, definition("refuseds", version(schema=obj(spec=spec)))))

    def redefine(self, resource: Resource, spec: Object) -> None:
        resource.redefine(versions=[version(schema=obj(spec=spec))])


@pytest.fixture
def rules(api: Bench) -> Iterator[Rules]:
    found = Rules(api)
    yield found
    for resource in found.made:
        resource.undefine()


def make(resource: Resource, name: str, **spec: Any) -> Reply:
    return resource.api.call("POST", resource.path, resource.body(name, spec=spec))


def made(resource: Resource, name: str, **spec: Any) -> Object:
    reply = make(resource, name, **spec)
    assert reply.status == 201, reply.body
    found: Object = reply.json
    return found


# Objects


def test_fields_are_compared_with_each_other(rules: Rules) -> None:
    spec = ruled(obj(least=INTEGER, most=INTEGER), "self.least <= self.most")
    things = rules.define(spec)
    made(things, "good", least=1, most=2)
    assert causes(make(things, "bad", least=3, most=2)) == [
        ("FieldValueInvalid", "spec", "Invalid value: failed rule: self.least <= self.most")
    ]
    assert messages(make(things, "partly", least=3)) == [
        ("spec", 'Invalid value: "object": no such key: most evaluating rule: self.least <= self.most')
    ]
    assert things.patch("good", {"spec": {"most": 0}}).status == 422
    applied = things.body("applied", spec={"least": 3, "most": 2})
    reply = things.patch("applied", applied, content_type=APPLY, fieldManager="me")
    assert messages(reply) == [("spec", "Invalid value: failed rule: self.least <= self.most")]


def test_what_may_not_change_is_compared_with_what_was_there(rules: Rules) -> None:
    things = rules.define(obj(fixed=ruled(STRING, {"rule": "self == oldSelf", "message": " is immutable "}), other=STRING))
    made(things, "one", fixed="a")
    made(things, "unset")
    assert things.patch("one", {"spec": {"other": "x"}}).status == 200
    assert causes(things.patch("one", {"spec": {"fixed": "b"}})) == [
        ("FieldValueInvalid", "spec.fixed", 'Invalid value: "b": is immutable')
    ]
    assert things.patch("unset", {"spec": {"fixed": "b"}}).status == 200, "there was nothing to compare it with"


def test_items_of_a_map_are_known_again_by_their_keys(rules: Rules) -> None:
    item = {**obj(name=STRING, size=ruled(INTEGER, "self >= oldSelf")), "required": ["name"]}
    things = rules.define(obj(disks=keyed(item)))
    made(things, "one", disks=[{"name": "a", "size": 5}, {"name": "b", "size": 1}])
    moved = [{"name": "new", "size": 0}, {"name": "b", "size": 2}, {"name": "a", "size": 4}]
    assert messages(things.patch("one", {"spec": {"disks": moved}})) == [
        ("spec.disks[2].size", "Invalid value: 4: failed rule: self >= oldSelf")
    ]
    moved[2]["size"] = 5
    assert things.patch("one", {"spec": {"disks": moved}}).status == 200


def test_what_was_there_before_may_be_optional(rules: Rules) -> None:
    once = {"rule": "oldSelf.hasValue() ? self == oldSelf.value() : self == 'first'", "optionalOldSelf": True}
    things = rules.define(obj(phase=ruled(STRING, once)))
    assert messages(make(things, "one", phase="second"))[0][0] == "spec.phase"
    made(things, "one", phase="first")
    assert things.patch("one", {"spec": {"phase": "second"}}).status == 422


def test_a_message_may_be_an_expression(rules: Rules) -> None:
    told = {"rule": "self.a < 5", "messageExpression": "'a is %d'.format([self.a])", "message": "too large"}
    broken = {"rule": "self.a < 5", "messageExpression": "'%d'.format([1 / (self.a - self.a)])", "message": "too large"}
    things = rules.define(ruled(obj(a=INTEGER), told, broken))
    assert [message for _, message in messages(make(things, "one", a=7))] == [
        "Invalid value: a is 7",
        "Invalid value: too large",
    ]


def test_a_rule_says_why_and_where(rules: Rules) -> None:
    def rule(**fields: str) -> Object:
        return {"rule": "has(self.a)", "message": "no a", **fields}

    spec = ruled(
        obj(a=STRING, b=obj(**{"c.d": STRING})),
        rule(reason="FieldValueRequired", fieldPath=".a"),
        rule(reason="FieldValueForbidden", fieldPath=".b['c.d']"),
        rule(reason="FieldValueDuplicate"),
        rule(reason="FieldValueInvalid"),
    )
    assert causes(make(rules.define(spec), "one")) == [
        ("FieldValueRequired", "spec.a", "Required value: no a"),
        ("FieldValueForbidden", "spec.b.c.d", "Forbidden: no a"),
        ("FieldValueDuplicate", "spec", "Duplicate value"),
        ("FieldValueInvalid", "spec", "Invalid value: no a"),
    ]


def test_the_root_knows_an_objects_name(rules: Rules) -> None:
    things = rules.define(obj(a=STRING), "self.metadata.name.startsWith('x')")
    made(things, "xy", a="")
    assert messages(make(things, "yx", a="")) == [("<nil>", "Invalid value: failed rule: self.metadata.name.startsWith('x')")]


def test_maps_lists_and_nulls_have_their_rules(rules: Rules) -> None:
    short = ruled({**DETAIL, "nullable": True}, "self.size() < 3")
    labels = {"type": "object", "maxProperties": 3, "additionalProperties": short}
    things = rules.define(obj(labels=labels, names=array(short), due=ruled({**STRING, "format": "date-time"}, DUE)))
    made(things, "one", labels={"a": None}, names=["ab", None], due="2030-01-01T00:00:00Z")
    reply = make(things, "two", labels={"x": "abc"}, names=["", "abc"], due="2020-01-01T00:00:00Z")
    assert [field for field, _ in messages(reply)] == ["spec.due", "spec.labels[x]", "spec.names[1]"]


DUE = "self > timestamp('2026-01-01T00:00:00Z')"


def test_rules_wait_until_the_schema_is_met(rules: Rules) -> None:
    things = rules.define({**ruled(obj(a=INTEGER), "self.a > 1"), "required": ["a"]})
    reply = make(things, "one")
    assert [field for field, _ in messages(reply)] == ["spec.a", "<nil>"]
    assert "some validation rules were not checked because the object was invalid" in messages(reply)[1][1]


def test_what_has_not_changed_may_break_a_newer_rule(rules: Rules) -> None:
    item = {**obj(name=STRING, size=INTEGER), "required": ["name"]}
    things = rules.define(obj(a=obj(n=INTEGER), disks=keyed(item), other=STRING))
    made(things, "one", a={"n": 1}, disks=[{"name": "x", "size": 1}, {"name": "y", "size": 1}])
    large = {**item, "properties": {"name": STRING, "size": ruled(INTEGER, "self > 5")}}
    rules.redefine(things, obj(a=ruled(obj(n=INTEGER), "self.n > 5"), disks=keyed(large), other=STRING))
    assert things.patch("one", {"spec": {"other": "x"}}).status == 200
    assert messages(things.patch("one", {"spec": {"a": {"n": 2}}}))[0][0] == "spec.a"
    disks = [{"name": "y", "size": 2}, {"name": "x", "size": 1}]
    assert [field for field, _ in messages(things.patch("one", {"spec": {"disks": disks}}))] == ["spec.disks[0].size"]
    assert things.patch("one", {"spec": {"a": {"n": 6}}}).status == 200


def test_a_status_is_held_against_the_rules(rules: Rules) -> None:
    status = obj(n=ruled(INTEGER, "self >= oldSelf"))
    things = rules.define(obj(most=INTEGER), "!has(self.status) || self.status.n <= self.spec.most", status=status)
    made(things, "one", most=5)
    assert things.patch("one", {"status": {"n": 4}}, "/status").status == 200
    assert messages(things.patch("one", {"status": {"n": 3}}, "/status")) == [
        ("status.n", "Invalid value: 3: failed rule: self >= oldSelf")
    ]
    assert messages(things.patch("one", {"status": {"n": 6}}, "/status"))[0][0] == "<nil>"


def test_all_rules_share_a_budget() -> None:
    counted = ruled(array(INTEGER), "self.all(x, x > 0)", "self.size() < 9")
    schema = obj(a=counted, b=counted)
    many = {"a": [1, 2, 3, 4, 5], "b": [1]}
    validator = Validator(schema, budget=35)
    assert validator.problems({"a": [1], "b": [1]}, None, []) == []
    (error,) = validator.problems(many, None, [])
    text = "validation failed due to running out of cost budget, no further validation rules will be run"
    assert error.message == f'b: Invalid value: "array": {text}'
    assert Validator(schema).problems(many, None, []) == []


# Definitions


def test_rules_are_compiled_by_the_type_of_their_place(rules: Rules) -> None:
    (error,) = rules.refused(obj(a=ruled(INTEGER, "self.size() > 1")))
    assert error[:2] == ("FieldValueInvalid", f"{WHERE}.properties[spec].properties[a].{RULES}[0].rule")
    assert error[2].startswith('Invalid value: {"Rule":"self.size() > 1","Message":"",')
    assert "compilation failed: ERROR: <input>:1:10: found no matching overload for 'size' applied to 'int.()'" in error[2]
    (error,) = rules.refused(ruled(obj(a=INTEGER), "self.a"))
    assert error[2].endswith(": cel expression must evaluate to a bool")
    (error,) = rules.refused(ruled(obj(a=INTEGER), {"rule": "self.a > 1", "messageExpression": "self.a"}))
    assert error[1] == f"{WHERE}.properties[spec].{RULES}[0].messageExpression"
    assert error[2].endswith(": messageExpression must evaluate to a string")


def test_changes_are_told_only_where_values_are_known_again(rules: Rules) -> None:
    (error,) = rules.refused(obj(items=array(obj(a=ruled(STRING, "self == oldSelf")))))
    where = f"{WHERE}.properties[spec].properties[items]"
    assert error == (
        "FieldValueInvalid",
        f"{where}.items.properties[a].{RULES}[0].rule",
        f'Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within {where}',
    )
    (error,) = rules.refused(obj(a=ruled(STRING, {"rule": "self != ''", "optionalOldSelf": True})))
    assert error[1:] == (
        f"{WHERE}.properties[spec].properties[a].{RULES}[0].optionalOldSelf",
        "Invalid value: true: may not be set if oldSelf is not used in rule",
    )


def test_rules_may_not_cost_too_much(rules: Rules) -> None:
    unbounded = {"type": "array", "items": STRING}
    found = rules.refused(obj(a=ruled(unbounded, "self.all(x, self.exists(y, x == y))")))
    where = f"{WHERE}.properties[spec].properties[a].{RULES}[0].rule"
    limits = "maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared"
    advice = f"(try simplifying the rule, or adding {limits})"
    much = f"exceeds budget by factor of more than 100x {advice}"
    whole = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
    assert found == [
        ("FieldValueForbidden", where, f"Forbidden: estimated rule cost {much}"),
        (
            "FieldValueForbidden",
            where,
            "Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
        ),
        ("FieldValueForbidden", WHERE, f"Forbidden: {whole} {much}"),
    ]


def test_what_is_wrong_with_a_schema_comes_before_its_rules(rules: Rules) -> None:
    bad, worse = ruled(STRING, "self"), ruled(obj(x={**STRING, "uniqueItems": True}), "self")
    assert [field for _, field, _ in rules.refused(obj(a=bad, b=worse))] == [
        f"{WHERE}.properties[spec].properties[b].properties[x].uniqueItems",
        f"{WHERE}.properties[spec].properties[a].{RULES}[0].rule",
    ]


def test_defaults_are_held_against_the_rules(rules: Rules) -> None:
    worker = ruled(obj(least=INTEGER, most=INTEGER), "self.least <= self.most", "self.most >= oldSelf.most")
    where = f"{WHERE}.properties[spec].properties[worker].default"
    assert rules.refused(obj(worker={**worker, "default": {}}))[0] == (
        "FieldValueInvalid",
        where,
        'Invalid value: "object": no such key: least evaluating rule: self.least <= self.most',
    )
    assert rules.refused(obj(worker={**worker, "default": {"least": 2, "most": 1}})) == [
        ("FieldValueInvalid", where, "Invalid value: failed rule: self.least <= self.most")
    ]
    things = rules.define(obj(worker={**worker, "default": {"least": 0, "most": 5}}))
    assert made(things, "one")["spec"]["worker"] == {"least": 0, "most": 5}


def test_a_place_without_a_type_has_no_rules(rules: Rules) -> None:
    anything = ruled({"x-kubernetes-preserve-unknown-fields": True}, "true")
    text = "Internal error: internal error: failed to retrieve type information for x-kubernetes-validations"
    assert rules.refused(obj(a=anything)) == [("InternalError", f"{WHERE}.properties[spec].properties[a].{RULES}", text)]


def test_whoever_has_no_rules_loads_no_language() -> None:
    code = (
        "import sys\n"
        "from navarch.api.apiextensions import customresource, schemarules\n"
        "schema = {'type': 'object', 'properties': {'a': {'type': 'string'}}}\n"
        "source = {'name': 'v1', 'served': True, 'storage': True, 'schema': {'openAPIV3Schema': schema}}\n"
        "names = {'kind': 'A', 'plural': 'as'}\n"
        "spec = {'group': 'b.c', 'scope': 'Cluster', 'names': names, 'versions': [source]}\n"
        "(kind,) = customresource.kinds({'metadata': {'name': 'as.b.c'}, 'spec': spec})\n"
        "assert not list(schemarules.validate(source['schema'], 'x', has_status=False))\n"
        "assert not list(kind.validate_create({'apiVersion': 'b.c/v1', 'kind': 'A', 'metadata': {'name': 'x'}}))\n"
        "sys.exit(any(name.startswith('navarch.apimachinery.cel') for name in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rules_that_take_long_hold_up_nobody(rules: Rules, api: Bench) -> None:
    names = array({**STRING, "maxLength": 10}, maxItems=200)
    slow = rules.define(ruled(obj(names=names), "self.names.all(a, self.names.all(b, a != b || a == b))"))

    async def asked_beside(method: str, path: str, body: Object, content_type: str) -> tuple[int, int]:
        """The status, and how many turns others had meanwhile."""
        request = Request(method, path, "", {"content-type": content_type}, orjson.dumps(body), ADMIN)
        turns, asked = 0, asyncio.ensure_future(api.server.pipeline.handle(request))
        while not asked.done():
            turns += 1
            await asyncio.sleep(0)
        return asked.result().status, turns

    many = {"names": [str(number) for number in range(150)]}
    status, turns = api.run(asked_beside("POST", slow.path, slow.body("many", spec=many), "application/json"))
    assert status == 201 and turns > 20
    less = {"spec": {"names": many["names"][1:]}}
    status, turns = api.run(asked_beside("PATCH", f"{slow.path}/many", less, MERGE))
    assert status == 200 and turns > 20
