"""What apiextensions.k8s.io takes and refuses, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from navarch.apimachinery.unmarshal import DecodeError
from tests.api.rules import made, on_create, on_update

NAME = "customresourcedefinitions.apiextensions.k8s.io"
KIND = resource(NAME)
SCHEMA = "spec.validation.openAPIV3Schema"
STRING = {"type": "string"}
ESTABLISHED: Object = {"status": {"conditions": [{"type": "Established", "status": "True"}]}}


def version(name: str = "v1", schema: Any = None, **fields: Any) -> Object:
    schema = {"type": "object"} if schema is None else schema
    return {"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **fields}


def versions(*found: Object) -> Object:
    return {"spec": {"versions": list(found)}}


def spec_of(schema: Any) -> Object:
    """A definition whose objects have such a spec."""
    return versions(version(schema={"type": "object", "properties": {"spec": schema}}))


def told(schema: Any) -> list[str]:
    """What is wrong with the schema of a spec; its path is left out."""
    return [text.replace(f"{SCHEMA}.properties[spec]", "$") for text in on_create(NAME, spec_of(schema))]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"spec": {"scope": "Cluster", "names": {"shortNames": ["sa"], "categories": ["all"]}}},
        versions(version("v1"), version("v1beta1", {"type": "object", "description": "old"}, storage=False, deprecated=True)),
        versions(version(deprecated=True, deprecationWarning="use another")),
        versions(
            version(subresources={"status": {}, "scale": {"specReplicasPath": ".spec.r", "statusReplicasPath": ".status.r"}})
        ),
        versions(version(additionalPrinterColumns=[{"name": "A", "type": "date", "jsonPath": ".spec.a", "format": "date"}])),
        spec_of({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        spec_of({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
        spec_of({"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]}),
        spec_of({"type": "string", "default": "a", "enum": ["a", "b"]}),
        spec_of({"type": "object", "properties": {"a": STRING}, "oneOf": [{"required": ["a"]}, {"properties": {"a": {}}}]}),
        spec_of(
            {
                "type": "object",
                "properties": {"a": STRING},
                "x-kubernetes-validations": [{"rule": "has(self.a)", "fieldPath": ".a"}],
            }
        ),
        spec_of({"type": "array", "items": STRING, "x-kubernetes-list-type": "set"}),
        versions(
            version(
                schema={
                    "type": "object",
                    "properties": {
                        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 10}}},
                        "spec": {"type": "object", "properties": {"a": STRING, "b": {"type": "boolean"}}},
                    },
                },
                selectableFields=[{"jsonPath": f".spec.{name}"} for name in "ab"],
            )
        ),
        {
            "spec": {
                "conversion": {
                    "strategy": "Webhook",
                    "webhook": {
                        "conversionReviewVersions": ["v1"],
                        "clientConfig": {"service": {"name": "a", "namespace": "b"}, "caBundle": "eA=="},
                    },
                }
            }
        },
    ],
)
def test_what_makes_sense_is_taken(change: Object) -> None:
    assert on_create(NAME, change) == []
    assert on_update(NAME, {"metadata": {"labels": {"a": "b"}}}, change) == []


DNS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end "
    "with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"metadata": {"name": "other.example.com"}},
            'metadata.name: Invalid value: "other.example.com": must be spec.names.plural+"."+spec.group',
        ),
        (
            {"metadata": {"name": "samples.local"}, "spec": {"group": "local"}},
            'spec.group: Invalid value: "local": should be a domain with at least one dot',
        ),
        ({"spec": {"scope": "Global"}}, 'spec.scope: Unsupported value: "Global": supported values: "Cluster", "Namespaced"'),
        ({"spec": {"scope": None}}, "spec.scope: Required value"),
        (
            {"spec": {"names": {"kind": "A.B"}}},
            f'spec.names.kind: Invalid value: "A.B": may have mixed case, but should otherwise match: {DNS}',
        ),
        (
            {"spec": {"names": {"listKind": "Sample"}}},
            'spec.names.listKind: Invalid value: "Sample": kind and listKind may not be the same',
        ),
        ({"spec": {"names": {"shortNames": ["A"]}}}, f'spec.names.shortNames[0]: Invalid value: "A": {DNS}'),
        ({"spec": {"names": {"categories": ["A"]}}}, f'spec.names.categories[0]: Invalid value: "A": {DNS}'),
        (
            versions(version(deprecationWarning="x")),
            'spec.versions[0].deprecationWarning: Invalid value: "x": can only be set for deprecated versions',
        ),
        (
            versions(version(deprecated=True, deprecationWarning="a\nb")),
            'spec.versions[0].deprecationWarning: Invalid value: "a\\nb": must only contain printable UTF-8 characters; '
            "non-printable character found at index 1",
        ),
        (
            versions(version(schema={}) | {"schema": {}}),
            "spec.versions[0].schema.openAPIV3Schema: Required value",
        ),
        (
            versions(version(subresources={"scale": {"specReplicasPath": ".r", "statusReplicasPath": ".status.r"}})),
            'spec.subresources.scale.specReplicasPath: Invalid value: ".r": should be a json path under .spec',
        ),
        (
            versions(version(additionalPrinterColumns=[{"name": "A", "type": "text", "jsonPath": ".a"}])),
            'spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string',
        ),
        (
            versions(version(additionalPrinterColumns=[{"name": "A", "type": "string", "jsonPath": "a"}])),
            'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "a": must be a simple json path starting with .',
        ),
        (
            versions(version(selectableFields=[{"jsonPath": ".spec.a"}])),
            'spec.selectableFields[0].jsonPath: Invalid value: ".spec.a": is an invalid path: does not refer to a valid field',
        ),
        (
            {"spec": {"conversion": {"strategy": "Script"}}},
            'spec.conversion.strategy: Unsupported value: "Script": supported values: "None", "Webhook"',
        ),
        (
            {"spec": {"conversion": {"strategy": "Webhook"}}},
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
        ),
        (
            {"spec": {"conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://a"}}}}},
            "spec.conversion.conversionReviewVersions: Required value",
        ),
        (
            {"spec": {"conversion": {"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}}}},
            "spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook",
        ),
        (
            {"spec": {"preserveUnknownFields": True}},
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to "
            "true in spec.versions[*].schema instead",
        ),
    ],
)
def test_each_rule(change: Object, expected: str) -> None:
    assert expected in on_create(NAME, change)


def test_there_is_exactly_one_storage_version() -> None:
    two = versions(version("v1"), version("v2", {"type": "object", "description": "x"}))
    text, stored = on_create(NAME, two)
    assert stored == 'status.storedVersions: Invalid value: ["v1"]: must have the storage version v2'
    assert text.startswith('spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":true,"Deprecated":false')
    assert text.endswith("]: must have exactly one version marked as storage version")
    assert '"Description":"x","Type":"object","Nullable":false' in text, "what they do not have in common is shown"
    none = on_create(NAME, {"spec": {"versions": []}})
    assert "spec.versions: Invalid value: null: must have exactly one version marked as storage version" in none
    assert "status.storedVersions: Invalid value: null: must have at least one stored version" in none
    same = on_create(NAME, versions(version(), version(storage=False)))
    assert [text.rpartition(": ")[2] for text in same] == ["must contain unique version names"]
    assert '"Schema":null' in same[0], "what all have in common stands above them"


def test_errors_name_the_version_unless_all_are_the_same() -> None:
    bad = {"type": "object", "properties": {"spec": {}}}
    expected = "properties[spec].type: Required value: must not be empty for specified object fields"
    both = on_create(NAME, versions(version(schema=bad), version("v2", bad, storage=False)))
    assert both == [f"{SCHEMA}.{expected}"]
    one = on_create(NAME, versions(version(), version("v2", bad, storage=False)))
    assert one == [f"spec.versions[1].schema.openAPIV3Schema.{expected}"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, ["$.type: Required value: must not be empty for specified object fields"]),
        ({"type": "array"}, ["$.items: Required value: must be specified"]),
        (
            {"type": "array", "items": {}},
            ["$.items.type: Required value: must not be empty for specified array items"],
        ),
        (
            {"type": "text"},
            [
                '$.type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", '
                '"string"',
            ],
        ),
        (
            {"type": "object", "anyOf": [{"type": "object", "description": "x", "default": 1}]},
            [
                "$.anyOf[0].default: Forbidden: must be undefined to be structural",
                "$.anyOf[0].description: Forbidden: must be empty to be structural",
                "$.anyOf[0].type: Forbidden: must be empty to be structural",
            ],
        ),
        (
            {"type": "object", "properties": {"a": STRING}, "additionalProperties": STRING},
            ["$.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
        ),
        (
            {"type": "string", "uniqueItems": True},
            ["$.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"],
        ),
        (
            {"type": "string", "pattern": "("},
            [
                '$.pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: '
                "error parsing regexp: missing closing ): `(`"
            ],
        ),
        ({"type": "object", "$ref": "#/x"}, ["$.$ref: Forbidden: $ref is not supported"]),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True},
            [
                "$.properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without "
                "x-kubernetes-preserve-unknown-fields"
            ],
        ),
        (
            {"type": "string", "default": 1},
            [
                '$.default: Invalid value: "integer": $.default in body must be of type string: "integer"'.replace(
                    "$.default in", " in"
                )
            ],
        ),
        (
            {"type": "object", "default": {"b": 1}, "properties": {"a": STRING}},
            ['$.default: Invalid value: {"b":1}: must not have unknown fields'],
        ),
        (
            {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}},
            [
                "$.items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with "
                "x-kubernetes-list-type=set"
            ],
        ),
        (
            {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}},
            ["$.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"],
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["a", "b"],
                "items": {"type": "object", "properties": {"a": STRING}},
            },
            [
                '$.x-kubernetes-list-map-keys: Invalid value: ["a","b"]: entries must all be names of item properties',
                "$.items.properties[a].default: Required value: this property is in x-kubernetes-list-map-keys, so it must "
                "have a default or be a required property",
            ],
        ),
        (
            {"type": "string", "x-kubernetes-map-type": "whole"},
            [
                '$.type: Invalid value: "string": must be object if x-kubernetes-map-type is specified',
                '$.x-kubernetes-map-type: Unsupported value: "whole": supported values: "atomic", "granular"',
            ],
        ),
        (
            {"type": "object", "x-kubernetes-validations": [{"rule": " ", "reason": "No", "fieldPath": ".x"}]},
            [
                "$.x-kubernetes-validations[0].rule: Required value: rule is not specified",
                '$.x-kubernetes-validations[0].reason: Unsupported value: "No": supported values: "FieldValueDuplicate", '
                '"FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"',
                '$.x-kubernetes-validations[0].fieldPath: Invalid value: ".x": must be a valid path',
            ],
        ),
        (
            {"type": "object", "x-kubernetes-validations": [{"rule": "a\nb"}]},
            ["$.x-kubernetes-validations[0].message: Required value: message must be specified if rule contains line breaks"],
        ),
    ],
)
def test_what_a_schema_may_not_say(schema: Any, expected: list[str]) -> None:
    assert told(schema) == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, ["type: Required value: must not be empty at the root"]),
        ({"type": "string"}, ['type: Invalid value: "string": must be object at the root']),
        ({"type": "object", "nullable": True}, ["nullable: Forbidden: nullable cannot be true at the root"]),
        ({"type": "object", "additionalProperties": STRING}, ["additionalProperties: Forbidden: must not be used at the root"]),
        (
            {"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}},
            [
                "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is "
                "implicitly specified"
            ],
        ),
        (
            {"type": "object", "properties": {"kind": {"type": "integer"}}},
            ['properties[kind].type: Invalid value: "integer": must be string'],
        ),
        (
            {"type": "object", "anyOf": [{"properties": {"x": {"minimum": 1}}}]},
            [f"properties[x]: Required value: because it is defined in {SCHEMA}.anyOf[0].properties[x]"],
        ),
    ],
)
def test_what_the_root_may_not_say(schema: Any, expected: list[str]) -> None:
    assert on_create(NAME, versions(version(schema=schema))) == [f"{SCHEMA}.{text}" for text in expected]


def test_with_a_status_of_its_own_the_root_says_little() -> None:
    found = on_create(NAME, versions(version(schema={"type": "object", "maxProperties": 3}, subresources={"status": {}})))
    assert found[0].startswith(f'{SCHEMA}: Invalid value: {{"ID":"","Schema":"","Ref":null,')
    assert "fields are allowed at the root of the schema if the status subresource is enabled" in found[0]


def test_defaults_of_embedded_metadata_make_valid_metadata() -> None:
    def embedded(default: Any) -> list[str]:
        metadata = {"type": "object", "properties": {"name": {"type": "string", "default": default}}}
        return told({"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"metadata": metadata}})

    assert embedded("web") == []
    (text,) = embedded("a/b")
    assert text == (
        '$.properties[metadata].properties[name].default: Invalid value: "a/b": must result in valid metadata: '
        "metadata.name: Invalid value: \"a/b\": may not contain '/'"
    )


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, ["metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have "]),
        (
            {"api-approved.kubernetes.io": "yes"},
            ['metadata.annotations[api-approved.kubernetes.io]: Invalid value: "yes": protected'],
        ),
        ({"api-approved.kubernetes.io": "unapproved, a test"}, []),
        ({"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/1"}, []),
    ],
)
def test_groups_of_kubernetes_are_protected(annotations: Object, expected: list[str]) -> None:
    change = {"metadata": {"name": "samples.x.k8s.io", "annotations": annotations}, "spec": {"group": "x.k8s.io"}}
    found = on_create(NAME, change)
    assert len(found) == len(expected) and all(map(str.startswith, found, expected))
    assert on_update(NAME, {"metadata": {"labels": {"a": "b"}}}, change) == [], "what was let in stays in"


def test_defaults() -> None:
    found = made(NAME)
    assert found["spec"]["names"] == {"plural": "samples", "singular": "sample", "kind": "Sample", "listKind": "SampleList"}
    assert found["spec"]["conversion"] == {"strategy": "None"}
    webhook = {"clientConfig": {"service": {"name": "a", "namespace": "b"}}}
    found = made(NAME, {"spec": {"conversion": {"strategy": "Webhook", "webhook": webhook}}})
    assert found["spec"]["conversion"]["webhook"]["clientConfig"]["service"]["port"] == 443
    assert found["status"]["storedVersions"] == ["v1"]


def test_there_is_always_a_version_in_which_objects_may_be_stored() -> None:
    prepare, definition = resource(NAME).prepare_status_update, made(NAME)
    assert prepare is not None
    for stored, expected in (([], ["v1"]), (["v0"], ["v0"])):
        new = {**definition, "status": {**definition["status"], "storedVersions": stored}}
        assert prepare(new, definition)["status"]["storedVersions"] == expected


def test_what_may_not_change() -> None:
    change = {"spec": {"scope": "Cluster", "names": {"kind": "Other", "plural": "others"}, "group": "other.example"}}
    free = on_update(NAME, change)
    assert [text.partition(":")[0] for text in free][-2:] == ["spec.group", "spec.names.plural"]
    fixed = on_update(NAME, change, ESTABLISHED)
    assert [text.partition(":")[0] for text in fixed][-4:] == [
        "spec.scope",
        "spec.names.kind",
        "spec.group",
        "spec.names.plural",
    ]
    assert fixed[-1] == 'spec.names.plural: Invalid value: "others": field is immutable'


def test_a_version_in_which_objects_may_be_stored_stays() -> None:
    before = versions(version("v1"), version("v2", {"type": "object", "description": "x"}, storage=False))
    moved = versions(version("v1", storage=False), version("v2", {"type": "object", "description": "x"}))
    assert on_update(NAME, moved, before) == []
    old = made(NAME, before)
    new = KIND.prepare_update({**old, **made(NAME, moved), "status": old["status"]}, old) if KIND.prepare_update else {}
    assert new["status"]["storedVersions"] == ["v1", "v2"]
    gone = on_update(NAME, versions(version("v2")), before)
    assert gone == [
        'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously a storage version, and '
        "must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from "
        "status.storedVersions"
    ]


def test_a_conversion_webhooks_certificates_are_looked_at_once_it_is_established() -> None:
    config = {"url": "https://example.com/convert", "caBundle": "eA=="}
    webhook = {"conversion": {"strategy": "Webhook", "webhook": {"clientConfig": config, "conversionReviewVersions": ["v1"]}}}
    assert on_update(NAME, {"spec": webhook}) == []
    (text,) = on_update(NAME, {"spec": webhook}, ESTABLISHED)
    assert text.startswith(
        'spec.conversion.webhookClientConfig.caBundle: Invalid value: "eA==": unable to load root certificates'
    )
    assert on_update(NAME, {"metadata": {"labels": {"a": "b"}}}, {"spec": webhook, **ESTABLISHED}) == []


def test_what_is_in_a_schemas_schema_is_read_as_one() -> None:
    schema = {
        "type": "array",
        "items": {"type": "object", "strange": 1, "properties": {"a": {"type": "array", "items": {"odd": 1}}}},
    }
    assert KIND.decode is not None
    decoded = KIND.decode({"metadata": {}, **spec_of(schema)})
    found = decoded.object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert found == {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "array", "items": {}}}}}
    assert decoded.unknown == []


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"items": ["x"]}, "json: cannot unmarshal string into Go value of type v1.JSONSchemaProps"),
        ({"not": {"items": [[]]}}, "json: cannot unmarshal array into Go value of type v1.JSONSchemaProps"),
        ({"additionalProperties": 1}, "boolean or JSON schema expected"),
        ({"properties": {"a": {"additionalItems": "x"}}}, "boolean or JSON schema expected"),
    ],
)
def test_what_can_be_no_schema_is_not_read_as_one(schema: Object, text: str) -> None:
    assert KIND.decode is not None
    with pytest.raises(DecodeError, match=text):
        KIND.decode({"metadata": {}, **spec_of(schema)})


def test_items_that_are_neither_a_schema_nor_several_are_none() -> None:
    assert KIND.decode is not None
    for items in ("", 1, True):
        decoded = KIND.decode({"metadata": {}, **spec_of({"type": "array", "items": items})})
        assert decoded.object["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] == {"type": "array"}


def test_warnings() -> None:
    odd = made(NAME, spec_of({"type": "string", "format": "odd"}))
    assert list(KIND.warnings(odd, None)) == ['unrecognized format "odd"'] and list(KIND.warnings(odd, odd)) == []
    assert list(KIND.warnings(made(NAME, spec_of({"type": "integer", "format": "int32"})), None)) == []
