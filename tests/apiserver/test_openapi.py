"""OpenAPI: what the documents say is what kube-apiserver's say, and both forms of v2 say the same.

What Kubernetes 1.36 describes is read from the client library that is generated from its OpenAPI (kubernetes_asyncio), which
has everything but the deprecated watch paths.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_asyncio
import orjson
import pytest

from navarch.api import enums, registry, schemas
from navarch.api.kind import Kind
from navarch.apiserver.openapi import operations, protobuf
from navarch.apiserver.openapi.documents import OpenAPI
from navarch.apiserver.openapi.operations import Operation
from navarch.apiserver.request import APIRequest, User
from navarch.apiserver.requestinfo import RequestInfo, parse
from tests.apiserver.bench import Bench

KINDS = registry.kinds()
ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
Message = dict[int, list[Any]]
Key = tuple[str, str]

# The generator had an alpha feature switched on.
CBOR = {"application/cbor", "application/cbor-seq", "application/apply-patch+cbor"}
TYPE_PREFIX = re.compile(r"^(V\d[a-z\d]*|CoreV1|EventsV1|AuthenticationV1|ResourceV1|Version)(?=[A-Z])")


@dataclass(frozen=True)
class Described:
    """One operation as the generated client has it."""

    group_version: str
    name: str
    description: str
    query: tuple[str, ...]
    path: tuple[str, ...]
    body: bool
    body_required: bool
    consumes: tuple[str, ...]
    produces: tuple[str, ...]
    responses: dict[int, str]
    types: dict[str, str]


def _quoted(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text, re.DOTALL)
    return tuple(re.findall(r"'([^']+)'", found[1])) if found else ()


def _described(module: str, name: str, text: str) -> tuple[Key, Described] | None:
    call = re.search(r"call_api\(\s*'([^']+)', '(\w+)'", text)
    documented = re.search(r'"""\w+  # noqa: E501\n\n        (.*?)  # noqa: E501\n', text)
    if call is None or documented is None:
        return None
    responses = re.search(r"response_types_map = \{(.*?)\}", text, re.DOTALL)
    assert responses is not None
    return (call[2].lower(), call[1]), Described(
        group_version=module.removesuffix("_api"),
        name=name,
        description=documented[1],
        query=tuple(re.findall(r"query_params\.append\(\('(\w+)'", text)),
        path=tuple(re.findall(r"path_params\['(\w+)'\]", text)),
        body="body_params = local_var_params['body']" in text,
        body_required="Missing the required parameter `body`" in text,
        consumes=_quoted(r"select_header_content_type\(\s*\[(.*?)\]", text),
        produces=_quoted(r"select_header_accept\(\s*\[(.*?)\]", text),
        responses={int(code): type_ for code, type_ in re.findall(r'(\d+): "(\w+)"', responses[1])},
        types=dict(re.findall(r":type (\w+): (\w+)", text)),
    )


@cache
def upstream() -> dict[Key, Described]:
    """Every operation of Kubernetes but those of custom objects, by method and path."""
    found = {}
    for file in sorted((Path(kubernetes_asyncio.__file__).parent / "client" / "api").glob("*_api.py")):
        if file.stem in ("custom_objects_api", "logs_api"):
            continue
        for match in re.finditer(r"    def (\w+)_with_http_info\(.*?(?=\n    def |\Z)", file.read_text(), re.DOTALL):
            described = _described(file.stem, match[1], match[0])
            assert described is not None, match[1]
            found[described[0]] = described[1]
    return found


@cache
def ours() -> dict[Key, Operation]:
    found: dict[Key, Operation] = {}
    for items in operations.documents(KINDS).values():
        for item in items:
            for operation in item.operations:
                key = (operation.method, operation.path)
                assert key not in found
                found[key] = operation
    return found


def collection(path: str) -> Key:
    """(group version, plural) of a path, or ("", path) for what is no kind's."""
    found = re.match(r"(/api/v1|/apis/[^/]+/[^/]+)(?:/watch)?(?:/namespaces/\{namespace\})?/(\w+)", path)
    return (found[1], found[2]) if found else ("", path)


def is_served(path: str) -> bool:
    root, plural = collection(path)
    parts = path.strip("/").split("/")
    if root:
        return any((kind.api_path, kind.plural) == (root, plural) for kind in KINDS)
    if parts[0] != "apis" or len(parts) == 1:
        return True
    return any(kind.group == parts[1] and (len(parts) == 2 or kind.version == parts[2]) for kind in KINDS)


def snake(name: str) -> str:
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z\d])([A-Z])", r"\1_\2", name).lower()


