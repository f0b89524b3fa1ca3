from __future__ import annotations

import pytest

from navarch.cri.images.reference import normalize

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("demo", "docker.io/library/demo:latest"),
        ("demo:1", "docker.io/library/demo:1"),
        ("shop/web:1.2", "docker.io/shop/web:1.2"),
        ("navarch.local/demo:1", "navarch.local/demo:1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
        ("index.docker.io/library/demo", "docker.io/library/demo:latest"),
        (f"example.com/app@{DIGEST}", f"example.com/app@{DIGEST}"),
        (f"example.com/app:1@{DIGEST}", f"example.com/app@{DIGEST}"),
    ],
)
def test_a_name_is_completed(given: str, full: str) -> None:
    assert normalize(given) == full


@pytest.mark.parametrize("given", ["", "Demo", "demo:", "a//b", "demo:a b", "demo@sha256:12", "-demo", "a" * 300, "x.y/"])
def test_what_is_no_name_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="image"):
        normalize(given)
