"""Secrets as objects."""

from __future__ import annotations

from base64 import b64encode

from tests.conformance import behaviour
from tests.conformance.world import Space

SECRETS = "secrets"


@behaviour("Secrets, with empty-key")
def test_an_empty_key_is_refused(space: Space) -> None:
    refused = space.create(SECRETS, {"metadata": {"name": "test-emptykey"}, "data": {"": "dmFsdWU="}}, code=422)
    assert refused["reason"] == "Invalid"


@behaviour("Secret patching")
def test_a_secret_is_made_listed_patched_and_deleted_by_its_label(space: Space) -> None:
    mark = f"testsecret-constant={space.name}"
    everywhere = space.world.everywhere
    assert everywhere.list(SECRETS, mark) == []
    made = {
        "metadata": {"name": "test-secret", "labels": {"testsecret-constant": space.name}},
        "data": {"key": b64encode(b"value").decode()},
        "type": "Opaque",
    }
    space.create(SECRETS, made)
    assert [each["metadata"]["name"] for each in everywhere.list(SECRETS, mark)] == ["test-secret"]
    value = b64encode(b"value1").decode()
    patch = {"metadata": {"labels": {"testsecret": "true"}}, "data": {"key": value}}
    space.patch(SECRETS, "test-secret", patch, content_type="application/strategic-merge-patch+json")
    found = space.get(SECRETS, "test-secret")
    assert (found["data"]["key"], found["metadata"]["labels"]["testsecret"]) == (value, "true")
    space.delete_all(SECRETS, mark)
    assert everywhere.list(SECRETS, mark) == []