SERVED = {key: described for key, described in upstream().items() if is_served(key[1])}
# What other kinds and subresources there are is for their own modules to say.
UNSERVED_SUBRESOURCES = ("/pods/{name}/ephemeralcontainers", "/pods/{name}/resize")


def is_missing(key: Key) -> bool:
    return key[1].endswith(UNSERVED_SUBRESOURCES)


def test_paths_and_methods_are_those_of_kubernetes() -> None:
    assert len(upstream()) > 900, "the client library was read"
    described = {key for key in ours() if "/watch/" not in key[1]}
    assert described <= SERVED.keys()
    assert {key for key in SERVED.keys() - described if not is_missing(key)} == set()


@pytest.mark.parametrize("place", sorted({collection(path) for _, path in SERVED}), ids="/".join)
def test_operations_are_described_as_kubernetes_describes_them(place: Key) -> None:
    for key in SERVED.keys() & ours().keys():
        if collection(key[1]) == place:
            compare(SERVED[key], ours()[key])


def compare(theirs: Described, operation: Operation) -> None:
    # Its module is the tag, and the generator takes the tag out of the identifier.
    assert snake(operation.tag) == theirs.group_version
    tagged = "".join(part[:1].upper() + part[1:] for part in operation.tag.split("_"))
    assert snake(operation.id.replace(tagged, "", 1)) == theirs.name
    assert operation.description == theirs.description, operation.id
    query = {parameter.name: parameter for parameter in operation.parameters if parameter.where == "query"}
    assert sorted(query) == sorted(theirs.query), operation.id
    assert {p.name for p in operation.parameters if p.where == "path"} == set(theirs.path), operation.id
    named = {name.replace("_", "").lower(): type_ for name, type_ in theirs.types.items()}
    for name in query.keys() - {"path"}:
        assert {"string": "str", "boolean": "bool", "integer": "int"}[query[name].type] == named[name.lower()], name
    required = operation.body_required if operation.body else False
    assert (bool(operation.body), required) == (theirs.body, theirs.body_required), operation.id
    types = {code: "str" if name == "string" else name.rpartition(".")[2] for code, name in operation.responses}
    assert types == {code: TYPE_PREFIX.sub("", type_) for code, type_ in theirs.responses.items()}, operation.id
    assert operation.produces == tuple(form for form in theirs.produces if form not in CBOR), operation.id
    if theirs.consumes:
        assert operation.consumes == tuple(form for form in theirs.consumes if form not in CBOR), operation.id


def test_every_watchable_kind_has_its_deprecated_watch_paths() -> None:
    expected = {}
    for operation in ours().values():
        if operation.action == "list" and "list or watch" in operation.description:
            root, _ = collection(operation.path)
            path = f"{root}/watch{operation.path.removeprefix(root)}"
            everywhere = operation.id.endswith("ForAllNamespaces")
            named = operation.id.replace("list", "watch", 1).removesuffix("ForAllNamespaces")
            expected[path] = (f"{named}List{'ForAllNamespaces' if everywhere else ''}", "watchlist")
            if not everywhere:
                expected[f"{path}/{{name}}"] = (named, "watch")
    watches = {path: (operation.id, operation.action) for (_, path), operation in ours().items() if "/watch/" in path}
    assert watches == expected
    assert watches["/api/v1/watch/namespaces/{namespace}/pods"] == ("watchCoreV1NamespacedPodList", "watchlist")
    assert watches["/api/v1/watch/pods"] == ("watchCoreV1PodListForAllNamespaces", "watchlist")


def test_identifiers_are_unique() -> None:
    names = [operation.id for operation in ours().values()]
    assert len(names) == len(set(names))


def test_what_is_described_is_what_a_request_means() -> None:
    verbs = {"list": "list", "post": "create", "put": "update", "watchlist": "watch"}
    for operation in ours().values():
        if operation.action:
            info = parse(operation.method.upper(), re.sub(r"\{(\w+)\}", r"\1", operation.path), {})
            _, plural = collection(operation.path)
            assert (info.is_resource, info.resource) == (True, plural), operation.id
            assert info.name == ("name" if "{name}" in operation.path else ""), operation.id
            if operation.action != "connect":
                assert info.verb == verbs.get(operation.action, operation.action), operation.id


# Documents


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(references(item) for item in value))
    return set()


