"""Who makes a change: known where a request comes in, written down where it is stored, and nobody's business between."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache

AUTHORS_REMEMBERED = 512
NAME_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Author:
    """One value for all changes of the same author."""

    user: str = ""
    manager: str = ""
    """The field manager that the client named."""
    agent: str = ""
    """The client's User-Agent."""


@lru_cache(AUTHORS_REMEMBERED)
def author(user: str, manager: str, agent: str) -> Author:
    return Author(user[:NAME_LIMIT], manager[:NAME_LIMIT], agent[:NAME_LIMIT])


SERVER = author("system:apiserver", "kube-apiserver", "")
"""Who makes the changes that no request has asked for."""
UNKNOWN = Author()

writing: ContextVar[Author] = ContextVar("writing", default=SERVER)
"""Whose changes are being made in this context."""
