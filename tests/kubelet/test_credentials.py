"""Which credentials fit an image."""

from __future__ import annotations

import base64
import json

import pytest

from navarch.apimachinery.errors import Object
from navarch.kubelet import credentials


def secret(**registries: Object) -> Object:
    text = json.dumps({"auths": {name.replace("__", "/"): entry for name, entry in registries.items()}})
    return {"data": {".dockerconfigjson": base64.b64encode(text.encode()).decode()}}


def users(image: str, *secrets: Object) -> list[str]:
    return [auth.username for auth in credentials.matching(image, secrets)]


def entry(user: str) -> Object:
    return {"auth": base64.b64encode(f"{user}:pass:word".encode()).decode()}


@pytest.mark.parametrize(
    ("image", "whole"),
    [
        ("busybox", "index.docker.io/library/busybox"),
        ("busybox:1", "index.docker.io/library/busybox"),
        ("me/app@sha256:abc", "index.docker.io/me/app"),
        ("docker.io/me/app", "index.docker.io/me/app"),
        ("localhost:5000/app:1", "localhost:5000/app"),
        ("ghcr.io/a/b/c:d", "ghcr.io/a/b/c"),
    ],
)
def test_an_image_belongs_to_a_repository(image: str, whole: str) -> None:
    assert credentials.repository(image) == whole


def test_tags_are_added_where_nothing_is_said() -> None:
    assert credentials.with_default_tag("a/b") == "a/b:latest"
    assert credentials.with_default_tag("h:5000/b") == "h:5000/b:latest"
    for image in ("a:1", "a@sha256:0", "h:5000/b:2"):
        assert credentials.with_default_tag(image) == image


def test_credentials_are_those_of_the_registry() -> None:
    both = secret(**{"ghcr.io": entry("g"), "https://index.docker.io/v1/": entry("d")})
    assert users("ghcr.io/a/b", both) == ["g"]
    assert users("busybox", both) == ["d"]
    assert users("quay.io/a", both) == []
    found = credentials.matching("busybox", [both])[0]
    assert found.password == "pass:word"


def test_the_longer_path_comes_first_and_hosts_may_have_wildcards() -> None:
    several = secret(
        **{"r.io": entry("all"), "r.io__team": entry("team"), "r.io__team__app": entry("app"), "*.z.io": entry("z")}
    )
    assert users("r.io/team/app", several) == ["app", "team", "all"]
    assert users("r.io/teams/app", several) == ["all"]
    assert users("eu.z.io/x", several) == ["z"]
    assert users("a.eu.z.io/x", several) == []


def test_old_and_unreadable_secrets() -> None:
    old = {"data": {".dockercfg": base64.b64encode(b'{"r.io": {"username": "u", "password": "p"}}').decode()}}
    broken = {"data": {".dockerconfigjson": base64.b64encode(b"not json").decode()}}
    assert users("r.io/x", broken, old, {}) == ["u"]