def documents_v3(api: Bench) -> Iterator[tuple[str, Any]]:
    for root, where in api.call("GET", "/openapi/v3").json["paths"].items():
        url, _, digest = where["serverRelativeURL"].partition("?hash=")
        reply = api.call("GET", url, hash=digest)
        assert "immutable" in reply.headers["cache-control"] and reply.headers["etag"] == f'"{digest}"'
        yield root, reply.json


def test_v3_has_a_document_for_every_group_version_and_every_path(api: Bench) -> None:
    found = dict(documents_v3(api))
    assert {"api", "apis", "version", "openid/v1", ".well-known"} <= found.keys()
    assert found.keys() >= {kind.api_path.lstrip("/") for kind in KINDS} | {
        f"apis/{kind.group}" for kind in KINDS if kind.group
    }
    described = {}
    for root, document in found.items():
        assert document["openapi"] == "3.0.0" and document["info"]["title"] == "Kubernetes"
        assert document["components"]["securitySchemes"]["BearerToken"]["type"] == "apiKey"
        schemas = document["components"]["schemas"]
        assert references(document) == {f"#/components/schemas/{name}" for name in schemas}, "what is needed, no more"
        for path, item in document["paths"].items():
            described |= {(method, path): root for method in item if method != "parameters"}
    assert described.keys() == ours().keys()
    assert described["get", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"] == "apis/apps/v1"


def test_v3_says_of_each_operation_what_is_sent_and_what_is_answered(api: Bench) -> None:
    apps = api.call("GET", "/openapi/v3/apis/apps/v1").json
    item = apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    assert [(p["name"], p["in"]) for p in item["parameters"]] == [("name", "path"), ("namespace", "path"), ("pretty", "query")]
    patch = item["patch"]
    assert {"dryRun", "fieldManager", "fieldValidation", "force"} == {parameter["name"] for parameter in patch["parameters"]}
    assert patch["requestBody"]["required"] and "application/apply-patch+yaml" in patch["requestBody"]["content"]
    assert (patch["operationId"], patch["tags"]) == ("patchAppsV1NamespacedDeployment", ["apps_v1"])
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert set(patch["responses"]) == {"200", "201", "401", "default"}
    failure = patch["responses"]["default"]["content"]["application/json"]["schema"]
    assert failure == {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Status"}
    scale = apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["put"]
    assert scale["x-kubernetes-group-version-kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    deleted = item["delete"]
    assert "required" not in deleted["requestBody"] and set(deleted["responses"]) == {"200", "202", "401", "default"}


def test_v3_marks_shared_types_as_belonging_to_its_own_group(api: Bench) -> None:
    schemas = api.call("GET", "/openapi/v3/apis/apps/v1").json["components"]["schemas"]
    for name in ("DeleteOptions", "WatchEvent"):
        assert schemas[f"io.k8s.apimachinery.pkg.apis.meta.v1.{name}"]["x-kubernetes-group-version-kind"] == [
            {"group": "", "kind": name, "version": "v1"},
            {"group": "apps", "kind": name, "version": "v1"},
        ]
    assert schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["oneOf"] == [{"type": "integer"}, {"type": "string"}]
    spec = schemas["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"]
    assert spec["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}] and spec["description"]


def test_fields_that_take_few_words_say_which(api: Bench) -> None:
    v3 = api.call("GET", "/openapi/v3/api/v1").json["components"]["schemas"]
    v2 = api.call("GET", "/openapi/v2", headers={"accept": "application/json"}).json["definitions"]
    for definitions in (v3, v2):
        pod = definitions["io.k8s.api.core.v1.PodSpec"]["properties"]
        assert pod["restartPolicy"]["enum"] == ["Always", "Never", "OnFailure"]
        assert "Restart policy" in pod["restartPolicy"]["description"]
        modes = definitions["io.k8s.api.core.v1.PersistentVolumeClaimSpec"]["properties"]["accessModes"]
        assert modes["items"]["enum"] == ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]
        assert "enum" not in modes


@pytest.mark.parametrize("definition", enums.by_definition())
def test_words_are_of_fields_that_there_are(definition: str) -> None:
    properties = schemas.definitions().sources[definition]["properties"]
    for field, words in enums.by_definition()[definition].items():
        schema = properties[field.removesuffix("[]")]
        assert (schema["items"] if field.endswith("[]") else schema)["type"] == "string"
        assert list(words) == sorted(set(words))


def test_v3_says_which_protocol_the_key_of_a_port_has_by_default(api: Bench) -> None:
    v3 = api.call("GET", "/openapi/v3/api/v1").json["components"]["schemas"]
    v2 = api.call("GET", "/openapi/v2", headers={"accept": "application/json"}).json["definitions"]
    for definition in ("io.k8s.api.core.v1.ContainerPort", "io.k8s.api.core.v1.ServicePort"):
        assert v3[definition]["properties"]["protocol"]["default"] == "TCP"
        assert "default" not in v2[definition]["properties"]["protocol"]


def test_v2_is_whole_and_says_that_fields_are_validated(api: Bench) -> None:
    document = api.call("GET", "/openapi/v2").json
    assert document["swagger"] == "2.0"
    assert references(document) == {
        *(f"#/definitions/{name}" for name in document["definitions"]),
        *(f"#/parameters/{name}" for name in document["parameters"]),
    }
    methods = ((path, method) for path, item in document["paths"].items() for method in item if method != "parameters")
    assert {(method, path) for path, method in methods} == ours().keys()
    path = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    written = {parameter.get("name") for parameter in path["patch"]["parameters"]}
    assert {"fieldValidation", "dryRun"} <= written, "where older kubectls look for them"
    assert path["put"]["consumes"] == ["*/*"] and path["get"]["schemes"] == ["https"]
    pod = document["definitions"]["io.k8s.api.core.v1.PodSpec"]
    assert "containers" in pod["properties"] and pod["description"]
    assert pod["properties"]["containers"]["x-kubernetes-patch-merge-key"] == "name"


def test_documents_change_their_hash_with_the_kinds_and_only_then() -> None:
    def index(kinds: tuple[Kind, ...]) -> dict[str, Any]:
        response = OpenAPI(kinds).answer(APIRequest(RequestInfo("/openapi/v3", "get"), "GET", {}, User("alice")))
        assert response is not None and isinstance(response.body, bytes)
        found: dict[str, Any] = orjson.loads(response.body)["paths"]
        return found

    whole = index(KINDS)
    assert index(KINDS) == whole
    fewer = index(tuple(kind for kind in KINDS if kind.resource != "daemonsets.apps"))
    assert {root for root in whole if whole[root] != fewer.get(root)} == {"apis/apps/v1"}


def test_documents_are_cached_by_their_hash(api: Bench) -> None:
    url, _, digest = api.call("GET", "/openapi/v3").json["paths"]["apis/policy/v1"]["serverRelativeURL"].partition("?hash=")
    plain = api.call("GET", url)
    assert plain.headers["cache-control"] == "no-cache, private"
    moved = api.call("GET", url, hash="0123")
    assert (moved.status, moved.headers["location"]) == (301, f"{url}?hash={digest}")
    assert api.call("GET", url, headers={"if-none-match": f'"{digest}"'}).status == 304
    large = api.call("GET", "/openapi/v2", headers={"accept-encoding": "gzip"})
    assert large.headers["content-encoding"] == "gzip" and "Accept-Encoding" in large.headers["vary"]
    assert gzip.decompress(large.body) == api.call("GET", "/openapi/v2").body
    for path in ("/openapi/v2", "/openapi/v3", url):
        assert api.call("GET", path, headers={"accept": "text/html"}).status == 406
        assert api.call("POST", path, {}).status == 405
    assert api.call("GET", "/openapi/v3/apis/none.example/v1").status == 404


# The protobuf form of v2


def read(data: bytes) -> Message:
    """The fields of a message: numbers, or the bytes of strings and messages."""
    position, found = 0, {}  # type: int, Message

    def varint() -> int:
        nonlocal position
        result = shift = 0
        while True:
            byte = data[position]
            position += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    while position < len(data):
        key = varint()
        value: Any = varint()
        if key & 7 == 2:
            value, position = data[position : position + value], position + value
        found.setdefault(key >> 3, []).append(value)
    return found


def pairs(data: bytes) -> dict[str, bytes]:
    return {entry[1][0].decode(): entry[2][0] for entry in map(read, read(data).get(1, ()))}


def schema(data: bytes) -> dict[str, Any]:
    """An openapi.v2.Schema in its JSON form."""
    message = read(data)
    found: dict[str, Any] = {}
    for number, name in ((1, "$ref"), (2, "format"), (4, "description")):
        if number in message:
            found[name] = message[number][0].decode()
    if 19 in message:
        found["required"] = [name.decode() for name in message[19]]
    if 20 in message:
        found["enum"] = [orjson.loads(read(value)[2][0]) for value in message[20]]
    if 21 in message:
        found["additionalProperties"] = schema(read(message[21][0])[1][0])
    if 22 in message:
        found["type"] = read(message[22][0])[1][0].decode()
    if 23 in message:
        found["items"] = schema(read(message[23][0])[1][0])
    if 25 in message:
        found["properties"] = {name: schema(below) for name, below in pairs(message[25][0]).items()}
    for extension in map(read, message.get(31, ())):
        found[extension[1][0].decode()] = orjson.loads(read(extension[2][0])[2][0])
    return found


def parameter(data: bytes) -> dict[str, Any]:
    """An openapi.v2.Parameter in its JSON form, its schema left out."""
    message = read(data)
    if 1 in message:
        fields = read(message[1][0])
        return {"name": fields[2][0].decode(), "in": fields[3][0].decode(), "required": bool(fields.get(4, [0])[0])}
    ((where, (content,)),) = read(message[2][0]).items()
    fields = read(content)
    return {
        "name": fields[4][0].decode(),
        "in": fields[2][0].decode(),
        "required": bool(fields.get(1, [0])[0]),
        "description": fields[3][0].decode(),
        "type": fields[6 if where == 3 else 5][0].decode(),
        "uniqueItems": bool(fields[20 if where == 3 else 19][0]),
    }


def plain_parameter(value: dict[str, Any]) -> dict[str, Any]:
    return {"required": False, **{key: item for key, item in value.items() if key != "schema"}}


def operation_parameters(message: Message, number: int) -> list[Any]:
    found = []
    for item in map(read, message.get(number, ())):
        found.append({"$ref": read(item[2][0])[1][0].decode()} if 2 in item else parameter(item[1][0]))
    return found


@pytest.fixture(scope="module")
def both_forms(api: Bench) -> tuple[dict[str, Any], Message]:
    reply = api.call("GET", "/openapi/v2", headers={"accept": ASKED})
    assert reply.status == 200 and reply.headers["content-type"] == protobuf.MEDIA_TYPE
    return api.call("GET", "/openapi/v2", headers={"accept": "application/json"}).json, read(reply.body)


def test_definitions_are_the_same_in_both_forms(both_forms: tuple[dict[str, Any], Message]) -> None:
    plain, message = both_forms
    found = {name: schema(data) for name, data in pairs(message[9][0]).items()}
    assert found == plain["definitions"]


def test_the_heads_are_the_same_in_both_forms(both_forms: tuple[dict[str, Any], Message]) -> None:
    plain, message = both_forms
    assert message[1] == [b"2.0"]
    assert {name: parameter(data) for name, data in pairs(message[10][0]).items()} == {
        name: plain_parameter(value) for name, value in plain["parameters"].items()
    }
    ((name, strings),) = pairs(message[12][0]).items()
    assert [{name: read(strings).get(1, [])}] == plain["security"]
    ((name, item),) = pairs(message[13][0]).items()
    key = read(read(item)[2][0])
    found = {"type": key[1], "name": key[2], "in": key[3], "description": key[4]}
    assert {name: {field: value[0].decode() for field, value in found.items()}} == plain["securityDefinitions"]


def test_paths_are_the_same_in_both_forms(both_forms: tuple[dict[str, Any], Message]) -> None:
    plain, message = both_forms
    items = {entry[1][0].decode(): read(entry[2][0]) for entry in map(read, read(message[8][0])[2])}
    assert items.keys() == plain["paths"].keys()
    numbers = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}
    for path, item in plain["paths"].items():
        assert operation_parameters(items[path], 9) == [
            value if "$ref" in value else plain_parameter(value) for value in item.get("parameters", ())
        ]
        for method, number in numbers.items():
            assert (method in item) == (number in items[path]), path
            if method in item:
                assert operation(read(items[path][number][0])) == {
                    **item[method],
                    "parameters": [
                        value if "$ref" in value else plain_parameter(value) for value in item[method].get("parameters", ())
                    ],
                    "consumes": item[method].get("consumes", []),
                }


def operation(message: Message) -> dict[str, Any]:
    """An openapi.v2.Operation in its JSON form."""
    found: dict[str, Any] = {"description": message[3][0].decode(), "operationId": message[5][0].decode()}
    for number, name in ((1, "tags"), (6, "produces"), (7, "consumes"), (10, "schemes")):
        found[name] = [text.decode() for text in message.get(number, ())]
    found["parameters"] = operation_parameters(message, 8)
    found["responses"] = {}
    for code, value in pairs(message[9][0]).items():
        response = read(read(value)[1][0])
        found["responses"][code] = {"description": response[1][0].decode()}
        if 2 in response:
            found["responses"][code]["schema"] = schema(read(response[2][0])[1][0])
    return found | {e[1][0].decode(): orjson.loads(read(e[2][0])[2][0]) for e in map(read, message.get(13, ()))}
