"""Names of images, as the container world completes them: ``demo`` is ``docker.io/library/demo:latest``."""

from __future__ import annotations

import re

DEFAULT_REGISTRY = "docker.io"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
NAME_LIMIT_CHARACTERS = 255

# distribution/reference, reference.go: the grammar of a name.
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_REGISTRY = re.compile(r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.[a-zA-Z0-9-]+)*(?::[0-9]+)?")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def normalize(text: str) -> str:
    """The full name: registry, path, tag or digest. Raises ValueError for what is no name."""
    name, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError(f"{text!r} is not the name of an image: {digest!r} is no digest")
    path, tag = name, ""
    if ":" in name.rsplit("/", 1)[-1]:
        path, _, tag = name.rpartition(":")
        if not _TAG.fullmatch(tag):
            raise ValueError(f"{text!r} is not the name of an image: {tag!r} is no tag")
    registry, slash, rest = path.partition("/")
    if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
        registry, rest = DEFAULT_REGISTRY, path
    if registry in (DEFAULT_REGISTRY, "index.docker.io"):
        registry = DEFAULT_REGISTRY
        if "/" not in rest:
            rest = f"{DEFAULT_NAMESPACE}/{rest}"
    if not _REGISTRY.fullmatch(registry) or not all(_COMPONENT.fullmatch(part) for part in rest.split("/")):
        raise ValueError(f"{text!r} is not the name of an image: use lower-case letters, digits and . _ - between slashes")
    if len(registry) + len(rest) + 1 > NAME_LIMIT_CHARACTERS:
        raise ValueError(f"the name of the image is longer than {NAME_LIMIT_CHARACTERS} characters")
    if at:
        return f"{registry}/{rest}@{digest}"
    return f"{registry}/{rest}:{tag or DEFAULT_TAG}"
