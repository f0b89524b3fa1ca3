"""Lists: pages, selectors, revisions, tables and other forms."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from navarch.api.kind import Kind
from navarch.api.registry import resource
from navarch.component.httpserver import Parts
from tests.apiserver.bench import Bench
from tests.apiserver.samples import STORED, name_of, pod, sample

CONFIG_MAPS = resource("configmaps")
FORMS = ("PartialObjectMetadata", "PartialObjectMetadataList")
LONG = {"a": "eHh4" * 50_000}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture(scope="module")
def ten(any_api: Bench) -> Iterator[Bench]:
    """Ten ConfigMaps item-0 … item-9 in namespace ten, and one elsewhere."""
    any_api.namespace("ten")
    for index in range(10):
        labels = {"parity": "odd" if index % 2 else "even", "index": str(index)}
        any_api.made("configmaps", sample(CONFIG_MAPS, f"item-{index}", "ten", labels=labels))
    any_api.made("configmaps", sample(CONFIG_MAPS, "elsewhere"))
    return any_api


def names(reply: object) -> list[str]:
    return [item["metadata"]["name"] for item in reply.json["items"]]  # type: ignore[attr-defined]


def test_pages_make_up_the_whole_list_at_one_revision(ten: Bench) -> None:
    first = ten.list("configmaps", "ten", limit=4)
    assert names(first) == [f"item-{index}" for index in range(4)]
    assert first.json["metadata"]["remainingItemCount"] == 6
    ten.made("configmaps", sample(CONFIG_MAPS, "item-5a", "ten"))
    ten.delete("configmaps", "item-6", namespace="ten")
    found, token = names(first), first.json["metadata"]["continue"]
    while token:
        page = ten.list("configmaps", "ten", limit=4, **{"continue": token})
        assert page.json["metadata"]["resourceVersion"] == first.json["metadata"]["resourceVersion"]
        found += names(page)
        token = page.json["metadata"].get("continue", "")
    assert found == [f"item-{index}" for index in range(10)]
    ten.delete("configmaps", "item-5a", namespace="ten")
    ten.made("configmaps", sample(CONFIG_MAPS, "item-6", "ten", labels={"parity": "even", "index": "6"}))


def test_an_exact_page_has_no_continuation(ten: Bench) -> None:
    whole = ten.list("configmaps", "ten", limit=10).json["metadata"]
    assert "continue" not in whole and "remainingItemCount" not in whole


@pytest.mark.parametrize("limit", [0, -1, -(2**63)])
def test_no_limit_and_a_negative_one_are_the_same(ten: Bench, limit: int) -> None:
    assert len(names(ten.list("configmaps", "ten", limit=limit))) == 10


def test_pages_with_a_selector_do_not_tell_how_many_remain(ten: Bench) -> None:
    page = ten.list("configmaps", "ten", limit=2, labelSelector="parity=even")
    assert names(page) == ["item-0", "item-2"] and "remainingItemCount" not in page.json["metadata"]
    rest = ten.list("configmaps", "ten", labelSelector="parity=even", **{"continue": page.json["metadata"]["continue"]})
    assert names(rest) == ["item-4", "item-6", "item-8"]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("parity=odd", [1, 3, 5, 7, 9]),
        ("parity==odd,index!=3", [1, 5, 7, 9]),
        ("index in (2, 4),parity", [2, 4]),
        ("index notin (0,1,2,3,4,5,6,7)", [8, 9]),
        ("!parity", []),
        ("index>7", [8, 9]),
        ("index<2", [0, 1]),
        ("", list(range(10))),
    ],
)
def test_label_selectors_choose(ten: Bench, selector: str, expected: list[int]) -> None:
    listed = [name for name in names(ten.list("configmaps", "ten", labelSelector=selector)) if name != "kube-root-ca.crt"]
    assert listed == [f"item-{index}" for index in expected]


@pytest.mark.parametrize("selector", ["a=b=c", "in (a)", "a in", "a in (b", "a,,b", "-x=1", "a=!", "k in (a b)", "a>x"])
def test_malformed_label_selectors_are_refused(ten: Bench, selector: str) -> None:
    reply = ten.list("configmaps", "ten", labelSelector=selector)
    assert (reply.status, reply.reason) == (400, "BadRequest")
    assert "expected: " in reply.message or reply.message.startswith("unable to parse requirement: ")


def test_field_selectors_choose_and_unknown_ones_are_refused(ten: Bench) -> None:
    assert names(ten.list("configmaps", fieldSelector="metadata.name=item-3")) == ["item-3"]
    assert names(ten.list("configmaps", fieldSelector="metadata.namespace=ten,metadata.name!=item-3,metadata.name=item-4")) == [
        "item-4"
    ]
    plain = '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"'
    for resource_, message in (
        ("configmaps", plain),
        ("storageclasses.storage.k8s.io", plain),
        ("pods", "field label not supported: data.a"),
        ("jobs.batch", 'field label "data.a" not supported for batchv1.Job'),
        ("resourceslices.resource.k8s.io", "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: data.a"),
    ):
        reply = ten.list(resource_, fieldSelector="metadata.name=x,data.a=1")
        assert (reply.status, reply.message) == (400, message)
    # Nothing that belongs to no namespace is in one, but that may be asked.
    assert names(ten.list("storageclasses.storage.k8s.io", fieldSelector="metadata.namespace=ten")) == []


def test_pods_are_selected_by_node_and_phase(ten: Bench) -> None:
    ten.made("pods", pod("placed", nodeName="node-7"))
    ten.made("pods", pod("unplaced"))
    assert names(ten.list("pods", fieldSelector="spec.nodeName=node-7,status.phase=Pending")) == ["placed"]
    assert names(ten.list("pods", fieldSelector="spec.nodeName=")) == ["unplaced"]
    assert names(ten.list("pods", fieldSelector="spec.hostNetwork=true")) == []
    ten.made("pods", pod("of-the-host", hostNetwork=True))
    assert names(ten.list("pods", fieldSelector="spec.hostNetwork=true")) == ["of-the-host"]
    assert "placed" in names(ten.list("pods", fieldSelector="spec.hostNetwork=false"))


def test_fields_that_are_no_strings_are_selected_too(ten: Bench) -> None:
    for name, spec in (("open", {}), ("cordoned", {"unschedulable": True})):
        ten.made("nodes", {**sample(resource("nodes"), name), "spec": spec})
    assert names(ten.list("nodes", fieldSelector="spec.unschedulable=true")) == ["cordoned"]
    assert names(ten.list("nodes", fieldSelector="spec.unschedulable=false,metadata.name=open")) == ["open"]
    assert names(ten.list("nodes", fieldSelector="spec.unschedulable!=true,metadata.name=open")) == ["open"]
    ten.made("replicationcontrollers", sample(resource("replicationcontrollers"), "counted"))
    assert names(ten.list("replicationcontrollers", fieldSelector="status.replicas=0,metadata.name=counted")) == ["counted"]


def test_lists_at_past_revisions_show_the_past(ten: Bench) -> None:
    now = ten.list("configmaps", "ten").json
    ten.patch("configmaps", "item-0", {"data": {"a": "later"}}, "ten")
    version = now["metadata"]["resourceVersion"]
    past = ten.list("configmaps", "ten", resourceVersion=version, resourceVersionMatch="Exact").json
    assert past["items"] == now["items"] and past["metadata"]["resourceVersion"] == version
    newer = ten.list("configmaps", "ten", resourceVersion=version, resourceVersionMatch="NotOlderThan").json
    assert newer["items"][0]["data"]["a"] == "later"
    assert ten.list("configmaps", "ten", resourceVersion="0").json["items"] == newer["items"]


def test_a_page_of_a_named_revision_is_as_of_that_revision(ten: Bench) -> None:
    before = ten.list("configmaps", "ten").json
    version = before["metadata"]["resourceVersion"]
    ten.patch("configmaps", "item-0", {"data": {"a": "after"}}, "ten")
    first = ten.list("configmaps", "ten", resourceVersion=version, limit="6").json
    token = first["metadata"]["continue"]
    second = ten.list("configmaps", "ten", limit="6", **{"continue": token}).json
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"] == version
    assert first["items"] + second["items"] == before["items"]
    for query in ({"limit": "0"}, {"limit": "6", "resourceVersionMatch": "NotOlderThan"}):
        assert ten.list("configmaps", "ten", resourceVersion=version, **query).json["items"][0]["data"]["a"] == "after"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"resourceVersion": "x"}, 422),
        ({"resourceVersion": "-1"}, 422),
        ({"resourceVersion": "999999999"}, 504),
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 422),
        ({"resourceVersionMatch": "Sometimes", "resourceVersion": "1"}, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "1", "continue": "x"}, 422),
        ({"resourceVersion": "1", "continue": "x"}, 400),
        ({"sendInitialEvents": "true"}, 422),
        ({"resourceVersion": "999999999"}, 504),
        ({"limit": "x"}, 400),
        ({"limit": "1_0"}, 400),
        ({"limit": ""}, 400),
        ({"timeoutSeconds": "1.5"}, 400),
        ({"sendInitialEvents": ""}, 422),
        ({"limit": "99999999999999999999"}, 400),
        ({"continue": "no-token"}, 400),
        ({"continue": base64.urlsafe_b64encode(b"[]").decode()}, 400),
        ({"continue": base64.urlsafe_b64encode(b'{"v":"meta.k8s.io/v1","rv":true,"start":"a"}').decode()}, 400),
    ],
)
def test_list_options_that_make_no_sense_are_refused(ten: Bench, query: dict[str, str], status: int) -> None:
    reply = ten.list("configmaps", "ten", **query)
    assert reply.status == status, reply.body
    assert reply.json["kind"] == "Status" and reply.json["code"] == status


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ({"v": "meta.k8s.io/v2", "rv": 1, "start": "a"}, "server does not recognize this encoded version meta.k8s.io/v2"),
        ({}, "server does not recognize this encoded version "),
        ({"v": "meta.k8s.io/v1", "start": "a"}, "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        ({"v": "meta.k8s.io/v1", "rv": -1}, "encoded start key empty (version meta.k8s.io/v1)"),
        ({"v": "meta.k8s.io/v1", "rv": 1, "start": "../secrets/"}, "../secrets/"),
        ({"v": "meta.k8s.io/v1", "rv": 1, "start": "/registry/../secrets"}, "/registry/../secrets"),
        ({"v": "meta.k8s.io/v1", "rv": 1, "start": "a//b"}, "a//b"),
        ([], "encoded continue token is not valid"),
        ({"v": 1, "rv": 1, "start": "a"}, "encoded continue token is not valid"),
    ],
)
def test_continue_tokens_that_are_none_are_told_why(ten: Bench, token: Any, text: str) -> None:
    reply = ten.list("configmaps", "ten", **{"continue": base64.urlsafe_b64encode(orjson.dumps(token)).decode()})
    assert (reply.status, reply.message) == (400, f"invalid continue token: continue key is not valid: {text}")


def test_a_continue_token_cannot_leave_its_namespace(ten: Bench) -> None:
    for start in ("/registry/secrets", "secrets", "/registry/configmaps", "item-3"):
        token = {"v": "meta.k8s.io/v1", "rv": ten.store.revision, "start": start}
        reply = ten.list("configmaps", "ten", **{"continue": base64.urlsafe_b64encode(orjson.dumps(token)).decode()})
        assert all(item["metadata"]["namespace"] == "ten" for item in reply.json["items"])


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.resource)
def test_every_kind_prints_as_a_table_and_as_metadata(any_api: Bench, kind: Kind) -> None:
    name = name_of(kind, f"printed-{kind.resource.replace('.', '-')}")
    made = any_api.made(kind.resource, sample(kind, name))
    for reply in (
        any_api.list(kind.resource, headers={"accept": TABLE}, fieldSelector=f"metadata.name={name}"),
        any_api.get(kind.resource, name, headers={"accept": f"{TABLE},application/json"}),
    ):
        table = reply.json
        assert (table["kind"], table["apiVersion"], len(table["rows"])) == ("Table", "meta.k8s.io/v1", 1)
        columns, row = table["columnDefinitions"], table["rows"][0]
        assert len(columns) == len(row["cells"])
        assert row["object"]["kind"] == "PartialObjectMetadata" and row["object"]["metadata"] == made["metadata"]
        assert name in row["cells"]
        for column in columns:
            assert column.keys() == {"name", "type", "format", "description", "priority"}
    partial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    listed = any_api.list(kind.resource, headers={"accept": partial}, fieldSelector=f"metadata.name={name}").json
    assert listed["kind"] == "PartialObjectMetadataList"
    assert [item.keys() for item in listed["items"]] == [{"kind", "apiVersion", "metadata"}]
    whole = any_api.list(
        kind.resource, headers={"accept": TABLE}, includeObject="Object", fieldSelector=f"metadata.name={name}"
    )
    assert whole.json["rows"][0]["object"] == made
    none = any_api.list(kind.resource, headers={"accept": TABLE}, includeObject="None", fieldSelector=f"metadata.name={name}")
    assert "object" not in none.json["rows"][0]


def test_forms_that_do_not_fit_are_refused(ten: Bench) -> None:
    one, many = ({"accept": f"application/json;as={form};v=v1;g=meta.k8s.io"} for form in FORMS)
    reply = ten.list("configmaps", "ten", headers=one)
    assert (reply.status, reply.reason) == (406, "NotAcceptable")
    text = "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"
    assert reply.message == text
    reply = ten.get("configmaps", "item-3", "ten", headers=many)
    text = "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"
    assert (reply.status, reply.message) == (406, text)
    for reply in (
        ten.list("configmaps", "ten", headers={"accept": TABLE}, includeObject="All"),
        ten.call("GET", "/api/v1/namespaces/ten/configmaps", watch="1", headers={"accept": TABLE}, includeObject="All"),
    ):
        refused = "includeObject: Invalid value: \"All\": must be 'Metadata', 'Object', 'None', or empty"
        assert (reply.status, reply.message) == (400, f"Unable to convert to Table as requested: {refused}")


def test_the_table_of_one_object_is_as_old_as_the_object(ten: Bench) -> None:
    made = ten.get("configmaps", "item-3", "ten").json
    table = ten.get("configmaps", "item-3", "ten", headers={"accept": TABLE}).json
    assert table["metadata"] == {"resourceVersion": made["metadata"]["resourceVersion"]}


@pytest.mark.parametrize(("resource_", "created"), [("configmaps", "Age"), ("roles.rbac.authorization.k8s.io", "Created At")])
def test_columns_of_metadata_are_described_as_its_fields_are(ten: Bench, resource_: str, created: str) -> None:
    columns = ten.list(resource_, "ten", headers={"accept": TABLE}).json["columnDefinitions"]
    texts = {column["name"]: column["description"] for column in columns}
    assert texts["Name"].endswith("/overview/working-with-objects/names#names")
    assert texts[created].startswith("CreationTimestamp is a timestamp representing the server time")


def test_answers_come_as_yaml_where_asked(ten: Bench) -> None:
    import yaml

    reply = ten.get("configmaps", "item-3", "ten", headers={"accept": "application/yaml"})
    assert reply.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(reply.body)["metadata"]["name"] == "item-3"


def test_unacceptable_forms_are_refused(ten: Bench) -> None:
    for accept in ("text/html", "application/json;as=Cake;v=v1;g=meta.k8s.io", "application/json;q=0"):
        reply = ten.get("configmaps", "item-3", "ten", headers={"accept": accept})
        assert (reply.status, reply.reason) == (406, "NotAcceptable")
        types = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
        assert reply.message == f"only the following media types are accepted: {types}"


@pytest.mark.parametrize("accept", ["application/json", "application/vnd.kubernetes.protobuf"])
def test_long_lists_are_put_together_only_as_they_are_sent(ten: Bench, accept: str) -> None:
    for index in range(3):
        ten.call("POST", "/api/v1/namespaces/ten/secrets", sample(resource("secrets"), f"long-{index}", "ten") | {"data": LONG})
    answer = ten.request("GET", "/api/v1/namespaces/ten/secrets", headers={"accept": accept})
    assert isinstance(answer.body, Parts)
    whole = ten.list("secrets", "ten", headers={"accept": accept}).body
    assert len(answer.body) == len(whole) > 2 * len(LONG["a"])
    ten.call("DELETE", "/api/v1/namespaces/ten/secrets")


def test_long_lists_are_compressed_where_asked(ten: Bench) -> None:
    ten.made("configmaps", {**sample(CONFIG_MAPS, "long"), "data": {"a": "x" * 200_000}})
    reply = ten.list("configmaps", headers={"accept-encoding": "gzip"})
    assert reply.headers["content-encoding"] == "gzip"
    assert orjson.loads(gzip.decompress(reply.body))["kind"] == "ConfigMapList"
    assert "content-encoding" not in ten.list("configmaps").headers
