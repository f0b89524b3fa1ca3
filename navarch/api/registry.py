"""The explicit list of every kind the API serves, and how to find one."""

from __future__ import annotations

from functools import cache

from navarch.api.kind import Kind


@cache
def kinds() -> tuple[Kind, ...]:
    """Every built-in kind."""
    # Kinds are many small modules: whoever asks for none need not load them.
    from navarch.api import everything

    return everything.KINDS


@cache
def _by_resource() -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for kind in kinds():
        found.setdefault(kind.resource, kind)
        found[f"{kind.plural}.{kind.version}.{kind.group}"] = kind
    return found


def resource(name: str) -> Kind:
    """The kind of a resource named ``pods``, ``deployments.apps`` or ``deployments.v1.apps``. Raises KeyError."""
    return _by_resource()[name]
