"""What is answered at once is what the pipeline would have answered; what is not ordinary is left to it."""

from __future__ import annotations

import pytest

from navarch.component.httpserver import Request
from tests.apiserver.bench import ADMIN, ALICE, Bench, Certificate

PROTOBUF = "application/vnd.kubernetes.protobuf"
PLAIN = {"host": "x", "user-agent": "test", "accept": "application/json"}
CONFIG = "/api/v1/namespaces/default/configmaps/there"


@pytest.fixture(scope="module", autouse=True)
def objects(api: Bench) -> None:
    assert api.post("configmaps", {"metadata": {"name": "there", "namespace": "default"}, "data": {"a": "b"}}).status == 201
    assert api.post("nodes", {"metadata": {"name": "node-1"}}).status == 201


def asked(path: str, headers: dict[str, str], certificate: Certificate | None = ADMIN) -> Request:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    bare, _, query = path.partition("?")
    return Request("GET", bare, query, headers, peer_certificate=certificate, head=head)


def without_audit_id(answer: bytes) -> bytes:
    """And without the date, which the pipeline leaves to the server."""
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith((b"Audit-Id: ", b"Date: ")))


def slow(api: Bench, request: Request) -> bytes:
    response = api.run(api.server.pipeline.handle(request))
    assert isinstance(response.body, bytes)
    lines = [b"HTTP/1.1 %d OK" % response.status, *(f"{name}: {value}".encode() for name, value in response.headers)]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(response.body), b"", response.body])


@pytest.mark.parametrize("path", [CONFIG, "/api/v1/nodes/node-1", "/api/v1/namespaces/default"])
@pytest.mark.parametrize("accept", ["", "*/*", "application/json", PROTOBUF, f"{PROTOBUF},application/json"])
def test_objects_are_answered_as_the_pipeline_answers(api: Bench, path: str, accept: str) -> None:
    for certificate in (ADMIN, ALICE):
        request = asked(path, {**PLAIN, "accept": accept}, certificate)
        answer = api.server.pipeline.answer_at_once(request)
        assert answer is not None and b"\r\nAudit-Id: " in answer and b"\r\nDate: " in answer
        assert without_audit_id(answer) == without_audit_id(slow(api, request))


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (CONFIG + "x", {}),
        (CONFIG + "?pretty=true", {}),
        (CONFIG + "?resourceVersion=0", {}),
        (CONFIG, {"accept": "application/yaml"}),
        (CONFIG, {"accept": "text/html"}),
        (CONFIG, {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}),
        (CONFIG, {"accept": f"{PROTOBUF};as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}),
        (CONFIG, {"user-agent": "curl/8"}),
        (CONFIG, {"impersonate-user": "bob"}),
        (CONFIG, {"audit-id": "mine"}),
        (CONFIG, {"upgrade": "websocket"}),
        (CONFIG, {"x-long": "x" * 2048}),
        (CONFIG + "/status", {}),
        ("/api/v1/namespaces/default/configmaps", {}),
        ("/api/v1/configmaps/there", {}),
        ("/api/v1/namespaces/default/nodes/node-1", {}),
        ("/api/v1/componentstatuses/etcd-0", {}),
        ("/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/there", {}),
        ("/apis/nowhere/v1/things/there", {}),
        ("/healthz", {}),
    ],
)
def test_the_rest_is_left_to_the_pipeline(api: Bench, path: str, headers: dict[str, str]) -> None:
    assert api.server.pipeline.answer_at_once(asked(path, {**PLAIN, **headers})) is None


def test_who_may_not_is_left_to_the_pipeline_to_refuse(api: Bench) -> None:
    assert api.server.pipeline.answer_at_once(asked(CONFIG, PLAIN, None)) is None
    assert api.server.pipeline.answer_at_once(asked(CONFIG, {**PLAIN, "authorization": "Bearer x"}, None)) is None


def test_what_goes_wrong_here_goes_right_there(
    api: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(api.server.pipeline._quick, "_plan", lambda request, info: 1 // 0)
    assert api.server.pipeline.answer_at_once(asked(CONFIG, PLAIN)) is None
    assert "could not be answered at once" in caplog.text


def test_the_newest_object_is_served(api: Bench) -> None:
    path = "/api/v1/namespaces/default/configmaps/changing"
    api.post("configmaps", {"metadata": {"name": "changing", "namespace": "default"}})
    for value in ("1", "2"):
        api.patch("configmaps", "changing", {"data": {"n": value}})
        answer = api.server.pipeline.answer_at_once(asked(path, PLAIN))
        assert answer is not None and b'"n":"%b"' % value.encode() in answer
    api.call("DELETE", path)
    assert api.server.pipeline.answer_at_once(asked(path, PLAIN)) is None


def test_they_are_counted_when_somebody_looks(api: Bench) -> None:
    def counted() -> dict[str, float]:
        text = api.call("GET", "/metrics").body.decode()
        lines = [line.rpartition(" ") for line in text.splitlines() if 'resource="nodes"' in line and 'verb="GET"' in line]
        return {
            name: float(value) for name, _, value in lines if name.startswith(("apiserver_request_total", "apiserver_resp"))
        }

    api.server.pipeline.answer_at_once(asked("/api/v1/nodes/node-1", PLAIN))
    before = counted()
    for _ in range(300):
        assert api.server.pipeline.answer_at_once(asked("/api/v1/nodes/node-1", PLAIN))
    after = counted()
    changed = {name.partition("{")[0]: after[name] - before[name] for name in after if "_count" in name or "_total" in name}
    assert changed == {"apiserver_request_total": 300, "apiserver_response_sizes_count": 300}
