"""Tables of what has no metadata."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.world import World


@behaviour("API metadata HTTP return")
def test_there_is_no_table_of_what_has_no_metadata(world: World) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}},
    }
    path, accept = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "application/json;as=Table;v=v1;g=meta.k8s.io"
    reply = world.call("POST", path, review, headers={"accept": accept})
    assert (reply.status, reply.json["code"], reply.reason) == (406, 406, "NotAcceptable")
