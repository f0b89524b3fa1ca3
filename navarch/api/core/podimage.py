"""Images that pods name, and when they are pulled: defaults and validation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from navarch.apimachinery.errors import FieldError, not_supported, required

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
REMEMBERED = 1024
REMEMBERED_CHARACTERS_LIMIT = 512

# The grammar of references (github.com/distribution/reference).
_DOMAIN = (
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
)
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*(?::(?P<tag>\w[\w.-]{{0,127}}))?"
    r"(?P<digest>@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?\Z",
    re.ASCII,
)


@lru_cache(maxsize=REMEMBERED)
def _is_latest(image: str) -> bool:
    found = _REFERENCE.match(image)
    if found is None:
        return False
    return found["tag"] == "latest" or (found["tag"] is None and found["digest"] is None)


def default_pull_policy(image: str) -> str:
    """What is tagged ``latest`` is looked for again at every start; what cannot be read is somebody else's business."""
    if len(image) > REMEMBERED_CHARACTERS_LIMIT:
        return "IfNotPresent"
    return "Always" if _is_latest(image) else "IfNotPresent"


def validate_pull_policy(policy: str, path: str) -> Iterator[FieldError]:
    if not policy:
        yield required(path)
    elif policy not in PULL_POLICIES:
        yield not_supported(path, policy, PULL_POLICIES)
