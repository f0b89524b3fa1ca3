"""Access reviews, and whether what they say is what happens."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.world import Space

REVIEWS = "/apis/authorization.k8s.io/v1"


@behaviour("SubjectReview, API Operations")
def test_reviews_say_what_an_impersonated_account_may_do(space: Space) -> None:
    account = space.create("serviceaccounts", {"metadata": {"name": "e2e"}})
    user, uid = f"system:serviceaccount:{space.name}:e2e", account["metadata"]["uid"]
    groups = ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{space.name}"]
    asked = {"verb": "list", "resource": "configmaps", "namespace": space.name, "version": "v1"}
    spec = {"resourceAttributes": asked, "user": user, "groups": groups, "uid": uid}
    headers = {"impersonate-user": user, "impersonate-uid": uid, "impersonate-group": "\n".join(groups)}
    listed = space.world.call("GET", space.path("configmaps"), headers=headers)
    assert listed.status in (200, 403)
    review = space.ask("POST", f"{REVIEWS}/subjectaccessreviews", {"spec": spec}, code=201)
    assert review["status"]["allowed"] is (listed.status == 200)
    local = {"metadata": {"namespace": space.name}, "spec": {**spec, "user": "e2e"}}
    path = f"{REVIEWS}/namespaces/{space.name}/localsubjectaccessreviews"
    assert space.ask("POST", path, local, code=201)["status"]["allowed"] is (listed.status == 200)
